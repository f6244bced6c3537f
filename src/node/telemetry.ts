import type { Logger } from 'pino'
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Outcome } from '../outcome.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'

const LOOP_DELAY_RESOLUTION_MS = 50
const STAGE_BUCKETS_SECONDS = [
  0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
]
const REQUEST_BUCKETS_SECONDS = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
]

/** Telemetry of a Node process, with the metrics that show it. */
export interface NodeTelemetry extends Telemetry {
  /** One answered request; `route` is a pattern of ours, never a client's path. */
  readonly request: (method: string, route: string, status: number, elapsedMs: number) => void
  /** Registers a gauge that is read at each scrape; undefined leaves it out of that scrape. */
  readonly gauge: (name: string, help: string, read: () => number | undefined) => void
  /** All metrics as OpenMetrics text where `accept` prefers it, else as Prometheus text. */
  readonly metricsText: (
    accept: string | undefined,
  ) => Promise<{ readonly contentType: string; readonly text: string }>
}

/** Turns facts into metrics and log lines. Every metric name of the process stands here. */
export function openTelemetry(logger: Logger, version: string): NodeTelemetry {
  // The same metrics in both: a registry's format cannot be chosen per scrape.
  const prometheus = new Registry()
  const openMetrics = new Registry<'application/openmetrics-text; version=1.0.0; charset=utf-8'>()
  openMetrics.setContentType(Registry.OPENMETRICS_CONTENT_TYPE)
  const registers = [prometheus]
  const metrics = ourMetrics(registers)
  metrics.build.set({ version, node: process.versions.node }, 1)
  collectDefaultMetrics({
    register: prometheus,
    eventLoopMonitoringPrecision: LOOP_DELAY_RESOLUTION_MS,
  })
  for (const metric of prometheus.getMetricsAsArray()) share(metric.name)

  // One scrape at a time, since one in OpenMetrics changes the names for a while.
  let scraping: Promise<unknown> = Promise.resolve()

  function share(name: string): void {
    const metric = prometheus.getSingleMetric(name)
    if (metric !== undefined) openMetrics.registerMetric(metric)
  }

  return {
    outcome(protocol, outcome, count) {
      metrics.events.inc({ protocol, outcome: outcome.kind, reason: reasonOf(outcome) }, count)
    },
    discarded(protocol, by, category, reason, count) {
      metrics.discarded.inc({ protocol, by, category, reason }, count)
    },
    stage(stage, elapsedMs, count) {
      metrics.stages.observe({ stage }, elapsedMs / 1_000)
      metrics.staged.inc({ stage }, count)
    },
    keysRead(source, result) {
      metrics.keysRead.inc({ source, result })
    },
    say: (level, text, fields = {}) => logger[level](fields, text),
    bug(error) {
      metrics.bugs.inc()
      logger.error({ err: error }, 'A bug: something was thrown that nobody expected.')
    },
    request(method, route, status, elapsedMs) {
      metrics.requests.inc({ method, route, status })
      metrics.requestSeconds.observe({ route }, elapsedMs / 1_000)
    },
    gauge(name, help, read) {
      new Gauge({
        name,
        help,
        registers,
        collect() {
          const value = read()
          if (value === undefined) this.remove()
          else this.set(value)
        },
      })
      share(name)
    },
    metricsText(accept) {
      const registry = prefersOpenMetrics(accept ?? '') ? openMetrics : prometheus
      const { contentType } = registry
      const text = scraping.then(() => withNamesKept(registry))
      scraping = text.catch(() => undefined)
      return text.then((text) => ({ contentType, text }))
    },
  }
}

/** OpenMetrics wants counters without `_total`, and prom-client takes it off the metrics themselves. */
async function withNamesKept(registry: Pick<Registry, 'metrics' | 'getMetricsAsArray'>) {
  const named = registry.getMetricsAsArray().map((metric) => ({ metric, name: metric.name }))
  try {
    return await registry.metrics()
  } finally {
    for (const { metric, name } of named) metric.name = name
  }
}

function ourMetrics(registers: Registry[]) {
  return {
    events: new Counter({
      name: 'error_ingestor_events_total',
      help: 'Events by how they ended; received = refused + dropped + stored + undeliverable + still spooled.',
      labelNames: ['protocol', 'outcome', 'reason'],
      registers,
    }),
    discarded: new Counter({
      name: 'error_ingestor_discarded_total',
      help: 'Parts of requests that are no errors, and what clients say they never sent; not events.',
      labelNames: ['protocol', 'by', 'category', 'reason'],
      registers,
    }),
    stages: new Histogram({
      name: 'error_ingestor_stage_duration_seconds',
      help: 'Time that one run of a stage took, over all occurrences it was given.',
      labelNames: ['stage'],
      buckets: STAGE_BUCKETS_SECONDS,
      registers,
    }),
    staged: new Counter({
      name: 'error_ingestor_stage_occurrences_total',
      help: 'Occurrences that a stage was given.',
      labelNames: ['stage'],
      registers,
    }),
    requests: new Counter({
      name: 'error_ingestor_http_requests_total',
      help: 'HTTP requests that were answered.',
      labelNames: ['method', 'route', 'status'],
      registers,
    }),
    requestSeconds: new Histogram({
      name: 'error_ingestor_http_request_duration_seconds',
      help: 'Time from the request to its answer.',
      labelNames: ['route'],
      buckets: REQUEST_BUCKETS_SECONDS,
      registers,
    }),
    keysRead: new Counter({
      name: 'error_ingestor_key_reads_total',
      help: 'Readings of apps and keys, from files (when they change) and from ClickHouse.',
      labelNames: ['source', 'result'],
      registers,
    }),
    bugs: new Counter({
      name: 'error_ingestor_bugs_total',
      help: 'Things thrown that nobody expected; each has a log line.',
      registers,
    }),
    build: new Gauge({
      name: 'error_ingestor_build_info',
      help: 'Always 1; the labels say what runs.',
      labelNames: ['version', 'node'],
      registers,
    }),
  }
}

function reasonOf(outcome: Outcome): string {
  return 'reason' in outcome ? outcome.reason : ''
}

/** RFC 9110 weights; a type that is not named weighs nothing, a tie goes to the newer format. */
function prefersOpenMetrics(accept: string): boolean {
  const weight = (type: string) => {
    const weights = accept
      .toLowerCase()
      .split(',')
      .filter((range) => range.split(';', 1)[0]?.trim() === type)
      .map((range) => Number(/;\s*q=([\d.]+)/.exec(range)?.[1] ?? 1))
    return Math.max(0, ...weights)
  }
  const wanted = weight('application/openmetrics-text')
  return wanted > 0 && wanted >= weight('text/plain')
}

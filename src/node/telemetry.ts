import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Logger } from 'pino'
import { collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import { reasonOf } from '../outcome.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import type { Ledger } from './ledger/ledger.ts'
import { counter, distribution, gauge, tally, total } from './instruments.ts'
import { definitionOf, type MetricName } from './metrics.ts'
import { quietLog } from './quiet.ts'
import type { Tracing } from './tracing.ts'

const LOOP_DELAY_RESOLUTION_MS = 50
const FLUSH_LOG_MS = 5_000

/** Telemetry of a Node process, with the metrics that show it. */
export interface NodeTelemetry extends Telemetry {
  /** One answered request; `route` is a pattern of ours, never a client's path. */
  readonly request: (method: string, route: string, status: number, elapsedMs: number) => void
  /** One statement in ClickHouse, by its name. */
  readonly statement: (name: string, isDone: boolean, elapsedMs: number) => void
  /** So many events are the spool's that this process did not take in. */
  readonly recovered: (count: number) => void
  /** Tells the ledger from now on what ends before it is kept. */
  readonly keepLedger: (ledger: Pick<Ledger, 'count' | 'unsent'>) => void
  /** Registers a gauge that is read at each scrape; undefined leaves it out of that scrape. */
  readonly gauge: (name: MetricName, read: () => number | undefined) => void
  /** Registers a counter that is read at each scrape, by the values of its label; `''` where it has none. */
  readonly total: (name: MetricName, read: () => Readonly<Record<string, number>>) => void
  /** One of our errors was to be reported. */
  readonly selfReported: (result: 'sent' | 'failed' | 'repeated' | 'limited') => void
  /** All metrics as OpenMetrics text where `accept` prefers it, else as Prometheus text. */
  readonly metricsText: (
    accept: string | undefined,
  ) => Promise<{ readonly contentType: string; readonly text: string }>
}

/** What {@link openTelemetry} may be told. */
export interface TelemetryOptions {
  /** Apps that have metrics of their own; none where absent. */
  readonly appsMax?: number
  /** Hears of every error of our own. */
  readonly crashed?: (error: unknown) => void
}

/** Turns facts into metrics, log lines and the ledger. */
export function openTelemetry(
  logger: Logger,
  version: string,
  tracing?: Pick<Tracing, 'stage' | 'error' | 'here'>,
  { appsMax = 0, crashed = () => undefined }: TelemetryOptions = {},
): NodeTelemetry {
  const registries = openRegistries()
  const { registers } = registries
  const metrics = ourMetrics(registers, version)
  const ofApp = byApp(registers, appsMax)
  let ledger: Pick<Ledger, 'count' | 'unsent'> | undefined
  /** Received, and neither kept nor ended. */
  let accepting = 0
  gauge('error_ingestor_accepting_events', registers, () => accepting)
  /** Whether ClickHouse did the last thing it was asked; nobody knows before the first. */
  let isStoreUp: boolean | undefined
  gauge('error_ingestor_store_up', registers, () =>
    isStoreUp === undefined ? undefined : Number(isStoreUp),
  )
  const quiet = quietLog(
    (level, text, fields = {}) => logger[level](fields, text),
    () => Date.now(),
    (count) => metrics.suppressed.add('', '', '', count),
  )
  setInterval(quiet.flush, FLUSH_LOG_MS).unref()

  return {
    received(protocol, count, bytes) {
      accepting += count
      metrics.receivedBytes.add(protocol, '', '', bytes)
    },
    kept(protocol, count) {
      accepting -= count
      // Only here and where they end: so what is received is always somewhere, and the sum is right.
      metrics.received.add(protocol, '', '', count)
    },
    recovered: (count) => metrics.recovered.add('', '', '', count),
    outcome(appId, protocol, outcome, count) {
      accepting -= count
      metrics.received.add(protocol, '', '', count)
      metrics.events.add(protocol, outcome.kind, reasonOf(outcome), count)
      ofApp(appId, outcome.kind, count)
      ledger?.count(appId, protocol, outcome, count)
    },
    delivered(ends) {
      // In the ledger they are through the spool's account, which counts a window once over all processes.
      for (const { appId, protocol, outcome, count } of ends) {
        metrics.events.add(protocol, outcome.kind, reasonOf(outcome), count)
        ofApp(appId, outcome.kind, count)
      }
    },
    discarded(appId, protocol, parts) {
      for (const { by, category, reason, count } of parts) {
        metrics.discarded.inc({ protocol, by, category, reason }, count)
        if (by === 'client') ledger?.unsent(appId, protocol, `${category}:${reason}`, count)
      }
    },
    stage(stage, elapsedMs, count) {
      metrics.stages.observe(stage, '', elapsedMs / 1_000, tracing?.here()?.traceId)
      metrics.staged.add(stage, '', '', count)
      tracing?.stage(stage, elapsedMs, count)
    },
    keysRead(source, result) {
      metrics.keysRead.add(source, result, '', 1)
    },
    inserted(rows, bytes, elapsedMs, isStored) {
      metrics.insertSeconds.observe(isStored ? 'stored' : 'failed', '', elapsedMs / 1_000)
      if (!isStored) return
      metrics.insertRows.observe('', '', rows)
      metrics.insertBytes.observe('', '', bytes)
    },
    statement(name, isDone, elapsedMs) {
      isStoreUp = isDone
      if (name !== 'insert-occurrences') {
        metrics.querySeconds.observe(name, isDone ? 'ok' : 'failed', elapsedMs / 1_000)
      }
    },
    say: quiet.say,
    bug(error) {
      metrics.bugs.add('', '', '', 1)
      tracing?.error(error)
      crashed(error)
      logger.error(
        { err: error, ...tracing?.here() },
        'A bug: something was thrown that nobody expected.',
      )
    },
    request(method, route, status, elapsedMs) {
      metrics.requests.add(METHODS.has(method) ? method : 'other', route, String(status), 1)
      metrics.requestSeconds.observe(route, '', elapsedMs / 1_000, tracing?.here()?.traceId)
    },
    keepLedger(kept) {
      ledger = kept
    },
    gauge: (name, read) => gauge(name, registers, read),
    total: (name, read) => total(name, registers, read),
    selfReported: (result) => metrics.selfReports.add(result, '', '', 1),
    retried: () => metrics.retries.add('', '', '', 1),
    knownAlready: (by, count) => metrics.dedup.add(by, '', '', count),
    metricsText: (accept) => registries.metricsText(accept),
  }
}

/** Counts by app as long as there is room for one more; without any nothing is counted. */
function byApp(registers: Registry[], appsMax: number) {
  if (appsMax === 0) return () => undefined
  const events = tally('error_ingestor_app_events_total', registers)
  const apps = new Set<string>()
  return (appId: string, outcome: string, count: number): void => {
    // A name that nobody gave takes nobody's place.
    if (appId !== '' && apps.size < appsMax) apps.add(appId)
    events.add(appId === '' || apps.has(appId) ? appId : 'other', outcome, '', count)
  }
}

const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

function ourMetrics(registers: Registry[], version: string) {
  const build = 'error_ingestor_build_info'
  const { help } = definitionOf(build)
  new Gauge({ name: build, help, labelNames: ['version', 'node'], registers }).set(
    { version, node: process.versions.node },
    1,
  )
  const recovered = tally('error_ingestor_recovered_events_total', registers)
  const bugs = tally('error_ingestor_bugs_total', registers)
  const suppressed = tally('error_ingestor_log_lines_suppressed_total', registers)
  // Shown as 0 from the start: an alert on growth needs to see the first one grow.
  const retries = tally('error_ingestor_insert_retries_total', registers)
  for (const one of [recovered, bugs, suppressed, retries]) one.add('', '', '', 0)
  return {
    received: tally('error_ingestor_received_events_total', registers),
    receivedBytes: tally('error_ingestor_received_bytes_total', registers),
    recovered,
    events: tally('error_ingestor_events_total', registers),
    discarded: counter('error_ingestor_discarded_total', registers),
    stages: distribution('error_ingestor_stage_duration_seconds', registers),
    staged: tally('error_ingestor_stage_occurrences_total', registers),
    requests: tally('error_ingestor_http_requests_total', registers),
    requestSeconds: distribution('error_ingestor_http_request_duration_seconds', registers),
    bugs,
    keysRead: tally('error_ingestor_key_reads_total', registers),
    suppressed,
    retries,
    dedup: tally('error_ingestor_dedup_hits_total', registers),
    selfReports: tally('error_ingestor_self_reports_total', registers),
    insertSeconds: distribution('error_ingestor_insert_duration_seconds', registers),
    insertRows: distribution('error_ingestor_insert_rows', registers),
    insertBytes: distribution('error_ingestor_insert_bytes', registers),
    querySeconds: distribution('error_ingestor_query_duration_seconds', registers),
  }
}

/** The same metrics in both formats: a registry's format cannot be chosen per scrape. */
function openRegistries() {
  const prometheus = new Registry()
  const openMetrics = new Registry<'application/openmetrics-text; version=1.0.0; charset=utf-8'>()
  openMetrics.setContentType(Registry.OPENMETRICS_CONTENT_TYPE)
  collectDefaultMetrics({
    register: prometheus,
    eventLoopMonitoringPrecision: LOOP_DELAY_RESOLUTION_MS,
  })

  function share(): void {
    for (const { name } of prometheus.getMetricsAsArray()) {
      const metric = prometheus.getSingleMetric(name)
      if (metric !== undefined) openMetrics.registerMetric(metric)
    }
  }

  async function scraped(wantsOpenMetrics: boolean): Promise<string> {
    // At the start of a turn nothing is half done: what one thing changes, it changes in one turn. All
    // numbers are read before this function waits again, so that they add up.
    await nextTurn()
    if (!wantsOpenMetrics) return prometheus.metrics()
    share()
    return withNamesKept(openMetrics)
  }

  // One scrape at a time, since one in OpenMetrics changes the names for a while.
  let scraping: Promise<unknown> = Promise.resolve()
  return {
    registers: [prometheus],
    metricsText(accept: string | undefined) {
      const wantsOpenMetrics = prefersOpenMetrics(accept ?? '')
      const { contentType } = wantsOpenMetrics ? openMetrics : prometheus
      const text = scraping.then(() => scraped(wantsOpenMetrics))
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

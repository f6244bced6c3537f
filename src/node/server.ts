import { setTimeout as sleep } from 'node:timers/promises'
import { ClickHouseError } from '@clickhouse/client'
import type { Logger } from 'pino'
import { createApp, type App } from '../app.ts'
import { readConfig, requireSomeKey, type Config } from '../config.ts'
import type { Host } from '../host.ts'
import type { Registrations } from '../keys/registrations.ts'
import type { KeySync } from '../keys/sync.ts'
import { ClusterError } from '../store/cluster.ts'
import { migrate } from '../store/migrate.ts'
import { VERSION } from '../version.ts'
import { watchCertificates } from './certificates.ts'
import { chooseClickHouse, type ChosenClickHouse } from './choose.ts'
import { nodeHost } from './host.ts'
import { engineGauges, loadGauges } from './gauges.ts'
import { openLogger } from './logger.ts'
import { withSecretFiles } from './secrets.ts'
import { watchParts } from './parts.ts'
import { keepRetentions } from './retention.ts'
import { openSelfReports, type SelfReports } from './self.ts'
import { serve, type Fetch, type Listening } from './serve.ts'
import { openTelemetry, type NodeTelemetry } from './telemetry.ts'
import { openTracing, type Tracing } from './tracing.ts'
import { watched } from './watched.ts'
import { exchangeUsage } from './usage.ts'

const MIGRATE_AGAIN_MS = 2_000

/** A server that listens. */
export interface RunningServer {
  /** As a link. */
  readonly url: string
  readonly config: Config
  /** Which ClickHouse, and where its data lies. */
  readonly clickhouse: string
  /**
   * Stops in the reverse order of the start: unready, listener, delivery, spool, ClickHouse. What
   * is not delivered within the grace time stays on disk. May be called again.
   */
  readonly stop: () => Promise<void>
}

/**
 * Starts the server and resolves once it listens. When a step fails, those before it are undone.
 * @param signal gives a start up that is still under way.
 * @throws Error whose message is a sentence for the person who starts it.
 */
export async function startServer(
  env: NodeJS.ProcessEnv,
  registrations?: Registrations,
  signal?: AbortSignal,
): Promise<RunningServer> {
  const config = readConfig(withSecretFiles(env))
  // Code that starts the server may register apps at any time.
  if (registrations === undefined) requireSomeKey(config)
  const { http } = config
  // Undone from the last to the first, on a failed start as on a stop.
  await using undo = new AsyncDisposableStack()

  const pretty = !config.production && process.stdout.isTTY
  const logger = await openLogger({ level: config.logLevel, pretty })
  undo.defer(() => logger.flush())
  const tracing = await openTracing(config, VERSION)
  undo.defer(tracing.close)
  const { telemetry, self } = openWatch(config, logger, tracing)
  undo.defer(self.close)
  let isServing = false
  undo.defer(() => {
    if (isServing) telemetry.say('info', 'stopped')
  })
  const { traceparent } = tracing
  const chosen = await chooseClickHouse(config, { say: telemetry.say, signal, traceparent })
  undo.defer(chosen.close)
  undo.defer(certificateGauge(telemetry, chosen))
  engineGauges(telemetry, chosen)
  undo.defer(await migrated(config, chosen, telemetry))

  const both = watchedBoth(chosen, telemetry, tracing)
  const host = nodeHost(config, both, { telemetry, tracing, self })
  const app = await createApp(config, host, registrations)
  undo.defer(host.close)
  await app.keySync.open()
  keyGauges(telemetry, app.keySync)
  loadGauges(telemetry, app, config)
  const stopping = new AbortController()
  const working = [app.watch(stopping.signal), app.drain(stopping.signal, http.graceMs)]
  // Reported at once, because stopping may be days away.
  for (const work of working) work.catch(telemetry.bug)
  undo.defer(async () => {
    stopping.abort()
    await Promise.all(working)
  })
  const clients = { clickhouse: host.clickhouse, migrator: chosen.migrator }
  undo.defer(shareWithOthers(config, app, telemetry, clients, stopping))
  await serveMetrics(config, host, telemetry, undo)
  const fetch: Fetch = (request, env) => self.answering(request, () => app.fetch(request, env))
  const listening = await serve(fetch, { ...http, bug: telemetry.bug })
  connectionGauges(telemetry, listening)
  undo.defer(async () => {
    app.unready()
    listening.retire()
    await sleep(http.unreadyMs)
    await listening.close(http.graceMs)
  })
  signal?.throwIfAborted()

  void self.sendLastCrash()
  telemetry.say('info', 'listening', { url: listening.url, clickhouse: chosen.where })
  isServing = true
  const running = undo.move()
  return {
    url: listening.url,
    config,
    clickhouse: chosen.where,
    stop() {
      if (!running.disposed) {
        const { graceMs } = http
        telemetry.say('info', 'stopping: open requests end and what is accepted is delivered', {
          graceMs,
        })
      }
      return running.disposeAsync()
    },
  }
}

/** What processes tell each other by ClickHouse, and what it tells of itself. The result ends it. */
function shareWithOthers(
  { clickhouse: { database } }: Config,
  app: App,
  telemetry: NodeTelemetry,
  { clickhouse, migrator }: Pick<ChosenClickHouse, 'clickhouse' | 'migrator'>,
  stopping: AbortController,
): () => Promise<void> {
  const { signal } = stopping
  const sharing = Promise.all([
    exchangeUsage(app, telemetry, signal),
    watchParts(clickhouse, database, telemetry, signal),
    keepRetentions({ apps: app.apps, clickhouse, migrator, database, telemetry }, signal),
  ])
  sharing.catch(telemetry.bug)
  return async () => {
    stopping.abort()
    await sharing
  }
}

/** What is said of this process: in metrics and the log, and of its errors to SELF_DSN. */
function openWatch(
  { metricsAppsMax: appsMax, selfDsn, production, dataDir }: Config,
  logger: Logger,
  tracing: Tracing,
): { readonly telemetry: NodeTelemetry; readonly self: SelfReports } {
  const self = openSelfReports(selfDsn, {
    ...{ version: VERSION, production, dataDir },
    told: (result) => telemetry.selfReported(result),
  })
  const telemetry = openTelemetry(logger, VERSION, tracing, { appsMax, crashed: self.crashed })
  return { telemetry, self }
}

function watchedBoth(
  { clickhouse, reader }: ChosenClickHouse,
  telemetry: NodeTelemetry,
  tracing: Tracing,
): Pick<ChosenClickHouse, 'clickhouse' | 'reader'> {
  return {
    clickhouse: watched(clickhouse, telemetry, tracing),
    reader: watched(reader, telemetry, tracing),
  }
}

/** Metrics on a port of their own, where one is configured. */
async function serveMetrics(
  { http }: Config,
  host: Host,
  { bug }: NodeTelemetry,
  undo: AsyncDisposableStack,
): Promise<void> {
  if (http.metricsPort === undefined) return
  const metrics = await serve(metricsOnly(host.metrics), {
    ...{ host: http.host, port: http.metricsPort, portSetting: 'METRICS_PORT' },
    ...{ timeoutMs: http.timeoutMs, bug },
  })
  undo.defer(() => metrics.close(0))
}

function connectionGauges({ gauge }: NodeTelemetry, { connections }: Listening): void {
  gauge('error_ingestor_connections', () => connections().open)
  gauge('error_ingestor_connections_refused', () => connections().refused)
}

/**
 * Makes the schema, where that is the server's own business: in development mode, and with an
 * embedded ClickHouse, which no migration job can reach. A server that is away is tried again
 * beside everything else, since events can be accepted without it. The result ends the trying.
 */
async function migrated(
  config: Config,
  { migrator, embedded, where }: ChosenClickHouse,
  { say }: NodeTelemetry,
): Promise<() => Promise<void>> {
  if (config.production && !embedded) return () => Promise.resolve()
  const { database, cluster } = config.clickhouse
  const run = () =>
    migrate(migrator, {
      database,
      cluster,
      retentionDays: config.retentionDays,
      retentionDaysOfApps: config.retentionDaysOfApps,
      say: (sentence) => say('info', sentence),
    })
  try {
    await run()
    return () => Promise.resolve()
  } catch (error) {
    // What ClickHouse itself refuses, a retry will not mend.
    if (embedded || error instanceof ClickHouseError || error instanceof ClusterError) {
      const words = error instanceof Error ? error.message : String(error)
      throw new Error(`ClickHouse (${where}) refuses the schema: ${words}`, { cause: error })
    }
    say('warn', 'ClickHouse is away: the schema is made once it is back.', { error: String(error) })
  }
  const end = new AbortController()
  const trying = untilDone(run, end.signal)
  return async () => {
    end.abort()
    await trying
  }
}

async function untilDone(run: () => Promise<unknown>, end: AbortSignal): Promise<void> {
  while (!end.aborted) {
    try {
      await sleep(MIGRATE_AGAIN_MS, undefined, { signal: end })
      await run()
      return
    } catch {
      // Still away, which was said when it began; or told to end.
    }
  }
}

/** @returns what ends the looking. */
function certificateGauge(
  { gauge }: NodeTelemetry,
  { url, ca }: Pick<ChosenClickHouse, 'url' | 'ca'>,
): () => void {
  const certificates = watchCertificates(url, ca)
  gauge('error_ingestor_certificates_expire_timestamp_seconds', () => {
    const atMs = certificates.expireAtMs()
    return atMs === undefined ? undefined : atMs / 1_000
  })
  return certificates.end
}

function keyGauges(telemetry: NodeTelemetry, { status }: Pick<KeySync, 'status'>): void {
  telemetry.gauge(
    'error_ingestor_key_files_bad',
    () => status().badFiles.length + (status().folderProblem === undefined ? 0 : 1),
  )
  telemetry.gauge('error_ingestor_keys_age_seconds', () => {
    const { storeAgeMs } = status()
    return storeAgeMs === undefined ? undefined : storeAgeMs / 1_000
  })
  telemetry.gauge('error_ingestor_keys_expire_timestamp_seconds', () => {
    const { ingestEndsAtMs } = status()
    return ingestEndsAtMs === undefined ? undefined : ingestEndsAtMs / 1_000
  })
}

function metricsOnly(metrics: Host['metrics']): Fetch {
  return async (request) => {
    if (new URL(request.url).pathname !== '/metrics') return new Response(null, { status: 404 })
    const { contentType, text } = await metrics(request.headers.get('accept') ?? undefined)
    return new Response(text, { headers: { 'content-type': contentType } })
  }
}

import { hash } from 'node:crypto'
import { join, resolve } from 'node:path'
import type { Config } from '../config.ts'
import type { AnsweredLine, Host } from '../host.ts'
import { recentIds } from '../pipeline/recent.ts'
import type { ClickHouse } from '../store/clickhouse.ts'
import { createClientOf } from './client.ts'
import { writeLedger } from '../store/ledger.ts'
import { inflate } from './inflate.ts'
import { keyFolder } from './key-files.ts'
import { knownKeysFile } from './known-keys.ts'
import { createLedger } from './ledger/ledger.ts'
import { writeRegularly } from './ledger/write.ts'
import { REQUEST } from './quiet.ts'
import type { SelfReports } from './self.ts'
import { openFolderSpool } from './spool/open.ts'
import type { DiskSpool } from './spool/spool.ts'
import type { NodeTelemetry } from './telemetry.ts'
import type { Tracing } from './tracing.ts'

/** The runtime under Node, which has to be closed. */
export interface NodeHost extends Host {
  /** Lets go of the spool's folder. */
  readonly close: () => Promise<void>
}

/** Ids kept to know a resend by without asking: at 5,000 events/s the last minute, in 10 MB. */
const RECENT_IDS = 180_000
const WINDOWS_MAX = 2

/** What the core needs, on Node: the spool on disk, metrics and logs. */
export function nodeHost(
  config: Config,
  { clickhouse, reader }: { readonly clickhouse: ClickHouse; readonly reader: ClickHouse },
  watching: {
    readonly telemetry: NodeTelemetry
    readonly tracing: Tracing
    readonly self: Pick<SelfReports, 'failed'>
  },
): NodeHost {
  const { telemetry, tracing } = watching
  let spool: DiskSpool | undefined
  const { delivery } = config
  const { database } = config.clickhouse
  const ledger = createLedger({
    write: (rows) => writeLedger({ clickhouse, database }, rows),
    say: telemetry.say,
    nowMs: () => Date.now(),
  })
  telemetry.keepLedger(ledger)
  telemetry.gauge('error_ingestor_ledger_waiting', ledger.waiting)
  const writing = writeRegularly(ledger, telemetry.say)
  spoolGauges(telemetry, () => spool)
  return {
    telemetry,
    tracer: tracing,
    clickhouse,
    reader,
    nowMs: () => Date.now(),
    async openSpool(to) {
      const folder = join(resolve(config.dataDir), 'spool')
      const limits = {
        bytesMax: config.spool.bytesMax,
        segmentBytes: config.spool.segmentBytes,
        rowsMax: delivery.rowsMax,
        windowBytesMax: delivery.bytesMax,
        ageMsMax: delivery.ageMsMax,
        windowsMax: WINDOWS_MAX,
      }
      spool = await openFolderSpool(folder, to, limits, {
        ...ledger,
        recovered: telemetry.recovered,
      })
      return spool
    },
    hasDiskSpool: true,
    recent: recentIds(RECENT_IDS),
    digest: (texts) => hash('sha256', texts.join('\n')),
    inflate,
    keyFolder: config.keys.dir === undefined ? undefined : keyFolder(config.keys.dir),
    knownKeys: knownKeysFile(config.dataDir),
    metrics: telemetry.metricsText,
    clientOf: createClientOf(config.http.trustedProxies),
    answered(line) {
      answered(watching, line)
      // What was refused is noted before its client hears of it.
      return ledger.noted()
    },
    settleLedger: writing.now,
    async close() {
      // What this takes no more waits in the folder, as the events do.
      await writing.end()
      await ledger.close()
      await spool?.close()
    },
  }
}

function answered(
  { telemetry, tracing, self }: Parameters<typeof nodeHost>[2],
  line: AnsweredLine,
): void {
  const route = routeOf(line.path)
  // 500 is a bug, which was told where it was caught; a probe that fails is no error of ours.
  if (line.status > 500 && !PROBES.test(line.path)) self.failed(route, line.status, line.code)
  telemetry.request(line.method, route, line.status, line.elapsedMs)
  tracing.note({
    'http.request.method': line.method,
    'http.route': route,
    'http.response.status_code': line.status,
    'error_ingestor.request_id': line.requestId,
  })
  const trace = tracing.here()
  // Probes and scrapes come every few seconds for ever, and tell nothing.
  const fields = trace === undefined ? line : { ...line, ...trace }
  telemetry.say(PROBES.test(line.path) ? 'debug' : 'info', REQUEST, fields)
}

const PROBES = /^\/(?:health(?:\/.*)?|metrics)$/

/** Labels come from a closed set: a path that is nobody's is `other`. */
function routeOf(path: string): string {
  return ROUTES.find((route) => path === route || path.startsWith(`${route}/`)) ?? 'other'
}

const ROUTES = [
  '/api/v1/ingest',
  '/api/v1/sourcemaps',
  '/api/v1/admin',
  '/dashboard/api',
  '/health',
  '/metrics',
  '/errors',
  '/ledger',
  '/assets',
  '/docs',
  '/v1/logs',
  '/v1/traces',
  '/v1/metrics',
  '/api',
] as const

function spoolGauges({ gauge }: NodeTelemetry, spool: () => DiskSpool | undefined): void {
  const status = () => spool()?.status()
  gauge('error_ingestor_spool_bytes', () => status()?.bytes)
  gauge('error_ingestor_spool_bytes_max', () => status()?.bytesMax)
  gauge('error_ingestor_spool_segments', () => status()?.segments)
  gauge('error_ingestor_spool_events', () => status()?.rows)
  gauge('error_ingestor_delivery_lag_seconds', () => {
    const oldestMs = status()?.oldestMs
    return oldestMs === undefined ? 0 : Math.max(0, (Date.now() - oldestMs) / 1_000)
  })
  gauge('error_ingestor_spool_damaged_events', () => status()?.damagedRows)
  gauge('error_ingestor_undeliverable_events', () => status()?.undeliverable)
  gauge('error_ingestor_spool_accepting', () => (status()?.refusing === undefined ? 1 : 0))
}

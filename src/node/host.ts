import { hash } from 'node:crypto'
import { join, resolve } from 'node:path'
import type { Config } from '../config.ts'
import type { AnsweredLine, Host } from '../host.ts'
import { recentIds } from '../pipeline/recent.ts'
import type { ClickHouse } from '../store/clickhouse.ts'
import { createClientOf } from './client.ts'
import { inflate } from './inflate.ts'
import { keyFolder } from './key-files.ts'
import { knownKeysFile } from './known-keys.ts'
import { openFolderSpool } from './spool/open.ts'
import type { DiskSpool } from './spool/spool.ts'
import type { NodeTelemetry } from './telemetry.ts'

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
  telemetry: NodeTelemetry,
): NodeHost {
  let spool: DiskSpool | undefined
  const { delivery } = config
  spoolGauges(telemetry, () => spool)
  return {
    telemetry,
    clickhouse,
    reader,
    nowMs: () => Date.now(),
    async openSpool(to) {
      const folder = join(resolve(config.dataDir), 'spool')
      spool = await openFolderSpool(folder, to, {
        bytesMax: config.spool.bytesMax,
        segmentBytes: config.spool.segmentBytes,
        rowsMax: delivery.rowsMax,
        windowBytesMax: delivery.bytesMax,
        ageMsMax: delivery.ageMsMax,
        windowsMax: WINDOWS_MAX,
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
    answered: (line) => answered(telemetry, line),
    close: () => spool?.close() ?? Promise.resolve(),
  }
}

function answered(telemetry: NodeTelemetry, line: AnsweredLine): void {
  telemetry.request(line.method, routeOf(line.path), line.status, line.elapsedMs)
  // Probes and scrapes come every few seconds for ever, and tell nothing.
  telemetry.say(PROBES.test(line.path) ? 'debug' : 'info', 'request', line)
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
  '/assets',
  '/docs',
  '/v1/logs',
  '/v1/traces',
  '/v1/metrics',
  '/api',
] as const

function spoolGauges(telemetry: NodeTelemetry, spool: () => DiskSpool | undefined): void {
  const status = () => spool()?.status()
  telemetry.gauge(
    'error_ingestor_spool_bytes',
    'Bytes of the spool on disk.',
    () => status()?.bytes,
  )
  telemetry.gauge(
    'error_ingestor_spool_bytes_max',
    'Bytes that the spool may take.',
    () => status()?.bytesMax,
  )
  telemetry.gauge(
    'error_ingestor_spool_segments',
    'Segment files of the spool.',
    () => status()?.segments,
  )
  telemetry.gauge(
    'error_ingestor_spool_events',
    'Events accepted and not yet delivered.',
    () => status()?.rows,
  )
  telemetry.gauge(
    'error_ingestor_delivery_lag_seconds',
    'Age of the oldest event that is not yet delivered.',
    () => {
      const oldestMs = status()?.oldestMs
      return oldestMs === undefined ? 0 : Math.max(0, (Date.now() - oldestMs) / 1_000)
    },
  )
  telemetry.gauge(
    'error_ingestor_spool_damaged_events',
    'Events that could not be read back from the spool, over the life of its folder.',
    () => status()?.damagedRows,
  )
  telemetry.gauge(
    'error_ingestor_undeliverable_events',
    'Events kept aside because ClickHouse refuses their content.',
    () => status()?.undeliverable,
  )
  telemetry.gauge(
    'error_ingestor_spool_accepting',
    '1 while events can be kept safe, else 0.',
    () => (status()?.refusing === undefined ? 1 : 0),
  )
}

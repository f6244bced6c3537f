import { readFileSync } from 'node:fs'
import type { App } from '../app.ts'
import type { Config } from '../config.ts'
import type { ChosenClickHouse } from './choose.ts'
import type { NodeTelemetry } from './telemetry.ts'

type Meters = Pick<NodeTelemetry, 'gauge' | 'total'>

/** What the service holds in memory, and the keys it knows, in each scrape. */
export function loadGauges({ gauge, total }: Meters, { load }: App, { intake }: Config): void {
  gauge('error_ingestor_intake_bytes', () => load().bodyBytes)
  gauge('error_ingestor_intake_bytes_max', () => intake.bytesInFlightMax)
  gauge('error_ingestor_limited_keys', () => load().limitedKeys)
  gauge('error_ingestor_apps', () => load().apps)
  gauge('error_ingestor_keys', () => load().keys)
  total('error_ingestor_key_lookups_total', () => ({ ...load().keyLookups }))
}

/** How the embedded ClickHouse is; without one nothing. */
export function engineGauges(
  { gauge, total }: Meters,
  { engine }: Pick<ChosenClickHouse, 'engine'>,
): void {
  if (engine === undefined) return
  gauge('error_ingestor_engine_up', () => Number(engine.status().isUp))
  total('error_ingestor_engine_restarts_total', () => ({ '': engine.status().restarts }))
  gauge('error_ingestor_engine_memory_bytes', () => memoryOf(engine.pid()))
}

/** Resident bytes of a process, as Linux tells them; undefined elsewhere, and once it has ended. */
function memoryOf(pid: number | undefined): number | undefined {
  try {
    const kilobytes = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
    return kilobytes === undefined ? undefined : Number(kilobytes) * 1_024
  } catch {
    // No such process, or no such folder.
    return undefined
  }
}

import { setTimeout as sleep } from 'node:timers/promises'
import type { ClickHouse } from '../store/clickhouse.ts'
import { partsOf, type Parts } from '../store/parts.ts'
import type { NodeTelemetry } from './telemetry.ts'

const LOOK_EVERY_MS = 15_000

/**
 * Shows the parts and merges of the table of events in metrics until told to stop. Where ClickHouse is
 * away, or does not show them to this user, the metrics are absent.
 */
export async function watchParts(
  clickhouse: ClickHouse,
  database: string,
  { gauge }: Pick<NodeTelemetry, 'gauge'>,
  stopping: AbortSignal,
): Promise<void> {
  let parts: Parts | undefined
  gauge('error_ingestor_store_parts', () => parts?.active)
  gauge('error_ingestor_store_parts_of_month', () => parts?.mostOfMonth)
  gauge('error_ingestor_store_merges', () => parts?.merges)
  while (!stopping.aborted) {
    try {
      parts = await partsOf(clickhouse, database)
    } catch {
      // The absence of the metrics says it, and `error_ingestor_query_duration_seconds` counts it.
      parts = undefined
    }
    // Ends with a rejection when it is told to stop, which is not news.
    await sleep(LOOK_EVERY_MS, undefined, { signal: stopping }).catch(() => undefined)
  }
}

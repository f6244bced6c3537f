import type { Config } from './config.ts'
import type { Host } from './host.ts'
import type { Grouping, Occurrence } from './occurrence.ts'
import { createDelivery } from './pipeline/delivery.ts'
import { group } from './pipeline/group.ts'
import type { Spool } from './pipeline/spool.ts'
import { createInsert } from './store/insert-block.ts'
import { knownIds, recordDoubles, storedIds } from './store/known.ts'
import { isContentRefusal, isStoreTrouble } from './store/refused.ts'
import { decodeRow, encodeRows, identify } from './store/rows.ts'
import { NO_TRACER } from './trace.ts'

/** Grouping that never throws: that would be a bug of ours, and the event is kept all the same, in one issue for all such. */
export function groupWith(bug: Host['telemetry']['bug']): (occurrence: Occurrence) => Grouping {
  return (occurrence) => {
    try {
      return group(occurrence)
    } catch (error) {
      bug(error)
      return UNGROUPED
    }
  }
}

const NO_FINGERPRINT = `v1:${'0'.repeat(32)}`
const UNGROUPED: Grouping = {
  fingerprint: NO_FINGERPRINT,
  secondary: NO_FINGERPRINT,
  basis: 'message',
  components: [],
}

/** More blocks than that never wait: those that are forgotten are not counted as tried again. */
const FAILED_MAX = 1_000

/** The same insert, but a block that failed before is told of as such. */
function retriesTold<Block extends { readonly token: string }>(
  { retried }: Pick<Host['telemetry'], 'retried'>,
  insert: (block: Block, signal: AbortSignal) => Promise<void>,
): typeof insert {
  const failed = new Set<string>()
  return async (block, signal) => {
    if (failed.delete(block.token)) retried()
    try {
      await insert(block, signal)
    } catch (error) {
      if (failed.size < FAILED_MAX) failed.add(block.token)
      throw error
    }
  }
}

/** Joins the half of the pipeline after the yes to the store. */
export function openSpool(config: Config, host: Host): Promise<Spool> {
  const { clickhouse, telemetry, nowMs, recent, digest } = host
  const { database } = config.clickhouse
  const delivery = createDelivery({
    identify,
    decode: decodeRow,
    encode: (occurrences) => encodeRows(occurrences, groupWith(telemetry.bug)),
    recordDoubles: (rows, signal) => recordDoubles(clickhouse, database, rows, signal),
    knownIds: (rows, signal) => knownIds(clickhouse, database, rows, signal),
    storedIds: (rows, signal) => storedIds(clickhouse, database, rows, signal),
    insert: retriesTold(
      telemetry,
      createInsert({ clickhouse, inserted: telemetry.inserted, storesOnce: host.hasDiskSpool }),
    ),
    isContentRefusal,
    isStoreTrouble,
    recent,
    digest,
    delivered: telemetry.delivered,
    knownAlready: telemetry.knownAlready,
    open: (host.tracer ?? NO_TRACER).open,
    stage: telemetry.stage,
    say: telemetry.say,
    bug: telemetry.bug,
    nowMs,
    random: Math.random,
  })
  return host.openSpool(delivery)
}

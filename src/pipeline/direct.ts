import { Refusal } from '../refusal.ts'
import { idKey, type Delivery, type Fate, type ReadRows } from './delivery.ts'
import type { Batch, Row, Spool } from './spool.ts'

const RETRY_AFTER_SECONDS = 5

/**
 * Without a disk, append is delivery: the client's yes waits for the store, for at most `waitMsMax`.
 * One insert per request and month, because requests at the edge cannot share I/O; ClickHouse
 * gathers them (`async_insert`).
 */
export function directSpool(delivery: Delivery, waitMsMax: number): Spool {
  let rows = 0
  return {
    async append(parcel) {
      rows += parcel.rows.length
      try {
        const window = [parcel]
        const signal = AbortSignal.timeout(waitMsMax)
        const fates = onceEach(parcel.rows, await delivery.judge(window, signal))
        const judgedAtMs = performance.now()
        const blocks = delivery.blocks(window, fates)
        const refused = await Promise.all(
          blocks.map((block) => delivery.send(block, judgedAtMs, rowsOf(parcel.batch), signal)),
        )
        const bad = refused.flat().map(({ row }) => row.id)
        if (bad.length > 0) throw unstorable(bad)
        delivery.count(window, fates, [], 0)
      } catch (error) {
        // Anything else is ClickHouse or the way to it, in the words of whichever runtime this is.
        if (error instanceof Refusal || error instanceof RangeError) throw error
        delivery.say('warn', 'ClickHouse did not take events in time', { error: String(error) })
        throw away(error)
      } finally {
        rows -= parcel.rows.length
      }
    },
    drain: () => Promise.resolve(),
    settle: () => Promise.resolve(),
    streams: () => undefined,
    dropAside: () => Promise.resolve(0),
    // Who waits for the store goes at its pace.
    turn: () => undefined,
    status: () => ({
      bytes: 0,
      bytesMax: 0,
      segments: 0,
      rows,
      oldestMs: undefined,
      damagedRows: 0,
      undeliverable: 0,
      refusing: undefined,
    }),
  }
}

/** Rows of a batch in memory: neighbours are one piece, so nothing is copied. */
function rowsOf({ bytes }: Batch): ReadRows {
  return (rows) => {
    const pieces: Uint8Array[] = []
    let [from, to] = [0, 0]
    for (const { start, end } of rows) {
      if (start !== to) {
        if (to > from) pieces.push(bytes.subarray(from, to))
        from = start
      }
      to = end
    }
    if (to > from) pieces.push(bytes.subarray(from, to))
    return pieces
  }
}

/** The store is asked once for a whole request, so an id that stands in it twice must be found here. */
function onceEach(rows: readonly Row[], fates: readonly Fate[]): readonly Fate[] {
  const met = new Set<string>()
  return rows.map((row, i) => {
    const key = idKey(row)
    if (met.has(key)) return 'duplicate'
    met.add(key)
    return fates[i] ?? 'send'
  })
}

function away(cause: unknown): Refusal {
  const message = 'The event store is not available at the moment; send the events again shortly.'
  return new Refusal('overloaded', message, { retryAfterSeconds: RETRY_AFTER_SECONDS, cause })
}

/** There is no folder to set them aside in, so whoever sent them must know. */
function unstorable(ids: readonly string[]): Refusal {
  const named = `${ids.slice(0, 3).join(', ')}${ids.length > 3 ? ' …' : ''}`
  return new Refusal('malformed', `The store cannot hold ${ids.length} of the events (${named}).`)
}

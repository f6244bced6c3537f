import type { Delivery } from './delivery.ts'
import type { Spool } from './spool.ts'

/**
 * Without a disk, append is delivery: the client's yes waits for the store. One insert per request,
 * because requests at the edge cannot share I/O; ClickHouse gathers them (`async_insert`).
 */
export function directSpool(delivery: Delivery, waitMsMax: number): Spool {
  let rows = 0
  return {
    async append(parcel) {
      const signal = AbortSignal.timeout(waitMsMax)
      rows += parcel.rows.length
      try {
        const window = [parcel]
        const fates = await delivery.judge(window, signal)
        const blocks = delivery.blocks(window, fates)
        const refused = await Promise.all(
          blocks.map((block) => delivery.send(block, delivery.nowMs(), signal)),
        )
        delivery.count(window, fates, refused.flat())
      } finally {
        rows -= parcel.rows.length
      }
    },
    drain: () => Promise.resolve(),
    settle: () => Promise.resolve(),
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

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { openSpool, type SpoolLimits } from '../../../src/node/spool/spool.ts'
import { encodeRows } from '../../../src/store/rows.ts'
import { memoryDisk, type MemoryDisk } from '../../support/memory-disk.ts'
import { deliveryTo, memoryStore, type MemoryStore } from '../../support/memory-store.ts'
import { aGrouping, anOccurrence } from '../../support/occurrence.ts'

// Small enough that each run passes through several segments, windows and logs.
const LIMITS: SpoolLimits = {
  bytesMax: 1_000_000,
  segmentBytes: 1_500,
  rowsMax: 4,
  windowBytesMax: 2_000,
  ageMsMax: 1,
  windowsMax: 2,
}

/** One life of a process: it accepts, delivers, and at some file operation the power goes. */
async function live(
  disk: MemoryDisk,
  store: MemoryStore,
  batches: readonly number[],
  acknowledged: Set<string>,
): Promise<{ damagedRows: number }> {
  const delivery = deliveryTo(store)
  let damagedRows = 0
  const stopping = new AbortController()
  const run = async () => {
    const spool = await openSpool(disk, delivery, LIMITS)
    const drained = spool.drain(stopping.signal, 10_000)
    for (const size of batches) {
      const occurrences = Array.from({ length: size }, () => anOccurrence())
      await spool.append({ batch: encodeRows(occurrences, aGrouping), rows: occurrences })
      for (const { id } of occurrences) acknowledged.add(id)
    }
    stopping.abort()
    await drained
    damagedRows = spool.status().damagedRows
    await spool.close()
  }
  await Promise.race([run(), disk.crashed])
  stopping.abort()
  return { damagedRows }
}

test('whatever file operation the power fails at, each acknowledged event is stored once', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 6 }), {
        minLength: 1,
        maxLength: 4,
      }),
      fc.array(fc.integer({ min: 1, max: 120 }), { minLength: 4, maxLength: 4 }),
      fc.infiniteStream(fc.double({ min: 0, max: 0.999, noNaN: true })),
      fc.array(fc.constantFrom('no', 'before', 'noted', 'after'), { maxLength: 2 }),
      async (lives, crashes, randoms, failures) => {
        const random = () => Number(randoms.next().value)
        const store = memoryStore()
        const outcomes = [...failures]
        store.fail = () => outcomes.shift() ?? 'no'
        const acknowledged = new Set<string>()
        let disk = memoryDisk()
        for (const [i, batches] of lives.entries()) {
          disk.crashAt(crashes[i] ?? 50)
          await live(disk, store, batches, acknowledged)
          disk = disk.afterCrash(random)
        }
        const { damagedRows } = await live(disk, store, [1], acknowledged)

        const counts = store.counts()
        expect([...acknowledged].filter((id) => !counts.has(id))).toEqual([])
        expect([...counts].filter(([, count]) => count !== 1)).toEqual([])
        // Nothing was damaged but what nobody had been promised.
        expect(damagedRows).toBe(0)
      },
    ),
    { numRuns: 120, interruptAfterTimeLimit: 75_000, markInterruptAsFailure: true },
  )
}, 90_000)

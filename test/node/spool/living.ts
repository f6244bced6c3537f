import type { Delivery } from '../../../src/pipeline/delivery.ts'
import type { Occurrence } from '../../../src/occurrence.ts'
import type { Disk } from '../../../src/node/spool/disk.ts'
import {
  NO_ACCOUNT,
  openSpool,
  type DiskSpool,
  type SpoolAccount,
  type SpoolLimits,
} from '../../../src/node/spool/spool.ts'
import { encodeRows } from '../../../src/store/rows.ts'
import { deliveryTo, memoryStore, type MemoryStore } from '../../support/memory-store.ts'
import { aGrouping, anOccurrence } from '../../support/occurrence.ts'

/** Roomy, but for windows that are delivered at once. */
export const LIMITS: SpoolLimits = {
  bytesMax: 10_000_000,
  segmentBytes: 1_000_000,
  rowsMax: 100,
  windowBytesMax: 1_000_000,
  ageMsMax: 1,
  windowsMax: 2,
}

/** One life of a process with a spool. */
export interface Life {
  readonly spool: DiskSpool
  /** Accepts `count` events in one batch, and gives back their ids. */
  readonly accept: (count: number, more?: Partial<Occurrence>) => Promise<readonly string[]>
  /** Delivers until nothing waits or the grace time is over, and lets go of the folder. */
  readonly end: () => Promise<void>
  readonly said: readonly string[]
  readonly bugs: readonly unknown[]
}

/** What a life may differ in. */
export interface LifeOptions {
  readonly store?: MemoryStore
  readonly limits?: Partial<SpoolLimits>
  readonly delivery?: Partial<Parameters<typeof deliveryTo>[1]>
  readonly account?: Partial<SpoolAccount>
  /** False: it accepts and delivers nothing until `end`. */
  readonly delivers?: boolean
  /** Longest that `end` waits for delivery. */
  readonly graceMs?: number
}

/** Opens the spool on `disk` and delivers to `store`. */
export async function live(disk: Disk, options: LifeOptions = {}): Promise<Life> {
  const { store = memoryStore(), limits, delivers = true, graceMs = 10_000 } = options
  const bugs: unknown[] = []
  const said: string[] = []
  const delivery: Delivery = deliveryTo(store, {
    bug: (error) => bugs.push(error),
    say: (_level, text) => said.push(text),
    ...options.delivery,
  })
  const account = { ...NO_ACCOUNT, ...options.account }
  const spool = await openSpool(disk, delivery, { ...LIMITS, ...limits }, account)
  const stopping = new AbortController()
  let drained = delivers ? spool.drain(stopping.signal, graceMs) : undefined
  return {
    spool,
    said,
    bugs,
    async accept(count, more = {}) {
      const occurrences = Array.from({ length: count }, () => anOccurrence(more))
      await spool.append(parcelOf(occurrences))
      return occurrences.map(({ id }) => id)
    },
    async end() {
      stopping.abort()
      drained ??= spool.drain(stopping.signal, graceMs)
      await drained
      await spool.close()
    },
  }
}

/** A batch as the pipeline makes it. */
export function parcelOf(occurrences: readonly Occurrence[]) {
  return { batch: encodeRows(occurrences, aGrouping), rows: occurrences }
}

/** Ids of `of` that do not stand in the store exactly once. */
export function notOnce(store: MemoryStore, of: readonly string[]): readonly string[] {
  return of.filter((id) => store.counts().get(id) !== 1)
}

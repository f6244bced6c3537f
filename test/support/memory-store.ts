import { createDelivery, idKey, type Delivery } from '../../src/pipeline/delivery.ts'
import { aGrouping } from './occurrence.ts'
import { digest } from '../../src/pipeline/digest.ts'
import { NO_TRACER } from '../../src/trace.ts'
import { recentIds } from '../../src/pipeline/recent.ts'
import type { Pieces } from '../../src/pipeline/spool.ts'
import {
  decodeRow,
  encodeRows,
  identify,
  rowsToObjects,
  blockTarget,
} from '../../src/store/rows.ts'

/** What ClickHouse keeps of our inserts: rows, and the tokens it saw. It outlives our crashes. */
export interface MemoryStore {
  /** How often each id stands in the table. */
  readonly counts: () => ReadonlyMap<string, number>
  /**
   * Decides before each insert whether it fails, and when: before anything happened, when its token is
   * noted and its rows are not stored, or after they are.
   */
  fail: () => 'no' | 'before' | 'noted' | 'after'
  readonly insert: Parameters<typeof createDelivery>[0]['insert']
}

/** A store that, as ClickHouse does, stores a block once for each token. */
export function memoryStore(): MemoryStore {
  const counts = new Map<string, number>()
  const tokens = new Set<string>()
  const store: MemoryStore = {
    counts: () => counts,
    fail: () => 'no',
    insert: async ({ format, body, token }) => {
      await Promise.resolve()
      const how = store.fail()
      if (how === 'before') throw new Error('ClickHouse is away.')
      if (how === 'noted') {
        tokens.add(token)
        throw new Error('ClickHouse was killed.')
      }
      const rows = rowsToObjects(blockTarget(format).columns, [await bytesOf(body)])
      if (!tokens.has(token)) {
        tokens.add(token)
        for (const row of rows) {
          const id = String(row['id'])
          counts.set(id, (counts.get(id) ?? 0) + 1)
        }
      }
      if (how === 'after') throw new Error('The answer was lost.')
    },
  }
  return store
}

/** All pieces of a body as one. */
export async function bytesOf(body: Pieces): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  for await (const piece of body) pieces.push(piece)
  return Buffer.concat(pieces)
}

/** What a delivery told while it ran. */
export interface Told {
  readonly stored: () => number
  readonly duplicates: () => number
  readonly undeliverable: () => number
  readonly said: readonly string[]
}

/** The real delivery of one process before a store in memory. */
export function deliveryTo(
  store: MemoryStore,
  more: Partial<Parameters<typeof createDelivery>[0]> = {},
): Delivery & Told {
  const ends = new Map<string, number>()
  const said: string[] = []
  const known = (rows: readonly { appId: string; id: string }[]) =>
    Promise.resolve(new Set(rows.filter(({ id }) => store.counts().has(id)).map(idKey)))
  const delivery = createDelivery({
    identify,
    decode: decodeRow,
    encode: (occurrences) => encodeRows(occurrences, aGrouping),
    recordDoubles: () => Promise.resolve(),
    knownIds: known,
    storedIds: known,
    insert: store.insert,
    isContentRefusal: () => false,
    isStoreTrouble: () => false,
    recent: recentIds(10_000),
    digest,
    knownAlready: () => undefined,
    delivered: (all) => {
      for (const { outcome, count } of all) {
        ends.set(outcome.kind, (ends.get(outcome.kind) ?? 0) + count)
      }
    },
    open: NO_TRACER.open,
    stage: () => undefined,
    say: (_level, text) => said.push(text),
    bug: (error) => {
      throw error
    },
    nowMs: () => Date.now(),
    random: () => 0.5,
    ...more,
  })
  return {
    ...delivery,
    stored: () => ends.get('stored') ?? 0,
    duplicates: () => ends.get('duplicate') ?? 0,
    undeliverable: () => ends.get('undeliverable') ?? 0,
    said,
  }
}

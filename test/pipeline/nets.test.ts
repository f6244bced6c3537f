import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import {
  createDelivery,
  idKey,
  type DeliveryDeps,
  type ReadRows,
  type RowId,
} from '../../src/pipeline/delivery.ts'
import { digest } from '../../src/pipeline/digest.ts'
import { recentIds } from '../../src/pipeline/recent.ts'
import type { Occurrence } from '../../src/occurrence.ts'
import { createInsert } from '../../src/store/insert-block.ts'
import { knownIds, recordDoubles, storedIds } from '../../src/store/known.ts'
import { createStore } from '../../src/store/queries.ts'
import { isContentRefusal, isStoreTrouble } from '../../src/store/refused.ts'
import { decodeRow, encodeRows, identify } from '../../src/store/rows.ts'
import { NO_TRACER } from '../../src/trace.ts'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { aGrouping, anOccurrence } from '../support/occurrence.ts'

// What keeps an id from being counted twice (docs/storage.md), each alone: the others are held off. With
// it there is one; without it two, so that nothing else can be what a test of it sees.

let db: TestDatabase
beforeAll(async () => {
  db = await createDatabase()
})
afterAll(() => db.drop())

const never = new AbortController().signal
const NOTHING_KNOWN = () => Promise.resolve(new Set<string>())
const NOTHING_REMEMBERED = { add: () => true }

/** A process of ours after the yes, on the real ClickHouse. */
function aProcess(off: Partial<DeliveryDeps> = {}) {
  const { clickhouse, database } = db
  const delivery = createDelivery({
    ...{ identify, decode: decodeRow, encode: (all) => encodeRows(all, aGrouping), digest },
    knownIds: (rows, signal) => knownIds(clickhouse, database, rows, signal),
    storedIds: (rows, signal) => storedIds(clickhouse, database, rows, signal),
    recordDoubles: (rows, signal) => recordDoubles(clickhouse, database, rows, signal),
    insert: createInsert({ clickhouse, inserted: () => undefined, storesOnce: true }),
    ...{ isContentRefusal, isStoreTrouble, recent: recentIds(1_000), open: NO_TRACER.open },
    ...{
      delivered: () => undefined,
      knownAlready: () => undefined,
      stage: () => undefined,
      say: () => undefined,
    },
    bug: (error) => {
      throw error
    },
    ...{ nowMs: () => performance.now(), random: Math.random },
    ...off,
  })
  const judge = async (occurrence: Occurrence) => {
    // With a neighbour, so that two blocks of one id are two blocks to ClickHouse.
    const batch = encodeRows([occurrence, anOccurrence({ appId: 'neighbour' })], aGrouping)
    const bytes = Uint8Array.from(batch.bytes)
    const window = [{ batch, rows: identify(batch) }]
    const blocks = delivery.blocks(window, await delivery.judge(window, never))
    return async () => {
      for (const block of blocks) {
        const read: ReadRows = (rows) => rows.map(({ start, end }) => bytes.subarray(start, end))
        await delivery.send(block, performance.now(), read, never)
      }
    }
  }
  return { judge, deliver: async (one: Occurrence) => (await judge(one))() }
}

const Count = z.array(z.object({ count: z.coerce.number() }))
/** Rows as they lie in the table, and what a question makes of them. */
async function found(appId: string) {
  const rows = await db.clickhouse.query(
    'SELECT count() AS count FROM occurrences WHERE app_id = {appId: String}',
    { appId },
  )
  const codes = await createStore(db).codes(appId, undefined)
  return { rows: Count.parse(rows)[0]?.count, counted: codes.map(({ count }) => count) }
}
const once = { rows: 1, counted: [1] }
const twice = { rows: 2, counted: [2] }

/** The same event again, and what is left of the nets with one of them off. */
const again = (appId: string) => {
  const first = anOccurrence({ appId })
  return [first, { ...first, message: 'changed', receivedAtMs: first.receivedAtMs + 5 }] as const
}
/** Without this, rows that are there twice would still be counted once. */
async function withoutDoubles(): Promise<void> {
  await db.clickhouse.command('SYSTEM STOP VIEW doubles_view')
  await db.clickhouse.command('TRUNCATE TABLE arrivals')
  await db.clickhouse.command('TRUNCATE TABLE doubles')
}

test.each([
  ['holds a resend to the same process', {}, once],
  ['is what holds it', { recent: NOTHING_REMEMBERED }, twice],
] as const)('net 1, the memory of recent ids, %s', async (_, off, expected) => {
  const appId = randomUUID()
  const process = aProcess({ knownIds: NOTHING_KNOWN, ...off })
  for (const occurrence of again(appId)) await process.deliver(occurrence)
  await withoutDoubles()
  expect(await found(appId)).toEqual(expected)
})

test.each([
  ['holds a resend to another process', {}, once],
  ['is what holds it', { knownIds: NOTHING_KNOWN }, twice],
] as const)('net 2, the ids that ClickHouse has seen, %s', async (_, off, expected) => {
  const appId = randomUUID()
  for (const occurrence of again(appId)) await aProcess(off).deliver(occurrence)
  await withoutDoubles()
  expect(await found(appId)).toEqual(expected)
})

// ClickHouse notes a token before it moves the rows into place: one that is killed between says yes to the
// block ever after. Here the token is noted for other rows, which is the same to those of the block.
test.each([
  ['holds', storedIds, { rows: 1, counted: [1] }],
  [
    'is what holds them',
    (_: unknown, __: unknown, rows: readonly RowId[]) => Promise.resolve(new Set(rows.map(idKey))),
    { rows: 0, counted: [] },
  ],
] as const)(
  'the question for the rows of a block that was tried before %s rows that ClickHouse lost',
  async (_, ask, expected) => {
    const appId = randomUUID()
    let tries = 0
    const { clickhouse, database } = db
    const insert = createInsert({ clickhouse, inserted: () => undefined, storesOnce: true })
    const process = aProcess({
      storedIds: (rows, signal) => ask(clickhouse, database, rows, signal),
      insert: async (block, signal) => {
        tries += 1
        if (tries > 1) return insert(block, signal)
        const other = encodeRows([anOccurrence({ appId: 'other' })], aGrouping)
        await insert({ ...block, body: [other.bytes] }, signal)
        throw Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' })
      },
    })
    await process.deliver(anOccurrence({ appId }))
    expect(await found(appId)).toEqual(expected)
  },
)

test.each([
  ['holds a block whose answer was lost', '10000', once],
  ['is what holds it', '0', twice],
] as const)('net 3, the token of a block, %s', async (_, window, expected) => {
  const appId = randomUUID()
  const tables = ['occurrences', 'seen', 'arrivals', 'hourly', 'hourly_users']
  const set = async (value: string) => {
    for (const table of tables) {
      await db.clickhouse.command(
        `ALTER TABLE ${table} MODIFY SETTING non_replicated_deduplication_window = ${value}`,
      )
    }
  }
  const send = await aProcess().judge(anOccurrence({ appId }))
  await set(window)
  try {
    await send()
    await send()
  } finally {
    await set('10000')
  }
  await withoutDoubles()
  expect(await found(appId)).toEqual(expected)
})

test.each([
  ['counts once what two processes stored in the same moment', false, [1]],
  ['is what counts it once', true, [2]],
] as const)('net 4, the search for doubles, %s', async (_, isOff, counted) => {
  const appId = randomUUID()
  const [first, second] = again(appId)
  const sends = [await aProcess().judge(first), await aProcess().judge(second)]
  for (const send of sends) await send()
  if (isOff) await withoutDoubles()
  expect(await found(appId)).toEqual({ rows: 2, counted })
})

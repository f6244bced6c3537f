import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { createDatabase, type TestDatabase } from '../support/database.ts'

let db: TestDatabase
beforeAll(async () => {
  db = await createDatabase()
})
afterAll(() => db.drop())

const Parts = z.array(z.object({ part_type: z.string(), rows: z.coerce.number() }))
async function partsOf(table: string) {
  return Parts.parse(
    await db.clickhouse.query(
      `SELECT toString(part_type) AS part_type, rows FROM system.parts
      WHERE active AND database = {database: String} AND table = {table: String}
      ORDER BY min_block_number`,
      { database: db.database, table },
    ),
  )
}

/** Events of ten apps with stacks of 8 KB, or as many bytes. */
const insert = (rows: number, stackBytes = 8_000) =>
  db.clickhouse.command(
    `INSERT INTO occurrences (id, app_id, timestamp, stack_trace)
    SELECT generateUUIDv4(), concat('app-', toString(number % 10)), now64(3), randomPrintableASCII(${String(stackBytes)}) FROM numbers(${String(rows)})`,
  )

test('a block stands in one file, what is larger has files for each column', async () => {
  await insert(5_500) // 44 MB: as much as a block may hold.
  await insert(14_000)
  expect(await partsOf('occurrences')).toEqual([
    { part_type: 'Compact', rows: 5_500 },
    { part_type: 'Wide', rows: 14_000 },
  ])
}, 60_000)

test('events lie in granules of a thousand, as inserted, as merged, and after a deletion has rewritten them', async () => {
  const { clickhouse, database } = db
  await clickhouse.command('TRUNCATE TABLE occurrences')
  const granules = async () => {
    const rows = await clickhouse.query(
      // The last mark is the end.
      `SELECT toUInt32(rows) AS rows, toUInt32(ceil(rows / (marks - 1))) AS ofEach
      FROM system.parts
      WHERE active AND database = {database: String} AND table = 'occurrences'`,
      { database },
    )
    return z.array(z.object({ rows: z.number(), ofEach: z.number() })).parse(rows)
  }
  // Together 110 MB, and fewer rows than ClickHouse by itself merges column by column.
  for (let block = 0; block < 2; block += 1) await insert(25_000, 2_200)
  const [first, second] = await granules()
  expect(first?.ofEach).toBeLessThan(1_100)
  expect(second?.ofEach).toBeLessThan(1_100)
  await clickhouse.command('OPTIMIZE TABLE occurrences FINAL')
  const [merged, ...others] = await granules()
  expect(others).toEqual([])
  expect(merged?.rows).toBe(50_000)
  expect(merged?.ofEach).toBeLessThan(1_100)
  await clickhouse.command(
    "ALTER TABLE occurrences DELETE WHERE app_id = 'app-3' SETTINGS mutations_sync = 2",
  )
  const [left] = await granules()
  expect(left?.rows).toBe(45_000)
  expect(left?.ofEach).toBeLessThan(1_100)
}, 60_000)

test.each(['occurrences', 'seen', 'arrivals'])(
  'a month with almost as many parts of %s as it may have is still merged',
  async (table) => {
    const { clickhouse } = db
    await clickhouse.command(`TRUNCATE TABLE ${table}`)
    await clickhouse.command(`SYSTEM STOP MERGES ${table}`)
    await clickhouse.command(
      `ALTER TABLE ${table} MODIFY SETTING parts_to_delay_insert = 59, parts_to_throw_insert = 60`,
    )
    for (let block = 0; block < 58; block += 1) await insert(1)
    expect(await partsOf(table)).toHaveLength(58)
    await clickhouse.command(`SYSTEM START MERGES ${table}`)
    await expect
      .poll(() => partsOf(table).then(({ length }) => length), { timeout: 60_000 })
      .toBeLessThan(20)
  },
  120_000,
)

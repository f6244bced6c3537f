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

/** Events with stacks of 8 KB. */
const insert = (rows: number) =>
  db.clickhouse.command(
    `INSERT INTO occurrences (id, app_id, timestamp, stack_trace)
    SELECT generateUUIDv4(), 'app', now64(3), randomPrintableASCII(8000) FROM numbers(${String(rows)})`,
  )

test('a block stands in one file, what is larger has files for each column', async () => {
  await insert(5_500) // 44 MB: as much as a block may hold.
  await insert(14_000)
  expect(await partsOf('occurrences')).toEqual([
    { part_type: 'Compact', rows: 5_500 },
    { part_type: 'Wide', rows: 14_000 },
  ])
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

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { makeKey } from '../../src/keys/token.ts'
import { migrate } from '../../src/store/migrate.ts'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { aSite, type Site } from './support.ts'

const ADMIN_KEY = makeKey('admin')
const ROWS = 400

let database: TestDatabase
let keysDir: string
let site: Site
const apps = (list: readonly object[]) =>
  writeFile(join(keysDir, 'apps.json'), JSON.stringify(list.map((app) => ({ name: 'x', ...app }))))

beforeAll(async () => {
  database = await createDatabase({ retentionDays: 90 })
  keysDir = await mkdtemp(join(tmpdir(), 'error-ingestor-retention-'))
  await apps([
    { id: 'file-long', retentionDays: 400 },
    { id: 'file-short', retentionDays: 10 },
    { id: 'file-none' },
  ])
  site = await aSite({
    ...{ NODE_ENV: 'production', HOST: '127.0.0.1', ADMIN_KEY, KEYS_DIR: keysDir },
    KEY_PEPPER: 'f3a1c09b77d24e5886aa10b2c9d4e7f05518',
    APPS: JSON.stringify([{ id: 'set-long', name: 'x', retentionDays: 200 }]),
    CLICKHOUSE_DATABASE: database.database,
  })
  // Its own merges delete, and are not to take their usual four hours.
  for (const table of ['occurrences', 'hourly', 'hourly_users']) {
    await database.clickhouse.command(
      `ALTER TABLE ${table} MODIFY SETTING merge_with_ttl_timeout = 0`,
    )
  }
})
afterAll(async () => {
  await site.close()
  await database.drop()
  await rm(keysDir, { recursive: true })
})

const admin = async (method: string, path: string, body: object) => {
  const headers = { 'Content-Type': 'application/json', 'X-API-Key': ADMIN_KEY }
  const answer = await site.call(`/api/v1/admin/${path}`, {
    ...{ method, headers },
    body: JSON.stringify(body),
  })
  expect(answer.status, answer.text).toBeLessThan(300)
}

/** What the tables were told to keep, of apps with a retention of their own. */
async function kept(): Promise<Record<string, number>> {
  const rows = await database.clickhouse.query(
    `SELECT comment FROM system.tables WHERE database = {name: String} AND name = 'occurrences'`,
    { name: database.database },
  )
  const [{ comment } = { comment: '{}' }] = z.array(z.object({ comment: z.string() })).parse(rows)
  const pairs = z.object({ apps: z.array(z.tuple([z.string(), z.number()])) })
  return Object.fromEntries(pairs.parse(JSON.parse(comment)).apps)
}

const store = (app: string, days: number) =>
  database.clickhouse.command(
    `INSERT INTO occurrences (id, app_id, timestamp, user_id, stack_trace)
    SELECT generateUUIDv4(), {app: String}, now64(3) - toIntervalDay({days: UInt32}), 'u', randomString(1000)
    FROM numbers({rows: UInt32})`,
    { app, days, rows: ROWS },
  )
const Counts = z.array(
  z.object({ app: z.string(), days: z.coerce.number(), rows: z.coerce.number() }),
)
/** Rows as `app days`, which are counted. */
async function left(table: string, column: string): Promise<readonly string[]> {
  const rows = await database.clickhouse.query(
    `SELECT app_id AS app, dateDiff('day', ${column}, now()) AS days, count() AS rows
    FROM ${table} GROUP BY app, days ORDER BY app, days`,
    {},
  )
  return Counts.parse(rows).map(({ app, days }) => `${app} ${days}`)
}
async function bytes(): Promise<number> {
  const rows = await database.clickhouse.query(
    `SELECT sum(bytes_on_disk) AS bytes FROM system.parts
    WHERE active AND database = {name: String} AND table = 'occurrences'`,
    { name: database.database },
  )
  return z.array(z.object({ bytes: z.coerce.number() })).parse(rows)[0]?.bytes ?? 0
}
const soon = { timeout: 60_000, interval: 200 }

test('each app keeps its events as long as it says, wherever it is declared, and the rest frees its disk', async () => {
  await admin('POST', 'apps', { id: 'store-long', name: 'x', retentionDays: 300 })
  await admin('POST', 'apps', { id: 'store-short', name: 'x', retentionDays: 30 })
  await admin('POST', 'apps', { id: 'store-none', name: 'x' })
  await expect.poll(kept, soon).toEqual({
    'file-long': 400,
    'file-short': 10,
    'set-long': 200,
    'store-long': 300,
    'store-short': 30,
  })
  expect(await site.metric('error_ingestor_retention_due_apps')).toBe(0)

  await database.clickhouse.command('SYSTEM STOP TTL MERGES occurrences')
  for (const [app, days] of [
    ...[['file-long', 395] as const, ['file-long', 405] as const],
    ...[['file-short', 8] as const, ['file-short', 20] as const],
    ...[['file-none', 85] as const, ['file-none', 95] as const],
    ...[['set-long', 195] as const, ['set-long', 205] as const],
    ...[['store-long', 295] as const, ['store-long', 305] as const],
    ...[['store-short', 20] as const, ['store-short', 40] as const],
    ...[['store-none', 85] as const, ['store-none', 95] as const],
  ]) {
    await store(app, days)
  }
  const before = await bytes()
  expect(before).toBeGreaterThan(14 * ROWS * 1_000)
  await database.clickhouse.command('SYSTEM START TTL MERGES occurrences')
  const expected = [
    ...['file-long 395', 'file-none 85', 'file-short 8', 'set-long 195'],
    ...['store-long 295', 'store-none 85', 'store-short 20'],
  ]
  await expect.poll(() => left('occurrences', 'timestamp'), soon).toEqual(expected)
  await expect.poll(() => left('hourly', 'hour'), soon).toEqual(expected)
  await expect.poll(() => left('hourly_users', 'hour'), soon).toEqual(expected)
  // Half of the rows are gone, and with them half of the bytes.
  await expect.poll(bytes, soon).toBeLessThan(before * 0.6)

  // A change is applied to what is stored.
  await admin('PATCH', 'apps/store-long', { retentionDays: 100 })
  await admin('PATCH', 'apps/store-short', { retentionDays: null })
  await apps([{ id: 'file-long', retentionDays: 500 }, { id: 'file-none' }])
  await expect
    .poll(kept, soon)
    // That of an app which is declared no more stays as it was promised.
    .toEqual({ 'file-long': 500, 'file-short': 10, 'set-long': 200, 'store-long': 100 })
  for (const [app, days] of [
    ['store-short', 80],
    ['file-long', 450],
  ] as const)
    await store(app, days)
  await expect
    .poll(() => left('occurrences', 'timestamp'), soon)
    .toEqual([
      ...['file-long 395', 'file-long 450', 'file-none 85', 'file-short 8', 'set-long 195'],
      ...['store-none 85', 'store-short 20', 'store-short 80'],
    ])

  // A migration that knows none of these apps takes nothing from them.
  const { clickhouse, database: name } = database
  await migrate(clickhouse, { database: name, retentionDays: 60, say: () => undefined })
  expect(await kept()).toEqual({
    'file-long': 500,
    'file-short': 10,
    'set-long': 200,
    'store-long': 100,
  })
  await expect
    .poll(() => left('occurrences', 'timestamp'), soon)
    .toEqual(['file-long 395', 'file-long 450', 'file-short 8', 'set-long 195', 'store-short 20'])
}, 240_000)

import { afterEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import type { ClickHouse } from '../../src/store/clickhouse.ts'
import {
  appliedVersion,
  migrate,
  plan,
  retentionDue,
  SCHEMA_VERSION,
  take,
} from '../../src/store/migrate.ts'
import { tellRetentions, toldRetentions } from '../../src/store/retention.ts'
import { blockTarget, ROW_FORMATS } from '../../src/store/rows.ts'
import { createDatabase } from '../support/database.ts'
import type { TestDatabase } from '../support/database.ts'

const open: TestDatabase[] = []
async function emptyDatabase(): Promise<TestDatabase> {
  const made = await createDatabase({ schema: false })
  open.push(made)
  return made
}
afterEach(async () => {
  for (const made of open.splice(0)) await made.drop()
})

const options = (database: string, retentionDays = 90) => ({
  database,
  retentionDays,
  say: () => undefined,
})

const tablesOf = ({ clickhouse, database }: TestDatabase): Promise<readonly unknown[]> =>
  clickhouse.query(
    `SELECT name, replaceAll(create_table_query, {database: String}, 'db') AS made
    FROM system.tables WHERE database = {database: String} ORDER BY name`,
    { database },
  )

async function referenceTables(): Promise<readonly unknown[]> {
  const reference = await emptyDatabase()
  await migrate(reference.clickhouse, options(reference.database))
  return tablesOf(reference)
}

/** What is older than its retention is gone: first the new one reaches the old parts, beside us, then they merge. */
async function aged({ clickhouse, database }: TestDatabase, table: string): Promise<void> {
  const waiting = `SELECT toString(count()) AS count FROM system.mutations
    WHERE database = {database: String} AND table = {table: String} AND NOT is_done`
  const done = [{ count: '0' }]
  const mutations = () => clickhouse.query(waiting, { database, table })
  await expect.poll(mutations, { timeout: 30_000 }).toEqual(done)
  await clickhouse.command(`OPTIMIZE TABLE ${table} FINAL SETTINGS optimize_throw_if_noop = 1`)
}

/** Rejects after so many statements, as a kill would; `node/migrate-kill.test.ts` kills real processes. */
function killedAfter(clickhouse: ClickHouse, count: number): ClickHouse {
  let done = 0
  return {
    ...clickhouse,
    async command(sql, params, run) {
      if (done === count) throw new Error('killed')
      await clickhouse.command(sql, params, run)
      done += 1
    },
  }
}

describe('migrate', () => {
  test('an empty server gets the whole schema, a second run changes nothing', async () => {
    const made = await emptyDatabase()
    expect(await appliedVersion(made.clickhouse, made.database)).toBe(0)
    const first = await migrate(made.clickhouse, options(made.database))
    expect(first).toEqual({ from: 0, to: SCHEMA_VERSION })
    const before = await tablesOf(made)
    expect((await plan(made.clickhouse, options(made.database))).steps).toEqual([])
    const second = await migrate(made.clickhouse, options(made.database))
    expect(second).toEqual({ from: SCHEMA_VERSION, to: SCHEMA_VERSION })
    expect(await tablesOf(made)).toEqual(before)
  })

  test('each step is said once, and a plan says the same without doing it', async () => {
    const { clickhouse, database } = await emptyDatabase()
    const { from, steps } = await plan(clickhouse, options(database))
    expect(from).toBe(0)
    expect(await appliedVersion(clickhouse, database)).toBe(0)
    const said: string[] = []
    await migrate(clickhouse, {
      ...options(database),
      say: (sentence) => said.push(sentence),
    })
    expect(said).toEqual(steps.map(({ title }) => title))
    expect(said.join(' ')).toMatch(/database test_.*version 1: occurrences.*90 days/)
  })

  test('runs that start at once all succeed and leave the schema of one', async () => {
    const expected = await referenceTables()
    for (let round = 0; round < 5; round++) {
      const made = await emptyDatabase()
      const run = () => migrate(made.clickhouse, options(made.database))
      await Promise.all([run(), run(), run()])
      expect(await tablesOf(made)).toEqual(expected)
      expect(await appliedVersion(made.clickhouse, made.database)).toBe(SCHEMA_VERSION)
    }
  })

  test('a run killed before or after any statement is completed by the next', async () => {
    const expected = await referenceTables()
    const { clickhouse, database } = await emptyDatabase()
    const { steps } = await plan(clickhouse, options(database))
    const count = steps.flatMap(({ statements }) => statements).length
    expect(count).toBeGreaterThan(5)
    for (let index = 0; index < count; index++) {
      const made = await emptyDatabase()
      const dying = killedAfter(made.clickhouse, index)
      await expect(migrate(dying, options(made.database))).rejects.toThrow('killed')
      await migrate(made.clickhouse, options(made.database))
      expect(await tablesOf(made)).toEqual(expected)
      expect((await plan(made.clickhouse, options(made.database))).steps).toEqual([])
      await made.drop()
      open.pop()
    }
  }, 400_000)

  test('a schema newer than this version is left alone', async () => {
    const made = await emptyDatabase()
    await migrate(made.clickhouse, options(made.database))
    await made.clickhouse.command(
      `INSERT INTO schema_migrations (version, name) VALUES (999, 'from the future')`,
    )
    const before = await tablesOf(made)
    const result = await migrate(made.clickhouse, options(made.database, 7))
    expect(result).toEqual({ from: 999, to: 999 })
    expect(await tablesOf(made)).toEqual(before)
  })

  test('a changed retention is applied, and deletes what is older', async () => {
    const made = await emptyDatabase()
    const { clickhouse, database } = made
    await migrate(clickhouse, options(database, 36_500))
    await clickhouse.command(
      `INSERT INTO occurrences (id, app_id, timestamp) VALUES
      (generateUUIDv4(), 'old', now64(3) - INTERVAL 40 DAY), (generateUUIDv4(), 'new', now64(3))`,
    )
    const apps = () => clickhouse.query('SELECT app_id FROM occurrences ORDER BY app_id', {})
    await clickhouse.command('OPTIMIZE TABLE occurrences FINAL')
    expect(await apps()).toEqual([{ app_id: 'new' }, { app_id: 'old' }])
    await migrate(clickhouse, options(database, 30))
    await aged(made, 'occurrences')
    await expect.poll(apps).toEqual([{ app_id: 'new' }])
    expect((await plan(clickhouse, options(database, 30))).steps).toEqual([])
  })

  test('an app with a retention of its own keeps its events as long, and disk is freed', async () => {
    const made = await emptyDatabase()
    const { clickhouse, database } = made
    const evil = `it's \\ 30`
    const own = { ...options(database), retentionDaysOfApps: { [evil]: 30, long: 400 } }
    await migrate(clickhouse, options(database, 36_500))
    for (const [app, days] of [
      [evil, 40],
      [evil, 20],
      ['long', 390],
      ['other', 390],
      ['other', 40],
    ] as const) {
      await clickhouse.command(
        `INSERT INTO occurrences (id, app_id, timestamp, stack_trace)
        SELECT generateUUIDv4(), {app: String}, now64(3) - toIntervalDay({days: UInt32}), randomString(1000)
        FROM numbers(500)`,
        { app, days },
      )
    }
    const bytes = async (table: string) => {
      const rows = await clickhouse.query(
        `SELECT sum(bytes_on_disk) AS bytes FROM system.parts
        WHERE active AND database = {database: String} AND table = {table: String}`,
        { database, table },
      )
      return z.array(z.object({ bytes: z.coerce.number() })).parse(rows)[0]?.bytes ?? 0
    }
    const before = await bytes('occurrences')
    await migrate(clickhouse, own)
    expect((await plan(clickhouse, own)).steps).toEqual([])
    for (const table of ['occurrences', 'hourly', 'hourly_users']) {
      await aged(made, table)
    }
    const kept = (table: string) =>
      clickhouse.query(
        `SELECT app_id, count() > 0 AS is FROM ${table} GROUP BY app_id ORDER BY app_id`,
        {},
      )
    const expected = [evil, 'long', 'other'].map((app_id) => ({ app_id, is: 1 }))
    await expect.poll(() => kept('occurrences')).toEqual(expected)
    await expect.poll(() => kept('hourly')).toEqual(expected)
    const rows = () => clickhouse.query('SELECT toString(count()) AS count FROM occurrences', {})
    await expect.poll(rows).toEqual([{ count: '1500' }])
    // Two of five are gone, and with them their bytes.
    await expect.poll(() => bytes('occurrences')).toBeLessThan(before * 0.7)
  })

  test('what processes told of their apps counts beside the settings, which win, and are told in turn', async () => {
    const { clickhouse, database } = await emptyDatabase()
    const evil = `it's \\ 30`
    await migrate(clickhouse, options(database))
    const told = new Map([
      ...[['told', 30] as const, ['none', 0] as const, [evil, 20] as const],
      ['both', 40] as const,
    ])
    await tellRetentions(clickhouse, database, told)
    expect(await toldRetentions(clickhouse, database)).toEqual(told)
    expect((await retentionDue(clickhouse, database))?.apps).toBe(3)
    const own = { ...options(database, 60), retentionDaysOfApps: { both: 50, set: 70 } }
    const { steps } = await plan(clickhouse, own)
    expect(steps.map(({ title }) => title)).toEqual([
      `Keeping events for 60 days, those of both for 50, those of ${evil} for 20, those of set for 70, those of told for 30.`,
    ])
    await migrate(clickhouse, own)
    expect((await plan(clickhouse, own)).steps).toEqual([])
    expect(await retentionDue(clickhouse, database)).toBeUndefined()
    expect(await toldRetentions(clickhouse, database)).toEqual(
      new Map([...told, ['both', 50], ['set', 70]]),
    )
    // What is told later replaces what was told, also by a setting.
    await tellRetentions(clickhouse, database, new Map([['set', 0]]))
    const due = await retentionDue(clickhouse, database)
    expect(due?.apps).toBe(1)
    if (due !== undefined) await take(clickhouse, due, database)
    expect(await retentionDue(clickhouse, database)).toBeUndefined()
    const [{ ttl } = { ttl: '' }] = z
      .array(z.object({ ttl: z.string() }))
      .parse(
        await clickhouse.query(
          `SELECT create_table_query AS ttl FROM system.tables WHERE database = {database: String} AND name = 'hourly'`,
          { database },
        ),
      )
    expect(ttl).toContain('[50, 20, 30], 60)')
  })

  test('a schema that is not made yet has no retention to be kept', async () => {
    const { clickhouse, database } = await emptyDatabase()
    await clickhouse.command('CREATE DATABASE {database: Identifier}', { database })
    expect(await retentionDue(clickhouse, database)).toBeUndefined()
  })

  test('an unreachable server is an error, not an empty schema', async () => {
    const away: ClickHouse = {
      insert: () => Promise.reject(new Error('away')),
      query: () => Promise.reject(new Error('away')),
      command: () => Promise.reject(new Error('away')),
      ping: () => Promise.resolve(false),
    }
    await expect(appliedVersion(away, 'any')).rejects.toThrow('away')
  })

  test('every column of every row format is in the table with its type', async () => {
    const made = await emptyDatabase()
    await migrate(made.clickhouse, options(made.database))
    const rows = await made.clickhouse.query(
      `SELECT name, replaceAll(type, 'Array(LowCardinality(String))', 'Array(String)') AS type
      FROM system.columns WHERE database = {database: String} AND table = {table: String}`,
      { database: made.database, table: blockTarget(1).table },
    )
    for (const column of Object.values(ROW_FORMATS).flat()) {
      expect(rows).toContainEqual(column)
    }
  })
})

import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Occurrence } from '../../src/occurrence.ts'
import { recordDoubles } from '../../src/store/known.ts'
import { migrate } from '../../src/store/migrate.ts'
import { createStore } from '../../src/store/queries.ts'
import { splitHours } from '../../src/store/rollups.ts'
import { blockTarget, encodeRows } from '../../src/store/rows.ts'
import type { Store, TimeRange } from '../../src/store/store.ts'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { anOccurrence } from '../support/occurrence.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR
const base = Math.floor(Date.now() / DAY) * DAY - 5 * DAY

let db: TestDatabase
let store: Store
let appId: string
beforeAll(async () => {
  db = await createDatabase()
  store = createStore(db)
})
afterAll(() => db.drop())
beforeEach(() => {
  appId = `app-${crypto.randomUUID()}`
})

const one = (atMs: number, given: Partial<Occurrence> = {}): Occurrence =>
  anOccurrence({ appId, timestampMs: atMs, receivedAtMs: atMs + 5, ...given })

/** The issue is a function of the message, as the real one is of the stack. */
const issueOf = ({ message }: Occurrence) => `v1:${message}`

async function insert(rows: readonly Occurrence[]): Promise<void> {
  const months = Map.groupBy(rows, ({ timestampMs }) =>
    new Date(timestampMs).toISOString().slice(0, 7),
  )
  for (const part of months.values()) {
    const { bytes, format } = encodeRows(part, (occurrence) => ({
      fingerprint: issueOf(occurrence),
      secondary: '',
      basis: 'message',
      components: [],
    }))
    const settings = { insert_deduplication_token: crypto.randomUUID() }
    await db.clickhouse.insert({ ...blockTarget(format), body: [bytes], settings })
  }
}

/** What the answers must be, by counting one by one. */
function counted(rows: readonly Occurrence[], { startMs, endMs }: TimeRange) {
  const first = new Map<string, Occurrence>()
  for (const row of rows.toSorted((a, b) => a.receivedAtMs - b.receivedAtMs)) {
    if (!first.has(row.id)) first.set(row.id, row)
  }
  const events = [...first.values()].filter(
    ({ timestampMs }) => timestampMs >= startMs && timestampMs <= endMs,
  )
  const trend = (sizeMs: number) =>
    [...Map.groupBy(events, ({ timestampMs }) => Math.floor(timestampMs / sizeMs) * sizeMs)]
      .toSorted(([a], [b]) => a - b)
      .map(([atMs, inside]) => ({
        time: new Date(atMs).toISOString(),
        count: inside.length,
        uniqueCodes: new Set(inside.map(({ code }) => code)).size,
        affectedUsers: new Set(inside.flatMap(({ userId }) => userId ?? [])).size,
      }))
  const codes = [...Map.groupBy(events, ({ code }) => code)]
    .map(([code, inside]) => ({ code, count: inside.length }))
    .toSorted((a, b) => b.count - a.count || (a.code < b.code ? -1 : 1))
  const issues = [...Map.groupBy(events, issueOf)].map(([issue, inside]) => ({
    issue,
    count: inside.length,
    firstSeen: new Date(Math.min(...inside.map(({ timestampMs }) => timestampMs))).toISOString(),
    lastSeen: new Date(Math.max(...inside.map(({ timestampMs }) => timestampMs))).toISOString(),
  }))
  return { hours: trend(HOUR), days: trend(DAY), codes, issues }
}

async function answered(range: TimeRange) {
  const issues = await store.issues(appId, range, 1_000)
  return {
    hours: await store.trends({ appId, range }, 'hour'),
    days: await store.trends({ appId, range }, 'day'),
    codes: await store.codes(appId, range),
    issues: issues.map(({ issue, count, firstSeen, lastSeen }) => ({
      issue,
      count,
      firstSeen,
      lastSeen,
    })),
  }
}

const byIssue = <T extends { readonly issues: readonly { readonly issue: string }[] }>(all: T) => ({
  ...all,
  issues: all.issues.toSorted((a, b) => (a.issue < b.issue ? -1 : 1)),
})

async function expectExact(rows: readonly Occurrence[], range: TimeRange): Promise<void> {
  expect(byIssue(await answered(range))).toEqual(byIssue(counted(rows, range)))
}

/** Makes what is counted by hours differ from the events, by one event of a code of its own. */
const falsify = (hourMs: number) =>
  db.clickhouse.command(
    `INSERT INTO hourly (app_id, hour, code, fingerprint, events, first_at, last_at)
    SELECT {appId: String}, toDateTime({hour: UInt32}, 'UTC'), 'false', 'v1:false', 1,
      fromUnixTimestamp64Milli({ms: Int64}), fromUnixTimestamp64Milli({ms: Int64})`,
    { appId, hour: hourMs / 1_000, ms: hourMs },
  )
const isFalse = async (range: TimeRange) =>
  (await store.codes(appId, range)).some(({ code }) => code === 'false')

describe('counts by hours', () => {
  test('whatever is stored, resent and asked, they are what counting one by one gives', async () => {
    const event = fc.record({
      at: fc.integer({ min: 0, max: 60 * HOUR }),
      code: fc.constantFrom('a', 'b', 'c'),
      user: fc.constantFrom('u', 'v', 'w', null),
      message: fc.constantFrom('x', 'y'),
    })
    const range = fc.tuple(
      fc.integer({ min: -HOUR, max: 62 * HOUR }),
      fc.integer({ min: -HOUR, max: 62 * HOUR }),
    )
    const run = fc.record({
      events: fc.array(event, { minLength: 1, maxLength: 40 }),
      // Which event comes again, in another block, as what.
      again: fc.array(fc.tuple(fc.nat({ max: 39 }), event), { maxLength: 4 }),
      ranges: fc.array(range, { minLength: 1, maxLength: 3 }),
    })
    const occurrenceOf = (
      {
        at,
        code,
        user,
        message,
      }: { at: number; code: string; user: string | null; message: string },
      receivedAtMs: number,
      id?: string,
    ) => one(base + at, { code, userId: user, message, receivedAtMs, ...(id && { id }) })
    await fc.assert(
      fc.asyncProperty(run, async ({ events, again, ranges }) => {
        appId = `app-${crypto.randomUUID()}`
        const rows = events.map((given, i) => occurrenceOf(given, base + i))
        await insert(rows)
        for (const [i, [which, given]] of again.entries()) {
          const resent = occurrenceOf(given, base + 100 + i, rows[which % rows.length]?.id)
          rows.push(resent)
          await insert([resent])
        }
        for (const [a, b] of [...ranges, [-HOUR, 62 * HOUR] as const]) {
          const asked = { startMs: base + Math.min(a, b), endMs: base + Math.max(a, b) }
          await expectExact(rows, asked)
        }
      }),
      { numRuns: 12 },
    )
  }, 120_000)

  test('whole hours are answered from them, the ends of the range and touched hours from the events', async () => {
    const rows = [0, 1, 2, 3].map((hour) => one(base + hour * HOUR + 30 * 60_000))
    await insert(rows)
    for (const hour of [0, 1, 2, 3]) await falsify(base + hour * HOUR)
    const hour = (n: number) => ({ startMs: base + n * HOUR, endMs: base + (n + 1) * HOUR - 1 })
    expect(await isFalse(hour(1))).toBe(true)
    expect(await isFalse({ startMs: base + 1, endMs: base + HOUR - 1 })).toBe(false)
    expect(await isFalse({ startMs: base, endMs: base + HOUR - 2 })).toBe(false)
    await db.clickhouse.command(
      `INSERT INTO touched VALUES ({appId: String}, toDateTime({hour: UInt32}, 'UTC'))`,
      { appId, hour: base / 1_000 + 3_600 },
    )
    expect(await isFalse(hour(1))).toBe(false)
    await expectExact(rows, hour(1))
    expect(await isFalse(hour(2))).toBe(true)
  })

  test('an hour with a row of a double is answered from the events, in every hour that the id has', async () => {
    const first = one(base + 10, { code: 'a' })
    const again = {
      ...first,
      timestampMs: base + 2 * HOUR,
      receivedAtMs: base + 3 * HOUR,
      code: 'b',
    }
    const other = one(base + HOUR)
    await insert([first, other])
    for (const hour of [0, 1, 2]) await falsify(base + hour * HOUR)
    await insert([again])
    const hour = (n: number) => ({ startMs: base + n * HOUR, endMs: base + (n + 1) * HOUR - 1 })
    expect([await isFalse(hour(0)), await isFalse(hour(1)), await isFalse(hour(2))]).toEqual([
      false,
      true,
      false,
    ])
    await recordDoubles(db.clickhouse, db.database, [first])
    expect(await isFalse(hour(2))).toBe(false)
    await expectExact([first, again, other], { startMs: base, endMs: base + HOUR - 1 })
  })

  test('the same block sent twice is counted once', async () => {
    const rows = [one(base), one(base + HOUR)]
    const { bytes, format } = encodeRows(rows, () => ({
      fingerprint: issueOf(one(base)),
      secondary: '',
      basis: 'message',
      components: [],
    }))
    const settings = { insert_deduplication_token: crypto.randomUUID() }
    const send = () => db.clickhouse.insert({ ...blockTarget(format), body: [bytes], settings })
    for (let time = 0; time < 3; time += 1) await send()
    await expectExact(rows, { startMs: base, endMs: base + DAY - 1 })
  })

  test('events that are older than what is kept are in no answer', async () => {
    const rows = [one(base), one(base + HOUR), one(base + 2 * HOUR)]
    await insert(rows)
    const keeping = createStore({ ...db, oldestMs: () => base + HOUR })
    const range = { startMs: base - DAY, endMs: base + DAY }
    const filter = { appId, range }
    expect((await keeping.events(filter, { offset: 0, limit: 9 })).events).toHaveLength(2)
    expect(await keeping.trends(filter, 'day')).toMatchObject([{ count: 2 }])
    expect(await keeping.codes(appId, undefined)).toMatchObject([{ count: 2 }])
    expect(await keeping.issues(appId, range, 9)).toMatchObject([{ count: 2 }])
    expect(await keeping.event(appId, rows[0]?.id ?? '')).toBeUndefined()
    expect(await keeping.event(appId, rows[1]?.id ?? '')).toBeDefined()
  })
})

describe('a block that is sent again', () => {
  test('is kept out by a window of tokens of the table and of every table that a view fills', async () => {
    const rows = await db.clickhouse.query(
      `SELECT name FROM system.tables
      WHERE database = {database: String} AND engine_full NOT LIKE '%deduplication_window = 10000%'
        AND name IN (
          SELECT extract(create_table_query, ' TO [^.]+\\\\.(\\\\w+)') FROM system.tables
          WHERE database = {database: String} AND engine = 'MaterializedView'
            AND create_table_query NOT LIKE '% REFRESH %'
          UNION ALL SELECT 'occurrences')`,
      { database: db.database },
    )
    expect(rows).toEqual([])
  })

  test.each(['hourly', 'hourly_users'])(
    'would fill %s twice without that window',
    async (table) => {
      const own = await createDatabase()
      try {
        const { bytes, format } = encodeRows([one(base, { userId: 'u' })], () => ({
          fingerprint: 'v1:x',
          secondary: '',
          basis: 'message',
          components: [],
        }))
        const settings = { insert_deduplication_token: 'the same' }
        const send = () =>
          own.clickhouse.insert({ ...blockTarget(format), body: [bytes], settings })
        const stored = async () =>
          own.clickhouse.query(`SELECT toString(count()) AS count FROM ${table}`, {})
        await own.clickhouse.command(`SYSTEM STOP MERGES ${table}`)
        await send()
        await send()
        expect(await stored()).toEqual([{ count: '1' }])
        await own.clickhouse.command(
          `ALTER TABLE ${table} MODIFY SETTING non_replicated_deduplication_window = 0`,
        )
        await send()
        expect(await stored()).toEqual([{ count: '2' }])
      } finally {
        await own.drop()
      }
    },
  )
})

test('events stored before there were counts by hours are counted after the migration', async () => {
  const old = await createDatabase()
  try {
    for (const name of ['hourly', 'hourly_users']) {
      await old.clickhouse.command(`DROP TABLE ${name}_view`)
      await old.clickhouse.command(`DROP TABLE ${name}`)
    }
    await old.clickhouse.command('DROP TABLE touched')
    await old.clickhouse.command('DELETE FROM schema_migrations WHERE version > 2')
    const rows = [one(base), one(base + HOUR + 1)]
    const { bytes, format } = encodeRows(rows, () => ({
      fingerprint: 'v1:old',
      secondary: '',
      basis: 'message',
      components: [],
    }))
    const send = () =>
      old.clickhouse.insert({
        ...blockTarget(format),
        body: [bytes],
        settings: { insert_deduplicate: 0 },
      })
    await send()
    await migrate(old.clickhouse, {
      database: old.database,
      retentionDays: 90,
      say: () => undefined,
    })
    const trends = () =>
      createStore(old).trends({ appId, range: { startMs: base, endMs: base + DAY - 1 } }, 'hour')
    expect(await trends()).toMatchObject([{ count: 1 }, { count: 1 }])
  } finally {
    await old.drop()
  }
})

describe('a range is split', () => {
  const at = (...hours: number[]) => hours.map((hour) => hour * HOUR)

  test('into whole hours and its ends', () => {
    expect(splitHours({ startMs: 5, endMs: 3 * HOUR + 7 }, [])).toEqual({
      pieces: [
        { startMs: 5, endMs: HOUR - 1 },
        { startMs: 3 * HOUR, endMs: 3 * HOUR + 7 },
      ],
      hours: { startMs: HOUR, endMs: 3 * HOUR - 1 },
    })
    expect(splitHours({ startMs: HOUR, endMs: 2 * HOUR - 1 }, [])).toEqual({
      pieces: [],
      hours: { startMs: HOUR, endMs: 2 * HOUR - 1 },
    })
    const short = { startMs: HOUR + 1, endMs: 2 * HOUR + 5 }
    expect(splitHours(short, [])).toEqual({ pieces: [short], hours: undefined })
  })

  test('around untrusted hours, which join their neighbours', () => {
    const range = { startMs: 0, endMs: 10 * HOUR - 1 }
    expect(splitHours(range, at(5, 4, 8, 4, 99)).pieces).toEqual([
      { startMs: 4 * HOUR, endMs: 6 * HOUR - 1 },
      { startMs: 8 * HOUR, endMs: 9 * HOUR - 1 },
    ])
  })

  test('not at all where it would fall into more than 64 pieces', () => {
    const range = { startMs: 0, endMs: 1_000 * HOUR - 1 }
    const every2nd = (count: number) => at(...Array.from({ length: count }, (_, i) => 2 * i))
    expect(splitHours(range, every2nd(64)).pieces).toHaveLength(64)
    expect(splitHours(range, every2nd(65))).toEqual({ pieces: [range], hours: undefined })
  })
})

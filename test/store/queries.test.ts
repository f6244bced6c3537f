import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Grouping, Occurrence } from '../../src/occurrence.ts'
import { knownIds, recordDoubles, storedIds } from '../../src/store/known.ts'
import { createStore } from '../../src/store/queries.ts'
import { blockTarget, encodeRows, rowsToObjects } from '../../src/store/rows.ts'
import { SCHEMA_VERSION } from '../../src/store/migrate.ts'
import type { Store } from '../../src/store/store.ts'
import { createDatabase } from '../support/database.ts'
import type { TestDatabase } from '../support/database.ts'
import { anOccurrence } from '../support/occurrence.ts'

const grouping: Grouping = {
  fingerprint: `v1:${'0'.repeat(32)}`,
  secondary: `v1:${'1'.repeat(32)}`,
  basis: 'stack',
  components: ['app.js#fetchUser'],
}
const HOUR = 3_600_000
const base = Math.floor(Date.now() / HOUR) * HOUR - 48 * HOUR
const wide = { startMs: base - 48 * HOUR, endMs: base + 96 * HOUR }

let made: TestDatabase
let store: Store
let appId: string

beforeAll(async () => {
  made = await createDatabase()
  store = createStore(made)
})
afterAll(() => made.drop())
beforeEach(() => {
  appId = `app-${crypto.randomUUID()}`
})

function bodyOf(occurrences: readonly Occurrence[], group = grouping): Uint8Array[] {
  return [encodeRows(occurrences, () => group).bytes]
}

async function insert(occurrences: readonly Occurrence[], group = grouping): Promise<void> {
  const months = Map.groupBy(occurrences, ({ timestampMs }) =>
    new Date(timestampMs).toISOString().slice(0, 7),
  )
  for (const rows of months.values()) {
    const settings = { insert_deduplication_token: crypto.randomUUID() }
    await made.clickhouse.insert({ ...blockTarget(1), body: bodyOf(rows, group), settings })
  }
}

const one = (given: Partial<Occurrence> = {}): Occurrence =>
  anOccurrence({ appId, timestampMs: base, receivedAtMs: base + 5, ...given })

const ids = (events: readonly { readonly id: string }[]): string[] => events.map(({ id }) => id)

describe('events', () => {
  test('all fields of an event come back as they went in', async () => {
    const message = `NUL \0, emoji \u{1f600}, quotes '"\`, back\\slash, \u2028 and \ufeff`
    const tags: Record<string, string> = Object.fromEntries([
      ['__proto__', 'kept'],
      ["it's", message],
    ])
    const frame = { functionName: 'f', fileName: null, lineNumber: 1, columnNumber: null }
    const occurrence = one({
      message,
      tags,
      metadata: {
        nested: { list: [1, 'two', null, true, 1.5] },
        big: 12345678901234,
        text: message,
      },
      parsedStack: {
        frames: [{ ...frame, inApp: true, raw: 'at f' }],
        raw: 'other than the trace',
        parser: 'browser',
      },
      originalTimestampMs: Date.UTC(9999, 11, 31),
      userId: null,
      fingerprint: ['{{ default }}', 'mine'],
      breadcrumbs: [{ message }],
      traceId: 'a'.repeat(32),
      spanId: 'b'.repeat(16),
      marks: ['message:cut'],
    })
    await insert([occurrence])
    const found = await store.event(appId, occurrence.id)
    const { timestampMs, receivedAtMs, originalTimestampMs, protocol, ...same } = occurrence
    expect(protocol).toBe('native')
    expect(originalTimestampMs).toBe(Date.UTC(9999, 11, 31))
    expect(found).toStrictEqual({
      ...same,
      timestamp: new Date(timestampMs).toISOString(),
      receivedAt: new Date(receivedAtMs).toISOString(),
      originalTimestamp: '9999-12-31T00:00:00.000Z',
      issue: grouping.fingerprint,
    })
    expect((await store.events({ appId, range: wide }, { offset: 0, limit: 5 })).events).toEqual([
      found,
    ])
  })

  test('rows sent as JSON are stored exactly as rows sent as bytes', async () => {
    const first = one({ originalTimestampMs: 1_001, tags: { a: 'b\0' }, userId: null })
    const second = { ...first, id: crypto.randomUUID() }
    await insert([first])
    const { table, columns } = blockTarget(1)
    const rows = rowsToObjects(columns, bodyOf([second]))
    const lines = rows.map((row) => JSON.stringify(row)).join('\n')
    const sql = `INSERT INTO ${made.database}.${table} FORMAT JSONEachRow`
    const url = `${made.url}/?query=${encodeURIComponent(sql)}`
    expect((await fetch(url, { method: 'POST', body: lines })).status).toBe(200)
    const { id, ...found } = (await store.event(appId, second.id)) ?? { id: '' }
    expect(id).toBe(second.id)
    expect({ ...found, id: first.id }).toEqual(await store.event(appId, first.id))
  })

  test('an event of another app, an unknown id and nonsense are not found', async () => {
    const occurrence = one()
    await insert([occurrence])
    expect(await store.event(`${appId}x`, occurrence.id)).toBeUndefined()
    expect(await store.event(appId, crypto.randomUUID())).toBeUndefined()
    expect(await store.event(appId, `' OR 1=1 --`)).toBeUndefined()
    expect(await store.event(appId, occurrence.id.toUpperCase())).toBeDefined()
  })

  test('pages are newest first, ties by id, and meet without a gap or a repetition', async () => {
    const all = Array.from({ length: 23 }, (_, i) => one({ timestampMs: base + (i >> 2) }))
    await insert(all)
    const expected = ids(
      all.toSorted((a, b) => b.timestampMs - a.timestampMs || (a.id < b.id ? 1 : -1)),
    )
    const filter = { appId, range: wide }
    for (const limit of [1, 4, 22, 23, 24]) {
      const byOffset: string[] = []
      const byCursor: string[] = []
      let after: { timestampMs: number; id: string } | undefined
      for (let offset = 0; offset < 23; offset += limit) {
        const numbered = await store.events(filter, { offset, limit })
        byOffset.push(...ids(numbered.events))
        expect(numbered.hasMore).toBe(offset + limit < 23)
        const next = await store.events(filter, { after, limit })
        byCursor.push(...ids(next.events))
        expect(next.hasMore).toBe(offset + limit < 23)
        const last = next.events.at(-1)
        after = last && { timestampMs: Date.parse(last.timestamp), id: last.id }
      }
      expect(byOffset).toEqual(expected)
      expect(byCursor).toEqual(expected)
    }
    expect(await store.events(filter, { offset: 23, limit: 1 })).toEqual({
      events: [],
      hasMore: false,
    })
  })

  test('each filter keeps what matches and drops what does not', async () => {
    const plain = one()
    const other = one({
      code: 'auth/denied',
      userId: 'user-2',
      platform: 'ios',
      appVersion: '2.0.0',
      environment: 'staging',
      level: 'fatal',
      message: 'Größe 100% _x_ übergelaufen',
    })
    await insert([plain])
    await insert([other], { ...grouping, fingerprint: 'v1:other' })
    const find = async (filter: object) =>
      ids((await store.events({ appId, range: wide, ...filter }, { offset: 0, limit: 9 })).events)
    for (const filter of [
      { code: 'auth/denied' },
      { userId: 'user-2' },
      { platform: 'ios' },
      { appVersion: '2.0.0' },
      { environment: 'staging' },
      { level: 'fatal' },
      { issue: 'v1:other' },
      { q: 'GRÖSSE'.replace('SS', 'ß') },
      { q: '100% _x_' },
      { q: 'AUTH/' },
    ]) {
      expect(await find(filter), JSON.stringify(filter)).toEqual([other.id])
    }
    expect(await find({ q: '100%x' })).toEqual([])
    expect(await find({ code: 'auth' })).toEqual([])
    expect(await find({ code: 'auth/denied', userId: 'user-1' })).toEqual([])
    expect(await find({})).toHaveLength(2)
    expect(await find({ q: '' })).toHaveLength(2)
  })

  test('SQL in any filter is only text', async () => {
    await insert([one()])
    const evil = [`'; DROP TABLE occurrences; --`, `{appId: String}`, `\\' OR 1=1`, '\0', '%', "')"]
    for (const text of evil) {
      const filters = ['code', 'userId', 'platform', 'appVersion', 'environment', 'level', 'issue']
      for (const name of [...filters, 'q', 'appId']) {
        const filter = { appId, range: wide, [name]: text }
        expect((await store.events(filter, { offset: 0, limit: 9 })).events, name).toEqual([])
        expect(await store.trends(filter, 'hour')).toEqual([])
      }
      expect(await store.codes(text, undefined)).toEqual([])
    }
    expect(
      (await store.events({ appId, range: wide }, { offset: 0, limit: 9 })).events,
    ).toHaveLength(1)
  })

  test('both ends of a range belong to it, and years 0 to 9999 are taken', async () => {
    await insert([one({ timestampMs: base }), one({ timestampMs: base + 1 })])
    const count = async (startMs: number, endMs: number) => {
      const page = await store.events({ appId, range: { startMs, endMs } }, { offset: 0, limit: 9 })
      return page.events.length
    }
    expect(await count(base, base)).toBe(1)
    expect(await count(base, base + 1)).toBe(2)
    expect(await count(base + 1, base + 1)).toBe(1)
    expect(await count(base + 2, base + 9)).toBe(0)
    const [year0, year9999] = [Date.parse('0000-01-01T00:00:00Z'), Date.UTC(9999, 11, 31)]
    expect(await count(year0, year9999)).toBe(2)
    expect(await count(year0, year0 + 1)).toBe(0)
    expect(await count(year9999, year9999)).toBe(0)
  })
})

describe('counts', () => {
  test('trends count events, codes and users per hour and day in UTC, oldest first', async () => {
    const day = Math.floor(base / 86_400_000) * 86_400_000
    await insert([
      one({ timestampMs: day, code: 'a', userId: 'u' }),
      one({ timestampMs: day + HOUR - 1, code: 'b', userId: null }),
      one({ timestampMs: day + HOUR, code: 'a', userId: 'u' }),
      one({ timestampMs: day + 24 * HOUR, code: 'a', userId: 'v' }),
    ])
    const filter = { appId, range: wide }
    const iso = (ms: number) => new Date(ms).toISOString()
    expect(await store.trends(filter, 'hour')).toEqual([
      { time: iso(day), count: 2, uniqueCodes: 2, affectedUsers: 1 },
      { time: iso(day + HOUR), count: 1, uniqueCodes: 1, affectedUsers: 1 },
      { time: iso(day + 24 * HOUR), count: 1, uniqueCodes: 1, affectedUsers: 1 },
    ])
    expect(await store.trends(filter, 'day')).toEqual([
      { time: iso(day), count: 3, uniqueCodes: 2, affectedUsers: 1 },
      { time: iso(day + 24 * HOUR), count: 1, uniqueCodes: 1, affectedUsers: 1 },
    ])
    expect(await store.trends({ ...filter, code: 'b' }, 'day')).toMatchObject([{ count: 1 }])
    expect(await store.codes(appId, undefined)).toEqual([
      { code: 'a', count: 3 },
      { code: 'b', count: 1 },
    ])
    expect(await store.codes(appId, { startMs: day, endMs: day + HOUR - 1 })).toEqual([
      { code: 'a', count: 1 },
      { code: 'b', count: 1 },
    ])
  })

  test('an id stored twice counts once everywhere, as it was received first', async () => {
    const first = one({ code: 'first', timestampMs: base, receivedAtMs: base + 10 })
    const later = { ...first, code: 'later', timestampMs: base + 3 * HOUR, receivedAtMs: base + 20 }
    const others = [one({ code: 'first' }), one({ code: 'later', timestampMs: base + 3 * HOUR })]
    // The one received first arrives last, and once more as it is.
    await insert([later, ...others])
    await insert([first])
    await insert([first])
    const filter = { appId, range: wide }
    expect(await store.codes(appId, undefined)).toEqual([
      { code: 'first', count: 2 },
      { code: 'later', count: 1 },
    ])
    expect((await store.trends(filter, 'hour')).map(({ count }) => count)).toEqual([2, 1])
    const page = await store.events(filter, { offset: 0, limit: 9 })
    expect(ids(page.events).toSorted()).toEqual(ids([first, ...others]).toSorted())
    expect(page.events.find(({ id }) => id === first.id)?.code).toBe('first')
    expect((await store.event(appId, first.id))?.code).toBe('first')
    expect(await store.events({ ...filter, code: 'later' }, { offset: 0, limit: 1 })).toMatchObject(
      {
        events: [{ id: others[1]?.id }],
        hasMore: false,
      },
    )
    const onlyLater = { startMs: base + 3 * HOUR, endMs: base + 4 * HOUR }
    expect((await store.trends({ appId, range: onlyLater }, 'hour'))[0]?.count).toBe(1)
  })

  test.each(['somebody', null])(
    'of two rows received at the same moment, of %s, every answer takes the same',
    async (userId) => {
      const first = one({ code: 'x', message: 'm1', userId })
      await insert([first])
      await insert([{ ...first, code: 'y', message: 'm2' }])
      const winner = (await store.event(appId, first.id))?.code
      const page = await store.events({ appId, range: wide }, { offset: 0, limit: 9 })
      expect(page.events.map(({ code }) => code)).toEqual([winner])
      expect(await store.codes(appId, undefined)).toEqual([{ code: winner, count: 1 }])
      // Also where they were stored the other way round.
      const other = one({ code: 'y', message: 'm2', userId })
      await insert([other])
      await insert([{ ...other, code: 'x', message: 'm1' }])
      expect((await store.event(appId, other.id))?.code).toBe(winner)
    },
  )

  test('of two rows that differ only in their stacks every answer takes the same', async () => {
    const first = one({ userId: null, stackTrace: 'Error: a' })
    await insert([first])
    await insert([{ ...first, stackTrace: 'Error: b' }])
    const winner = (await store.event(appId, first.id))?.stackTrace
    const page = await store.events({ appId, range: wide, q: 'failed' }, { offset: 0, limit: 9 })
    expect(page.events.map(({ stackTrace }) => stackTrace)).toEqual([winner])
    expect((await store.codes(appId, undefined)).map(({ count }) => count)).toEqual([1])
  })

  test('a double found by hand is counted once when its arrivals are long past', async () => {
    const first = one()
    await insert([first])
    await insert([{ ...first, receivedAtMs: base + 999 }])
    const { clickhouse, database } = made
    await recordDoubles(clickhouse, database, [first, one()])
    const noted = await clickhouse.query(
      'SELECT toString(id) AS id FROM doubles WHERE app_id = {appId: String}',
      { appId },
    )
    expect(new Set(noted.map((row) => JSON.stringify(row)))).toEqual(
      new Set([JSON.stringify({ id: first.id })]),
    )
    await clickhouse.command('DELETE FROM arrivals WHERE app_id = {appId: String}', { appId })
    expect(await store.codes(appId, undefined)).toMatchObject([{ count: 1 }])
  })

  test('the same block sent twice is stored once, in the events and in what is made of them', async () => {
    const body = bodyOf([one(), one()])
    const settings = { insert_deduplication_token: crypto.randomUUID() }
    for (let time = 0; time < 3; time++) {
      await made.clickhouse.insert({ ...blockTarget(1), body, settings })
    }
    for (const table of ['occurrences', 'seen', 'arrivals']) {
      const rows = await made.clickhouse.query(
        `SELECT count() AS count FROM ${table} WHERE app_id = {appId: String}`,
        { appId },
      )
      expect(
        rows.map((row) => JSON.stringify(row).replaceAll('"', '')),
        table,
      ).toEqual(['{count:2}'])
    }
  })
})

describe('known ids', () => {
  test('exactly the stored ids of the app are known, in a block of 20,000', async () => {
    const strange = `${appId}'\\ü`
    const stored = Array.from({ length: 500 }, () => one())
    const elsewhere = one({ appId: strange })
    await insert([...stored, elsewhere])
    const fresh = Array.from({ length: 19_500 }, () => ({ appId, id: crypto.randomUUID() }))
    const { clickhouse, database } = made
    for (const ask of [knownIds, storedIds]) {
      const known = await ask(clickhouse, database, [
        ...fresh,
        ...stored.slice(0, 499),
        { appId: strange, id: stored[0]?.id ?? '' },
        { appId, id: elsewhere.id },
        elsewhere,
      ])
      expect(known.size).toBe(500)
      expect(known.has(`${appId}\0${stored[0]?.id ?? ''}`)).toBe(true)
      expect(known.has(`${strange}\0${elsewhere.id}`)).toBe(true)
      expect(known.has(`${appId}\0${elsewhere.id}`)).toBe(false)
      // A short block goes by the index, a long one does not.
      expect((await ask(clickhouse, database, stored.slice(0, 3))).size).toBe(3)
      expect((await ask(clickhouse, database, fresh.slice(0, 3))).size).toBe(0)
      expect((await ask(clickhouse, database, [])).size).toBe(0)
    }
  })

  test('an id that is no UUID is refused before it reaches ClickHouse', async () => {
    const { clickhouse, database } = made
    const rows = [{ appId, id: `') OR 1=1 --` }]
    await expect(knownIds(clickhouse, database, rows)).rejects.toThrow(RangeError)
    await expect(storedIds(clickhouse, database, rows)).rejects.toThrow(RangeError)
  })
})

describe('source maps', () => {
  test('an upload replaces, the list is exact, a delete takes one version of one app', async () => {
    const { put, list, remove } = store.sourceMaps
    await put(appId, '1', [
      { fileName: 'a.js', sourceMap: '{"v":1}' },
      { fileName: 'a.js', sourceMap: '{"v":2}' },
      { fileName: 'b.js', sourceMap: '{"v":3}' },
    ])
    await put(appId, '1', [{ fileName: 'b.js', sourceMap: '{"v":4}' }])
    await put(appId, '2', [{ fileName: 'a.js', sourceMap: '{"v":5}' }])
    await put(`${appId}x`, '1', [{ fileName: 'a.js', sourceMap: '{"v":6}' }])
    const names = async (version?: string) =>
      (await list(appId, version)).map((entry) => `${entry.appVersion}/${entry.fileName}`)
    expect(await names()).toEqual(['1/a.js', '1/b.js', '2/a.js'])
    expect(await names('1')).toEqual(['1/a.js', '1/b.js'])
    expect(await names('')).toEqual([])
    const created = Date.parse((await list(appId, '1'))[0]?.createdAt ?? '')
    expect(Math.abs(Date.now() - created)).toBeLessThan(60_000)
    const contents = await made.clickhouse.query(
      'SELECT content FROM source_maps FINAL WHERE app_id = {appId: String} ORDER BY content',
      { appId },
    )
    expect(contents).toEqual([
      { content: '{"v":2}' },
      { content: '{"v":4}' },
      { content: '{"v":5}' },
    ])
    await remove(appId, '1')
    expect(await names()).toEqual(['2/a.js'])
    expect(await list(`${appId}x`, undefined)).toHaveLength(1)
    await put(appId, '1', [{ fileName: 'b.js', sourceMap: '{"v":4}' }])
    expect(await names()).toEqual(['1/b.js', '2/a.js'])
  })
})

describe('the store', () => {
  test('says its schema version, and that it is there', async () => {
    expect(await store.schemaVersion()).toBe(SCHEMA_VERSION)
    expect(await store.ping()).toBe(true)
  })

  test('a question that nobody waits for any more is given up', async () => {
    await expect(
      store.events({ appId, range: wide }, { offset: 0, limit: 1 }, AbortSignal.abort()),
    ).rejects.toThrow()
  })
})

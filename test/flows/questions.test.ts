import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { createStore } from '../../src/store/queries.ts'
import type { ClickHouse, RunOptions } from '../../src/store/clickhouse.ts'
import { aSite, anEvent, type Site } from './support.ts'

// What holds for every question that somebody waits for: what it may take, under which name an operator
// sees it, and that it ends when nobody waits any more.

let site: Site
const event = anEvent()
beforeAll(async () => {
  site = await aSite()
  expect((await site.ingest([event])).status).toBe(200)
  expect((await site.call(`/dashboard/api/errors/${event.id}?appId=test-app`)).status).toBe(200)
})
afterAll(() => site.close())

const range = { startMs: 0, endMs: Date.now() + 3_600_000 }
const filter = { appId: 'test-app', range }

test('every statement of every question has its name, and limits of time, memory and rows', async () => {
  const asked: { readonly name: string; readonly options: RunOptions | undefined }[] = []
  const recorded: ClickHouse = {
    ...site.clickhouse,
    query: (sql, params, options) => {
      asked.push({ name: /^\s*\/\* error-ingestor:([\w-]+) \*\//.exec(sql)?.[1] ?? sql, options })
      return site.clickhouse.query(sql, params, options)
    },
  }
  const store = createStore({ clickhouse: recorded, database: site.database })
  const { signal } = new AbortController()
  // Somebody else stored something too: so doubles are looked for.
  await site.clickhouse.command(
    "INSERT INTO arrivals (stored_at, app_id, id) SELECT now('UTC'), 'test-app', generateUUIDv4()",
  )
  await store.events({ ...filter, q: 'failed' }, { offset: 0, limit: 10 }, signal)
  await store.event('test-app', event.id, signal)
  await store.trends(filter, 'hour', signal)
  await store.trends({ ...filter, code: event.code }, 'day', signal)
  await store.codes('test-app', range, signal)
  await store.issues('test-app', range, 10, signal)
  await store.ledger('test-app', range, 'hour', signal)
  await store.sourceMaps.list('test-app', undefined)
  const names = new Set(asked.map(({ name }) => name))
  expect([...names].toSorted()).toEqual([
    ...['codes', 'doubles', 'event', 'events-page', 'events-rows', 'issues', 'ledger'],
    ...['source-maps', 'sources', 'touched-hours', 'trends'],
  ])
  for (const { name, options } of asked) {
    expect(options?.settings, name).toMatchObject({
      log_comment: `error-ingestor:${name}`,
      max_execution_time: 20,
      max_memory_usage: 2 * 1024 ** 3,
      max_result_rows: 1_000_000,
    })
    if (name !== 'source-maps') expect(options?.signal, name).toBe(signal)
  }
})

const Running = z.array(
  z.object({ comment: z.string(), seconds: z.string(), readonly: z.string() }),
)
const running = async () =>
  Running.parse(
    await site.clickhouse.query(
      `SELECT Settings['log_comment'] AS comment, Settings['max_execution_time'] AS seconds,
        Settings['readonly'] AS readonly
      FROM system.processes WHERE current_database = {database: String} AND comment != ''`,
      { database: site.database },
    ),
  )

describe('a question whose client goes away', () => {
  // A piece of one hour, so that every question reads its events: whole hours are counted already.
  const hour = Math.floor(Date.now() / 3_600_000 - 1) * 3_600_000
  const minute = (minutes: number) => new Date(hour + minutes * 60_000).toISOString()
  const inRange = `startTime=${minute(5)}&endTime=${minute(20)}`

  beforeAll(async () => {
    // Events that take long to read: a tenth of a second each, by a view in their place.
    await site.clickhouse.command('RENAME TABLE occurrences TO slow')
    await site.clickhouse.command(
      'CREATE VIEW occurrences AS SELECT * FROM slow WHERE sleepEachRow(0.1) = 0',
    )
    await site.clickhouse.command('SYSTEM STOP MERGES slow')
    for (let block = 0; block < 20; block += 1) {
      await site.clickhouse.command(
        `INSERT INTO slow (id, app_id, timestamp, code, fingerprint, user_id)
        SELECT generateUUIDv4(), 'test-app', fromUnixTimestamp64Milli({at: Int64}) - number, 'slow', 'v1:x', 'u'
        FROM numbers(25)`,
        { at: hour + 600_000 },
      )
    }
  })

  test.each([
    ['a page of events', `errors?${inRange}`, 'events-page'],
    ['a search', `errors?q=slow&${inRange}`, 'events-page'],
    ['one event', `errors/${event.id}?`, 'event'],
    ['a trend', `trends?code=slow&${inRange}`, 'trends'],
    ['the codes', `codes?${inRange}`, 'codes'],
    ['the issues', `issues?${inRange}`, 'issues'],
  ])('that asked for %s is seen by its name, and ends in ClickHouse too', async (_, path, name) => {
    const leaving = new AbortController()
    const { signal } = leaving
    const asked = fetch(`${site.url}/dashboard/api/${path}&appId=test-app`, {
      signal,
    }).then(
      () => 'answered',
      () => 'left',
    )
    const comments = async () => (await running()).map(({ comment }) => comment)
    await expect
      .poll(comments, { timeout: 15_000, interval: 20 })
      .toContain(`error-ingestor:${name}`)
    for (const { seconds, readonly } of await running()) {
      expect([seconds, readonly]).toEqual(['20', '2'])
    }
    leaving.abort()
    expect(await asked).toBe('left')
    await expect.poll(comments, { timeout: 5_000, interval: 20 }).toEqual([])
  })
})

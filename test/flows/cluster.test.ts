import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { nodeClickHouse } from '../../src/node/clickhouse.ts'
import type { ClickHouse } from '../../src/store/clickhouse.ts'
import { clustered } from '../../src/store/cluster.ts'
import { SCHEMA_VERSION } from '../../src/store/migrate.ts'
import { startShards, type Shards } from '../support/shards.ts'
import { aSite, anEvent, errorsOf, expectProblem, KEY, post, type Site } from './support.ts'

const HOUR_MS = 3_600_000
const NOW_MS = Math.floor(Date.now() / HOUR_MS) * HOUR_MS - HOUR_MS
const RANGE = `startTime=${iso(NOW_MS - 80 * HOUR_MS)}&endTime=${iso(NOW_MS + 2 * HOUR_MS)}`

let shards: Shards
/** On one server, and on the shards. */
let one: Site
let many: Site
/** Other processes on the same. */
let others: readonly Site[]
/** Of each shard alone, and of all as the server sees them. */
let each: readonly ClickHouse[]
let all: ClickHouse

beforeAll(async () => {
  shards = await startShards(2)
  one = await aSite({ RETENTION_DAYS: '30' })
  many = await aSite({ ...shards.settings, RETENTION_DAYS: '30' })
  others = [
    await aSite({ CLICKHOUSE_DATABASE: one.database, RETENTION_DAYS: '30' }),
    await aSite({
      ...shards.settings,
      CLICKHOUSE_DATABASE: many.database,
      CLICKHOUSE_HOST: shards.urls[1] ?? '',
      RETENTION_DAYS: '30',
    }),
  ]
  const open = (url: string, database: string) =>
    nodeClickHouse({ url, user: 'default', password: '', timeoutMs: 30_000, database })
  each = shards.urls.map((url) => open(url, `${many.database}_local`))
  const cluster = { name: shards.name, hosts: shards.urls }
  all = clustered(open(shards.urls[0] ?? '', many.database), cluster, many.database, (url) =>
    open(url, many.database),
  )
}, 180_000)
afterAll(async () => {
  for (const site of [one, many, ...others]) {
    expect(await site.metric('error_ingestor_bugs_total')).toBe(0)
    await site.close()
  }
  await shards.close()
}, 180_000)

function iso(ms: number): string {
  return new Date(ms).toISOString()
}

/** Events of 75 hours, of some codes, users, versions and stacks. */
function someEvents(count: number, tag: string) {
  return Array.from({ length: count }, (_, i) =>
    anEvent({
      code: `area/code-${i % 7}`,
      message: `Failed ${tag} to load part ${i % 11}`,
      stackTrace: `Error: Failed\n    at load${i % 5} (app.js:${i % 5}:1)`,
      appVersion: `1.${i % 3}.0`,
      platform: i % 4 === 0 ? 'ios' : 'web',
      environment: i % 5 === 0 ? 'staging' : 'production',
      level: i % 6 === 0 ? 'warning' : 'error',
      userId: i % 3 === 0 ? null : `user-${i % 29}`,
      timestamp: iso(NOW_MS - ((i * 7_919) % (75 * 3_600)) * 1_000 + i),
    }),
  )
}

async function sendBoth(events: readonly object[], to: readonly Site[] = [one, many]) {
  for (const site of to) {
    for (let at = 0; at < events.length; at += 500) {
      const answer = await site.ingest(events.slice(at, at + 500))
      expect(answer.status).toBe(200)
    }
    await delivered(site)
  }
}

async function delivered(site: Site): Promise<void> {
  const spooled = () => site.metric('error_ingestor_spool_events')
  await vi.waitUntil(async () => (await spooled()) === 0, { timeout: 120_000, interval: 50 })
}

const QUESTIONS = [
  `errors?${RANGE}&limit=1000`,
  `errors?${RANGE}&limit=50&offset=100`,
  ...[
    'code=area/code-3',
    'userId=user-4',
    'platform=ios',
    'appVersion=1.2.0',
    'environment=staging',
    'level=warning',
    'q=part%2010',
    'q=code-5',
  ].flatMap((filter) => [
    `errors?${RANGE}&${filter}&limit=1000`,
    `errors?${RANGE}&${filter}&limit=7`,
  ]),
  ...['hour', 'day'].flatMap((granularity) => [
    `trends?${RANGE}&granularity=${granularity}`,
    `trends?${RANGE}&granularity=${granularity}&fill=true`,
    `trends?${RANGE}&granularity=${granularity}&code=area/code-1`,
    `trends?${RANGE}&granularity=${granularity}&environment=staging`,
    `trends?${RANGE}&granularity=${granularity}&appVersion=1.1.0`,
  ]),
  'codes?',
  `codes?${RANGE}`,
  `codes?startTime=${iso(NOW_MS - 30 * HOUR_MS - 1_234)}&endTime=${iso(NOW_MS - 3 * HOUR_MS + 777)}`,
  `issues?${RANGE}`,
  `issues?${RANGE}&limit=3`,
  `ledger?${RANGE}&granularity=day`,
  'apps?',
]

/** One of each kind. */
const SOME = [`errors?${RANGE}&limit=1000`, `trends?${RANGE}`, 'codes?', `issues?${RANGE}`]

/** Answers without what tells the two servers apart: when each received an event. */
function withoutTimes(text: string, { url }: Site): unknown {
  const told = text
    .replaceAll(url.replace(/^http:/, ''), '')
    .replaceAll(/localhost:\d+|127\.0\.0\.1:\d+/g, '')
  return JSON.parse(told.replaceAll(/"receivedAt":"[^"]*"/g, '"receivedAt":""'))
}

async function expectSameAnswers(questions = QUESTIONS): Promise<void> {
  for (const question of questions) {
    const path = `/dashboard/api/${question}&appId=test-app`
    const [expected, ...got] = await Promise.all(
      [one, many, others[1] ?? many].map((site) => site.call(path)),
    )
    expect(expected?.status, path).toBe(200)
    for (const answer of got) {
      expect(withoutTimes(answer.text, many), path).toEqual(withoutTimes(expected?.text ?? '', one))
    }
  }
  const pages = await Promise.all([allByCursor(one), allByCursor(many)])
  expect(pages[1]).toEqual(pages[0])
  expect(pages[0].length).toBeGreaterThan(100)
  for (const id of pages[0].filter((_, i) => i % 97 === 0)) {
    const path = `/dashboard/api/errors/${id}?appId=test-app`
    const answers = await Promise.all([one, many].map((site) => site.call(path)))
    expect(answers.map(({ status }) => status)).toEqual([200, 200])
    const [a, b] = answers.map(({ text }) => withoutTimes(text, one))
    expect(b).toEqual(a)
  }
  const unknown = `/dashboard/api/errors/${randomUUID()}?appId=test-app`
  for (const site of [one, many]) expectProblem(await site.call(unknown), 404, 'not_found')
}

async function allByCursor(site: Site): Promise<string[]> {
  const ids: string[] = []
  for (let cursor: unknown = ''; typeof cursor === 'string';) {
    const page = await site.call(
      `/dashboard/api/errors?appId=test-app&${RANGE}&limit=300&cursor=${cursor}`,
    )
    ids.push(...errorsOf(page).map(({ id }) => String(id)))
    cursor = Reflect.get(Object(page.body), 'nextCursor')
  }
  return ids
}

const Counts = z.array(z.object({ n: z.coerce.number() }))
async function count(clickhouse: ClickHouse, sql: string): Promise<number> {
  return Counts.parse(await clickhouse.query(`SELECT count() AS n FROM ${sql}`, {}))[0]?.n ?? 0
}

describe('two shards', () => {
  test('have the same tables each, and the version is that of all', async () => {
    expect(await count(all, 'schema_migrations')).toBeGreaterThan(5)
    for (const shard of each) {
      expect(
        await count(shard, `system.tables WHERE database = currentDatabase()`),
      ).toBeGreaterThan(15)
    }
    const isReady = async () => (await many.call('/health/ready')).status === 200
    await vi.waitUntil(isReady, { timeout: 20_000, interval: 100 })
    const rows = await all.query('SELECT max(version) AS n FROM schema_migrations', {})
    expect(rows).toEqual([{ n: SCHEMA_VERSION }])
  })

  test('answer as one server does, with resends, changed ones and doubles', async () => {
    const events = someEvents(1_300, 'first')
    await sendBoth(events)
    const parts = await Promise.all(each.map((shard) => count(shard, 'occurrences')))
    expect(parts[0]).toBeGreaterThan(500)
    expect(parts[1]).toBeGreaterThan(500)

    // Again to the same process, and to another with another code and time: each id stays one event.
    await sendBoth(events.slice(0, 400))
    const changed = events.slice(200, 700).map((event) => ({
      ...event,
      code: 'area/changed',
      timestamp: iso(Date.parse(event.timestamp) - HOUR_MS),
    }))
    await sendBoth(changed, others)
    expect(await count(all, 'occurrences')).toBe(1_300)

    // What two processes store in the same moment: the row received first is the one that counts.
    for (const [clickhouse, site] of [
      [one.clickhouse, one],
      [all, many],
    ] as const) {
      await clickhouse.command(
        `INSERT INTO ${site.database}.occurrences
        SELECT * REPLACE ('area/double' AS code, received_at + INTERVAL 1 SECOND AS received_at,
          timestamp - INTERVAL 90 MINUTE AS timestamp)
        FROM (SELECT * FROM ${site.database}.occurrences WHERE code = 'area/code-2')`,
      )
    }
    expect(await count(all, 'occurrences')).toBeGreaterThan(1_400)
    await expectSameAnswers()
    expect((await many.call('/dashboard/api/codes?appId=test-app')).text).not.toContain('double')
  }, 300_000)

  test('know of each row who stored it, where the server speaks to one of them only', async () => {
    const sent = someEvents(40, 'named')
    await sendBoth(sent)
    const ids = sent.map(({ id }) => `'${id}'`).join(', ')
    const told = await Promise.all(
      each.map((shard) => shard.query(`SELECT source FROM arrivals WHERE id IN (${ids})`, {})),
    )
    const sources = told.map((rows) => z.array(z.object({ source: z.string() })).parse(rows))
    expect(sources.flat()).toHaveLength(sent.length)
    for (const rows of sources) expect(rows.length).toBeGreaterThan(0)
    const [name, ...more] = new Set(sources.flat().map(({ source }) => source))
    expect(name).toMatch(/^[0-9a-f-]{36}$/)
    expect(more).toEqual([])
  })

  test('live on where clients leave in the middle of their questions', async () => {
    const question = `${many.url}/dashboard/api/errors?appId=test-app&${RANGE}&limit=1000`
    for (let waitMs = 4; waitMs < 124; waitMs += 4) {
      const signal = AbortSignal.timeout(waitMs)
      await fetch(question, { signal }).then(
        (answer) => answer.text().catch(() => ''),
        () => '',
      )
    }
    for (const shard of each) expect(await shard.ping()).toBe(true)
    expect((await many.call(`/dashboard/api/errors?appId=test-app&${RANGE}`)).status).toBe(200)
  })

  test('forget a user, lose source maps, and keep events as long as they are told to', async () => {
    const users = [
      '/api/v1/admin/apps/test-app/users/user-7',
      '/api/v1/admin/apps/test-app/users/user-8',
    ]
    for (const site of [one, many]) {
      for (const path of users) {
        const answer = await site.call(path, { method: 'DELETE', headers: { 'X-API-Key': KEY } })
        expect(answer.status).toBe(202)
      }
      for (const appVersion of ['1.0.0', '1.1.0']) {
        const map = { appVersion, fileName: 'app.js', sourceMap: '{"version":3,"mappings":""}' }
        expect((await site.call('/api/v1/sourcemaps/upload', post(map))).status).toBe(200)
      }
      const headers = { 'X-API-Key': KEY }
      await site.call('/api/v1/sourcemaps/1.0.0', { method: 'DELETE', headers })
      const list = async () => (await site.call('/api/v1/sourcemaps/list', { headers })).text
      await vi.waitUntil(async () => !(await list()).includes('"1.0.0"'), { timeout: 30_000 })
      expect(await list()).toContain('"1.1.0"')
    }
    for (const clickhouse of [...each, one.clickhouse]) {
      const left = () => count(clickhouse, "occurrences WHERE user_id IN ('user-7', 'user-8')")
      await vi.waitUntil(async () => (await left()) === 0, { timeout: 60_000, interval: 200 })
    }
    for (const shard of each) {
      const rows = await shard.query(
        `SELECT name FROM system.tables WHERE database = currentDatabase()
          AND create_table_query LIKE '%toIntervalDay(30)%' ORDER BY name`,
        {},
      )
      const names = ['doubles', 'hourly', 'hourly_users', 'occurrences', 'touched']
      expect(rows).toEqual(names.map((name) => ({ name })))
    }
    await expectSameAnswers(SOME)
  }, 300_000)

  test('store a block once that is sent again when one of them had it already', async () => {
    const events = 600
    const ids = Array.from({ length: events }, () => randomUUID())
    const shardOf = z.array(z.object({ id: z.string(), shard: z.number() }))
    const spread = shardOf.parse(
      await all.query(
        `SELECT toString(uuid) AS id, toUInt8(sipHash64('killed', uuid) % 2) AS shard
        FROM (SELECT arrayJoin({ids: Array(UUID)}) AS uuid)`,
        { ids },
      ),
    )
    const insert = (clickhouse: ClickHouse, rows: readonly { readonly id: string }[]) => {
      const time = iso(NOW_MS).slice(0, 19).replace('T', ' ')
      const values = rows.map(({ id }) => `('${id}', 'killed', '${time}', 'block')`)
      const columns = '(id, app_id, timestamp, code)'
      const settings = { insert_deduplication_token: 'one block' }
      const sql = `INSERT INTO occurrences ${columns} VALUES ${values.join(', ')}`
      return clickhouse.command(sql, {}, { settings })
    }
    // As a block is left whose second shard died before it had its rows.
    const [first = all] = each
    const had = spread.filter(({ shard }) => shard === 0)
    expect(had.length).toBeGreaterThan(events / 4)
    await insert(first, had)
    await shards.kill(1)
    await expect(insert(all, spread)).rejects.toThrow(/refused/)
    await shards.start(1)
    await insert(all, spread)
    await insert(all, spread)
    for (const table of ['occurrences', 'seen', 'arrivals']) {
      expect(await count(all, `${table} WHERE app_id = 'killed'`), table).toBe(events)
    }
    const sums = await all.query("SELECT sum(events) AS n FROM hourly WHERE app_id = 'killed'", {})
    expect(Counts.parse(sums)).toEqual([{ n: events }])
  }, 120_000)

  test.each([0, 1])(
    'shard %i away: reads say so, events are taken, and come once',
    async (index) => {
      await shards.kill(index)
      for (const question of ['errors?', 'trends?', 'codes?', 'issues?', `ledger?${RANGE}`]) {
        const answer = await many.call(`/dashboard/api/${question}&appId=test-app`)
        expectProblem(answer, 503, 'overloaded', /not available at the moment; nothing is lost/)
      }
      expect((await many.call('/health/ready')).status).toBe(503)
      expect(await many.call('/health')).toMatchObject({
        status: 200,
        body: { status: 'degraded' },
      })
      const events = someEvents(300, `while ${index} is away`)
      for (const site of [one, many]) {
        expect(await site.ingest(events)).toMatchObject({ status: 200, body: { accepted: 300 } })
        expect((await site.ingest(events.slice(0, 100))).status).toBe(200)
      }
      expect(await many.metric('error_ingestor_spool_events')).toBeGreaterThan(0)
      await shards.start(index)
      for (const site of [one, many]) await delivered(site)
      expect(await count(all, `occurrences WHERE message LIKE '%while ${index} is away%'`)).toBe(
        300,
      )
      await expectSameAnswers(SOME)
    },
    300_000,
  )
})

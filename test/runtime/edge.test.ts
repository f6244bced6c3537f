import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { deflateSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { BUNDLE, edgeRuntime, workerd, type Edge, type StartEdge } from './support.ts'

const KEY = 'ei_edge_0123456789abcdef'
const APPS = JSON.stringify([
  { id: 'shop', name: 'Shop', keys: [{ key: KEY, scopes: ['ingest', 'read', 'sourcemaps'] }] },
])
const HOUR_MS = 3_600_000

function anEvent(fields: object = {}) {
  return {
    id: randomUUID(),
    code: 'network/request-failed',
    message: 'Failed to fetch user data',
    stackTrace: 'Error: Failed\n    at f (app.js:1:1)',
    appId: 'shop',
    appVersion: '1.0.0',
    platform: 'web',
    platformVersion: '',
    timestamp: new Date().toISOString(),
    ...fields,
  }
}

function post(body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}) {
  return { method: 'POST', headers: { 'X-API-Key': KEY, ...headers }, body }
}

const Codes = z.object({ codes: z.array(z.object({ code: z.string(), count: z.number() })) })
const countOf = (body: unknown, code: string) =>
  Codes.parse(body).codes.find((one) => one.code === code)?.count

const json = (events: readonly object[]) => JSON.stringify({ events })
const asked = { headers: { 'X-API-Key': KEY } }
const RUNTIMES: readonly (readonly [string, StartEdge])[] = [
  ['workerd', workerd],
  ['edge-runtime', edgeRuntime],
]

test('the bundle imports nothing, and is small enough for every plan', async () => {
  const code = await readFile(BUNDLE, 'utf8')
  expect(code).not.toMatch(/(?:^|[;}])(?:import|export)\b[^;]*?["'][^"']*["'];|\bimport\(/)
  // Vercel's smallest limit is 1 MB, Cloudflare's 3 MB, both compressed.
  expect(gzipSync(code).byteLength).toBeLessThan(400_000)
})

describe.each(RUNTIMES)('in %s', (_, start) => {
  let database: TestDatabase
  let edge: Edge
  beforeAll(async () => {
    database = await createDatabase()
    edge = await start({
      ...{ CLICKHOUSE_HOST: database.url, CLICKHOUSE_DATABASE: database.database },
      APPS,
    })
  })
  afterAll(async () => {
    await edge.close()
    await database.drop()
  })

  const call = async (path: string, init?: RequestInit) => {
    const response = await edge.fetch(path, init)
    const body: unknown = await response.json()
    return { status: response.status, body, headers: response.headers }
  }

  test('it is healthy and ready', async () => {
    expect(await call('/health')).toMatchObject({
      status: 200,
      body: { status: 'healthy', services: { clickhouse: 'up' } },
    })
    expect(await call('/health/ready')).toMatchObject({ status: 200, body: { status: 'ready' } })
    const many = await Promise.all(Array.from({ length: 20 }, () => call('/health')))
    expect(new Set(many.map(({ status }) => status))).toEqual(new Set([200]))
  })

  test('an event is answered after it is stored, and comes back as it was sent', async () => {
    const event = anEvent({
      message: 'שלום 世界 🚀 \u0000 "quoted" \\ back',
      userId: 'user-1',
      metadata: { statusCode: 500, deep: { '🔑': [null, 1.5, 'π'] }, big: 9007199254740993 },
      tags: { severity: 'high', naïve: '✓' },
    })
    const answer = await call('/api/v1/ingest', post(json([event])))
    expect(answer).toMatchObject({ status: 200, body: { success: true, accepted: 1 } })
    expect(answer.headers.get('x-request-id')).toBeTruthy()
    const found = await call(`/dashboard/api/errors/${event.id}?appId=shop`, asked)
    expect(found).toMatchObject({ status: 200, body: { success: true, error: event } })
  })

  test.each([
    ['gzip', gzipSync],
    ['deflate', deflateSync],
  ])('a batch in %s is taken whole', async (encoding, compress) => {
    const code = `batch/${encoding}`
    const events = Array.from({ length: 1_000 }, () => anEvent({ code }))
    const body = new Uint8Array(compress(json(events)))
    const answer = await call('/api/v1/ingest', post(body, { 'Content-Encoding': encoding }))
    expect(answer.body).toEqual({ success: true, accepted: 1_000 })
    const codes = await call('/dashboard/api/codes?appId=shop', asked)
    expect(countOf(codes.body, code)).toBe(1_000)
  })

  test('counts are exact: ids sent again, twice in one batch, and by many at once count once', async () => {
    const code = `again/${randomUUID()}`
    const first = anEvent({ code })
    const second = anEvent({ code, timestamp: new Date(Date.now() - 40 * 24 * HOUR_MS) })
    const send = (events: readonly object[]) => call('/api/v1/ingest', post(json(events)))
    for (let again = 0; again < 3; again += 1) {
      const sent = await send([first, { ...first, id: first.id.toUpperCase() }, second])
      expect(sent).toMatchObject({ status: 200, body: { accepted: 3 } })
    }
    const raced = anEvent({ code })
    const racers = await Promise.all(Array.from({ length: 10 }, () => send([raced])))
    expect(racers.map(({ status }) => status)).toEqual(Array(10).fill(200))
    const { body } = await call('/dashboard/api/codes?appId=shop', asked)
    expect(countOf(body, code)).toBe(3)
    const trends = await call(
      `/dashboard/api/trends?appId=shop&code=${encodeURIComponent(code)}`,
      asked,
    )
    expect(trends.body).toMatchObject({ trends: [{ count: 2, uniqueCodes: 1 }] })
    const rows = await database.clickhouse.query(
      `SELECT count() AS rows FROM ${database.database}.occurrences WHERE code = {code: String}
        AND id != {raced: UUID}`,
      { code, raced: raced.id },
    )
    expect(rows).toEqual([{ rows: 2 }])
  })

  test('what is not valid is refused, in words', async () => {
    const bad = await call('/api/v1/ingest', post(json([anEvent({ id: 'no' })])))
    expect(bad).toMatchObject({
      status: 400,
      body: { success: false, rejected: [{ index: 0, id: 'no', error: 'id must be a UUID.' }] },
    })
    expect((await call('/api/v1/ingest', post('{'))).status).toBe(400)
    expect((await call('/dashboard/api/errors?appId=shop&limit=abc', asked)).status).toBe(400)
    expect((await call('/nowhere')).status).toBe(404)
    expect((await call('/api/v1/ingest')).status).toBe(405)
    const zstd = await call('/api/v1/ingest', post('x', { 'Content-Encoding': 'zstd' }))
    expect(zstd).toMatchObject({ status: 415, body: { error: /use gzip, deflate or none/ } })
  })

  test('a bomb is refused, and an event after it is taken', async () => {
    const bomb = new Uint8Array(gzipSync(Buffer.alloc(256 * 1024 * 1024)))
    const answer = await call('/api/v1/ingest', post(bomb, { 'Content-Encoding': 'gzip' }))
    expect(answer.status).toBe(413)
    expect((await call('/api/v1/ingest', post(json([anEvent()])))).status).toBe(200)
  })

  test.each(['gzip', 'deflate'])(
    'a body that is no %s, or half of it, is refused',
    async (encoding) => {
      const headers = { 'Content-Encoding': encoding }
      const whole = (encoding === 'gzip' ? gzipSync : deflateSync)(json([anEvent()]))
      for (const body of [Buffer.from('{"events": []}'), whole.subarray(0, -30)]) {
        const answer = await call('/api/v1/ingest', post(new Uint8Array(body), headers))
        // Which of the two notices depends on the inflater.
        const error: unknown = expect.stringMatching(`^The body is not valid (${encoding}|JSON)`)
        expect(answer).toMatchObject({ status: 400, body: { success: false, error } })
      }
    },
  )

  test('it is in production mode by itself: nothing is open, and the public key is unknown', async () => {
    expect((await call('/dashboard/api/errors?appId=shop')).status).toBe(401)
    const known = { headers: { 'X-API-Key': 'ei_test_key_12345' } }
    expect((await call('/api/v1/ingest/test', known)).status).toBe(401)
  })
})

describe.each(RUNTIMES)('in %s without a ClickHouse', (_, start) => {
  /** A port that takes connections and says nothing, as a hung server does. */
  async function silent() {
    const server = createServer(() => undefined).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    return { url: `http://127.0.0.1:${port}`, close: () => server.close() }
  }

  test.each(['away', 'hung'])(
    'that is %s, events are refused with 503 and Retry-After',
    async (how) => {
      const hung = await silent()
      const edge = await start({
        CLICKHOUSE_HOST: how === 'hung' ? hung.url : 'http://127.0.0.1:1',
        CLICKHOUSE_TIMEOUT_MS: '1000',
        APPS,
      })
      try {
        const months = [anEvent(), anEvent({ timestamp: new Date(Date.now() - 40 * 24 * HOUR_MS) })]
        const answer = await edge.fetch('/api/v1/ingest', post(json(months)))
        expect(answer.status).toBe(503)
        expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
        expect(await answer.json()).toEqual({
          success: false,
          error: 'The event store is not available at the moment; send the events again shortly.',
        })
        const read = await edge.fetch('/dashboard/api/codes?appId=shop', asked)
        expect(read.status).toBe(503)
        expect(read.headers.get('retry-after')).not.toBeNull()
        const health = await edge.fetch('/health')
        expect(health.status).toBe(503)
        expect(await health.json()).toMatchObject({ status: 'unhealthy' })
      } finally {
        await edge.close()
        hung.close()
      }
    },
  )

  test.each([{ RETENTION_DAYS: 'many' }, { CLICKHOUSE_HOST: 'embedded' }])(
    'settings that cannot be used (%j) are a 503 that does not tell them',
    async (env) => {
      const edge = await start(env)
      try {
        for (let tries = 0; tries < 2; tries += 1) {
          const answer = await edge.fetch('/health')
          expect(answer.status).toBe(503)
          expect(answer.headers.get('retry-after')).toBe('60')
          expect(await answer.json()).toEqual({
            success: false,
            error: 'The server is not set up yet: its log says what is missing.',
          })
        }
      } finally {
        await edge.close()
      }
    },
  )
})

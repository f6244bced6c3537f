import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { aSite, anEvent, errorsOf, expectProblem, KEY, post, type Site } from './support.ts'

const HOUR_MS = 3_600_000
const READ_KEY = 'ei_read_0123456789abcdef'
const SEND_KEY = 'ei_send_0123456789abcdef'
const OLD_KEY = 'ei_old_0123456789abcdefgh'
const GONE_KEY = 'ei_gone_0123456789abcdefg'

/** In production mode: every read needs a key. */
let site: Site
/** In development mode. */
let open: Site
beforeAll(async () => {
  const APPS = JSON.stringify([
    {
      id: 'shop',
      name: 'Shop',
      createdAt: '2026-01-02T03:04:05Z',
      keys: [
        { key: SEND_KEY },
        { key: READ_KEY, scopes: ['read'] },
        { key: OLD_KEY, scopes: ['ingest', 'read'], expiresAt: '2020-01-01T00:00:00Z' },
        { key: GONE_KEY, scopes: ['ingest', 'read'], revoked: true },
      ],
    },
    { id: 'other', name: 'Other', keys: [{ key: 'ei_other_0123456789abcdef', scopes: ['read'] }] },
  ])
  open = await aSite()
  const { clickhouse, database } = open
  await clickhouse.query('SELECT 1', {})
  site = await aSite({
    ...{ NODE_ENV: 'production', HOST: '127.0.0.1', APPS },
    // Its schema is not its own business, so it borrows the one of the other.
    CLICKHOUSE_DATABASE: database,
  })
})
afterAll(async () => {
  for (const one of [site, open]) {
    expect(await one.metric('error_ingestor_bugs_total')).toBe(0)
    expect(await one.undocumented()).toEqual([])
    await one.close()
  }
})

const key = (name: string) => ({ headers: { 'X-API-Key': name } })
const send = (events: readonly unknown[]) => site.ingest(events, { 'X-API-Key': SEND_KEY })
const ask = (path: string) => site.call(path, key(READ_KEY))

describe('keys', () => {
  const event = anEvent({ appId: 'shop' })
  test('that are missing or unknown are 401; revoked, expired or of another scope 403', async () => {
    const path = '/dashboard/api/errors?appId=shop'
    expectProblem(await site.call(path), 401, 'unauthenticated')
    expectProblem(await site.call(path, key('nonsense')), 401, 'unauthenticated')
    expectProblem(await site.call(path, key(KEY)), 401, 'unauthenticated')
    for (const [name, words] of [
      [OLD_KEY, /expired/],
      [GONE_KEY, /revoked/],
      [SEND_KEY, /scope/],
      ['ei_other_0123456789abcdef', /another app/],
    ] as const) {
      expectProblem(await site.call(path, key(name)), 403, 'forbidden', words)
    }
    const ingest = async (name: string) => site.ingest([event], { 'X-API-Key': name })
    expectProblem(await ingest(KEY), 401, 'unauthenticated')
    expectProblem(await ingest(READ_KEY), 403, 'forbidden', /scope/)
    expectProblem(await ingest(GONE_KEY), 403, 'forbidden', /revoked/)
    expectProblem(
      await site.call('/api/v1/ingest', post({ events: [event] }, { 'X-API-Key': '' })),
      401,
      'unauthenticated',
    )
  })

  test('are taken as a bearer token too', async () => {
    const headers = { Authorization: `Bearer ${SEND_KEY}` }
    expect((await site.call('/api/v1/ingest/test', { headers })).body).toEqual({
      ...{ success: true, appId: 'shop', appName: 'Shop' },
    })
  })

  test('say which apps are listed, and give the DSN the ingest-only key', async () => {
    const { body } = await ask('/dashboard/api/apps')
    const { port } = new URL(site.url)
    const dsn: unknown = expect.stringMatching(`^http://${SEND_KEY}@127.0.0.1:${port}/\\d+$`)
    const projectId: unknown = expect.any(Number)
    const createdAt = '2026-01-02T03:04:05.000Z'
    expect(body).toEqual({
      success: true,
      apps: [{ id: 'shop', name: 'Shop', createdAt, projectId, dsn }],
    })
  })
})

describe('an event that was just sent', () => {
  test('is in the next answer, in every question', async () => {
    for (let round = 0; round < 5; round += 1) {
      const code = `fresh/${randomUUID()}`
      const event = anEvent({ appId: 'shop', code })
      expect((await send([event])).status).toBe(200)
      const found = await ask(`/dashboard/api/errors?appId=shop&code=${code}`)
      expect(errorsOf(found)).toMatchObject([{ id: event.id }])
      const second = anEvent({ appId: 'shop', code })
      await send([second])
      const trends = await ask(`/dashboard/api/trends?appId=shop&code=${code}`)
      const buckets = z
        .object({ trends: z.array(z.object({ count: z.number() })) })
        .parse(trends.body)
      expect(buckets.trends.reduce((sum, { count }) => sum + count, 0)).toBe(2)
    }
  })
})

describe('the error list', () => {
  const base = Math.floor(Date.now() / HOUR_MS) * HOUR_MS - 10 * HOUR_MS
  const at = (ms: number) => new Date(base + ms).toISOString()
  const fields = [
    { code: 'list/a', userId: 'u1', platform: 'ios', level: 'fatal', environment: 'staging' },
    { code: 'list/b', userId: 'u2', platform: 'android', appVersion: '2.0.0' },
    { code: 'list/c', message: 'A needle in 100%_of hay' },
    { code: 'list/c', message: 'Hay only', fingerprint: ['mine'] },
  ]
  const events = fields.map((one, i) => anEvent({ appId: 'shop', timestamp: at(i), ...one }))
  const tied = Array.from({ length: 7 }, () => anEvent({ appId: 'shop', timestamp: at(10) }))
  const range = `appId=shop&startTime=${at(0)}&endTime=${at(10)}`
  const idsOf = async (query: string) =>
    errorsOf(await ask(`/dashboard/api/errors?${range}&${query}`)).map(({ id }) => id)
  beforeAll(async () => {
    await send([...events, ...tied])
  })

  test('filters by everything it says', async () => {
    const [a, b, c, d] = events.map(({ id }) => id)
    expect(await idsOf('code=list/a')).toEqual([a])
    expect(await idsOf('userId=u2')).toEqual([b])
    expect(await idsOf('platform=ios')).toEqual([a])
    expect(await idsOf('appVersion=2.0.0')).toEqual([b])
    expect(await idsOf('environment=staging')).toEqual([a])
    expect(await idsOf('level=fatal')).toEqual([a])
    expect(await idsOf('q=needle')).toEqual([c])
    expect(await idsOf('q=list/')).toEqual([d, c, b, a])
    expect(await idsOf(`q=${encodeURIComponent('100%_of')}`)).toEqual([c])
    expect(await idsOf(`q=${encodeURIComponent('%')}`)).toEqual([c])
    const [one] = errorsOf(await ask(`/dashboard/api/errors?${range}&code=list/a`))
    expect(await idsOf(`issue=${String(one?.['issue'])}`)).toEqual([a])
    expect(await idsOf('code=nothing')).toEqual([])
  })

  test('includes both ends of the range, to the millisecond', async () => {
    const within = async (start: number, end: number) => {
      const path = `/dashboard/api/errors?appId=shop&q=list/&startTime=${at(start)}&endTime=${at(end)}`
      return errorsOf(await ask(path)).map(({ id }) => id)
    }
    const [a, b, c] = events.map(({ id }) => id)
    expect(await within(0, 0)).toEqual([a])
    expect(await within(0, 2)).toEqual([c, b, a])
    expect(await within(-5, -1)).toEqual([])
    const path = `/dashboard/api/errors?appId=shop&startTime=${at(1)}&endTime=${at(0)}`
    expectProblem(await ask(path), 400, 'malformed', /startTime/)
    const trends = await ask(`/dashboard/api/trends?appId=shop&startTime=${at(0)}&endTime=${at(2)}`)
    expect(trends.body).toMatchObject({ trends: [{ time: at(0), count: 3 }] })
    const codes = await ask(`/dashboard/api/codes?appId=shop&startTime=${at(0)}&endTime=${at(2)}`)
    expect(codes.body).toEqual({
      success: true,
      codes: ['list/a', 'list/b', 'list/c'].map((code) => ({ code, count: 1 })),
    })
  })

  test('gives every event once, by offset and by cursor, also among those of one moment', async () => {
    const whole = await idsOf('limit=1000')
    expect(whole).toHaveLength(11)
    expect(new Set(whole).size).toBe(11)
    const Page = z.object({
      errors: z.array(z.object({ id: z.string() })),
      pagination: z.object({ limit: z.number(), offset: z.number(), hasMore: z.boolean() }),
      nextCursor: z.string().nullish(),
    })
    for (const limit of [1, 3, 10, 11]) {
      const byOffset: string[] = []
      for (let offset = 0, more = true; more; offset += limit) {
        const { body } = await ask(`/dashboard/api/errors?${range}&limit=${limit}&offset=${offset}`)
        const page = Page.parse(body)
        expect(page).not.toHaveProperty('nextCursor')
        expect(page.pagination).toMatchObject({ limit, offset })
        byOffset.push(...page.errors.map(({ id }) => id))
        more = page.pagination.hasMore
      }
      expect(byOffset).toEqual(whole)
      const byCursor: string[] = []
      for (let cursor: string | null | undefined = ''; typeof cursor === 'string';) {
        const path: string = `/dashboard/api/errors?${range}&limit=${limit}&cursor=${cursor}`
        const page = Page.parse((await ask(path)).body)
        byCursor.push(...page.errors.map(({ id }) => id))
        expect(page.pagination.hasMore).toBe(typeof page.nextCursor === 'string')
        cursor = page.nextCursor
      }
      expect(byCursor).toEqual(whole)
    }
  })

  test('fills the empty buckets of a trend, and only when asked', async () => {
    const times = { start: new Date(base - 2 * HOUR_MS).toISOString(), end: at(2 * HOUR_MS) }
    const path = `/dashboard/api/trends?appId=shop&startTime=${times.start}&endTime=${times.end}`
    expect((await ask(path)).body).toMatchObject({ trends: [{ time: at(0), count: 11 }] })
    const zero = { count: 0, uniqueCodes: 0, affectedUsers: 0 }
    expect((await ask(`${path}&fill=true`)).body).toEqual({
      success: true,
      trends: [-2, -1, 0, 1, 2].map((hour) => ({
        time: at(hour * HOUR_MS),
        ...(hour === 0 ? { count: 11, uniqueCodes: 4, affectedUsers: 2 } : zero),
      })),
    })
  })

  test('names the parameter that is wrong', async () => {
    for (const [path, words] of [
      ['errors', /appId/],
      ['errors?appId=shop&limit=abc', /limit/],
      ['errors?appId=shop&limit=0', /limit/],
      ['errors?appId=shop&limit=1001', /limit/],
      ['errors?appId=shop&offset=-1', /offset/],
      ['errors?appId=shop&startTime=yesterday', /startTime/],
      ['errors?appId=shop&endTime=2026-13-01T00:00:00Z', /endTime/],
      ['errors?appId=shop&cursor=xyz', /cursor/],
      ['errors?appId=shop&level=bad', /level/],
      ['trends?appId=shop&granularity=week', /granularity/],
      ['codes?startTime=2026-01-01T00:00:00Z', /appId/],
    ] as const) {
      expectProblem(await ask(`/dashboard/api/${path}`), 400, 'malformed', words)
    }
    expect((await ask('/dashboard/api/errors?appId=shop&limit=1000')).status).toBe(200)
  })

  test('finds one event by its id in either case, and no other', async () => {
    const { id = '' } = events[0] ?? {}
    const one = (name: string) => ask(`/dashboard/api/errors/${name}?appId=shop`)
    expect((await one(id.toUpperCase())).body).toMatchObject({ success: true, error: { id } })
    for (const name of [randomUUID(), 'nonsense', "'%20OR%201=1", '..%2f..', '%00']) {
      expectProblem(await one(name), 404, 'not_found')
    }
  })
})

describe('the protocol around it', () => {
  test('a browser of another origin may send events and read the answer', async () => {
    const preflight = await site.call('/api/v1/ingest', {
      method: 'OPTIONS',
      headers: {
        Origin: 'https://shop.example',
        'Access-Control-Request-Method': 'POST',
        'Access-Control-Request-Headers': 'content-type,x-api-key,content-encoding',
      },
    })
    expect(preflight.status).toBe(204)
    const { headers } = preflight
    expect(headers.get('access-control-allow-origin')).toBe('*')
    expect(headers.get('access-control-allow-credentials')).toBeNull()
    expect(headers.get('access-control-allow-methods')).toMatch(/\bPOST\b/)
    const allowed = (headers.get('access-control-allow-headers') ?? '').toLowerCase().split(', ')
    expect(allowed).toEqual(
      expect.arrayContaining(['content-type', 'x-api-key', 'content-encoding', 'authorization']),
    )
    for (const name of [SEND_KEY, 'nonsense']) {
      const answer = await site.ingest([anEvent({ appId: 'shop' })], {
        ...{ Origin: 'https://shop.example', 'X-API-Key': name },
      })
      expect(answer.headers.get('access-control-allow-origin')).toBe('*')
      expect(answer.headers.get('access-control-expose-headers')).toMatch(/X-Request-Id/)
    }
    // The dashboard is for its own pages only.
    const read = await site.call('/dashboard/api/apps', {
      headers: { Origin: 'https://evil.example', 'X-API-Key': READ_KEY },
    })
    expect(read.headers.get('access-control-allow-origin')).toBeNull()
  })

  test('unknown paths are 404, wrong methods 405 with Allow', async () => {
    for (const path of ['/nowhere', '/api/v1/nothing', '/dashboard/api', '/health/x', '//', '/%']) {
      expectProblem(await site.call(path), 404, 'not_found')
    }
    for (const [method, path, allow] of [
      ['GET', '/api/v1/ingest', 'POST, OPTIONS'],
      ['PUT', '/api/v1/ingest', 'POST, OPTIONS'],
      ['POST', '/health', 'GET, HEAD, OPTIONS'],
      ['DELETE', '/dashboard/api/errors', 'GET, HEAD, OPTIONS'],
      ['POST', '/dashboard/api/errors/1', 'GET, HEAD, OPTIONS'],
      ['GET', '/api/v1/sourcemaps/upload', 'POST, OPTIONS'],
      ['PATCH', '/metrics', 'GET, HEAD, OPTIONS'],
    ] as const) {
      const answer = await site.call(path, { method })
      expectProblem(answer, 405, 'method_not_allowed')
      const methods = answer.headers.get('allow')?.split(', ')
      expect(methods).toEqual(expect.arrayContaining(allow.split(', ')))
    }
  })

  test('HEAD answers as GET does, without a body', async () => {
    for (const path of ['/health', '/health/live', '/health/ready', '/openapi.json', '/metrics']) {
      const [head, get] = [await site.call(path, { method: 'HEAD' }), await site.call(path)]
      expect(head).toMatchObject({ status: get.status, text: '' })
      expect(head.headers.get('content-type')).toBe(get.headers.get('content-type'))
    }
    expect((await site.call('/dashboard/api/apps', { method: 'HEAD' })).status).toBe(401)
  })

  test('a request id is kept where it is sane, else made, and always answered', async () => {
    const idOf = async (given?: string) => {
      const headers = given === undefined ? {} : { 'X-Request-Id': given }
      return (await site.call('/health/live', { headers })).headers.get('x-request-id')
    }
    expect(await idOf('trace-1.a:b')).toBe('trace-1.a:b')
    expect(await idOf('x'.repeat(129))).not.toMatch(/x{9}/)
    expect(await idOf('<script>')).toMatch(/^[\w-]+$/)
    expect(await idOf()).not.toBe(await idOf())
  })

  test('in development mode a read needs no key, and the documents are there for everybody', async () => {
    expect((await open.call('/dashboard/api/errors?appId=test-app')).status).toBe(200)
    const json = await site.call('/', { headers: { Accept: 'application/json' } })
    const anyText: unknown = expect.any(String)
    expect(json.body).toMatchObject({ name: 'error-ingestor', version: anyText, links: {} })
    const page = await open.call('/', { headers: { Accept: 'text/html' } })
    expect(page).toMatchObject({ status: 200 })
    expect(page.headers.get('content-type')).toMatch(/^text\/html/)
    expect((await site.call('/docs')).status).toBe(200)
    expect((await site.call('/openapi.json')).body).toMatchObject({ openapi: '3.1.1' })
  })

  test('metrics are Prometheus text, or OpenMetrics when asked for', async () => {
    const plain = await site.call('/metrics')
    expect(plain.headers.get('content-type')).toMatch(/^text\/plain/)
    await vi.waitUntil(async () => (await site.metric('error_ingestor_spool_events')) === 0)
    expect(await site.metric('error_ingestor_events_total', { outcome: 'stored' })).toBeGreaterThan(
      0,
    )
    const accept = 'application/openmetrics-text;version=1.0.0,text/plain;q=0.5'
    const open = await site.call('/metrics', { headers: { Accept: accept } })
    expect(open.headers.get('content-type')).toMatch(/^application\/openmetrics-text/)
    expect(open.text.trimEnd().endsWith('# EOF')).toBe(true)
  })
})

describe('an event at the edges of its time', () => {
  test('is expired when older than the retention, and dated by receipt when far ahead', async () => {
    const old = anEvent({ appId: 'shop', timestamp: '1970-01-01T00:00:00.000Z' })
    const before = await site.metric('error_ingestor_events_total', { reason: 'expired' })
    expect((await send([old])).body).toEqual({ success: true, accepted: 1 })
    expect(await site.metric('error_ingestor_events_total', { reason: 'expired' })).toBe(before + 1)
    expectProblem(await ask(`/dashboard/api/errors/${old.id}?appId=shop`), 404, 'not_found')

    const ahead = anEvent({ appId: 'shop', timestamp: '9999-12-31T23:59:59.999Z' })
    await send([ahead])
    const { body } = await ask(`/dashboard/api/errors/${ahead.id}?appId=shop`)
    const Found = z.object({
      error: z.object({ timestamp: z.string(), originalTimestamp: z.string() }),
    })
    const { error } = Found.parse(body)
    expect(error.originalTimestamp).toMatch(/^(9999-12-31T23:59:59.999|2299-12-31)/)
    expect(Math.abs(Date.parse(error.timestamp) - Date.now())).toBeLessThan(60_000)
  })
})

import { serve } from '@hono/node-server'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { DEVELOPMENT_KEY } from '../../src/config.ts'
import type { Scope } from '../../src/keys/records.ts'
import { anApi } from './api-support.ts'

const READS = [
  '/dashboard/api/errors?appId=shop',
  '/dashboard/api/errors/550e8400-e29b-41d4-a716-446655440000?appId=shop',
  '/dashboard/api/trends?appId=shop',
  '/dashboard/api/codes?appId=shop',
  '/dashboard/api/issues?appId=shop',
] as const
const APPS = '/dashboard/api/apps'

const empty = {
  events: () => Promise.resolve({ events: [], hasMore: false }),
  event: () => Promise.resolve(undefined),
  trends: () => Promise.resolve([]),
  codes: () => Promise.resolve([]),
  issues: () => Promise.resolve([]),
}
const containing = (text: string): unknown => expect.stringContaining(text)
const away = () =>
  Promise.reject(new Error('connect ECONNREFUSED 10.1.2.3:8123 SELECT id FROM occurrences'))
const allAway = {
  events: away,
  event: away,
  trends: away,
  codes: away,
  issues: away,
  sourceMaps: { put: away, list: away, remove: away },
}

const aKey = (name: string, scopes: Scope[], rest: object = {}) => ({
  key: `ei_live_${name}_0123456789`,
  scopes,
  revoked: false,
  ...rest,
})
const shop = {
  id: 'shop',
  name: 'Shop',
  keys: [
    aKey('read', ['read']),
    aKey('ingest', ['ingest']),
    aKey('sourcemaps', ['sourcemaps']),
    aKey('admin', ['admin']),
    aKey('revoked', ['read'], { revoked: true }),
    aKey('expired', ['read'], { expiresAt: '2020-01-01T00:00:00Z' }),
  ],
}
const other = { id: 'other', name: 'Other', keys: [aKey('other', ['read'])] }
const withKey = (name: string) => ({ headers: { 'X-API-Key': `ei_live_${name}_0123456789` } })

describe('keys', () => {
  const { ask } = anApi({ production: true, apps: [shop, other], store: empty })

  test.each([...READS, APPS])(
    'in production %s needs a live key with the scope read',
    async (path) => {
      const missing = path.includes('/errors/') ? 404 : 200
      expect((await ask(path, withKey('read'))).status).toBe(missing)
      expect((await ask(path)).status).toBe(401)
      expect((await ask(path, withKey('unknown'))).status).toBe(401)
      expect((await ask(path, { headers: { 'X-API-Key': DEVELOPMENT_KEY } })).status).toBe(401)
      for (const name of ['ingest', 'sourcemaps', 'admin', 'revoked', 'expired']) {
        expect((await ask(path, withKey(name))).status, name).toBe(403)
      }
    },
  )

  test.each(READS)(
    'the key of another app gets 403 from %s, and nothing of the app',
    async (path) => {
      const { status, body } = await ask(path, withKey('other'))
      expect(status).toBe(403)
      expect(body).toEqual({
        success: false,
        error: 'This API key belongs to another app than appId.',
      })
    },
  )

  test('an unknown app is refused in the same words as a foreign one', async () => {
    const foreign = await ask('/dashboard/api/codes?appId=other', withKey('read'))
    const unknown = await ask('/dashboard/api/codes?appId=nobody', withKey('read'))
    expect(unknown).toMatchObject({ status: 403, body: foreign.body })
  })

  test('a key sees its own app only, with no secret key in it', async () => {
    const { body, text } = await ask(APPS, withKey('other'))
    expect(body).toMatchObject({ success: true, apps: [{ id: 'other', name: 'Other', dsn: null }] })
    expect(text).not.toContain('ei_live')
  })

  test('Authorization: Bearer works as X-API-Key does', async () => {
    const headers = { Authorization: 'Bearer ei_live_read_0123456789' }
    expect((await ask(READS[2], { headers })).status).toBe(200)
  })

  test.each([
    ['upload', { method: 'POST', body: '{}' }, 400],
    ['upload-batch', { method: 'POST', body: '{}' }, 400],
    ['list', {}, 200],
    ['1.0.0', { method: 'DELETE' }, 200],
  ])('in production sourcemaps/%s needs the scope sourcemaps', async (name, init, status) => {
    const list = () => Promise.resolve([])
    const done = () => Promise.resolve()
    const maps = { put: done, list, remove: done }
    const api = anApi({ production: true, apps: [shop], store: { sourceMaps: maps } })
    const path = `/api/v1/sourcemaps/${name}`
    expect((await api.ask(path, { ...init, ...withKey('sourcemaps') })).status).toBe(status)
    expect((await api.ask(path, init)).status).toBe(401)
    for (const key of ['ingest', 'read', 'admin']) {
      expect((await api.ask(path, { ...init, ...withKey(key) })).status, key).toBe(403)
    }
    const development = anApi({ apps: [shop], store: { sourceMaps: maps } })
    expect((await development.ask(path, { ...init, ...withKey('ingest') })).status).toBe(status)
    expect((await development.ask(path, { ...init, ...withKey('read') })).status).toBe(403)
  })
})

describe('parameters', () => {
  const { ask } = anApi({ store: empty })

  test.each([
    ['errors?', 'appId is needed'],
    ['errors?appId=', 'appId is needed'],
    ['trends?', 'appId is needed'],
    ['codes?', 'appId is needed'],
    ['issues?', 'appId is needed'],
    ['issues?appId=a&limit=1001', 'limit must be a whole number from 1 to 1000'],
    ['errors/550e8400-e29b-41d4-a716-446655440000?', 'appId is needed'],
    [`errors?appId=${'a'.repeat(201)}`, 'appId must have at most 200'],
    ['errors?appId=a&appId=b', 'appId may be given only once'],
    ['errors?appId=a&limit=abc', 'limit must be a whole number from 1 to 1000'],
    ['errors?appId=a&limit=0', 'limit must'],
    ['errors?appId=a&limit=1001', 'limit must'],
    ['errors?appId=a&limit=-1', 'limit must'],
    ['errors?appId=a&limit=1.5', 'limit must'],
    ['errors?appId=a&limit=1e2', 'limit must'],
    ['errors?appId=a&limit=0x10', 'limit must'],
    ['errors?appId=a&limit=99999999999999999999', 'limit must'],
    ['errors?appId=a&offset=-1', 'offset must be a whole number from 0 to 100000; use cursor'],
    ['errors?appId=a&offset=100001', 'offset must be a whole number from 0 to 100000; use cursor'],
    ['errors?appId=a&cursor=nonsense', 'cursor must be empty or the nextCursor'],
    ['errors?appId=a&cursor=&offset=1', 'offset and cursor exclude each other'],
    ['errors?appId=a&startTime=yesterday', 'startTime must be an ISO 8601 date and time with zone'],
    ['errors?appId=a&startTime=2024-02-30T00:00:00Z', 'startTime must be an ISO 8601'],
    ['errors?appId=a&startTime=2024-01-15T10:30:00', 'startTime must be an ISO 8601'],
    ['errors?appId=a&startTime=1705314600000', 'startTime must be an ISO 8601'],
    ['errors?appId=a&endTime=12024-01-15T10:30:00Z', 'endTime must be an ISO 8601'],
    ['trends?appId=a&endTime=now()', 'endTime must be an ISO 8601'],
    ['codes?appId=a&startTime=x', 'startTime must be an ISO 8601'],
    ['errors?appId=a&platform=amiga', 'platform must be one of ios, android, web'],
    ['errors?appId=a&level=bad', 'level must be one of fatal'],
    [`errors?appId=a&q=${'a'.repeat(1_025)}`, 'q must have at most 1024'],
    ['trends?appId=a&granularity=week', 'granularity must be one of hour, day'],
    ['trends?appId=a&fill=yes', 'fill must be one of true, false'],
    [
      'trends?appId=a&fill=true&startTime=2020-01-01T00:00:00Z&endTime=2024-01-01T00:00:00Z',
      'fill=true lists at most 10000 buckets',
    ],
    [
      'errors?appId=a&startTime=2024-01-15T10:30:00.001Z&endTime=2024-01-15T10:30:00Z',
      'startTime must not be after endTime',
    ],
    [
      'trends?appId=a&startTime=2024-01-16T00:00:00Z&endTime=2024-01-15T00:00:00Z',
      'startTime must not be after endTime',
    ],
    ['codes?appId=a&startTime=9999-12-31T23:59:59Z', 'startTime must not be after endTime'],
  ])('%#: %.80s → 400', async (path, error) => {
    const { status, body, headers } = await ask(`/dashboard/api/${path}`)
    expect(status).toBe(400)
    expect(body).toEqual({ success: false, error: containing(error) })
    expect(headers.get('x-error-code')).toBe('malformed')
  })

  test.each([
    'errors?appId=a&limit=1000&offset=100000',
    'errors?appId=a&limit=&offset=&code=&userId=&q=&startTime=&endTime=&platform=&unknown=1',
    `errors?appId=${'a'.repeat(200)}&q=${'a'.repeat(1_024)}`,
    'errors?appId=a&startTime=0000-01-01T00:00:00Z&endTime=9999-12-31T23:59:59.999Z',
    'errors?appId=a&startTime=2024-01-15T10:30:00Z&endTime=2024-01-15T10:30:00Z',
    'errors?appId=a&startTime=2024-01-15T10:30:00+02:00',
    'errors?appId=a&startTime=2024-01-15T10:30:00%2B02:00',
    'errors?appId=a&startTime=2024-01-15T10:30:00.123456Z',
    'errors?appId=a&endTime=1999-01-01T00:00:00Z',
    'trends?appId=a&fill=true&startTime=2023-01-01T00:00:00Z&endTime=2024-01-01T00:00:00Z',
    'codes?appId=a&endTime=1970-01-01T00:00:00Z',
  ])('%#: %.80s → 200', async (path) => {
    expect(await ask(`/dashboard/api/${path}`)).toMatchObject({ status: 200 })
  })

  test('what is no UUID is no event: 404 without asking the store', async () => {
    const { ask: plain, failures } = anApi()
    for (const id of [
      '1',
      'x'.repeat(5_000),
      "1'%20OR%201=1",
      '%00',
      '550e8400e29b41d4a716446655440000',
    ]) {
      const { status, body } = await plain(`/dashboard/api/errors/${id}?appId=test-app`)
      expect(status).toBe(404)
      expect(body).toEqual({
        success: false,
        error: 'The app has no event of this id, or no longer.',
      })
    }
    expect(failures).toEqual([])
  })
})

describe('methods', () => {
  const { ask } = anApi({ store: empty })

  test.each([...READS.slice(2), APPS])('%s answers HEAD as GET without a body', async (path) => {
    const { status, text } = await ask(path, { method: 'HEAD' })
    expect({ status, text }).toEqual({ status: 200, text: '' })
  })

  test.each([...READS, APPS])('%s lets no other origin in and no other method', async (path) => {
    const headers = { Origin: 'https://evil.example', 'Access-Control-Request-Method': 'GET' }
    for (const method of ['OPTIONS', 'GET', 'POST']) {
      const answer = await ask(path, { method, headers })
      expect(answer.headers.get('access-control-allow-origin')).toBeNull()
    }
    const post = await ask(path, { method: 'POST' })
    expect(post.status).toBe(405)
    expect(post.headers.get('allow')).toBe('GET, HEAD, OPTIONS')
  })
})

describe('a store that does not answer', () => {
  test.each([...READS, '/api/v1/sourcemaps/list'])(
    'is 503 with Retry-After on %s, and says neither why nor where',
    async (path) => {
      const { ask, failures, bugs } = anApi({ store: allAway })
      const headers = path.includes('sourcemaps') ? { 'X-API-Key': DEVELOPMENT_KEY } : {}
      const { status, body, headers: answered, text } = await ask(path, { headers })
      expect(status).toBe(503)
      expect(Number(answered.get('retry-after'))).toBeGreaterThan(0)
      expect(body).toEqual({
        success: false,
        error:
          'The event store is not available at the moment; nothing is lost, please try again shortly.',
      })
      expect(text).not.toMatch(/ECONN|10\.1|SELECT|occurrences/)
      expect(failures).toHaveLength(1)
      expect(bugs).toEqual([])
    },
  )

  test.each(READS)('is 503 in time when it hangs, and its question is ended: %s', async (path) => {
    const signals: (AbortSignal | undefined)[] = []
    const hang = (...given: readonly unknown[]) => {
      signals.push(z.instanceof(AbortSignal).parse(given.at(-1)))
      return new Promise<never>(() => undefined)
    }
    const store = { events: hang, event: hang, trends: hang, codes: hang, issues: hang }
    const { ask } = anApi({ store, timeoutMs: 50 })
    const { status, body } = await ask(path)
    expect(status).toBe(503)
    expect(body['error']).toBe(
      'The event store did not answer within 0.05 s; try again, or ask for less at once.',
    )
    expect(signals.map((signal) => signal?.aborted)).toEqual([true])
  })

  test('a client that goes away ends its question', async () => {
    let asked: (signal: AbortSignal) => void = () => undefined
    const question = new Promise<AbortSignal>((resolve) => (asked = resolve))
    const codes = (_app: string, _range: unknown, signal?: AbortSignal) => {
      if (signal !== undefined) asked(signal)
      return new Promise<never>(() => undefined)
    }
    const { app, failures, bugs } = anApi({ store: { codes } })
    const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' })
    try {
      await new Promise((resolve) => server.once('listening', resolve))
      const { port } = z.object({ port: z.number() }).parse(server.address())
      const client = new AbortController()
      const answer = fetch(`http://127.0.0.1:${port}${READS[3]}`, { signal: client.signal })
      const signal = await question
      expect(signal.aborted).toBe(false)
      client.abort()
      await expect(answer).rejects.toThrow()
      if (!signal.aborted) {
        await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
      }
      expect(signal.aborted).toBe(true)
      expect({ failures, bugs }).toEqual({ failures: [], bugs: [] })
    } finally {
      await new Promise((resolve) => server.close(resolve))
    }
  })
})

describe('/dashboard/api/apps', () => {
  const publicKey = { ...shop, keys: [aKey('public', ['ingest']), aKey('read', ['read'])] }

  test('answers the example of the README, with project number and DSN', async () => {
    const { body } = await anApi().ask(APPS)
    expect(body).toEqual({
      success: true,
      apps: [
        {
          id: 'test-app',
          name: 'Test Application',
          createdAt: '2024-01-01T00:00:00.000Z',
          projectId: 1_683_323_941,
          dsn: 'http://ei_test_key_12345@localhost/1683323941',
        },
      ],
    })
  })

  test('the DSN has the ingest-only key and the public address', async () => {
    for (const publicUrl of [
      'https://errors.example.com/base/',
      'https://errors.example.com/base',
    ]) {
      const api = anApi({ production: true, apps: [publicKey], publicUrl })
      const { text } = await api.ask(APPS, withKey('read'))
      expect(text).toMatch(
        /"dsn":"https:\/\/ei_live_public_0123456789@errors\.example\.com\/base\/\d+"/,
      )
      expect(text).not.toContain('ei_live_read')
    }
  })
})

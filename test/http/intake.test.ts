import { describe, expect, test } from 'vitest'
import { Refusal } from '../../src/refusal.ts'
import { anEvent, anIntake, KEY } from './support/intake.ts'

const URL_OF = {
  ingest: 'http://localhost/api/v1/ingest',
  test: 'http://localhost/api/v1/ingest/test',
}

describe('a batch', () => {
  test('is read when its turn comes, and its memory is lent on before its events are safe', async () => {
    const told: string[] = []
    const [turn, safe] = [Promise.withResolvers<undefined>(), Promise.withResolvers<undefined>()]
    const { send } = anIntake({
      turn: () => turn.promise,
      readBody: async (request) => {
        told.push('read')
        const bytes = new Uint8Array(await request.arrayBuffer())
        return { bytes, spend: () => told.push('spent'), release: () => told.push('released') }
      },
      accept: () => safe.promise,
    })
    const answer = send([anEvent()])
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(told).toEqual([])
    turn.resolve(undefined)
    await expect.poll(() => told).toEqual(['read', 'spent'])
    safe.resolve(undefined)
    expect((await answer).status).toBe(200)
    expect(told).toEqual(['read', 'spent', 'released'])
  })

  test('is answered with exactly the fields of the contract, and an id to name it by', async () => {
    const { send, stored, lines } = anIntake()
    const response = await send([anEvent(), anEvent()], { 'X-Request-Id': 'mine-1' })
    expect(response.status).toBe(200)
    expect(await response.json()).toEqual({ success: true, accepted: 2 })
    expect(response.headers.get('x-request-id')).toBe('mine-1')
    expect(response.headers.get('x-content-type-options')).toBe('nosniff')
    expect(response.headers.get('access-control-allow-origin')).toBe('*')
    expect(stored).toHaveLength(2)
    expect(lines).toMatchObject([
      {
        requestId: 'mine-1',
        protocol: 'native',
        appId: 'test-app',
        accepted: 2,
        refused: 0,
        status: 200,
      },
    ])
  })

  test('with one bad event keeps its neighbours and names the bad one', async () => {
    const { send, stored, ends } = anIntake()
    const bad = anEvent({ platform: 'toaster' })
    const response = await send([anEvent(), bad, anEvent()])
    expect(response.status).toBe(200)
    const answer: unknown = await response.json()
    expect(answer).toMatchObject({
      success: true,
      accepted: 2,
      rejected: [{ index: 1, id: bad['id'] }],
    })
    expect(JSON.stringify(answer)).toContain('platform must be one of ios, android, web')
    expect(stored).toHaveLength(2)
    expect(ends).toEqual([
      { protocol: 'native', outcome: { kind: 'refused', reason: 'malformed' }, count: 1 },
    ])
  })

  test('without a valid event is refused with the same list', async () => {
    const { send, stored, ends } = anIntake()
    const response = await send([anEvent({ code: '' }), anEvent({ id: 'x' })])
    expect(response.status).toBe(400)
    expect(await response.json()).toMatchObject({
      success: false,
      error: 'None of the events is valid: code must be a string of 1 to 200 characters.',
      rejected: [{ index: 0 }, { index: 1, id: 'x', error: 'id must be a UUID.' }],
    })
    expect(response.headers.get('x-error-code')).toBe('malformed')
    expect(stored).toEqual([])
    expect(ends.map(({ count }) => count)).toEqual([1, 1])
  })

  test('with an event of another app is refused whole, in the exact words, each event counted', async () => {
    const { send, stored, ends } = anIntake()
    const response = await send([anEvent(), anEvent({ appId: 'other' }), anEvent({ code: 1 })])
    expect(response.status).toBe(400)
    expect(await response.json()).toEqual({
      success: false,
      error: 'Some events do not match authenticated app. Expected appId: test-app',
    })
    expect(stored).toEqual([])
    expect(ends).toHaveLength(3)
  })

  test('that cannot be kept safe gets 503 with Retry-After, and each event one outcome', async () => {
    const { send, ends, budget } = anIntake({
      accept: () =>
        Promise.reject(new Refusal('overloaded', 'The spool is full.', { retryAfterSeconds: 7 })),
    })
    const response = await send([anEvent(), anEvent(), anEvent({ level: 'loud' })])
    expect(response.status).toBe(503)
    expect(response.headers.get('retry-after')).toBe('7')
    expect(await response.json()).toEqual({ success: false, error: 'The spool is full.' })
    expect(ends.map(({ outcome, count }) => [outcome, count])).toEqual([
      [{ kind: 'refused', reason: 'overloaded' }, 2],
      [{ kind: 'refused', reason: 'malformed' }, 1],
    ])
    expect(budget.used()).toBe(0)
  })

  test('that meets a bug of ours gets a generic 500 that browsers may read, and the bug is told', async () => {
    const { send, bugs, lines, budget } = anIntake({
      accept: () => Promise.reject(new TypeError('secret detail')),
    })
    const response = await send([anEvent()])
    expect(response.status).toBe(500)
    const text = await response.text()
    expect(text).not.toContain('secret')
    expect(text).toContain(response.headers.get('x-request-id') ?? 'no id')
    expect(response.headers.get('access-control-allow-origin')).toBe('*')
    expect(bugs).toHaveLength(1)
    expect(lines).toMatchObject([{ status: 500, code: 'internal' }])
    expect(budget.used()).toBe(0)
  })
})

describe('a limit', () => {
  const over = (policy: 'requests' | 'quota') =>
    new Refusal(policy === 'quota' ? 'quota' : 'rate_limited', 'Too many.', {
      retryAfterSeconds: 7,
      limit: { policy, quota: 12.5, windowSeconds: 1 },
    })

  test('that is reached is said before the body is read, in all headers, and counted once', async () => {
    const { send, ends, lines } = anIntake({
      readBody: () => Promise.reject(new Error('was read')),
      enter: () => {
        throw over('requests')
      },
    })
    const response = await send([anEvent(), anEvent()])
    expect(response.status).toBe(429)
    expect(await response.json()).toEqual({ success: false, error: 'Too many.' })
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'retry-after': '7',
      'x-error-code': 'rate_limited',
      'ratelimit-policy': '"requests";q=13;w=1',
      ratelimit: '"requests";r=0;t=7',
      'ratelimit-limit': '13',
      'ratelimit-remaining': '0',
      'ratelimit-reset': '7',
    })
    expect(response.headers.get('access-control-expose-headers')).toMatch(/Retry-After.*RateLimit/)
    expect(ends).toEqual([
      { protocol: 'native', outcome: { kind: 'refused', reason: 'rate_limited' }, count: 1 },
    ])
    expect(lines).toMatchObject([{ appId: 'test-app', status: 429, code: 'rate_limited' }])
  })

  test('of events refuses the whole request, and each event of it is counted once', async () => {
    const taken: number[] = []
    const { send, stored, ends, budget } = anIntake({
      enter: (app, key) => ({
        take: (events) => {
          taken.push(events)
          expect([app.id, key]).toEqual(['test-app', KEY])
          throw over('quota')
        },
        giveBack: () => taken.push(0),
      }),
    })
    const response = await send([anEvent(), anEvent(), anEvent({ level: 'loud' })])
    expect(response.status).toBe(429)
    expect(response.headers.get('x-error-code')).toBe('quota')
    expect(taken).toEqual([2, 0])
    expect(stored).toEqual([])
    expect(ends.map(({ outcome, count }) => [outcome, count])).toEqual([
      [{ kind: 'refused', reason: 'quota' }, 2],
      [{ kind: 'refused', reason: 'malformed' }, 1],
    ])
    expect(budget.used()).toBe(0)
  })

  test('gets back what could not be kept, and only that', async () => {
    const calls: (number | string)[] = []
    const enter = () => ({
      take: (events: number) => calls.push(events),
      giveBack: () => calls.push('back'),
    })
    const full = anIntake({
      enter,
      accept: () => Promise.reject(new Refusal('overloaded', 'Full.')),
    })
    expect((await full.send([anEvent()])).status).toBe(503)
    expect((await anIntake({ enter }).send([anEvent()])).status).toBe(200)
    expect(calls).toEqual([1, 'back', 1])
  })
})

describe('a key', () => {
  test.each([
    ['missing', { 'X-API-Key': '' }, 401, 'unauthenticated'],
    ['unknown', { 'X-API-Key': 'ei_nobody' }, 401, 'unauthenticated'],
    ['revoked', { 'X-API-Key': 'revoked' }, 403, 'forbidden'],
    ['of all apps', { 'X-API-Key': 'all-apps' }, 403, 'forbidden'],
  ])('that is %s is refused before the body is read', async (_, headers, status, code) => {
    const { post, ends } = anIntake({ readBody: () => Promise.reject(new Error('was read')) })
    const response = await post('{', headers)
    expect(response.status).toBe(status)
    expect(response.headers.get('x-error-code')).toBe(code)
    expect(ends).toEqual([
      { protocol: 'native', outcome: { kind: 'refused', reason: code }, count: 1 },
    ])
  })

  test('may come as a bearer token', async () => {
    const { send } = anIntake()
    const headers = { 'X-API-Key': '', Authorization: `bearer ${KEY}` }
    expect((await send([anEvent()], headers)).status).toBe(200)
  })

  test('can be tried without an event', async () => {
    const { fetch } = anIntake()
    const yes = await fetch(new Request(URL_OF.test, { headers: { 'X-API-Key': KEY } }))
    expect(await yes.json()).toEqual({
      success: true,
      appId: 'test-app',
      appName: 'Test Application',
    })
    const no = await fetch(new Request(URL_OF.test))
    expect(no.status).toBe(401)
    const answer: unknown = await no.json()
    expect(JSON.stringify(answer)).toMatch(/^\{"success":false,"error":"[^"]+\."\}$/)
  })
})

describe('a browser', () => {
  test.each(Object.values(URL_OF))(
    'may ask from any origin, without credentials: %s',
    async (url) => {
      const { fetch } = anIntake()
      const response = await fetch(
        new Request(url, {
          method: 'OPTIONS',
          headers: { Origin: 'https://shop.example', 'Access-Control-Request-Method': 'POST' },
        }),
      )
      expect(response.status).toBe(204)
      expect(response.headers.get('access-control-allow-origin')).toBe('*')
      expect(response.headers.get('access-control-allow-credentials')).toBeNull()
      const allowed = response.headers.get('access-control-allow-headers')?.toLowerCase() ?? ''
      for (const name of ['x-api-key', 'authorization', 'content-type', 'content-encoding']) {
        expect(allowed).toContain(name)
      }
    },
  )

  test('may read why it was refused', async () => {
    const { post } = anIntake()
    const response = await post('{}')
    expect(response.headers.get('access-control-allow-origin')).toBe('*')
    expect(response.headers.get('access-control-expose-headers')).toContain('Retry-After')
  })
})

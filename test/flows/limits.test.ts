import { connect } from 'node:net'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { startServer } from '../../src/node/server.ts'
import { aSite, anEvent, errorsOf, expectProblem, post, settings, type Site } from './support.ts'

const KEYS = {
  requests: 'limits_requests_key',
  events: 'limits_events_key_1',
  quota: 'limits_quota_key_01',
  calm: 'limits_calm_key_001',
  spiky: 'limits_spiky_key_01',
}
/** So slow that nothing comes back while a test runs. */
const ONE_IN_AN_HOUR = 1 / 3_600
const APPS = JSON.stringify(
  [
    { id: 'by-requests', limits: { requestsPerSecond: ONE_IN_AN_HOUR, burst: 3_600 * 3 } },
    { id: 'by-events', limits: { eventsPerSecond: ONE_IN_AN_HOUR, burst: 3_600 * 20 } },
    { id: 'by-quota', limits: { eventsPerDay: 50 } },
    { id: 'calm' },
    {
      id: 'spiky',
      limits: { spikeGuard: { eventsPerMinute: 4 } },
      scrub: { globs: ['salary', 'user.email'], truncateIp: true },
    },
  ].map((app, at) => ({ name: app.id, ...app, keys: [{ key: Object.values(KEYS)[at] }] })),
)

const Ledger = z.object({
  ledger: z.array(
    z.object({
      protocol: z.string(),
      outcome: z.string(),
      reason: z.string(),
      count: z.number(),
    }),
  ),
})

let site: Site
beforeAll(async () => {
  site = await aSite({ APPS })
})
afterAll(() => site.close())

const send = (to: Pick<Site, 'call'>, appId: string, key: string, count = 1) => {
  const events = Array.from({ length: count }, () => anEvent({ appId }))
  return to.call('/api/v1/ingest', post({ events }, { 'X-API-Key': key }))
}
const envelope = (item: string, payload: object, key: string): RequestInit => ({
  method: 'POST',
  headers: { 'X-Sentry-Auth': `Sentry sentry_version=7, sentry_key=${key}` },
  body: `{}\n{"type":"${item}"}\n${JSON.stringify(payload)}`,
})
const projectOf = async (appId: string): Promise<string> => {
  const { text } = await site.call('/dashboard/api/apps')
  return /"projectId":(\d+)/.exec(text.slice(text.indexOf(`"id":"${appId}"`)))?.[1] ?? 'none'
}

describe('too many requests of a key', () => {
  test('are refused with 429 in the shape of each protocol, and the neighbour is not', async () => {
    for (let i = 0; i < 3; i++) {
      expect((await send(site, 'by-requests', KEYS.requests)).status).toBe(200)
    }
    const native = await send(site, 'by-requests', KEYS.requests, 5)
    expectProblem(native, 429, 'rate_limited', /requests a second; send again in \d+ seconds/)
    expect(native.headers.get('ratelimit')).toMatch(/^"requests";r=0;t=\d+$/)
    expect(native.headers.get('ratelimit-policy')).toMatch(/^"requests";q=1;w=1$/)
    expect(native.headers.get('ratelimit-remaining')).toBe('0')

    const path = `/api/${await projectOf('by-requests')}/envelope/`
    const sentry = await site.call(path, envelope('event', { message: 'x' }, KEYS.requests))
    expect(sentry.status).toBe(429)
    const seconds = sentry.headers.get('retry-after') ?? ''
    expect(Number(seconds)).toBeGreaterThan(0)
    expect(sentry.headers.get('x-sentry-rate-limits')).toBe(
      `${seconds}:default;error;feedback;log_item;security:key:rate_limited`,
    )

    const otlp = await site.call('/v1/logs', {
      method: 'POST',
      headers: { 'X-API-Key': KEYS.requests, 'Content-Type': 'application/json' },
      body: '{"resourceLogs":[]}',
    })
    expect(otlp.status).toBe(429)
    expect(otlp.headers.get('retry-after')).toMatch(/^\d+$/)
    expect(otlp.body).toMatchObject({ code: 8 })

    expect((await send(site, 'calm', KEYS.calm)).status).toBe(200)
  })

  test('are refused before the body has come, and the connection serves on', async () => {
    const { hostname, port } = new URL(site.url)
    const socket = connect(Number(port), hostname)
    await once(socket, 'connect')
    let answers = ''
    socket.setEncoding('latin1').on('data', (text: string) => (answers += text))
    const head = 'POST /api/v1/ingest HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n'
    socket.write(`${head}X-API-Key: ${KEYS.requests}\r\nContent-Length: 1000000\r\n\r\n{`)
    await vi.waitFor(() => expect(answers).toContain('HTTP/1.1 429'))
    socket.write(' '.repeat(999_999))
    socket.write(`GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
    await once(socket, 'close')
    expect(answers.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 429', 'HTTP/1.1 200'])
  })
})

test('events over the limit are refused whole and counted one by one; what is no error still passes', async () => {
  const refused = { protocol: 'native', outcome: 'refused', reason: 'rate_limited' }
  expect((await send(site, 'by-events', KEYS.events, 20)).status).toBe(200)
  const before = await site.metric('error_ingestor_events_total', refused)
  expectProblem(
    await send(site, 'by-events', KEYS.events, 7),
    429,
    'rate_limited',
    /events a second/,
  )
  expect(await site.metric('error_ingestor_events_total', refused)).toBe(before + 7)

  const path = `/api/${await projectOf('by-events')}/envelope/`
  const error = await site.call(path, envelope('event', { message: 'x' }, KEYS.events))
  expect(error.status).toBe(429)
  expect(error.headers.get('x-sentry-rate-limits')).toMatch(/^\d+:[a-z_;]*error[a-z_;]*:key:/)
  expect(error.headers.get('x-sentry-rate-limits')).not.toMatch(/transaction|session/)
  const other = await site.call(path, envelope('transaction', {}, KEYS.events))
  expect(other.status).toBe(200)
})

/** One more process on the same database, which it leaves as it is. */
async function aPod(): Promise<Pick<Site, 'call'> & { readonly stop: () => Promise<void> }> {
  const env: Record<string, string> = {
    ...(await settings()),
    APPS,
    CLICKHOUSE_DATABASE: site.database,
  }
  const server = await startServer(env)
  return {
    call: async (path, init) => {
      const response = await fetch(server.url.replace('localhost', '127.0.0.1') + path, init)
      const text = await response.text()
      return { status: response.status, headers: response.headers, text, body: bodyOf(text) }
    },
    stop: async () => {
      await server.stop()
      await rm(env['DATA_DIR'] ?? '', { recursive: true })
    },
  }
}

function bodyOf(text: string): unknown {
  return text.startsWith('{') ? JSON.parse(text) : undefined
}

test('the day of an app holds over processes, and over the start of a new one', async () => {
  const one = await aPod()
  const two = await aPod()
  const soon = { timeout: 20_000, interval: 250 }
  expect((await send(one, 'by-quota', KEYS.quota, 30)).status).toBe(200)
  expect((await send(two, 'by-quota', KEYS.quota, 1)).status).toBe(200)
  const table = () =>
    site.clickhouse.query('SELECT sum(events) AS sum FROM app_usage WHERE app_id = {id: String}', {
      id: 'by-quota',
    })
  await vi.waitFor(async () => expect(await table()).toEqual([{ sum: 31 }]), soon)
  // 19 are left, which each process knows after its next exchange with the others.
  await vi.waitFor(async () => {
    const answer = await send(two, 'by-quota', KEYS.quota, 45)
    expectProblem(answer, 429, 'quota', /50 events a day.*midnight UTC/)
    expect(Number(answer.headers.get('retry-after'))).toBeLessThanOrEqual(86_400)
    expect(answer.headers.get('ratelimit-policy')).toBe('"quota";q=50;w=86400')
  }, soon)
  const late = await aPod()
  await vi.waitFor(async () => {
    expect((await send(late, 'by-quota', KEYS.quota, 30)).status).toBe(429)
  }, soon)
  const metrics = (await late.call('/metrics')).text
  expect(metrics).toMatch(/^error_ingestor_quota_exchange_age_seconds \d/m)
  expect((await send(late, 'calm', KEYS.calm)).status).toBe(200)
  for (const pod of [one, two, late]) await pod.stop()
})

test('a flood of one issue is answered with yes, kept up to its budget, and the rest counted', async () => {
  const dropped = { protocol: 'native', outcome: 'dropped', reason: 'spike' }
  const flood = Array.from({ length: 30 }, () => anEvent({ appId: 'spiky', message: 'flood' }))
  const calm = anEvent({ appId: 'spiky', code: 'calm', message: 'calm' })
  const answer = await site.call(
    '/api/v1/ingest',
    post({ events: [...flood, calm] }, { 'X-API-Key': KEYS.spiky }),
  )
  expect(answer.body).toEqual({ success: true, accepted: 31 })
  expect(await site.metric('error_ingestor_events_total', dropped)).toBe(26)
  const { text } = await site.call('/dashboard/api/errors?appId=spiky')
  expect(text.match(/"message":"flood"/g)).toHaveLength(4)
  expect(text.match(/"message":"calm"/g)).toHaveLength(1)
})

test("an app's own rules of scrubbing hold for its events, and for no other's", async () => {
  const given = {
    message: 'login of 203.0.113.77 salary=9000',
    metadata: { user: { email: 'a@b.example', ip: '203.0.113.77' } },
  }
  for (const [appId, key] of [['spiky', KEYS.spiky] as const, ['calm', KEYS.calm] as const]) {
    const event = anEvent({ appId, ...given, code: 'own-rules' })
    await site.call('/api/v1/ingest', post({ events: [event] }, { 'X-API-Key': key }))
  }
  const own = errorsOf(await site.call('/dashboard/api/errors?appId=spiky&code=own-rules'))
  expect(own).toMatchObject([
    {
      message: 'login of 203.0.113.0 salary=[scrubbed]',
      metadata: { user: { email: '[scrubbed]', ip: '203.0.113.0' } },
      marks: ['message:scrubbed', 'metadata:scrubbed', 'message:anonymised', 'metadata:anonymised'],
    },
  ])
  const other = errorsOf(await site.call('/dashboard/api/errors?appId=calm&code=own-rules'))
  expect(other).toMatchObject([{ ...given, marks: [] }])
})

test('what limits refuse and drop is in the sum of every scrape, and in the ledger under its app', async () => {
  const { text } = await site.call('/metrics')
  const sum = (name: string) =>
    [...text.matchAll(new RegExp(`^error_ingestor_${name}(?:\\{.*\\})? (\\d+)$`, 'gm'))].reduce(
      (all, [, value]) => all + Number(value),
      0,
    )
  const received = sum('received_events_total') + sum('recovered_events_total')
  expect(received).toBe(sum('events_total') + sum('spool_events'))
  expect(received).toBeGreaterThan(60)
  const ledger = async (appId: string) => {
    const { body } = await site.call(`/dashboard/api/ledger?appId=${appId}`)
    const sums: Record<string, number> = {}
    for (const { protocol, outcome, reason, count } of Ledger.parse(body).ledger) {
      const name = `${protocol} ${outcome} ${reason}`.trimEnd()
      sums[name] = (sums[name] ?? 0) + count
    }
    return sums
  }
  expect(await ledger('spiky')).toEqual({ 'native dropped spike': 26, 'native stored': 6 })
  expect(await ledger('by-events')).toEqual({
    'native refused rate_limited': 7,
    'native stored': 20,
    'sentry refused rate_limited': 1,
  })
})

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { anEvent, KEY, post, settings } from '../flows/support.ts'

// What `npm start` runs. `npm test` builds it first; so must whoever runs this file alone.
const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url))
const SOON = { timeout: 20_000 }
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'

const Line = z.looseObject({ level: z.string(), time: z.iso.datetime(), msg: z.string() })
type Line = z.infer<typeof Line>

let output = ''
let url: string
let stop: () => Promise<void>
const lines = (msg?: string): Line[] =>
  output
    .split('\n')
    .slice(0, -1)
    .filter((line) => line.startsWith('{'))
    .map((line) => Line.parse(JSON.parse(line)))
    .filter((line) => msg === undefined || line.msg === msg)
const lineOf = async (fits: (line: Line) => boolean): Promise<Line> => {
  await vi.waitUntil(() => lines().some(fits), SOON)
  return lines().find(fits) ?? Line.parse({})
}

beforeAll(async () => {
  if (!existsSync(MAIN)) throw new Error('dist/main.js is missing: run `npm run build` first.')
  const { PATH, HOME } = process.env
  const own: Record<string, string> = {
    ...(await settings()),
    ...{ LOG_LEVEL: 'info', DELIVERY_AGE_MS_MAX: '20' },
    ...{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9', OTEL_TRACES_SAMPLER_ARG: '0' },
  }
  const child = spawn(process.execPath, [MAIN], {
    env: { PATH, HOME, ...own },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = once(child, 'close')
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (output += text))
  }
  const listening = await lineOf(({ msg }) => msg === 'listening')
  url = z.object({ url: z.string() }).parse(listening).url.replace('localhost', '127.0.0.1')
  stop = async () => {
    child.kill('SIGTERM')
    await ended
    await rm(own['DATA_DIR'] ?? '', { recursive: true, force: true })
  }
}, 60_000)
afterAll(() => stop())

const send = async (body: unknown, headers: Record<string, string> = {}, query = '') => {
  const answer = await fetch(`${url}/api/v1/ingest${query}`, post(body, headers))
  await answer.text()
  return { status: answer.status, id: answer.headers.get('x-request-id') }
}

test('a request is one line: who, what and how long, and a delivery is another', async () => {
  const { id } = await send(
    { events: [anEvent(), anEvent({ code: '' })] },
    { traceparent: `00-${TRACE}-00f067aa0ba902b7-01` },
  )
  const line = await lineOf(({ requestId }) => requestId === id)
  expect(line).toMatchObject({
    ...{ level: 'info', msg: 'request', method: 'POST', path: '/api/v1/ingest', status: 200 },
    ...{ protocol: 'native', appId: 'test-app', accepted: 1, refused: 1, traceId: TRACE },
  })
  expect(line['elapsedMs']).toBeGreaterThanOrEqual(0)
  expect(lines('request').filter(({ requestId }) => requestId === id)).toHaveLength(1)
  const delivered = await lineOf(({ msg }) => msg === 'delivered')
  expect(delivered).toMatchObject({ level: 'info', rows: 1, stored: 1, duplicate: 0 })
})

test('no line holds a key, a query, or a word of an event, whatever becomes of it', async () => {
  const secret = 'zq_word_of_an_event'
  const fields = { message: secret, stackTrace: secret, metadata: { password: secret } }
  await send({ events: [anEvent(fields)] }, {}, `?sentry_key=${secret}`)
  await send({ events: [anEvent({ ...fields, timestamp: secret })] })
  await send({ [secret]: secret }, { 'User-Agent': secret, Cookie: secret })
  await send({ events: [anEvent(fields)] }, { 'X-API-Key': secret })
  const garbage = { method: 'POST', headers: { 'X-API-Key': KEY }, body: `{"${secret}` }
  await fetch(`${url}/api/v1/ingest`, garbage)
  const id = (await send({ events: [] })).id
  await lineOf(({ requestId }) => requestId === id)
  expect(lines('request').map(({ status }) => status)).toContain(401)
  expect(output).not.toContain(secret)
  expect(lines().filter((line) => JSON.stringify(line).includes(KEY))).toEqual([])
})

test('probes are not lines, and what repeats is counted in one', async () => {
  const before = lines('request').length
  await fetch(`${url}/health/live`)
  for (let sent = 0; sent < 400; sent += 50) {
    await Promise.all(Array.from({ length: 50 }, () => send({ events: [] })))
  }
  const { msg, suppressed } = await lineOf(({ suppressed: one }) => Number(one) > 100)
  expect(msg).toBe(`suppressed ${Number(suppressed)} like this: request`)
  await vi.waitUntil(() => told() >= before + 400, SOON)
  expect(told()).toBe(before + 400)
  const written = lines('request').length - before
  expect(written).toBeLessThan(300)
  expect(lines().filter((line) => line['path'] === '/health/live')).toEqual([])
}, 60_000)

/** Requests that have a line, and those that a line counts. */
function told(): number {
  const counted = lines().filter(({ msg }) => msg.endsWith(' like this: request'))
  return lines('request').length + counted.reduce((sum, one) => sum + Number(one['suppressed']), 0)
}

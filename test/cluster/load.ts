// Runs in a pod: sends events at a steady rate, asks again for what failed, and says in the end what is missing.
import { randomUUID } from 'node:crypto'
import { Agent, createServer, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

/** What the load has seen so far; `lost` and `doubled` only after `/reconcile`. */
export interface LoadReport {
  readonly sent: number
  readonly acknowledged: number
  /** Requests that failed at first; each was sent again until it was taken. */
  readonly failures: readonly { readonly atMs: number; readonly why: string }[]
  readonly slowestMs: number
  readonly lost?: number | undefined
  readonly doubled?: number | undefined
  /** What the store counts under the code of this run. */
  readonly counted?: number | undefined
}

const { BASE_URL = '', API_KEY = '', APP_ID = '' } = process.env
const REQUESTS_PER_S = Number(process.env['REQUESTS_PER_S'] ?? 40)
const EVENTS_PER_REQUEST = 5
const CODE = `load/${randomUUID()}`
const RECONCILE_WITHIN_MS = 120_000

const kept = new Agent({ keepAlive: true, maxSockets: 64 })
const acknowledged = new Set<string>()
const failures: { atMs: number; why: string }[] = []
const open = new Set<Promise<void>>()
let [sent, slowestMs, stopped] = [0, 0, false]

createServer((incoming, answer) => {
  const report = incoming.url === '/reconcile' ? reconcile() : Promise.resolve(soFar())
  report.then(
    (value) => answer.end(JSON.stringify(value)),
    (error: unknown) => answer.writeHead(500).end(String(error)),
  )
}).listen(9_000)

for (let n = 0; !stopped; n++) {
  // Every second request comes over a connection of its own, as new clients do.
  const sending = send(events(), n % 2 === 0 ? kept : undefined).finally(() => open.delete(sending))
  open.add(sending)
  await sleep(1_000 / REQUESTS_PER_S)
}

function events() {
  return Array.from({ length: EVENTS_PER_REQUEST }, () => ({
    id: randomUUID(),
    code: CODE,
    message: 'Steady load.',
    stackTrace: '',
    appId: APP_ID,
    appVersion: '1.0.0',
    platform: 'node',
    platformVersion: '24',
    timestamp: new Date().toISOString(),
  }))
}

async function send(batch: ReturnType<typeof events>, agent: Agent | undefined): Promise<void> {
  sent += batch.length
  for (;;) {
    const startedMs = performance.now()
    const { status, text } = await ask('POST', '/api/v1/ingest', agent, { events: batch })
    slowestMs = Math.max(slowestMs, performance.now() - startedMs)
    if (status === 200) {
      for (const { id } of batch) acknowledged.add(id)
      return
    }
    failures.push({ atMs: Date.now(), why: `${status} ${text.slice(0, 120)}` })
    await sleep(500)
  }
}

/** Status 0 is a request without an answer. */
async function ask(method: string, path: string, agent?: Agent, body?: unknown) {
  return new Promise<{ status: number; text: string }>((resolve) => {
    const headers = { 'content-type': 'application/json', 'x-api-key': API_KEY }
    const asked = request(BASE_URL + path, {
      method,
      headers,
      agent: agent ?? false,
      timeout: 15_000,
    })
    asked.on('timeout', () => {
      asked.destroy(new Error('no answer within 15 s'))
    })
    asked.on('error', (error) => resolve({ status: 0, text: error.message }))
    asked.on('response', (answer) => {
      let text = ''
      answer.setEncoding('utf8').on('data', (part: string) => {
        text += part
      })
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text }))
      answer.on('error', (error) => resolve({ status: 0, text: error.message }))
    })
    asked.end(body === undefined ? undefined : JSON.stringify(body))
  })
}

function soFar(): LoadReport {
  return { sent, acknowledged: acknowledged.size, failures, slowestMs: Math.round(slowestMs) }
}

/** Ends the load, then reads every event back until all are there or time is up. */
async function reconcile(): Promise<LoadReport> {
  stopped = true
  while (open.size > 0) await Promise.all(open)
  const untilMs = Date.now() + RECONCILE_WITHIN_MS
  for (;;) {
    const found = await readBack()
    const ids = new Set(found.ids)
    const lost = [...acknowledged].filter((id) => !ids.has(id)).length
    const whole = found.counted === acknowledged.size && lost === 0
    if (whole || Date.now() > untilMs) {
      return { ...soFar(), lost, doubled: found.ids.length - ids.size, counted: found.counted }
    }
    await sleep(1_000)
  }
}

async function readBack(): Promise<{ ids: string[]; counted: number }> {
  const app = `appId=${encodeURIComponent(APP_ID)}`
  const ids: string[] = []
  let cursor = ''
  do {
    const page = await read(
      `/dashboard/api/errors?${app}&code=${encodeURIComponent(CODE)}&limit=1000&cursor=${encodeURIComponent(cursor)}`,
    )
    ids.push(...list(page, 'errors').map((event) => String(field(event, 'id'))))
    const next = field(page, 'nextCursor')
    cursor = typeof next === 'string' ? next : ''
  } while (cursor !== '')
  const codes = list(await read(`/dashboard/api/codes?${app}`), 'codes')
  const ours = codes.find((entry) => field(entry, 'code') === CODE)
  return { ids, counted: Number(field(ours, 'count') ?? 0) }
}

async function read(path: string): Promise<unknown> {
  for (let tries = 0; ; tries++) {
    const { status, text } = await ask('GET', path)
    if (status === 200) return JSON.parse(text)
    if (tries === 60) throw new Error(`${path}: ${status} ${text}`)
    await sleep(1_000)
  }
}

// The pod has no package that checks shapes.
function field(of: unknown, name: string): unknown {
  return typeof of === 'object' && of !== null ? new Map(Object.entries(of)).get(name) : undefined
}

function list(of: unknown, name: string): readonly unknown[] {
  const value = field(of, name)
  return Array.isArray(value) ? value : []
}

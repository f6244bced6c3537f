import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, inject } from 'vitest'
import { z } from 'zod'
import { nodeClickHouse } from '../../src/node/clickhouse.ts'
import { startServer, type RunningServer } from '../../src/node/server.ts'
import type { ClickHouse } from '../../src/store/clickhouse.ts'

/** The key of development mode. */
export const KEY = 'ei_test_key_12345'

/** An answer, read to its end. */
export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** Of JSON; undefined for anything else. */
  readonly body: unknown
}

/** The whole server on a database of its own. */
export interface Site {
  readonly url: string
  readonly database: string
  /** To look at raw rows. */
  readonly clickhouse: ClickHouse
  readonly call: (path: string, init?: RequestInit) => Promise<Answer>
  /** Sends events of the development app. */
  readonly ingest: (events: readonly unknown[], headers?: Record<string, string>) => Promise<Answer>
  /** Sends bytes as they are and resolves with all that comes back until the connection closes. */
  readonly raw: (...pieces: readonly (string | Uint8Array)[]) => Promise<string>
  /** Sum of a counter over the series whose labels hold all of these. */
  readonly metric: (name: string, labels?: Readonly<Record<string, string>>) => Promise<number>
  /** Statuses that `/openapi.json` does not say of the operations that were called; must be none. */
  readonly undocumented: () => Promise<readonly string[]>
  /** Its DATA_DIR. */
  readonly folder: string
  /** Stops the server and takes its database and its folder away. */
  readonly close: () => Promise<void>
}

/** Settings of a server on the run's ClickHouse, with a database and a folder of its own. */
export async function settings(): Promise<Record<string, string>> {
  return {
    PORT: '0',
    LOG_LEVEL: 'silent',
    CLICKHOUSE_HOST: inject('clickhouseUrl'),
    CLICKHOUSE_DATABASE: `flow_${randomUUID().replaceAll('-', '')}`,
    DATA_DIR: await mkdtemp(join(tmpdir(), 'error-ingestor-flow-')),
  }
}

/** Starts the server in this process, or takes a `started` one. */
export async function aSite(
  env: Readonly<Record<string, string>> = {},
  start: (env: NodeJS.ProcessEnv) => Promise<Pick<RunningServer, 'url' | 'stop'>> = startServer,
): Promise<Site> {
  const all = { ...(await settings()), ...env }
  const { CLICKHOUSE_DATABASE: database = '', DATA_DIR: folder = '' } = all
  const server = await start(all)
  // Not `localhost`, which would be asked of the resolver each time.
  const url = server.url.replace('localhost', '127.0.0.1')
  const login = { url: inject('clickhouseUrl'), user: 'default', password: '', timeoutMs: 30_000 }
  const clickhouse = nodeClickHouse({ ...login, database })
  const seen = new Set<string>()
  const call = async (path: string, init: RequestInit = {}): Promise<Answer> => {
    const response = await fetch(url + path, init)
    const text = await response.text()
    const isJson = response.headers.get('content-type')?.startsWith('application/json') === true
    const body: unknown = isJson && text !== '' ? JSON.parse(text) : undefined
    const [name = ''] = path.split('?')
    seen.add(`${init.method ?? 'GET'} ${name} ${response.status}`)
    return { status: response.status, headers: response.headers, text, body }
  }
  return {
    url,
    database,
    clickhouse,
    folder,
    call,
    ingest: (events, headers = {}) => call('/api/v1/ingest', post({ events }, headers)),
    raw: (...pieces) => raw(url, pieces),
    metric: async (name, labels = {}) => sumOf((await call('/metrics')).text, name, labels),
    undocumented: async () => undocumented((await call('/openapi.json')).body, seen),
    async close() {
      await server.stop()
      await clickhouse.command(`DROP DATABASE IF EXISTS ${database}`)
      await clickhouse.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** A POST of JSON with the development key. */
export function post(body: unknown, headers: Record<string, string> = {}): RequestInit {
  return {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', 'X-API-Key': KEY, ...headers },
    body: JSON.stringify(body),
  }
}

/** A valid event of the development app, of now, and what a test cares about. */
export function anEvent(fields: object = {}) {
  return {
    id: randomUUID().toLowerCase(),
    code: 'network/request-failed',
    message: 'Failed to fetch user data',
    stackTrace: 'Error: Failed\n    at load (app.js:1:1)',
    appId: 'test-app',
    appVersion: '1.0.0',
    platform: 'web',
    platformVersion: '17.0',
    timestamp: new Date().toISOString(),
    ...fields,
  }
}

const Listed = z.object({ errors: z.array(z.record(z.string(), z.unknown())) })

/** The events of an answer of `/dashboard/api/errors`. */
export function errorsOf({ body }: Answer): readonly Readonly<Record<string, unknown>>[] {
  return Listed.parse(body).errors
}

/** How the API says no: two fields and no more, one sentence, the code and the id in headers. */
export function expectProblem(answer: Answer, status: number, code: string, words?: RegExp): void {
  expect({ status: answer.status, code: answer.headers.get('x-error-code') }).toEqual({
    status,
    code,
  })
  const { error, ...rest } = z.looseObject({ error: z.string() }).parse(answer.body)
  expect(rest).toEqual({ success: false })
  expect(error).toMatch(/^[^\n]{10,}[.)}]?$/)
  expect(error).not.toMatch(/\bat .*:\d+:\d+|SELECT|INSERT|127\.0\.0\.1|ei_test_key/)
  if (words !== undefined) expect(error).toMatch(words)
  expect(answer.headers.get('x-request-id')).toMatch(/^[\w-]{8,}$/)
  if (status === 503 || status === 429) {
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
  }
}

async function raw(url: string, pieces: readonly (string | Uint8Array)[]): Promise<string> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  await once(socket, 'connect')
  let answer = ''
  socket.setEncoding('utf8').on('data', (text: string) => (answer += text))
  // A server that refuses may close before it has read everything.
  socket.on('error', () => undefined)
  const closed = once(socket, 'close')
  for (const piece of pieces) socket.write(piece)
  await closed
  return answer
}

/** Sum of the samples of a metric, in Prometheus text, whose labels hold all of `labels`. */
function sumOf(text: string, name: string, labels: Readonly<Record<string, string>>): number {
  let sum = 0
  for (const line of text.split('\n')) {
    const [, series, given = '', value] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? []
    if (series !== name) continue
    const isAsked = Object.entries(labels).every(([key, one]) => given.includes(`${key}="${one}"`))
    if (isAsked) sum += Number(value)
  }
  return sum
}

const Document = z.object({
  paths: z.record(
    z.string(),
    z.record(z.string(), z.looseObject({ responses: z.looseObject({}) })),
  ),
})

/** What was seen and is not in the document; a path or method that nobody has is no operation. */
function undocumented(document: unknown, seen: ReadonlySet<string>): readonly string[] {
  const { paths } = Document.parse(document)
  const patterns = Object.entries(paths)
    // `/a/test` is more exact than `/a/{id}`.
    .sort(([a], [b]) => a.split('{').length - b.split('{').length)
    .map(([path, operations]) => ({
      pattern: new RegExp(`^${path.replaceAll('.', '\\.').replaceAll(/\{\w+\}/g, '[^/]+')}$`),
      operations,
    }))
  return [...seen].filter((one) => {
    const [method = '', path = '', status = ''] = one.split(' ')
    if (method === 'OPTIONS' || status === '405') return false
    const name = method === 'HEAD' ? 'get' : method.toLowerCase()
    const found = patterns.find(({ pattern }) => pattern.test(path))
    if (found === undefined) return status !== '404'
    return found.operations[name]?.responses[status] === undefined
  })
}

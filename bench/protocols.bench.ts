// What an event costs in each wire format, beside native events of the same size: decoding alone, and the whole server.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startEmbedded } from '../src/node/embedded.ts'
import { projectIdOf } from '../src/keys/token.ts'
import { native } from '../src/protocols/native/index.ts'
import { otlp } from '../src/protocols/otlp/index.ts'
import type { Protocol } from '../src/protocols/protocol.ts'
import { sentry } from '../src/protocols/sentry/index.ts'
import { bodies } from './events.ts'
import { percentile, post } from './load.ts'
import { cpuSeconds, ready, startProgram, stopProgram } from './processes.ts'
import { largeNative, otlpBatch, sentryEnvelope } from './wire.ts'

const SINGLES = Number(process.env['BENCH_SINGLES'] ?? 10_000)
const EVENTS = Number(process.env['BENCH_EVENTS'] ?? 40_000)
const KEY = 'ei_test_key_12345'
const LARGE_BYTES = 10 * 1024
const BATCHED_BYTES = 2_700
const PAGE = 'docs/benchmarks.md'
const [BEGIN, END] = ['<!-- protocols: begin -->', '<!-- protocols: end -->']

interface Case {
  readonly name: string
  /** What it is compared with; absent for native events. */
  readonly beside?: string
  readonly protocol: Protocol
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly bodies: readonly Buffer[]
  readonly size: number
  readonly connections: number
}

const nowMs = Date.now()
const json = { 'Content-Type': 'application/json', 'X-API-Key': KEY }
const protobuf = { 'Content-Type': 'application/x-protobuf', 'X-API-Key': KEY }
const large = (make: typeof largeNative) =>
  Array.from({ length: SINGLES }, (_, n) => Buffer.from(make(n, nowMs, LARGE_BYTES)))
const batches = (encoding: 'json' | 'protobuf') =>
  Array.from({ length: EVENTS / 100 }, (_, n) =>
    otlpBatch(n * 100, 100, nowMs, BATCHED_BYTES, encoding),
  )
const single = { size: 1, connections: 64 }
const batched = { size: 100, connections: 16 }
const ingest = { protocol: native, path: '/api/v1/ingest', headers: json }
const LARGE = 'native, one event of 10 KB'
const BATCH = 'native, 100 events of 2.6 KB'
const makes: readonly (() => Case)[] = [
  () => ({ name: LARGE, ...ingest, ...single, bodies: large(largeNative) }),
  () => ({
    name: 'Sentry envelope, one event of 10 KB',
    beside: LARGE,
    protocol: sentry,
    path: `/api/${projectIdOf('test-app')}/envelope/?sentry_key=${KEY}&sentry_version=7`,
    headers: {},
    ...single,
    bodies: large(sentryEnvelope),
  }),
  () => ({ name: BATCH, ...ingest, ...batched, bodies: bodies(EVENTS / 100, 100).bodies }),
  () => ({
    name: 'OTLP logs in JSON, 100 records of 2.6 KB',
    beside: BATCH,
    protocol: otlp,
    path: '/v1/logs',
    headers: json,
    ...batched,
    bodies: batches('json'),
  }),
  () => ({
    name: 'OTLP logs in protobuf, 100 records of 2.6 KB',
    beside: BATCH,
    protocol: otlp,
    path: '/v1/logs',
    headers: protobuf,
    ...batched,
    bodies: batches('protobuf'),
  }),
]

interface Figures {
  readonly name: string
  readonly beside: string | undefined
  readonly bytes: number
  readonly decodeMicros: number
  readonly serverMicros: number
  readonly perSecond: number
  readonly p50: number
  readonly p99: number
}

const folder = mkdtempSync(join(tmpdir(), 'error-ingestor-bench-'))
const engine = await startEmbedded({ dataDir: join(folder, 'clickhouse'), say: () => undefined })
const all: Figures[] = []
try {
  for (const make of makes) all.push(await measure(make()))
} finally {
  await engine.close()
  rmSync(folder, { recursive: true, force: true })
}
print()

async function measure(one: Case): Promise<Figures> {
  const events = one.bodies.length * one.size
  const port = 20_000 + Math.floor(Math.random() * 20_000)
  const database = `bench_${all.length}`
  const server = await startProgram('dist/main.js', {
    PORT: String(port),
    CLICKHOUSE_HOST: engine.url,
    CLICKHOUSE_DATABASE: database,
    DATA_DIR: join(folder, database),
  })
  const base = `http://127.0.0.1:${port}`
  await ready(`${base}/health/ready`, server)
  // What the compiler needs to get going is no event's cost.
  const warm = Math.ceil(one.bodies.length / 5)
  await post({ ...one, port, bodies: one.bodies.slice(0, warm) })
  await stored(base, warm * one.size)
  const before = cpuSeconds(server.pid)
  const load = await post({ ...one, port, bodies: one.bodies.slice(warm) })
  await stored(base, events)
  const seconds = cpuSeconds(server.pid) - before
  await stopProgram(server.process)
  const counted = events - warm * one.size
  if (load.statuses[200] !== load.requests) {
    throw new Error(`${one.name}: ${JSON.stringify(load.statuses)}`)
  }
  return {
    name: one.name,
    beside: one.beside,
    bytes: one.bodies.reduce((sum, body) => sum + body.length, 0) / events,
    decodeMicros: decoding(one),
    serverMicros: (seconds * 1e6) / counted,
    perSecond: counted / load.seconds,
    p50: percentile(load.latenciesMs, 0.5),
    p99: percentile(load.latenciesMs, 0.99),
  }
}

/** CPU of decoding alone, in this process, its collection of garbage included; the best of five. */
function decoding({ protocol, path, headers, bodies: toDecode, size }: Case): number {
  const request = new Request(`http://localhost${path}`, { method: 'POST', headers })
  const some = toDecode.slice(0, Math.ceil(4_000 / size))
  const rounds = Array.from({ length: 5 }, () => {
    const before = process.cpuUsage()
    for (const body of some) {
      const given = { request, body, appId: 'test-app' }
      const { occurrences } = protocol.decode({ ...given, receivedAtMs: nowMs, eventsMax: 1_000 })
      if (occurrences.length !== size) throw new Error('Not all events were understood.')
    }
    const { user, system } = process.cpuUsage(before)
    return (user + system) / (some.length * size)
  })
  return Math.min(...rounds)
}

/** Resolves once the server has stored so many events. */
async function stored(base: string, events: number): Promise<void> {
  for (let tries = 0; tries < 600; tries += 1) {
    const text = await (await fetch(`${base}/metrics`)).text()
    const lines = text.matchAll(/^error_ingestor_events_total\{.*outcome="stored".*\} (\d+)$/gm)
    if ([...lines].reduce((sum, [, count]) => sum + Number(count), 0) >= events) return
    await sleep(100)
  }
  throw new Error('Not all that was acknowledged was stored within a minute.')
}

function print(): void {
  const times = (one: Figures, field: 'decodeMicros' | 'serverMicros') => {
    const base = all.find(({ name }) => name === one.beside)
    const micros = one[field].toFixed(1)
    return base === undefined
      ? micros
      : `${micros} (${(one[field] / base[field]).toFixed(2)} times)`
  }
  const text = [
    '| | bytes per event | decoding, CPU µs per event | whole server, CPU µs per event | accepted/s | p50 / p99 ms |',
    '| --- | --- | --- | --- | --- | --- |',
    ...all.map((one) => {
      const latency = `${one.p50.toFixed(1)} / ${one.p99.toFixed(1)}`
      const [decode, server] = [times(one, 'decodeMicros'), times(one, 'serverMicros')]
      return `| ${[one.name, Math.round(one.bytes), decode, server, Math.round(one.perSecond), latency].join(' | ')} |`
    }),
  ].join('\n')
  process.stdout.write(`${text}\n`)
  if (!process.argv.includes('--write')) return
  const page = readFileSync(PAGE, 'utf8')
  const begin = page.indexOf('\n', page.indexOf(BEGIN)) + 1
  writeFileSync(PAGE, `${page.slice(0, begin)}\n${text}\n\n${page.slice(page.indexOf(END))}`)
}

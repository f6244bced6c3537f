// What it costs to be watched: the metrics and the ledger of a request, a scrape, and traces at 1 %.
// Budget: metrics under 2 % of CPU at full load, the ledger of refusals under 1 %, tracing under 3 %.
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openLogger } from '../src/node/logger.ts'
import { createLedger } from '../src/node/ledger/ledger.ts'
import { openTelemetry } from '../src/node/telemetry.ts'
import { startEmbedded } from '../src/node/embedded.ts'
import { post } from './load.ts'
import { renewed } from './renewed.ts'
import { cpuSeconds, ready, startProgram, stopProgram } from './processes.ts'

const EVENTS = Number(process.env['BENCH_EVENTS'] ?? 30_000)
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 3)
const CALLS = 200_000
const HEADERS = { 'Content-Type': 'application/json', 'X-API-Key': 'ei_test_key_12345' }
const SCRAPE_EVERY_SECONDS = 15
const CONNECTIONS = 64

const folder = mkdtempSync(join(tmpdir(), 'error-ingestor-bench-'))
const say = (text: string) => process.stdout.write(`${text}\n`)
try {
  await metricsOfRequests()
  await ledgerOfRefusals()
  if (ROUNDS > 0) await tracing()
} finally {
  rmSync(folder, { recursive: true, force: true })
}

/** CPU of this process, in microseconds. */
function cpuMicros(): number {
  const { user, system } = process.cpuUsage()
  return user + system
}

/** All that a request with `events` events tells the metrics from its arrival to its last row. */
async function metricsOfRequests(): Promise<void> {
  const telemetry = openTelemetry(await openLogger({ level: 'silent', pretty: false }), '0')
  for (const events of [1, 100]) {
    const ends = [
      { appId: 'a', protocol: 'native', outcome: { kind: 'stored' }, count: events } as const,
    ]
    const tell = () => {
      telemetry.received('native', events, 2_600 * events)
      telemetry.stage('stages', 0.2, events)
      telemetry.stage('spool', 1.3, events)
      telemetry.kept('native', events)
      telemetry.request('POST', '/api/v1/ingest', 200, 2)
      telemetry.delivered(ends)
    }
    for (let i = 0; i < CALLS; i += 1) tell()
    const before = cpuMicros()
    for (let i = 0; i < CALLS; i += 1) tell()
    say(`metrics of a request with ${events} events: ${micros(before)} µs of CPU`)
  }
  const before = cpuMicros()
  for (let i = 0; i < 100; i += 1) await telemetry.metricsText(undefined)
  const scrape = (cpuMicros() - before) / 100
  const share = (scrape / 1e6 / SCRAPE_EVERY_SECONDS) * 100
  say(
    `a scrape: ${(scrape / 1_000).toFixed(1)} ms of CPU, every ${SCRAPE_EVERY_SECONDS} s ${share.toFixed(3)} % of a core`,
  )
}

function micros(before: number): string {
  return ((cpuMicros() - before) / CALLS).toFixed(2)
}

/** What it costs to note a refusal, by how many requests are refused in one turn of the process. */
async function ledgerOfRefusals(): Promise<void> {
  const ledger = createLedger({
    write: () => Promise.resolve(),
    say,
    nowMs: () => Date.now(),
  })
  ledger.open(folder)
  for (const atOnce of [1, 8, 64]) {
    const before = cpuMicros()
    for (let i = 0; i < CALLS; i += atOnce) {
      for (let k = 0; k < atOnce; k += 1) {
        ledger.count('app', 'native', { kind: 'refused', reason: 'rate_limited' }, 1)
      }
      await ledger.noted()
    }
    say(`the ledger of a refusal, ${atOnce} in a turn: ${micros(before)} µs of CPU`)
  }
  await ledger.close()
}

/** The same load against servers with and without tracing at 1 %, in turn. */
async function tracing(): Promise<void> {
  const receiver = createServer((request, response) => {
    request.resume().once('end', () => response.writeHead(200).end())
  }).listen(0, '127.0.0.1')
  const address = receiver.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const engine = await startEmbedded({ dataDir: join(folder, 'ch'), say: () => undefined })
  const on = {
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
    OTEL_TRACES_SAMPLER_ARG: '0.01',
  }
  const costs: Record<'off' | 'on', number[]> = { off: [], on: [] }
  try {
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const which of round % 2 === 0 ? (['off', 'on'] as const) : (['on', 'off'] as const)) {
        const env = which === 'on' ? on : {}
        costs[which].push(await costOf(engine.url, `r${round}_${which}`, env))
      }
    }
  } finally {
    await engine.close()
    receiver.close()
  }
  const [off, traced] = [least(costs.off), least(costs.on)]
  say(`CPU of an event, one in a request: ${off.toFixed(1)} µs, traced ${traced.toFixed(1)} µs`)
  say(`all rounds: off ${list(costs.off)}; on ${list(costs.on)}`)
  say(`tracing at 1 % costs ${((traced / off - 1) * 100).toFixed(1)} %`)
}

/** What a busy machine adds is never less than nothing. */
function least(costs: readonly number[]): number {
  return Math.min(...costs)
}

function list(costs: readonly number[]): string {
  return costs.map((cost) => cost.toFixed(1)).join(', ')
}

/** CPU microseconds of the server for an event. */
async function costOf(clickhouse: string, name: string, env: Record<string, string>) {
  const port = 20_000 + Math.floor(Math.random() * 20_000)
  const server = await startProgram('dist/main.js', {
    PORT: String(port),
    CLICKHOUSE_HOST: clickhouse,
    CLICKHOUSE_DATABASE: `bench_${name}`,
    DATA_DIR: join(folder, name),
    ...env,
  })
  await ready(`http://127.0.0.1:${port}/health/ready`, server)
  const send = (events: number) =>
    post({
      port,
      path: '/api/v1/ingest',
      headers: HEADERS,
      bodies: renewed(1, CONNECTIONS),
      requestsMax: events,
      connections: CONNECTIONS,
    })
  // Code that is not compiled yet would hide the difference.
  await send(EVENTS / 3)
  const before = cpuSeconds(server.pid)
  const { statuses, requests } = await send(EVENTS)
  const cost = ((cpuSeconds(server.pid) - before) * 1e6) / EVENTS
  if (statuses[200] !== requests) throw new Error(JSON.stringify(statuses))
  await stopProgram(server.process)
  return cost
}

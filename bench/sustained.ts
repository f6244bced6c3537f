// Whole minutes: full load, half of it, few single events, and a ClickHouse that is away for long.
// Budget: 30,000 events/s stored over a minute; p99 under 60 ms at half of it, under 15 ms at 1,000 single events/s;
// under 300 MB resident throughout; a backlog delivered at 15,000 events/s or more while new events come.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { nodeClickHouse } from '../src/node/clickhouse.ts'
import { startEmbedded } from '../src/node/embedded.ts'
import { percentile, post } from './load.ts'
import { cpuSeconds, memoryMb, ready, startProgram, stopProgram } from './processes.ts'
import { renewed } from './renewed.ts'

const SECONDS = Number(process.env['SUSTAINED_SECONDS'] ?? 60)
const AWAY_SECONDS = Number(process.env['AWAY_SECONDS'] ?? 600)
const AWAY_PER_SECOND = 5_000
const MEMORY_MB_MAX = 300
const HEADERS = { 'Content-Type': 'application/json', 'X-API-Key': 'ei_test_key_12345' }

const scenes = { full, half, singles, away } as const
const wanted = process.argv.slice(2)
const folder = mkdtempSync(join(tmpdir(), 'error-ingestor-sustained-'))
const dataDir = join(folder, 'clickhouse')
let engine = await startEmbedded({ dataDir, say: () => undefined })
const failed: string[] = []
try {
  for (const [name, scene] of Object.entries(scenes)) {
    if (wanted.length === 0 || wanted.includes(name)) await scene()
  }
} finally {
  await engine.close()
  rmSync(folder, { recursive: true, force: true })
}
process.stdout.write(`sustained: ${failed.length === 0 ? 'all promises kept' : 'FAILED'}\n`)
process.exitCode = failed.length === 0 ? 0 : 1

function tell(name: string, holds: boolean, figures: string): void {
  if (!holds) failed.push(name)
  process.stdout.write(`${holds ? 'ok    ' : 'FAILED'} ${name}: ${figures}\n`)
}

async function withServer(
  name: string,
  run: (server: Awaited<ReturnType<typeof startProgram>>, port: number) => Promise<void>,
): Promise<void> {
  const port = 20_000 + Math.floor(Math.random() * 20_000)
  const server = await startProgram('dist/main.js', {
    PORT: String(port),
    CLICKHOUSE_HOST: engine.url,
    CLICKHOUSE_DATABASE: name,
    DATA_DIR: join(folder, name),
    LOG_LEVEL: process.env['BENCH_LOG_LEVEL'] ?? 'info',
    SPOOL_BYTES_MAX: String(12e9),
  })
  try {
    await ready(`http://127.0.0.1:${port}/health/ready`, server)
    await run(server, port)
  } finally {
    await stopProgram(server.process)
  }
}

function load(
  port: number,
  size: number,
  connections: number,
  { seconds, perSecond }: { readonly seconds: number; readonly perSecond?: number },
): ReturnType<typeof post> {
  return post({
    ...{ port, path: '/api/v1/ingest', headers: HEADERS, connections },
    bodies: renewed(size, connections),
    secondsMax: seconds,
    ...(perSecond !== undefined && { perSecond }),
  })
}

/** Events stored in a database; also that none is there twice. */
async function stored(database: string): Promise<number> {
  const clickhouse = nodeClickHouse({
    ...{ url: engine.url, user: 'default', password: '', timeoutMs: 60_000 },
  })
  try {
    const [row] = await clickhouse.query(
      `SELECT toFloat64(count()) AS n, toFloat64(uniqExact(id)) AS ids FROM ${database}.occurrences`,
      {},
    )
    if (row === null || typeof row !== 'object' || !('n' in row) || !('ids' in row)) return 0
    if (row.n !== row.ids) throw new Error(`${Number(row.n)} rows of ${Number(row.ids)} events.`)
    return Number(row.n)
  } finally {
    await clickhouse.close()
  }
}

async function allStored(database: string, events: number, secondsMax: number): Promise<void> {
  const untilMs = performance.now() + secondsMax * 1_000
  while ((await stored(database)) < events) {
    if (performance.now() > untilMs) throw new Error('Not all that was acknowledged was stored.')
    await sleep(500)
  }
}

function refusals(statuses: Readonly<Record<number, number>>): number {
  return Object.entries(statuses).reduce(
    (n, [status, count]) => n + (status === '200' ? 0 : count),
    0,
  )
}

async function full(): Promise<void> {
  await withServer('full', async (server, port) => {
    const [cpu, engineCpu] = [cpuSeconds(server.pid), cpuSeconds(engine.pid() ?? 0)]
    const startedMs = performance.now()
    const { requests, statuses, latenciesMs } = await load(port, 100, 16, { seconds: SECONDS })
    const events = requests * 100
    await allStored('full', events, 60)
    const perSecond = (events * 1_000) / (performance.now() - startedMs)
    const { peak } = memoryMb(server.pid)
    const [ours, theirs] = [cpuSeconds(server.pid) - cpu, cpuSeconds(engine.pid() ?? 0) - engineCpu]
    const per100k = (seconds: number) => ((seconds * 100_000) / events).toFixed(2)
    tell(
      `full load for ${SECONDS} s, batches of 100 on 16 connections`,
      perSecond >= 30_000 && peak < MEMORY_MB_MAX && refusals(statuses) === 0,
      `${Math.round(perSecond)} events/s stored (${events} in all, each once), p99 ${percentile(latenciesMs, 0.99).toFixed(1)} ms, ` +
        `peak ${Math.round(peak)} MB, CPU s per 100,000: ${per100k(ours)} + ${per100k(theirs)} = ${per100k(ours + theirs)}`,
    )
  })
}

async function half(): Promise<void> {
  await withServer('half', async (_, port) => {
    await load(port, 100, 16, { seconds: 10, perSecond: 100 })
    const { requests, latenciesMs, statuses } = await load(port, 100, 16, {
      ...{ seconds: SECONDS, perSecond: 150 },
    })
    const p99 = percentile(latenciesMs, 0.99)
    tell(
      '15,000 events/s in batches of 100',
      p99 < 60 && refusals(statuses) === 0,
      `p50 ${percentile(latenciesMs, 0.5).toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, ${requests} requests`,
    )
  })
}

async function singles(): Promise<void> {
  await withServer('singles', async (_, port) => {
    await load(port, 1, 64, { seconds: 10, perSecond: 1_000 })
    const { requests, latenciesMs, statuses } = await load(port, 1, 64, {
      ...{ seconds: SECONDS, perSecond: 1_000 },
    })
    const p99 = percentile(latenciesMs, 0.99)
    tell(
      '1,000 single events/s',
      p99 < 15 && refusals(statuses) === 0,
      `p50 ${percentile(latenciesMs, 0.5).toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, ${requests} requests`,
    )
  })
}

async function away(): Promise<void> {
  const name = 'away'
  await withServer(name, async (server, port) => {
    const rate = { perSecond: AWAY_PER_SECOND / 100 }
    const { port: enginePort } = new URL(engine.url)
    await engine.close()
    const without = await load(port, 100, 16, { seconds: AWAY_SECONDS, ...rate })
    const peakAway = memoryMb(server.pid).peak
    engine = await startEmbedded({ dataDir, port: Number(enginePort), say: () => undefined })
    const before = await stored(name)
    const startedMs = performance.now()
    const meanwhile = load(port, 100, 16, { seconds: AWAY_SECONDS / 5, ...rate })
    const backlog = without.requests * 100
    await allStored(name, backlog, AWAY_SECONDS)
    const perSecond = ((backlog - before) * 1_000) / (performance.now() - startedMs)
    const after = await meanwhile
    await allStored(name, backlog + after.requests * 100, 120)
    const { peak } = memoryMb(server.pid)
    tell(
      `ClickHouse away for ${AWAY_SECONDS} s at ${AWAY_PER_SECOND} events/s`,
      perSecond >= 15_000 &&
        peak < MEMORY_MB_MAX &&
        refusals(without.statuses) + refusals(after.statuses) === 0,
      `${backlog} events waited, delivered at ${Math.round(perSecond)} events/s and more, with new ones at ${AWAY_PER_SECOND}/s beside; ` +
        `p99 ${percentile(without.latenciesMs, 0.99).toFixed(1)} ms while away, ${percentile(after.latenciesMs, 0.99).toFixed(1)} ms after; ` +
        `peak ${Math.round(peakAway)} MB while away, ${Math.round(peak)} MB in all; ${backlog + after.requests * 100} stored, each once`,
    )
  })
}

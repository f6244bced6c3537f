// What an event costs, beside the two ceilings: HTTP without keeping anything, ClickHouse without us.
// Budget: server + ClickHouse at most 5.0 CPU seconds per 100,000 events in batches of 100, at most 15 one by one.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startEmbedded } from '../src/node/embedded.ts'
import { nodeClickHouse } from '../src/node/clickhouse.ts'
import { group } from '../src/pipeline/group.ts'
import { blockTarget, encodeRows } from '../src/store/rows.ts'
import { native } from '../src/protocols/native/index.ts'
import { bodies } from './events.ts'
import { percentile, post, type LoadResult } from './load.ts'
import { renewed } from './renewed.ts'
import { cpuSeconds, ended, memoryMb, ready, startProgram, stopProgram } from './processes.ts'

const EVENTS = Number(process.env['BENCH_EVENTS'] ?? 600_000)
const SINGLES = Number(process.env['BENCH_SINGLES'] ?? 120_000)
/** Of the storage's ceiling, whose blocks all stand in memory. */
const CEILING_EVENTS = Math.min(EVENTS, 200_000)
const KEY = 'ei_test_key_12345'
const PAGE = 'docs/benchmarks.md'
const BEGIN = '<!-- intake: begin -->'
const END = '<!-- intake: end -->'
const HEADERS = { 'Content-Type': 'application/json', 'X-API-Key': KEY }

const folder = mkdtempSync(join(tmpdir(), 'error-ingestor-bench-'))
const engine = await startEmbedded({ dataDir: join(folder, 'clickhouse'), say: () => undefined })
const clickhouse = nodeClickHouse({
  url: engine.url,
  user: 'default',
  password: '',
  timeoutMs: 60_000,
})
const enginePid = engine.pid() ?? 0

interface Line {
  readonly name: string
  readonly serverCpu: number
  readonly clickhouseCpu: number
  readonly load: LoadResult | undefined
  readonly events: number
  readonly peakMb: number
  readonly stored: number | undefined
  readonly storedSeconds: number | undefined
}
const lines: Line[] = []

try {
  await ceilingOfClickHouse()
  for (const [size, connections] of [
    [100, 16],
    [1, 64],
  ] as const) {
    await ceilingOfHttp(size, connections)
    await ours(size, connections)
  }
  print()
} finally {
  await clickhouse.close()
  await engine.close()
  rmSync(folder, { recursive: true, force: true })
}

function loadOf(size: number, connections: number) {
  const events = size === 1 ? SINGLES : EVENTS
  const bodies = renewed(size, connections)
  return { events, load: { bodies, requestsMax: events / size, connections } }
}

/** The same rows in blocks of 10,000, ready before the clock runs, into a schema of their own. */
async function ceilingOfClickHouse(): Promise<void> {
  const database = 'ceiling'
  const migrating = await startProgram(
    'dist/main.js',
    { CLICKHOUSE_HOST: engine.url, CLICKHOUSE_DATABASE: database },
    ['migrate'],
  )
  await ended(migrating.process)
  await dropViews(database)
  const { bodies: made100 } = bodies(CEILING_EVENTS / 100, 100)
  const blocks: Uint8Array[][] = []
  for (const [i, body] of made100.entries()) {
    const { occurrences } = native.decode({
      request: new Request('http://x'),
      body,
      appId: 'test-app',
      receivedAtMs: Date.now(),
      eventsMax: 1000,
    })
    const block = (blocks[Math.floor(i / 100)] ??= [])
    block.push(encodeRows(occurrences, group).bytes)
  }
  const ready = blocks.map((pieces) => Buffer.concat(pieces))
  const { columns } = blockTarget(1)
  const before = cpuSeconds(enginePid)
  for (const block of ready) {
    await clickhouse.insert({
      table: `${database}.occurrences`,
      columns,
      body: [block],
      settings: {},
    })
  }
  await merged(database)
  lines.push({
    name: 'ceiling: ClickHouse, ready blocks of 10,000',
    serverCpu: 0,
    clickhouseCpu: cpuSeconds(enginePid) - before,
    load: undefined,
    events: CEILING_EVENTS,
    peakMb: memoryMb(enginePid).peak,
    stored: CEILING_EVENTS,
    storedSeconds: undefined,
  })
  await clickhouse.command(`DROP DATABASE ${database}`)
}

/** What exact counts and fast pages cost is ours, not the ceiling's. */
async function dropViews(database: string): Promise<void> {
  const views = await clickhouse.query(
    "SELECT name FROM system.tables WHERE database = {database: String} AND engine = 'MaterializedView'",
    { database },
  )
  for (const view of views) {
    if (view === null || typeof view !== 'object' || !('name' in view)) continue
    await clickhouse.command(`DROP TABLE ${database}.${String(view.name)}`)
  }
}

/** Lets merges that inserts have caused be counted too. */
async function merged(database: string): Promise<void> {
  for (let quiet = 0; quiet < 3;) {
    await sleep(300)
    const [row] = await clickhouse.query(
      'SELECT count() AS n FROM system.merges WHERE database = {database: String}',
      { database },
    )
    quiet = JSON.stringify(row) === '{"n":0}' || JSON.stringify(row) === '{"n":"0"}' ? quiet + 1 : 0
  }
}

async function ceilingOfHttp(size: number, connections: number): Promise<void> {
  const { events, load: toSend } = loadOf(size, connections)
  const port = 20_000 + Math.floor(Math.random() * 20_000)
  const bare = await startProgram('bench/bare.ts', { PORT: String(port) })
  await ready(`http://127.0.0.1:${port}/health/live`, bare)
  const before = cpuSeconds(bare.pid)
  const load = await post({
    port,
    path: '/api/v1/ingest',
    headers: HEADERS,
    ...toSend,
  })
  lines.push({
    name: `ceiling: Hono + JSON + zod, answer only; ${size} per request`,
    serverCpu: cpuSeconds(bare.pid) - before,
    clickhouseCpu: 0,
    load,
    events,
    peakMb: memoryMb(bare.pid).peak,
    stored: undefined,
    storedSeconds: undefined,
  })
  await stopProgram(bare.process)
}

async function ours(size: number, connections: number): Promise<void> {
  const { events, load: toSend } = loadOf(size, connections)
  const database = `bench_${size}`
  const port = 20_000 + Math.floor(Math.random() * 20_000)
  const server = await startProgram('dist/main.js', {
    PORT: String(port),
    CLICKHOUSE_HOST: engine.url,
    CLICKHOUSE_DATABASE: database,
    DATA_DIR: join(folder, database),
    LOG_LEVEL: process.env['BENCH_LOG_LEVEL'] ?? 'info',
  })
  const base = `http://127.0.0.1:${port}`
  await ready(`${base}/health/ready`, server)
  const [serverBefore, engineBefore] = [cpuSeconds(server.pid), cpuSeconds(enginePid)]
  const startedMs = performance.now()
  const load = await post({
    port,
    path: '/api/v1/ingest',
    headers: HEADERS,
    ...toSend,
  })
  if (load.statuses[200] !== load.requests) throw new Error(JSON.stringify(load.statuses))
  const stored = await allStored(database, events)
  const storedSeconds = (performance.now() - startedMs) / 1000
  await merged(database)
  lines.push({
    name: `error-ingestor; ${size} per request, ${connections} connections`,
    serverCpu: cpuSeconds(server.pid) - serverBefore,
    clickhouseCpu: cpuSeconds(enginePid) - engineBefore,
    load,
    events,
    peakMb: memoryMb(server.pid).peak,
    stored,
    storedSeconds,
  })
  await stopProgram(server.process)
}

/** Waits until as many rows as were acknowledged are there, each of an id of its own. */
async function allStored(database: string, events: number): Promise<number> {
  const count = async () => {
    const [row] = await clickhouse.query(
      `SELECT toUInt32(count()) AS n, toUInt32(uniqExact(id)) AS ids FROM ${database}.occurrences`,
      {},
    )
    return row !== null && typeof row === 'object' && 'n' in row && 'ids' in row
      ? { n: Number(row.n), ids: Number(row.ids) }
      : { n: 0, ids: 0 }
  }
  for (let tries = 0; tries < 600; tries += 1) {
    const { n, ids: unique } = await count()
    if (n >= events) {
      if (n !== unique || unique !== events)
        throw new Error(`Sent ${events}, stored ${n} rows of ${unique} ids.`)
      return unique
    }
    await sleep(100)
  }
  throw new Error('Not all that was acknowledged was stored within a minute.')
}

interface Row {
  readonly name: string
  readonly server: number
  readonly clickhouse: number
  readonly rest: readonly string[]
}

function rowOf({ load, events, ...line }: Line): Row {
  const per100k = (seconds: number) => (seconds * 100_000) / events
  const ms = (share: number) => percentile(load?.latenciesMs ?? [], share).toFixed(1)
  return {
    name: line.name,
    server: per100k(line.serverCpu),
    clickhouse: per100k(line.clickhouseCpu),
    rest: [
      load === undefined ? '' : String(Math.round(events / load.seconds)),
      line.storedSeconds === undefined ? '' : String(Math.round(events / line.storedSeconds)),
      load === undefined ? '' : `${ms(0.5)} / ${ms(0.99)}`,
      String(Math.round(line.peakMb)),
      line.stored === undefined ? '' : `${line.stored} of ${events}`,
    ],
  }
}

function print(): void {
  const rows = lines.map(rowOf)
  const [store, ...others] = rows
  const table = [
    '| | server + ClickHouse, CPU s per 100,000 events | accepted/s | stored/s | p50 / p99 ms | peak MB | stored |',
    '| --- | --- | --- | --- | --- | --- | --- |',
    ...rows.map(({ name, server, clickhouse, rest }) => {
      const sum = server + clickhouse
      const cost = `${server.toFixed(2)} + ${clickhouse.toFixed(2)} = ${sum.toFixed(2)}`
      return `| ${[name, cost, ...rest].join(' | ')} |`
    }),
  ]
  const ratios = [0, 2].flatMap((at) => {
    const [bare, us] = [others[at], others[at + 1]]
    if (store === undefined || bare === undefined || us === undefined) return []
    const ceiling = bare.server + store.clickhouse
    const ratio = (us.server + us.clickhouse) / ceiling
    return [
      `- ${us.name}: ${ratio.toFixed(2)} times the sum of the two ceilings (${ceiling.toFixed(2)}).`,
    ]
  })
  const text = [...table, '', ...ratios].join('\n')
  process.stdout.write(`${text}\n`)
  if (!process.argv.includes('--write')) return
  const page = readFileSync(PAGE, 'utf8')
  const begin = page.indexOf('\n', page.indexOf(BEGIN)) + 1
  writeFileSync(PAGE, `${page.slice(0, begin)}\n${text}\n\n${page.slice(page.indexOf(END))}`)
}

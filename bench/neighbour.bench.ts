// What an app feels of a neighbour that sends ten times what it may: p99 of its own requests, in turns
// with the neighbour silent, at its limit, and far over it, in one run.
// Budget: ten times the limit raises it by less than 25 %.
import { fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startEmbedded } from '../src/node/embedded.ts'
import { bodies } from './events.ts'
import { percentile, post } from './load.ts'
import { cpuSeconds, ready, startProgram, stopProgram } from './processes.ts'

const SECONDS = Number(process.env['NEIGHBOUR_SECONDS'] ?? 3)
const ROUNDS = Number(process.env['NEIGHBOUR_ROUNDS'] ?? 4)
const TIMES = 10
/** Of the neighbour: requests of ten events. */
const LIMIT = { requestsPerSecond: 50, eventsPerSecond: 500 }
const OWN_PER_SECOND = 100
const BATCH = 10
const KEYS = { own: 'ei_test_key_12345', neighbour: 'bench_neighbour_key' }
const RATES = { silent: 0, limit: LIMIT.requestsPerSecond, flood: LIMIT.requestsPerSecond * TIMES }

if (process.argv[2] === 'neighbour') beNeighbour(Number(process.argv[3]))
else process.exitCode = (await measure()) ? 0 : 1

/** A process of its own, so that making the load does not disturb who measures. */
function beNeighbour(port: number): void {
  const made = bodies(64, BATCH).bodies.map((body) =>
    Buffer.from(body.toString().replaceAll('"test-app"', '"neighbour"')),
  )
  process.on('message', (perSecond: number) => {
    const count = Math.round(perSecond * SECONDS)
    void post({
      ...{ port, path: '/api/v1/ingest', connections: 32, perSecond },
      headers: { 'Content-Type': 'application/json', 'X-API-Key': KEYS.neighbour },
      bodies: Array.from({ length: count }, (_, i) => made[i % made.length] ?? Buffer.alloc(0)),
    }).then(({ statuses }) => process.send?.(statuses))
  })
  process.on('disconnect', () => process.exit())
  process.send?.('ready')
}

async function measure(): Promise<boolean> {
  const folder = mkdtempSync(join(tmpdir(), 'error-ingestor-neighbour-'))
  const engine = await startEmbedded({ dataDir: join(folder, 'clickhouse'), say: () => undefined })
  const port = 20_000 + Math.floor(Math.random() * 20_000)
  const keys = [{ key: KEYS.neighbour }]
  const server = await startProgram('dist/main.js', {
    PORT: String(port),
    CLICKHOUSE_HOST: engine.url,
    DATA_DIR: folder,
    LOG_LEVEL: 'warn',
    APPS: JSON.stringify([{ id: 'neighbour', name: 'Neighbour', limits: LIMIT, keys }]),
  })
  const neighbour = fork(import.meta.filename, ['neighbour', String(port)])
  const answerOf = () => new Promise<unknown>((resolve) => neighbour.once('message', resolve))
  try {
    await Promise.all([answerOf(), ready(`http://127.0.0.1:${port}/health/ready`, server)])
    const own = bodies(OWN_PER_SECOND * SECONDS, BATCH).bodies
    const send = () =>
      post({
        ...{ port, path: '/api/v1/ingest', connections: 16, perSecond: OWN_PER_SECOND },
        headers: { 'Content-Type': 'application/json', 'X-API-Key': KEYS.own },
        bodies: own,
      })
    await send()
    const latencies: Record<keyof typeof RATES, number[]> = { silent: [], limit: [], flood: [] }
    const said: Record<string, Record<string, number>> = {}
    const cpu = { silent: 0, limit: 0, flood: 0 }
    for (let round = 0; round < ROUNDS; round++) {
      for (const kind of ['silent', 'limit', 'flood'] as const) {
        const before = cpuSeconds(server.pid)
        const answers = kind === 'silent' ? undefined : answerOf()
        if (answers !== undefined) neighbour.send(RATES[kind])
        const { latenciesMs, statuses } = await send()
        if (statuses[200] !== own.length) throw new Error(`Refused: ${JSON.stringify(statuses)}`)
        latencies[kind].push(...latenciesMs)
        for (const [status, count] of Object.entries((await answers) ?? {})) {
          said[kind] = { ...said[kind], [status]: (said[kind]?.[status] ?? 0) + Number(count) }
        }
        cpu[kind] += cpuSeconds(server.pid) - before
      }
    }
    return report(latencies, said, cpu)
  } finally {
    neighbour.disconnect()
    await stopProgram(server.process)
    await engine.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

function report(
  latencies: Readonly<Record<keyof typeof RATES, number[]>>,
  said: Readonly<Record<string, unknown>>,
  cpu: Readonly<Record<keyof typeof RATES, number>>,
): boolean {
  const p99 = { silent: 0, limit: 0, flood: 0 }
  for (const kind of ['silent', 'limit', 'flood'] as const) {
    const sorted = latencies[kind].sort((a, b) => a - b)
    p99[kind] = percentile(sorted, 0.99)
    process.stdout.write(
      `neighbour ${kind} (${RATES[kind]} requests/s): p50 ${percentile(sorted, 0.5).toFixed(1)} ms, ` +
        `p99 ${p99[kind].toFixed(1)} ms of ${sorted.length}; it got ${JSON.stringify(said[kind] ?? {})}; ` +
        `server CPU ${cpu[kind].toFixed(1)} s\n`,
    )
  }
  const raised = p99.flood / p99.silent - 1
  const good = raised < 0.25
  process.stdout.write(
    `p99 beside the flood: ${(raised * 100).toFixed(0)} % over silence, ` +
      `${((p99.flood / p99.limit - 1) * 100).toFixed(0)} % over a neighbour at its limit: ${good ? 'kept' : 'FAILED'}\n`,
  )
  return good
}

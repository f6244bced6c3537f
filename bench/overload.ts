// Five times what the server can take, for a minute: what it answers, how large it grows, how soon it is well again.
// Budget: only 200, 429 and 503; under 300 MB resident; normal within 10 s.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startEmbedded } from '../src/node/embedded.ts'
import { bodies } from './events.ts'
import { percentile, post } from './load.ts'
import { memoryMb, ready, startProgram, stopProgram } from './processes.ts'

const SECONDS = Number(process.env['OVERLOAD_SECONDS'] ?? 60)
const TIMES = 5
const BATCH = 100
const KEY = 'ei_test_key_12345'

const folder = mkdtempSync(join(tmpdir(), 'error-ingestor-overload-'))
const engine = await startEmbedded({ dataDir: join(folder, 'clickhouse'), say: () => undefined })
const port = 20_000 + Math.floor(Math.random() * 20_000)
const server = await startProgram('dist/main.js', {
  PORT: String(port),
  CLICKHOUSE_HOST: engine.url,
  DATA_DIR: folder,
  LOG_LEVEL: 'warn',
  SPOOL_BYTES_MAX: String(2 * 1024 ** 3),
})
let good = false
try {
  await ready(`http://127.0.0.1:${port}/health/ready`, server)
  const made = bodies(600, BATCH).bodies
  const send = (count: number, connections: number, flood = {}) =>
    post({
      ...{ port, path: '/api/v1/ingest', connections },
      headers: { 'Content-Type': 'application/json', 'X-API-Key': KEY },
      bodies: Array.from({ length: count }, (_, i) => made[i % made.length] ?? Buffer.alloc(0)),
      ...flood,
    })
  await send(600, 16)
  const alone = await send(600, 16)
  const capacity = 600 / alone.seconds
  const offered = capacity * TIMES
  const normal = percentile(alone.latenciesMs, 0.99)
  // Clients give up at the end of the minute, however few of theirs were answered.
  const flood = { perSecond: offered, secondsMax: SECONDS }
  const load = await send(Math.round(offered * SECONDS), 400, flood)
  const endMs = performance.now()
  const { peak } = memoryMb(server.pid)
  let normalAfterMs = Infinity
  while (performance.now() - endMs < 60_000) {
    const { latenciesMs, statuses } = await send(32, 16)
    if (statuses[200] !== 32 || percentile(latenciesMs, 0.99) > 2 * normal + 50) continue
    normalAfterMs = performance.now() - endMs
    break
  }
  const strange = Object.keys(load.statuses).filter((status) => !/^(200|429|503)$/.test(status))
  good = strange.length === 0 && peak < 300 && normalAfterMs < 10_000
  process.stdout.write(
    `${TIMES} times ${Math.round(capacity * BATCH)} events/s for ${Math.round(load.seconds)} s: ${JSON.stringify(load.statuses)}, ` +
      `p50 ${percentile(load.latenciesMs, 0.5).toFixed(0)} ms, peak ${Math.round(peak)} MB, normal after ${Math.round(normalAfterMs)} ms\n` +
      `overload: ${good ? 'all promises kept' : 'FAILED'}\n`,
  )
} finally {
  await stopProgram(server.process)
  await engine.close()
  rmSync(folder, { recursive: true, force: true })
}
process.exit(good ? 0 : 1)

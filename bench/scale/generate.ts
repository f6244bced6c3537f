// Fills a database with realistic events, made by ClickHouse itself: the same seed and number of rows
// make the same events. `--api URL` sends them to a running server instead, as clients would.
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { nodeClickHouse } from '../../src/node/clickhouse.ts'
import type { ClickHouse } from '../../src/store/clickhouse.ts'
import { bodies } from '../events.ts'
import { percentile, post } from '../load.ts'

const DAY_MS = 86_400_000
const DAYS = 90
const BLOCK_ROWS = 250_000
/** Small pieces on one thread: a laptop's engine has little memory. */
const SETTINGS = { max_threads: 1, max_block_size: 16_384, insert_deduplicate: 0 }
/** Each share covers all the time with a part of the rows, so that any number of them is a data set. */
const SHARES = 10

const { values } = parseArgs({
  options: {
    clickhouse: { type: 'string', default: 'http://127.0.0.1:8123' },
    database: { type: 'string', default: 'error_ingestor' },
    rows: { type: 'string', default: '10000000' },
    seed: { type: 'string', default: '7' },
    /** Which of the ten shares of the rows, as 0-2; all where absent. */
    shares: { type: 'string', default: '0-9' },
    /** Row of the first share to begin at: goes on with a run that was stopped. */
    from: { type: 'string', default: '0' },
    /** The newest event, as ISO 8601; now where absent. */
    end: { type: 'string' },
    api: { type: 'string' },
    key: { type: 'string', default: 'ei_test_key_12345' },
    perSecond: { type: 'string', default: '5000' },
  },
})

if (values.api === undefined) await fill()
else await send(values.api)

/** The views that look for resends are held off: they tell the time by the clock, and these events are old. */
async function fill(): Promise<void> {
  const database = values.database
  const clickhouse = nodeClickHouse({
    url: values.clickhouse,
    user: 'default',
    password: '',
    timeoutMs: 3_600_000,
  })
  const endMs = values.end === undefined ? Date.now() : Date.parse(values.end)
  const [first = 0, last = first] = values.shares.split('-').map(Number)
  const held = await heldOffViews(clickhouse, database)
  for (const view of held) await clickhouse.command(`DETACH TABLE ${database}.${view}`)
  try {
    await clickhouse.command(readFileSync('bench/scale/stacks.sql', 'utf8'), { database })
    const sql = readFileSync('bench/scale/events.sql', 'utf8')
    const perShare = Math.floor(Number(values.rows) / SHARES)
    for (let share = first; share <= last; share += 1) {
      const begin = share === first ? Number(values.from) : 0
      for (let from = begin; from < perShare; from += BLOCK_ROWS) {
        const params = {
          database,
          seed: values.seed,
          rows: values.rows,
          shares: SHARES,
          share,
          from,
          count: Math.min(BLOCK_ROWS, perShare - from),
          startMs: endMs - DAYS * DAY_MS,
          spanMs: DAYS * DAY_MS,
        }
        await clickhouse.command(sql, params, { settings: SETTINGS })
      }
      console.log(`${new Date().toISOString()} share ${share} of ${SHARES} is in: ${perShare} rows`)
    }
  } finally {
    for (const view of held) await clickhouse.command(`ATTACH TABLE ${database}.${view}`)
    await clickhouse.close()
  }
}

/** Those that write down ids by the moment they were stored. */
async function heldOffViews(clickhouse: ClickHouse, database: string): Promise<readonly string[]> {
  const rows = await clickhouse.query(
    `SELECT name FROM system.tables WHERE database = {database: String}
      AND engine = 'MaterializedView' AND match(name, '^(seen|arrivals)_view$')`,
    { database },
  )
  return rows.flatMap((row) =>
    typeof row === 'object' && row !== null && 'name' in row ? [String(row.name)] : [],
  )
}

async function send(url: string): Promise<void> {
  const size = 100
  const rows = Number(values.rows)
  const perSecond = Number(values.perSecond)
  const result = await post({
    port: Number(new URL(url).port),
    path: '/api/v1/ingest',
    headers: { 'Content-Type': 'application/json', 'X-API-Key': values.key },
    bodies: bodies(rows / size, size).bodies,
    connections: 16,
    perSecond: perSecond / size,
  })
  console.log({
    requests: result.requests,
    seconds: Math.round(result.seconds * 10) / 10,
    statuses: result.statuses,
    p50Ms: percentile(result.latenciesMs, 0.5),
    p99Ms: percentile(result.latenciesMs, 0.99),
  })
}

// How long the dashboard's questions take on a filled database (see generate.ts): for the largest app,
// through the API of a server of their own, beside the same questions without what the schema adds.
//   node bench/scale/queries.ts --data FOLDER --database NAME [--rounds 20] [--naive 3] [--load 5000] [--write]
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { z } from 'zod'
import { nodeClickHouse } from '../../src/node/clickhouse.ts'
import { startEmbedded } from '../../src/node/embedded.ts'
import { percentile } from '../load.ts'
import { ended, ready, startProgram, stopProgram } from '../processes.ts'

const DAY_MS = 86_400_000
const PORT = 3971
const SERVER = `http://127.0.0.1:${PORT}`
const PAGE = 'docs/benchmarks.md'
const [BEGIN, END] = ['<!-- scale: begin -->', '<!-- scale: end -->']
/** Of the dashboard, while events come in. */
const ASKED_PER_SECOND = 2

const { values } = parseArgs({
  options: {
    data: { type: 'string', default: './data' },
    database: { type: 'string', default: 'error_ingestor' },
    app: { type: 'string', default: 'test-app' },
    rounds: { type: 'string', default: '20' },
    /** The same without indexes and counts takes seconds each. */
    naive: { type: 'string', default: '3' },
    load: { type: 'string' },
    write: { type: 'boolean', default: false },
  },
})
const rounds = Number(values.rounds)

const Facts = z
  .array(
    z.object({
      rows: z.coerce.number(),
      app_rows: z.coerce.number(),
      end_ms: z.coerce.number(),
      id: z.string(),
      code: z.string(),
      issue: z.string(),
      user: z.string(),
    }),
  )
  .min(1)
const Sizes = z.array(z.object({ bytes: z.coerce.number(), row: z.coerce.number() })).min(1)

const engine = await startEmbedded({ dataDir: values.data, say: () => undefined })
const clickhouse = nodeClickHouse({
  url: engine.url,
  user: 'default',
  password: '',
  database: values.database,
  timeoutMs: 600_000,
})
const folder = mkdtempSync(join(tmpdir(), 'error-ingestor-scale-'))
const server = await startProgram('dist/main.js', {
  CLICKHOUSE_HOST: engine.url,
  CLICKHOUSE_DATABASE: values.database,
  DATA_DIR: folder,
  PORT: String(PORT),
  LOG_LEVEL: 'warn',
})
try {
  await ready(`${SERVER}/health/ready`, server)
  const text = await measured()
  console.log(text)
  if (values.write) {
    const page = readFileSync(PAGE, 'utf8')
    const [before = '', rest = ''] = page.split(BEGIN)
    writeFileSync(PAGE, `${before}${BEGIN}\n\n${text}\n\n${END}${rest.split(END)[1] ?? ''}`)
  }
} finally {
  await stopProgram(server.process)
  await clickhouse.close()
  await engine.close()
  rmSync(folder, { recursive: true, force: true })
}

interface Question {
  readonly name: string
  readonly path: string
  /** The same without rollups and indexes, ids counted in the question. */
  readonly naive?: string
}

interface Times {
  readonly p50: number
  readonly p95: number
}

async function measured(): Promise<string> {
  const facts = await factsOf()
  const questions = questionsOf(facts)
  const quiet = await timesOf(questions, ask, rounds)
  console.log(quiet)
  const loaded =
    values.load === undefined ? undefined : await whileLoaded(questions, Number(values.load))
  const naive = await timesOf(
    questions.filter((question) => question.naive !== undefined),
    askNaive,
    Number(values.naive),
  )
  const cell = (times: Times | undefined) =>
    times === undefined ? '' : `${times.p50.toFixed(0)} / ${times.p95.toFixed(0)}`
  const head = [
    'question',
    'p50 / p95 ms',
    ...(loaded ? ['while loaded'] : []),
    'naive, p50 / p95 ms',
  ]
  const lines = questions.map(({ name }) => [
    name,
    cell(quiet.get(name)),
    ...(loaded ? [cell(loaded.times.get(name))] : []),
    cell(naive.get(name)),
  ])
  return [
    `${(facts.rows / 1e6).toFixed(1)} million events, ${(facts.appRows / 1e6).toFixed(2)} million of the app; ` +
      `${facts.bytesPerRow.toFixed(0)} bytes on disk per event of ${facts.rowBytes.toFixed(0)}, all tables together.`,
    '',
    ...[head, head.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |`),
    ...(loaded ? ['', `While loaded: ${loaded.words}`] : []),
  ].join('\n')
}

async function factsOf() {
  const [facts] = Facts.parse(
    await clickhouse.query(
      `SELECT count() AS rows, countIf(app_id = {app: String}) AS app_rows,
        toUnixTimestamp64Milli(maxIf(timestamp, app_id = {app: String})) AS end_ms,
        toString(minIf(id, app_id = {app: String})) AS id, anyIf(code, app_id = {app: String}) AS code,
        anyIf(fingerprint, app_id = {app: String}) AS issue,
        anyIf(assumeNotNull(user_id), app_id = {app: String} AND user_id IS NOT NULL) AS user
      FROM occurrences`,
      { app: values.app },
    ),
  )
  const [sizes] = Sizes.parse(
    await clickhouse.query(
      `SELECT sum(bytes_on_disk) AS bytes, sumIf(data_uncompressed_bytes, table = 'occurrences') AS row
      FROM system.parts WHERE active AND database = {database: String} AND table != 'bench_stacks'`,
      { database: values.database },
    ),
  )
  if (facts === undefined || sizes === undefined) throw new Error('There are no events.')
  const { app_rows: appRows, end_ms: endMs, rows } = facts
  const perRow = { bytesPerRow: sizes.bytes / rows, rowBytes: sizes.row / rows }
  return { ...facts, ...perRow, appRows, endMs }
}

function questionsOf(facts: Awaited<ReturnType<typeof factsOf>>): Question[] {
  const iso = (ms: number) => new Date(ms).toISOString()
  const since = (days: number) =>
    `&startTime=${iso(facts.endMs - days * DAY_MS)}&endTime=${iso(facts.endMs)}`
  const from = (days: number) =>
    `FROM occurrences WHERE app_id = {app: String} AND timestamp >= fromUnixTimestamp64Milli(${facts.endMs - days * DAY_MS})`
  const page = 'SELECT * FROM (SELECT DISTINCT ON (id) *'
  const last = 'ORDER BY timestamp DESC) ORDER BY timestamp DESC LIMIT 101'
  const trend = (unit: string, days: number) =>
    `SELECT toStartOf${unit}(timestamp) AS t, uniqExact(id), uniqExact(code), uniqExact(user_id) ${from(days)} GROUP BY t ORDER BY t`
  const errors = (name: string, filter: string, days = 90, condition?: string): Question => ({
    name,
    path: `errors?appId=${values.app}${since(days)}${filter}`,
    ...(condition !== undefined && { naive: `${page} ${from(days)} ${condition} ${last}` }),
  })
  return [
    errors('first page, 24 h', '', 1, ''),
    errors('first page, 90 days', ''),
    {
      name: 'one by id',
      path: `errors/${facts.id}?appId=${values.app}`,
      naive: `SELECT * ${from(999)} AND id = '${facts.id}'`,
    },
    errors('code', `&code=${facts.code}`),
    errors('issue', `&issue=${facts.issue}`),
    errors('user', `&userId=${facts.user}`, 90, `AND user_id = '${facts.user}'`),
    errors('user, none', '&userId=nobody'),
    errors('platform', '&platform=node'),
    errors('version', '&appVersion=2.3.4'),
    errors('environment', '&environment=staging'),
    errors('level', '&level=fatal'),
    errors('text: a word', '&q=declined'),
    errors(
      'text: part of a number',
      '&q=/9913',
      90,
      `AND positionCaseInsensitiveUTF8(message, '/9913') > 0`,
    ),
    errors(
      'text: none',
      '&q=nowhere',
      90,
      `AND positionCaseInsensitiveUTF8(message, 'nowhere') > 0`,
    ),
    {
      name: 'trends, 7 d hourly',
      path: `trends?appId=${values.app}${since(7)}`,
      naive: trend('Hour', 7),
    },
    {
      name: 'trends, 90 d daily',
      path: `trends?appId=${values.app}${since(90)}&granularity=day`,
      naive: trend('Day', 90),
    },
    {
      name: 'codes',
      path: `codes?appId=${values.app}`,
      naive: `SELECT code, uniqExact(id) AS c ${from(90)} GROUP BY code ORDER BY c DESC`,
    },
    {
      name: 'issues, 90 d',
      path: `issues?appId=${values.app}${since(90)}`,
      naive: `SELECT fingerprint, uniqExact(id) AS c, min(timestamp), max(timestamp) ${from(90)} GROUP BY fingerprint ORDER BY c DESC LIMIT 100`,
    },
  ]
}

async function ask({ path, name }: Question): Promise<void> {
  const answer = await fetch(`${SERVER}/dashboard/api/${path}`)
  const body = await answer.text()
  if (!answer.ok) throw new Error(`${name}: ${answer.status} ${body.slice(0, 200)}`)
}

async function askNaive({ naive = '' }: Question): Promise<void> {
  const settings = { use_skip_indexes: 0, max_execution_time: 600 }
  await clickhouse.query(naive, { app: values.app }, { settings })
}

/** All questions in turn, `times` times, so that none has the caches for itself. */
async function timesOf(
  questions: readonly Question[],
  run: (question: Question) => Promise<void>,
  times: number,
): Promise<ReadonlyMap<string, Times>> {
  const taken = new Map<string, number[]>()
  for (let round = 0; round < times; round += 1) {
    for (const question of questions) {
      const startedMs = performance.now()
      await run(question)
      taken.set(question.name, [...(taken.get(question.name) ?? []), performance.now() - startedMs])
    }
  }
  return summary(taken)
}

function summary(taken: ReadonlyMap<string, readonly number[]>): ReadonlyMap<string, Times> {
  return new Map(
    [...taken].map(([name, all]) => {
      const sorted = all.toSorted((a, b) => a - b)
      return [name, { p50: percentile(sorted, 0.5), p95: percentile(sorted, 0.95) }]
    }),
  )
}

/** The same at two a second, while a process of its own sends events. */
async function whileLoaded(questions: readonly Question[], perSecond: number) {
  const seconds = Math.ceil((questions.length * rounds) / ASKED_PER_SECOND)
  const load = await startProgram('bench/scale/generate.ts', {}, [
    '--api',
    SERVER,
    '--rows',
    String(perSecond * seconds),
    '--perSecond',
    String(perSecond),
  ])
  const taken = new Map<string, number[]>()
  let lagMax = 0
  const startedMs = performance.now()
  for (let n = 0; n < questions.length * rounds; n += 1) {
    const question = questions[n % questions.length]
    const dueMs = startedMs + (n * 1_000) / ASKED_PER_SECOND
    await sleep(Math.max(0, dueMs - performance.now()))
    if (question === undefined) continue
    const sentMs = performance.now()
    await ask(question)
    taken.set(question.name, [...(taken.get(question.name) ?? []), performance.now() - sentMs])
    lagMax = Math.max(lagMax, await lagSeconds())
  }
  await ended(load.process)
  const words = `${perSecond} events/s for ${seconds} s, ${ASKED_PER_SECOND} questions/s; delivery was at most ${lagMax.toFixed(1)} s behind. The sender: ${load.output().replaceAll(/\s+/g, ' ')}`
  return { times: summary(taken), words }
}

async function lagSeconds(): Promise<number> {
  const metrics = await (await fetch(`${SERVER}/metrics`)).text()
  return Number(/^error_ingestor_delivery_lag_seconds (\S+)/m.exec(metrics)?.[1] ?? 0)
}

import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { APPS, type Events } from './events.ts'
import { toldMissing, type Destroyed } from './damage.ts'
import type { Ledger } from './load.ts'
import { DATABASE, type Server, type World } from './world.ts'

/** What was found when all was quiet again. */
export interface Findings {
  readonly acknowledged: number
  /** Acknowledged, not stored, and not told as damaged. */
  readonly lost: number
  /** Rows beyond the first of ids that only one server saw. */
  readonly doubleRows: number
  /** Ids that both servers saw and that stand there twice: allowed in the table, not in an answer. */
  readonly crossRows: number
  /** Events that an answer of the API tells more than once, or too many or too few of. */
  readonly doubleInAnswers: number
  readonly damagedRows: number
  /** Acknowledged events that are missing because a segment was spoilt, all of them told. */
  readonly missingAndTold: number
  readonly problems: readonly string[]
  /** What is no broken promise and yet worth knowing. */
  readonly notes: readonly string[]
}

/** What is compared. */
export interface Reconciled {
  readonly world: World
  readonly ledger: Ledger
  readonly events: Events
  readonly destroyed: ReadonlyMap<Server, Destroyed>
}

/** Compares what clients were told with the table and with every answer of the API. */
export async function reconcile({
  world,
  ledger,
  events,
  destroyed,
}: Reconciled): Promise<Findings> {
  const problems: string[] = []
  const notes: string[] = []
  const stored = await storedCounts(world)
  const missing = new Set<string>()
  for (const [server, rows] of destroyed) {
    for (const id of await missingOf(server, rows, problems)) missing.add(id)
  }
  let [lost, doubleRows, crossRows, missingAndTold, known] = [0, 0, 0, 0, 0]
  for (let index = 0; index < ledger.made(); index += 1) {
    const id = events.id(index)
    const rows = stored.get(id) ?? 0
    if (rows > 0) known += 1
    if (rows === 0 && ledger.isAcknowledged(index)) {
      if (missing.has(id)) missingAndTold += 1
      else lost += 1
      if (!missing.has(id) && lost <= 20) problems.push(`lost: ${id} (${index})`)
    }
    if (rows < 2) continue
    if (ledger.wasSentToBoth(index)) crossRows += rows - 1
    else doubleRows += rows - 1
    if (!ledger.wasSentToBoth(index) && doubleRows <= 20) problems.push(`double: ${id} (${index})`)
  }
  if (known !== stored.size) problems.push(`${stored.size - known} rows that nobody sent`)
  const seen = await count(world, `SELECT uniqExact(app_id, id) AS n FROM ${DATABASE}.seen`)
  // An insert that was cut short is completed by the next try; a spoilt segment knows of none.
  if (seen !== stored.size) notes.push(`seen has ${seen} ids, the table ${stored.size}`)
  const arrivals = await count(world, `SELECT uniqExact(app_id, id) AS n FROM ${DATABASE}.arrivals`)
  if (arrivals !== stored.size) notes.push(`arrivals has ${arrivals} of ${stored.size} ids`)
  let doubleInAnswers = 0
  const checks = APPS.map((app, i) =>
    checkAnswers(world.servers[i % 2 === 0 ? 0 : 1], world, app, {
      stored,
      missing,
      problems,
      notes,
    }),
  )
  for (const wrong of await Promise.all(checks)) doubleInAnswers += wrong
  let damagedRows = 0
  for (const server of world.servers) {
    damagedRows += await server.metric('error_ingestor_spool_damaged_events')
  }
  return {
    acknowledged: ledger.acknowledged(),
    ...{
      lost,
      doubleRows,
      crossRows,
      doubleInAnswers,
      damagedRows,
      missingAndTold,
      problems,
      notes,
    },
  }
}

/** The ids that a server says it lost; each must be one that was destroyed, and be told once. */
async function missingOf(
  server: Server,
  destroyed: Destroyed,
  problems: string[],
): Promise<ReadonlySet<string>> {
  const ids = new Set<string>()
  let told = 0
  for (const { ordinal, rows } of toldMissing(server.spoolDir)) {
    told += rows
    let strangers = 0
    for (let i = ordinal; i < ordinal + rows; i += 1) {
      const id = destroyed.get(i)
      if (id === undefined) strangers += 1
      else ids.add(id)
    }
    if (strangers > 0) {
      problems.push(`${server.name} tells ${strangers} of rows-${ordinal}-${rows} that were whole`)
    }
  }
  const gauge = await server.metric('error_ingestor_spool_damaged_events')
  if (gauge !== told) problems.push(`${server.name}: gauge ${gauge}, files ${told}`)
  return ids
}

async function ask(world: World, sql: string): Promise<string> {
  const answer = await patiently(() => fetch(world.engine.url, { method: 'POST', body: sql }))
  const { ok, text } = answer
  if (!ok) throw new Error(text.slice(0, 500))
  return text
}

/** Questions only: on a busy machine a connection may end in the middle of a long answer. */
async function patiently(
  ask: () => Promise<Response>,
): Promise<{ readonly ok: boolean; readonly text: string }> {
  for (let tries = 1; ; tries += 1) {
    try {
      const answer = await ask()
      return { ok: answer.ok, text: await answer.text() }
    } catch (error) {
      if (tries === 5) throw error
      await sleep(1_000)
    }
  }
}

async function count(world: World, sql: string): Promise<number> {
  return Number(await ask(world, `${sql} FORMAT TSV`))
}

const SLICES = 16

async function storedCounts(world: World): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>()
  for (let slice = 0; slice < SLICES; slice += 1) {
    const text = await ask(
      world,
      `SELECT id, count() FROM ${DATABASE}.occurrences WHERE cityHash64(id) % ${SLICES} = ${slice}
      GROUP BY id FORMAT TSV`,
    )
    for (let at = 0; at < text.length;) {
      const end = text.indexOf('\n', at)
      counts.set(text.slice(at, at + 36), Number(text.slice(at + 37, end)))
      at = end + 1
    }
  }
  return counts
}

const Page = z.object({
  errors: z.array(z.object({ id: z.string(), code: z.string(), timestamp: z.string() })),
  pagination: z.object({ hasMore: z.boolean() }),
  nextCursor: z.string().nullish(),
})
const Trends = z.object({ trends: z.array(z.object({ time: z.string(), count: z.number() })) })
const Codes = z.object({ codes: z.array(z.object({ code: z.string(), count: z.number() })) })

const ALL = 'startTime=1970-01-01T00:00:00.000Z&endTime=2100-01-01T00:00:00.000Z'

interface AnswersKnown {
  readonly stored: ReadonlyMap<string, number>
  /** Events whose frames were spoilt, and told. */
  readonly missing: ReadonlySet<string>
  readonly problems: string[]
  readonly notes: string[]
}

/** Reads all events of an app to the end, and compares codes and trends with them. */
async function checkAnswers(
  { url }: Server,
  world: World,
  app: (typeof APPS)[number],
  { stored, missing, problems, notes }: AnswersKnown,
): Promise<number> {
  const key = app.keys[0]?.key ?? ''
  const get = async (path: string): Promise<unknown> => {
    const { ok, text } = await patiently(() =>
      fetch(`${url}/dashboard/api/${path}&appId=${app.id}`, { headers: { 'X-API-Key': key } }),
    )
    if (!ok) throw new Error(`${path}: ${text}`)
    return JSON.parse(text)
  }
  const ids = new Set<string>()
  const byCode = new Map<string, number>()
  const byHour = new Map<string, number>()
  const byDay = new Map<string, number>()
  let [told, spoiltTwice] = [0, 0]
  for (let cursor: string | null | undefined = ''; cursor !== undefined && cursor !== null;) {
    const page = Page.parse(await get(`errors?${ALL}&limit=1000&cursor=${cursor}`))
    for (const { id, code, timestamp } of page.errors) {
      // Half stored by a ClickHouse that was killed, then spoilt, then sent again: nobody can know.
      if (ids.has(id) && missing.has(id)) spoiltTwice += 1
      else told += 1
      ids.add(id)
      add(byCode, code)
      add(byHour, `${timestamp.slice(0, 13)}:00:00.000Z`)
      add(byDay, `${timestamp.slice(0, 10)}T00:00:00.000Z`)
    }
    cursor = page.pagination.hasMore ? page.nextCursor : undefined
  }
  const expected = await count(
    world,
    `SELECT uniqExact(id) AS n FROM ${DATABASE}.occurrences WHERE app_id = '${app.id}'`,
  )
  let wrong = told - ids.size + Math.abs(expected - ids.size)
  if (wrong > 0) problems.push(`${app.id}: errors tells ${told}, ${ids.size} of ${expected} ids`)
  for (const id of ids) if (!stored.has(id)) wrong += 1
  if (spoiltTwice > 0) notes.push(`${app.id}: ${spoiltTwice} events of spoilt segments come twice`)
  const { codes } = Codes.parse(await get('codes?'))
  wrong += different(
    'codes',
    byCode,
    codes.map(({ code, count }) => [code, count]),
    problems,
  )
  for (const [granularity, by] of [
    ['hour', byHour],
    ['day', byDay],
  ] as const) {
    const { trends } = Trends.parse(await get(`trends?${ALL}&granularity=${granularity}`))
    const pairs = trends.map(({ time, count }): [string, number] => [time, count])
    wrong += different(`trends by ${granularity}`, by, pairs, problems)
  }
  return wrong
}

function add(to: Map<string, number>, name: string): void {
  to.set(name, (to.get(name) ?? 0) + 1)
}

/** By how many events an answer differs from the events themselves. */
function different(
  what: string,
  expected: ReadonlyMap<string, number>,
  told: readonly (readonly [string, number])[],
  problems: string[],
): number {
  const left = new Map(expected)
  let wrong = 0
  for (const [name, number] of told) {
    wrong += Math.abs(number - (left.get(name) ?? 0))
    left.delete(name)
  }
  for (const number of left.values()) wrong += number
  if (wrong > 0) problems.push(`${what} differs by ${wrong}`)
  return wrong
}

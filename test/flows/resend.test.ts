import { rm } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { aProcess, type Process } from './process.ts'
import { anEvent, settings } from './support.ts'

// One id sent again: every way to change it, in every place where it can come again, and what each
// answer says of it afterwards. Real processes on one database; each cell has an app of its own.

const HOUR_MS = 3_600_000
const base = Math.floor(Date.now() / HOUR_MS) * HOUR_MS - 3 * HOUR_MS + 60_000
const at = (ms: number) => new Date(ms).toISOString()

/** What the second one has instead of the first's. */
const CHANGES: Readonly<Record<string, object>> = {
  'the same': {},
  'another body': {
    message: 'changed',
    stackTrace: 'Error: changed\n    at g (b.js:2:2)',
    userId: 'v',
  },
  'another code': { code: 'changed/code' },
  'another time': { timestamp: at(base - 5 * HOUR_MS) },
  'another month': { timestamp: at(base - 40 * 24 * HOUR_MS) },
}
const PLACES = [
  'in the same block',
  'in another block',
  'to another process',
  'after a restart',
  'after 23 hours',
] as const
type Place = (typeof PLACES)[number]

interface Cell {
  readonly appId: string
  readonly key: string
  readonly first: ReturnType<typeof anEvent>
  readonly again: ReturnType<typeof anEvent>
}

function aCell(name: string, change: object): Cell {
  const appId = name.replaceAll(' ', '-')
  const first = anEvent({
    ...{ appId, code: 'first/code', message: 'first', userId: 'u', timestamp: at(base) },
    stackTrace: 'Error: first\n    at f (a.js:1:1)',
  })
  return { appId, key: `ei_${appId}`, first, again: { ...first, ...change } }
}
const cells = new Map(
  PLACES.map((place) => [
    place,
    Object.entries(CHANGES).map(([name, change]) => aCell(`${name} ${place}`, change)),
  ]),
)
const inRace = Object.entries(CHANGES).map(([name, change]) => aCell(`${name} in a race`, change))
const tooLate = aCell('the same after 27 hours', {})
const of = (place: Place) => cells.get(place) ?? []
const all = [...cells.values(), inRace, [tooLate]].flat()

let db: TestDatabase
let folders: readonly [Record<string, string>, Record<string, string>]
let one: Process
let two: Process

async function send({ url }: Process, key: string, events: readonly object[]): Promise<void> {
  const answer = await fetch(`${url}/api/v1/ingest`, {
    method: 'POST',
    headers: { 'X-API-Key': key, 'Content-Type': 'application/json' },
    body: JSON.stringify({ events }),
  })
  expect([answer.status, await answer.json()]).toEqual([
    200,
    { success: true, accepted: events.length },
  ])
}
const sendAll = (to: Process, some: readonly Cell[], which: 'first' | 'again') =>
  Promise.all(some.map((cell) => send(to, cell.key, [cell[which]])))

async function isDelivered({ url }: Process): Promise<boolean> {
  const metrics = await (await fetch(`${url}/metrics`)).text()
  return /^error_ingestor_spool_events 0$/m.test(metrics)
}
const delivered = (process: Process) =>
  vi.waitUntil(() => isDelivered(process), { timeout: 30_000, interval: 50 })

/** Nobody can wait so long: what ClickHouse notes with its own clock was noted that much earlier. */
async function hoursPass(hours: number): Promise<void> {
  // What the view finds every 20 s it has long found by then.
  await db.clickhouse.command('SYSTEM REFRESH VIEW doubles_view')
  await db.clickhouse.command('SYSTEM WAIT VIEW doubles_view')
  for (const [table, columns] of [
    ['seen', 'h0, h1, h2, id, app_id'],
    ['arrivals', 'app_id, id'],
  ] as const) {
    const { clickhouse } = db
    await clickhouse.command(`CREATE TABLE ${table}_before AS ${table} ENGINE = Memory`)
    await clickhouse.command(
      `INSERT INTO ${table}_before (${columns}, stored_at)
      SELECT ${columns}, stored_at - INTERVAL ${hours} HOUR FROM ${table}`,
    )
    await clickhouse.command(`TRUNCATE TABLE ${table}`)
    await clickhouse.command(
      `INSERT INTO ${table} SELECT * FROM ${table}_before SETTINGS insert_deduplicate = 0`,
    )
    await clickhouse.command(`DROP TABLE ${table}_before`)
  }
}

async function restarted(process: Process, env: Record<string, string>): Promise<Process> {
  await process.kill()
  return aProcess(env)
}

beforeAll(async () => {
  db = await createDatabase()
  const APPS = JSON.stringify(
    all.map(({ appId, key }) => ({
      id: appId,
      name: appId,
      keys: [{ key, scopes: ['ingest', 'read'] }],
    })),
  )
  const common = { LOG_LEVEL: 'error', CLICKHOUSE_DATABASE: db.database, APPS }
  folders = [
    { ...(await settings()), ...common },
    { ...(await settings()), ...common },
  ]
  one = await aProcess(folders[0])
  two = await aProcess(folders[1])

  await Promise.all(
    of('in the same block').map(({ key, first, again }) => send(one, key, [first, again])),
  )
  const others = PLACES.slice(1).flatMap(of)
  await sendAll(one, [...others, tooLate], 'first')
  await Promise.all([sendAll(one, inRace, 'first'), sendAll(two, inRace, 'again')])
  await Promise.all([delivered(one), delivered(two)])
  await sendAll(one, of('in another block'), 'again')
  await sendAll(two, of('to another process'), 'again')
  await Promise.all([delivered(one), delivered(two)])
  one = await restarted(one, folders[0])
  await sendAll(one, of('after a restart'), 'again')
  await delivered(one)
  one = await restarted(one, folders[0])
  await hoursPass(23)
  await sendAll(one, of('after 23 hours'), 'again')
  await delivered(one)
  one = await restarted(one, folders[0])
  await hoursPass(4)
  await send(one, tooLate.key, [tooLate.again])
  await delivered(one)
}, 240_000)
afterAll(async () => {
  for (const process of [one, two]) await process.kill()
  for (const { DATA_DIR = '' } of folders) await rm(DATA_DIR, { recursive: true, force: true })
  await db.drop()
})

const Answers = {
  errors: z.object({ errors: z.array(z.record(z.string(), z.unknown())) }),
  event: z.object({ error: z.record(z.string(), z.unknown()) }),
  codes: z.object({ codes: z.array(z.unknown()) }),
  trends: z.object({ trends: z.array(z.unknown()) }),
  issues: z.object({ issues: z.array(z.record(z.string(), z.unknown())) }),
  ledger: z.object({
    ledger: z.array(z.object({ outcome: z.string(), count: z.number() })),
  }),
}

async function ask({ appId, key }: Cell, path: string): Promise<unknown> {
  const range = `startTime=${at(base - 60 * 24 * HOUR_MS)}&endTime=${at(Date.now() + HOUR_MS)}`
  const url = `${one.url}/dashboard/api/${path}${path.includes('?') ? '&' : '?'}appId=${appId}&${range}`
  const answer = await fetch(url, { headers: { 'X-API-Key': key } })
  expect(answer.status).toBe(200)
  return answer.json()
}

const versionOf = ({ id, code, message, timestamp }: Record<string, unknown>) => ({
  ...{ id, code, message, timestamp },
})

/** What every answer says of a cell's app. */
async function said(cell: Cell) {
  const { errors } = Answers.errors.parse(await ask(cell, 'errors'))
  const { error } = Answers.event.parse(await ask(cell, `errors/${cell.first.id}`))
  const { issues } = Answers.issues.parse(await ask(cell, 'issues'))
  return {
    errors: errors.map(versionOf),
    event: versionOf(error),
    codes: Answers.codes.parse(await ask(cell, 'codes')).codes,
    hours: Answers.trends.parse(await ask(cell, 'trends?granularity=hour')).trends,
    days: Answers.trends.parse(await ask(cell, 'trends?granularity=day')).trends,
    ofCode: Answers.trends.parse(await ask(cell, `trends?code=${String(error['code'])}`)).trends,
    issues: issues.map(({ count, code, firstSeen, lastSeen }) => ({
      ...{ count, code, firstSeen, lastSeen },
    })),
  }
}

/** What every answer says where that version stands alone. */
function onlyThis(version: { id: unknown; code: string; message: unknown; timestamp: string }) {
  const bucket = (unitMs: number) => ({
    time: at(Math.floor(Date.parse(version.timestamp) / unitMs) * unitMs),
    ...{ count: 1, uniqueCodes: 1, affectedUsers: 1 },
  })
  const { code, timestamp } = version
  return {
    errors: [version],
    event: version,
    codes: [{ code, count: 1 }],
    hours: [bucket(HOUR_MS)],
    days: [bucket(24 * HOUR_MS)],
    ofCode: [bucket(HOUR_MS)],
    issues: [{ count: 1, code, firstSeen: timestamp, lastSeen: timestamp }],
  }
}

const Counted = z.array(z.object({ count: z.coerce.number() }))
async function rowsOf(appId: string): Promise<number | undefined> {
  const sql = 'SELECT count() AS count FROM occurrences WHERE app_id = {appId: String}'
  return Counted.parse(await db.clickhouse.query(sql, { appId }))[0]?.count
}

async function ledgerOf(cell: Cell): Promise<Readonly<Record<string, number>>> {
  const { ledger } = Answers.ledger.parse(await ask(cell, 'ledger'))
  const sums: Record<string, number> = {}
  for (const { outcome, count } of ledger) sums[outcome] = (sums[outcome] ?? 0) + count
  return sums
}

describe.each(PLACES)('an id that comes again %s', (place) => {
  test.each(of(place).map((cell, i) => [Object.keys(CHANGES)[i], cell] as const))(
    'as %s is one event, as it came first, in every answer',
    async (_, cell) => {
      const { id, code, message, timestamp } = cell.first
      expect(await said(cell)).toEqual(onlyThis({ id, code, message, timestamp }))
      expect(await rowsOf(cell.appId)).toBe(1)
      // The other process tells its part within seconds.
      await expect
        .poll(() => ledgerOf(cell), { timeout: 15_000, interval: 200 })
        .toEqual({ stored: 1, duplicate: 1 })
    },
  )
})

test.each(inRace.map((cell, i) => [Object.keys(CHANGES)[i], cell] as const))(
  'an id that two processes get in the same moment, as %s, is one event, the same in every answer',
  async (_, cell) => {
    const answers = await said(cell)
    const won = [cell.first, cell.again].map(({ id, code, message, timestamp }) => ({
      ...{ id, code, message, timestamp },
    }))
    expect(won).toContainEqual(answers.event)
    const winner = won.find(({ code, message, timestamp }) => {
      const { event } = answers
      return code === event.code && message === event.message && timestamp === event.timestamp
    })
    expect(winner).toBeDefined()
    if (winner !== undefined) expect(answers).toEqual(onlyThis(winner))
  },
)

test('an id that comes again after 27 hours, to a process that does not remember it, is a second event', async () => {
  expect(await rowsOf(tooLate.appId)).toBe(2)
})

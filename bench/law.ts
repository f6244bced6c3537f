// Received = sum of outcomes + spooled, at every scrape; and the ledger in ClickHouse is what the clients counted,
// reason by reason. Mixed load, with servers and ClickHouse killed and hung, disks full, slow and failing.
// Budget: no scrape that breaks the law, no count that differs.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { z } from 'zod'
import { CLICKHOUSE_FAULTS, draw, SERVER_FAULTS_ON_SOUND_DISKS } from './chaos/faults.ts'
import { seeded } from './chaos/random.ts'
import { DATABASE, drained, mountSmallDisk, openWorld, type World } from './chaos/world.ts'
import { APPS, APPS_SETTING } from './law/apps.ts'
import { startLoad } from './law/load.ts'
import { differences, reckon, type Reckoning, type Rows } from './law/reckon.ts'
import { BOUNDS } from './law/requests.ts'
import { startScraping, type Scrapes } from './law/scrapes.ts'

const HELP = `npm run law -- [--minutes 10] [--seed N] [--keep]
  --keep    leaves the folder with all logs
`
const ADMIN_KEY = '3f1c9a7be2d84650a1b7c3d9e5f80214'
const PER_SECOND = 120
const SETTLE_MS_MAX = 60_000
/** A clock that jumps makes other hours of the ledger, and other events too old. */
const NOT_HERE = new Set(['clock jumps', 'a second process on the folder'])

const Apps = z.object({ apps: z.array(z.object({ id: z.string(), projectId: z.number() })) })
const Ledger = z.object({
  totals: z.record(z.string(), z.number()),
  ledger: z.array(
    z.object({
      ...{ protocol: z.string(), outcome: z.string(), reason: z.string(), count: z.number() },
    }),
  ),
  unsent: z.array(
    z.object({
      ...{ protocol: z.string(), category: z.string(), reason: z.string(), count: z.number() },
    }),
  ),
})

const { values: asked } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string' },
    keep: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
if (asked.help) {
  process.stdout.write(HELP)
  process.exit(0)
}
const seed = Number(asked.seed ?? Math.floor(Math.random() * 1_000_000))
const minutes = Number(asked.minutes)
process.stdout.write(`law: seed ${seed}, ${minutes} minutes\n`)

const folder = mkdtempSync(join(tmpdir(), 'error-ingestor-law-'))
const smallDisk = mountSmallDisk(folder)
if (smallDisk === undefined)
  process.stdout.write('law: no disk can be mounted: writes fail instead\n')
let world: World | undefined
let isGood = false
try {
  world = await openWorld({ folder, smallDisk, settings: settings() })
  isGood = await run(world)
} finally {
  await world?.close()
  if (smallDisk !== undefined) execFileSync('umount', [smallDisk])
  if (isGood && !asked.keep) rmSync(folder, { recursive: true, force: true })
  else process.stdout.write(`law: logs are in ${folder}\n`)
}
process.exit(isGood ? 0 : 1)

function settings(): Record<string, string> {
  return {
    APPS: APPS_SETTING,
    ADMIN_KEY,
    KEY_PEPPER: 'b07d5e2f9c4a41638de1f7a2c6b95830',
    INTAKE_EVENTS_MAX: String(BOUNDS.eventsMax),
    INTAKE_BODY_BYTES_MAX: String(BOUNDS.bodyBytesMax),
    // What is refused unread counts as one event, and its client could not tell.
    INTAKE_BYTES_IN_FLIGHT_MAX: String(1024 ** 3),
  }
}

async function run(world: World): Promise<boolean> {
  await learnProjects(world)
  const [stopLoad, stopScraping] = [new AbortController(), new AbortController()]
  const startedMs = Date.now()
  const untilMs = performance.now() + minutes * 60_000
  const scrapes = startScraping(world, stopScraping.signal)
  const load = startLoad(world, { seed, perSecond: PER_SECOND }, stopLoad.signal)
  const faults = await doFaults(world, untilMs)
  stopLoad.abort()
  await load.done
  stopScraping.abort()
  await scrapes.done
  const drainSeconds = await drained(world)
  await settled(world)
  const reckoning = reckon(load.sent, await storedRows(world))
  const ledger = await readLedger(world, startedMs)
  const unequal = differences(reckoning, ledger)
  const problems = [
    ...scrapes.broken,
    ...missedMinutes(world, scrapes),
    ...reckoning.problems,
    ...unequal,
    ...world.violations,
  ]
  tell({ scrapes, faults, drainSeconds, requests: load.sent.length, reckoning, ledger, problems })
  return problems.length === 0
}

/** A lane for each server and one for ClickHouse. @returns how often what happened. */
async function doFaults(world: World, untilMs: number): Promise<ReadonlyMap<string, number>> {
  const done = new Map<string, number>()
  const [first, ...others] = SERVER_FAULTS_ON_SOUND_DISKS
  const ofServers = [first, ...others.filter(({ name }) => !NOT_HERE.has(name))] as const
  const lanes = [...world.servers, undefined].map(async (server) => {
    const random = seeded(seed, `faults of ${server?.name ?? 'ClickHouse'}`)
    const target = {
      ...{ world, folder, random, server: server ?? world.servers[0] },
      ...{ destroyed: new Map<number, string>(), hasSmallDisk: smallDisk !== undefined },
    }
    while (performance.now() < untilMs) {
      await sleep(random.whole(1_000, 8_000))
      const fault = draw(server === undefined ? CLICKHOUSE_FAULTS : ofServers, random)
      await fault.run(target)
      done.set(fault.name, (done.get(fault.name) ?? 0) + 1)
    }
  })
  await Promise.all(lanes)
  return done
}

async function learnProjects(world: World): Promise<void> {
  const { apps } = Apps.parse(await get(world, '/dashboard/api/apps'))
  for (const app of APPS) app.projectId = apps.find(({ id }) => id === app.id)?.projectId ?? 0
}

async function get({ servers }: World, path: string): Promise<unknown> {
  const answer = await fetch(servers[0].url + path, { headers: { 'X-API-Key': ADMIN_KEY } })
  if (!answer.ok) throw new Error(`${path}: ${await answer.text()}`)
  return answer.json()
}

/** Waits until each server's ledger is in ClickHouse; then nothing of it may be under way, and no bug have been met. */
async function settled(world: World): Promise<void> {
  const untilMs = performance.now() + SETTLE_MS_MAX
  for (const { name, metric } of world.servers) {
    while ((await metric('error_ingestor_ledger_waiting')) > 0 && performance.now() < untilMs) {
      await sleep(200)
    }
    for (const nothing of ['ledger_waiting', 'accepting_events', 'bugs_total']) {
      const value = await metric(`error_ingestor_${nothing}`)
      if (value !== 0) world.violations.push(`server ${name}: ${nothing} is ${value} at the end`)
    }
  }
}

/** What of each request is in the table. */
async function storedRows({ engine }: World): Promise<ReadonlyMap<number, Rows>> {
  const answer = await fetch(engine.url, {
    method: 'POST',
    body: `SELECT toUInt32(extract(message, 'law-(\\\\d+)-')) AS mark, count(), uniqExact(id)
      FROM ${DATABASE}.occurrences GROUP BY mark FORMAT TSV`,
  })
  const text = await answer.text()
  if (!answer.ok) throw new Error(text)
  const lines = text.split('\n').filter((line) => line !== '')
  return new Map(
    lines.map((line) => {
      const [mark = 0, rows = 0, ids = 0] = line.split('\t').map(Number)
      return [mark, { rows, ids }]
    }),
  )
}

/** The ledger of each app; of no app is what is in none of them. */
async function readLedger(world: World, startedMs: number): Promise<ReadonlyMap<string, number>> {
  const sums = new Map<string, number>()
  const add = (key: string, by: number) => sums.set(key, (sums.get(key) ?? 0) + by)
  const since = new Date(startedMs - 3_600_000).toISOString()
  const read = async (appId: string | undefined, tell: (rest: string, by: number) => void) => {
    const of = appId === undefined ? '' : `&appId=${appId}`
    const path = `/dashboard/api/ledger?startTime=${since}${of}`
    const { ledger, unsent, totals } = Ledger.parse(await get(world, path))
    for (const { protocol, outcome, reason, count } of ledger) {
      tell(`${protocol} ${outcome} ${reason}`, count)
    }
    for (const { protocol, category, reason, count } of unsent) {
      tell(`${protocol} unsent ${category}:${reason}`, count)
    }
    const sum = ledger.reduce((all, { count }) => all + count, 0)
    if (sum !== totals['received']) world.violations.push(`${path}: the totals do not add up`)
  }
  await read(undefined, (rest, by) => add(` ${rest}`, by))
  for (const { id } of APPS) {
    await read(id, (rest, by) => {
      add(`${id} ${rest}`, by)
      add(` ${rest}`, -by)
    })
  }
  return new Map([...sums].filter(([, count]) => count !== 0))
}

function missedMinutes({ servers }: World, scrapes: Scrapes): readonly string[] {
  return Array.from({ length: Math.floor(minutes) }, (_, minute) =>
    servers.flatMap(({ name }) =>
      scrapes.minutes.has(`${minute} ${name}`) ? [] : [`minute ${minute}: ${name} gave no scrape`],
    ),
  ).flat()
}

function tell(result: {
  readonly scrapes: Scrapes
  readonly faults: ReadonlyMap<string, number>
  readonly drainSeconds: number
  readonly requests: number
  readonly reckoning: Reckoning
  readonly ledger: ReadonlyMap<string, number>
  readonly problems: readonly string[]
}): void {
  const { scrapes, faults, reckoning, ledger, problems } = result
  const counts = [...scrapes.minutes.values()].map(({ count }) => count)
  const sums = new Map<string, Record<'ledger' | 'low' | 'high', number>>()
  for (const key of new Set([...ledger.keys(), ...reckoning.ranges.keys()])) {
    const what = key.split(' ').slice(2).join(' ').trim()
    const sum = sums.get(what) ?? { ledger: 0, low: 0, high: 0 }
    sum.ledger += ledger.get(key) ?? 0
    sum.low += reckoning.ranges.get(key)?.low ?? 0
    sum.high += reckoning.ranges.get(key)?.high ?? 0
    sums.set(what, sum)
  }
  const lines = [
    ...[...faults].sort().map(([name, count]) => `  ${String(count).padStart(4)}  ${name}`),
    `  ${result.requests} requests with ${reckoning.sent} events, ${reckoning.unanswered} of them without an answer; drained in ${result.drainSeconds.toFixed(1)} s`,
    `  ${counts.reduce((sum, count) => sum + count, 0)} scrapes, ${scrapes.broken.length} that break the law`,
    '  outcome, in the ledger, as clients counted:',
    ...[...sums]
      .sort()
      .map(
        ([what, { ledger, low, high }]) =>
          `  ${what.padEnd(32)} ${String(ledger).padStart(8)} ${low === high ? String(low) : `${low} to ${high}`}`,
      ),
    ...[...new Set(problems)].slice(0, 60).map((text) => `  PROBLEM: ${text}`),
    problems.length === 0 ? 'law: it holds' : 'law: BROKEN',
  ]
  process.stdout.write(`${lines.join('\n')}\n`)
}

import { setTimeout as sleep } from 'node:timers/promises'
import { APPS, appOf, type Events } from './events.ts'
import { seeded, type Random } from './random.ts'
import type { World } from './world.ts'

const CLIENTS = 10
const BATCH_MAX = 500
const REQUEST_MS_MAX = 8_000
/** What an honest server may answer. */
const HONEST = new Set([200, 429, 503])

/** What clients sent and were told. */
export interface Ledger {
  /** All events have a number below this. */
  readonly made: () => number
  readonly acknowledged: () => number
  readonly isAcknowledged: (index: number) => boolean
  /** Both servers were sent it, so that two rows of it may stand in the table. */
  readonly wasSentToBoth: (index: number) => boolean
  readonly statuses: ReadonlyMap<string, number>
  readonly resends: () => number
}

const ACKNOWLEDGED = 4

/** How fast, how many. */
export interface LoadOptions {
  readonly seed: number
  readonly perSecond: number
  /** After so many acknowledged events it goes on at a tenth of the speed. */
  readonly enough: number
  readonly capacity: number
}

/** Sends events until `stop`, as many clients that know nothing of one another. */
export function startLoad(world: World, events: Events, options: LoadOptions, stop: AbortSignal) {
  const flags = new Uint8Array(options.capacity)
  const statuses = new Map<string, number>()
  const counts = APPS.map(() => 0)
  let [acknowledged, resends] = [0, 0]
  let nextDueMs = performance.now()

  // A function, because the compiler believes that a flag it saw false stays false over an await.
  const isStopped = () => stop.aborted
  const made = () => Math.max(...counts) * APPS.length

  async function turn(count: number): Promise<void> {
    const slow = acknowledged >= options.enough ? 10 : 1
    const nowMs = performance.now()
    nextDueMs = Math.max(nextDueMs, nowMs - 1_000) + (count * 1_000 * slow) / options.perSecond
    if (nextDueMs > nowMs) await sleep(nextDueMs - nowMs)
  }

  /** New events and, at times, old ones, of one app: a request is of one app. */
  function batch(random: Random): number[] {
    const size = Math.round(Math.exp(random.next() * Math.log(BATCH_MAX)))
    const app = random.whole(0, APPS.length - 1)
    const count = counts[app] ?? 0
    const numbers: number[] = []
    if (count > 100 && random.chance(0.25)) {
      // Of just now or of long ago, the same ones together or mixed with others.
      const reach = random.chance(0.7) ? Math.min(count, 2_000) : count
      const from = count - 1 - random.whole(0, reach - 1)
      for (let i = from; i >= 0 && numbers.length < size; i -= 1) {
        if (random.chance(0.8)) numbers.push(i)
      }
      resends += numbers.length
    }
    const fresh = size - numbers.length
    for (let i = 0; i < fresh; i += 1) numbers.push(count + i)
    counts[app] = count + fresh
    return numbers.map((number) => number * APPS.length + app)
  }

  async function send(indexes: readonly number[], to: number, random: Random): Promise<boolean> {
    const server = world.servers[to]
    if (server === undefined) return false
    const key = appOf(indexes[0] ?? 0).keys[0]?.key ?? ''
    const isResend = indexes.some((index) => ((flags[index] ?? 0) & 3) !== 0)
    const texts = indexes.map((index) => events.json(index, isResend && random.chance(0.1)))
    for (const index of indexes) flags[index] = (flags[index] ?? 0) | (1 << to)
    let status = 'no answer'
    try {
      const answer = await fetch(`${server.url}/api/v1/ingest`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', 'X-API-Key': key },
        body: `{"events":[${texts.join(',')}]}`,
        signal: AbortSignal.timeout(REQUEST_MS_MAX),
      })
      const text = await answer.text()
      status = String(answer.status)
      if (!HONEST.has(answer.status)) {
        world.violations.push(`server ${server.name} answered ${status}: ${text.slice(0, 300)}`)
      }
      if (answer.status === 200 && !text.includes(`"accepted":${indexes.length}`)) {
        world.violations.push(`not all of a batch was accepted: ${text.slice(0, 300)}`)
      }
    } catch {
      // It died, or took too long: whether the events are safe, nobody knows.
    }
    statuses.set(status, (statuses.get(status) ?? 0) + 1)
    if (status !== '200') return false
    for (const index of indexes) {
      if (((flags[index] ?? 0) & ACKNOWLEDGED) === 0) acknowledged += 1
      flags[index] = (flags[index] ?? 0) | ACKNOWLEDGED
    }
    return true
  }

  async function client(number: number): Promise<void> {
    const random = seeded(options.seed, `client ${number}`)
    while (!stop.aborted && made() < options.capacity - APPS.length * BATCH_MAX) {
      const indexes = batch(random)
      await turn(indexes.length)
      let to = random.whole(0, 1)
      if (random.chance(0.05)) {
        // The same at the same moment, to the other or to the same.
        await Promise.all([send(indexes, to, random), send(indexes, random.whole(0, 1), random)])
        continue
      }
      for (let tries = 1; !(await send(indexes, to, random)) && tries < 6; tries += 1) {
        if (isStopped()) break
        await sleep(random.whole(20, 400))
        if (random.chance(0.3)) to = 1 - to
      }
    }
  }

  const done = Promise.all(Array.from({ length: CLIENTS }, (_, i) => client(i)))
  const ledger: Ledger = {
    made,
    acknowledged: () => acknowledged,
    isAcknowledged: (index) => ((flags[index] ?? 0) & ACKNOWLEDGED) !== 0,
    wasSentToBoth: (index) => ((flags[index] ?? 0) & 3) === 3,
    statuses,
    resends: () => resends,
  }
  return { ledger, done }
}

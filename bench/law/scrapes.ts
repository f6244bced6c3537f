import { setTimeout as sleep } from 'node:timers/promises'
import type { Server, World } from '../chaos/world.ts'

/** What the scrapes of a run said. */
export interface Scrapes {
  /** By minute of the run and server: how many, and how many of them broke the law. */
  readonly minutes: Map<string, { count: number; broken: number }>
  readonly broken: string[]
  /** Events of a process at its last scrapes, summed over processes as far as they were seen. */
  readonly done: Promise<unknown>
}

const EVERY_MS = 1_000
const SUMS = ['received_events_total', 'recovered_events_total', 'events_total', 'spool_events']

/** Scrapes both servers every second until `stop`; one that is down gives none. */
export function startScraping(world: World, stop: AbortSignal): Scrapes {
  const startedMs = performance.now()
  const minutes: Scrapes['minutes'] = new Map()
  const broken: string[] = []

  async function scraping(server: Server): Promise<void> {
    while (!stop.aborted) {
      const wait = sleep(EVERY_MS)
      const said = await scrape(server)
      if (said !== undefined) {
        const minute = Math.floor((performance.now() - startedMs) / 60_000)
        const key = `${minute} ${server.name}`
        const of = minutes.get(key) ?? { count: 0, broken: 0 }
        of.count += 1
        if (said.came !== said.are) {
          of.broken += 1
          broken.push(`minute ${key}: ${said.came} came, ${said.are} are`)
        }
        minutes.set(key, of)
      }
      await wait
    }
  }
  return { minutes, broken, done: Promise.all(world.servers.map(scraping)) }
}

/** Both sides of the law, as one scrape has them; undefined where there is no answer. */
async function scrape({ url }: Server) {
  let text = ''
  try {
    const answer = await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(5_000) })
    text = await answer.text()
  } catch {
    return undefined
  }
  const [received = NaN, recovered = NaN, ended = NaN, spooled = NaN] = SUMS.map((name) =>
    [...text.matchAll(new RegExp(`^error_ingestor_${name}(?:\\{.*\\})? (\\S+)$`, 'gm'))].reduce(
      (sum, [, value]) => sum + Number(value),
      0,
    ),
  )
  return { came: received + recovered, are: ended + spooled }
}

import { createHash } from 'node:crypto'

/** The apps that events are of, each with its key. */
export const APPS = [1, 2, 3, 4].map((n) => ({
  id: `chaos-${n}`,
  name: `Chaos ${n}`,
  keys: [{ key: `ei_chaos_key_00000000${n}`, scopes: ['ingest', 'read'] as const }],
}))

const DAY_MS = 86_400_000
const HOUR_MS = 3_600_000

/** Makes the run's events: the same index is the same event, with the same id. */
export interface Events {
  readonly id: (index: number) => string
  /** One event as JSON; a changed one has the same id and another code and time. */
  readonly json: (index: number, changed: boolean) => string
}

/** See {@link Events}. Clocks of clients are wrong: months behind, or hours ahead. */
export function createEvents(seed: number, startMs: number): Events {
  const hash = (index: number) => createHash('md5').update(`${seed}:${index}`).digest('hex')
  const idOf = (digits: string) =>
    `${digits.slice(0, 8)}-${digits.slice(8, 12)}-4${digits.slice(13, 16)}-8${digits.slice(17, 20)}-${digits.slice(20)}`
  return {
    id: (index) => idOf(hash(index)),
    json(index, changed) {
      const digits = hash(index)
      const number = Number.parseInt(digits.slice(0, 8), 16)
      const kind = number % 100
      let timestampMs = startMs - (number % (6 * HOUR_MS))
      if (kind < 12) timestampMs = startMs - DAY_MS - (number % (60 * DAY_MS))
      else if (kind < 20) timestampMs = startMs + 2 * HOUR_MS + (number % (10 * HOUR_MS))
      if (changed) timestampMs -= HOUR_MS
      const code = `chaos/failure-${number % 25}${changed ? '-changed' : ''}`
      const frames = Array.from(
        { length: 5 },
        (_, i) => `    at step${(number + i) % 40} (app.js:${(number % 900) + i}:7)`,
      ).join('\\n')
      return `{"id":"${idOf(digits)}","code":"${code}","message":"Step ${index} failed after ${number % 3_000} ms","stackTrace":"Error: it failed\\n${frames}","appId":"${appOf(index).id}","appVersion":"1.${number % 5}.0","platform":"web","platformVersion":"","userId":"user-${number % 500}","timestamp":"${new Date(timestampMs).toISOString()}","metadata":{"n":${index}},"tags":{"region":"eu"}}`
    },
  }
}

/** The app of an event. */
export function appOf(index: number) {
  const app = APPS[index % APPS.length]
  if (app === undefined) throw new Error('There is no app.')
  return app
}

import { APPS } from './apps.ts'
import type { Sent } from './load.ts'

/** How many of a request's events stand in the table: rows, and different ids. */
export interface Rows {
  readonly rows: number
  readonly ids: number
}

/** At least and at most: they differ by what was under way when a server died, which its client cannot know. */
export interface Range {
  low: number
  high: number
}

/** What has to stand in the ledger, by app, protocol, outcome and reason. */
export interface Reckoning {
  readonly ranges: ReadonlyMap<string, Range>
  /** Events that were sent, and of those the ones whose request got no answer. */
  readonly sent: number
  readonly unanswered: number
  readonly problems: readonly string[]
}

const NONE: Rows = { rows: 0, ids: 0 }
/** What a request may have been refused for when its client did not hear of it. */
const UNHEARD = ['overloaded', 'timeout'] as const

/** Counts what clients sent and were told. The table tells only which requests without a yes were kept all the same. */
export function reckon(all: readonly Sent[], stored: ReadonlyMap<number, Rows>): Reckoning {
  const ranges = new Map<string, Range>()
  const problems: string[] = []
  let [sent, unanswered] = [0, 0]
  for (const each of all) {
    const { request, status, code } = each
    const { appId, protocol } = request
    const add = (outcome: string, reason: string, low: number, high = low) => {
      if (high === 0) return
      const key = [appId, protocol, outcome, reason].join(' ')
      const range = ranges.get(key) ?? { low: 0, high: 0 }
      ranges.set(key, { low: range.low + low, high: range.high + high })
    }
    const events = eventsOf(each)
    sent += events
    if (status === undefined) unanswered += events
    const found = request.kind === 'again' ? NONE : (stored.get(request.mark) ?? NONE)
    const problem = strange(each, found)
    if (problem !== undefined) problems.push(problem)
    if (request.wholly > 0) {
      if (status === undefined) unheard(each, add)
      else add('refused', code, request.wholly)
    } else {
      count(each, found, add)
    }
  }
  return { ranges, sent, unanswered, problems }
}

type Add = (outcome: string, reason: string, low: number, high?: number) => void

function count(each: Sent, found: Rows, add: Add): void {
  const { request, status, code } = each
  const { stored, duplicate, expired, refused, unsent } = request
  const isTaken = status === 200
  // On the disk, and so in the table, it may be although its client heard no, or nothing.
  const isKept = isTaken || found.rows > 0
  const atLeast = (count: number) => (status === undefined ? 0 : count)
  for (const [reason, items] of Object.entries(refused)) {
    add('refused', reason, atLeast(items), items)
  }
  for (const [reason, items] of Object.entries(unsent)) {
    add('unsent', reason, isKept ? items : atLeast(items), items)
  }
  if (isKept) {
    add('stored', '', found.rows)
    add('dropped', 'spike', request.kind === 'again' ? 0 : Math.max(0, stored - found.rows))
    add('duplicate', '', duplicate)
    add('dropped', 'expired', isTaken ? expired : 0, expired)
  } else if (duplicate > 0 && request.kind === 'again') {
    add('duplicate', '', 0, duplicate)
  } else if (status === undefined) {
    add('dropped', 'expired', 0, expired)
    if (hasSpikeGuard(request.appId)) add('dropped', 'spike', 0, stored)
  }
  if (status === undefined) unheard(each, add)
  else if (!isTaken) add('refused', code, stored + duplicate + expired)
}

function unheard(each: Sent, add: Add): void {
  const { request } = each
  const most = eventsOf(each)
  for (const reason of UNHEARD) add('refused', reason, 0, reason === 'timeout' ? 1 : most)
  // Which code its own refusal would have had, the others of its kind know.
  for (const reason of CODES[request.kind] ?? []) add('refused', reason, 0, request.wholly || most)
}

/** Why a request of a kind, or of an app with limits, may be refused on a good day. */
const CODES: Readonly<Record<string, readonly string[]>> = {
  'native: one': ['rate_limited', 'quota'],
  'sentry: an event': ['rate_limited', 'quota'],
  'native: only invalid events': ['malformed'],
  'native: events of another app': ['malformed'],
  'native: no JSON': ['malformed'],
  'native: a key that nobody has': ['unauthenticated'],
  'native: too many events': ['malformed'],
  'native: too many bytes': ['too_large'],
  'native: an encoding that nobody knows': ['unsupported_encoding'],
  'native: broken gzip': ['malformed'],
  'sentry: no envelope': ['malformed'],
  'otlp: no logs': ['malformed'],
}

function eventsOf({ request }: Sent): number {
  const { stored, duplicate, expired, refused, wholly } = request
  const items = Object.values(refused).reduce((sum, count) => sum + count, 0)
  return stored + duplicate + expired + items + wholly
}

function hasSpikeGuard(appId: string): boolean {
  return APPS.some(({ id, hasSpikeGuard }) => id === appId && hasSpikeGuard)
}

/** What must not be, whatever happened: a request is kept whole, once, or not at all. */
function strange({ request, status }: Sent, { rows, ids }: Rows): string | undefined {
  const { mark, kind, stored, wholly, appId } = request
  const what = `request ${mark} (${kind}, ${status ?? 'no answer'})`
  if (rows !== ids) return `${what}: ${rows} rows of ${ids} events`
  if (wholly > 0 && status === 200) return `${what}: it was taken`
  if (wholly === 0 && status !== undefined && ![200, 429, 503].includes(status)) return what
  if (hasSpikeGuard(appId)) return rows > stored ? `${what}: ${rows} of ${stored}` : undefined
  if (rows === stored || (rows === 0 && status !== 200)) return undefined
  return kind === 'again' ? undefined : `${what}: ${rows} of ${stored} events are stored`
}

/** In what the ledger differs; empty where it is what was reckoned. */
export function differences(
  { ranges }: Pick<Reckoning, 'ranges'>,
  ledger: ReadonlyMap<string, number>,
): readonly string[] {
  const keys = [...new Set([...ranges.keys(), ...ledger.keys()])].sort()
  return keys.flatMap((key) => {
    const { low, high } = ranges.get(key) ?? { low: 0, high: 0 }
    const count = ledger.get(key) ?? 0
    if (low <= count && count <= high) return []
    const expected = low === high ? String(low) : `${low} to ${high}`
    return [`${key}: the ledger has ${count}, the load ${expected}`]
  })
}

import { z } from 'zod'
import { DOUBLES, EVENTS_TABLE, selectOnce } from './doubles.ts'
import type { Asking, Params, Select } from './doubles.ts'
import { rangeOf } from './matching.ts'
import type { TimeRange } from './store.ts'

const HOUR_MS = 3_600_000
/** Where the column of hours ends. */
const HOURS_MS_MAX = 2 ** 32 * 1_000
/** With more pieces than this between them, hours that can be trusted save nothing. */
const PIECES_MAX = 64

/**
 * Which part of a question is answered by hours that were counted when they were stored, and which
 * from the events: the ends of the range that are no whole hours, hours with a row of an id that
 * stands there twice, and hours that were touched since (see migration 5).
 */
export interface Split {
  /** Condition on `app_id` and `hour`; undefined where no hour can be trusted. */
  readonly hours: string | undefined
  /** The other events, each id once. */
  readonly events: Select
  readonly params: Params
}

const Untrusted = z.array(z.object({ at: z.coerce.number() }))

/** Asks which hours can be trusted now, and splits the range by it. */
export async function splitRange(asking: Asking, appId: string, asked: TimeRange): Promise<Split> {
  const range = rangeOf(asked)
  const params: Params = { appId, ...range }
  const touched = Untrusted.parse(await asking.ask('touched-hours', TOUCHED, params))
  const doubled = asking.withDoubles ? await asking.ask('doubled-hours', DOUBLED, params) : []
  const untrusted = [...touched, ...Untrusted.parse(doubled)].map(({ at }) => at * 1_000)
  const { pieces, hours } = splitHours(range, untrusted)
  const where = `app_id = {appId: String} AND (${pieces.map(within).join(' OR ') || '0'})`
  return {
    hours: hours === undefined ? undefined : hoursCondition(hours, untrusted),
    events: selectOnce(where, asking),
    params,
  }
}

const TOUCHED = `
  SELECT toUnixTimestamp(hour) AS at FROM {database: Identifier}.touched FINAL
  WHERE app_id = {appId: String}
    AND hour >= toDateTime(greatest(intDiv({startMs: Int64}, 1000) - 3600, 0), 'UTC')
    AND hour <= toDateTime(least(intDiv({endMs: Int64}, 1000), 4294967295), 'UTC')`

const DOUBLED = `
  SELECT DISTINCT intDiv(toUnixTimestamp64Milli(timestamp), 3600000) * 3600 AS at
  FROM ${EVENTS_TABLE}
  WHERE app_id = {appId: String}
    AND timestamp >= fromUnixTimestamp64Milli({startMs: Int64})
    AND timestamp <= fromUnixTimestamp64Milli({endMs: Int64})
    AND id IN (${DOUBLES})`

/**
 * The whole hours of a range, and what lies outside of them or in an untrusted one, oldest first.
 * @param untrusted starts of hours in milliseconds, in any order.
 */
export function splitHours(
  { startMs, endMs }: TimeRange,
  untrusted: readonly number[],
): { readonly pieces: readonly TimeRange[]; readonly hours: TimeRange | undefined } {
  const all = { pieces: [{ startMs, endMs }], hours: undefined }
  const first = Math.ceil(Math.max(startMs, 0) / HOUR_MS) * HOUR_MS
  const end = Math.floor(Math.min(endMs + 1, HOURS_MS_MAX) / HOUR_MS) * HOUR_MS
  if (end <= first) return all
  const pieces: { startMs: number; endMs: number }[] = []
  const add = (fromMs: number, untilMs: number) => {
    const last = pieces.at(-1)
    if (untilMs < fromMs) return
    if (last !== undefined && last.endMs + 1 === fromMs) last.endMs = untilMs
    else pieces.push({ startMs: fromMs, endMs: untilMs })
  }
  add(startMs, first - 1)
  const inside = untrusted.filter((hour) => hour >= first && hour < end)
  for (const hour of new Set(inside.toSorted((a, b) => a - b))) add(hour, hour + HOUR_MS - 1)
  add(end, endMs)
  const hours = { startMs: first, endMs: end - 1 }
  return pieces.length > PIECES_MAX ? all : { pieces, hours }
}

// Numbers that we counted ourselves, in the text: as parameters they would make the URL too long.
const within = ({ startMs, endMs }: TimeRange) =>
  `(timestamp >= fromUnixTimestamp64Milli(toInt64(${String(startMs)}))
    AND timestamp <= fromUnixTimestamp64Milli(toInt64(${String(endMs)})))`

function hoursCondition({ startMs, endMs }: TimeRange, untrusted: readonly number[]): string {
  const seconds = (ms: number) => String(Math.floor(ms / 1_000))
  const except = untrusted.filter((hour) => hour >= startMs && hour <= endMs).map(seconds)
  const conditions = [
    'app_id = {appId: String}',
    `hour >= toDateTime(${seconds(startMs)}, 'UTC')`,
    `hour <= toDateTime(${seconds(endMs)}, 'UTC')`,
  ]
  if (except.length > 0) conditions.push(`toUnixTimestamp(hour) NOT IN (${except.join(', ')})`)
  return conditions.join(' AND ')
}

import type { Params } from './doubles.ts'
import type { EventFilter, TimeRange } from './store.ts'

// Before 1970 nothing is stored, and after 2299 DateTime64 wraps around.
const RANGE_MS_MIN = -1
const RANGE_MS_MAX = 10_413_791_999_999

/** All times that an event can have. */
export const ALL_TIMES: TimeRange = { startMs: RANGE_MS_MIN, endMs: RANGE_MS_MAX }

/** Conditions of a WHERE, and the values of their placeholders. */
export interface Conditions {
  readonly where: string
  readonly params: Params
}

/** What a filter asks for. */
export function conditionsOf(filter: EventFilter): Conditions {
  const range = rangeOf(filter.range)
  const conditions = [
    'app_id = {appId: String}',
    'timestamp >= fromUnixTimestamp64Milli({startMs: Int64})',
    'timestamp <= fromUnixTimestamp64Milli({endMs: Int64})',
  ]
  const params: Params = { appId: filter.appId, ...range }
  const equal = {
    code: filter.code,
    user_id: filter.userId,
    platform: filter.platform,
    app_version: filter.appVersion,
    environment: filter.environment,
    level: filter.level,
    fingerprint: filter.issue,
  }
  for (const [column, value] of Object.entries(equal)) {
    if (value === undefined) continue
    conditions.push(`${column} = {${column}: String}`)
    params[column] = value
  }
  if (filter.q !== undefined && filter.q !== '') {
    const text = textConditions(filter.q)
    conditions.push(`((${text.message}) OR ${text.code})`)
    Object.assign(params, text.params)
  }
  return { where: conditions.join(' AND '), params }
}

/** The part of a range that events can lie in, in whole milliseconds. */
export function rangeOf({ startMs, endMs }: TimeRange): TimeRange {
  const clamp = (ms: number) => Math.min(Math.max(ms, RANGE_MS_MIN), RANGE_MS_MAX)
  return { startMs: clamp(Math.ceil(startMs)), endMs: clamp(Math.floor(endMs)) }
}

/** Shorter words stand in too many others for the index to be worth reading. */
const WORD_CHARS_MIN = 4
const WORDS_MAX = 4

/**
 * That a text stands in the message or in the code, whatever its case. Two conditions, because each
 * alone can go by its own column: a message by the words of its index, a code by the few that there are.
 */
export function textConditions(q: string): {
  readonly message: string
  readonly code: string
  readonly params: Params
} {
  // The index knows words in lower case of ASCII only; other letters are looked for in every message.
  if (!/^[\x20-\x7e]*$/.test(q)) {
    const contains = (column: string) => `positionCaseInsensitiveUTF8(${column}, {q: String}) > 0`
    return { message: contains('message'), code: contains('code'), params: { q } }
  }
  const text = q.toLowerCase()
  const params: Params = { q: `%${text.replaceAll(/[\\%_]/g, '\\$&')}%` }
  const message = ['lower(message) LIKE {q: String}']
  const words = (text.match(/[a-z0-9]+/g) ?? []).filter((word) => word.length >= WORD_CHARS_MIN)
  // A word alone is found by the index even where it is a part of one; a text with spaces is not.
  if (words[0] !== text) {
    const longest = words.toSorted((a, b) => b.length - a.length).slice(0, WORDS_MAX)
    for (const [i, word] of longest.entries()) {
      message.push(`lower(message) LIKE {word${i}: String}`)
      params[`word${i}`] = `%${word}%`
    }
  }
  return { message: message.join(' AND '), code: 'lower(code) LIKE {q: String}', params }
}

import type { EventFilter, TimeRange } from './store.ts'

// Before 1970 nothing is stored, and after 2299 DateTime64 wraps around.
const RANGE_MS_MIN = -1
const RANGE_MS_MAX = 10_413_791_999_999

/** All times that an event can have. */
export const ALL_TIMES: TimeRange = { startMs: RANGE_MS_MIN, endMs: RANGE_MS_MAX }

/** Values of a statement's placeholders. */
export type Params = Record<string, unknown>

/** Asks ClickHouse one statement, by name; `{database: Identifier}` is bound. */
export type Ask = (
  name: string,
  sql: string,
  params: Params,
  signal: AbortSignal | undefined,
) => Promise<readonly unknown[]>

/** The events themselves. */
export const EVENTS_TABLE = '{database: Identifier}.occurrences'

/**
 * Ids of {appId} with more than one row: those found already, and those that arrived since the last
 * search. Each shard of a cluster searches its own: the one that is behind says how far back to look.
 */
export const DOUBLES = `
  SELECT id FROM {database: Identifier}.doubles WHERE app_id = {appId: String}
  UNION DISTINCT
  SELECT id FROM {database: Identifier}.arrivals
  WHERE app_id = {appId: String} AND stored_at >= (
    SELECT greatest(if(count() < max(shards), toDateTime(0, 'UTC'), min(until)), toDateTime(60, 'UTC'))
      - INTERVAL 1 MINUTE
    FROM (
      SELECT max(found_at) AS until, any(shardCount()) AS shards
      FROM {database: Identifier}.doubles WHERE app_id = '' GROUP BY shardNum()))
  GROUP BY id HAVING count() > 1`

/**
 * Which row of an id counts: received first; then anything, as long as it is always the same. Of all that a
 * filter or a count looks at, and no more: stacks and the like cost 2 ms for each id to read. The hash of a
 * NULL with anything is NULL.
 */
const FIRST = `received_at, timestamp,
  cityHash64(code, message, isNull(user_id), ifNull(user_id, ''), platform, app_version, environment,
    level, fingerprint)`

/** The same where the whole row is read: rows that are alike for {@link FIRST} differ in what nothing else sees. */
export const FIRST_OF_WHOLE = `${FIRST},
  cityHash64(stack_trace, parsed_stack, metadata, tags, breadcrumbs)`

/** Conditions of a WHERE, and the values of their placeholders. */
export interface Conditions {
  readonly where: string
  readonly params: Params
}

/** Rows that match, one per id, as a SELECT of the asked columns. */
export interface Matching {
  readonly select: (columns: string, more?: string) => string
  readonly params: Params
}

/**
 * Events that match a condition, each id once. Where no id of the app has two rows that is the table
 * itself; else the doubles are taken apart, and their first rows put beside the others.
 */
export async function matching(
  ask: Ask,
  { where, params }: Conditions,
  signal: AbortSignal | undefined,
): Promise<Matching> {
  const { appId } = params
  const doubles = await ask('doubles', `SELECT 1 FROM (${DOUBLES}) LIMIT 1`, { appId }, signal)
  return { select: selectOnce(where, doubles.length > 0), params }
}

/**
 * How rows are selected once per id. `columns` must name what they select, of the table's columns;
 * `more` stands behind the conditions of each part: a LIMIT there bounds what a part gives.
 * @param withDoubles whether the app has ids with more than one row.
 */
export function selectOnce(where: string, withDoubles: boolean): Matching['select'] {
  if (!withDoubles) {
    return (columns, more = '') => `SELECT ${columns} FROM ${EVENTS_TABLE} WHERE ${where} ${more}`
  }
  return (columns, more = '') => `
    SELECT ${columns} FROM ${EVENTS_TABLE} WHERE ${where} AND id NOT IN (${DOUBLES}) ${more}
    UNION ALL
    SELECT ${columns} FROM (
      SELECT * FROM ${EVENTS_TABLE} WHERE app_id = {appId: String} AND id IN (${DOUBLES})
      ORDER BY ${FIRST} LIMIT 1 BY id
    ) WHERE ${where} ${more}`
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

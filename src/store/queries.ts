import { z } from 'zod'
import type { ClickHouse } from './clickhouse.ts'
import { EVENT_COLUMNS, EventRow } from './event-row.ts'
import { appliedVersion } from './migrate.ts'
import { createSourceMaps } from './source-maps.ts'
import type { EventFilter, Store, StoredEvent, TimeRange } from './store.ts'

// Before 1970 nothing is stored, and after 2299 DateTime64 wraps around.
const RANGE_MS_MIN = -1
const RANGE_MS_MAX = 10_413_791_999_999
const CODES_MAX = 100_000
const BUCKETS_MAX = 1_000_000

const SETTINGS = {
  max_execution_time: 20,
  max_memory_usage: 2 * 1024 ** 3,
  max_bytes_before_external_group_by: 1024 ** 3,
  max_bytes_before_external_sort: 1024 ** 3,
  max_result_rows: BUCKETS_MAX,
  use_uncompressed_cache: 0,
}

type Params = Record<string, unknown>

/** Where the events are. */
export interface StoreDeps {
  readonly clickhouse: ClickHouse
  /** Logged in as a user who can only read, for the questions; the one above where absent. */
  readonly reader?: ClickHouse
  readonly database: string
}

/**
 * Every question we ask, answered by ClickHouse. Of an event that stands there more than once the
 * row received first counts, here and in every answer.
 */
export function createStore({ clickhouse, reader = clickhouse, database }: StoreDeps): Store {
  const ask: Ask = (name, sql, params, signal) =>
    reader.query(
      `/* error-ingestor:${name} */ ${sql}`,
      { ...params, database },
      signal === undefined ? { settings: SETTINGS } : { settings: SETTINGS, signal },
    )
  return {
    events: (filter, page, signal) => events(ask, filter, page, signal),
    event: (appId, id, signal) => event(ask, appId, id, signal),
    trends: (filter, granularity, signal) => trends(ask, filter, granularity, signal),
    codes: (appId, range, signal) => codes(ask, appId, range, signal),
    sourceMaps: createSourceMaps({ clickhouse, database }),
    schemaVersion: () => appliedVersion(clickhouse, database),
    ping: () => clickhouse.ping(),
  }
}

type Ask = (
  name: string,
  sql: string,
  params: Params,
  signal: AbortSignal | undefined,
) => Promise<readonly unknown[]>

// Ids with more than one row: those found already, and those that arrived since the last search.
const DOUBLES = `
  SELECT id FROM {database: Identifier}.doubles WHERE app_id = {appId: String}
  UNION DISTINCT
  SELECT id FROM {database: Identifier}.arrivals
  WHERE app_id = {appId: String} AND stored_at >= (
    SELECT greatest(max(found_at), toDateTime(60, 'UTC')) - INTERVAL 1 MINUTE
    FROM {database: Identifier}.doubles WHERE app_id = '')
  GROUP BY id HAVING count() > 1`

// Received first; then anything, as long as it is always the same.
const FIRST = `received_at, timestamp,
  cityHash64(code, message, stack_trace, parsed_stack, metadata, user_id, level, environment)`

interface Matching {
  /** A table expression: the app's rows that match, one per id. */
  readonly from: string
  readonly where: string
  readonly params: Params
}

/**
 * Rows that match a filter, each id once. Where no id of the app has two rows that is the table
 * itself; else the doubles are taken apart, and their first rows put beside the others.
 */
async function matching(
  ask: Ask,
  filter: EventFilter,
  columns: string,
  signal: AbortSignal | undefined,
): Promise<Matching> {
  const { conditions, params } = conditionsOf(filter)
  const where = conditions.join(' AND ')
  const table = '{database: Identifier}.occurrences'
  const { appId } = filter
  const doubles = await ask('doubles', `SELECT 1 FROM (${DOUBLES}) LIMIT 1`, { appId }, signal)
  if (doubles.length === 0) return { from: table, where, params }
  const from = `(
    SELECT ${columns} FROM ${table} WHERE ${where} AND id NOT IN (${DOUBLES})
    UNION ALL
    SELECT ${columns} FROM (
      SELECT * FROM ${table} WHERE app_id = {appId: String} AND id IN (${DOUBLES})
      ORDER BY ${FIRST} LIMIT 1 BY id
    ) WHERE ${where})`
  return { from, where: '1', params }
}

function conditionsOf(filter: EventFilter): { conditions: string[]; params: Params } {
  const conditions = ['app_id = {appId: String}']
  const params: Params = { appId: filter.appId }
  const range = rangeOf(filter.range)
  conditions.push(...range.conditions)
  Object.assign(params, range.params)
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
    conditions.push(
      `(positionCaseInsensitiveUTF8(message, {q: String}) > 0
        OR positionCaseInsensitiveUTF8(code, {q: String}) > 0)`,
    )
    params['q'] = filter.q
  }
  return { conditions, params }
}

function rangeOf({ startMs, endMs }: TimeRange): { conditions: string[]; params: Params } {
  const clamp = (ms: number) => Math.min(Math.max(ms, RANGE_MS_MIN), RANGE_MS_MAX)
  return {
    conditions: [
      'timestamp >= fromUnixTimestamp64Milli({startMs: Int64})',
      'timestamp <= fromUnixTimestamp64Milli({endMs: Int64})',
    ],
    params: { startMs: clamp(Math.ceil(startMs)), endMs: clamp(Math.floor(endMs)) },
  }
}

const Place = z.object({ id: z.guid(), timestamp_ms: z.coerce.number().int() })

async function events(
  ask: Ask,
  filter: EventFilter,
  page: Parameters<Store['events']>[1],
  signal: AbortSignal | undefined,
): ReturnType<Store['events']> {
  const { from, where, params } = await matching(ask, filter, 'id, timestamp', signal)
  const at = 'offset' in page ? { offset: page.offset } : { after: page.after, offset: 0 }
  const { after, offset } = { after: undefined, ...at }
  // First which events, from the columns of the filter alone, then the texts of those few: one
  // more event than asked for says whether there is a next page.
  const places = z.array(Place).parse(
    await ask(
      'events-page',
      `SELECT toString(id) AS id, toUnixTimestamp64Milli(timestamp) AS timestamp_ms FROM ${from}
      WHERE ${where} ${after === undefined ? '' : AFTER}
      ORDER BY timestamp DESC, toString(id) DESC
      LIMIT {rows: UInt64} OFFSET {offset: UInt64}`,
      {
        ...params,
        rows: page.limit + 1,
        offset,
        afterMs: after?.timestampMs ?? 0,
        afterId: after?.id ?? '',
      },
      signal,
    ),
  )
  const wanted = places.slice(0, page.limit)
  const found = await eventsAt(ask, filter.appId, wanted, signal)
  return { events: found, hasMore: places.length > page.limit }
}

const AFTER = `AND timestamp <= fromUnixTimestamp64Milli({afterMs: Int64})
  AND (timestamp, toString(id)) < (fromUnixTimestamp64Milli({afterMs: Int64}), {afterId: String})`

async function eventsAt(
  ask: Ask,
  appId: string,
  places: readonly z.infer<typeof Place>[],
  signal: AbortSignal | undefined,
): Promise<readonly StoredEvent[]> {
  const [newest, oldest] = [places[0], places.at(-1)]
  if (newest === undefined || oldest === undefined) return []
  // In the text, because a thousand ids make a parameter that some proxies refuse; they are parsed.
  const uuids = places.map(({ id }) => `'${id}'`).join(', ')
  const times = [...new Set(places.map(({ timestamp_ms }) => timestamp_ms))].join(', ')
  const rows = await ask(
    'events-rows',
    `SELECT ${EVENT_COLUMNS} FROM (
      SELECT * FROM {database: Identifier}.occurrences
      WHERE app_id = {appId: String}
        AND timestamp >= fromUnixTimestamp64Milli({oldestMs: Int64})
        AND timestamp <= fromUnixTimestamp64Milli({newestMs: Int64})
        AND id IN (${uuids})
        AND toUnixTimestamp64Milli(timestamp) IN (${times})
      ORDER BY ${FIRST} LIMIT 1 BY id)`,
    {
      appId,
      oldestMs: oldest.timestamp_ms,
      newestMs: newest.timestamp_ms,
    },
    signal,
  )
  const byId = new Map(rows.map((row) => EventRow.parse(row)).map((found) => [found.id, found]))
  return places.flatMap(({ id }) => byId.get(id) ?? [])
}

async function event(
  ask: Ask,
  appId: string,
  id: string,
  signal: AbortSignal | undefined,
): Promise<StoredEvent | undefined> {
  const uuid = z.guid().safeParse(id)
  if (!uuid.success) return undefined
  const rows = await ask(
    'event',
    `SELECT ${EVENT_COLUMNS} FROM (
      SELECT * FROM {database: Identifier}.occurrences
      WHERE app_id = {appId: String} AND id = {id: UUID} ORDER BY ${FIRST} LIMIT 1)`,
    { appId, id: uuid.data },
    signal,
  )
  return rows.map((row) => EventRow.parse(row))[0]
}

const Bucket = z.object({
  seconds: z.coerce.number(),
  count: z.coerce.number(),
  unique_codes: z.coerce.number(),
  affected_users: z.coerce.number(),
})

async function trends(
  ask: Ask,
  filter: EventFilter,
  granularity: 'hour' | 'day',
  signal: AbortSignal | undefined,
): ReturnType<Store['trends']> {
  const { from, where, params } = await matching(ask, filter, 'timestamp, code, user_id', signal)
  const seconds = granularity === 'hour' ? 3_600 : 86_400
  const rows = await ask(
    'trends',
    `SELECT intDiv(toUnixTimestamp64Milli(timestamp), {width: Int64}) * {seconds: Int64} AS seconds,
      count() AS count, uniqExact(code) AS unique_codes, uniqExact(user_id) AS affected_users
    FROM ${from} WHERE ${where} GROUP BY seconds ORDER BY seconds`,
    { ...params, width: seconds * 1_000, seconds },
    signal,
  )
  return z
    .array(Bucket)
    .parse(rows)
    .map((row) => ({
      time: new Date(row.seconds * 1_000).toISOString(),
      count: row.count,
      uniqueCodes: row.unique_codes,
      affectedUsers: row.affected_users,
    }))
}

const CodeRow = z.object({ code: z.string(), count: z.coerce.number() })

async function codes(
  ask: Ask,
  appId: string,
  range: TimeRange | undefined,
  signal: AbortSignal | undefined,
): ReturnType<Store['codes']> {
  const all = { startMs: RANGE_MS_MIN, endMs: RANGE_MS_MAX }
  const filter = { appId, range: range ?? all }
  const { from, where, params } = await matching(ask, filter, 'code', signal)
  const rows = await ask(
    'codes',
    `SELECT code, count() AS count FROM ${from} WHERE ${where}
    GROUP BY code ORDER BY count DESC, code LIMIT {rows: UInt64}`,
    { ...params, rows: CODES_MAX },
    signal,
  )
  return z.array(CodeRow).parse(rows)
}

import { z } from 'zod'
import type { ClickHouse } from './clickhouse.ts'
import { EVENT_COLUMNS, EventRow } from './event-row.ts'
import { codes, issues, trends } from './counts.ts'
import { createAskOnce, FIRST_OF_WHOLE, selectOnce } from './doubles.ts'
import type { Ask, Asking, Params } from './doubles.ts'
import { ALL_TIMES, conditionsOf, textConditions } from './matching.ts'
import { readLedger } from './ledger.ts'
import { limitsOf } from './limits.ts'
import { appliedVersion } from './migrate.ts'
import { createSessionEnds } from './session-ends.ts'
import { createSourceMaps } from './source-maps.ts'
import type { EventFilter, Store, StoredEvent, TimeRange } from './store.ts'

/** Where the events are, and from when on they may be seen. */
export interface StoreDeps {
  readonly clickhouse: ClickHouse
  /** Logged in as a user who can only read, for the questions; the one above where absent. */
  readonly reader?: ClickHouse
  readonly database: string
  /**
   * The oldest moment of the app's events that is still kept; what lies before is in no answer, though
   * ClickHouse deletes it some hours later. All that is there where absent.
   */
  readonly oldestMs?: (appId: string) => number
}

/**
 * Every question we ask, answered by ClickHouse. Of an event that stands there more than once the
 * row received first counts, here and in every answer.
 */
export function createStore({
  clickhouse,
  reader = clickhouse,
  database,
  oldestMs = () => -1,
}: StoreDeps): Store {
  const ask: Ask = (name, sql, params, signal) => {
    const settings = limitsOf(name)
    return reader.query(
      `/* error-ingestor:${name} */ ${sql}`,
      { ...params, database },
      signal === undefined ? { settings } : { settings, signal },
    )
  }
  const once = createAskOnce(ask)
  const kept = (appId: string, { startMs, endMs }: TimeRange): TimeRange => ({
    startMs: Math.max(startMs, oldestMs(appId)),
    endMs,
  })
  const visible = (filter: EventFilter): EventFilter => ({
    ...filter,
    range: kept(filter.appId, filter.range),
  })
  return {
    events: (filter, page, signal) =>
      once(filter.appId, signal, (asking) => events(asking, visible(filter), page)),
    event: (appId, id, signal) => event(ask, appId, id, oldestMs(appId), signal),
    trends: (filter, granularity, signal) =>
      once(filter.appId, signal, (asking) => trends(asking, visible(filter), granularity)),
    codes: (appId, range, signal) =>
      once(appId, signal, (asking) => codes(asking, appId, kept(appId, range ?? ALL_TIMES))),
    issues: (appId, range, limit, signal) =>
      once(appId, signal, (asking) => issues(asking, appId, kept(appId, range), limit)),
    ledger: (...asked) => readLedger({ clickhouse: reader, database }, ...asked),
    sourceMaps: createSourceMaps({ clickhouse, database }),
    sessionEnds: createSessionEnds({ clickhouse, database }),
    schemaVersion: () => appliedVersion(clickhouse, database),
    ping: () => clickhouse.ping(),
  }
}

const Place = z.object({ id: z.guid(), timestamp_ms: z.coerce.number().int() })
/** `above`: how many of what was found are newer by at least a millisecond. */
const RankedPlace = Place.extend({ above: z.coerce.number().int() })

async function events(
  asking: Asking,
  filter: EventFilter,
  page: Parameters<Store['events']>[1],
): ReturnType<Store['events']> {
  const { q, ...rest } = filter
  const { where, params } = conditionsOf(rest)
  const select = selectOnce(where, asking)
  const at = 'offset' in page ? { offset: page.offset } : { after: page.after, offset: 0 }
  const { after, offset } = { after: undefined, ...at }
  const behind = after === undefined ? '' : AFTER
  const text = q === undefined || q === '' ? undefined : textConditions(q)
  // A text in the message and one in the code are looked for apart, each by its own column.
  const places = (more: string) =>
    text === undefined
      ? select('id, timestamp', `${behind} ${more}`)
      : `SELECT DISTINCT id, timestamp FROM (
          ${select('id, timestamp', `AND ${text.message} ${behind} ${more}`)}
          UNION ALL
          ${select('id, timestamp', `AND ${text.code} ${behind} ${more}`)})`
  const askPlaces = (name: string, sql: string, own: Params) => {
    const afterPlace = { afterMs: after?.timestampMs ?? 0, afterId: after?.id ?? '' }
    return asking.ask(name, sql, { ...params, ...text?.params, ...afterPlace, ...own })
  }
  // First which events, from the columns of the filter alone, then the texts of those few: one
  // more event than asked for says whether there is a next page. In the table's order, from its end.
  const rows = z.array(RankedPlace).parse(
    await askPlaces(
      'events-page',
      `SELECT toString(found.id) AS id, toUnixTimestamp64Milli(found.timestamp) AS timestamp_ms,
        rank() OVER (ORDER BY found.timestamp DESC) - 1 AS above
      FROM (${places('ORDER BY timestamp DESC LIMIT {upTo: UInt64}')}) AS found
      ORDER BY found.timestamp DESC, id DESC
      LIMIT {rows: UInt64} OFFSET {offset: UInt64}`,
      { rows: page.limit + 1, upTo: offset + page.limit + 1, offset },
    ),
  )
  const wanted = rows.slice(0, page.limit)
  // Ids are sorted as text, which the table's order does not give: of the last millisecond that was
  // read any may be missing. Where the page ends in it, all of that one are asked for.
  const [last, next] = [wanted.at(-1), rows[page.limit]]
  const ending = next === undefined || next.timestamp_ms !== last?.timestamp_ms ? undefined : last
  const sure = wanted.filter(({ timestamp_ms }) => timestamp_ms !== ending?.timestamp_ms)
  const ties =
    ending === undefined
      ? []
      : await askPlaces(
          'events-ties',
          `SELECT toString(found.id) AS id, toUnixTimestamp64Milli(found.timestamp) AS timestamp_ms
          FROM (${places('AND timestamp = fromUnixTimestamp64Milli({endingMs: Int64})')}) AS found
          ORDER BY id DESC
          LIMIT {rows: UInt64} OFFSET {skip: UInt64}`,
          {
            endingMs: ending.timestamp_ms,
            rows: wanted.length - sure.length,
            skip: Math.max(0, offset - ending.above),
          },
        )
  const found = [...sure, ...z.array(Place).parse(ties)]
  return {
    events: await eventsAt(asking, filter.appId, found),
    hasMore: next !== undefined,
  }
}

const AFTER = `AND timestamp <= fromUnixTimestamp64Milli({afterMs: Int64})
  AND (timestamp, toString(id)) < (fromUnixTimestamp64Milli({afterMs: Int64}), {afterId: String})`

async function eventsAt(
  { ask }: Asking,
  appId: string,
  places: readonly z.infer<typeof Place>[],
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
      ORDER BY ${FIRST_OF_WHOLE} LIMIT 1 BY id)`,
    {
      appId,
      oldestMs: oldest.timestamp_ms,
      newestMs: newest.timestamp_ms,
    },
  )
  const byId = new Map(rows.map((row) => EventRow.parse(row)).map((found) => [found.id, found]))
  return places.flatMap(({ id }) => byId.get(id) ?? [])
}

async function event(
  ask: Ask,
  appId: string,
  id: string,
  oldestMs: number,
  signal: AbortSignal | undefined,
): Promise<StoredEvent | undefined> {
  const uuid = z.guid().safeParse(id)
  if (!uuid.success) return undefined
  const rows = await ask(
    'event',
    `SELECT ${EVENT_COLUMNS} FROM (
      SELECT * FROM {database: Identifier}.occurrences
      WHERE app_id = {appId: String} AND id = {id: UUID} ORDER BY ${FIRST_OF_WHOLE} LIMIT 1)
    WHERE timestamp >= fromUnixTimestamp64Milli({oldestMs: Int64})`,
    { appId, id: uuid.data, oldestMs },
    signal,
  )
  return rows.map((row) => EventRow.parse(row))[0]
}

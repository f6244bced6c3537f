import { z } from 'zod'
import { selectOnce, type Asking } from './doubles.ts'
import { conditionsOf } from './matching.ts'
import { splitRange } from './rollups.ts'
import type { EventFilter, Store, TimeRange } from './store.ts'

const CODES_MAX = 100_000

const Bucket = z
  .object({
    seconds: z.coerce.number(),
    count: z.coerce.number(),
    unique_codes: z.coerce.number(),
    affected_users: z.coerce.number(),
  })
  .transform((row) => ({
    time: new Date(row.seconds * 1_000).toISOString(),
    count: row.count,
    uniqueCodes: row.unique_codes,
    affectedUsers: row.affected_users,
  }))

/** See {@link Store}. Of all an app's events it is answered by hours, of some of them row by row. */
export async function trends(
  asking: Asking,
  filter: EventFilter,
  granularity: 'hour' | 'day',
): ReturnType<Store['trends']> {
  const seconds = granularity === 'hour' ? 3_600 : 86_400
  const { appId, range, ...rest } = filter
  const isOfAll = Object.values(rest).every((value) => value === undefined)
  const { parts, params } = isOfAll
    ? await trendOfHours(asking, appId, range)
    : trendOfEvents(asking, filter)
  const rows = await asking.ask(
    'trends',
    `SELECT seconds, sum(events) AS count, uniqExact(code) AS unique_codes,
      uniqExact(user) AS affected_users
    FROM (${parts.join(' UNION ALL ')}) GROUP BY seconds ORDER BY seconds`,
    { ...params, width: seconds * 1_000, seconds },
  )
  return z.array(Bucket).parse(rows)
}

const BUCKET_OF_HOUR = 'intDiv(toInt64(toUnixTimestamp(hour)), {seconds: Int64}) * {seconds: Int64}'
const BUCKET_OF_EVENT =
  'intDiv(toUnixTimestamp64Milli(timestamp), {width: Int64}) * {seconds: Int64}'

/** The same hash that the view of hourly users writes. */
const eventParts = (select: string) => `
  SELECT ${BUCKET_OF_EVENT} AS seconds, toNullable(toString(code)) AS code, toUInt64(1) AS events,
    if(user_id IS NULL, NULL, sipHash64(assumeNotNull(user_id))) AS user
  FROM (${select})`

function trendOfEvents(asking: Asking, filter: EventFilter) {
  const { where, params } = conditionsOf(filter)
  const select = selectOnce(where, asking)
  return { parts: [eventParts(select('timestamp, code, user_id'))], params }
}

async function trendOfHours(asking: Asking, appId: string, range: TimeRange) {
  const { hours, events, params } = await splitRange(asking, appId, range)
  const parts = [eventParts(events('timestamp, code, user_id'))]
  if (hours !== undefined) {
    parts.push(
      `SELECT ${BUCKET_OF_HOUR} AS seconds, toNullable(toString(code)) AS code,
        sum(hourly.events) AS events, CAST(NULL, 'Nullable(UInt64)') AS user
      FROM {database: Identifier}.hourly AS hourly WHERE ${hours} GROUP BY seconds, code`,
      `SELECT ${BUCKET_OF_HOUR} AS seconds, CAST(NULL, 'Nullable(String)') AS code,
        toUInt64(0) AS events, toNullable(users.user) AS user
      FROM {database: Identifier}.hourly_users AS users WHERE ${hours}`,
    )
  }
  return { parts, params }
}

const CodeRow = z.object({ code: z.string(), count: z.coerce.number() })

/** See {@link Store}. */
export async function codes(
  asking: Asking,
  appId: string,
  range: TimeRange,
): ReturnType<Store['codes']> {
  const { hours, events, params } = await splitRange(asking, appId, range)
  const parts = [`SELECT code, count() AS events FROM (${events('code')}) GROUP BY code`]
  if (hours !== undefined) {
    parts.push(
      `SELECT code, sum(hourly.events) AS events
      FROM {database: Identifier}.hourly AS hourly WHERE ${hours} GROUP BY code`,
    )
  }
  const rows = await asking.ask(
    'codes',
    `SELECT code, sum(events) AS count FROM (${parts.join(' UNION ALL ')})
    GROUP BY code ORDER BY count DESC, code LIMIT {rows: UInt64}`,
    { ...params, rows: CODES_MAX },
  )
  return z.array(CodeRow).parse(rows)
}

const iso = z.coerce.number().transform((ms) => new Date(ms).toISOString())
const IssueRow = z
  .object({
    issue: z.string(),
    code: z.string(),
    count: z.coerce.number(),
    first_ms: iso,
    last_ms: iso,
  })
  .transform(({ issue, code, count, first_ms, last_ms }) => ({
    issue,
    code,
    count,
    firstSeen: first_ms,
    lastSeen: last_ms,
  }))

/** See {@link Store}. */
export async function issues(
  asking: Asking,
  appId: string,
  range: TimeRange,
  limit: number,
): ReturnType<Store['issues']> {
  const { hours, events, params } = await splitRange(asking, appId, range)
  const parts = [
    `SELECT fingerprint, code, toUInt64(1) AS events, timestamp AS first, timestamp AS last
    FROM (${events('fingerprint, code, timestamp')})`,
  ]
  if (hours !== undefined) {
    parts.push(
      `SELECT fingerprint, code, hourly.events AS events, first_at AS first, last_at AS last
      FROM {database: Identifier}.hourly AS hourly WHERE ${hours}`,
    )
  }
  const rows = await asking.ask(
    'issues',
    `SELECT fingerprint AS issue, argMax(code, (last, code)) AS code, sum(events) AS count,
      toUnixTimestamp64Milli(min(first)) AS first_ms, toUnixTimestamp64Milli(max(last)) AS last_ms
    FROM (${parts.join(' UNION ALL ')})
    GROUP BY fingerprint ORDER BY count DESC, last_ms DESC, issue LIMIT {rows: UInt64}`,
    { ...params, rows: limit },
  )
  return z.array(IssueRow).parse(rows)
}

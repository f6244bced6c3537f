import { Hono } from 'hono'
import type { Context } from 'hono'
import type { z } from 'zod'
import { dsnOf } from '../app-setting.ts'
import { Refusal } from '../refusal.ts'
import type { EventFilter, Store, TimeRange, TrendBucket } from '../store/store.ts'
import { readCursor, writeCursor } from './cursor.ts'
import { ledgerAnswer } from './ledger.ts'
import {
  CodesQuery,
  ErrorQuery,
  ErrorsQuery,
  IssuesQuery,
  LedgerQuery,
  TrendsQuery,
  readQuery,
} from './query.ts'

/** An app as the API lists it. */
interface ListedApp {
  readonly id: string
  readonly name: string
  /** ISO 8601. */
  readonly createdAt: string
  readonly projectId: number
  /** Public by nature; undefined where the app has none. */
  readonly ingestKey: string | undefined
}

interface ApiReader {
  readonly app: ListedApp | undefined
  readonly apps?: readonly ListedApp[]
}

/** What `dashboardApi` stands on. */
export interface DashboardApiDeps {
  readonly store: Pick<Store, 'events' | 'event' | 'trends' | 'codes' | 'issues' | 'ledger'>
  /**
   * Lets the reader of `appId` in, or of whatever the key may read where that is absent.
   * The answer's `app` is undefined for a reader of several: `apps` says which, else of all.
   * Rejects with Refusal `unauthenticated`, `forbidden` or `overloaded`.
   */
  readonly admitRead: (
    request: Request,
    appId: string | undefined,
    env: unknown,
  ) => ApiReader | Promise<ApiReader>
  readonly apps: () => readonly ListedApp[]
  /** See http/ask.ts. */
  readonly ask: <Answer>(
    request: Request,
    question: (signal: AbortSignal) => Promise<Answer>,
  ) => Promise<Answer>
  /** Where the client of a request reaches us, for links: an origin, or a URL with a path. */
  readonly originOf: (request: Request, env: unknown) => string
  /** Puts what is counted until now where `store.ledger` finds it; never rejects. */
  readonly settleLedger: () => Promise<void>
  readonly nowMs: () => number
}

const HOUR_MS = 3_600_000
const BUCKET_MS = { hour: HOUR_MS, day: 24 * HOUR_MS } as const
const ERRORS_RANGE_MS = 24 * HOUR_MS
const TRENDS_RANGE_MS = 7 * 24 * HOUR_MS
/** Buckets that `fill=true` lists at most: over a year of hours. */
const FILL_BUCKETS_MAX = 10_000

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** The JSON API under `/dashboard/api`. Refusals are thrown; the app answers them. */
export function dashboardApi(deps: DashboardApiDeps): Hono {
  const { store, ask } = deps
  const api = new Hono()
  api.get('/dashboard/api/errors', async (c) => c.json(await errorsPage(deps, c)))
  api.get('/dashboard/api/errors/:id', async (c) => {
    const { appId } = await admitted(deps, ErrorQuery, c)
    const id = c.req.param('id').toLowerCase()
    const known = UUID.test(id)
    const error = known
      ? await ask(c.req.raw, (signal) => store.event(appId, id, signal))
      : undefined
    if (error === undefined) {
      throw new Refusal('not_found', 'The app has no event of this id, or no longer.')
    }
    return c.json({ success: true, error })
  })
  api.get('/dashboard/api/trends', async (c) => {
    const query = await admitted(deps, TrendsQuery, c)
    const range = rangeOf(query, deps.nowMs(), TRENDS_RANGE_MS)
    const { granularity } = query
    if (query.fill === 'true') refuseTooManyBuckets(range, granularity)
    const filter: EventFilter = { ...filterOf(query), range }
    const trends = await ask(c.req.raw, (signal) => store.trends(filter, granularity, signal))
    const all = query.fill === 'true' ? filled(trends, range, granularity) : trends
    return c.json({ success: true, trends: all })
  })
  api.get('/dashboard/api/codes', async (c) => {
    const query = await admitted(deps, CodesQuery, c)
    const asked = query.startTime !== undefined || query.endTime !== undefined
    const range = asked ? rangeOf(query, deps.nowMs(), undefined) : undefined
    const codes = await ask(c.req.raw, (signal) => store.codes(query.appId, range, signal))
    return c.json({ success: true, codes })
  })
  api.get('/dashboard/api/issues', async (c) => {
    const query = await admitted(deps, IssuesQuery, c)
    const range = rangeOf(query, deps.nowMs(), TRENDS_RANGE_MS)
    const issues = await ask(c.req.raw, (signal) =>
      store.issues(query.appId, range, query.limit, signal),
    )
    return c.json({ success: true, issues })
  })
  api.get('/dashboard/api/ledger', async (c) => {
    const { app, apps: some } = await deps.admitRead(c.req.raw, undefined, c.env)
    const { appId, granularity, ...times } = readQuery(LedgerQuery, c.req.raw)
    // What no app sent, and the sum of all apps, is for those who may read them all.
    if (appId === undefined && (app !== undefined || some !== undefined)) {
      throw new Refusal('malformed', 'appId is needed: say the id of the app, as ?appId=test-app.')
    }
    await deps.admitRead(c.req.raw, appId, c.env)
    const range = rangeOf(times, deps.nowMs(), ERRORS_RANGE_MS)
    const entries = await ask(c.req.raw, async (signal) => {
      await deps.settleLedger()
      return store.ledger(appId, range, granularity, signal)
    })
    return c.json({ success: true, ...ledgerAnswer(entries) })
  })
  api.get('/dashboard/api/apps', async (c) => {
    const { app, apps: some } = await deps.admitRead(c.req.raw, undefined, c.env)
    const base = deps.originOf(c.req.raw, c.env)
    const apps = (app === undefined ? (some ?? deps.apps()) : [app]).map((one) => ({
      id: one.id,
      name: one.name,
      createdAt: one.createdAt,
      projectId: one.projectId,
      dsn: one.ingestKey === undefined ? null : dsnOf(base, one.ingestKey, one.projectId),
    }))
    return c.json({ success: true, apps })
  })
  return api
}

/** The checked query of somebody who may read its app. A bad key is told before a bad parameter. */
async function admitted<Schema extends z.ZodType<{ readonly appId: string }>>(
  deps: DashboardApiDeps,
  schema: Schema,
  c: Context,
): Promise<z.output<Schema>> {
  await deps.admitRead(c.req.raw, undefined, c.env)
  const query = readQuery(schema, c.req.raw)
  await deps.admitRead(c.req.raw, query.appId, c.env)
  return query
}

async function errorsPage(deps: DashboardApiDeps, c: Context): Promise<object> {
  const query = await admitted(deps, ErrorsQuery, c)
  const { limit, offset, cursor, appId } = query
  const range = rangeOf(query, deps.nowMs(), ERRORS_RANGE_MS)
  const filter: EventFilter = { ...filterOf(query), range }
  const at = cursor === undefined ? { offset } : { after: positionOf(appId, cursor, offset) }
  const { events, hasMore } = await deps.ask(c.req.raw, (signal) =>
    deps.store.events(filter, { ...at, limit }, signal),
  )
  const pagination = { limit, offset, hasMore }
  if (cursor === undefined) return { success: true, errors: events, pagination }
  const last = events.at(-1)
  const nextCursor =
    hasMore && last !== undefined
      ? writeCursor(appId, { timestampMs: Date.parse(last.timestamp), id: last.id })
      : null
  // In both places: the contract can be read either way, and clients look where they read it.
  return { success: true, errors: events, pagination: { ...pagination, nextCursor }, nextCursor }
}

function positionOf(appId: string, cursor: string, offset: number) {
  if (offset > 0) throw new Refusal('malformed', 'offset and cursor exclude each other; drop one.')
  if (cursor === '') return undefined
  const position = readCursor(appId, cursor)
  if (position !== undefined) return position
  throw new Refusal('malformed', 'cursor must be empty or the nextCursor of the page before.')
}

type Filters = Omit<EventFilter, 'range'>

function filterOf(query: Filters): Filters {
  const { appId, code, userId, platform, appVersion, environment, level, issue, q } = query
  return { appId, code, userId, platform, appVersion, environment, level, issue, q }
}

// What the column can hold and events can have: nothing lies before 1970 or far ahead.
const TIME_MIN_MS = -1
const TIME_MAX_MS = Date.UTC(2200, 0, 1)

/**
 * The range that was asked for. Without a start it begins `defaultMs` ago, or that long before an
 * end which lies even earlier; at the beginning of time where `defaultMs` is undefined.
 * @throws Refusal `malformed` when the start lies after the end.
 */
function rangeOf(
  query: { readonly startTime?: number | undefined; readonly endTime?: number | undefined },
  nowMs: number,
  defaultMs: number | undefined,
): TimeRange {
  const end = query.endTime ?? nowMs
  const start = query.startTime ?? defaultStart(end, nowMs, defaultMs)
  if (start > end) throw new Refusal('malformed', 'startTime must not be after endTime.')
  return { startMs: within(start), endMs: within(end) }
}

function defaultStart(end: number, nowMs: number, defaultMs: number | undefined): number {
  if (defaultMs === undefined) return TIME_MIN_MS
  return end < nowMs - defaultMs ? end - defaultMs : nowMs - defaultMs
}

function within(ms: number): number {
  return Math.min(Math.max(ms, TIME_MIN_MS), TIME_MAX_MS)
}

function refuseTooManyBuckets({ startMs, endMs }: TimeRange, granularity: 'hour' | 'day'): void {
  if ((endMs - startMs) / BUCKET_MS[granularity] <= FILL_BUCKETS_MAX - 1) return
  const text = `fill=true lists at most ${FILL_BUCKETS_MAX} buckets; take a shorter range or granularity=day.`
  throw new Refusal('malformed', text)
}

/** The buckets with the empty ones between and around them. */
function filled(
  buckets: readonly TrendBucket[],
  { startMs, endMs }: TimeRange,
  granularity: 'hour' | 'day',
): readonly TrendBucket[] {
  const size = BUCKET_MS[granularity]
  const known = new Map(buckets.map((bucket) => [Date.parse(bucket.time), bucket]))
  const all: TrendBucket[] = []
  for (let at = Math.floor(startMs / size) * size; at <= endMs; at += size) {
    const empty = { time: new Date(at).toISOString(), count: 0, uniqueCodes: 0, affectedUsers: 0 }
    all.push(known.get(at) ?? empty)
  }
  return all
}

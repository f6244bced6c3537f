import { z } from 'zod'

/** Values of a statement's placeholders. */
export type Params = Record<string, unknown>

/** Asks ClickHouse one statement, by name; `{database: Identifier}` is bound. */
export type Ask = (
  name: string,
  sql: string,
  params: Params,
  signal: AbortSignal | undefined,
) => Promise<readonly unknown[]>

/** A question that is being asked, until it is answered or given up. */
export interface Asking {
  readonly ask: (name: string, sql: string, params: Params) => Promise<readonly unknown[]>
  /** Whether the app may have ids with more than one row. */
  readonly withDoubles: boolean
}

/** Answers a question about an app so that each id counts once. Rejects as it does. */
export type AskOnce = <Answer>(
  appId: string,
  signal: AbortSignal | undefined,
  question: (asking: Asking) => Promise<Answer>,
) => Promise<Answer>

/** The events themselves. */
export const EVENTS_TABLE = '{database: Identifier}.occurrences'

/**
 * Ids of {appId} that arrived since the last search for doubles. Each shard of a cluster searches its own: the
 * one that is behind says how far back to look.
 */
const UNSEARCHED = `{database: Identifier}.arrivals
  WHERE app_id = {appId: String} AND stored_at >= (
    SELECT greatest(if(count() < max(shards), toDateTime(0, 'UTC'), min(until)), toDateTime(60, 'UTC'))
      - INTERVAL 1 MINUTE
    FROM (
      SELECT max(found_at) AS until, any(shardCount()) AS shards
      FROM {database: Identifier}.doubles WHERE app_id = '' GROUP BY shardNum()))`

/** Ids of {appId} with more than one row: those found already, and those that arrived since. */
export const DOUBLES = `
  SELECT id FROM {database: Identifier}.doubles WHERE app_id = {appId: String}
  UNION DISTINCT
  SELECT id FROM ${UNSEARCHED} GROUP BY id HAVING count() > 1`

/**
 * Who stored what was not searched yet, two of them at most, and one without a name where there are doubles already.
 * Reads no id: 11 ms of 390,000, beside a question of 20, where the look itself takes 38.
 */
const SOURCES = `
  SELECT '' AS source FROM (SELECT 1 FROM {database: Identifier}.doubles WHERE app_id = {appId: String} LIMIT 1)
  UNION ALL
  SELECT source FROM ${UNSEARCHED} GROUP BY source LIMIT 2`

const Sources = z.array(z.object({ source: z.string() }))

/**
 * A row where there may be some. A hash is enough to tell ids apart, but for one pair in 10^19, and sorting numbers
 * takes half of what counting each id takes: 22 ms for 33, of 390,000 in 60 parts. A half of an id would not do:
 * the first one of version 7 is little more than the time.
 */
const ANY_DOUBLES = `
  SELECT 1 FROM (SELECT 1 FROM {database: Identifier}.doubles WHERE app_id = {appId: String} LIMIT 1)
  UNION ALL
  SELECT 1 FROM ${UNSEARCHED}
  HAVING length(arrayCompact(arraySort(groupArray(cityHash64(id))))) < count()`

/** An app that had doubles has them for as long as it keeps its events; it is looked again now and then. */
const HAD_DOUBLES_MS = 3_600_000

/**
 * Asks as if no id stood twice, and meanwhile whether one does; then that answer is left, and the question asked
 * again with a look for them. It is not ended on the server: that is rare, and a server of a cluster that
 * waits for another one may die of it (26.7).
 */
export function createAskOnce(ask: Ask, nowMs = () => performance.now()): AskOnce {
  const untilMs = new Map<string, number>()

  return async (appId, signal, question) => {
    const asking = (withDoubles: boolean) =>
      question({ withDoubles, ask: (name, sql, params) => ask(name, sql, params, signal) })
    if (nowMs() < (untilMs.get(appId) ?? 0)) return asking(true)
    const answered = asking(false)
    // Nobody hears of its failure where it is left.
    answered.catch(() => undefined)
    if (!(await mayHave(appId, signal))) return answered
    untilMs.set(appId, nowMs() + HAD_DOUBLES_MS)
    return asking(true)
  }

  async function mayHave(appId: string, signal: AbortSignal | undefined): Promise<boolean> {
    const sources = Sources.parse(await ask('sources', SOURCES, { appId }, signal))
    // One who has a name stores no id twice (migration 24).
    if (sources.length < 2 && sources[0]?.source !== '') return false
    return (await ask('doubles', ANY_DOUBLES, { appId }, signal)).length > 0
  }
}

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

/**
 * Rows that match a condition, one per id, as a SELECT of the asked columns; `more` stands behind the conditions of
 * each part: a LIMIT there bounds what a part gives.
 */
export type Select = (columns: string, more?: string) => string

/**
 * How rows are selected once per id. Where no id of the app has two that is the table itself; else the doubles
 * are taken apart, and their first rows put beside the others.
 */
export function selectOnce(where: string, { withDoubles }: Pick<Asking, 'withDoubles'>): Select {
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

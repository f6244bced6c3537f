import { z } from 'zod'
import type { Forget } from '../administration.ts'
import type { ClickHouse } from './clickhouse.ts'
import { localDatabase } from './cluster.ts'
import type { Cluster } from './cluster.ts'
import {
  beginWriting,
  writeNullableTime,
  writeString,
  writeTime,
  writeUuid,
  written,
} from './rowbinary.ts'

/** How far ClickHouse has got with one {@link Forget}. */
export interface Remains {
  /** Events of the user that can still be read. */
  readonly events: number
  /** Whether a deletion of them is under way. */
  readonly isDeleting: boolean
}

/** Removes the events of users. Everything rejects with what the client rejects with. */
export interface Forgets {
  /** Adds a request, or says when it was done. */
  readonly put: (forget: Forget) => Promise<void>
  readonly find: (appId: string, id: string) => Promise<Forget | undefined>
  /** Requests that are not done, and those made since then: their events may still come. */
  readonly open: (sinceMs: number) => Promise<readonly Forget[]>
  /** Starts the deletion; it rewrites the parts that hold the events and takes its time. */
  readonly remove: (forget: Forget) => Promise<void>
  readonly remains: (forget: Forget) => Promise<Remains>
}

const Row = z
  .object({
    id: z.string(),
    app_id: z.string(),
    user_hash: z.string(),
    requested_at_ms: z.coerce.number(),
    done_at_ms: z.coerce.number(),
  })
  .transform((row): Forget => ({
    id: row.id,
    appId: row.app_id,
    userHash: row.user_hash,
    requestedAtMs: row.requested_at_ms,
    doneAtMs: row.done_at_ms === 0 ? undefined : row.done_at_ms,
  }))

/** The deletions of users in `database`. */
export function createForgets({
  clickhouse,
  database,
  cluster,
}: {
  readonly clickhouse: ClickHouse
  readonly database: string
  readonly cluster?: Cluster | undefined
}): Forgets {
  const mutations =
    cluster === undefined
      ? { mutations: 'system', own: database }
      : { mutations: database, own: localDatabase(database) }
  const select = async (name: string, where: string, params: Record<string, unknown>) => {
    const rows = await clickhouse.query(
      `/* error-ingestor:${name} */ ${SELECT} WHERE ${where} ORDER BY requested_at, id`,
      { database, ...params },
      { settings: { max_execution_time: 10 } },
    )
    return z.array(Row).parse(rows)
  }
  const ofUser = ({ id, appId, userHash, requestedAtMs }: Forget) => ({
    ...{ database, id, appId, userHash, requestedAtMs },
  })
  return {
    async put(forget) {
      beginWriting()
      writeUuid(forget.id)
      writeString(forget.appId)
      writeString(forget.userHash)
      writeTime(forget.requestedAtMs)
      writeNullableTime(forget.doneAtMs)
      await clickhouse.insert({
        table: `${database}.forgets`,
        columns: ['id', 'app_id', 'user_hash', 'requested_at', 'done_at'],
        body: [written()],
        settings: { insert_deduplicate: 0 },
      })
    },
    async find(appId, id) {
      const where = 'app_id = {appId: String} AND toString(id) = {id: String}'
      return (await select('forget', where, { appId, id }))[0]
    },
    open: (sinceMs) =>
      select(
        'forgets',
        'done_at IS NULL OR requested_at >= fromUnixTimestamp64Milli({sinceMs: Int64})',
        { sinceMs },
      ),
    async remove(forget) {
      const params = ofUser(forget)
      // First, so that no count of an hour is believed that the deletion makes wrong.
      await clickhouse.command(TOUCH, params)
      const users = z
        .array(z.object({ user: z.string().regex(/^\d+$/) }))
        .parse(await clickhouse.query(USERS, params))
      const settings = { mutations_sync: 0 }
      for (const { user } of users) {
        await clickhouse.command(FORGET_HOURS, { ...params, user }, { settings })
      }
      await clickhouse.command(FORGET, params, { settings })
    },
    async remains(forget) {
      const rows = await clickhouse.query(
        REMAINS,
        { ...ofUser(forget), ...mutations },
        {
          settings: { max_execution_time: 60 },
        },
      )
      const [row] = z
        .array(z.object({ events: z.coerce.number(), deleting: z.coerce.number() }))
        .parse(rows)
      return { events: row?.events ?? 0, isDeleting: (row?.deleting ?? 0) > 0 }
    },
  }
}

const SELECT = `SELECT toString(id) AS id, app_id, user_hash,
    toUnixTimestamp64Milli(requested_at) AS requested_at_ms,
    ifNull(toUnixTimestamp64Milli(done_at), 0) AS done_at_ms
  FROM {database: Identifier}.forgets FINAL`

// What comes later than the request is a new event, of somebody who came back.
const OF_USER = `app_id = {appId: String}
  AND received_at <= fromUnixTimestamp64Milli({requestedAtMs: Int64})
  AND lower(hex(SHA256(concat({id: String}, ifNull(user_id, ''))))) = {userHash: String}`

const TOUCH = `
  /* error-ingestor:forget-touch */
  INSERT INTO {database: Identifier}.touched (app_id, hour)
  SELECT DISTINCT app_id, toStartOfHour(toDateTime(timestamp, 'UTC'))
  FROM {database: Identifier}.occurrences WHERE ${OF_USER}`

const USERS = `
  /* error-ingestor:forget-users */
  SELECT DISTINCT toString(sipHash64(assumeNotNull(user_id))) AS user
  FROM {database: Identifier}.occurrences WHERE ${OF_USER}`

const FORGET_HOURS = `
  /* error-ingestor:forget-hours */
  ALTER TABLE {database: Identifier}.hourly_users
  DELETE WHERE app_id = {appId: String} AND user = {user: UInt64}
    AND hour <= toDateTime(fromUnixTimestamp64Milli({requestedAtMs: Int64}), 'UTC')`

const FORGET = `
  /* error-ingestor:forget */
  ALTER TABLE {database: Identifier}.occurrences DELETE WHERE ${OF_USER}`

// The command of a deletion holds the id of its request.
const REMAINS = `
  /* error-ingestor:forget-remains */
  SELECT
    (SELECT count() FROM {database: Identifier}.occurrences WHERE ${OF_USER}) AS events,
    (SELECT count() FROM {mutations: Identifier}.mutations
      WHERE database = {own: String} AND table = 'occurrences' AND NOT is_done
        AND position(command, {id: String}) > 0) AS deleting`

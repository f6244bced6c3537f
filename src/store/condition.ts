import { z } from 'zod'
import type { ClickHouse } from './clickhouse.ts'

/** What a ClickHouse says of itself to one of its users. */
export interface ServerFacts {
  readonly version: string
  readonly user: string
  /** Milliseconds since the Unix epoch, by its own clock. */
  readonly nowMs: number
  readonly uptimeSeconds: number
}

const number = z.coerce.number()
const Facts = z.object({ version: z.string(), user: z.string(), nowMs: number, uptime: number })

/** Asks who it is. Rejects with the client's error where it is away or lets the user not in. */
export async function serverFacts(clickhouse: ClickHouse): Promise<ServerFacts> {
  const rows = await clickhouse.query(
    `/* error-ingestor:doctor-server */
    SELECT version() AS version, currentUser() AS user, uptime() AS uptime,
      toUnixTimestamp64Milli(now64(3)) AS nowMs`,
    {},
  )
  const { version, user, nowMs, uptime } = one(Facts, rows)
  return { version, user, nowMs, uptimeSeconds: uptime }
}

/** The values of these settings for the user, as text; those that the version does not know are absent. */
export async function settingsOf(
  clickhouse: ClickHouse,
  names: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const rows = await clickhouse.query(
    `/* error-ingestor:doctor-settings */
    SELECT name, value FROM system.settings WHERE name IN {names: Array(String)}`,
    { names },
  )
  const found = z.array(z.object({ name: z.string(), value: z.string() })).parse(rows)
  return new Map(found.map(({ name, value }) => [name, value]))
}

const Table = z.object({ name: z.string(), engine: z.string(), engineFull: z.string() })

/** The tables of the database that hold rows, as far as the user may see them. */
export async function tablesOf(
  clickhouse: ClickHouse,
  database: string,
): Promise<readonly z.infer<typeof Table>[]> {
  const rows = await clickhouse.query(
    `/* error-ingestor:doctor-tables */
    SELECT name, engine, engine_full AS engineFull FROM system.tables
    WHERE database = {database: String} AND engine LIKE '%MergeTree' ORDER BY name`,
    { database },
  )
  return z.array(Table).parse(rows)
}

/** What the user was granted, roles included, one grant a text, as `GRANT SELECT ON db.* TO user`. */
export async function grantsOf(clickhouse: ClickHouse): Promise<readonly string[]> {
  const rows = await clickhouse.query('SHOW GRANTS FINAL', {})
  // The one column is named by the question.
  return z
    .array(z.record(z.string(), z.string()))
    .parse(rows)
    .flatMap((row) => Object.values(row))
}

/** Things that the user may need to be allowed to do; trying them changes nothing. */
export const TRIALS = {
  SELECT: `SELECT 1 FROM {database: Identifier}.{table: Identifier} LIMIT 0`,
  // An insert of no rows makes no part.
  INSERT: `INSERT INTO {database: Identifier}.{table: Identifier}
    SELECT * FROM {database: Identifier}.{table: Identifier} WHERE 0`,
  // The right is asked for before it is found that there is such a table.
  'CREATE TABLE': `CREATE TABLE IF NOT EXISTS {database: Identifier}.{table: Identifier}
    (nothing UInt8) ENGINE = MergeTree ORDER BY nothing`,
} as const

/** Tries one of {@link TRIALS} on a table that exists. Rejects where the user may not. */
export async function tryRight(
  clickhouse: ClickHouse,
  right: keyof typeof TRIALS,
  { database, table }: { readonly database: string; readonly table: string },
): Promise<void> {
  const sql = `/* error-ingestor:doctor-rights */ ${TRIALS[right]}`
  if (right === 'SELECT') await clickhouse.query(sql, { database, table })
  else await clickhouse.command(sql, { database, table })
}

const Disk = z.object({ name: z.string(), path: z.string(), free: number, total: number })

/** Its disks, with the bytes that new parts may still take. */
export async function disksOf(clickhouse: ClickHouse): Promise<readonly z.infer<typeof Disk>[]> {
  const rows = await clickhouse.query(
    `/* error-ingestor:doctor-disks */
    SELECT name, path, unreserved_space AS free, total_space AS total FROM system.disks
    WHERE total_space > 0 AND total_space < 1e18 ORDER BY name`,
    {},
  )
  return z.array(Disk).parse(rows)
}

const Parts = z.object({ table: z.string(), parts: number, delay: number, refuse: number })

/** The partition with the most parts of each table, and from how many on inserts wait or are refused. */
export async function partsOf(
  clickhouse: ClickHouse,
  database: string,
): Promise<readonly z.infer<typeof Parts>[]> {
  const bound = (name: string) =>
    `(SELECT toUInt64(value) FROM system.merge_tree_settings WHERE name = '${name}')`
  const rows = await clickhouse.query(
    `/* error-ingestor:doctor-parts */
    SELECT table, max(parts) AS parts, ${bound('parts_to_delay_insert')} AS delay,
      ${bound('parts_to_throw_insert')} AS refuse
    FROM (SELECT table, partition_id, count() AS parts FROM system.parts
      WHERE database = {database: String} AND active GROUP BY table, partition_id)
    GROUP BY table ORDER BY parts DESC`,
    { database },
  )
  return z.array(Parts).parse(rows)
}

const Replica = z.object({
  table: z.string(),
  isReadonly: number,
  queue: number,
  delaySeconds: number,
  total: number,
  active: number,
})

/** How the replicas of the database's tables are, seen from this one; none without replication. */
export async function replicasOf(
  clickhouse: ClickHouse,
  database: string,
): Promise<readonly z.infer<typeof Replica>[]> {
  const rows = await clickhouse.query(
    `/* error-ingestor:doctor-replicas */
    SELECT table, is_readonly AS isReadonly, queue_size AS queue, absolute_delay AS delaySeconds,
      total_replicas AS total, active_replicas AS active
    FROM system.replicas WHERE database = {database: String} ORDER BY table`,
    { database },
  )
  return z.array(Replica).parse(rows)
}

const Trouble = z.object({ what: z.enum(['mutation', 'view', 'part']), name: z.string() })

/** Mutations and refreshed views that fail, and parts that ClickHouse set aside as broken. */
export async function troublesOf(
  clickhouse: ClickHouse,
  database: string,
): Promise<readonly z.infer<typeof Trouble>[]> {
  const rows = await clickhouse.query(
    `/* error-ingestor:doctor-troubles */
    SELECT 'mutation' AS what, concat(table, ': ', latest_fail_error_code_name) AS name
    FROM system.mutations
    WHERE database = {database: String} AND NOT is_done AND latest_fail_reason != ''
    UNION ALL
    SELECT 'view', view FROM system.view_refreshes
    WHERE database = {database: String} AND exception != ''
    UNION ALL
    SELECT 'part', concat(table, ': ', name) FROM system.detached_parts
    WHERE database = {database: String} AND startsWith(ifNull(reason, ''), 'broken')
    LIMIT 100`,
    { database },
  )
  return z.array(Trouble).parse(rows)
}

function one<Schema extends z.ZodType>(schema: Schema, rows: readonly unknown[]): z.output<Schema> {
  return schema.parse(rows[0])
}

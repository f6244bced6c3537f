import { z } from 'zod'
import type { ClickHouse, RunOptions } from './clickhouse.ts'

/** ClickHouse servers that share the events: each id lives on one of their shards. */
export interface Cluster {
  /** As in `system.clusters` of each of its servers. */
  readonly name: string
  /**
   * HTTP addresses of all its servers, where it has no Keeper: each is told what changes tables.
   * Undefined where it has one: then one is told `ON CLUSTER`, and replicas keep each other's rows.
   */
  readonly hosts: readonly string[] | undefined
}

/** The database of each server's own tables; that of the name itself holds those of all servers together. */
export function localDatabase(database: string): string {
  return `${database}_local`
}

/** What goes with everything that is asked of, or put into, the tables of all servers. */
const SETTINGS = {
  // The answer to an insert means that its rows are stored on their shards, not that they wait for it.
  distributed_foreground_insert: 1,
  insert_quorum: 'auto',
  insert_quorum_parallel: 1,
  // An insert that waits longer is tried again; the default of ten minutes outlasts our own patience.
  insert_quorum_timeout: 15_000,
  // What is read from and written to Distributed tables goes through us, in the order of the rows.
  parallel_distributed_insert_select: 0,
  // An id and all that is known of it lie on one shard: so each compares with its own.
  distributed_product_mode: 'local',
  // All of it or an error; never the counts of those shards that happen to answer.
  skip_unavailable_shards: 0,
  // The first replica that lives takes all writes and questions of its shard, so that what was
  // answered is seen by the next question; one that lags behind is no answer at all.
  load_balancing: 'in_order',
  max_replica_delay_for_distributed_queries: 30,
  fallback_to_stale_replicas_for_distributed_queries: 0,
  // A server that is told to end a question while it waits for another one may die of it (26.7 does, within
  // thirty): what its client gave up runs to its end, or to the limit of its time.
  cancel_http_readonly_queries_on_client_close: 0,
} as const

/** Below the time a statement may take, so that the error says which server did not follow. */
const DDL_SECONDS_MAX = 25

/** In ClickHouse Cloud any replica answers, and each shall see what another has stored. */
const CLOUD_SETTINGS = { select_sequential_consistency: 1 } as const

/** First words of statements that change tables, and so belong to each server. */
const OF_TABLES = /^\s*(?:\/\*.*?\*\/\s*)?(?:--.*\n\s*)*(?:CREATE|ALTER|DELETE|DROP|OPTIMIZE)\b/

/**
 * The ClickHouse of a cluster, through one of its servers: questions and inserts as they are, of the
 * tables of all servers; what changes tables (CREATE, ALTER, DELETE …) on each server's own.
 * @param clickhouse the server that is asked.
 * @param open a client for one of the cluster's hosts, logged in as `clickhouse` is.
 */
export function clustered(
  clickhouse: ClickHouse,
  cluster: Cluster,
  database: string,
  open: (url: string) => ClickHouse,
): ClickHouse {
  const servers = cluster.hosts?.map(open) ?? [clickhouse]
  const hasKeeper = cluster.hosts === undefined
  const onCluster = hasKeeper ? { distributed_ddl_task_timeout: DDL_SECONDS_MAX } : {}
  // Where there are replicas, the one that happens to be asked has no right of way.
  const all = { ...SETTINGS, prefer_localhost_replica: hasKeeper ? 0 : 1 }
  const ofAll = (run: RunOptions = {}): RunOptions => ({
    ...run,
    settings: { ...all, ...run.settings },
  })
  return {
    insert: (rows, run) => clickhouse.insert(rows, ofAll(run)),
    query: (sql, params, run) => clickhouse.query(sql, params, ofAll(run)),
    async command(sql, params, run = {}) {
      if (!OF_TABLES.test(sql)) return clickhouse.command(sql, params, ofAll(run))
      const settings = { ...onCluster, ...run.settings }
      const statement = onEachServer(sql, cluster, database)
      for (const server of servers) await server.command(statement, params, { ...run, settings })
    },
    ping: () => clickhouse.ping(),
  }
}

/** A ClickHouse as it is to be used: of a cluster, in ClickHouse Cloud, or as it is. */
export function placed(
  clickhouse: ClickHouse,
  { url, database, cluster }: Place,
  open: (url: string) => ClickHouse,
): ClickHouse {
  if (cluster !== undefined) return clustered(clickhouse, cluster, database, open)
  if (!new URL(url).hostname.endsWith('.clickhouse.cloud')) return clickhouse
  return {
    ...clickhouse,
    query: (sql, params, run = {}) =>
      clickhouse.query(sql, params, { ...run, settings: { ...CLOUD_SETTINGS, ...run.settings } }),
  }
}

interface Place {
  readonly url: string
  readonly database: string
  readonly cluster?: Cluster | undefined
}

/**
 * A statement about a table of one server, as a server of the cluster takes it. `{database: Identifier}`
 * becomes the database of its own tables, `{all: Identifier}` that of the tables of all servers. With a
 * Keeper it is sent `ON CLUSTER`, and tables replicate between the servers of a shard.
 */
export function onEachServer(sql: string, { name, hosts }: Cluster, database: string): string {
  const named = (text: string) =>
    text
      .replaceAll('{database: Identifier}', localDatabase(database))
      .replaceAll('{all: Identifier}', database)
  if (hosts !== undefined) return named(sql)
  const onCluster = sql.replace(
    /\{(?:database|all): Identifier\}(?:\.(?:\w+|\{\w+: Identifier\}))?/,
    `$& ON CLUSTER '${name}'`,
  )
  return named(replicated(onCluster, name))
}

/** The path names the table and not its UUID, so that a server that joins later finds its shard. */
function replicated(sql: string, name: string): string {
  const path = `'/clickhouse/tables/${name}/{shard}/{database}/{table}', '{replica}'`
  return withKeptTokens(sql).replace(
    /ENGINE = (\w*MergeTree)\b(?:\(([^()]*)\))?/,
    (_, engine: string, args?: string) =>
      `ENGINE = Replicated${engine}(${path}${args ? `, ${args}` : ''})`,
  )
}

/**
 * Replicas forget the token of a block by its age too, of an hour where nothing is said: an insert may be
 * tried again much later.
 */
export function withKeptTokens(sql: string): string {
  return sql.replace(
    /non_replicated_deduplication_window = (\d+)/,
    'replicated_deduplication_window = $1,\n    replicated_deduplication_window_seconds = 31536000',
  )
}

/** What the tables of all servers stand on, beside {@link distributedTables}. */
export function clusterStart({ name }: Cluster): string[] {
  return [
    'CREATE DATABASE IF NOT EXISTS {all: Identifier}',
    // A deletion that a shard is still busy with.
    `CREATE OR REPLACE TABLE {all: Identifier}.mutations
(database String, table String, command String, is_done UInt8)
ENGINE = Distributed('${name}', 'system', 'mutations')`,
  ]
}

/** Whether this is ClickHouse Cloud, where every MergeTree is a SharedMergeTree. */
export async function isCloud(clickhouse: ClickHouse): Promise<boolean> {
  const rows = await clickhouse.query(
    `/* error-ingestor:cloud */
    SELECT name FROM system.table_engines WHERE name = 'SharedMergeTree'`,
    {},
  )
  return rows.length > 0
}

/** The cluster is not one that the events can be spread over; `message` says what to change. */
export class ClusterError extends Error {
  override readonly name = 'ClusterError'
}

const Shards = z.array(z.object({ servers: z.coerce.number(), replicating: z.coerce.number() }))
const Ready = z.array(z.object({ servers: z.coerce.number(), ready: z.coerce.number() }))

/** @throws ClusterError where its servers are not set up as the tables need it. */
export async function checkCluster(
  clickhouse: ClickHouse,
  { name, hosts }: Cluster,
): Promise<void> {
  const shards = Shards.parse(
    await clickhouse.query(
      `/* error-ingestor:cluster */
      SELECT count() AS servers, min(internal_replication) AS replicating
      FROM system.clusters WHERE cluster = {name: String} GROUP BY shard_num`,
      { name },
    ),
  )
  const setting = `CLICKHOUSE_CLUSTER=${name}:`
  if (shards.length === 0) {
    throw new ClusterError(`${setting} the server knows no cluster of that name (system.clusters).`)
  }
  if (await isCloud(clickhouse)) {
    throw new ClusterError(
      `${setting} ClickHouse Cloud spreads its tables by itself; leave it out.`,
    )
  }
  const copied = shards.filter(({ servers }) => servers > 1)
  if (hosts !== undefined && copied.length > 0) {
    throw new ClusterError(
      `${setting} its shards have several replicas, which only a Keeper keeps alike; leave CLICKHOUSE_CLUSTER_HOSTS out.`,
    )
  }
  if (copied.some(({ replicating }) => replicating === 0)) {
    throw new ClusterError(
      `${setting} its shards need internal_replication, or the rows of each insert would be written to every replica and copied between them too.`,
    )
  }
}

/** How many servers the cluster has, and how many of them have our tables. */
export async function readyServers(
  clickhouse: ClickHouse,
  { name }: Cluster,
  database: string,
): Promise<{ readonly servers: number; readonly ready: number }> {
  const rows = await clickhouse.query(
    `/* error-ingestor:cluster-servers */
    SELECT (SELECT count() FROM system.clusters WHERE cluster = '${name}') AS servers,
      (SELECT count() FROM clusterAllReplicas('${name}', system.tables)
        WHERE database = {local: String} AND name = 'schema_migrations') AS ready`,
    { local: localDatabase(database) },
  )
  return Ready.parse(rows)[0] ?? { servers: 0, ready: 0 }
}

/** Rows that are found by their event's id. */
const OF_EVENTS: ReadonlySet<string> = new Set(['occurrences', 'seen', 'arrivals', 'doubles'])

/**
 * Statements that put the tables which `changed` makes or changes before all servers, as they are now.
 * Events and what is known of them go by app and id. All else goes to the first shard, where rows that
 * replace one another meet, however many shards there come to be: a revoked key must stay revoked.
 */
export function distributedTables(
  changed: readonly string[],
  { name }: Cluster,
  database: string,
): string[] {
  const tables = new Set(changed.flatMap((sql) => tableOf(sql) ?? []))
  return [...tables].map((table) => {
    const shard = OF_EVENTS.has(table) ? 'sipHash64(app_id, id)' : '0'
    return `CREATE OR REPLACE TABLE {all: Identifier}.${table}
AS {database: Identifier}.${table}
ENGINE = Distributed('${name}', '${localDatabase(database)}', '${table}', ${shard})`
  })
}

function tableOf(sql: string): string | undefined {
  return /^(?:CREATE|ALTER) TABLE (?:IF NOT EXISTS )?\{database: Identifier\}\.(\w+)/m.exec(
    sql,
  )?.[1]
}

import { z } from 'zod'
import type { ClickHouse } from './clickhouse.ts'
import {
  checkCluster,
  clusterStart,
  ClusterError,
  distributedTables,
  isCloud,
  localDatabase,
  readyServers,
  withKeptTokens,
} from './cluster.ts'
import type { Cluster } from './cluster.ts'
import occurrences from './migrations/0001_occurrences.sql'
import sourceMaps from './migrations/0002_source_maps.sql'
import keys from './migrations/0003_keys.sql'
import ledger from './migrations/0004_ledger.sql'
import rollups from './migrations/0005_rollups.sql'
import search from './migrations/0006_search.sql'
import appUsage from './migrations/0009_app_usage.sql'
import sessionEnds from './migrations/0010_session_ends.sql'
import largerBlocks from './migrations/0012_larger_blocks.sql'
import retentions from './migrations/0013_retentions.sql'
import fewerMerges from './migrations/0017_fewer_merges.sql'
import byUser from './migrations/0018_by_user.sql'
import widerMerges from './migrations/0019_wider_merges.sql'
import smallerGranules from './migrations/0020_smaller_granules.sql'
import blocksInOneFile from './migrations/0023_blocks_in_one_file.sql'
import whoStored from './migrations/0024_who_stored.sql'
import { toldRetentions, type RetentionDays } from './retention.ts'

/** A step of the schema: statements that may be repeated, in order. */
interface Migration {
  readonly version: number
  readonly name: string
  readonly sql: string
}

// Order is by version. A released file is never edited: what must change is a new file, but for what
// ClickHouse fixes when a table is made and no code depends on (the granules of 1). Every statement
// must be repeatable (IF NOT EXISTS and the like), because a run may be killed anywhere and two runs may meet.
const MIGRATIONS: readonly Migration[] = [
  { version: 1, name: 'occurrences', sql: occurrences },
  { version: 2, name: 'source_maps', sql: sourceMaps },
  { version: 3, name: 'keys', sql: keys },
  { version: 4, name: 'ledger', sql: ledger },
  { version: 5, name: 'rollups', sql: rollups },
  { version: 6, name: 'search', sql: search },
  { version: 9, name: 'app_usage', sql: appUsage },
  { version: 10, name: 'session_ends', sql: sessionEnds },
  { version: 12, name: 'larger_blocks', sql: largerBlocks },
  { version: 13, name: 'retentions', sql: retentions },
  { version: 17, name: 'fewer_merges', sql: fewerMerges },
  { version: 18, name: 'by_user', sql: byUser },
  { version: 19, name: 'wider_merges', sql: widerMerges },
  { version: 20, name: 'smaller_granules', sql: smallerGranules },
  { version: 23, name: 'blocks_in_one_file', sql: blocksInOneFile },
  { version: 24, name: 'who_stored', sql: whoStored },
]

/** The schema version that this code needs. */
export const SCHEMA_VERSION = MIGRATIONS.at(-1)?.version ?? 0

// Many runs that start at once may collide even on repeatable statements; they settle in one round.
const ATTEMPTS = 5
const UNKNOWN_TABLE = '60'
const UNKNOWN_DATABASE = '81'
// Table or database exists, replica exists, metadata mismatch, cannot assign alter.
const COLLISION_CODES = [UNKNOWN_TABLE, UNKNOWN_DATABASE, '57', '82', '253', '342', '517']

/** When events are deleted; what changes is applied to the stored ones too. */
interface Retention {
  /** Days that an event is kept. */
  readonly retentionDays: number
  /** The same for apps that have their own. */
  readonly retentionDaysOfApps?: Readonly<Record<string, number>> | undefined
}

/** What to migrate and how. */
export interface MigrateOptions extends Retention {
  /** A plain identifier; made where it does not exist. */
  readonly database: string
  /** Of which `clickhouse` must then be a `clustered` one; absent for one server. */
  readonly cluster?: Cluster | undefined
  /** Hears one sentence for each step that is taken. */
  readonly say: (sentence: string) => void
}

/** One thing that {@link migrate} would do. */
export interface Step {
  /** What it does, in a sentence. */
  readonly title: string
  /** SQL with placeholders for the names of databases, in order; each may be repeated. */
  readonly statements: readonly string[]
}

/**
 * Brings the schema to {@link SCHEMA_VERSION} and the retention to what is asked. Idempotent, safe
 * when several run at once, and a run killed anywhere is completed by the next. A schema newer than
 * this code is left as it is: that is a rollback.
 * @throws what the client rejects with; ClusterError.
 */
export async function migrate(
  clickhouse: ClickHouse,
  options: MigrateOptions,
): Promise<{ readonly from: number; readonly to: number }> {
  const { from, steps } = await plan(clickhouse, options)
  for (const { title, statements } of steps) {
    options.say(title)
    for (const statement of statements) await run(clickhouse, statement, options.database)
  }
  if (options.cluster !== undefined) await checkReady(clickhouse, options.cluster, options.database)
  return { from, to: Math.max(from, SCHEMA_VERSION) }
}

/** What {@link migrate} would do now, without doing it. `from` is 0 where there is no schema. */
export async function plan(
  clickhouse: ClickHouse,
  { database, cluster, retentionDays, retentionDaysOfApps = {} }: Omit<MigrateOptions, 'say'>,
): Promise<{ readonly from: number; readonly steps: readonly Step[] }> {
  const from = await versionOf(clickhouse, database, cluster)
  if (from > SCHEMA_VERSION) return { from, steps: [] }
  const steps = MIGRATIONS.filter(({ version }) => version > from).map(toStep)
  if (from === 0) steps.unshift({ title: `Making the database ${database}.`, statements: START })
  const applied = from === 0 ? '' : await appliedRetention(clickhouse, database)
  const told = from === 0 ? [] : await toldOrNone(clickhouse, database)
  const here = Object.entries(retentionDaysOfApps)
  const retention = { retentionDays, apps: new Map([...told, ...here]) }
  if (applied !== wordsOf(retention)) steps.push(retentionStep(retention, new Map(here)))
  if (cluster !== undefined) return { from, steps: spread(steps, cluster, database) }
  if (steps.length === 0 || !(await isCloud(clickhouse))) return { from, steps }
  const kept = ({ title, statements }: Step) => ({
    title,
    statements: statements.map(withKeptTokens),
  })
  return { from, steps: steps.map(kept) }
}

/** The same steps for a cluster: behind what changes a table, that table is put before all servers. */
function spread(steps: readonly Step[], cluster: Cluster, database: string): Step[] {
  return steps.map(({ title, statements }) => {
    const starts = statements === START
    const changes = statements.filter((sql) => !isFilling(sql))
    const fills = statements.filter((sql) => isFilling(sql) && !FILLS_BEFORE_CLUSTERS.has(sql))
    // The comment, the age of rows and what a view does are not the business of the tables of all servers.
    const changed = changes.filter((sql) => !/\bMODIFY (?:TTL|COMMENT|QUERY)\b/.test(sql))
    const tables = distributedTables(changed, cluster, database)
    if (tables.length === 0) return { title, statements }
    const start = starts ? clusterStart(cluster) : []
    return { title, statements: [...start, ...changes, ...tables, ...fills] }
  })
}

const isFilling = (sql: string) => /^INSERT /m.test(sql)

/**
 * Version 5 tells its views what was stored before them. A cluster has had them from its first event
 * on, and a server that joins must not make it doubt its counts.
 */
const FILLS_BEFORE_CLUSTERS: ReadonlySet<string> = new Set(
  splitStatements(rollups).filter(isFilling),
)

/** 0 also where a server of the cluster has no tables yet: all is repeatable, so all is done again. */
async function versionOf(
  clickhouse: ClickHouse,
  database: string,
  cluster: Cluster | undefined,
): Promise<number> {
  if (cluster === undefined) return appliedVersion(clickhouse, database)
  await checkCluster(clickhouse, cluster)
  const { servers, ready } = await readyServers(clickhouse, cluster, database)
  return ready < servers ? 0 : appliedVersion(clickhouse, database)
}

async function checkReady(clickhouse: ClickHouse, cluster: Cluster, database: string) {
  const { servers, ready } = await readyServers(clickhouse, cluster, database)
  if (ready === servers) return
  throw new ClusterError(
    `Only ${String(ready)} of the ${String(servers)} servers of the cluster ${cluster.name} have the tables: CLICKHOUSE_CLUSTER_HOSTS must name each of them.`,
  )
}

/**
 * What is to be done so that the tables keep the events of each app as long as processes have told
 * since; undefined where they do, and where the schema is not that of this code.
 */
export async function retentionDue(
  clickhouse: ClickHouse,
  database: string,
): Promise<(Step & { readonly apps: number }) | undefined> {
  const applied = Applied.safeParse(await appliedRetention(clickhouse, database))
  if (!applied.success) return undefined
  const apps = await toldRetentions(clickhouse, database)
  const { retentionDays, apps: before } = applied.data
  const own = ownOf(apps)
  const had = new Map(before)
  const differing = new Set(
    [...own, ...had].flatMap(([app]) => (own.get(app) === had.get(app) ? [] : [app])),
  )
  if (differing.size === 0) return undefined
  return { ...retentionStep({ retentionDays, apps }, new Map()), apps: differing.size }
}

/** Runs the statements of a step. @throws what the client rejects with. */
export async function take(clickhouse: ClickHouse, step: Step, database: string): Promise<void> {
  for (const statement of step.statements) await run(clickhouse, statement, database)
}

/**
 * The schema version that is applied; 0 where the database or its schema is missing.
 * @throws what the client rejects with where ClickHouse is away.
 */
export async function appliedVersion(clickhouse: ClickHouse, database: string): Promise<number> {
  try {
    const rows = await clickhouse.query(
      `/* error-ingestor:schema-version */
      SELECT toUInt32(max(version)) AS version FROM {database: Identifier}.schema_migrations`,
      { database },
    )
    return z.array(z.object({ version: z.number() })).parse(rows)[0]?.version ?? 0
  } catch (error) {
    if (hasCode(error, [UNKNOWN_TABLE, UNKNOWN_DATABASE])) return 0
    throw error
  }
}

const START = [
  'CREATE DATABASE IF NOT EXISTS {database: Identifier}',
  `CREATE TABLE IF NOT EXISTS {database: Identifier}.schema_migrations
(
    version UInt32,
    name String,
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY version
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1`,
]

function toStep({ version, name, sql }: Migration): Step {
  // A second run writes the same version again; only the largest is ever read.
  const done = `INSERT INTO {database: Identifier}.schema_migrations (version, name)
VALUES (${String(version)}, '${name}')`
  return {
    title: `Schema version ${String(version)}: ${name}.`,
    statements: [...splitStatements(sql), done],
  }
}

/** Statements end with a semicolon at the end of a line. */
function splitStatements(sql: string): string[] {
  return sql
    .split(/;[ \t]*$/m)
    .map((statement) => statement.trim())
    .filter((statement) => statement.replaceAll(/--.*$/gm, '').trim() !== '')
}

/** Tables of which rows go with the events, and the column that tells their age; the events come last. */
const AGING = {
  doubles: 'found_at',
  touched: 'hour',
  hourly: 'hour',
  hourly_users: 'hour',
  occurrences: 'timestamp',
} as const

/** How long events are kept: by all apps, and by those with their own. */
interface Keeping {
  readonly retentionDays: number
  readonly apps: RetentionDays
}

/**
 * Sets it in all tables.
 * @param untold of its apps, those of which the table `retentions` does not know yet.
 */
function retentionStep(keeping: Keeping, untold: RetentionDays): Step {
  const days = String(keeping.retentionDays)
  const apps = [...ownOf(keeping.apps)]
  const own = apps.map(([app, days]) => `, those of ${app} for ${String(days)}`).join('')
  const ofApp = `transform(app_id, [${apps.map(([app]) => literal(app)).join(', ')}], [${apps.map(([, own]) => String(own)).join(', ')}], ${days})`
  const alter = ([table, column]: readonly [string, string]) =>
    // ClickHouse keeps the moment of deletion in 32 bits, which end in 2106. It goes through old events
    // beside us: a large table takes longer than a statement may.
    `ALTER TABLE {database: Identifier}.${table}
MODIFY TTL least(toDateTime64(${column}, 3) + toIntervalDay(${apps.length === 0 ? days : ofApp}), toDateTime64('2106-01-01 00:00:00', 3, 'UTC'))
SETTINGS alter_sync = 0`
  // First, so that no process finds its own table behind what is set, and takes it back.
  const rows = [...untold].map(([app, own]) => `(${literal(app)}, ${String(own)})`)
  const told = `INSERT INTO {database: Identifier}.retentions (app_id, days) VALUES ${rows.join(', ')}`
  // What plan() reads comes last, so that it says that all is done.
  const said = `ALTER TABLE {database: Identifier}.occurrences MODIFY COMMENT ${literal(wordsOf(keeping))}`
  return {
    title: `Keeping events for ${days} days${own}.`,
    statements: [...(rows.length === 0 ? [] : [told]), ...Object.entries(AGING).map(alter), said],
  }
}

const ownOf = (apps: RetentionDays): RetentionDays =>
  new Map([...apps].filter(([, days]) => days > 0).toSorted(([a], [b]) => (a < b ? -1 : 1)))

/** What the comment of the events' table says when a retention is applied to all tables. */
function wordsOf({ retentionDays, apps }: Keeping): string {
  return JSON.stringify({ retentionDays, apps: [...ownOf(apps)], tables: Object.keys(AGING) })
}

/** The comment, as far as it is one of {@link wordsOf}. */
const Applied = z
  .string()
  .transform((text, context) => {
    try {
      const said: unknown = JSON.parse(text)
      return said
    } catch {
      context.addIssue('It is no JSON.')
      return z.NEVER
    }
  })
  .pipe(z.object({ retentionDays: z.number(), apps: z.array(z.tuple([z.string(), z.number()])) }))

/** The schema may be older than the table of what was told. */
async function toldOrNone(clickhouse: ClickHouse, database: string): Promise<RetentionDays> {
  try {
    return await toldRetentions(clickhouse, database)
  } catch (error) {
    if (hasCode(error, [UNKNOWN_TABLE])) return new Map()
    throw error
  }
}

/** A string of SQL that means exactly this text. */
function literal(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
}

async function appliedRetention(clickhouse: ClickHouse, database: string): Promise<string> {
  const rows = await clickhouse.query(
    `/* error-ingestor:retention */
    SELECT comment FROM system.tables
    WHERE database IN ({database: String}, {own: String}) AND name = 'occurrences'
      AND engine != 'Distributed'`,
    { database, own: localDatabase(database) },
  )
  return z.array(z.object({ comment: z.string() })).parse(rows)[0]?.comment ?? ''
}

async function run(clickhouse: ClickHouse, statement: string, database: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await clickhouse.command(statement, { database })
      return
    } catch (error) {
      if (attempt === ATTEMPTS || !hasCode(error, COLLISION_CODES)) throw error
    }
  }
}

function hasCode(error: unknown, codes: readonly string[]): boolean {
  if (typeof error !== 'object' || error === null || !('code' in error)) return false
  return typeof error.code === 'string' && codes.includes(error.code)
}

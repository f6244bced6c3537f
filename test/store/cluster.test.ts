import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ClickHouse, RunOptions } from '../../src/store/clickhouse.ts'
import { clustered, ClusterError, onEachServer, placed } from '../../src/store/cluster.ts'
import type { Cluster } from '../../src/store/cluster.ts'
import { createForgets } from '../../src/store/forget.ts'
import { migrate, plan } from '../../src/store/migrate.ts'
import { isContentRefusal, isStoreTrouble } from '../../src/store/refused.ts'
import { createSourceMaps } from '../../src/store/source-maps.ts'
import { createDatabase, type TestDatabase } from '../support/database.ts'

const WITH_KEEPER: Cluster = { name: 'main', hosts: undefined }
const WITHOUT: Cluster = { name: 'main', hosts: ['http://a:8123', 'http://b:8123'] }
const RETENTION = { retentionDays: 30, retentionDaysOfApps: { shop: 7 } }

let real: TestDatabase
beforeAll(async () => (real = await createDatabase()))
afterAll(() => real.drop())

/** What servers would be told; no replica can run here. */
interface Told {
  readonly url: string
  readonly sql: string
  readonly run: RunOptions | undefined
}

interface Servers {
  readonly shards?: readonly object[]
  readonly isCloud?: boolean
  readonly ready?: number
}

/** A server that writes down what it is told, and says of its cluster what the test says. */
function aRecorder({ shards = SHARDS, isCloud = false, ready = 0 }: Servers = {}) {
  const told: Told[] = []
  const open = (url: string): ClickHouse => ({
    insert: (rows, run) => {
      told.push({ url, sql: `INSERT INTO ${rows.table}`, run })
      return Promise.resolve()
    },
    command: (sql, _params, run) => {
      told.push({ url, sql, run })
      return Promise.resolve()
    },
    query: (sql, _params, run) => {
      told.push({ url, sql, run })
      if (sql.includes('error-ingestor:cluster-servers')) {
        return Promise.resolve([{ servers: 4, ready }])
      }
      if (sql.includes('error-ingestor:cluster ')) return Promise.resolve(shards)
      if (sql.includes('error-ingestor:forget-users')) return Promise.resolve([{ user: '1' }])
      if (sql.includes('error-ingestor:cloud')) return Promise.resolve(isCloud ? [{}] : [])
      return Promise.resolve([])
    },
    ping: () => Promise.resolve(true),
  })
  return { told, open }
}

const SHARDS = [
  { servers: 2, replicating: 1 },
  { servers: 2, replicating: 1 },
]

const options = (cluster: Cluster | undefined) => ({
  ...{ database: 'error_ingestor', cluster, say: () => undefined },
  ...RETENTION,
})

async function planned(cluster: Cluster) {
  const { open } = aRecorder({ shards: cluster.hosts === undefined ? SHARDS : ALONE })
  const clickhouse = clustered(open('any'), cluster, 'error_ingestor', open)
  const { steps } = await plan(clickhouse, options(cluster))
  return steps.map(({ title, statements }) => ({
    title,
    statements: statements.map((sql) =>
      /^INSERT/m.test(sql) ? sql : onEachServer(sql, cluster, 'error_ingestor'),
    ),
  }))
}
const ALONE = SHARDS.map((shard) => ({ ...shard, servers: 1 }))

/** Of the versions that are released; later ones are held to what is said of every statement. */
const isReleased = ({ title }: { readonly title: string }) =>
  /^(?:Making|Keeping|Schema version (?:10|[1-69]):)/.test(title)

/** Fails where ClickHouse does not understand it. */
async function parse(sql: string): Promise<void> {
  await real.clickhouse.command(`EXPLAIN AST ${sql}`)
}

describe('the statements', () => {
  test('for one server are byte for byte those it always got, but for the granules of a table that is made new', async () => {
    const { steps } = await plan(real.clickhouse, { database: 'nowhere', ...RETENTION })
    const made = steps.filter(({ title }) => !title.startsWith('Keeping'))
    const released = made.filter(isReleased).map(({ statements }) => statements)
    const text = JSON.stringify(released)
    const asReleased = text.replace(',\\n    index_granularity = 1024', '')
    expect(asReleased).not.toBe(text)
    const digest = createHash('sha256').update(asReleased).digest('hex')
    expect(digest).toBe('7491e7ac9c2e8a280f0648aaa850781c74ad04c7d90950630984a26484a0412f')
  })

  test('for a cluster with a Keeper are these', async () => {
    const steps = (await planned(WITH_KEEPER)).filter(isReleased)
    const text = steps.map(({ title, statements }) =>
      [`-- ${title}`, ...statements.map((sql) => `${sql};`)].join('\n\n'),
    )
    await expect(`${text.join('\n\n')}\n`).toMatchFileSnapshot('cluster.statements.sql')
  })

  test('for a cluster are understood by ClickHouse, every one', async () => {
    for (const cluster of [WITH_KEEPER, WITHOUT]) {
      const statements = (await planned(cluster)).flatMap((step) => step.statements)
      for (const sql of statements.filter((one) => !/^INSERT/m.test(one))) await parse(sql)
    }
    await expect(parse('CREATE TABLE a.b ON CLUSTR main (c Int8)')).rejects.toThrow(/Syntax error/)
  })

  test('make each table replicated, known to every server, and its rows where their likes are', async () => {
    const statements = (await planned(WITH_KEEPER)).flatMap((step) => step.statements)
    const made = statements.filter((sql) => sql.includes('CREATE TABLE IF NOT EXISTS'))
    expect(made.length).toBeGreaterThan(14)
    for (const sql of made) {
      expect(sql).toMatch(/error_ingestor_local\.\w+ ON CLUSTER 'main'/)
      expect(sql).toMatch(/ENGINE = Replicated\w*MergeTree\('\/clickhouse\/tables\/main\/\{shard\}/)
      expect(sql).not.toMatch(/non_replicated|\{database: /)
      const [, table = ''] = /error_ingestor_local\.(\w+)/.exec(sql) ?? []
      const spread = statements.filter((one) => one.includes(`'error_ingestor_local', '${table}'`))
      expect(spread.length, table).toBeGreaterThan(0)
    }
    for (const table of ['occurrences', 'seen', 'arrivals', 'doubles']) {
      expect(statements.join('\n')).toContain(`'${table}', sipHash64(app_id, id))`)
    }
    for (const table of ['apps', 'keys', 'audit', 'source_maps', 'ledger']) {
      expect(statements.join('\n')).toContain(`'${table}', 0)`)
    }
    // The tables were never without their views in a cluster.
    expect(statements.join('\n')).not.toMatch(/INSERT INTO \S+ \S+\.touched/)
  })

  test('in ClickHouse Cloud keep their engines, and tokens for longer than an hour', async () => {
    const cloud = aRecorder({ isCloud: true }).open('any')
    const { steps } = await plan(cloud, options(undefined))
    const text = steps.flatMap(({ statements }) => statements).join('\n')
    expect(text).toContain('ENGINE = MergeTree')
    expect(text).not.toMatch(/Replicated|Distributed|ON CLUSTER|non_replicated/)
    expect(text.match(/replicated_deduplication_window_seconds = 31536000/g)?.length).toBe(5)
  })
})

describe('a cluster', () => {
  test('with a Keeper is told once what changes tables, one without on each of its hosts', async () => {
    const change = 'ALTER TABLE {database: Identifier}.occurrences DELETE WHERE 1'
    for (const [cluster, expected] of [
      [WITH_KEEPER, ['any']],
      [WITHOUT, WITHOUT.hosts ?? []],
    ] as const) {
      const { told, open } = aRecorder()
      const clickhouse = clustered(open('any'), cluster, 'errors', open)
      await clickhouse.command(change)
      expect(told.map(({ url }) => url)).toEqual(expected)
      for (const { sql } of told) await parse(sql)
      expect(told[0]?.sql).toContain('errors_local.occurrences')
      expect(told[0]?.sql.includes("ON CLUSTER 'main'")).toBe(cluster.hosts === undefined)
    }
  })

  test('is asked as a whole, or not at all, and each insert waits for its shards', async () => {
    const { told, open } = aRecorder()
    const clickhouse = clustered(open('any'), WITHOUT, 'errors', open)
    const sql = '/* error-ingestor:x */ SELECT 1 FROM {database: Identifier}.occurrences'
    await clickhouse.query(sql, {}, { settings: { max_threads: 1 } })
    await clickhouse.command('INSERT INTO {database: Identifier}.doubles SELECT 1')
    await clickhouse.insert({ table: 'errors.audit', columns: [], body: [], settings: {} })
    expect(told.map(({ url }) => url)).toEqual(['any', 'any', 'any'])
    expect(told[0]).toMatchObject({ sql, run: { settings: { max_threads: 1 } } })
    for (const { run } of told) {
      expect(run?.settings).toMatchObject({
        ...{ distributed_foreground_insert: 1, skip_unavailable_shards: 0 },
        ...{ insert_quorum: 'auto', distributed_product_mode: 'local', load_balancing: 'in_order' },
      })
    }
  })

  test('deletes source maps and users on every shard', async () => {
    const { told, open } = aRecorder()
    const clickhouse = clustered(open('any'), WITH_KEEPER, 'errors', open)
    const place = { clickhouse, database: 'errors', cluster: WITH_KEEPER }
    await createSourceMaps(place).remove('shop', '1.0.0')
    const userHash = '0'.repeat(64)
    const forget = { id: crypto.randomUUID(), appId: 'shop', userHash, requestedAtMs: 0 }
    await createForgets(place).remove({ ...forget, doneAtMs: undefined })
    const deletions = told.filter(({ sql }) => /\bDELETE\b/.test(sql))
    expect(deletions.length).toBe(3)
    for (const { sql } of deletions) {
      expect(sql).toMatch(/errors_local\.\w+ ON CLUSTER 'main'/)
      await parse(sql.replaceAll(/\{\w+: (\w+)\}/g, "CAST(1, '$1')"))
    }
  })

  test.each([
    ['is unknown', WITH_KEEPER, { shards: [] }, /no cluster of that name/],
    ['is ClickHouse Cloud', WITH_KEEPER, { isCloud: true }, /leave it out/],
    [
      'would copy rows twice',
      WITH_KEEPER,
      { shards: [{ servers: 2, replicating: 0 }] },
      /internal_replication/,
    ],
    ['has replicas and no Keeper', WITHOUT, {}, /only a Keeper keeps alike/],
  ] as const)('that %s is refused before anything is made', async (_, cluster, servers, words) => {
    const { told, open } = aRecorder(servers)
    const clickhouse = clustered(open('any'), cluster, 'errors', open)
    const migrated = migrate(clickhouse, options(cluster))
    await expect(migrated).rejects.toThrow(words)
    await expect(migrated).rejects.toBeInstanceOf(ClusterError)
    expect(told.filter(({ sql }) => /CREATE|INSERT/.test(sql))).toEqual([])
  })
})

test('questions to ClickHouse Cloud see what another replica stored; others are asked as ever', async () => {
  for (const [url, expected] of [
    ['https://abc.eu-west-1.aws.clickhouse.cloud:8443', { select_sequential_consistency: 1 }],
    ['https://clickhouse.cloud.example.com', undefined],
  ] as const) {
    const { told, open } = aRecorder()
    const clickhouse = placed(open(url), { url, database: 'errors' }, open)
    await clickhouse.query('SELECT 1', {})
    expect(told[0]?.run?.settings).toEqual(expected)
  }
})

test('a shard that dies in an insert is a trouble, not something wrong with the rows', () => {
  const error = (code: string, message: string) => Object.assign(new Error(message), { code })
  const cut = 'Attempt to read after eof'
  const died = error('32', `${cut}: while receiving packet from 10.0.0.1:9000`)
  expect([isContentRefusal(died), isStoreTrouble(died)]).toEqual([false, true])
  const bad = error('32', `${cut}: while reading the value of column id`)
  expect([isContentRefusal(bad), isStoreTrouble(bad)]).toEqual([true, false])
  const refused = error('279', 'All connection tries failed')
  expect([isContentRefusal(refused), isStoreTrouble(refused)]).toEqual([false, true])
})

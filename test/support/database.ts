import { inject } from 'vitest'
import { nodeClickHouse } from '../../src/node/clickhouse.ts'
import type { ClickHouse } from '../../src/store/clickhouse.ts'
import { migrate } from '../../src/store/migrate.ts'

/** A database of a test's own on the run's ClickHouse. */
export interface TestDatabase {
  /** Statements run in the database. */
  readonly clickhouse: ClickHouse
  readonly database: string
  /** Where the server is, for a client of the test's own. */
  readonly url: string
  readonly drop: () => Promise<void>
}

/** Makes a database with the whole schema; `{ schema: false }` leaves it to the test, unmade. */
export async function createDatabase({
  schema = true,
  retentionDays = 90,
} = {}): Promise<TestDatabase> {
  const url = inject('clickhouseUrl')
  const database = `test_${crypto.randomUUID().replaceAll('-', '')}`
  const options = { url, user: 'default', password: '', database, timeoutMs: 30_000 }
  const clickhouse = nodeClickHouse(options)
  if (schema) await migrate(clickhouse, { database, retentionDays, say: () => undefined })
  return {
    clickhouse,
    database,
    url,
    async drop() {
      await clickhouse.command(`DROP DATABASE IF EXISTS ${database}`)
      await clickhouse.close()
    },
  }
}

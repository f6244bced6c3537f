import { createClient } from '@clickhouse/client-web'
import type { ClickHouse } from './clickhouse.ts'
import { rowsToObjects } from './rows.ts'

/** Where ClickHouse is, for a runtime without Node. */
export interface WebClickHouseOptions {
  readonly url: string
  readonly user: string
  readonly password: string
  /** It must exist: the edge runs no migrations. */
  readonly database: string
  readonly timeoutMs: number
}

/** ClickHouse over fetch. Rows go as JSON, because this client sends no bytes. */
export function webClickHouse(options: WebClickHouseOptions): ClickHouse {
  const client = createClient({
    url: options.url,
    username: options.user,
    password: options.password,
    database: options.database,
    request_timeout: options.timeoutMs,
    application: 'error-ingestor',
  })
  return {
    async insert({ table, columns, body, settings }, run = {}) {
      await client.insert({
        table,
        values: rowsToObjects(columns, [...body]),
        format: 'JSONEachRow',
        // Requests at the edge share nothing, so ClickHouse gathers their rows, and answers when they are stored.
        clickhouse_settings: {
          async_insert: 1,
          wait_for_async_insert: 1,
          ...settings,
          ...run.settings,
        },
        ...(run.signal !== undefined && { abort_signal: run.signal }),
      })
    },
    async query(sql, params, run = {}) {
      const result = await client.query({
        query: sql,
        query_params: { ...params },
        format: 'JSONEachRow',
        clickhouse_settings: { ...run.settings },
        ...(run.signal !== undefined && { abort_signal: run.signal }),
      })
      return result.json<unknown>()
    },
    async command(sql, params = {}, run = {}) {
      await client.command({
        query: sql,
        query_params: { ...params },
        clickhouse_settings: { ...run.settings },
        ...(run.signal !== undefined && { abort_signal: run.signal }),
      })
    },
    async ping() {
      return (await client.ping()).success
    },
  }
}

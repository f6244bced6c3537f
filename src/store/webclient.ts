import { createClient } from '@clickhouse/client-web'
import type { ClickHouse, RunOptions } from './clickhouse.ts'
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
    ...login(options),
    database: options.database,
    request_timeout: options.timeoutMs,
    application: 'error-ingestor',
    // It means fetch's `keepalive`, which allows bodies of 64 KiB; connections are kept without it.
    keep_alive: { enabled: false },
  })
  const base = {
    // A status of 200 must mean that it worked, not that it began to.
    wait_end_of_query: 1,
    // What we have given up must not go on there.
    max_execution_time: Math.ceil(options.timeoutMs / 1_000),
  } as const
  return {
    async insert({ table, columns, body, settings }, run = {}) {
      const pieces: Uint8Array[] = []
      for await (const piece of body) pieces.push(piece)
      await client.insert({
        table,
        values: rowsToObjects(columns, pieces),
        format: 'JSONEachRow',
        // Requests at the edge share nothing, so ClickHouse gathers their rows, and answers when they are stored.
        clickhouse_settings: {
          ...base,
          async_insert: 1,
          wait_for_async_insert: 1,
          ...settings,
          ...run.settings,
        },
        ...ownSignal(run),
      })
    },
    async query(sql, params, run = {}) {
      const result = await client.query({
        query: sql,
        query_params: { ...params },
        format: 'JSONEachRow',
        clickhouse_settings: { ...base, ...run.settings },
        ...ownSignal(run),
      })
      return result.json<unknown>()
    },
    async command(sql, params = {}, run = {}) {
      await client.command({
        query: sql,
        query_params: { ...params },
        clickhouse_settings: { ...base, ...run.settings },
        ...ownSignal(run),
      })
    },
    async ping() {
      return (await client.ping()).success
    },
  }
}

/** A URL may carry the login; it wins, and is taken out, since fetch refuses such a URL. */
function login({ url, user, password }: WebClickHouseOptions) {
  const address = new URL(url)
  const username = decodeURIComponent(address.username) || user
  const secret = decodeURIComponent(address.password) || password
  address.username = ''
  address.password = ''
  return { url: address, username, password: secret }
}

/**
 * A signal for one statement: the client takes the only listener of the one it is given, so that of
 * two statements with one signal the first would never hear it; nor does it look whether it is over.
 */
function ownSignal({ signal }: RunOptions): { abort_signal?: AbortSignal } {
  if (signal === undefined) return {}
  signal.throwIfAborted()
  const own = new AbortController()
  signal.addEventListener('abort', () => own.abort(signal.reason), { once: true })
  return { abort_signal: own.signal }
}

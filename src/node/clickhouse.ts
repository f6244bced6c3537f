import { randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { createClient, ClickHouseLogLevel, type ClickHouseSettings } from '@clickhouse/client'
import type { ClickHouse, Insert, RunOptions } from '../store/clickhouse.ts'

const PING_MS_MAX = 5_000
// The client's default of 10 would let a few slow questions hold up the delivery.
const CONNECTIONS_MAX = 32
// Below ClickHouse's shortest default (3 s): a socket must never be reused while it is being closed.
const IDLE_SOCKET_MS = 2_000
// Smaller pieces are joined: each write to the socket costs more than copying them.
const PIECE_BYTES_MIN = 64 * 1024
const RESET_CODES: ReadonlySet<unknown> = new Set(['ECONNRESET', 'EPIPE'])

/** Where ClickHouse is and how patient to be. */
export interface ClickHouseOptions {
  /** `http://` or `https://`. */
  readonly url: string
  readonly user: string
  readonly password: string
  /** Certificates (PEM) that vouch for the server, instead of those that Node knows. */
  readonly ca?: Buffer | undefined
  /** The database of every statement except `CREATE DATABASE` and `DROP DATABASE`; it need not exist yet. */
  readonly database?: string | undefined
  /** Longest a statement may take, from the call to its last byte, waiting for a connection included. */
  readonly timeoutMs: number
  /** W3C trace context of the work that asks; ClickHouse puts it into its own spans. */
  readonly traceparent?: (() => string | undefined) | undefined
}

/** ClickHouse did not answer in time; whether the statement ran is unknown. */
export class ClickHouseTimeoutError extends Error {
  override readonly name = 'ClickHouseTimeoutError'
  readonly code = 'ETIMEDOUT'
}

/**
 * ClickHouse over HTTP through @clickhouse/client. Statements end at `timeoutMs`, also when the
 * server is stopped or the network swallows everything. A connection that the server had closed is
 * tried once more for questions, never for what writes.
 */
export function nodeClickHouse(
  options: ClickHouseOptions,
): ClickHouse & { readonly close: () => Promise<void> } {
  const client = createClient({
    ...login(options),
    ...(options.ca !== undefined && { tls: { ca_cert: options.ca } }),
    application: 'error-ingestor',
    request_timeout: options.timeoutMs,
    max_open_connections: CONNECTIONS_MAX,
    keep_alive: { enabled: true, idle_socket_ttl: IDLE_SOCKET_MS },
    compression: { request: false, response: false },
    // What fails is rejected; saying it too would say it twice, and on the console.
    log: { level: ClickHouseLogLevel.OFF },
  })
  const server: Server = { client, ...options }
  return {
    insert: (rows, run = {}) => insert(server, rows, run),
    query: (sql, params, run = {}) => query(server, sql, params, run),
    command: (sql, params = {}, run = {}) => command(server, sql, params, run),
    ping: () => ping(server),
    close: () => client.close(),
  }
}

/** A URL may carry the login; it wins, and is taken out, since the client would warn on the console. */
function login({ url, user, password }: ClickHouseOptions) {
  const address = new URL(url)
  const username = decodeURIComponent(address.username) || user
  const secret = decodeURIComponent(address.password) || password
  address.username = ''
  address.password = ''
  return { url: address, username, password: secret }
}

interface Server extends ClickHouseOptions {
  readonly client: ReturnType<typeof createClient>
}
type Params = Readonly<Record<string, unknown>>

async function insert(server: Server, rows: Insert, run: RunOptions): Promise<void> {
  const { table, columns, body, settings } = rows
  const sql = `INSERT INTO ${table} (${columns.join(', ')}) FORMAT RowBinary`
  await limited(server.timeoutMs, run.signal, async (signal) => {
    const { stream } = await server.client.exec({
      query: sql,
      values: byteStream(body),
      // Several asynchronous inserts would share one block, and then one answer.
      clickhouse_settings: {
        ...baseSettings(server),
        async_insert: 0,
        ...settings,
        ...run.settings,
      },
      abort_signal: signal,
      ...inDatabase(server, sql),
    })
    signal.addEventListener('abort', () => stream.destroy(), { once: true })
    // The socket goes back to the pool only when the answer has been read to its end.
    await finished(stream.resume())
  })
}

async function query(
  server: Server,
  sql: string,
  params: Params,
  run: RunOptions,
): Promise<readonly unknown[]> {
  const ask = async (signal: AbortSignal) => {
    const result = await server.client.query({
      query: sql,
      format: 'JSONEachRow',
      query_params: { ...params },
      clickhouse_settings: {
        ...baseSettings(server),
        // ClickHouse ends a question when its client leaves only if it is marked as one.
        readonly: '2',
        cancel_http_readonly_queries_on_client_close: 1,
        ...run.settings,
      },
      abort_signal: signal,
      ...inDatabase(server, sql),
    })
    // The client listens to the signal only until the headers are there.
    signal.addEventListener('abort', () => result.close(), { once: true })
    return result.json<unknown>()
  }
  return limited(server.timeoutMs, run.signal, (signal) =>
    onceMoreAfterReset(signal, () => ask(signal)),
  )
}

async function command(
  server: Server,
  sql: string,
  params: Params,
  run: RunOptions,
): Promise<void> {
  const id = randomUUID()
  await limited(server.timeoutMs, run.signal, async (signal) => {
    // ClickHouse goes on with what writes when its client leaves.
    signal.addEventListener('abort', () => void kill(server, id), { once: true })
    await server.client.command({
      query: sql,
      query_params: { ...params },
      query_id: id,
      clickhouse_settings: { ...baseSettings(server), ...run.settings },
      abort_signal: signal,
      ...inDatabase(server, sql),
    })
  })
}

async function kill(server: Server, id: string): Promise<void> {
  try {
    await limited(PING_MS_MAX, undefined, (signal) =>
      server.client.command({
        query: 'KILL QUERY WHERE query_id = {id: String} ASYNC',
        query_params: { id },
        abort_signal: signal,
      }),
    )
  } catch {
    // Best effort: the caller has its error already, and `max_execution_time` ends it at last.
  }
}

async function ping(server: Server): Promise<boolean> {
  const ask = async (signal: AbortSignal) => {
    const answer = await server.client.ping({ select: false, abort_signal: signal })
    if (!answer.success) throw answer.error
    return true
  }
  try {
    return await limited(Math.min(PING_MS_MAX, server.timeoutMs), undefined, (signal) =>
      onceMoreAfterReset(signal, () => ask(signal)),
    )
  } catch {
    // That it cannot be reached, for whatever reason, is the answer.
    return false
  }
}

function baseSettings(server: Server): ClickHouseSettings {
  return {
    // A status of 200 must mean that it worked, not that it began to.
    wait_end_of_query: 1,
    // What we have given up must not go on there.
    max_execution_time: Math.ceil(server.timeoutMs / 1_000),
  }
}

/** What is asked or done before there is a database. */
const BEFORE_DATABASE =
  /^\s*(?:CREATE|DROP)\s+DATABASE\b|\bFROM (?:system\.(?:clusters|table_engines)|clusterAllReplicas)\b/i

/** A header and not the client's own option, because the database must be made without being in it. */
function inDatabase(server: Server, sql: string): { http_headers?: Record<string, string> } {
  const traceparent = server.traceparent?.()
  const trace = traceparent === undefined ? undefined : { traceparent }
  if (server.database === undefined || BEFORE_DATABASE.test(sql)) {
    return trace === undefined ? {} : { http_headers: trace }
  }
  return { http_headers: { 'X-ClickHouse-Database': server.database, ...trace } }
}

/** Settles at the deadline or the caller's abort, whatever the network does. */
async function limited<T>(
  timeoutMs: number,
  outer: AbortSignal | undefined,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  outer?.throwIfAborted()
  const controller = new AbortController()
  const given = Promise.withResolvers<never>()
  const giveUp = (reason: unknown) => {
    given.reject(reason)
    controller.abort(reason)
  }
  const onOuter = () => giveUp(outer?.reason)
  const timer = setTimeout(() => {
    giveUp(new ClickHouseTimeoutError(`ClickHouse did not answer within ${timeoutMs} ms.`))
  }, timeoutMs)
  outer?.addEventListener('abort', onOuter, { once: true })
  try {
    return await Promise.race([run(controller.signal), given.promise])
  } finally {
    clearTimeout(timer)
    outer?.removeEventListener('abort', onOuter)
  }
}

/** A server that restarted leaves dead sockets behind; a question may be asked again. */
async function onceMoreAfterReset<T>(signal: AbortSignal, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask()
  } catch (error) {
    const reset = error instanceof Error && 'code' in error && RESET_CODES.has(error.code)
    if (!reset || signal.aborted) throw error
    return ask()
  }
}

/** Taken from the pieces only as the socket takes it: a block need not stand in memory whole. */
function byteStream(pieces: Insert['body']): Readable {
  if (Symbol.asyncIterator in pieces) {
    return Readable.from(pieces, { objectMode: false, highWaterMark: 4 * PIECE_BYTES_MIN })
  }
  const joined = joinSmall(pieces)
  return new Readable({
    highWaterMark: 4 * PIECE_BYTES_MIN,
    read() {
      for (let room = true; room;) {
        const { done, value } = joined.next()
        room = this.push(done === true ? null : value)
      }
    },
  })
}

function* joinSmall(pieces: Iterable<Uint8Array>): Generator<Uint8Array, undefined> {
  let small: Uint8Array[] = []
  let smallBytes = 0
  const flushed = () => {
    const bytes = Buffer.concat(small, smallBytes)
    small = []
    smallBytes = 0
    return bytes
  }
  for (const piece of pieces) {
    if (piece.byteLength >= PIECE_BYTES_MIN) {
      if (smallBytes > 0) yield flushed()
      yield piece
      continue
    }
    small.push(piece)
    smallBytes += piece.byteLength
    if (smallBytes >= PIECE_BYTES_MIN) yield flushed()
  }
  if (smallBytes > 0) yield flushed()
  return undefined
}

/** One insert of ready rows. */
export interface Insert {
  readonly table: string
  readonly columns: readonly string[]
  /** Rows in RowBinary of exactly `columns`, in pieces of any size. Where it throws, nothing is stored. */
  readonly body: Iterable<Uint8Array> | AsyncIterable<Uint8Array>
  readonly settings: Readonly<Record<string, string | number>>
}

/** How a statement is run. */
export interface RunOptions {
  readonly settings?: Readonly<Record<string, string | number>>
  /** Ends the statement on the server too. */
  readonly signal?: AbortSignal
}

/**
 * What we need of a ClickHouse client; @clickhouse/client and client-web each satisfy it through a
 * short adapter. Every function rejects with the client's own error (`ClickHouseError` has `code`
 * as a string of digits) or with a network error.
 */
export interface ClickHouse {
  readonly insert: (insert: Insert, options?: RunOptions) => Promise<void>
  /** Rows as plain objects (JSONEachRow); `{name: Type}` placeholders bind `params`. */
  readonly query: (
    sql: string,
    params: Readonly<Record<string, unknown>>,
    options?: RunOptions,
  ) => Promise<readonly unknown[]>
  /** A statement without an answer: DDL, `INSERT … SELECT`. */
  readonly command: (
    sql: string,
    params?: Readonly<Record<string, unknown>>,
    options?: RunOptions,
  ) => Promise<void>
  readonly ping: () => Promise<boolean>
}

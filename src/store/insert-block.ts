import type { ClickHouse, Insert } from './clickhouse.ts'
import { blockTarget } from './rows.ts'

/** Rows of one format, and the token by which ClickHouse knows them again. */
interface Block {
  readonly format: number
  readonly body: Insert['body']
  readonly token: string
  readonly rows: number
}

/** Tries to insert a block once, and tells how it went. Rejects as the client does. */
export async function insertBlock(
  clickhouse: ClickHouse,
  inserted: (rows: number, bytes: number, elapsedMs: number, isStored: boolean) => void,
  { format, body, token, rows }: Block,
  signal: AbortSignal,
): Promise<void> {
  const startedMs = performance.now()
  let [isStored, bytes] = [false, 0]
  const counted = {
    async *[Symbol.asyncIterator]() {
      bytes = 0 // It may be sent once more.
      for await (const piece of body) {
        bytes += piece.length
        yield piece
      }
    },
  }
  const settings = { insert_deduplication_token: token }
  try {
    await clickhouse.insert({ ...blockTarget(format), body: counted, settings }, { signal })
    isStored = true
  } finally {
    inserted(rows, bytes, performance.now() - startedMs, isStored)
  }
}

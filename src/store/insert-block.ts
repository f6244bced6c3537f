import type { ClickHouse, Insert } from './clickhouse.ts'
import { blockTarget } from './rows.ts'

/** Rows of one format, and the token by which ClickHouse knows them again. */
interface Block {
  readonly format: number
  readonly body: Insert['body']
  readonly token: string
  readonly rows: number
}

interface InsertDeps {
  readonly clickhouse: ClickHouse
  /** Hears of each try how it went. */
  readonly inserted: (rows: number, bytes: number, elapsedMs: number, isStored: boolean) => void
  /** Whether no id is in two of the blocks: then each row says who stored it (migration 24). */
  readonly storesOnce: boolean
}

/** Tries to insert a block once. Rejects as the client does. */
export type InsertBlock = (block: Block, signal: AbortSignal) => Promise<void>

/** Inserts the blocks of one process. */
export function createInsert(deps: InsertDeps): InsertBlock {
  let source = crypto.randomUUID()
  return async (block, signal) => {
    try {
      await insertBlock(deps, source, block, signal)
    } catch (error) {
      // It may still be stored, and its rows be sent again in other blocks: those are as if of another process.
      source = crypto.randomUUID()
      throw error
    }
  }
}

async function insertBlock(
  { clickhouse, inserted, storesOnce }: InsertDeps,
  source: string,
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
  const settings = {
    insert_deduplication_token: token,
    log_comment: storesOnce ? `error-ingestor:insert ${source}` : 'error-ingestor:insert',
  }
  try {
    await clickhouse.insert({ ...blockTarget(format), body: counted, settings }, { signal })
    isStored = true
  } finally {
    inserted(rows, bytes, performance.now() - startedMs, isStored)
  }
}

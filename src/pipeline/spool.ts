import type { Occurrence } from '../occurrence.ts'

/**
 * Occurrences of one request as ready bytes: one RowBinary row each, without the columns that
 * delivery adds. The same bytes stand on disk and go to ClickHouse.
 */
export interface Batch {
  /** Which columns in which order: see ROW_FORMATS in store/rows.ts. */
  readonly format: number
  readonly bytes: Uint8Array
  /** Where each row ends in `bytes`. */
  readonly ends: readonly number[]
  /** The same rows before they were encoded, while they are at hand. */
  readonly occurrences: readonly Occurrence[]
}

/** How full the spool is and how far behind. */
export interface SpoolStatus {
  readonly bytes: number
  readonly bytesMax: number
  readonly segments: number
  /** Rows accepted and not yet delivered. */
  readonly rows: number
  /** Receipt of the oldest row that waits, in milliseconds since the Unix epoch. */
  readonly oldestMs: number | undefined
  /** Why nothing can be accepted now, in a sentence; absent while it can. */
  readonly refusing: string | undefined
}

/** Keeps accepted occurrences until they are delivered. */
export interface Spool {
  /**
   * Resolves once the rows would survive a crash of this process and a power cut.
   * @throws Refusal `overloaded` when they cannot be kept now.
   */
  readonly append: (batch: Batch) => Promise<void>
  /** Delivers, oldest first, forgetting only what the store has. Ends when aborted, or when told to and empty. */
  readonly drain: (signal: AbortSignal) => Promise<void>
  readonly status: () => SpoolStatus
}

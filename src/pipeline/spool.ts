import type { Occurrence } from '../occurrence.ts'
import type { SpanLink } from '../trace.ts'

/**
 * Occurrences of one request as ready bytes: one RowBinary row each. The same bytes stand on disk
 * and go to ClickHouse.
 */
export interface Batch {
  /** Which columns in which order: see ROW_FORMATS in store/rows.ts. */
  readonly format: number
  readonly bytes: Uint8Array
  /** Where each row ends in `bytes`. */
  readonly ends: readonly number[]
}

/** One row, without its bytes. */
export interface Row {
  readonly appId: string
  readonly id: string
  /** Of the event, in milliseconds since the Unix epoch. */
  readonly timestampMs: number
  readonly protocol: string
}

/** A batch, and what its rows are. */
export interface Parcel extends ParcelHead {
  readonly batch: Batch
}

/** What a batch holds, without its bytes. */
export interface ParcelHead {
  readonly batch: Pick<Batch, 'format' | 'ends'>
  readonly rows: readonly Row[]
  /** The request it came with, where that is traced; not kept over a restart. */
  readonly trace?: SpanLink | undefined
}

/** Bytes of rows, in order and in pieces of any size. */
export type Pieces = Iterable<Uint8Array> | AsyncIterable<Uint8Array>

/** Rows that were safe cannot be read back as they were written: their disk has damaged them. */
export class UnreadableRows extends Error {
  override readonly name = 'UnreadableRows'
}

/** How full the spool is and how far behind. */
export interface SpoolStatus {
  readonly bytes: number
  readonly bytesMax: number
  readonly segments: number
  /** Rows accepted and not yet delivered. */
  readonly rows: number
  /** When the oldest row that waits was accepted, in milliseconds since the Unix epoch. */
  readonly oldestMs: number | undefined
  /** Rows that could not be read back, since the folder was made. */
  readonly damagedRows: number
  /** Rows that ClickHouse refused for their content, kept aside. */
  readonly undeliverable: number
  /** Why nothing can be accepted now, in a sentence; absent while it can. */
  readonly refusing: string | undefined
}

/** Whether an event is one of those that are meant, by whose it is and when it came. */
export type Fits = (event: Pick<Occurrence, 'appId' | 'userId' | 'receivedAtMs'>) => boolean

/** Keeps accepted occurrences until they are delivered. */
export interface Spool {
  /**
   * Resolves once the rows would survive a crash of this process and a power cut. After that, or
   * after a rejection, the parcel's bytes are the caller's again.
   * @throws Refusal `overloaded` when they cannot be kept now.
   */
  readonly append: (parcel: Parcel) => Promise<void>
  /**
   * Delivers, oldest first, forgetting only what the store has. After `stopping` aborts it delivers
   * what is there until `graceMs` have passed, then leaves the rest for the next process.
   */
  readonly drain: (stopping: AbortSignal, graceMs: number) => Promise<void>
  /**
   * Asks for what was accepted until now to be delivered at once. Resolves when it is, or after
   * `waitMs`, or at once where too much waits for that to make sense.
   */
  readonly settle: (waitMs: number) => Promise<void>
  /**
   * Where rows have been coming in a stream, second after second, whether it goes on; else undefined. Then there is
   * always something that waits, and who asks for all of it to be delivered first makes blocks that are too small.
   */
  readonly streams: () => Promise<boolean> | undefined
  /** Deletes of the events that were kept aside as undeliverable those that fit; says how many. */
  readonly dropAside: (fits: Fits) => Promise<number>
  readonly status: () => SpoolStatus
  /**
   * To be awaited before a request is read: its turn comes later while rows come faster than they can
   * be delivered. Undefined where it is at once.
   */
  readonly turn: () => Promise<void> | undefined
}

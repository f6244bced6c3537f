import type { Client } from './administration.ts'
import type { FolderReading } from './keys/sync.ts'
import type { Delivery } from './pipeline/delivery.ts'
import type { RecentIds } from './pipeline/recent.ts'
import type { Spool } from './pipeline/spool.ts'
import type { ClickHouse } from './store/clickhouse.ts'
import type { Telemetry } from './telemetry/telemetry.ts'
import type { Tracer } from './trace.ts'

/** All the core asks of the runtime it lives in. To run somewhere new, implement this page. */
export interface Host {
  readonly telemetry: Telemetry
  /** Absent where nothing is traced. */
  readonly tracer?: Tracer
  readonly clickhouse: ClickHouse
  /** The same ClickHouse, as a user who may be unable to write: for the questions of dashboard and API. */
  readonly reader: ClickHouse
  /** Milliseconds since the Unix epoch; the only clock the core reads. */
  readonly nowMs: () => number
  /** On disk under Node, straight through at the edge. */
  readonly openSpool: (delivery: Delivery) => Promise<Spool>
  /** What the spool promises before an insert answers; undefined where the answer waits for the store. */
  readonly hasDiskSpool: boolean
  /** Ids that this process saw lately; at the edge a process sees too few, and remembers none. */
  readonly recent: RecentIds
  /** The same for the same texts in the same order, and for no others. */
  readonly digest: (texts: readonly string[]) => string
  /**
   * Puts what is counted until now into the ledger that questions read; resolves when it is there, or
   * after a moment. Absent where no ledger is kept.
   */
  readonly settleLedger?: () => Promise<void>
  readonly inflate: Inflate
  /**
   * Reads the folder of apps and keys; answers undefined as long as nothing has changed. Absent where
   * there is no such folder.
   */
  readonly keyFolder?: (() => Promise<FolderReading | undefined>) | undefined
  /** Keeps what ClickHouse said last of apps and keys. Absent where nothing outlives the process. */
  readonly knownKeys?: KnownKeys | undefined
  /** `/metrics`, in the format that `accept` asks for. */
  readonly metrics: (
    accept: string | undefined,
  ) => Promise<{ readonly contentType: string; readonly text: string }>
  /** `env` is what the runtime passes with the request. */
  readonly clientOf: (request: Request, env: unknown) => Client
  /** One answered request, for its log line and its metrics; the answer leaves once this is done. */
  readonly answered: (line: AnsweredLine) => Promise<void> | undefined
}

/** What {@link Host.knownKeys} is. */
export interface KnownKeys {
  /** Undefined where there is nothing, or nothing that can be read. */
  readonly read: () => Promise<string | undefined>
  /** Replaces it durably, as a whole. */
  readonly write: (text: string) => Promise<void>
}

/** See http/access.ts, which makes it. */
export interface AnsweredLine {
  readonly method: string
  readonly path: string
  readonly status: number
  readonly elapsedMs: number
  readonly requestId: string
  /** Why it was refused. */
  readonly code?: string
}

/** Inflates a request body a piece at a time, only as it is read. Undefined where the runtime cannot. */
export type Inflate = (
  encoding: 'gzip' | 'deflate' | 'br' | 'zstd',
  body: ReadableStream<Uint8Array>,
) => ReadableStream<Uint8Array> | undefined

import type { ClickHouse } from './store/clickhouse.ts'
import type { Delivery } from './pipeline/delivery.ts'
import type { Spool } from './pipeline/spool.ts'
import type { Telemetry } from './telemetry/telemetry.ts'

/** All the core asks of the runtime it lives in. To run somewhere new, implement this page. */
export interface Host {
  readonly telemetry: Telemetry
  readonly clickhouse: ClickHouse
  /** Milliseconds since the Unix epoch; the only clock the core reads. */
  readonly nowMs: () => number
  /** On disk under Node, straight through at the edge. */
  readonly openSpool: (delivery: Delivery) => Promise<Spool>
  /** Inflates a request body. Yields at most `bytesMax` + 1 bytes before it must be given up. */
  readonly inflate: Inflate
}

/** Encodings of a request body that a runtime can undo. */
export type Inflate = (
  encoding: 'gzip' | 'deflate' | 'br' | 'zstd',
  body: ReadableStream<Uint8Array>,
) => ReadableStream<Uint8Array> | undefined

import type { Outcome } from '../outcome.ts'

/** Everything we say about ourselves. Metric names live in node/telemetry.ts, nowhere else. */
export interface Telemetry {
  /** Ends `count` events of one protocol; call exactly once per event. */
  readonly outcome: (protocol: string, outcome: Outcome, count: number) => void
  /**
   * Parts of requests that are no errors (`server`: not kept; `client`: its own report of what it never
   * sent). They are no events of ours, and not part of the sum above.
   */
  readonly discarded: (
    protocol: string,
    by: 'server' | 'client',
    category: string,
    reason: string,
    count: number,
  ) => void
  /** A stage or step ran over `count` occurrences in `elapsedMs`. */
  readonly stage: (name: string, elapsedMs: number, count: number) => void
  /** A source of apps and keys was read, or could not be. */
  readonly keysRead: (source: 'files' | 'store', result: 'ok' | 'failed') => void
  /** Something happened that an operator may want to read; `fields` never holds event content. */
  readonly say: (level: 'error' | 'warn' | 'info' | 'debug', text: string, fields?: object) => void
  /** A bug: something threw that was not a Refusal. Logs it and counts it. */
  readonly bug: (error: unknown) => void
}

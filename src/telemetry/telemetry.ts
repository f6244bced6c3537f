import type { Ended, Outcome } from '../outcome.ts'

/** Everything we say about ourselves. Metric names live in node/, nowhere else. */
export interface Telemetry {
  /**
   * `count` events came in, in a body of `bytes`. Each of them then ends by `outcome`, or is `kept`
   * and ends by `delivered`.
   */
  readonly received: (protocol: string, count: number, bytes: number) => void
  /** `count` events are durable: they are the spool's from here on. */
  readonly kept: (protocol: string, count: number) => void
  /** Ends `count` events before they were kept; call exactly once per event. `appId` may be empty. */
  readonly outcome: (appId: string, protocol: string, outcome: Outcome, count: number) => void
  /** Ends events that were kept; call exactly once per event. */
  readonly delivered: (ends: readonly Ended[]) => void
  /**
   * Parts of requests that are no errors (`server`: not kept; `client`: its own report of what it never
   * sent). They are no events of ours, and not part of the sum above.
   */
  readonly discarded: (
    appId: string,
    protocol: string,
    parts: readonly {
      readonly by: 'server' | 'client'
      readonly category: string
      readonly reason: string
      readonly count: number
    }[],
  ) => void
  /** A stage or step ran over `count` occurrences in `elapsedMs`. */
  readonly stage: (name: string, elapsedMs: number, count: number) => void
  /** A source of apps and keys was read, or could not be. */
  readonly keysRead: (source: 'files' | 'store', result: 'ok' | 'failed') => void
  /** One try to insert a block of events. */
  readonly inserted: (rows: number, bytes: number, elapsedMs: number, isStored: boolean) => void
  /** A block is tried that had failed before. */
  readonly retried: () => void
  /** So many events were duplicates, by who knew their ids. */
  readonly knownAlready: (by: 'memory' | 'store', count: number) => void
  /** Something happened that an operator may want to read; `fields` never holds event content. */
  readonly say: (level: 'error' | 'warn' | 'info' | 'debug', text: string, fields?: object) => void
  /** A bug: something threw that was not a Refusal. Logs it and counts it. */
  readonly bug: (error: unknown) => void
}

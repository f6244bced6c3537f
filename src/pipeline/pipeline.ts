import type { Grouping, Occurrence } from '../occurrence.ts'
import type { Outcome } from '../outcome.ts'
import type { Batch, Parcel, Row } from './spool.ts'

interface PipelineDeps {
  /** Replaces secrets. Stands before the spool, so that no disk ever holds one. */
  readonly scrub: (occurrence: Occurrence) => Occurrence
  readonly symbolicate: (occurrence: Occurrence) => Occurrence
  readonly group: (occurrence: Occurrence) => Grouping
  readonly encode: (
    occurrences: readonly Occurrence[],
    group: (occurrence: Occurrence) => Grouping,
  ) => Batch
  /** The bytes of an encoded batch may be used again: the spool keeps its own. */
  readonly giveBack: (bytes: Uint8Array) => void
  /** Resolves once the rows are durable; nobody reads the parcel's bytes after that. */
  readonly append: (parcel: Parcel) => Promise<void>
  /** How long an app's events are kept. */
  readonly retentionMs: (appId: string) => number
  readonly outcome: (protocol: string, outcome: Outcome, count: number) => void
  readonly stage: (name: string, elapsedMs: number, count: number) => void
  readonly nowMs: () => number
}

/**
 * READ FIRST. The life of an event:
 * before the yes, here: scrub → symbolicate → group → encode → spool;
 * after it, in delivery.ts: drop what is known → seal → insert.
 *
 * All stages are CPU only and cheap, so they run at once, while the event is young: an event is
 * parsed and encoded once in its life, and waits as the bytes that ClickHouse gets.
 */
export interface Pipeline {
  /**
   * Resolves once every occurrence is durable or dropped.
   * @throws Refusal `overloaded` when they cannot be kept safe now; then none of them is.
   */
  readonly accept: (occurrences: readonly Occurrence[]) => Promise<void>
}

/** The half of the pipeline before the yes: CPU only, but for the one wait for the disk. */
export function createPipeline(deps: PipelineDeps): Pipeline {
  /** All that is done with events as objects; no await, so that none of them waits for the disk. */
  function encoded(occurrences: readonly Occurrence[], nowMs: number): Parcel | undefined {
    // A request is of one app.
    const oldestMs = nowMs - deps.retentionMs(occurrences[0]?.appId ?? '')
    const kept = occurrences.filter(({ timestampMs }) => timestampMs >= oldestMs)
    if (kept.length === 0) return undefined
    const clean = kept.map((occurrence) => deps.symbolicate(deps.scrub(occurrence)))
    return { batch: deps.encode(clean, deps.group), rows: clean.map(rowOf) }
  }

  async function kept({ batch, rows }: Parcel, startedAtMs: number): Promise<void> {
    deps.stage('stages', deps.nowMs() - startedAtMs, rows.length)
    try {
      await deps.append({ batch, rows })
    } finally {
      deps.giveBack(batch.bytes)
    }
    deps.stage('spool', deps.nowMs() - startedAtMs, rows.length)
  }

  return {
    accept(occurrences) {
      const startedAtMs = deps.nowMs()
      const parcel = encoded(occurrences, startedAtMs)
      const expired = occurrences.length - (parcel?.rows.length ?? 0)
      const protocol = occurrences[0]?.protocol
      const keeping = parcel === undefined ? Promise.resolve() : kept(parcel, startedAtMs)
      if (expired === 0 || protocol === undefined) return keeping
      return keeping.then(() =>
        deps.outcome(protocol, { kind: 'dropped', reason: 'expired' }, expired),
      )
    },
  }
}

/** Only this is kept until delivery, so that the event itself can go. */
function rowOf({ appId, id, timestampMs, protocol }: Occurrence): Row {
  return { appId, id, timestampMs, protocol }
}

import type { Occurrence } from '../occurrence.ts'
import type { Outcome } from '../outcome.ts'
import type { Batch } from './spool.ts'

interface PipelineDeps {
  /** Replaces secrets. Stands before the spool, so that no disk ever holds one. */
  readonly scrub: (occurrence: Occurrence) => Occurrence
  readonly encode: (occurrences: readonly Occurrence[]) => Batch
  /** Resolves once the rows are durable. */
  readonly append: (batch: Batch) => Promise<void>
  readonly retentionMs: number
  readonly outcome: (protocol: string, outcome: Outcome, count: number) => void
  readonly stage: (name: string, elapsedMs: number, count: number) => void
  readonly nowMs: () => number
}

/**
 * READ FIRST. The life of an event:
 * before the yes, here: scrub → encode → spool;
 * after it, in delivery.ts: symbolicate → group → drop what is known → seal → insert.
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
  return {
    async accept(occurrences) {
      const startedAtMs = deps.nowMs()
      const oldestMs = startedAtMs - deps.retentionMs
      const kept = occurrences.filter(({ timestampMs }) => timestampMs >= oldestMs)
      const batch = deps.encode(kept.map(deps.scrub))
      deps.stage('scrub', deps.nowMs() - startedAtMs, kept.length)
      if (kept.length > 0) await deps.append(batch)
      deps.stage('spool', deps.nowMs() - startedAtMs, kept.length)
      const expired = occurrences.length - kept.length
      const protocol = occurrences[0]?.protocol
      if (expired > 0 && protocol !== undefined) {
        deps.outcome(protocol, { kind: 'dropped', reason: 'expired' }, expired)
      }
    },
  }
}

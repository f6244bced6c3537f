import type { Grouping, Occurrence } from '../occurrence.ts'
import type { Outcome } from '../outcome.ts'
import type { SpanLink } from '../trace.ts'
import type { SpikeGuard } from './spike.ts'
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
  readonly spikes: SpikeGuard
  /** The span that runs now, for the delivery to point at. */
  readonly here: () => SpanLink | undefined
  /** So many are durable: the spool's from here on. */
  readonly kept: (protocol: string, count: number) => void
  readonly outcome: (appId: string, protocol: string, outcome: Outcome, count: number) => void
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
   * Resolves once every occurrence is durable or dropped. All are of one app.
   * @throws Refusal `overloaded` when they cannot be kept safe now; then none of them is.
   */
  readonly accept: (occurrences: readonly Occurrence[], rules?: AppRules) => Promise<void>
}

/** What an app asks for beside what holds for all. */
export interface AppRules {
  /** Behind the scrubbing of all. */
  readonly scrub?: ((occurrence: Occurrence) => Occurrence) | undefined
  /** Of one issue; what comes beyond it is dropped. */
  readonly eventsPerMinute?: number | undefined
}

/** What has become of the occurrences of one request. */
interface Encoded {
  /** Undefined where none is kept. */
  readonly parcel: Parcel | undefined
  readonly dropped: Readonly<Record<'expired' | 'spike', number>>
  /** Undoes what was counted, where they cannot be kept after all. */
  readonly giveBack: () => void
}

/** The half of the pipeline before the yes: CPU only, but for the one wait for the disk. */
export function createPipeline(deps: PipelineDeps): Pipeline {
  /** All that is done with events as objects; no await, so that none of them waits for the disk. */
  function encoded(
    occurrences: readonly Occurrence[],
    { scrub, eventsPerMinute }: AppRules,
    nowMs: number,
  ): Encoded {
    // A request is of one app.
    const oldestMs = nowMs - deps.retentionMs(occurrences[0]?.appId ?? '')
    const young = occurrences.filter(({ timestampMs }) => timestampMs >= oldestMs)
    const clean = young.map((occurrence) => {
      const scrubbed = deps.scrub(occurrence)
      return deps.symbolicate(scrub === undefined ? scrubbed : scrub(scrubbed))
    })
    const { kept, group, giveBack } =
      eventsPerMinute === undefined ? all(clean) : withoutSpikes(clean, eventsPerMinute, nowMs)
    const dropped = {
      expired: occurrences.length - young.length,
      spike: clean.length - kept.length,
    }
    if (kept.length === 0) return { parcel: undefined, dropped, giveBack }
    const batch = deps.encode(kept, group)
    const parcel = { batch, rows: kept.map(rowOf), trace: deps.here() }
    return { parcel, dropped, giveBack }
  }

  const all = (kept: readonly Occurrence[]) => ({ kept, group: deps.group, giveBack: nothing })

  /** Here the issue must be known before the encoding; it is not found twice. */
  function withoutSpikes(clean: readonly Occurrence[], eventsPerMinute: number, nowMs: number) {
    const groupings = new Map<Occurrence, Grouping>()
    for (const occurrence of clean) {
      const grouping = deps.group(occurrence)
      const { fingerprint } = grouping
      if (deps.spikes.keeps(occurrence.appId, fingerprint, eventsPerMinute, nowMs)) {
        groupings.set(occurrence, grouping)
      }
    }
    return {
      kept: [...groupings.keys()],
      group: (occurrence: Occurrence) => groupings.get(occurrence) ?? deps.group(occurrence),
      giveBack: () => {
        for (const [{ appId }, { fingerprint }] of groupings) {
          deps.spikes.giveBack(appId, fingerprint)
        }
      },
    }
  }

  async function kept({ batch, rows, trace }: Parcel, startedAtMs: number): Promise<void> {
    deps.stage('stages', deps.nowMs() - startedAtMs, rows.length)
    try {
      await deps.append({ batch, rows, trace })
    } finally {
      deps.giveBack(batch.bytes)
    }
    // A request is of one protocol.
    deps.kept(rows[0]?.protocol ?? '', rows.length)
    deps.stage('spool', deps.nowMs() - startedAtMs, rows.length)
  }

  /** Counted only once the others are safe: else all of them are refused. */
  async function dropping(
    { appId, protocol }: Pick<Occurrence, 'appId' | 'protocol'>,
    { dropped, giveBack }: Encoded,
    keeping: Promise<void>,
  ): Promise<void> {
    try {
      await keeping
    } catch (error) {
      giveBack()
      throw error
    }
    for (const reason of ['expired', 'spike'] as const) {
      const count = dropped[reason]
      if (count > 0) deps.outcome(appId, protocol, { kind: 'dropped', reason }, count)
    }
  }

  return {
    accept(occurrences, rules = {}) {
      const startedAtMs = deps.nowMs()
      const done = encoded(occurrences, rules, startedAtMs)
      const { parcel, dropped, giveBack } = done
      const keeping = parcel === undefined ? Promise.resolve() : kept(parcel, startedAtMs)
      const [first] = occurrences
      const isPlain = dropped.expired + dropped.spike === 0 && giveBack === nothing
      if (isPlain || first === undefined) return keeping
      // Only its names are held on to.
      const { appId, protocol } = first
      return dropping({ appId, protocol }, done, keeping)
    },
  }
}

const nothing = (): void => undefined

/** Only this is kept until delivery, so that the event itself can go. */
function rowOf({ appId, id, timestampMs, protocol }: Occurrence): Row {
  return { appId, id, timestampMs, protocol }
}

import type { Occurrence } from '../occurrence.ts'
import { reasonOf, type DropReason, type Ended, type Outcome } from '../outcome.ts'
import type { Tracer } from '../trace.ts'
import type { RecentIds } from './recent.ts'
import { deliverRows, pause, type Insert } from './retry.ts'
import type { Batch, ParcelHead, Pieces, Row } from './spool.ts'

/** What delivery asks of the modules around it. */
export interface DeliveryDeps {
  /** What the rows of a batch are that was read back from disk. */
  readonly identify: (batch: Batch) => readonly Row[]
  readonly decode: (format: number, bytes: Uint8Array, start: number) => Occurrence
  readonly encode: (occurrences: readonly Occurrence[]) => Batch
  /** Which of these the store has or had in the last day. Keys as {@link idKey} makes them. */
  readonly knownIds: (rows: readonly RowId[], signal: AbortSignal) => Promise<ReadonlySet<string>>
  /** Which of these stand in the store's table now; slower, and never wrong. From now on they are known. */
  readonly storedIds: (rows: readonly RowId[], signal: AbortSignal) => Promise<ReadonlySet<string>>
  /** Looks for rows of these that another process stored at the same time. */
  readonly recordDoubles: (rows: readonly RowId[], signal: AbortSignal) => Promise<void>
  readonly insert: Insert
  /** Whether a failed insert was refused for what the rows hold, and so would be for ever. */
  readonly isContentRefusal: (error: unknown) => boolean
  /** Whether the store can take nothing now, as when it has too many parts: its block is sent again whole. */
  readonly isStoreTrouble: (error: unknown) => boolean
  readonly recent: RecentIds
  /** So many rows were duplicates, by who knew their ids. */
  readonly knownAlready: (by: 'memory' | 'store', count: number) => void
  /** A text that is the same for the same ids in the same order, and for no others. */
  readonly digest: (ids: readonly string[]) => string
  readonly delivered: (ends: readonly Ended[]) => void
  readonly open: Tracer['open']
  readonly stage: (name: string, elapsedMs: number, count: number) => void
  readonly say: (level: 'error' | 'warn' | 'info', text: string, fields?: object) => void
  readonly bug: (error: unknown) => void
  readonly nowMs: () => number
  readonly random: () => number
}

/** An event's identity. */
export interface RowId {
  readonly appId: string
  readonly id: string
}

/** What becomes of one row of a window: it is sent, or why it is not. */
export type Fate = 'send' | 'duplicate' | Exclude<DropReason, 'spike'>

/** One row of a block, and where its bytes are. */
export interface BlockRow extends RowId {
  readonly protocol: string
  /** Which parcel of the window holds it, and where in that one's batch. */
  readonly parcel: number
  readonly start: number
  readonly end: number
}

/**
 * Reads rows of a window, in the order they are asked for. Anew at each call: a block is sent from
 * where it lies, and need not stand in memory.
 * @throws UnreadableRows while it is iterated.
 */
export type ReadRows = (rows: readonly BlockRow[]) => Pieces

/** Rows of one format and one month: one insert, the same on every try. */
export interface Block {
  readonly format: number
  readonly token: string
  readonly rows: readonly BlockRow[]
}

/** A row that ClickHouse refuses for its content, and its words. */
export interface RefusedRow {
  readonly row: BlockRow
  readonly format: number
  readonly error: string
}

/** The half of the pipeline after the yes, as the spool calls it. */
export interface Delivery {
  readonly identify: DeliveryDeps['identify']
  /**
   * Decides once what becomes of each row of a window, in order: known ids are dropped.
   * What it decided must be sealed before anything is sent.
   */
  readonly judge: (window: readonly ParcelHead[], signal: AbortSignal) => Promise<readonly Fate[]>
  /**
   * The same for what is left of a window that was sealed, and may have been sent, as a block that
   * cannot be made again because frames of it are damaged. All windows before it must be delivered.
   */
  readonly judgeAgain: Delivery['judge']
  /**
   * Rows of a sealed window that cannot be read any more: those that an insert had stored before it was
   * cut short are made known, so that a resend of them is not stored again.
   */
  readonly reclaim: (rows: readonly RowId[], signal: AbortSignal) => Promise<void>
  /** The blocks of a judged window; a pure function of it. */
  readonly blocks: (window: readonly ParcelHead[], fates: readonly Fate[]) => readonly Block[]
  /** Tells the memory of recent ids about rows that were sealed by an earlier process. */
  readonly remember: (rows: readonly RowId[]) => void
  /**
   * Tries until the store has the block. Resolves with the rows that can never be stored.
   * Rejects when `signal` aborts, and with UnreadableRows; sending the same block again later is safe.
   * @param judgedAtMs when its rows were asked about, of `performance.now()`: the clock may jump;
   *   -Infinity where that was another process.
   */
  readonly send: (
    block: Block,
    judgedAtMs: number,
    read: ReadRows,
    signal: AbortSignal,
  ) => Promise<readonly RefusedRow[]>
  /**
   * Counts how the rows of a window ended, and `lost` more that should stand in it; call once, after
   * the last of its blocks. The same window always ends the same.
   */
  readonly count: (
    window: readonly ParcelHead[],
    fates: readonly Fate[],
    refused: readonly RefusedRow[],
    lost: number,
  ) => readonly Ended[]
  /** Lets an id in again that is remembered: its row was set aside and is to be tried once more. */
  readonly forgive: (row: RowId) => void
  /** Begins a span for the delivery of rows that came with these requests. */
  readonly open: DeliveryDeps['open']
  readonly stage: DeliveryDeps['stage']
  readonly decode: DeliveryDeps['decode']
  readonly encode: DeliveryDeps['encode']
  readonly bug: DeliveryDeps['bug']
  readonly say: DeliveryDeps['say']
  readonly nowMs: () => number
}

/** A store finds rows by itself that came twice within this time; what takes longer it must be told. */
const UNTOLD_MS_MAX = 30_000

/** One string per event, for sets. */
export function idKey({ appId, id }: RowId): string {
  return `${appId}\0${id}`
}

/** Joins what comes after the yes to the store. */
export function createDelivery(deps: DeliveryDeps): Delivery {
  const forgiven = new Set<string>()
  const taken = { blocks: 0 }

  return {
    identify: deps.identify,

    async judge(window, signal) {
      const rows = window.flatMap((parcel) => parcel.rows)
      const startedAtMs = deps.nowMs()
      // All of them, also those that this process saw lately: looking those up first costs more.
      const known = await deps.knownIds(rows, signal)
      deps.stage('known', deps.nowMs() - startedAtMs, rows.length)
      const hits = { memory: 0, store: 0 }
      const fates = rows.map((row) => {
        // Always taken back: what stayed forgiven would let a later resend in.
        const isForgiven = forgiven.size > 0 && forgiven.delete(idKey(row))
        const isNew = deps.recent.add(row.appId, row.id) || isForgiven
        if (isNew && !(known.size > 0 && known.has(idKey(row)))) return 'send'
        hits[isNew ? 'store' : 'memory'] += 1
        return 'duplicate'
      })
      for (const by of ['memory', 'store'] as const) {
        if (hits[by] > 0) deps.knownAlready(by, hits[by])
      }
      return fates
    },

    async judgeAgain(window, signal) {
      const rows = window.flatMap((parcel) => parcel.rows)
      // The memory of recent ids knows them all from the first time, and tells nothing. An insert
      // that a crash cut short may have left rows in the table alone, which only storedIds sees.
      const gone = new Set(await deps.storedIds(rows, signal))
      for (const key of await deps.knownIds(rows, signal)) gone.add(key)
      return rows.map((row) => {
        deps.recent.add(row.appId, row.id)
        const key = idKey(row)
        if (gone.has(key)) return 'duplicate'
        gone.add(key)
        return 'send'
      })
    },

    async reclaim(rows, signal) {
      await deps.storedIds(rows, signal)
    },

    blocks: (window, fates) => makeBlocks(window, fates, deps.digest),

    remember(rows) {
      for (const { appId, id } of rows) deps.recent.add(appId, id)
    },

    async send(block, judgedAtMs, read, signal) {
      const startedAtMs = deps.nowMs()
      const wasTried = judgedAtMs === -Infinity
      const refused = await deliverRows(block, read, taken, deps, signal, wasTried)
      deps.stage('insert', deps.nowMs() - startedAtMs, block.rows.length)
      // It waited so long that another process may have stored the same ids in between.
      if (performance.now() - judgedAtMs > UNTOLD_MS_MAX) await tellDoubles(block.rows, signal)
      return refused
    },

    count(window, fates, refused, lost) {
      const ends = countEnds(window, fates, refused, lost)
      deps.delivered(ends)
      return ends
    },

    forgive: (row) => forgiven.add(idKey(row)),
    open: deps.open,
    stage: deps.stage,
    decode: deps.decode,
    encode: deps.encode,
    bug: deps.bug,
    say: deps.say,
    nowMs: deps.nowMs,
  }

  /** Until it is said: the counts are wrong without it, and the block is not done before. */
  async function tellDoubles(rows: readonly RowId[], signal: AbortSignal): Promise<void> {
    for (;;) {
      signal.throwIfAborted()
      try {
        await deps.recordDoubles(rows, signal)
        return
      } catch (error) {
        signal.throwIfAborted()
        deps.say('warn', 'doubles could not be looked for, trying again', { error: String(error) })
        await pause(1_000, signal)
      }
    }
  }
}

/** How the rows of a window ended, summed by app, protocol and outcome. */
function countEnds(
  window: readonly ParcelHead[],
  fates: readonly Fate[],
  refused: readonly RefusedRow[],
  lost: number,
): readonly Ended[] {
  const sums = new Map<string, { -readonly [Field in keyof Ended]: Ended[Field] }>()
  const add = (appId: string, protocol: string, outcome: Outcome, by: number) => {
    const name = `${appId}\0${protocol}\0${outcome.kind}\0${reasonOf(outcome)}`
    const sum = sums.get(name)
    if (sum === undefined) sums.set(name, { appId, protocol, outcome, count: by })
    else sum.count += by
  }
  // Neighbours mostly end alike, and are added as one: a name for each row would cost more.
  let like: { readonly appId: string; readonly protocol: string; readonly fate: Fate } | undefined
  let [at, alike] = [0, 0]
  for (const { rows } of window) {
    for (const { appId, protocol } of rows) {
      const fate = fates[at++] ?? 'send'
      if (like?.appId !== appId || like.protocol !== protocol || like.fate !== fate) {
        if (like !== undefined) add(like.appId, like.protocol, OUTCOME[like.fate], alike)
        like = { appId, protocol, fate }
        alike = 0
      }
      alike += 1
    }
  }
  if (like !== undefined) add(like.appId, like.protocol, OUTCOME[like.fate], alike)
  for (const { row } of refused) {
    add(row.appId, row.protocol, OUTCOME.send, -1)
    add(row.appId, row.protocol, { kind: 'undeliverable' }, 1)
  }
  if (lost > 0) add('', '', { kind: 'lost' }, lost)
  return [...sums.values()].filter(({ count }) => count > 0)
}

const OUTCOME = {
  send: { kind: 'stored' },
  duplicate: { kind: 'duplicate' },
  expired: { kind: 'dropped', reason: 'expired' },
} as const satisfies Record<Fate, Outcome>

/** One block per format and month (a token works per partition), rows in the order they came. */
function makeBlocks(
  window: readonly ParcelHead[],
  fates: readonly Fate[],
  digest: DeliveryDeps['digest'],
): readonly Block[] {
  const groups = new Map<number, { format: number; rows: BlockRow[] }>()
  let at = 0
  for (const [parcel, { batch, rows }] of window.entries()) {
    for (const [i, { appId, id, protocol, timestampMs }] of rows.entries()) {
      if (fates[at++] !== 'send') continue
      const name = batch.format * 1_000_000 + monthOf(timestampMs)
      let group = groups.get(name)
      if (group === undefined) {
        group = { format: batch.format, rows: [] }
        groups.set(name, group)
      }
      const start = batch.ends[i - 1] ?? 0
      const end = batch.ends[i] ?? start
      group.rows.push({ appId, id, protocol, parcel, start, end })
    }
  }
  return [...groups.values()].map(({ format, rows }) => ({
    format,
    rows,
    token: digest(rows.map(idKey)),
  }))
}

// Most events are of this month: one comparison instead of a Date each.
let [monthStartMs, monthEndMs, month] = [0, 0, 0]

/** Year and month in UTC, as 202611: the partition of an event. */
function monthOf(timestampMs: number): number {
  if (timestampMs >= monthStartMs && timestampMs < monthEndMs) return month
  const date = new Date(timestampMs)
  const [year, index] = [date.getUTCFullYear(), date.getUTCMonth()]
  monthStartMs = Date.UTC(year, index)
  monthEndMs = Date.UTC(year, index + 1)
  month = year * 100 + index + 1
  return month
}

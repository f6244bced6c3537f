import type { Grouping, Occurrence } from '../occurrence.ts'
import type { DropReason, Outcome } from '../outcome.ts'
import type { RecentIds } from './recent.ts'
import { deliverRows, type Insert } from './retry.ts'
import type { Batch } from './spool.ts'

/** What delivery asks of the modules around it. */
export interface DeliveryDeps {
  readonly decode: (format: number, bytes: Uint8Array, start: number) => Occurrence
  readonly encode: (occurrences: readonly Occurrence[]) => Batch
  readonly symbolicate: (occurrence: Occurrence) => Occurrence
  readonly group: (occurrence: Occurrence) => Grouping
  /** The bytes of the columns that grouping adds to a row. */
  readonly encodeGrouping: (grouping: Grouping) => Uint8Array
  /** Which of these the store has or had in the last day. Keys as {@link idKey} makes them. */
  readonly knownIds: (rows: readonly RowId[], signal: AbortSignal) => Promise<ReadonlySet<string>>
  /** Which of these stand in the store's table now; slower, and never wrong. */
  readonly storedIds: (rows: readonly RowId[], signal: AbortSignal) => Promise<ReadonlySet<string>>
  readonly insert: Insert
  /** Whether a failed insert was refused for what the rows hold, and so would be for ever. */
  readonly isContentRefusal: (error: unknown) => boolean
  readonly recent: RecentIds
  /** A text that is the same for the same ids in the same order, and for no others. */
  readonly digest: (ids: readonly string[]) => string
  readonly outcome: (protocol: string, outcome: Outcome, count: number) => void
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

/** One row on its way, without its bytes. */
export interface PreparedRow extends RowId {
  readonly protocol: string
  /** Year and month of the event, in UTC, as 202611: the partition it goes to. */
  readonly month: number
  /** The bytes that delivery adds behind the row's own. */
  readonly suffix: Uint8Array
}

/** A batch whose stages have run. */
export interface Prepared {
  readonly batch: Batch
  readonly rows: readonly PreparedRow[]
}

/** What becomes of one row of a window: the suffix it is sent with, or why it is not sent. */
export type Fate = Uint8Array | DropReason

/** One row of a block, with its bytes. */
export interface BlockRow extends RowId {
  readonly protocol: string
  readonly bytes: Uint8Array
  readonly start: number
  readonly end: number
  readonly suffix: Uint8Array
}

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
  /** Runs the stages: symbolicate, group. CPU only. */
  readonly prepare: (batch: Batch) => Prepared
  /**
   * Decides once what becomes of each row of a window, in order: known ids are dropped.
   * What it decided must be sealed before anything is sent.
   */
  readonly judge: (window: readonly Prepared[], signal: AbortSignal) => Promise<readonly Fate[]>
  /** The blocks of a judged window; a pure function of it. */
  readonly blocks: (window: readonly Prepared[], fates: readonly Fate[]) => readonly Block[]
  /** Tells the memory of recent ids about rows that were sealed by an earlier process. */
  readonly remember: (rows: readonly RowId[]) => void
  /**
   * Tries until the store has the block. Resolves with the rows that can never be stored.
   * Rejects only when `signal` aborts; sending the same block again later is safe.
   */
  readonly send: (block: Block, signal: AbortSignal) => Promise<readonly RefusedRow[]>
  /** Counts how the rows of a window ended; call once, after the last of its blocks. */
  readonly count: (
    window: readonly Prepared[],
    fates: readonly Fate[],
    refused: readonly RefusedRow[],
  ) => void
  /** Lets an id in again that is remembered: its row was set aside and is to be tried once more. */
  readonly forgive: (row: RowId) => void
  readonly decode: DeliveryDeps['decode']
  readonly encode: DeliveryDeps['encode']
  readonly bug: DeliveryDeps['bug']
  readonly say: DeliveryDeps['say']
  readonly nowMs: () => number
}

const UNGROUPED: Grouping = {
  fingerprint: `v1:${'0'.repeat(32)}`,
  secondary: `v1:${'0'.repeat(32)}`,
  basis: 'message',
  components: [],
}

/** One string per event, for sets. */
export function idKey({ appId, id }: RowId): string {
  return `${appId}\0${id}`
}

/** Puts the stages after the yes in order and joins them to the store. */
export function createDelivery(deps: DeliveryDeps): Delivery {
  const suffixes = new WeakMap<Grouping, Uint8Array>()
  const forgiven = new Set<string>()

  function suffixOf(grouping: Grouping): Uint8Array {
    let suffix = suffixes.get(grouping)
    if (suffix === undefined) {
      suffix = deps.encodeGrouping(grouping)
      suffixes.set(grouping, suffix)
    }
    return suffix
  }

  /** A stage that throws is a bug of ours: the event is kept all the same, in one issue for all such. */
  function groupingOf(occurrence: Occurrence): Grouping {
    try {
      return deps.group(deps.symbolicate(occurrence))
    } catch (error) {
      deps.bug(error)
      return UNGROUPED
    }
  }

  function prepareRow(occurrence: Occurrence): PreparedRow {
    const { appId, id, protocol, timestampMs } = occurrence
    const suffix = suffixOf(groupingOf(occurrence))
    return { appId, id, protocol, month: monthOf(timestampMs), suffix }
  }

  return {
    prepare(batch) {
      const startedAtMs = deps.nowMs()
      const rows =
        batch.occurrences?.map(prepareRow) ??
        batch.ends.map((_, i) =>
          prepareRow(deps.decode(batch.format, batch.bytes, batch.ends[i - 1] ?? 0)),
        )
      deps.stage('group', deps.nowMs() - startedAtMs, rows.length)
      // The objects have done their work: from here on the bytes stand for them.
      return { batch: { ...batch, occurrences: undefined }, rows }
    },

    async judge(window, signal) {
      const rows = window.flatMap((prepared) => prepared.rows)
      const startedAtMs = deps.nowMs()
      // What this process saw lately needs no question.
      const asked = rows.filter(({ appId, id }) => !deps.recent.has(appId, id))
      const known = asked.length === 0 ? new Set<string>() : await deps.knownIds(asked, signal)
      deps.stage('known', deps.nowMs() - startedAtMs, rows.length)
      return rows.map((row) => {
        const isNew = deps.recent.add(row.appId, row.id) || forgiven.delete(idKey(row))
        return isNew && !(known.size > 0 && known.has(idKey(row))) ? row.suffix : 'duplicate'
      })
    },

    blocks: (window, fates) => makeBlocks(window, fates, deps.digest),

    remember(rows) {
      for (const { appId, id } of rows) deps.recent.add(appId, id)
    },

    async send(block, signal) {
      const startedAtMs = deps.nowMs()
      const refused = await deliverRows(block, deps, signal)
      deps.stage('insert', deps.nowMs() - startedAtMs, block.rows.length)
      return refused
    },

    count(window, fates, refused) {
      const ends = new Map<string, number>()
      const add = (protocol: string, end: string, by: number) =>
        ends.set(`${protocol} ${end}`, (ends.get(`${protocol} ${end}`) ?? 0) + by)
      let at = 0
      for (const { rows } of window) {
        for (const { protocol } of rows) {
          const fate = fates[at++]
          add(protocol, typeof fate === 'string' ? fate : 'stored', 1)
        }
      }
      for (const { row } of refused) {
        add(row.protocol, 'stored', -1)
        add(row.protocol, 'undeliverable', 1)
      }
      for (const [name, count] of ends) {
        const [protocol = '', end = ''] = name.split(' ')
        deps.outcome(protocol, outcomeOf(end), count)
      }
    },

    forgive: (row) => forgiven.add(idKey(row)),
    decode: deps.decode,
    encode: deps.encode,
    bug: deps.bug,
    say: deps.say,
    nowMs: deps.nowMs,
  }
}

function outcomeOf(end: string): Outcome {
  if (end === 'stored' || end === 'undeliverable') return { kind: end }
  return { kind: 'dropped', reason: end === 'expired' ? 'expired' : 'duplicate' }
}

/** One block per format and month, rows in the order they came. */
function makeBlocks(
  window: readonly Prepared[],
  fates: readonly Fate[],
  digest: DeliveryDeps['digest'],
): readonly Block[] {
  const groups = new Map<string, { format: number; rows: BlockRow[] }>()
  let at = 0
  for (const { batch, rows } of window) {
    for (const [i, { appId, id, protocol, month }] of rows.entries()) {
      const suffix = fates[at++]
      if (suffix === undefined || typeof suffix === 'string') continue
      const name = `${batch.format} ${month}`
      const group = groups.get(name) ?? { format: batch.format, rows: [] }
      groups.set(name, group)
      const start = batch.ends[i - 1] ?? 0
      const end = batch.ends[i] ?? start
      group.rows.push({ appId, id, protocol, bytes: batch.bytes, start, end, suffix })
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

function monthOf(timestampMs: number): number {
  if (timestampMs >= monthStartMs && timestampMs < monthEndMs) return month
  const date = new Date(timestampMs)
  const [year, index] = [date.getUTCFullYear(), date.getUTCMonth()]
  monthStartMs = Date.UTC(year, index)
  monthEndMs = Date.UTC(year, index + 1)
  month = year * 100 + index + 1
  return month
}

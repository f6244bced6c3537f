import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Delivery } from '../../pipeline/delivery.ts'
import type { Batch, Parcel } from '../../pipeline/spool.ts'
import type { Damage } from './damage.ts'
import type { Disk } from './disk.ts'
import { SEGMENT_HEADER_BYTES } from './frame.ts'
import { openSegment, type Segment } from './recover.ts'
import { createRing } from './ring.ts'
import type { Frontier } from './seals.ts'
import { readFrames, type Position } from './segment.ts'
import type { Written } from './writer.ts'

/** A stretch of the spool. */
export interface Window {
  readonly from: Frontier
  readonly to: Frontier
  readonly parcels: readonly Parcel[]
  readonly rows: number
  /** How far the ring is taken by it. */
  readonly mark: number
}

interface SourceDeps {
  readonly disk: Disk
  readonly delivery: Pick<Delivery, 'identify'>
  readonly damage: Damage
  readonly rowsMax: number
  readonly bytesMax: number
  /** Memory for rows from receipt, or from reading, to delivery. */
  readonly memoryBytesMax: number
  /** Readable segments, oldest first; the writer's current one is the last. */
  readonly segments: () => readonly Segment[]
}

/** Hands out the rows of the spool in order: from memory where they still are, else from disk. */
export interface Source {
  /** Frames that became durable just now, in order. */
  readonly offer: (frames: readonly Written[]) => void
  /** Goes to a place; what was handed out before must not be used any more. */
  readonly seek: (to: Frontier) => void
  readonly cursor: () => Frontier
  /**
   * What stands between the cursor and `until` or the end, but no more than a window may hold. No
   * rows when there are none, or when there is no memory until a window is released.
   */
  readonly take: (until?: Position) => Promise<Window>
  /**
   * Tells rows as missing that should stand before `end`, where everything before it was read and
   * they were not there: frames that were damaged after they had been written. False where there
   * are none.
   */
  readonly missed: (end: Frontier) => Promise<boolean>
  /** The window is delivered, and so are all before it: their memory is free. */
  readonly release: (window: Window) => void
}

/** Puts a parcel into a window: what it is, where the next one begins, how far the ring is taken. */
type Add = (parcel: Parcel, next: Frontier, mark: number) => void

/** One slice of work before others get a turn. */
const SLICE_MS = 4
/** Frames beyond this share of the ring get memory of their own: rare giants. */
const RING_SHARE_MAX = 1 / 4

/** See {@link Source}. */
export function createSource(deps: SourceDeps): Source {
  const { delivery } = deps
  const ring = createRing(deps.memoryBytesMax)
  /** The frames right behind the cursor, as far as they are in memory, and how far the ring is taken by each. */
  let queue: { readonly frame: Written; readonly mark: number }[] = []
  let cursor: Frontier = { segment: 0, offset: 0, ordinal: 0 }

  /** The batch in memory that is ours; undefined when there is no room now and it can wait. */
  function kept(batch: Batch, mayWait: boolean): Batch | undefined {
    const isGiant = batch.bytes.length > deps.memoryBytesMax * RING_SHARE_MAX
    const bytes = isGiant ? undefined : ring.keep(batch.bytes)
    if (bytes === undefined && mayWait && !isGiant) return undefined
    return { ...batch, bytes: bytes ?? new Uint8Array(batch.bytes) }
  }

  function offer(frames: readonly Written[]): void {
    for (const frame of frames) {
      const last = queue.at(-1)
      // Only without a gap: what is skipped once is read from disk, and all behind it until that has caught up.
      if (!samePlace(frame, last === undefined ? cursor : endOf(last.frame))) return
      // A giant too: with memory of its own, any number of them could wait here.
      const bytes = ring.keep(frame.parcel.batch.bytes)
      if (bytes === undefined) return
      const parcel = { batch: { ...frame.parcel.batch, bytes }, rows: frame.parcel.rows }
      queue.push({ frame: { ...frame, parcel }, mark: ring.mark() })
    }
  }

  async function take(until?: Position): Promise<Window> {
    const from = cursor
    const parcels: Parcel[] = []
    let [rows, bytes] = [0, 0]
    const full = () => until === undefined && (rows >= deps.rowsMax || bytes >= deps.bytesMax)
    let mark = 0
    const add: Add = (one, next, ringMark) => {
      mark = ringMark
      parcels.push(one)
      rows += one.rows.length
      bytes += one.batch.bytes.length
      cursor = next
    }
    while (!full() && !isReached(until)) {
      const head = queue.shift()
      if (head !== undefined) add(head.frame.parcel, endOf(head.frame), head.mark)
      else if (!(await readBack(until, add, full))) break
    }
    return { from, to: cursor, parcels, rows, mark }
  }

  function isReached(until: Position | undefined): boolean {
    if (until === undefined) return false
    if (cursor.segment !== until.segment) return cursor.segment > until.segment
    return cursor.offset >= until.offset
  }

  /** Reads from disk up to `stop`, the end of the segment or a full window. False when it can go no further. */
  async function readBack(
    stop: Position | undefined,
    add: Add,
    full: () => boolean,
  ): Promise<boolean> {
    const segment = deps.segments().find(({ number }) => number >= cursor.segment)
    if (segment === undefined) return false
    const { number } = segment
    if (number > cursor.segment || cursor.offset < SEGMENT_HEADER_BYTES) {
      await expectOrdinal(segment.ordinal)
      cursor = { ...cursor, segment: number, offset: SEGMENT_HEADER_BYTES }
    }
    const limit = stop?.segment === number ? stop.offset : segment.bytes
    if (cursor.offset < limit) {
      // A sealed window has to be whole, whatever memory it takes.
      return readStretch({ number, limit, mayWait: stop === undefined }, add, full)
    }
    if (stop?.segment === number) return true
    const next = deps.segments().find((other) => other.number > number)
    if (next === undefined) return false
    await expectOrdinal(next.ordinal)
    cursor = { ...cursor, segment: next.number, offset: SEGMENT_HEADER_BYTES }
    return true
  }

  /** False when the memory is full. */
  async function readStretch(
    { number, limit, mayWait }: { number: number; limit: number; mayWait: boolean },
    add: Add,
    full: () => boolean,
  ): Promise<boolean> {
    const file = await openSegment(deps.disk, number)
    try {
      let sliceEnd = performance.now() + SLICE_MS
      for await (const part of readFrames(file, number, cursor.offset, limit)) {
        if (part.kind === 'damage') {
          await deps.damage.keep(file, number, part)
          cursor = { ...cursor, offset: part.end }
          continue
        }
        await expectOrdinal(part.ordinal)
        const batch = kept(part.batch, mayWait)
        if (batch === undefined) return false
        add(
          { batch, rows: delivery.identify(batch) },
          { segment: number, offset: part.end, ordinal: part.ordinal + batch.ends.length },
          ring.mark(),
        )
        if (full()) return true
        if (performance.now() > sliceEnd) {
          await nextTurn()
          sliceEnd = performance.now() + SLICE_MS
        }
      }
      return true
    } finally {
      await file.close()
    }
  }

  /** Rows are numbered over the life of the folder, so a gap is the number of rows that are missing. */
  async function expectOrdinal(ordinal: number): Promise<void> {
    if (ordinal <= cursor.ordinal) return
    await deps.damage.missing(cursor.ordinal, ordinal - cursor.ordinal)
    cursor = { ...cursor, ordinal }
  }

  return {
    offer,
    take,
    seek(to) {
      cursor = to
      queue = []
    },
    cursor: () => cursor,
    async missed(end) {
      if (!isReached(end) || end.ordinal <= cursor.ordinal) return false
      await expectOrdinal(end.ordinal)
      return true
    },
    release: ({ mark }) => ring.freeUpTo(mark),
  }
}

function samePlace(a: Position, b: Position): boolean {
  return a.segment === b.segment && a.offset === b.offset
}

function endOf({ segment, end, ordinal, parcel }: Written): Frontier {
  return { segment, offset: end, ordinal: ordinal + parcel.rows.length }
}

import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Delivery } from '../../pipeline/delivery.ts'
import type { Parcel } from '../../pipeline/spool.ts'
import type { Damage } from './damage.ts'
import type { Disk } from './disk.ts'
import { SEGMENT_HEADER_BYTES } from './frame.ts'
import { openSegment, type Segment } from './recover.ts'
import type { Frontier } from './seals.ts'
import { readFrames, type Position } from './segment.ts'
import type { Written } from './writer.ts'

/** A stretch of the spool. */
export interface Window {
  readonly from: Frontier
  readonly to: Frontier
  readonly parcels: readonly Parcel[]
  readonly rows: number
  readonly bytes: number
}

interface SourceDeps {
  readonly disk: Disk
  readonly delivery: Pick<Delivery, 'identify'>
  readonly damage: Damage
  readonly rowsMax: number
  readonly bytesMax: number
  /** Bytes of rows kept in memory from receipt to delivery; the rest is read back. */
  readonly memoryBytesMax: number
  /** Readable segments, oldest first; the writer's current one is the last. */
  readonly segments: () => readonly Segment[]
}

/** Hands out the rows of the spool in order: from memory where they still are, else from disk. */
export interface Source {
  /** Frames that became durable just now, in order. */
  readonly offer: (frames: readonly Written[]) => void
  readonly seek: (to: Frontier) => void
  readonly cursor: () => Frontier
  /** What stands between the cursor and `until` or the end, but no more than a window may hold. */
  readonly take: (until?: Position) => Promise<Window>
  /** The window is delivered: its memory is free. */
  readonly release: (window: Window) => void
}

/** One slice of work before others get a turn. */
const SLICE_MS = 4

/** See {@link Source}. */
export function createSource(deps: SourceDeps): Source {
  const { delivery } = deps
  /** Frames still in memory, in order. Others may stand before, between and behind them, on disk. */
  const queue: Written[] = []
  let memoryBytes = 0
  let cursor: Frontier = { segment: 0, offset: 0, ordinal: 0 }

  function offer(frames: readonly Written[]): void {
    for (const frame of frames) {
      const bytes = frame.parcel.batch.bytes.length
      if (memoryBytes + bytes > deps.memoryBytesMax) continue // It is on disk: read back when its turn comes.
      memoryBytes += bytes
      queue.push(frame)
    }
  }

  async function take(until?: Position): Promise<Window> {
    const from = cursor
    const parcels: Parcel[] = []
    let [rows, bytes] = [0, 0]
    const full = () => until === undefined && (rows >= deps.rowsMax || bytes >= deps.bytesMax)
    const add = (one: Parcel, next: Frontier) => {
      parcels.push(one)
      rows += one.rows.length
      bytes += one.batch.bytes.length
      cursor = next
    }
    let sliceEnd = performance.now() + SLICE_MS
    while (!full() && !isReached(until)) {
      const head = queue[0]
      if (head !== undefined && samePlace(head, cursor)) {
        queue.shift()
        add(head.parcel, endOf(head))
      } else if (!(await readBack(head ?? until, add, full))) {
        break
      }
      if (performance.now() > sliceEnd) {
        await nextTurn()
        sliceEnd = performance.now() + SLICE_MS
      }
    }
    return { from, to: cursor, parcels, rows, bytes }
  }

  function isReached(until: Position | undefined): boolean {
    if (until === undefined) return false
    if (cursor.segment !== until.segment) return cursor.segment > until.segment
    return cursor.offset >= until.offset
  }

  /** Reads from disk up to `stop`, the end of the segment or a full window. False at the end of all. */
  async function readBack(
    stop: Position | undefined,
    add: (parcel: Parcel, next: Frontier) => void,
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
      await readStretch(number, limit, add, full)
      return true
    }
    if (stop?.segment === number) return true
    const next = deps.segments().find((other) => other.number > number)
    if (next === undefined) return false
    await expectOrdinal(next.ordinal)
    cursor = { ...cursor, segment: next.number, offset: SEGMENT_HEADER_BYTES }
    return true
  }

  async function readStretch(
    number: number,
    limit: number,
    add: (parcel: Parcel, next: Frontier) => void,
    full: () => boolean,
  ): Promise<void> {
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
        memoryBytes += part.batch.bytes.length
        add(
          { batch: part.batch, rows: delivery.identify(part.batch) },
          {
            segment: number,
            offset: part.end,
            ordinal: part.ordinal + part.batch.ends.length,
          },
        )
        if (full()) return
        if (performance.now() > sliceEnd) {
          await nextTurn()
          sliceEnd = performance.now() + SLICE_MS
        }
      }
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
    seek: (to) => {
      cursor = to
    },
    cursor: () => cursor,
    release: ({ bytes }) => {
      memoryBytes -= bytes
    },
  }
}

function samePlace(a: Position, b: Position): boolean {
  return a.segment === b.segment && a.offset === b.offset
}

function endOf({ segment, end, ordinal, parcel }: Written): Frontier {
  return { segment, offset: end, ordinal: ordinal + parcel.rows.length }
}

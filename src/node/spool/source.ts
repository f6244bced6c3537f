import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Delivery, ReadRows } from '../../pipeline/delivery.ts'
import type { Damage } from './damage.ts'
import type { Disk, DiskFile } from './disk.ts'
import { SEGMENT_HEADER_BYTES } from './frame.ts'
import { pack, unpack } from './pack.ts'
import { isGone, readRows, type StoredParcel } from './read.ts'
import { openSegment, type Segment } from './recover.ts'
import type { Frontier } from './seals.ts'
import { readFrames, type Position } from './segment.ts'
import type { Written } from './writer.ts'

/** A stretch of the spool: what its rows are, and where their bytes lie. */
export interface Window {
  readonly from: Frontier
  readonly to: Frontier
  readonly parcels: readonly StoredParcel[]
  readonly rows: number
}

interface SourceDeps {
  readonly disk: Disk
  readonly delivery: Pick<Delivery, 'identify'>
  readonly damage: Damage
  readonly rowsMax: number
  readonly bytesMax: number
  /** Readable segments, oldest first; the writer's current one is the last. */
  readonly segments: () => readonly Segment[]
  /** The file of a segment is gone. */
  readonly lost: (segment: number) => void
}

/** Hands out the rows of the spool in order: what they are from memory, where that still knows it. */
export interface Source {
  /** Frames that became durable just now, in order. */
  readonly offer: (frames: readonly Written[]) => void
  /** Goes to a place; what was handed out before must not be used any more. */
  readonly seek: (to: Frontier) => void
  readonly cursor: () => Frontier
  /**
   * What stands between the cursor and the end, but no more than a window may hold; or all up to `until`,
   * of which the rows that are not there any more are told as missing. No rows when there are none.
   */
  readonly take: (until?: Frontier) => Promise<Window>
  /**
   * Tells rows as missing that should stand before `end`, where everything before it was read and
   * they were not there: frames that were damaged after they had been written. False where there
   * are none.
   */
  readonly missed: (end: Frontier) => Promise<boolean>
  /**
   * Reads the bytes of a window that is sent as so many blocks: from disk each time they are sent, or,
   * where many blocks would each read all of it, from memory.
   */
  readonly reader: (window: Window, blocks: number) => Promise<ReadRows>
}

/** A frame that is remembered from when it was written. */
interface Known extends Pick<StoredParcel, 'batch' | 'place' | 'trace'> {
  readonly rows: () => StoredParcel['rows']
  readonly next: Frontier
  /** Of memory, roughly. */
  readonly bytes: number
}

/** Puts a parcel into a window, and says where the next one begins. */
type Add = (parcel: StoredParcel, next: Frontier) => void

/** One slice of work before others get a turn. */
const SLICE_MS = 4
/** Memory for what rows are that wait: of 140,000 in batches of 100, while the store is slower than the clients. */
const KNOWN_BYTES_MAX = 8 * 1024 * 1024
/** Roughly, of one frame and of each row as an object or packed. */
const FRAME_KNOWN_BYTES = 400
const ROW_KNOWN_BYTES = 200
const ROW_PACKED_BYTES = 40
/** A window of events from all over the past is one block a month: each would read the whole window. */
const BLOCKS_READ_MAX = 6

/** See {@link Source}. */
export function createSource(deps: SourceDeps): Source {
  const { delivery } = deps
  /** The frames right behind the cursor, as far as they are remembered. */
  let queue: Known[] = []
  let queuedRows = 0
  let queuedBytes = 0
  let cursor: Frontier = { segment: 0, offset: 0, ordinal: 0 }

  function offer(frames: readonly Written[]): void {
    for (const { segment, offset, end, ordinal, parcel } of frames) {
      const behind = queue.at(-1)?.next ?? cursor
      // Only without a gap: what is skipped once is read from disk, and all behind it until that has caught up.
      // Told by the rows' numbers, since the first frame of a segment stands at another place.
      if (behind.ordinal !== ordinal) return
      const { batch, rows, trace } = parcel
      // What is taken soon stays as it is; what has to wait is packed.
      const packed = queuedRows < deps.rowsMax ? undefined : pack(rows)
      const rowBytes = packed === undefined ? ROW_KNOWN_BYTES : ROW_PACKED_BYTES
      const bytes = FRAME_KNOWN_BYTES + rows.length * rowBytes
      if (queuedBytes + bytes > KNOWN_BYTES_MAX) return
      queuedRows += rows.length
      queuedBytes += bytes
      queue.push({
        // Without the bytes, which are used again.
        batch: { format: batch.format, ends: batch.ends },
        rows: packed === undefined ? () => rows : () => unpack(packed),
        trace,
        place: { segment, offset, end },
        next: { segment, offset: end, ordinal: ordinal + rows.length },
        bytes,
      })
    }
  }

  async function take(until?: Frontier): Promise<Window> {
    const from = cursor
    const parcels: StoredParcel[] = []
    let [rows, bytes] = [0, 0]
    const full = () => until === undefined && (rows >= deps.rowsMax || bytes >= deps.bytesMax)
    const add: Add = (one, next) => {
      parcels.push(one)
      rows += one.rows.length
      bytes += one.place.end - one.place.offset
      cursor = next
    }
    do takeKnown(add, () => full() || isReached(until))
    while (!full() && !isReached(until) && (await readBack(until, add, full)))
    // Whoever goes on from there with a place of their own would step over them.
    if (until !== undefined) await expectOrdinal(until.ordinal)
    return { from, to: cursor, parcels, rows }
  }

  /**
   * Takes what is remembered right behind the cursor. Asked before each look at the disk: while a file
   * was read to its end and closed, more may have come, and must not be read from there as well.
   */
  function takeKnown(add: Add, isEnough: () => boolean): void {
    let taken = 0
    for (; taken < queue.length && !isEnough(); taken += 1) {
      const head = queue[taken]
      if (head === undefined) break
      const { batch, place, trace } = head
      const parcel = { batch, place, trace, rows: head.rows() }
      queuedRows -= parcel.rows.length
      queuedBytes -= head.bytes
      add(parcel, head.next)
    }
    queue.splice(0, taken)
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
      await readStretch({ number, limit }, add, full)
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
    { number, limit }: { number: number; limit: number },
    add: Add,
    full: () => boolean,
  ): Promise<void> {
    const file = await opened(number)
    if (file === undefined) return
    try {
      let sliceEnd = performance.now() + SLICE_MS
      for await (const part of readFrames(file, number, cursor.offset, limit)) {
        if (part.kind === 'damage') {
          await deps.damage.keep(file, number, part)
          cursor = { ...cursor, offset: part.end }
          continue
        }
        await expectOrdinal(part.ordinal)
        const { format, ends } = part.batch
        add(
          {
            batch: { format, ends },
            rows: delivery.identify(part.batch),
            place: { segment: number, offset: part.at, end: part.end },
          },
          { segment: number, offset: part.end, ordinal: part.ordinal + ends.length },
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

  /** Undefined where the file is gone: its rows are told as missing where the next ones begin. */
  async function opened(number: number): Promise<DiskFile | undefined> {
    try {
      return await openSegment(deps.disk, number)
    } catch (error) {
      if (!isGone(error)) throw error
      deps.lost(number)
      return undefined
    }
  }

  async function held(window: Window): Promise<ReadRows> {
    const all = window.parcels.flatMap(({ batch, rows }, parcel) =>
      rows.map((row, i) => ({
        ...row,
        parcel,
        start: batch.ends[i - 1] ?? 0,
        end: batch.ends[i] ?? 0,
      })),
    )
    let at = 0
    const starts = window.parcels.map(({ batch }) => {
      const start = at
      at += batch.ends.at(-1) ?? 0
      return start
    })
    const whole = Buffer.allocUnsafeSlow(at)
    at = 0
    for await (const piece of readRows(deps.disk, window.parcels, all)) {
      whole.set(piece, at)
      at += piece.length
    }
    return (rows) =>
      rows.map(({ parcel, start, end }) => {
        const base = starts[parcel] ?? 0
        return whole.subarray(base + start, base + end)
      })
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
      queuedRows = 0
      queuedBytes = 0
    },
    cursor: () => cursor,
    async missed(end) {
      if (!isReached(end) || end.ordinal <= cursor.ordinal) return false
      await expectOrdinal(end.ordinal)
      return true
    },
    reader: async (window, blocks) =>
      blocks > BLOCKS_READ_MAX ? held(window) : (rows) => readRows(deps.disk, window.parcels, rows),
  }
}

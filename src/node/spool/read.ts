import type { BlockRow } from '../../pipeline/delivery.ts'
import { UnreadableRows, type ParcelHead } from '../../pipeline/spool.ts'
import { letGo } from '../heap.ts'
import type { Disk, DiskFile } from './disk.ts'
import { decodeFrameHeader, FRAME_HEADER_BYTES, rowBytes } from './frame.ts'
import { segmentName, type Position } from './segment.ts'

/** A parcel whose bytes lie in a segment's file. */
export interface StoredParcel extends ParcelHead {
  readonly place: Position & { readonly end: number }
}

/** Read at once: each read waits its turn among the requests, so less makes delivery slower under load. */
const STRETCH_BYTES = 1024 * 1024

/** Frames that follow one another in one file, with the rows that are wanted of each. */
interface Stretch {
  readonly segment: number
  readonly from: number
  to: number
  readonly frames: { readonly place: StoredParcel['place']; readonly rows: BlockRow[] }[]
}

/**
 * The bytes of rows of `parcels`, in order. Each frame is checked anew: what a disk has changed since it
 * was written must not be stored.
 * @throws UnreadableRows where a frame is not what it was, or its file is gone.
 */
export async function* readRows(
  disk: Disk,
  parcels: readonly StoredParcel[],
  rows: readonly BlockRow[],
): AsyncGenerator<Uint8Array, undefined> {
  let open: { readonly segment: number; readonly file: DiskFile } | undefined
  try {
    for (const stretch of stretchesOf(parcels, rows)) {
      const { segment, from, to } = stretch
      if (open?.segment !== segment) {
        await open?.file.close()
        open = undefined
        open = { segment, file: await openAgain(disk, segment) }
      }
      // Memory of its own: the socket may hold it longer than the next read waits.
      yield rowsIn(stretch, await open.file.read(from, to - from))
      letGo(to - from)
    }
  } finally {
    await open?.file.close()
  }
  return undefined
}

async function openAgain(disk: Disk, segment: number): Promise<DiskFile> {
  try {
    return await disk.open(segmentName(segment))
  } catch (cause) {
    if (!isGone(cause)) throw cause
    throw new UnreadableRows(`The file of segment ${segment} is gone.`, { cause })
  }
}

/** Whether an error says that there is no such file. */
export function isGone(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}

function* stretchesOf(
  parcels: readonly StoredParcel[],
  rows: readonly BlockRow[],
): Generator<Stretch> {
  let stretch: Stretch | undefined
  let last: { readonly parcel: number; readonly rows: BlockRow[] } | undefined
  for (const row of rows) {
    if (last?.parcel === row.parcel) {
      last.rows.push(row)
      continue
    }
    const place = parcels[row.parcel]?.place
    if (place === undefined) throw new RangeError('A row of another window.')
    last = { parcel: row.parcel, rows: [row] }
    const follows = stretch?.segment === place.segment && place.offset >= stretch.to
    if (stretch === undefined || !follows || place.end - stretch.from > STRETCH_BYTES) {
      if (stretch !== undefined) yield stretch
      stretch = { segment: place.segment, from: place.offset, to: place.end, frames: [] }
    }
    stretch.to = place.end
    stretch.frames.push({ place, rows: last.rows })
  }
  if (stretch !== undefined) yield stretch
}

/** The wanted rows of a stretch, moved together in the memory they were read to. */
function rowsIn({ segment, from, frames }: Stretch, chunk: Buffer): Uint8Array {
  let filled = 0
  for (const { place, rows } of frames) {
    const header = decodeFrameHeader(chunk, place.offset - from, segment)
    const start = place.offset - from + FRAME_HEADER_BYTES
    const isWhole = header !== undefined && start + header.payloadBytes === place.end - from
    const bytes = isWhole ? rowBytes(header, chunk.subarray(start, place.end - from)) : undefined
    if (bytes === undefined) {
      throw new UnreadableRows(`A frame of segment ${segment} at ${place.offset} is damaged.`)
    }
    const base = bytes.byteOffset - chunk.byteOffset
    let [runStart, runEnd] = [0, 0]
    for (const row of rows) {
      if (row.start !== runEnd) {
        filled = moved(chunk, filled, base + runStart, base + runEnd)
        runStart = row.start
      }
      runEnd = row.end
    }
    filled = moved(chunk, filled, base + runStart, base + runEnd)
  }
  return chunk.subarray(0, filled)
}

/** Copies down within the memory; the rows behind are read from their own place, which is never before. */
function moved(chunk: Buffer, filled: number, start: number, end: number): number {
  if (end > start) chunk.copyWithin(filled, start, end)
  return filled + end - start
}

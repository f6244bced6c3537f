import type { Batch } from '../../pipeline/spool.ts'
import type { DiskFile } from './disk.ts'
import { decodeFrameHeader, decodePayload, FRAME_HEADER_BYTES, nextMarker } from './frame.ts'

/** A place in the spool. */
export interface Position {
  readonly segment: number
  /** In bytes from the start of the segment's file. */
  readonly offset: number
}

/** A frame that could be read. */
export interface ReadFrame {
  readonly kind: 'frame'
  readonly at: number
  readonly end: number
  readonly ordinal: number
  readonly batch: Batch
}

/** Bytes between two frames, or behind the last, that are none. */
export interface ReadDamage {
  readonly kind: 'damage'
  readonly at: number
  readonly end: number
  readonly reason: string
}

const NAME = /^segment-(\d{10})\.log$/
const READ_BYTES = 1024 * 1024

/** The file name of a segment. */
export function segmentName(segment: number): string {
  return `segment-${String(segment).padStart(10, '0')}.log`
}

/** The number in a segment's file name; undefined for other names. */
export function segmentNumber(name: string): number | undefined {
  const digits = NAME.exec(name)?.[1]
  return digits === undefined ? undefined : Number(digits)
}

/**
 * Reads the frames of a segment from `from` up to `to`. Never skips a byte without saying so. What is
 * handed out stands in memory that is used again: it holds until the next one is asked for.
 */
export async function* readFrames(
  file: DiskFile,
  segment: number,
  from: number,
  to: number,
): AsyncGenerator<ReadFrame | ReadDamage> {
  const memory = Buffer.allocUnsafe(Math.min(READ_BYTES, Math.max(0, to - from)))
  let at = from
  let chunk = await file.read(at, Math.min(READ_BYTES, to - at), memory)
  let chunkAt = at
  while (at < to) {
    if (at - chunkAt + FRAME_HEADER_BYTES > chunk.length) {
      chunk = await file.read(at, Math.min(READ_BYTES, to - at), memory)
      chunkAt = at
    }
    const header = decodeFrameHeader(chunk, at - chunkAt, segment)
    const end = at + FRAME_HEADER_BYTES + (header?.payloadBytes ?? 0)
    if (header !== undefined && end <= to) {
      if (end - chunkAt > chunk.length) {
        chunk = await file.read(at, Math.min(Math.max(READ_BYTES, end - at), to - at), memory)
        chunkAt = at
      }
      const payload = chunk.subarray(at - chunkAt + FRAME_HEADER_BYTES, end - chunkAt)
      const batch = decodePayload(header, payload)
      if (batch !== undefined) {
        yield { kind: 'frame', at, end, ordinal: header.ordinal, batch }
        at = end
        continue
      }
      yield { kind: 'damage', at, end, reason: 'a frame whose checksum does not fit' }
      at = end
      continue
    }
    const next = await findFrame(file, segment, at + 1, to)
    const reason = header === undefined ? 'bytes that are no frame' : 'a frame that is cut off'
    yield { kind: 'damage', at, end: next, reason }
    at = next
  }
}

/** Where the next whole frame header stands at or after `from`; `to` where there is none. */
async function findFrame(
  file: DiskFile,
  segment: number,
  from: number,
  to: number,
): Promise<number> {
  for (let at = from; at < to;) {
    const wanted = Math.min(READ_BYTES, to - at)
    const chunk = await file.read(at, wanted)
    for (let i = nextMarker(chunk, 0); i >= 0; i = nextMarker(chunk, i + 1)) {
      if (i + FRAME_HEADER_BYTES > chunk.length) break
      if (decodeFrameHeader(chunk, i, segment) !== undefined) return at + i
    }
    // Shorter than asked for: the file ends before it should, and nothing more can be found.
    if (at + chunk.length >= to || chunk.length < wanted) return to
    at += chunk.length - FRAME_HEADER_BYTES
  }
  return to
}

import type { Damage } from './damage.ts'
import type { Disk, DiskFile } from './disk.ts'
import type { Frontier } from './seals.ts'
import {
  decodeSegmentHeader,
  SEGMENT_HEADER_BYTES,
  SEGMENT_VERSION,
  type SegmentHeader,
} from './frame.ts'
import { readFrames, segmentName, segmentNumber } from './segment.ts'
import { decodeEnd, type EndNote } from './writer.ts'

/** A segment file that can be read. */
export interface Segment {
  readonly number: number
  /** Where its frames end. */
  readonly bytes: number
  /** Of its first row. */
  readonly ordinal: number
  /** 0 where nobody knows. */
  readonly createdAtMs: number
}

/** Numbers are 32 bits in the files; whoever made a file with a higher one, it was not us. */
const NUMBER_MAX = 2 ** 32 - 2 ** 16

/** What an earlier process left. */
export interface Recovered {
  /** Oldest first. */
  readonly segments: readonly Segment[]
  /** The highest number in use, readable or not. */
  readonly lastNumber: number
  /** Behind the last row that can be read. */
  readonly readable: number
  /** Of the next row to be written. */
  readonly ordinal: number
}

/**
 * Looks at each segment file; cuts the torn tail of the newest one, which is the only place where a
 * crash can leave one. What cannot be read is set aside; segments of a newer version are left alone.
 */
export async function recover(
  disk: Disk,
  damage: Damage,
  delivered: Frontier | undefined,
  say: (level: 'error' | 'warn' | 'info', text: string, fields?: object) => void,
): Promise<Recovered> {
  const names = (await disk.list()).filter((name) => segmentNumber(name) !== undefined).sort()
  const segments: Segment[] = []
  // Numbers are never used again: what is delivered and gone had one too.
  let lastNumber = delivered?.segment ?? 0
  let ordinal = delivered?.ordinal ?? 0
  // Newest first: only the newest that can be read may have a torn tail.
  for (const name of names.reverse()) {
    const number = segmentNumber(name) ?? 0
    if (number <= NUMBER_MAX) lastNumber = Math.max(lastNumber, number)
    const file = await disk.open(name)
    try {
      const size = await file.size()
      const written = decodeSegmentHeader(await file.read(0, SEGMENT_HEADER_BYTES))
      const header = written ?? (await headerOf(file, number, size, segments[0]))
      if (header !== undefined && header.version > SEGMENT_VERSION) {
        say('error', 'a segment of the spool was written by a newer version: it waits for that', {
          file: name,
        })
        continue
      }
      if (header?.segment !== number) {
        // A crash between making a file and writing its header leaves it without one.
        if (size < SEGMENT_HEADER_BYTES && segments.length === 0) await disk.remove(name)
        else await damage.setAside(name, 'a file without the header of a segment')
        continue
      }
      if (written === undefined) {
        const end = SEGMENT_HEADER_BYTES
        await damage.keep(file, number, { kind: 'damage', at: 0, end, reason: NO_HEADER })
      }
      const isNewest = segments.length === 0
      const end = isNewest ? await cutTail(disk, damage, file, number, size) : undefined
      segments.unshift({
        number,
        bytes: end?.bytes ?? size,
        ordinal: header.ordinal,
        createdAtMs: header.createdAtMs,
      })
      ordinal = Math.max(ordinal, end?.ordinal ?? 0, header.ordinal)
    } finally {
      await file.close()
    }
  }
  const note = await readEnd(disk)
  if (note === undefined) return { segments, lastNumber, readable: ordinal, ordinal }
  // The process before had said yes to more than is there: that is lost, and is told.
  if (note.ordinal > ordinal) {
    await damage.missing(ordinal, note.ordinal - ordinal)
  }
  return {
    segments,
    lastNumber: Math.max(lastNumber, note.segment),
    readable: ordinal,
    ordinal: Math.max(ordinal, note.ordinal),
  }
}

const NO_HEADER = 'a segment without its header'

/** What a damaged header said, as far as the frames tell it too; undefined where there are none. */
async function headerOf(
  file: DiskFile,
  number: number,
  size: number,
  newer: Segment | undefined,
): Promise<SegmentHeader | undefined> {
  for await (const part of readFrames(file, number, SEGMENT_HEADER_BYTES, size)) {
    if (part.kind === 'damage') continue
    const createdAtMs = newer?.createdAtMs ?? 0
    return { version: SEGMENT_VERSION, segment: number, ordinal: part.ordinal, createdAtMs }
  }
  return undefined
}

/** Finds the end of the last good frame and cuts what stands behind it, keeping a copy. */
async function cutTail(
  disk: Disk,
  damage: Damage,
  file: DiskFile,
  segment: number,
  size: number,
): Promise<{ bytes: number; ordinal: number }> {
  let good = SEGMENT_HEADER_BYTES
  let ordinal = 0
  for await (const part of readFrames(file, segment, SEGMENT_HEADER_BYTES, size)) {
    if (part.kind === 'damage') continue // Inside, it is told at delivery, which comes by here again.
    good = part.end
    ordinal = part.ordinal + part.batch.ends.length
  }
  if (good < size) {
    const reason = 'the end of the newest segment was not written whole'
    await damage.keep(file, segment, { kind: 'damage', at: good, end: size, reason })
    await file.truncate(good)
    await file.sync()
    await disk.syncFolder()
  }
  return { bytes: good, ordinal }
}

async function readEnd(disk: Disk): Promise<EndNote | undefined> {
  if (!(await disk.list()).includes('end')) return undefined
  const file = await disk.open('end')
  try {
    return decodeEnd(await file.read(0, 64))
  } finally {
    await file.close()
  }
}

/** Opens a segment to read it. */
export function openSegment(disk: Disk, number: number): Promise<DiskFile> {
  return disk.open(segmentName(number))
}

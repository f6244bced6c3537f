import { crc32 } from 'node:zlib'
import type { Batch } from '../../pipeline/spool.ts'

/**
 * Segment file: a header of 32 bytes, then frames. A frame is one batch:
 *
 *   0 marker u32 · 4 payload length u32 · 8 rows u32 · 12 ordinal u48 · 18 row format u16 ·
 *   20 segment u32 · 24 CRC-32 of the payload u32 · 28 CRC-32 of these 28 bytes u32 ·
 *   32 payload: the end of each row as u32, then the rows
 *
 * All little-endian. The ordinal counts rows over the life of the folder, so that a gap tells how
 * many are missing, whatever happened to the bytes between. The segment's number keeps a block of
 * an older file, which a file system may show after a crash, from passing as ours.
 */
export const FRAME_HEADER_BYTES = 32
/** See {@link FRAME_HEADER_BYTES}. */
export const SEGMENT_HEADER_BYTES = 32
/** Version of segment files; a reader leaves newer ones alone. */
export const SEGMENT_VERSION = 1

const MARKER = Buffer.from('EIf\u0001', 'latin1')
const MAGIC = Buffer.from('EISPOOL', 'latin1')

/** The start of a segment file. */
export interface SegmentHeader {
  readonly version: number
  readonly segment: number
  /** Of the first row in it. */
  readonly ordinal: number
  readonly createdAtMs: number
}

/** One frame's header. */
export interface FrameHeader {
  readonly payloadBytes: number
  readonly rows: number
  readonly ordinal: number
  readonly format: number
  readonly payloadCrc: number
}

/** The bytes of a segment's header. */
export function encodeSegmentHeader({
  segment,
  ordinal,
  createdAtMs,
}: Omit<SegmentHeader, 'version'>) {
  const header = Buffer.alloc(SEGMENT_HEADER_BYTES)
  MAGIC.copy(header)
  header.writeUInt8(SEGMENT_VERSION, 7)
  header.writeUInt32LE(segment, 8)
  header.writeUIntLE(ordinal, 12, 6)
  header.writeUIntLE(createdAtMs, 18, 6)
  header.writeUInt32LE(crc32(header.subarray(0, 28)), 28)
  return header
}

/** Undefined where the bytes are no header of ours; of a newer version only `version` means something. */
export function decodeSegmentHeader(header: Buffer): SegmentHeader | undefined {
  if (header.length < SEGMENT_HEADER_BYTES || !header.subarray(0, 7).equals(MAGIC)) return undefined
  if (header.readUInt32LE(28) !== crc32(header.subarray(0, 28))) return undefined
  return {
    version: header.readUInt8(7),
    segment: header.readUInt32LE(8),
    ordinal: header.readUIntLE(12, 6),
    createdAtMs: header.readUIntLE(18, 6),
  }
}

/** The frame of a batch, as pieces to be written one after another. */
export function encodeFrame(batch: Batch, segment: number, ordinal: number): readonly Uint8Array[] {
  const rows = batch.ends.length
  const head = Buffer.allocUnsafe(FRAME_HEADER_BYTES + 4 * rows)
  for (let i = 0; i < rows; i += 1) {
    head.writeUInt32LE(batch.ends[i] ?? 0, FRAME_HEADER_BYTES + 4 * i)
  }
  MARKER.copy(head)
  head.writeUInt32LE(4 * rows + batch.bytes.length, 4)
  head.writeUInt32LE(rows, 8)
  head.writeUIntLE(ordinal, 12, 6)
  head.writeUInt16LE(batch.format, 18)
  head.writeUInt32LE(segment, 20)
  head.writeUInt32LE(crc32(batch.bytes, crc32(head.subarray(FRAME_HEADER_BYTES))), 24)
  head.writeUInt32LE(crc32(head.subarray(0, 28)), 28)
  return [head, batch.bytes]
}

/** How many bytes the frame of a batch takes. */
export function frameBytes(batch: Batch): number {
  return FRAME_HEADER_BYTES + 4 * batch.ends.length + batch.bytes.length
}

/** The frame header at `at`; undefined where there is none that is whole and of this segment. */
export function decodeFrameHeader(
  bytes: Buffer,
  at: number,
  segment: number,
): FrameHeader | undefined {
  if (at + FRAME_HEADER_BYTES > bytes.length) return undefined
  const header = bytes.subarray(at, at + FRAME_HEADER_BYTES)
  if (!header.subarray(0, 4).equals(MARKER)) return undefined
  if (header.readUInt32LE(28) !== crc32(header.subarray(0, 28))) return undefined
  if (header.readUInt32LE(20) !== segment) return undefined
  return {
    payloadBytes: header.readUInt32LE(4),
    rows: header.readUInt32LE(8),
    ordinal: header.readUIntLE(12, 6),
    format: header.readUInt16LE(18),
    payloadCrc: header.readUInt32LE(24),
  }
}

/** The batch in a payload; undefined where its checksum does not fit. */
export function decodePayload(header: FrameHeader, payload: Buffer): Batch | undefined {
  const bytes = rowBytes(header, payload)
  if (bytes === undefined) return undefined
  const ends: number[] = []
  for (let i = 0; i < header.rows; i += 1) ends.push(payload.readUInt32LE(4 * i))
  return { format: header.format, bytes, ends }
}

/** The rows alone in a payload; undefined where its checksum does not fit. */
export function rowBytes(header: FrameHeader, payload: Buffer): Buffer | undefined {
  if (payload.length !== header.payloadBytes) return undefined
  return crc32(payload) === header.payloadCrc ? payload.subarray(4 * header.rows) : undefined
}

/** Where the next frame may begin at or after `from`; -1 where nothing looks like one. */
export function nextMarker(bytes: Buffer, from: number): number {
  return bytes.indexOf(MARKER, from)
}

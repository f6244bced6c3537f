import type { Parcel } from '../../pipeline/spool.ts'
import { Refusal } from '../../refusal.ts'
import type { Disk, DiskFile } from './disk.ts'
import { encodeFrame, encodeSegmentHeader, frameBytes, SEGMENT_HEADER_BYTES } from './frame.ts'
import { segmentName, type Position } from './segment.ts'

/** A frame that is durable. */
export interface Written extends Position {
  readonly end: number
  readonly ordinal: number
  readonly parcel: Parcel
}

interface WriterDeps {
  readonly disk: Disk
  readonly segmentBytes: number
  readonly nowMs: () => number
  /** The first segment to make, and the ordinal of its first row. */
  readonly next: { readonly segment: number; readonly ordinal: number }
  /** A segment was begun. */
  readonly opened: (segment: number, ordinal: number) => void
  /** Frames are durable, in order; called before their requests are answered. */
  readonly committed: (frames: readonly Written[]) => void
  /** So many committed rows are refused all the same: what the next process needs could not be noted. */
  readonly unanswered: (rows: number) => void
  readonly say: (level: 'error' | 'warn' | 'info', text: string, fields?: object) => void
}

/** The end of the spool where frames are added. */
export interface Writer {
  /** Resolves when the rows are durable. @throws Refusal `overloaded` when it cannot be. */
  readonly append: (parcel: Parcel) => Promise<void>
  /** Why the disk takes nothing now; undefined while it does. */
  readonly failure: () => string | undefined
  /** The end of what is durable. */
  readonly end: () => Position & { readonly ordinal: number }
  /** Tries to get over a failure: cuts what was half written and begins a new segment. */
  readonly repair: () => Promise<void>
  readonly close: () => Promise<void>
}

interface Waiting {
  readonly parcel: Parcel
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

const GROUP_BYTES_MAX = 8 * 1024 * 1024
/** After a full disk, so much of it must be free before we say yes again: else each yes is soon a no. */
const FREE_SHARE_MIN = 0.05
const FREE_BYTES_ENOUGH = 64 * 1024 * 1024

/**
 * Group commit: while one write is being synced, the next frames gather, and go out together.
 * After a write that failed the file is never written again; what it may have left is cut off
 * before anything else is accepted, so that a torn frame can only stand at the very end.
 */
export function openWriter(deps: WriterDeps): Writer {
  const { disk } = deps
  let { segment, ordinal } = deps.next
  let file: DiskFile | undefined
  let offset = 0
  let waiting: Waiting[] = []
  let busy: Promise<void> | undefined
  let failure: string | undefined
  /** A segment that may have a torn tail, and where its good part ends. */
  let torn: Position | undefined

  async function commit(): Promise<void> {
    while (waiting.length > 0) {
      const group = takeGroup()
      try {
        await write(group)
        for (const { resolve } of group) resolve()
      } catch (error) {
        fail(error)
        for (const { reject } of group.concat(waiting)) reject(refusal())
        waiting = []
      }
    }
  }

  function takeGroup(): Waiting[] {
    let bytes = 0
    let count = 0
    for (const { parcel } of waiting) {
      bytes += frameBytes(parcel.batch)
      if (count > 0 && bytes > GROUP_BYTES_MAX) break
      count += 1
    }
    return waiting.splice(0, count)
  }

  async function write(group: readonly Waiting[]): Promise<void> {
    if (file === undefined || offset >= deps.segmentBytes) await rotate()
    const target = file
    if (target === undefined) throw new Error('No segment is open.')
    const pieces: Uint8Array[] = []
    const frames: Written[] = []
    let [end, rows] = [offset, ordinal]
    for (const { parcel } of group) {
      const { batch } = parcel
      pieces.push(...encodeFrame(batch, segment, rows))
      const at = end
      end += frameBytes(batch)
      frames.push({ segment, offset: at, end, ordinal: rows, parcel })
      rows += batch.ends.length
    }
    torn = { segment, offset }
    await target.write(pieces, offset)
    torn = undefined
    offset = end
    ordinal = rows
    // First, because they are durable and will be delivered, whatever becomes of the note.
    deps.committed(frames)
    try {
      // Survives kill -9: tells the next process how far this one had said yes.
      disk.note('end', encodeEnd({ segment, offset, ordinal }))
    } catch (error) {
      deps.unanswered(frames.reduce((sum, { parcel }) => sum + parcel.rows.length, 0))
      throw error
    }
  }

  /** Begins the next segment. Its header and its name are durable before any frame is. */
  async function rotate(): Promise<void> {
    const old = file
    file = undefined
    await old?.close()
    // The number is used up even where this fails: the file may be there.
    segment += 1
    torn = { segment, offset: 0 }
    const fresh = await disk.create(segmentName(segment))
    const header = encodeSegmentHeader({ segment, ordinal, createdAtMs: deps.nowMs() })
    try {
      await fresh.write([header], 0)
      await disk.syncFolder()
    } catch (error) {
      await fresh.close()
      throw error
    }
    torn = undefined
    file = fresh
    offset = SEGMENT_HEADER_BYTES
    deps.opened(segment, ordinal)
  }

  function fail(error: unknown): void {
    if (failure !== undefined) return
    failure = reasonOf(error)
    deps.say('error', `the spool cannot write: ${failure}`, { error: String(error) })
  }

  function refusal(): Refusal {
    return new Refusal(
      'overloaded',
      `Events cannot be kept safe now: ${failure ?? 'the disk refused them'}. Send them again later.`,
      { retryAfterSeconds: 5 },
    )
  }

  return {
    append(parcel) {
      if (failure !== undefined) return Promise.reject(refusal())
      return new Promise((resolve, reject) => {
        waiting.push({ parcel, resolve, reject })
        busy ??= commit().finally(() => (busy = undefined))
      })
    },
    failure: () => failure,
    end: () => ({ segment, offset, ordinal }),

    async repair() {
      if (failure === undefined || busy !== undefined) return
      try {
        const { bytes, bytesTotal } = await disk.free()
        if (bytes < Math.min(FREE_BYTES_ENOUGH, bytesTotal * FREE_SHARE_MIN)) return
        await file?.close().catch(() => undefined) // It is given up whatever close says.
        file = undefined
        if (torn !== undefined) await cut(disk, torn)
        torn = undefined
        await rotate()
      } catch {
        return // The reason was told when it began; the next try may do better.
      }
      failure = undefined
      deps.say('info', 'the spool writes again')
    },

    async close() {
      await busy
      await file?.close()
      file = undefined
    },
  }
}

/** Cuts a segment to its good part; removes it where there is none. */
async function cut(disk: Disk, { segment, offset }: Position): Promise<void> {
  const name = segmentName(segment)
  if (offset < SEGMENT_HEADER_BYTES) {
    await disk.remove(name)
  } else {
    const file = await disk.open(name)
    try {
      await file.truncate(offset)
      await file.sync()
    } finally {
      await file.close()
    }
  }
  await disk.syncFolder()
}

function reasonOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  switch (code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return 'the disk is full'
    case 'EROFS':
      return 'the disk is read-only'
    case 'EACCES':
    case 'EPERM':
      return 'the spool folder may not be written to'
    case 'ENOENT':
      return 'the spool folder is gone'
    default:
      return 'the disk reports an error'
  }
}

/** How far the spool had said yes, in the `end` file. */
export interface EndNote extends Position {
  readonly ordinal: number
}

const END_BYTES = 24

function encodeEnd({ segment, offset, ordinal }: EndNote): Buffer {
  const bytes = Buffer.alloc(END_BYTES)
  bytes.writeUInt32LE(segment, 0)
  bytes.writeUIntLE(offset, 4, 6)
  bytes.writeUIntLE(ordinal, 10, 6)
  // Enough against a file that was never written whole; it is one sector, so it does not tear.
  bytes.writeUInt32LE((segment ^ offset ^ ordinal) >>> 0, 16)
  return bytes
}

/** Reads the `end` file; undefined where it makes no sense. */
export function decodeEnd(bytes: Buffer): EndNote | undefined {
  if (bytes.length < END_BYTES) return undefined
  const note = {
    segment: bytes.readUInt32LE(0),
    offset: bytes.readUIntLE(4, 6),
    ordinal: bytes.readUIntLE(10, 6),
  }
  const sum = (note.segment ^ note.offset ^ note.ordinal) >>> 0
  return bytes.readUInt32LE(16) === sum ? note : undefined
}

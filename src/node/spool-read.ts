import { open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Batch } from '../pipeline/spool.ts'
import type { Disk, DiskFile } from './spool/disk.ts'
import { decodeSegmentHeader, SEGMENT_HEADER_BYTES, SEGMENT_VERSION } from './spool/frame.ts'
import { readSealLog, type Frontier } from './spool/seals.ts'
import { readFrames, segmentNumber } from './spool/segment.ts'
import { decodeEnd, type EndNote } from './spool/writer.ts'

/** A spool's folder, only read, so that it may be looked at beside the server that owns it. */
export interface SpoolFolder {
  readonly disk: Disk
  readonly hasOwner: boolean
  /** Names of the segment files, oldest first. */
  readonly segments: readonly string[]
  /** Up to where everything is delivered; undefined where nothing ever was. */
  readonly frontier: Frontier | undefined
  /** How far the last process said that events are safe; undefined where none ever was. */
  readonly end: EndNote | undefined
}

/** What stands in the segment files, in order. */
export type Part =
  | {
      readonly kind: 'segment'
      readonly name: string
      /** Of its first row. */
      readonly ordinal: number
      readonly createdAtMs: number
    }
  | { readonly kind: 'frame'; readonly ordinal: number; readonly batch: Batch }
  | {
      readonly kind: 'bad'
      readonly name: string
      readonly at: number
      readonly bytes: number
      readonly reason: string
    }
  /** Rows that were accepted, and that no file holds. */
  | { readonly kind: 'missing'; readonly ordinal: number; readonly rows: number }
  /** Bytes at the very end that nobody was promised: being written now, or cut off by a crash. */
  | { readonly kind: 'tail'; readonly name: string; readonly bytes: number }

const LOG_TRIES = 5

/**
 * Looks at a folder without changing anything in it.
 * @throws the file system's error where it cannot be read.
 */
export async function lookAt(folder: string): Promise<SpoolFolder> {
  const disk = readOnlyDisk(folder)
  // In this order: what a running server delivers in between then only looks delivered already.
  const segments = (await disk.list()).filter((name) => segmentNumber(name) !== undefined).sort()
  const end = await readEnd(disk)
  const { frontier } = await readLog(disk)
  return { disk, hasOwner: hasOwner(folder), segments, frontier, end }
}

/** Reads every frame and finds what is wrong; a segment that is delivered meanwhile is left out. */
export async function* walk(spool: SpoolFolder): AsyncGenerator<Part> {
  const { disk, segments, frontier, end } = spool
  /** The ordinal that has to come next; undefined where that cannot be known. */
  let expected = frontier?.ordinal
  let isFirst = true
  for (const name of segments) {
    const isNewest = name === segments.at(-1)
    for await (const part of readSegment(disk, name, isNewest, end)) {
      if (part.kind === 'gone') {
        expected = undefined
        continue
      }
      if (part.kind === 'segment' || part.kind === 'frame') {
        const { ordinal } = part
        if (expected !== undefined && ordinal > expected) {
          yield { kind: 'missing', ordinal: expected, rows: ordinal - expected }
        }
        // The first one begins before what is delivered, unless its beginning is missing.
        if (expected === undefined || isFirst || ordinal > expected) expected = ordinal
        isFirst = false
      }
      yield part
      if (part.kind === 'frame') expected = part.ordinal + part.batch.ends.length
    }
  }
  if (expected !== undefined && end !== undefined && end.ordinal > expected) {
    yield { kind: 'missing', ordinal: expected, rows: end.ordinal - expected }
  }
}

/** `gone`: what comes behind it cannot be joined to what stood before. */
type SegmentPart = Part | { readonly kind: 'gone' }

async function* readSegment(
  disk: Disk,
  name: string,
  isNewest: boolean,
  end: EndNote | undefined,
): AsyncGenerator<SegmentPart> {
  const file = await openIfThere(disk, name)
  if (file === undefined) {
    yield { kind: 'gone' }
    return
  }
  try {
    const [number, size] = [segmentNumber(name) ?? 0, await file.size()]
    const header = decodeSegmentHeader(await file.read(0, SEGMENT_HEADER_BYTES))
    if (header !== undefined && header.version > SEGMENT_VERSION) {
      const reason = `written by a newer version (segment format ${header.version})`
      yield { kind: 'bad', name, at: 0, bytes: size, reason }
      yield { kind: 'gone' }
      return
    }
    if (header?.segment !== number) {
      const reason = 'a file without the header of a segment'
      const isBegun = isNewest && size < SEGMENT_HEADER_BYTES
      yield isBegun
        ? { kind: 'tail', name, bytes: size }
        : { kind: 'bad', name, at: 0, bytes: size, reason }
      return
    }
    const { ordinal, createdAtMs } = header
    yield { kind: 'segment', name, ordinal, createdAtMs }
    /** Damage that no good frame has followed yet. */
    let last: { readonly at: number; readonly end: number; readonly reason: string } | undefined
    for await (const part of readFrames(file, number, SEGMENT_HEADER_BYTES, size)) {
      if (last !== undefined) yield badPart(name, last)
      last = part.kind === 'damage' ? part : undefined
      if (part.kind === 'frame') {
        yield { kind: 'frame', ordinal: part.ordinal, batch: part.batch }
      }
    }
    if (last === undefined) return
    const promised = end !== undefined && end.segment === number && last.at < end.offset
    if (isNewest && !promised) yield { kind: 'tail', name, bytes: last.end - last.at }
    else yield badPart(name, last)
  } finally {
    await file.close()
  }
}

function badPart(
  name: string,
  { at, end, reason }: { readonly at: number; readonly end: number; readonly reason: string },
): SegmentPart {
  return { kind: 'bad', name, at, bytes: end - at, reason }
}

async function openIfThere(disk: Disk, name: string): Promise<DiskFile | undefined> {
  try {
    return await disk.open(name)
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

async function readEnd(disk: Disk): Promise<EndNote | undefined> {
  const file = await openIfThere(disk, 'end')
  if (file === undefined) return undefined
  try {
    return decodeEnd(await file.read(0, 64))
  } finally {
    await file.close()
  }
}

/** A running server may begin a new log just now, and remove the one that was found. */
async function readLog(disk: Disk): Promise<{ readonly frontier: Frontier | undefined }> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await readSealLog(disk)
    } catch (error) {
      if (tries === LOG_TRIES || !isMissing(error)) throw error
    }
  }
}

/** Whether a process owns the folder now: it holds SQLite's lock on `owner.lock`. */
function hasOwner(folder: string): boolean {
  let database: DatabaseSync | undefined
  try {
    database = new DatabaseSync(join(folder, 'owner.lock'), { readOnly: true })
    database.exec('SELECT count(*) FROM sqlite_master')
    return false
  } catch (error) {
    return error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY
  } finally {
    database?.close()
  }
}

const SQLITE_BUSY = 5

/** Whether the file system says that there is no such thing. */
export function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}

function readOnlyDisk(folder: string): Disk {
  const refuse = () => Promise.reject(new Error('This look at the spool changes nothing.'))
  return {
    list: (below) => readdir(below === undefined ? folder : join(folder, below)),
    open: (name) => openToRead(join(folder, name)),
    prepare: refuse,
    create: refuse,
    rename: refuse,
    remove: refuse,
    syncFolder: refuse,
    free: refuse,
    note: () => undefined,
  }
}

async function openToRead(path: string): Promise<DiskFile> {
  const handle = await open(path, 'r')
  const refuse = () => Promise.reject(new Error(`${path} is only read.`))
  return {
    async read(at, length) {
      const buffer = Buffer.alloc(length)
      let filled = 0
      while (filled < length) {
        const { bytesRead } = await handle.read(buffer, filled, length - filled, at + filled)
        if (bytesRead === 0) break
        filled += bytesRead
      }
      return buffer.subarray(0, filled)
    },
    size: async () => (await handle.stat()).size,
    close: () => handle.close(),
    write: refuse,
    truncate: refuse,
    sync: refuse,
  }
}

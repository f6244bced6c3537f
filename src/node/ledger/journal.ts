import {
  closeSync,
  fdatasync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { crc32 } from 'node:zlib'

/** A file of records that are added without a sync, and so survive the death of the process. */
export interface Journal {
  /** Adds a record at once. @throws the error of the file system; then it is not in the file. */
  readonly add: (record: object) => void
  /** Resolves when all records would survive a power cut. */
  readonly sync: () => Promise<void>
  /** The file has grown so much that it is worth to begin a new one. */
  readonly isFull: () => boolean
  /** Begins a new file with these records in the place of all before. @throws as `add`; then it goes on as it was. */
  readonly restart: (records: readonly object[]) => void
  /** A file that was begun is there to add to. */
  readonly isBegun: () => boolean
  readonly close: () => Promise<void>
}

const NAME = /^ledger-(\d{10})\.log$/
/** Taken from the disk when a file is made, so that a disk which is full later takes records all the same. */
const FILE_BYTES_MIN = 1024 * 1024
/** What is left of it for a disk that is full when a new file should begin. */
const FULL_SHARE = 0.75
/** Added before a new file is tried again: on a full disk each try writes all that fits. */
const TRY_AGAIN_BYTES = 8 * 1024
/** Stands behind what a new file took over: without it the file before still counts. */
const BEGUN = { begun: true }

const datasync = promisify(fdatasync)

/**
 * Opens the journal of a folder that is ours, with the records that an earlier process left. One
 * line each: CRC-32 in hex, JSON. What stands behind the first line that is not whole was never
 * written to its end, and is written over.
 * @throws the error of the file system.
 */
export function openJournal(folder: string): {
  readonly records: readonly unknown[]
  readonly journal: Journal
} {
  const numbers = numbersIn(folder)
  let number = numbers[0] ?? 0
  const path = (of: number) => join(folder, `ledger-${String(of).padStart(10, '0')}.log`)
  const begun = newest(numbers, path)
  let fd = begun === undefined ? undefined : openSync(path(begun.number), 'r+')
  let { end: at, size } = begun ?? { end: 0, size: 0 }
  let fullAt = size * FULL_SHARE
  let syncing = Promise.resolve()

  function sync(): Promise<void> {
    const next = syncing.then(() => (fd === undefined ? undefined : datasync(fd)))
    syncing = next.catch(() => undefined) // Its caller hears of it.
    return next
  }

  function restart(first: readonly object[]): void {
    fullAt = at + TRY_AGAIN_BYTES
    const lines = Buffer.concat([...first, BEGUN].map(encode))
    const bytes = Math.max(FILE_BYTES_MIN, 2 * lines.length)
    // Used up even where this fails: the file may be there.
    number += 1
    const fresh = openSync(path(number), 'wx', 0o600)
    try {
      writeAll(fresh, Buffer.alloc(bytes), 0)
      writeAll(fresh, lines, 0)
    } catch (error) {
      closeSync(fresh)
      rmSync(path(number), { force: true })
      throw error
    }
    const [old, own] = [fd, number]
    fd = fresh
    at = lines.length
    size = bytes
    fullAt = size * FULL_SHARE
    void forgetOlder(old, own)
  }

  /** The files before are needed until this one would survive a power cut. */
  async function forgetOlder(old: number | undefined, own: number): Promise<void> {
    try {
      await sync()
      for (const other of numbersIn(folder)) if (other < own) rmSync(path(other), { force: true })
    } catch {
      // They are no harm, since the newest counts, and go with the next new file.
    } finally {
      if (old !== undefined) closeSync(old)
    }
  }

  return {
    records: begun?.records ?? [],
    journal: {
      add(record) {
        const bytes = encode(record)
        if (fd === undefined) throw new Error('The journal is closed.')
        writeAll(fd, bytes, at)
        at += bytes.length
      },
      sync,
      isFull: () => at > fullAt,
      restart,
      isBegun: () => fd !== undefined,
      async close() {
        await sync().catch(() => undefined) // What is written survives the end of the process anyway.
        if (fd !== undefined) closeSync(fd)
        fd = undefined
      },
    },
  }
}

function numbersIn(folder: string): number[] {
  return readdirSync(folder)
    .flatMap((name) => NAME.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => b - a)
}

function encode(record: object): Buffer {
  const json = JSON.stringify(record)
  return Buffer.from(`${crc32(json).toString(16).padStart(8, '0')} ${json}\n`)
}

/** The kernel may take fewer bytes than it was given. */
function writeAll(fd: number, bytes: Buffer, from: number): void {
  for (let done = 0; done < bytes.length;) {
    done += writeSync(fd, bytes, done, bytes.length - done, from + done)
  }
}

/** The newest file that was begun whole, and where its records end. */
function newest(numbers: readonly number[], path: (number: number) => string) {
  for (const number of numbers) {
    const bytes = readFileSync(path(number))
    const { records, end } = decode(bytes)
    const isWhole = records.some((record) => isBegun(record))
    if (isWhole) return { number, records, end, size: bytes.length }
  }
  return undefined
}

function isBegun(record: unknown): boolean {
  return typeof record === 'object' && record !== null && 'begun' in record
}

function decode(bytes: Buffer): { readonly records: readonly unknown[]; readonly end: number } {
  const records: unknown[] = []
  for (let at = 0; ;) {
    const end = bytes.indexOf(0x0a, at)
    if (end < 0) return { records, end: at }
    const line = bytes.toString('utf8', at, end)
    const json = line.slice(9)
    const isWhole = line.slice(0, 9) === `${crc32(json).toString(16).padStart(8, '0')} `
    if (!isWhole) return { records, end: at }
    records.push(JSON.parse(json))
    at = end + 1
  }
}

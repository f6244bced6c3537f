import { constants } from 'node:fs'
import { mkdir, open, readdir, rename, rm, statfs, type FileHandle } from 'node:fs/promises'
import { writeSync, openSync } from 'node:fs'
import { join } from 'node:path'

/** One open file of a {@link Disk}. */
export interface DiskFile {
  /** Writes all of it at `at`; for a durable file it resolves when the bytes are on the medium. */
  readonly write: (pieces: readonly Uint8Array[], at: number) => Promise<void>
  /** At most `length` bytes from `at`; fewer at the end of the file. Into `memory` where it fits there. */
  readonly read: (at: number, length: number, memory?: Buffer) => Promise<Buffer>
  readonly truncate: (length: number) => Promise<void>
  readonly sync: () => Promise<void>
  readonly size: () => Promise<number>
  readonly close: () => Promise<void>
}

/** A folder, as the spool uses it. A test has one that loses what was not synced. */
export interface Disk {
  /** Makes the folder and its parents where missing. */
  readonly prepare: () => Promise<void>
  /** Names in the folder, or in one of the folders below it. */
  readonly list: (below?: 'damaged' | 'undeliverable') => Promise<readonly string[]>
  /** A new file; it must not exist. Each write to it is synced before it resolves. */
  readonly create: (name: string) => Promise<DiskFile>
  /** An existing file, to read and to cut. */
  readonly open: (name: string) => Promise<DiskFile>
  readonly rename: (from: string, to: string) => Promise<void>
  /** No error where there is none. */
  readonly remove: (name: string) => Promise<void>
  /** Makes creations, renames and removals durable. */
  readonly syncFolder: () => Promise<void>
  /**
   * Overwrites the small file `name` at once, without a sync: it survives the death of the process,
   * not of the machine.
   */
  readonly note: (name: string, bytes: Uint8Array) => void
  readonly free: () => Promise<{ readonly bytes: number; readonly bytesTotal: number }>
}

/** The folder `path` of a real file system. Names may hold one `/`: a folder below it. */
export function nodeDisk(path: string): Disk {
  const noted = new Map<string, number>()
  const at = (name: string) => join(path, name)

  return {
    async prepare() {
      await mkdir(at('damaged'), { recursive: true })
      await mkdir(at('undeliverable'), { recursive: true })
    },
    list: (below) => readdir(below === undefined ? path : at(below)),
    create: async (name) =>
      fileOf(
        await open(
          at(name),
          constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_DSYNC,
          0o600,
        ),
      ),
    open: async (name) => fileOf(await open(at(name), 'r+')),
    rename: (from, to) => rename(at(from), at(to)),
    remove: (name) => rm(at(name), { force: true }),
    async syncFolder() {
      for (const folder of [path, at('damaged'), at('undeliverable')]) {
        const handle = await open(folder, 'r')
        try {
          await handle.sync()
        } finally {
          await handle.close()
        }
      }
    },
    note(name, bytes) {
      let fd = noted.get(name)
      if (fd === undefined) {
        fd = openSync(at(name), constants.O_RDWR | constants.O_CREAT, 0o600)
        noted.set(name, fd)
      }
      writeSync(fd, bytes, 0, bytes.length, 0)
    },
    async free() {
      const { bavail, blocks, bsize } = await statfs(path)
      return { bytes: bavail * bsize, bytesTotal: blocks * bsize }
    },
  }
}

function fileOf(handle: FileHandle): DiskFile {
  return {
    async write(pieces, at) {
      const length = pieces.reduce((sum, piece) => sum + piece.length, 0)
      // The kernel takes 1,024 pieces in one call, and may take fewer bytes than it was given.
      if (pieces.length <= 1_024) {
        const { bytesWritten } = await handle.writev(pieces, at)
        if (bytesWritten === length) return
      }
      const whole = Buffer.concat(pieces)
      for (let done = 0; done < length;) {
        const { bytesWritten } = await handle.write(whole, done, length - done, at + done)
        if (bytesWritten === 0) throw new Error('The disk took no more bytes.')
        done += bytesWritten
      }
    },
    async read(at, length, memory) {
      const buffer =
        memory === undefined || memory.length < length ? Buffer.allocUnsafe(length) : memory
      let filled = 0
      while (filled < length) {
        const { bytesRead } = await handle.read(buffer, filled, length - filled, at + filled)
        if (bytesRead === 0) break
        filled += bytesRead
      }
      return buffer.subarray(0, filled)
    },
    truncate: (length) => handle.truncate(length),
    sync: () => handle.datasync(),
    size: async () => (await handle.stat()).size,
    close: () => handle.close(),
  }
}

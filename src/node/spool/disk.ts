import { constants, writev } from 'node:fs'
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

const JOINED_BYTES_MAX = 256 * 1024
/** What the kernel takes in one call. */
const PIECES_MAX = 1_024

function fileOf(handle: FileHandle): DiskFile {
  /** Each file has one writer, which writes one thing at a time. */
  let scratch: Buffer | undefined
  const join = (pieces: readonly Uint8Array[], length: number) => {
    scratch ??= Buffer.allocUnsafeSlow(JOINED_BYTES_MAX)
    let at = 0
    for (const piece of pieces) {
      scratch.set(piece, at)
      at += piece.length
    }
    return scratch.subarray(0, length)
  }

  return {
    async write(pieces, at) {
      const length = pieces.reduce((sum, piece) => sum + piece.length, 0)
      // Many small pieces cost more as such than their copy; a few large ones do not.
      const joined = length <= JOINED_BYTES_MAX || pieces.length > PIECES_MAX
      let done = joined ? 0 : await writeOnce(handle.fd, pieces, at)
      if (done === length) return
      // The kernel may take fewer bytes than it was given.
      const whole =
        joined && length <= JOINED_BYTES_MAX ? join(pieces, length) : Buffer.concat(pieces)
      while (done < length) {
        const taken = await writeOnce(handle.fd, [whole.subarray(done, length)], at + done)
        if (taken === 0) throw new Error('The disk took no more bytes.')
        done += taken
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

/** Resolves with how many bytes were taken. Not through the handle, whose promises cost as much as the write. */
function writeOnce(fd: number, pieces: readonly Uint8Array[], at: number): Promise<number> {
  return new Promise((resolve, reject) => {
    writev(fd, pieces, at, (error, written) => {
      if (error === null) resolve(written)
      else reject(error)
    })
  })
}

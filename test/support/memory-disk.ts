import type { Disk, DiskFile } from '../../src/node/spool/disk.ts'

/** A file as the medium has it, and what was written to it and not yet synced. */
interface Inode {
  durable: Buffer
  /** What a reader of this process sees. */
  live: Buffer
}

type Entries = Map<string, Inode>

/** A folder in memory that can lose power: what was not synced is then there, or not, at random. */
export interface MemoryDisk extends Disk {
  /** File operations so far. */
  readonly operations: () => number
  /** From operation `at` on nothing happens any more, as for a process whose machine lost power. */
  readonly crashAt: (at: number) => void
  readonly crashed: Promise<void>
  /** The folder after the power is back. */
  readonly afterCrash: (random: () => number) => MemoryDisk
  /** Bytes that fit; beyond them writes fail as on a full disk. */
  readonly setRoom: (bytes: number) => void
  readonly names: () => readonly string[]
}

/** An empty disk. */
export function memoryDisk(durable: Entries = new Map()): MemoryDisk {
  let synced: Entries = new Map(durable)
  const live: Entries = new Map(durable)
  let operations = 0
  let crashAt = Infinity
  let room = Infinity
  let tellCrash: () => void = () => undefined
  const crashed = new Promise<void>((resolve) => {
    tellCrash = resolve
  })
  /** A write that is under way when the power goes: any part of it may reach the medium. */
  const torn: { inode: Inode; at: number; bytes: Buffer }[] = []

  async function step(): Promise<void> {
    operations += 1
    await Promise.resolve()
    if (operations >= crashAt) {
      tellCrash()
      await new Promise(() => undefined) // The process is gone: nothing comes back.
    }
  }

  function used(): number {
    return [...live.values()].reduce((sum, { live: bytes }) => sum + bytes.length, 0)
  }

  function fileOf(inode: Inode, isDurable: boolean): DiskFile {
    return {
      async write(pieces, at) {
        const bytes = Buffer.concat(pieces)
        const entry = { inode, at, bytes }
        torn.push(entry)
        await step()
        torn.splice(torn.indexOf(entry), 1)
        const fits = Math.max(0, room - used())
        const growth = Math.max(0, at + bytes.length - inode.live.length)
        if (growth > fits) {
          put(inode, at, bytes.subarray(0, Math.max(0, bytes.length - (growth - fits))), isDurable)
          throw Object.assign(new Error('no room'), { code: 'ENOSPC', syscall: 'write' })
        }
        put(inode, at, bytes, isDurable)
      },
      async read(at, length) {
        await step()
        return Buffer.from(inode.live.subarray(at, at + length))
      },
      async truncate(length) {
        await step()
        inode.live = Buffer.from(inode.live.subarray(0, length))
      },
      async sync() {
        await step()
        inode.durable = Buffer.from(inode.live)
      },
      size: async () => {
        await step()
        return inode.live.length
      },
      close: () => step(),
    }
  }

  return {
    prepare: () => step(),
    async list(below) {
      await step()
      const prefix = below === undefined ? '' : `${below}/`
      return [...live.keys()]
        .filter((name) => name.startsWith(prefix) && !name.slice(prefix.length).includes('/'))
        .map((name) => name.slice(prefix.length))
    },
    async create(name) {
      await step()
      if (live.has(name))
        throw Object.assign(new Error('exists'), { code: 'EEXIST', syscall: 'open' })
      const inode: Inode = { durable: Buffer.alloc(0), live: Buffer.alloc(0) }
      live.set(name, inode)
      return fileOf(inode, true)
    },
    async open(name) {
      await step()
      const inode = live.get(name)
      if (inode === undefined)
        throw Object.assign(new Error('none'), { code: 'ENOENT', syscall: 'open' })
      return fileOf(inode, false)
    },
    async rename(from, to) {
      await step()
      const inode = live.get(from)
      if (inode === undefined)
        throw Object.assign(new Error('none'), { code: 'ENOENT', syscall: 'rename' })
      live.delete(from)
      live.set(to, inode)
    },
    async remove(name) {
      await step()
      live.delete(name)
    },
    async syncFolder() {
      await step()
      synced = new Map(live)
    },
    note(name, bytes) {
      if (operations >= crashAt) return
      const inode = live.get(name) ?? { durable: Buffer.alloc(0), live: Buffer.alloc(0) }
      live.set(name, inode)
      put(inode, 0, Buffer.from(bytes), false)
    },
    free: async () => {
      await step()
      const bytes = room === Infinity ? 1e12 : Math.max(0, room - used())
      return { bytes, bytesTotal: room === Infinity ? 1e12 : room }
    },
    operations: () => operations,
    crashAt: (at) => {
      crashAt = at
    },
    crashed,
    setRoom: (bytes) => {
      room = bytes
    },
    names: () => [...live.keys()],
    afterCrash(random) {
      for (const { inode, at, bytes } of torn) {
        // Of a write that was not answered, any pages may have arrived, in any order.
        const from = Math.floor(random() * (bytes.length + 1))
        const to = from + Math.floor(random() * (bytes.length + 1 - from))
        if (random() < 0.5) put(inode, at, bytes.subarray(0, to), true)
        else if (to > from) put(inode, at + from, bytes.subarray(from, to), true)
      }
      const entries: Entries = new Map()
      for (const name of new Set([...synced.keys(), ...live.keys()])) {
        // A creation, removal or renaming that was not synced has happened, or not.
        const inode = random() < 0.5 ? synced.get(name) : live.get(name)
        const steady = synced.get(name) === live.get(name) ? live.get(name) : inode
        if (steady === undefined) continue
        const bytes = random() < 0.5 ? steady.durable : steady.live
        entries.set(name, { durable: Buffer.from(bytes), live: Buffer.from(bytes) })
      }
      return memoryDisk(entries)
    },
  }
}

function put(inode: Inode, at: number, bytes: Buffer, isDurable: boolean): void {
  inode.live = patched(inode.live, at, bytes)
  if (isDurable) inode.durable = patched(inode.durable, at, bytes)
}

function patched(into: Buffer, at: number, bytes: Buffer): Buffer {
  const out = Buffer.alloc(Math.max(into.length, at + bytes.length))
  into.copy(out)
  bytes.copy(out, at)
  return out
}

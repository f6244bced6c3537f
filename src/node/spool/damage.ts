import type { Disk, DiskFile } from './disk.ts'
import { segmentName, type ReadDamage } from './segment.ts'

/** What could not be read, kept aside and counted: never skipped in silence. */
export interface Damage {
  /** Copies the bad bytes of a segment to `damaged/`. */
  readonly keep: (file: DiskFile, segment: number, damage: ReadDamage) => Promise<void>
  /** Moves a file that is no segment at all to `damaged/`. */
  readonly setAside: (name: string, reason: string) => Promise<void>
  /** Tells that accepted rows are not there, from the one with this ordinal on. */
  readonly missing: (ordinal: number, rows: number) => Promise<void>
  /** Rows that are missing, over the life of the folder. */
  readonly rows: () => number
}

const COPY_BYTES = 1024 * 1024

/** Opens the account of the folder's damages: `damaged/rows-<ordinal>-<count>` files are its entries. */
export async function openDamage(
  disk: Disk,
  say: (level: 'error' | 'warn' | 'info', text: string, fields?: object) => void,
): Promise<Damage> {
  // Each gap is entered once, by its place: a folder that is read again does not count it again.
  const entries = new Map<number, number>()
  for (const name of await disk.list('damaged')) {
    const found = /^rows-(\d+)-(\d+)$/.exec(name)
    if (found !== null) entries.set(Number(found[1]), Number(found[2]))
  }

  return {
    async keep(file, segment, { at, end, reason }) {
      const name = `damaged/${segmentName(segment)}-${at}-${end}`
      say('error', `the spool is damaged: ${reason}`, { segment, at, bytes: end - at, kept: name })
      await disk.remove(name)
      const copy = await disk.create(name)
      try {
        for (let from = at; from < end; from += COPY_BYTES) {
          const piece = await file.read(from, Math.min(COPY_BYTES, end - from))
          await copy.write([piece], from - at)
        }
      } finally {
        await copy.close()
      }
    },
    async setAside(name, reason) {
      say('error', `the spool is damaged: ${reason}`, { kept: `damaged/${name}` })
      await disk.rename(name, `damaged/${name}`)
      await disk.syncFolder()
    },
    async missing(ordinal, rows) {
      if (entries.has(ordinal)) return
      say('error', `${rows} accepted events are missing from the spool`, { rows })
      const name = `damaged/rows-${ordinal}-${rows}`
      await disk.remove(name)
      const entry = await disk.create(name)
      await entry.close()
      await disk.syncFolder()
      // Last: on a full disk it is tried again, or the next process would not know of it.
      entries.set(ordinal, rows)
    },
    rows: () => [...entries.values()].reduce((sum, rows) => sum + rows, 0),
  }
}

import { crc32 } from 'node:zlib'
import { z } from 'zod'
import type { Delivery, ReadRows, RefusedRow } from '../../pipeline/delivery.ts'
import type { Occurrence } from '../../occurrence.ts'
import type { Fits, Parcel } from '../../pipeline/spool.ts'
import type { Disk } from './disk.ts'

/** A row that ClickHouse refuses, as it is kept in `undeliverable/`: one JSON file each. */
export interface Undeliverable {
  /** ISO 8601. */
  readonly at: string
  /** ClickHouse's words. */
  readonly error: string
  readonly occurrence: Occurrence
}

/** Ends the name of a file whose row is to be sent again: `spool undeliverable retry` gives it. */
export const RETRY_SUFFIX = '.retry'

/** Writes rows aside, each to its own file, durably. The same row again replaces its file. */
export async function setAside(
  disk: Disk,
  rows: readonly RefusedRow[],
  read: ReadRows,
  delivery: Pick<Delivery, 'decode' | 'nowMs' | 'say'>,
): Promise<void> {
  for (const { row, format, error } of rows) {
    const pieces: Uint8Array[] = []
    for await (const piece of read([row])) pieces.push(piece)
    const occurrence = delivery.decode(format, Buffer.concat(pieces), 0)
    const at = new Date(delivery.nowMs()).toISOString()
    const kept: Undeliverable = { at, error, occurrence }
    const name = `undeliverable/${nameOf(row)}`
    await disk.remove(name)
    const file = await disk.create(name)
    try {
      await file.write([Buffer.from(JSON.stringify(kept))], 0)
    } finally {
      await file.close()
    }
    delivery.say('error', 'ClickHouse refuses an event for its content: it is kept aside', {
      file: name,
      error,
    })
  }
  await disk.syncFolder()
}

function nameOf({ appId, id }: { readonly appId: string; readonly id: string }): string {
  return `${crc32(appId).toString(16).padStart(8, '0')}-${id}.json`
}

/**
 * Sends rows again that an operator marked so, and forgets their files once they are durable.
 * @returns how many files are left.
 */
export async function retryMarked(
  disk: Disk,
  delivery: Pick<Delivery, 'encode' | 'forgive' | 'say'>,
  append: (parcel: Parcel) => Promise<void>,
): Promise<number> {
  const names = await disk.list('undeliverable')
  let left = 0
  for (const name of names) {
    if (!name.endsWith(RETRY_SUFFIX)) {
      left += name.endsWith('.json') ? 1 : 0
      continue
    }
    const path = `undeliverable/${name}`
    const occurrence = await occurrenceIn(disk, path)
    if (occurrence === undefined) {
      delivery.say('error', 'a file that is no event cannot be sent again: it is set aside', {
        kept: `damaged/${name}`,
      })
      await disk.rename(path, `damaged/${name}`)
      continue
    }
    delivery.forgive(occurrence)
    await append({ batch: delivery.encode([occurrence]), rows: [occurrence] })
    await disk.remove(path)
    delivery.say('info', 'an event that had been set aside is tried again', { file: name })
  }
  return left
}

/**
 * Deletes the files of the events that fit, also of those that are marked to be sent again: one that is on
 * its way by then is stored and has to be looked for there. Durable when it resolves.
 * @returns how many are gone.
 */
export async function dropFitting(disk: Disk, fits: Fits): Promise<number> {
  let dropped = 0
  for (const name of await disk.list('undeliverable')) {
    const path = `undeliverable/${name}`
    const occurrence = await occurrenceIn(disk, path).catch((error: unknown) => {
      // A person's command, or the next try, has just taken it.
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
      throw error
    })
    if (occurrence === undefined || !fits(occurrence)) continue
    await disk.remove(path)
    dropped += 1
  }
  if (dropped > 0) await disk.syncFolder()
  return dropped
}

async function occurrenceIn(disk: Disk, path: string): Promise<Occurrence | undefined> {
  try {
    return (await readUndeliverable(disk, path)).occurrence
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof z.ZodError) return undefined
    throw error
  }
}

/** Reads one file of `undeliverable/`. It is ours: its shape is what {@link setAside} wrote. */
export async function readUndeliverable(disk: Disk, path: string): Promise<Undeliverable> {
  const file = await disk.open(path)
  try {
    return Kept.parse(JSON.parse((await file.read(0, await file.size())).toString('utf8')))
  } finally {
    await file.close()
  }
}

const Kept = z.object({
  at: z.string(),
  error: z.string(),
  occurrence: z.custom<Occurrence>((value) => typeof value === 'object' && value !== null),
})

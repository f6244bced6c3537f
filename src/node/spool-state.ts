import { isMissing, lookAt, walk, type SpoolFolder } from './spool-read.ts'

/** What a spool's folder says of itself. */
export interface SpoolState {
  /** A server owns it now. */
  readonly inUse: boolean
  /** Accepted and not yet delivered. */
  readonly events: number
  /** When the oldest file with such events was begun, in ISO 8601; null where none waits. */
  readonly oldest: string | null
  readonly segments: number
  readonly bytes: number
  /** Events that could not be read back, over the life of the folder. */
  readonly damagedEvents: number
  /** Events that ClickHouse refused for their content. */
  readonly undeliverable: number
}

/**
 * Looks at a spool's folder without changing anything in it, also beside the server that owns it.
 * @throws the file system's error where it cannot be read.
 */
export async function spoolState(folder: string): Promise<SpoolState> {
  const spool = await lookAt(folder)
  const waiting = await measure(spool)
  const damagedEvents = damagedOf(await spool.disk.list('damaged'))
  const aside = await spool.disk.list('undeliverable')
  return {
    inUse: spool.hasOwner,
    events: waiting.events,
    oldest: waiting.oldestMs === undefined ? null : new Date(waiting.oldestMs).toISOString(),
    segments: spool.segments.length,
    bytes: waiting.bytes,
    damagedEvents,
    undeliverable: aside.filter((name) => name.endsWith('.json')).length,
  }
}

interface Waiting {
  readonly events: number
  readonly bytes: number
  /** When the oldest file that holds events that wait was begun. */
  readonly oldestMs: number | undefined
}

/** By the numbers of the first and the last event: only the newest file is read, however many wait. */
async function measure(spool: SpoolFolder): Promise<Waiting> {
  const { disk, segments, frontier } = spool
  const delivered = frontier?.ordinal ?? 0
  let [bytes, last] = [0, spool.end?.ordinal ?? 0]
  let oldestMs: number | undefined
  for (const name of segments) {
    bytes += await sizeOf(disk, name)
    const isNewest = name === segments.at(-1)
    for await (const part of walk({ ...spool, segments: [name], frontier: undefined })) {
      if (part.kind === 'segment' && (oldestMs === undefined || part.ordinal <= delivered)) {
        oldestMs = part.createdAtMs
      }
      if (part.kind === 'frame') last = Math.max(last, part.ordinal + part.batch.ends.length)
      if (!isNewest) break
    }
  }
  const events = Math.max(0, last - delivered)
  return { events, bytes, oldestMs: events === 0 ? undefined : oldestMs }
}

/** 0 where it was delivered and is gone. */
async function sizeOf(disk: SpoolFolder['disk'], name: string): Promise<number> {
  const file = await disk.open(name).catch((error: unknown) => {
    if (!isMissing(error)) throw error
  })
  const size = (await file?.size()) ?? 0
  await file?.close()
  return size
}

/** The entries of the account of damages: see spool/damage.ts. */
function damagedOf(names: readonly string[]): number {
  return names.reduce((sum, name) => sum + Number(/^rows-\d+-(\d+)$/.exec(name)?.[1] ?? 0), 0)
}

import { crc32 } from 'node:zlib'
import type { Fate, RowId } from '../../pipeline/delivery.ts'
import type { Damage } from './damage.ts'
import type { Disk, DiskFile } from './disk.ts'
import { decodeKeys, encodeKeys } from './seal-keys.ts'
import type { Position } from './segment.ts'

/** A stretch of frames whose rows' fates are decided, written down before the first try to send it. */
export interface Seal {
  readonly id: number
  readonly from: Position
  readonly to: Position
  /** Of the first row, and how many rows. */
  readonly ordinal: number
  readonly rows: number
  readonly fates: readonly Fate[]
  /**
   * What the rows are, in order, so that those whose frames get lost are still known: an insert that was
   * cut short may have stored them. Empty where an older version wrote the seal.
   */
  readonly keys: readonly RowId[]
}

/** Up to where everything is delivered. */
export interface Frontier extends Position {
  readonly ordinal: number
}

/** What the log says at the start. */
export interface SealLogContent {
  /** Some of it could not be read: what it said may be done once more, which ids make harmless. */
  readonly damaged: boolean
  readonly frontier: Frontier | undefined
  /** Sealed, and not known to be delivered; in order. */
  readonly open: readonly Seal[]
}

/** The log of seals: what must be sent again exactly as before, and how far delivery is. */
export interface SealLog {
  /** Resolves when the seal is durable. */
  readonly seal: (seal: Seal) => Promise<void>
  /** A lost one only means that the same block is sent again, and dropped by its token. */
  readonly done: (id: number, frontier: Frontier) => Promise<void>
  /** Sealed and not yet done, in order. */
  readonly open: () => readonly Seal[]
  readonly close: () => Promise<void>
}

const NAME = /^seals-(\d{10})\.log$/
/** Whoever made a log with a higher number, it was not us. */
const NUMBER_MAX = 4_000_000_000
const LOG_BYTES_MAX = 16 * 1024 * 1024
/** One byte a row: the place in this list, which only grows. */
const FATES: readonly Fate[] = ['send', 'duplicate', 'expired']

/**
 * Reads what an earlier process left; a torn record at the end was never acted upon. Garbage in the
 * place of a log is set aside, where `damage` is given.
 */
export async function readSealLog(
  disk: Disk,
  damage?: Pick<Damage, 'setAside'>,
): Promise<SealLogContent & { readonly number: number }> {
  const numbers = (await disk.list())
    .map(numberOf)
    .filter((number) => number !== undefined)
    .sort((a, b) => b - a)
  for (const number of numbers) {
    const content = await readOne(disk, nameOf(number))
    // A rotation that was cut short leaves a log that is not begun: the one before counts.
    if (content.begun) return { ...content, number: numbers[0] ?? number }
    if (content.isGarbage) await damage?.setAside(nameOf(number), 'a file that is no log of seals')
  }
  const damaged = numbers.length > 0
  return { frontier: undefined, open: [], number: numbers[0] ?? 0, damaged }
}

/** Begins a new log that holds `content`, and removes the others. */
export async function openSealLog(
  disk: Disk,
  content: SealLogContent & { readonly number: number },
): Promise<SealLog> {
  let { number, frontier } = content
  const open = new Map(content.open.map((seal) => [seal.id, seal]))
  let file: DiskFile | undefined
  let at = 0
  let turn = Promise.resolve()

  async function rotate(): Promise<void> {
    const old = file
    file = undefined
    await old?.close()
    number += 1
    const fresh = await disk.create(nameOf(number))
    const seals = [...open.values()].flatMap(encodeSeal)
    const records = [encodeFrontier(frontier), ...seals, record(BEGUN, Buffer.alloc(0))]
    try {
      await fresh.write(records, 0)
      await disk.syncFolder()
    } catch (error) {
      await fresh.close()
      throw error
    }
    file = fresh
    at = records.reduce((sum, record) => sum + record.length, 0)
    for (const name of await disk.list()) {
      const other = numberOf(name)
      if (other !== undefined && other < number) await disk.remove(name)
    }
  }

  /** One write at a time, at the end; a write that failed makes the next one begin a new file. */
  function write(pieces: readonly Uint8Array[]): Promise<void> {
    const run = async () => {
      if (file === undefined || at > LOG_BYTES_MAX) await rotate()
      try {
        await file?.write(pieces, at)
      } catch (error) {
        await file?.close()
        file = undefined
        throw error
      }
      at += pieces.reduce((sum, piece) => sum + piece.length, 0)
    }
    const next = turn.then(run)
    turn = next.catch(() => undefined) // Its caller hears of it; the next one tries anew.
    return next
  }

  await rotate()
  return {
    async seal(seal) {
      await write(encodeSeal(seal))
      open.set(seal.id, seal)
    },
    async done(id, now) {
      open.delete(id)
      frontier = now
      await write([encodeDone(id, now)])
    },
    open: () => [...open.values()],
    async close() {
      await turn
      await file?.close()
      file = undefined
    },
  }
}

function numberOf(name: string): number | undefined {
  const digits = NAME.exec(name)?.[1]
  return digits === undefined || Number(digits) > NUMBER_MAX ? undefined : Number(digits)
}

function nameOf(number: number): string {
  return `seals-${String(number).padStart(10, '0')}.log`
}

// A record: length u32, CRC-32 u32, then `type` and the rest.
const FRONTIER = 1
const SEAL = 2
const DONE = 3
/** Stands behind what a new log took over from the one before: without it that one still counts. */
const BEGUN = 4
/** What some rows of a seal are; it stands before the seal. */
const KEYS = 5

function record(type: number, body: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(9 + body.length)
  bytes.writeUInt32LE(1 + body.length, 0)
  bytes.writeUInt8(type, 8)
  body.copy(bytes, 9)
  bytes.writeUInt32LE(crc32(bytes.subarray(8)), 4)
  return bytes
}

function encodeFrontier(frontier: Frontier | undefined): Buffer {
  return record(FRONTIER, frontier === undefined ? Buffer.alloc(0) : placeBytes(frontier))
}

function encodeDone(id: number, frontier: Frontier): Buffer {
  const head = Buffer.alloc(6)
  head.writeUIntLE(id, 0, 6)
  return record(DONE, Buffer.concat([head, placeBytes(frontier)]))
}

function placeBytes({ segment, offset, ordinal }: Frontier): Buffer {
  const bytes = Buffer.alloc(16)
  bytes.writeUInt32LE(segment, 0)
  bytes.writeUIntLE(offset, 4, 6)
  bytes.writeUIntLE(ordinal, 10, 6)
  return bytes
}

function readPlace(bytes: Buffer, at: number): Frontier {
  return {
    segment: bytes.readUInt32LE(at),
    offset: bytes.readUIntLE(at + 4, 6),
    ordinal: bytes.readUIntLE(at + 10, 6),
  }
}

function encodeSeal({ id, from, to, ordinal, rows, fates, keys }: Seal): Buffer[] {
  const head = Buffer.alloc(6 + 16 + 16)
  head.writeUIntLE(id, 0, 6)
  placeBytes({ ...from, ordinal }).copy(head, 6)
  placeBytes({ ...to, ordinal: ordinal + rows }).copy(head, 22)
  return [
    // First, because a seal counts as soon as it stands there.
    ...encodeKeys(id, keys).map((body) => record(KEYS, body)),
    record(SEAL, Buffer.concat([head, Buffer.from(fates.map((fate) => FATES.indexOf(fate)))])),
  ]
}

function decodeSeal(body: Buffer): Seal {
  const from = readPlace(body, 6)
  const to = readPlace(body, 22)
  const fates = Array.from(body.subarray(38), (fate) => FATES[fate] ?? 'send')
  const { ordinal } = from
  const rows = to.ordinal - ordinal
  return { id: body.readUIntLE(0, 6), from, to, ordinal, rows, fates, keys: [] }
}

interface ReadLog extends SealLogContent {
  readonly begun: boolean
  readonly isGarbage: boolean
}

/** A crash that cuts a rotation short leaves less than that, and is no damage. */
const GARBAGE_BYTES_MIN = 4_096

async function readOne(disk: Disk, name: string): Promise<ReadLog> {
  const file = await disk.open(name)
  try {
    const bytes = await file.read(0, await file.size())
    const isGarbage = bytes.length >= GARBAGE_BYTES_MIN && recordAt(bytes, 0) === undefined
    return { ...parse(bytes), isGarbage }
  } finally {
    await file.close()
  }
}

/** A seal of the million rows that a window may have at most. */
const RECORD_BYTES_MAX = 1_000_100

/** A record at `at`; undefined where there is none that is whole. */
function recordAt(bytes: Buffer, at: number): Buffer | undefined {
  if (at + 9 > bytes.length) return undefined
  const length = bytes.readUInt32LE(at)
  const type = bytes.readUInt8(at + 8)
  // Bounded, because in garbage every byte is tried, and each checksum costs what it covers.
  if (length < 1 || length > RECORD_BYTES_MAX || at + 8 + length > bytes.length) return undefined
  if (type < FRONTIER || type > KEYS) return undefined
  const body = bytes.subarray(at + 8, at + 8 + length)
  return crc32(body) === bytes.readUInt32LE(at + 4) ? body : undefined
}

function parse(bytes: Buffer): SealLogContent & { begun: boolean } {
  let frontier: Frontier | undefined
  let [begun, damaged, skipped] = [false, false, false]
  const open = new Map<number, Seal>()
  const keys = new Map<number, RowId[]>()
  for (let at = 0; at < bytes.length;) {
    const body = recordAt(bytes, at)
    if (body === undefined) {
      // What comes behind a damaged record counts all the same: it says how far delivery went.
      skipped = true
      at += 1
      continue
    }
    // At the very end it is a write that a crash cut short, and was never acted upon.
    damaged ||= skipped
    const content = body.subarray(1)
    const type = body.readUInt8(0)
    if (type === BEGUN) {
      begun = true
    } else if (type === FRONTIER) {
      if (content.length > 0) frontier = readPlace(content, 0)
    } else if (type === KEYS) {
      const id = content.readUIntLE(0, 6)
      keys.set(id, [...(keys.get(id) ?? []), ...decodeKeys(content)])
    } else if (type === SEAL) {
      const seal = decodeSeal(content)
      open.set(seal.id, { ...seal, keys: keys.get(seal.id) ?? [] })
      keys.delete(seal.id)
    } else {
      open.delete(content.readUIntLE(0, 6))
      frontier = readPlace(content, 6)
    }
    at += 8 + body.length
  }
  // Windows end in their order: one before the frontier is done, also where its note is damaged.
  const passed = frontier?.ordinal ?? 0
  const left = [...open.values()].filter(({ ordinal, rows }) => ordinal + rows > passed)
  return { frontier, open: left.sort((a, b) => a.id - b.id), begun, damaged }
}

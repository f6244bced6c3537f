/**
 * The few types of ClickHouse's RowBinary that our tables use: a varint before every text, little
 * endian numbers, and a UUID as two little endian halves.
 * @see https://clickhouse.com/docs/interfaces/formats/RowBinary
 */

/** How a value stands in RowBinary. `LowCardinality(String)` stands there as a plain String. */
export type ColumnType =
  | 'UUID'
  | 'String'
  | 'LowCardinality(String)'
  | 'Nullable(String)'
  | 'DateTime64(3)'
  | 'Nullable(DateTime64(3))'
  | 'Array(String)'
  | 'Map(String, String)'

const TWO_32 = 0x1_0000_0000
const SHORT_CHARS_MAX = 64 // Beyond that encodeInto is faster than a loop, below it its call costs more.
const SCRATCH_BYTES = 512 * 1024
const SCRATCH_KEPT_BYTES_MAX = 4 * 1024 * 1024
const encoder = new TextEncoder()
// A byte order mark is text like any other; without `ignoreBOM` it would vanish.
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

// One buffer for all writers, because rows are encoded in one go without an await between begin and
// end: allocating per request costs more than the encoding itself. It is made at the first use.
let scratch = new Uint8Array(0)
let at = 0

/** Starts to write. Between this and {@link written} nothing else may write. */
export function beginWriting(): void {
  if (scratch.length === 0) scratch = new Uint8Array(SCRATCH_BYTES)
  at = 0
}

/** Bytes written since {@link beginWriting}. */
export function writtenBytes(): number {
  return at
}

// Rows of many requests share memory, which is used again once all of them have given it back: as
// garbage it would be 60 MB/s, and a heap that has lost its shape.
const SLAB_BYTES = 1024 * 1024
const SLABS_FREE_MAX = 8

interface Slab {
  readonly memory: Uint8Array
  taken: number
  users: number
}
let slab: Slab = { memory: new Uint8Array(0), taken: 0, users: 0 }
const slabs = new WeakMap<ArrayBufferLike, Slab>()
const freeSlabs: Slab[] = []

/** What was written since {@link beginWriting}, as the caller's own bytes. */
export function written(): Uint8Array {
  const bytes = at > SLAB_BYTES / 2 ? new Uint8Array(at) : fromSlab(at)
  bytes.set(scratch.subarray(0, at))
  // A rare giant must not hold its memory for ever.
  if (scratch.length > SCRATCH_KEPT_BYTES_MAX) scratch = new Uint8Array(0)
  return bytes
}

function fromSlab(length: number): Uint8Array {
  if (slab.taken + length > slab.memory.length) {
    slab = freeSlabs.pop() ?? { memory: new Uint8Array(SLAB_BYTES), taken: 0, users: 0 }
    slabs.set(slab.memory.buffer, slab)
  }
  slab.taken += length
  slab.users += 1
  return slab.memory.subarray(slab.taken - length, slab.taken)
}

/**
 * Gives back what {@link written} gave: nobody may read it any more. Optional: what is not given
 * back is collected as garbage some time.
 */
export function giveBack(bytes: Uint8Array): void {
  const used = slabs.get(bytes.buffer)
  if (used === undefined) return
  used.users -= 1
  if (used.users > 0) return
  used.taken = 0
  if (used !== slab && freeSlabs.length < SLABS_FREE_MAX) freeSlabs.push(used)
}

function reserve(count: number): void {
  if (at + count <= scratch.length) return
  const larger = new Uint8Array(Math.max(scratch.length * 2, at + count))
  larger.set(scratch.subarray(0, at))
  scratch = larger
}

/** A count or a length: seven bits to a byte, lowest first. */
function writeVarint(value: number): void {
  reserve(5)
  let rest = value
  while (rest > 127) {
    scratch[at++] = (rest & 127) | 128
    rest >>>= 7
  }
  scratch[at++] = rest
}

/** Text as UTF-8 after its length; a lone surrogate becomes U+FFFD. */
export function writeString(text: string): void {
  const { length } = text
  reserve(3 * length + 5)
  if (length <= SHORT_CHARS_MAX) {
    const start = at
    scratch[at++] = length
    let index = 0
    for (; index < length; index++) {
      const unit = text.charCodeAt(index)
      if (unit > 127) break
      scratch[at++] = unit
    }
    if (index === length) return
    at = start
  }
  // The length stands before the text but is known after it: guess that it is ASCII, shift if not.
  const guess = varintBytes(length)
  const { written: count } = encoder.encodeInto(text, scratch.subarray(at + guess))
  const needed = varintBytes(count)
  if (needed !== guess) {
    scratch.copyWithin(at + needed, at + guess, at + guess + count)
  }
  writeVarint(count)
  at += count
}

function varintBytes(value: number): number {
  if (value < 128) return 1
  if (value < 16_384) return 2
  if (value < 2_097_152) return 3
  return value < 268_435_456 ? 4 : 5
}

/** A text or nothing. */
export function writeNullableString(text: string | null): void {
  reserve(1)
  scratch[at++] = text === null ? 1 : 0
  if (text !== null) writeString(text)
}

/** Milliseconds since the Unix epoch, as DateTime64(3). */
export function writeTime(ms: number): void {
  reserve(8)
  writeUint32(ms >>> 0)
  writeUint32(Math.floor(ms / TWO_32) >>> 0)
}

/** A whole number from 0 on, as UInt64. */
export function writeCount(value: number): void {
  writeTime(value)
}

function writeUint32(value: number): void {
  scratch[at++] = value & 255
  scratch[at++] = (value >>> 8) & 255
  scratch[at++] = (value >>> 16) & 255
  scratch[at++] = value >>> 24
}

/** Milliseconds since the Unix epoch or nothing. */
export function writeNullableTime(ms: number | undefined): void {
  reserve(1)
  scratch[at++] = ms === undefined ? 1 : 0
  if (ms !== undefined) writeTime(ms)
}

/** Texts after their number. */
export function writeStrings(texts: readonly string[]): void {
  writeVarint(texts.length)
  for (const text of texts) writeString(text)
}

/** Pairs after their number. */
export function writeStringMap(map: Readonly<Record<string, string>>): void {
  const names = Object.keys(map)
  writeVarint(names.length)
  for (const name of names) {
    writeString(name)
    writeString(map[name] ?? '')
  }
}

/** A UUID of 32 hex digits in any case, with dashes or without. */
export function writeUuid(uuid: string): void {
  reserve(16)
  let digit = 0
  for (let index = 0; index < uuid.length && digit < 32; index++) {
    const value = hexValue(uuid.charCodeAt(index))
    if (value < 0) continue
    const byte = digit >> 1
    const place = at + (byte < 8 ? 7 - byte : 23 - byte)
    if ((digit & 1) === 0) scratch[place] = value << 4
    else scratch[place] = (scratch[place] ?? 0) | value
    digit++
  }
  if (digit !== 32) throw new RangeError('An id of an occurrence is no UUID.')
  at += 16
}

function hexValue(unit: number): number {
  if (unit >= 48 && unit <= 57) return unit - 48
  const lower = unit | 32
  return lower >= 97 && lower <= 102 ? lower - 87 : -1
}

/** A place in bytes that moves on as values are read. */
export interface Cursor {
  readonly bytes: Uint8Array
  at: number
}

function readByte(cursor: Cursor): number {
  const byte = cursor.bytes[cursor.at++]
  if (byte === undefined) throw new RangeError('A row ends before its last column.')
  return byte
}

/** A count or a length. */
function readVarint(cursor: Cursor): number {
  let value = 0
  for (let factor = 1; factor <= 0x10_0000_0000; factor *= 128) {
    const byte = readByte(cursor)
    value += (byte & 127) * factor
    if (byte < 128) return value
  }
  throw new RangeError('A length in a row is too large.')
}

/** A text. */
export function readString(cursor: Cursor): string {
  const length = readVarint(cursor)
  const start = cursor.at
  if (start + length > cursor.bytes.length) throw new RangeError('A row ends inside a text.')
  cursor.at = start + length
  return length === 0 ? '' : decoder.decode(cursor.bytes.subarray(start, start + length))
}

/** A text or null. */
export function readNullableString(cursor: Cursor): string | null {
  return readByte(cursor) === 0 ? readString(cursor) : null
}

function readUint32(cursor: Cursor): number {
  const low = readByte(cursor) | (readByte(cursor) << 8) | (readByte(cursor) << 16)
  return low + readByte(cursor) * 0x100_0000
}

/** Milliseconds since the Unix epoch. */
export function readTime(cursor: Cursor): number {
  const low = readUint32(cursor)
  return low + readUint32(cursor) * TWO_32
}

/** Milliseconds since the Unix epoch, or undefined. */
export function readNullableTime(cursor: Cursor): number | undefined {
  return readByte(cursor) === 0 ? readTime(cursor) : undefined
}

/** Texts. */
export function readStrings(cursor: Cursor): string[] {
  return Array.from({ length: readVarint(cursor) }, () => readString(cursor))
}

/** Pairs. A name such as `__proto__` stays a name. */
export function readStringMap(cursor: Cursor): Record<string, string> {
  const pair = (): [string, string] => [readString(cursor), readString(cursor)]
  return Object.fromEntries(Array.from({ length: readVarint(cursor) }, pair))
}

/** A UUID in lower case with dashes. */
export function readUuid(cursor: Cursor): string {
  const start = cursor.at
  let text = ''
  for (let byte = 0; byte < 16; byte++) {
    cursor.at = start + (byte < 8 ? 7 - byte : 23 - byte)
    text += readByte(cursor).toString(16).padStart(2, '0')
    if (byte === 3 || byte === 5 || byte === 7 || byte === 9) text += '-'
  }
  cursor.at = start + 16
  return text
}

/** A value as JSONEachRow takes it. */
export function readForJson(
  cursor: Cursor,
  type: ColumnType,
): string | number | null | string[] | Record<string, string> {
  switch (type) {
    case 'UUID':
      return readUuid(cursor)
    case 'String':
    case 'LowCardinality(String)':
      return readString(cursor)
    case 'Nullable(String)':
      return readNullableString(cursor)
    // A bare number is read as milliseconds in every year; text is not.
    case 'DateTime64(3)':
      return readTime(cursor)
    case 'Nullable(DateTime64(3))':
      return readNullableTime(cursor) ?? null
    case 'Array(String)':
      return readStrings(cursor)
    case 'Map(String, String)':
      return readStringMap(cursor)
  }
}

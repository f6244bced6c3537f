import type { DescField } from '@bufbuild/protobuf'
import { ScalarType } from '@bufbuild/protobuf'
import type { BinaryReader } from '@bufbuild/protobuf/wire'
import { WireType, base64Encode } from '@bufbuild/protobuf/wire'
import { bytesToHex } from '@noble/hashes/utils.js'
import { LIMITS } from '../../occurrence.ts'
import type { Json } from '../../occurrence.ts'
import { put } from '../json.ts'
import type { MutableJsonObject } from '../json.ts'
import {
  AnyValueSchema,
  ArrayValueSchema,
  KeyValueListSchema,
  KeyValueSchema,
} from './generated/opentelemetry/proto/common/v1/common_pb.ts'

/**
 * Reads from protobuf what is asked for and hops over the rest: most records of a request are no errors, and the
 * library's own messages cost five times as much as their text in JSON. Bytes are read by the library; numbers and
 * types of fields come from the official definitions. All of these throw an Error for bytes that are no such message.
 */

/** The scalars that are no varints. */
const WIDE: ReadonlyMap<ScalarType, WireType> = new Map([
  [ScalarType.STRING, WireType.LengthDelimited],
  [ScalarType.BYTES, WireType.LengthDelimited],
  [ScalarType.FIXED64, WireType.Bit64],
  [ScalarType.SFIXED64, WireType.Bit64],
  [ScalarType.DOUBLE, WireType.Bit64],
  [ScalarType.FIXED32, WireType.Bit32],
  [ScalarType.SFIXED32, WireType.Bit32],
  [ScalarType.FLOAT, WireType.Bit32],
])

/** What stands before a field's value on the wire. Of lists, those of messages only. */
export function tagOf(field: DescField): number {
  return (field.number << 3) | wireTypeOf(field)
}

/** Calls `visit` with the end of each message in one field of the message that ends at `end`, and stops there. */
export function each(
  reader: BinaryReader,
  end: number,
  wanted: number,
  visit: (end: number) => void,
): void {
  while (reader.pos < end) {
    const tag = reader.uint32()
    if (tag === wanted) {
      const stop = stopAt(reader, end)
      visit(stop)
      reader.pos = stop
    } else {
      if (tag >>> 3 === wanted >>> 3) throw wrongType(tag)
      skip(reader, tag)
    }
  }
  finish(reader, end)
}

/** Reads a length and says where what it measures ends. */
export function stopAt(reader: BinaryReader, end: number): number {
  const length = reader.uint32()
  const stop = reader.pos + length
  if (stop > end) throw new RangeError('A message is longer than what holds it.')
  return stop
}

/** Hops over the value behind a tag. */
export function skip(reader: BinaryReader, tag: number): void {
  const type = WIRE_TYPES[tag & 7]
  if (tag >>> 3 === 0 || type === undefined) throw wrongType(tag)
  if (type === WireType.LengthDelimited) {
    const length = reader.uint32()
    reader.pos += length
  } else reader.skip(type, tag >>> 3)
}

/** Makes sure that a message ended where its length said. */
export function finish(reader: BinaryReader, end: number): void {
  if (reader.pos !== end) throw new RangeError('A field is longer than the message that holds it.')
}

/** Said for a field that the definitions give another wire type. */
export function wrongType(tag: number): Error {
  return new Error(`The field ${String(tag >>> 3)} has the wire type ${String(tag & 7)}.`)
}

/** An id in lower-case hex; empty where it has not `bytes` bytes or is all zeros. */
export function idAt(reader: BinaryReader, bytes: number): string {
  const id = reader.bytes()
  return id.length === bytes && id.some((byte) => byte !== 0) ? bytesToHex(id) : ''
}

/** The name of the attribute that the reader stands at; the value is hopped over. */
export function nameAt(reader: BinaryReader, end: number): string {
  let name = ''
  while (reader.pos < end) {
    const tag = reader.uint32()
    if (tag === KEY) name = wordAt(reader)
    else skip(reader, tag)
  }
  finish(reader, end)
  return name
}

/** Adds the attribute that the reader stands at. What is nested too deep becomes null. */
export function pairAt(
  reader: BinaryReader,
  end: number,
  add: (name: string, value: Json) => void,
  depthMax: number = LIMITS.metadataDepthMax,
): void {
  let name = ''
  let value: Json = null
  while (reader.pos < end) {
    const tag = reader.uint32()
    if (tag === KEY) name = wordAt(reader)
    else if (tag === VALUE) value = anyAt(reader, stopAt(reader, end), depthMax)
    else if (tag >>> 3 === KEY >>> 3 || tag >>> 3 === VALUE >>> 3) throw wrongType(tag)
    else skip(reader, tag)
  }
  finish(reader, end)
  add(name, value)
}

/** The `AnyValue` that the reader stands at. */
export function anyAt(
  reader: BinaryReader,
  end: number,
  depthMax: number = LIMITS.metadataDepthMax,
): Json {
  let value: Json = null
  if (depthMax <= 0) reader.pos = end
  while (reader.pos < end) {
    const tag = reader.uint32()
    if (tag === STRING) value = reader.string()
    else if (tag === INT) value = integerOf(reader.int64())
    else if (tag === BOOL) value = reader.bool()
    else if (tag === DOUBLE) value = doubleOf(reader.double())
    else if (tag === BYTES) value = base64Encode(reader.bytes())
    else if (tag === ARRAY) value = listAt(reader, stopAt(reader, end), depthMax - 1)
    else if (tag === MAP) value = mapAt(reader, stopAt(reader, end), depthMax - 1)
    else if (tag >>> 3 <= BYTES >>> 3) throw wrongType(tag)
    else skip(reader, tag)
  }
  finish(reader, end)
  return value
}

const { Varint, Bit64, LengthDelimited, StartGroup, EndGroup, Bit32 } = WireType
const WIRE_TYPES: readonly WireType[] = [
  Varint,
  Bit64,
  LengthDelimited,
  StartGroup,
  EndGroup,
  Bit32,
]
const { key, value } = KeyValueSchema.field
const [KEY, VALUE] = [tagOf(key), tagOf(value)]
const any = AnyValueSchema.field
const [STRING, BOOL, INT] = [tagOf(any.stringValue), tagOf(any.boolValue), tagOf(any.intValue)]
const [DOUBLE, BYTES] = [tagOf(any.doubleValue), tagOf(any.bytesValue)]
const [ARRAY, MAP] = [tagOf(any.arrayValue), tagOf(any.kvlistValue)]
const ENTRY = tagOf(ArrayValueSchema.field.values)
const PAIR = tagOf(KeyValueListSchema.field.values)

// Names repeat from record to record; making the same text again costs more than all else of an attribute.
const WORDS_MAX = 1_024
const WORD_BYTES_MAX = 64
const words = Array.from({ length: WORDS_MAX }, () => ({ bytes: new Uint8Array(0), text: '' }))

/** A text that was probably read before. */
function wordAt(reader: BinaryReader): string {
  const bytes = reader.bytes()
  const { length } = bytes
  if (length > WORD_BYTES_MAX) return utf8.decode(bytes)
  let hash = length
  for (let at = 0; at < length; at++) hash = (Math.imul(hash, 31) + (bytes[at] ?? 0)) | 0
  const slot = (hash ^ (hash >>> 11)) & (WORDS_MAX - 1)
  const known = words[slot]
  if (known !== undefined && isSame(known.bytes, bytes)) return known.text
  const text = utf8.decode(bytes)
  words[slot] = { bytes: bytes.slice(), text }
  return text
}

function isSame(some: Uint8Array, others: Uint8Array): boolean {
  if (some.length !== others.length) return false
  for (let at = 0; at < some.length; at++) if (some[at] !== others[at]) return false
  return true
}

// A leading U+FEFF is text here, not the mark of a byte order.
const utf8 = new TextDecoder('utf-8', { ignoreBOM: true })

function listAt(reader: BinaryReader, end: number, depthMax: number): Json {
  const list: Json[] = []
  each(reader, end, ENTRY, (stop) => list.push(anyAt(reader, stop, depthMax)))
  return list
}

function mapAt(reader: BinaryReader, end: number, depthMax: number): Json {
  const map: MutableJsonObject = {}
  each(reader, end, PAIR, (stop) =>
    pairAt(reader, stop, (name, value) => put(map, name, value), depthMax),
  )
  return map
}

function integerOf(value: bigint | string): Json {
  const number = Number(value)
  // Beyond 2^53 the text is exact and the number is not.
  return Number.isSafeInteger(number) ? number : String(value)
}

function doubleOf(value: number): Json {
  return Number.isFinite(value) ? value : String(value)
}

function wireTypeOf(field: DescField): WireType {
  if (field.fieldKind === 'enum') return WireType.Varint
  if (field.fieldKind !== 'scalar') return WireType.LengthDelimited
  return WIDE.get(field.scalar) ?? WireType.Varint
}

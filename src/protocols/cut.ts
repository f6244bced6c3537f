import type { Json, JsonObject } from '../occurrence.ts'
import { isObject, listOf } from './json.ts'

/** The longest beginning of a text that fits `bytesMax` bytes of UTF-8; lone surrogates become U+FFFD. */
export function cutEnd(text: string, bytesMax: number): string {
  const whole = text.isWellFormed() ? text : text.toWellFormed()
  if (fits(whole, bytesMax)) return whole
  const { read } = encoder.encodeInto(whole, new Uint8Array(Math.max(0, bytesMax)))
  return whole.slice(0, read)
}

/** As {@link cutEnd}, and where something is missing the text says so behind what was kept. */
export function cutNoted(text: string, bytesMax: number): string {
  const kept = cutEnd(text, bytesMax)
  if (kept.length >= text.length) return kept
  return `${kept}… [cut: ${String(byteLength(kept))} of ${String(byteLength(text))} bytes kept]`
}

/** The first `charsMax` characters; a pair of surrogates is not torn, a lone one becomes U+FFFD. */
export function cutChars(text: string, charsMax: number): string {
  const whole = text.isWellFormed() ? text : text.toWellFormed()
  if (whole.length <= charsMax) return whole
  const head = whole.slice(0, charsMax)
  return head.isWellFormed() ? head : head.slice(0, -1)
}

/** Both ends of a text, within `bytesMax` bytes of UTF-8 together with the words that stand between. */
export function cutMiddle(text: string, bytesMax: number): string {
  const whole = text.isWellFormed() ? text : text.toWellFormed()
  if (fits(whole, bytesMax)) return whole
  const half = Math.floor((bytesMax - GAP.length) / 2)
  const tail = encoder.encode(whole.slice(-half)).subarray(-half)
  // A character that was torn at the front of the tail goes: continuation bytes begin with 10.
  const start = tail.findIndex((byte) => (byte & 0xc0) !== 0x80)
  return (
    cutEnd(whole.slice(0, half), half) + GAP + decoder.decode(tail.subarray(start)).toWellFormed()
  )
}

/** The first and the last of a list: the crash is at one end of a stack, the entry point at the other. */
export function bothEnds<T>(list: readonly T[], max: number): readonly T[] {
  if (list.length <= max) return list
  const head = Math.ceil(max / 2)
  return [...list.slice(0, head), ...list.slice(list.length - (max - head))]
}

/**
 * A JSON value of at most `bytesMax` bytes as text and `depthMax` levels: the same value where it fits,
 * else a copy whose long texts are cut and whose last entries are missing.
 */
export function cutJson(value: Json, bytesMax: number, depthMax: number): Json {
  // Nearly everything is far below its limit, which costs little to see.
  if (sizeAtMost(value, bytesMax, depthMax) <= bytesMax) return value
  if (jsonSize(value, bytesMax, depthMax) <= bytesMax) return value
  // One long text may not push out all that stands beside it.
  const room = { bytes: bytesMax, textBytesMax: Math.max(64, Math.floor(bytesMax / 8)) }
  return copyWithin(value, room, depthMax) ?? null
}

/** As {@link cutJson}, for an object. */
export function cutObject(value: JsonObject, bytesMax: number, depthMax: number): JsonObject {
  const narrow = cutJson(value, bytesMax, depthMax)
  return isObject(narrow) ? narrow : {}
}

/**
 * A quick upper bound of {@link jsonSize}, with the same ends of counting: a character of a text is at most six
 * bytes (`\\u0000`).
 */
export function sizeAtMost(value: Json, bytesMax: number, depthMax: number): number {
  if (typeof value === 'string') return 6 * value.length + 2
  if (typeof value !== 'object' || value === null) return 26
  if (depthMax <= 0) return Number.POSITIVE_INFINITY
  let size = 2
  if (!isObject(value)) {
    for (const entry of listOf(value)) {
      size += 1 + sizeAtMost(entry, bytesMax - size, depthMax - 1)
      if (size > bytesMax) return size
    }
    return size
  }
  for (const name in value) {
    size += 6 * name.length + 4 + sizeAtMost(value[name] ?? null, bytesMax - size, depthMax - 1)
    if (size > bytesMax) return size
  }
  return size
}

/**
 * Bytes of a value as JSON text. Counting stops beyond `bytesMax`; what is deeper than `depthMax` is infinite,
 * so no nesting can exhaust the call stack.
 */
export function jsonSize(value: Json, bytesMax: number, depthMax: number): number {
  if (typeof value === 'string') return textSize(value, bytesMax)
  if (typeof value !== 'object' || value === null) return String(value).length
  if (depthMax <= 0) return Number.POSITIVE_INFINITY
  let size = 2
  if (!isObject(value)) {
    for (const entry of listOf(value)) {
      size += 1 + jsonSize(entry, bytesMax - size, depthMax - 1)
      if (size > bytesMax) return size
    }
    return size
  }
  for (const [name, entry] of Object.entries(value)) {
    size += 2 + textSize(name, bytesMax) + jsonSize(entry, bytesMax - size, depthMax - 1)
    if (size > bytesMax) return size
  }
  return size
}

const GAP = '\n[... cut ...]\n'
const encoder = new TextEncoder()
const decoder = new TextDecoder()

function fits(text: string, bytesMax: number): boolean {
  if (text.length * 3 <= bytesMax) return true
  return text.length <= bytesMax && byteLength(text) <= bytesMax
}

function byteLength(text: string): number {
  let bytes = text.length
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at)
    if (unit < 0x80) continue
    // A pair of surrogates is two units and four bytes; everything else here is one unit of two or three.
    bytes += unit < 0x800 || (unit >= 0xd800 && unit < 0xe000) ? 1 : 2
  }
  return bytes
}

function textSize(text: string, bytesMax: number): number {
  if (text.length > bytesMax) return text.length + 2
  return ESCAPED.test(text) ? byteLength(JSON.stringify(text)) : byteLength(text) + 2
}

// Quotes, backslashes, controls and lone surrogates are written with more characters than they are.
const ESCAPED = /["\\\u0000-\u001f\ud800-\udfff]/

interface Room {
  bytes: number
  readonly textBytesMax: number
}

function copyWithin(value: Json, room: Room, depthMax: number): Json | undefined {
  if (typeof value === 'string') return copyText(value, room)
  if (typeof value !== 'object' || value === null) {
    return spend(room, String(value).length) ? value : undefined
  }
  if (depthMax <= 0) return copyText('[too deep]', room)
  if (!spend(room, 2)) return undefined
  return isObject(value)
    ? copyObject(value, room, depthMax)
    : copyList(listOf(value), room, depthMax)
}

function copyText(text: string, room: Room): string | undefined {
  const narrow = cutEnd(text, Math.min(room.textBytesMax, room.bytes - 2))
  return spend(room, textSize(narrow, Number.POSITIVE_INFINITY)) ? narrow : undefined
}

function copyList(list: readonly Json[], room: Room, depthMax: number): Json {
  const kept: Json[] = []
  for (const entry of list) {
    const narrow = spend(room, 1) ? copyWithin(entry, room, depthMax - 1) : undefined
    if (narrow === undefined) break
    kept.push(narrow)
  }
  return kept
}

function copyObject(object: JsonObject, room: Room, depthMax: number): Json {
  const kept: [string, Json][] = []
  for (const [name, entry] of Object.entries(object)) {
    const narrowName = cutEnd(name, room.textBytesMax)
    const narrow = spend(room, 2 + textSize(narrowName, Number.POSITIVE_INFINITY))
      ? copyWithin(entry, room, depthMax - 1)
      : undefined
    if (narrow === undefined) break
    kept.push([narrowName, narrow])
  }
  // Not by assignment: `__proto__` must stay an ordinary name.
  return Object.fromEntries(kept)
}

/** Takes bytes out of the room. What did not fit leaves the room as it was. */
function spend(room: Room, bytes: number): boolean {
  if (bytes > room.bytes) return false
  room.bytes -= bytes
  return true
}

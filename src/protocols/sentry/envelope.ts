import type { JsonObject } from '../../occurrence.ts'
import { Refusal } from '../../refusal.ts'
import { isObject, numberOf, parseJson, textOf } from '../json.ts'

/** One item of an envelope, its payload not yet read. */
export interface EnvelopeItem {
  readonly index: number
  readonly type: string
  readonly payload: Uint8Array
}

/** An envelope in its parts. What could not be split stands in `broken`. */
export interface Envelope {
  readonly headers: JsonObject
  readonly items: readonly EnvelopeItem[]
  readonly broken: readonly { readonly index: number; readonly refusal: Refusal }[]
}

/** Longest header line, of the envelope and of an item: names and ids, never content. */
const HEADER_BYTES_MAX = 8 * 1024
// Real clients send a handful; a session aggregate is one item.
const ITEMS_MAX = 1_000

/**
 * Splits an envelope into its items. Lengths are bytes, not characters; an item without `length` ends at the
 * next newline. After an item whose header or length is wrong, splitting goes on at the next line that can
 * only be an item header, so that the neighbours live.
 * @throws Refusal `malformed` when the first line is no JSON object.
 * @see https://develop.sentry.dev/sdk/foundations/envelopes/
 */
export function splitEnvelope(body: Uint8Array): Envelope {
  const first = lineAt(body, 0)
  const headers = headerOf(body, first)
  if (headers === undefined) {
    throw new Refusal('malformed', 'The first line of an envelope must be a JSON object.')
  }
  const items: EnvelopeItem[] = []
  const broken: { index: number; refusal: Refusal }[] = []
  let at = first.next
  for (let index = 0; at < body.length; index++) {
    if (index >= ITEMS_MAX) {
      broken.push({ index, refusal: bad(`An envelope holds at most ${String(ITEMS_MAX)} items.`) })
      break
    }
    // Clients that end every item with a newline leave empty lines; they are no items.
    if (body[at] === NEWLINE) {
      at++
      index--
      continue
    }
    const item = itemAt(body, at, index)
    if ('refusal' in item) broken.push({ index, refusal: item.refusal })
    else items.push(item.item)
    at = item.next
  }
  return { headers, items, broken }
}

/** The envelope's own header line; undefined when it is none. */
export function envelopeHeaders(body: Uint8Array): JsonObject | undefined {
  return headerOf(body, lineAt(body, 0))
}

const NEWLINE = 10

interface Line {
  readonly start: number
  readonly end: number
  /** Where the next line starts. */
  readonly next: number
}

type Step =
  | { readonly item: EnvelopeItem; readonly next: number }
  | { readonly refusal: Refusal; readonly next: number }

function itemAt(body: Uint8Array, at: number, index: number): Step {
  const line = lineAt(body, at)
  const headers = headerOf(body, line)
  const type = headers === undefined ? undefined : textOf(headers['type'])
  if (headers === undefined || type === undefined) {
    const refusal = bad('An item header must be a JSON object with a type.')
    return { refusal, next: nextHeader(body, line.next) }
  }
  if (headers['length'] === undefined || headers['length'] === null) {
    const payload = lineAt(body, line.next)
    return { item: { index, type, payload: bytes(body, payload) }, next: payload.next }
  }
  const length = numberOf(headers['length'])
  if (length === undefined || !Number.isInteger(length) || length < 0) {
    const refusal = bad(`The length of the item ${type.slice(0, 40)} is no number of bytes.`)
    return { refusal, next: nextHeader(body, line.next) }
  }
  const end = line.next + length
  if (end > body.length || (end < body.length && body[end] !== NEWLINE)) {
    const refusal = bad(`The length of the item ${type.slice(0, 40)} does not fit its payload.`)
    return { refusal, next: nextHeader(body, line.next) }
  }
  return { item: { index, type, payload: body.subarray(line.next, end) }, next: end + 1 }
}

// Payloads have a `type` too, so that alone does not make a line an item header.
const ITEM_HEADERS = new Set([
  'type',
  'length',
  'content_type',
  'filename',
  'attachment_type',
  'item_count',
  'platform',
  'meta',
])

/** Where splitting can go on: the next line that can only be an item header, or the end. */
function nextHeader(body: Uint8Array, from: number): number {
  for (let at = from; at < body.length;) {
    const line = lineAt(body, at)
    const headers = body[at] === 0x7b ? headerOf(body, line) : undefined
    const names = headers === undefined ? [] : Object.keys(headers)
    if (names.includes('type') && names.every((name) => ITEM_HEADERS.has(name))) return at
    at = line.next
  }
  return body.length
}

function lineAt(body: Uint8Array, start: number): Line {
  const found = body.indexOf(NEWLINE, start)
  return found === -1
    ? { start, end: body.length, next: body.length }
    : { start, end: found, next: found + 1 }
}

function headerOf(body: Uint8Array, line: Line): JsonObject | undefined {
  if (line.end - line.start > HEADER_BYTES_MAX) return undefined
  try {
    const value = parseJson(bytes(body, line), 'The header')
    return isObject(value) ? value : undefined
  } catch (error) {
    if (error instanceof Refusal) return undefined
    throw error
  }
}

function bytes(body: Uint8Array, line: Line): Uint8Array {
  return body.subarray(line.start, line.end)
}

function bad(message: string): Refusal {
  return new Refusal('malformed', message)
}

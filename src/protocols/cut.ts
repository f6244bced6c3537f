import { LIMITS, type Frame, type Json, type JsonObject, type ParsedStack } from '../occurrence.ts'
import { Refusal } from '../refusal.ts'
import { isObject, listOf } from './json.ts'

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** Containers nested deeper than this are an attack, not an event; up to here they are cut. */
const NESTING_MAX = 512

/** A UTF-16 unit is at most three bytes of UTF-8, and at most six of JSON (`\u0000`). */
const UTF8_BYTES_PER_UNIT = 3
const JSON_BYTES_PER_UNIT = 6

/**
 * Cuts texts and values to {@link LIMITS} and remembers which fields it touched.
 * One per occurrence; where nothing is too long it hands back what it was given.
 */
export interface Cutter {
  /** Keeps the first characters, code points, without a word: a code is a name. */
  readonly code: (code: string) => string
  /** Keeps the beginning, never splitting a character, and says in the text how much was kept. */
  readonly text: (field: string, text: string, bytesMax: number) => string
  /** Keeps both ends, for stacks: the throw stands at one, the entry point at the other. */
  readonly middle: (field: string, text: string, bytesMax: number) => string
  /** Keeps depth and bytes of metadata. */
  readonly metadata: (value: JsonObject) => JsonObject
  /** Keeps both ends of the frames, and the beginnings of their texts. */
  readonly stack: (value: ParsedStack) => ParsedStack
  /** Keeps the newest breadcrumbs. */
  readonly breadcrumbs: (value: readonly Json[]) => readonly Json[]
  /** Keeps the first tags, and the beginnings of their names and values. */
  readonly tags: (value: Readonly<Record<string, string>>) => Readonly<Record<string, string>>
  /** Keeps the first parts of a client's fingerprint. */
  readonly fingerprint: (value: readonly string[]) => readonly string[]
  /** What was given, and `field:cut` for each field that was touched, once. */
  readonly marks: readonly string[]
}

/** Starts cutting one occurrence, which has `given` marks already. */
export function createCutter(given: readonly string[]): Cutter {
  const marks = [...given]
  const mark = (field: string): void => {
    const name = `${field}:cut`
    if (!marks.includes(name)) marks.push(name)
  }
  const marked = <Value>(field: string, before: Value, after: Value): Value => {
    if (before !== after) mark(field)
    return after
  }
  const text: Cutter['text'] = (field, value, bytesMax) =>
    textFits(value, bytesMax) ? value : marked(field, value, cutEnd(value, bytesMax))
  return {
    marks,
    code: (code) => marked('code', code, cutCode(code)),
    text,
    middle: (field, value, bytesMax) =>
      textFits(value, bytesMax) ? value : marked(field, value, cutMiddle(value, bytesMax)),
    metadata: (value) => marked('metadata', value, cutObject(value)),
    stack: (value) => marked('parsedStack', value, cutStack(value)),
    breadcrumbs: (value) => marked('breadcrumbs', value, cutBreadcrumbs(value)),
    tags: (value) => marked('tags', value, cutTags(value)),
    fingerprint: (value) => marked('fingerprint', value, cutFingerprint(value)),
  }
}

/** Characters are code points; a text never has more of them than UTF-16 units. */
function cutCode(code: string): string {
  const max = LIMITS.codeCharsMax
  if (code.length <= max) return code
  const characters = Array.from(code.slice(0, 2 * max + 1))
  return characters.length <= max ? code : characters.slice(0, max).join('')
}

/** The text itself where it fits into `bytesMax` bytes of UTF-8, else its beginning and a mark. */
function cutEnd(text: string, bytesMax: number): string {
  const bytes = encoder.encode(text)
  if (bytes.length <= bytesMax) return text
  const end = characterStart(bytes, bytesMax)
  return `${decode(bytes, 0, end)}… [cut: ${end} of ${bytes.length} bytes kept]`
}

function cutMiddle(text: string, bytesMax: number): string {
  const bytes = encoder.encode(text)
  if (bytes.length <= bytesMax) return text
  const headEnd = characterStart(bytes, Math.ceil(bytesMax / 2))
  let tailStart = bytes.length - Math.floor(bytesMax / 2)
  while (isContinuation(bytes[tailStart])) tailStart++
  const kept = headEnd + bytes.length - tailStart
  const mark = `… [cut: ${kept} of ${bytes.length} bytes kept] …`
  return `${decode(bytes, 0, headEnd)}\n${mark}\n${decode(bytes, tailStart, bytes.length)}`
}

function decode(bytes: Uint8Array, start: number, end: number): string {
  return decoder.decode(bytes.subarray(start, end))
}

/** Where the character begins that holds the byte at `index`. */
function characterStart(bytes: Uint8Array, index: number): number {
  let start = index
  while (start > 0 && isContinuation(bytes[start])) start--
  return start
}

function isContinuation(byte: number | undefined): boolean {
  return byte !== undefined && (byte & 0xc0) === 0x80
}

/** The first and the last of a list: the crash is at one end of a stack, the entry point at the other. */
export function bothEnds<T>(list: readonly T[], max: number): readonly T[] {
  if (list.length <= max) return list
  const head = Math.ceil(max / 2)
  return [...list.slice(0, head), ...list.slice(list.length - (max - head))]
}

/** Whether surely nothing of a text is cut. */
export function textFits(text: string, bytesMax: number): boolean {
  return text.length * UTF8_BYTES_PER_UNIT <= bytesMax
}

/** Whether surely nothing of a stack is cut. */
export function stackFits({ frames, raw }: ParsedStack): boolean {
  return (
    frames.length <= LIMITS.framesMax &&
    textFits(raw, LIMITS.stackTraceBytesMax) &&
    frames.every(frameFits)
  )
}

/** Whether surely nothing of a frame is cut. */
export function frameFits({ functionName, fileName, raw, contextLine }: Frame): boolean {
  const max = LIMITS.frameTextBytesMax / UTF8_BYTES_PER_UNIT
  return (
    (functionName === null || functionName.length <= max) &&
    (fileName === null || fileName.length <= max) &&
    raw.length <= max &&
    (contextLine === undefined || contextLine.length <= max)
  )
}

function cutStack(stack: ParsedStack): ParsedStack {
  if (stackFits(stack)) return stack
  const ends = bothEnds(stack.frames, LIMITS.framesMax)
  const frames = ends.map(cutFrame)
  const raw = cutMiddle(stack.raw, LIMITS.stackTraceBytesMax)
  const isSame = raw === stack.raw && areSame(frames, stack.frames)
  return isSame ? stack : { ...stack, frames, raw }
}

function cutFrame(frame: Frame): Frame {
  if (frameFits(frame)) return frame
  const text = (value: string) => cutEnd(value, LIMITS.frameTextBytesMax)
  const functionName = frame.functionName === null ? null : text(frame.functionName)
  const fileName = frame.fileName === null ? null : text(frame.fileName)
  const raw = text(frame.raw)
  const contextLine = frame.contextLine === undefined ? undefined : text(frame.contextLine)
  const isSame =
    functionName === frame.functionName &&
    fileName === frame.fileName &&
    raw === frame.raw &&
    contextLine === frame.contextLine
  if (isSame) return frame
  const more = contextLine === undefined ? undefined : { contextLine }
  return { ...frame, functionName, fileName, raw, ...more }
}

function areSame<T>(some: readonly T[], others: readonly T[]): boolean {
  return some.length === others.length && some.every((value, at) => value === others[at])
}

/** Whether surely nothing of the tags is cut. */
export function tagsFit(tags: Readonly<Record<string, string>>): boolean {
  let count = 0
  let isLong = false
  for (const name in tags) {
    count++
    const value = tags[name] ?? ''
    isLong ||= name.length * UTF8_BYTES_PER_UNIT > LIMITS.tagNameBytesMax
    isLong ||= value.length * UTF8_BYTES_PER_UNIT > LIMITS.tagValueBytesMax
  }
  return count <= LIMITS.tagsMax && !isLong
}

function cutTags(tags: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  if (tagsFit(tags)) return tags
  const before = Object.entries(tags)
  const after = before
    .slice(0, LIMITS.tagsMax)
    .map(
      ([name, value]) =>
        [cutEnd(name, LIMITS.tagNameBytesMax), cutEnd(value, LIMITS.tagValueBytesMax)] as const,
    )
  const isSame =
    after.length === before.length &&
    after.every(([name, value], at) => name === before[at]?.[0] && value === before[at][1])
  return isSame ? tags : Object.fromEntries(after)
}

/** Whether surely nothing of a client's fingerprint is cut. */
export function fingerprintFits(parts: readonly string[]): boolean {
  const { fingerprintPartsMax, fingerprintPartBytesMax } = LIMITS
  return (
    parts.length <= fingerprintPartsMax &&
    parts.every((part) => textFits(part, fingerprintPartBytesMax))
  )
}

function cutFingerprint(parts: readonly string[]): readonly string[] {
  const { fingerprintPartsMax, fingerprintPartBytesMax } = LIMITS
  const after = parts
    .slice(0, fingerprintPartsMax)
    .map((part) => cutEnd(part, fingerprintPartBytesMax))
  return areSame(after, parts) ? parts : after
}

/** Whether surely nothing of the breadcrumbs is cut. */
export function breadcrumbsFit(all: readonly Json[]): boolean {
  const { breadcrumbsMax, breadcrumbsBytesMax, metadataDepthMax } = LIMITS
  if (all.length === 0) return true
  if (all.length > breadcrumbsMax) return false
  return weigh(all, metadataDepthMax + 1, breadcrumbsBytesMax) <= breadcrumbsBytesMax
}

function cutBreadcrumbs(all: readonly Json[]): readonly Json[] {
  const { breadcrumbsMax, breadcrumbsBytesMax, metadataDepthMax } = LIMITS
  if (breadcrumbsFit(all)) return all
  const kept: Json[] = []
  let room = breadcrumbsBytesMax - 2
  // From the newest backwards: what happened just before the error tells most.
  for (const breadcrumb of all.slice(-breadcrumbsMax).toReversed()) {
    const shallow = limitDepth(breadcrumb, metadataDepthMax)
    const bytes = jsonBytes(shallow) + 1
    if (bytes > room) break
    room -= bytes
    kept.push(shallow)
  }
  // One breadcrumb that fills everything is better cut than dropped.
  const newest = all.at(-1)
  if (kept.length === 0 && newest !== undefined) {
    kept.push(fit(limitDepth(newest, metadataDepthMax), room))
  }
  kept.reverse()
  return areSame(kept, all) ? all : kept
}

/** Whether surely nothing of an object is cut. */
export function objectFits(value: JsonObject): boolean {
  const { metadataBytesMax, metadataDepthMax } = LIMITS
  return weigh(value, metadataDepthMax, metadataBytesMax) <= metadataBytesMax
}

function cutObject(value: JsonObject): JsonObject {
  const { metadataBytesMax, metadataDepthMax } = LIMITS
  if (objectFits(value)) return value
  const shallow = limitDepth(value, metadataDepthMax)
  if (!isObject(shallow) || jsonBytes(shallow) <= metadataBytesMax) {
    return isObject(shallow) ? shallow : value
  }
  return fitObject(shallow, metadataBytesMax)
}

/**
 * An upper bound of the bytes of `value` as JSON, cheaply: it stops as soon as the bound passes
 * `bytesMax`, and is infinite where containers nest deeper than `depthMax`.
 */
function weigh(value: Json | undefined, depthMax: number, bytesMax: number): number {
  if (typeof value === 'string') return value.length * JSON_BYTES_PER_UNIT + 3
  if (typeof value !== 'object' || value === null) return 26
  if (depthMax === 0) return Infinity
  let sum = 3
  if (!isObject(value)) {
    for (const item of listOf(value)) {
      sum += weigh(item, depthMax - 1, bytesMax)
      if (sum > bytesMax) return sum
    }
    return sum
  }
  for (const name in value) {
    sum += name.length * JSON_BYTES_PER_UNIT + 4 + weigh(value[name], depthMax - 1, bytesMax)
    if (sum > bytesMax) return sum
  }
  return sum
}

/** @throws Refusal `malformed` for a value that is nested deeper than 512 levels, which is no mistake. */
export function requireBottom(field: string, value: Json): void {
  if (isDeeperThan(value, NESTING_MAX)) {
    throw new Refusal(
      'malformed',
      `${field} must not be nested deeper than ${NESTING_MAX} levels; up to ${LIMITS.metadataDepthMax} are kept.`,
    )
  }
}

function isDeeperThan(value: Json, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (depth === 0) return true
  return Object.values(value).some((item) => isDeeperThan(item, depth - 1))
}

/** A text that alone is longer than all that is kept is cut to an eighth of it: its neighbours stay. */
const TEXT_CHARS_MAX = LIMITS.metadataBytesMax

/**
 * The same value where it is no deeper than `depth` containers and no text of it is beyond all measure; what
 * lies deeper becomes a mark.
 */
function limitDepth(value: Json, depth: number): Json {
  if (typeof value === 'string') {
    return value.length > TEXT_CHARS_MAX ? cutEnd(value, TEXT_CHARS_MAX / 8) : value
  }
  if (typeof value !== 'object' || value === null) return value
  if (depth === 0) return `[cut: nested deeper than ${LIMITS.metadataDepthMax}]`
  if (!isObject(value)) {
    const list = listOf(value)
    const items = list.map((item) => limitDepth(item, depth - 1))
    return areSame(items, list) ? value : items
  }
  const before = Object.entries(value)
  const after = before.map(([name, item]) => [name, limitDepth(item, depth - 1)] as const)
  const isSame = after.every(([, item], at) => item === before[at]?.[1])
  // fromEntries defines properties, so that a key named __proto__ stays a key.
  return isSame ? value : Object.fromEntries(after)
}

/** Room for a mark such as `"…":"[cut: 1000 of 2000 entries kept]"`. */
const MARK_BYTES = 64

function fit(value: Json, room: number): Json {
  if (typeof value === 'string') return fitString(value, room)
  if (typeof value !== 'object' || value === null) return value
  return isObject(value) ? fitObject(value, room) : fitArray(listOf(value), room)
}

function fitString(text: string, room: number): string {
  let keep = Math.max(0, room - MARK_BYTES)
  let kept = cutEnd(text, keep)
  while (keep > 0 && jsonBytes(kept) > room) {
    keep = Math.floor(keep * 0.8)
    kept = cutEnd(text, keep)
  }
  return kept
}

function fitArray(items: readonly Json[], bytesMax: number): readonly Json[] {
  let room = bytesMax - MARK_BYTES
  const kept: Json[] = []
  for (const item of items) {
    const bytes = jsonBytes(item) + 1
    if (bytes <= room) kept.push(item)
    else if (room > 2 * MARK_BYTES) kept.push(fit(item, room))
    room -= bytes
    if (room <= 0) break
  }
  if (kept.length === items.length) return kept
  return [...kept, `[cut: ${kept.length} of ${items.length} items kept]`]
}

function fitObject(value: JsonObject, bytesMax: number): JsonObject {
  let room = bytesMax - MARK_BYTES
  const entries = Object.entries(value)
  const kept: (readonly [string, Json])[] = []
  for (const [name, item] of entries) {
    const nameBytes = jsonBytes(name) + 2
    const bytes = nameBytes + jsonBytes(item)
    if (bytes <= room) kept.push([name, item])
    else if (room - nameBytes > 2 * MARK_BYTES) kept.push([name, fit(item, room - nameBytes)])
    room -= bytes
    if (room <= 0) break
  }
  if (kept.length < entries.length) {
    kept.push(['…', `[cut: ${kept.length} of ${entries.length} entries kept]`])
  }
  return Object.fromEntries(kept)
}

function jsonBytes(value: Json): number {
  return encoder.encode(JSON.stringify(value)).length
}

import type { Frame, Json, JsonObject, Occurrence, ParsedStack } from '../occurrence.ts'
import { createMemory } from '../remember.ts'
import { isShared } from '../same-frames.ts'
import { callsStart, sampleOf } from './stack.ts'
import { createSecretNames, type NameKind } from './secretNames.ts'
import { SCRUBBED } from './secretPairs.ts'
import { card } from './secretShapes.ts'
import { scrubText } from './secrets.ts'

interface ScrubOptions {
  /** Words that make a name secret, besides the default ones; in any case. */
  readonly names?: readonly string[]
}

/** Deeper values cannot be looked at and count as secret; twice what an occurrence may hold. */
const DEPTH_MAX = 32
/** Shorter texts are read faster than remembered. */
const REMEMBERED_CHARS_MIN = 256
const CLEAN_FRAMES = { countMax: 4096, bytesMax: 4 * 1024 * 1024 } as const
const CLEAN_TEXTS = { countMax: 4096, bytesMax: 4 * 1024 * 1024 } as const

/**
 * A stage that replaces secrets by `[scrubbed]` before anything touches a disk: whole values under
 * secret names in metadata, tags and breadcrumbs (`password`, `authToken`, `set-cookie`, …), and
 * within texts credentials of `Bearer` and `Basic`, pairs such as `token=…` and `"token":"…"`,
 * user and password in URLs, card numbers, private keys, JWTs, and tokens of known shapes.
 * Each field changed gets a mark `field:scrubbed`. What holds no secret is returned as the same
 * object; what has been scrubbed once is not changed again. Never throws.
 * Not looked at: ids, versions, `userId`, trace ids, and the names of metadata and tags themselves.
 */
export function scrub(options: ScrubOptions = {}): (occurrence: Occurrence) => Occurrence {
  const names = createSecretNames(options.names ?? [])
  const clean = createMemory<true>(CLEAN_TEXTS)
  const cleanShared = new WeakSet<readonly Frame[]>()
  const cleanFrames = createMemory<readonly Frame[]>(CLEAN_FRAMES)

  const ofText = (text: string): string => {
    if (text.length < REMEMBERED_CHARS_MIN) return scrubText(text, names)
    if (clean.find(text) === true) return text
    const scrubbed = scrubText(text, names)
    if (scrubbed === text) clean.keep(text, true, text.length * 2 + 256)
    return scrubbed
  }
  /** The message above the calls is new each time, the calls are not. */
  const ofStackText = (text: string): string => {
    const start = callsStart(text)
    if (start === 0) return ofText(text)
    const [head, calls] = [text.slice(0, start), text.slice(start)]
    const [cleanHead, cleanCalls] = [scrubText(head, names), ofText(calls)]
    return cleanHead === head && cleanCalls === calls ? text : cleanHead + cleanCalls
  }
  const ofFrames = (frames: readonly Frame[]): readonly Frame[] => {
    if (frames.length === 0 || cleanShared.has(frames)) return frames
    const key = sampleOf(frames)
    const known = cleanFrames.find(key)
    if (known !== undefined && haveSameTexts(known, frames)) return frames
    const scrubbed = mapped(frames, (frame) => scrubFrame(frame, names))
    if (scrubbed === frames) cleanFrames.keep(key, frames, frames.length * 600 + 256)
    if (scrubbed === frames && isShared(frames)) cleanShared.add(frames)
    return scrubbed
  }
  const ofValue = (value: Json): Json => scrubJson(value, names, 0)

  return (occurrence) => {
    const code = scrubText(occurrence.code, names)
    const message = scrubText(occurrence.message, names)
    const stackTrace = ofStackText(occurrence.stackTrace)
    const parsedStack = scrubStack(
      occurrence.parsedStack,
      // Clients send the same text twice: it is looked at once.
      (raw) => (raw === occurrence.stackTrace ? stackTrace : ofStackText(raw)),
      ofFrames,
    )
    const metadata = scrubObject(occurrence.metadata, names, 0)
    const tags = scrubTags(occurrence.tags, names)
    const fingerprint = mapped(occurrence.fingerprint, (part) => scrubText(part, names))
    const breadcrumbs = mapped(occurrence.breadcrumbs, ofValue)
    const changed = {
      code,
      message,
      stackTrace,
      parsedStack,
      metadata,
      tags,
      fingerprint,
      breadcrumbs,
    }
    return withMarks(occurrence, changed)
  }
}

type Changed = Pick<
  Occurrence,
  | 'code'
  | 'message'
  | 'stackTrace'
  | 'parsedStack'
  | 'metadata'
  | 'tags'
  | 'fingerprint'
  | 'breadcrumbs'
>

const FIELDS = [
  'code',
  'message',
  'stackTrace',
  'parsedStack',
  'metadata',
  'tags',
  'fingerprint',
  'breadcrumbs',
] as const satisfies readonly (keyof Changed)[]

function withMarks(occurrence: Occurrence, changed: Changed): Occurrence {
  let marks: string[] | undefined
  for (const field of FIELDS) {
    if (changed[field] === occurrence[field]) continue
    marks ??= [...occurrence.marks]
    if (!marks.includes(`${field}:scrubbed`)) marks.push(`${field}:scrubbed`)
  }
  return marks === undefined ? occurrence : { ...occurrence, ...changed, marks }
}

function scrubStack(
  stack: ParsedStack | undefined,
  ofRaw: (text: string) => string,
  ofFrames: (frames: readonly Frame[]) => readonly Frame[],
): ParsedStack | undefined {
  if (stack === undefined) return undefined
  const raw = ofRaw(stack.raw)
  const frames = ofFrames(stack.frames)
  return raw === stack.raw && frames === stack.frames ? stack : { ...stack, raw, frames }
}

/** Whether all that {@link scrubFrame} looks at is equal. */
function haveSameTexts(some: readonly Frame[], others: readonly Frame[]): boolean {
  if (some.length !== others.length) return false
  return some.every((frame, at) => {
    const other = others[at]
    return (
      other !== undefined &&
      frame.raw === other.raw &&
      frame.functionName === other.functionName &&
      frame.fileName === other.fileName &&
      frame.originalFileName === other.originalFileName &&
      frame.originalFunctionName === other.originalFunctionName &&
      frame.contextLine === other.contextLine
    )
  })
}

function scrubFrame(frame: Frame, names: (name: string) => NameKind): Frame {
  const raw = scrubText(frame.raw, names)
  const functionName = orNull(frame.functionName, names)
  const fileName = orNull(frame.fileName, names)
  const originalFileName = orNull(frame.originalFileName, names)
  const originalFunctionName = orNull(frame.originalFunctionName, names)
  const contextLine =
    frame.contextLine === undefined ? undefined : scrubText(frame.contextLine, names)
  if (
    raw === frame.raw &&
    functionName === frame.functionName &&
    fileName === frame.fileName &&
    originalFileName === frame.originalFileName &&
    originalFunctionName === frame.originalFunctionName &&
    contextLine === frame.contextLine
  ) {
    return frame
  }
  return {
    ...frame,
    raw,
    functionName,
    fileName,
    ...(originalFileName === undefined ? {} : { originalFileName }),
    ...(originalFunctionName === undefined ? {} : { originalFunctionName }),
    ...(contextLine === undefined ? {} : { contextLine }),
  }
}

function orNull<T extends null | undefined>(
  text: string | T,
  names: (name: string) => NameKind,
): string | T {
  return typeof text === 'string' ? scrubText(text, names) : text
}

function scrubTags(
  tags: Readonly<Record<string, string>>,
  names: (name: string) => NameKind,
): Readonly<Record<string, string>> {
  const of = (name: string, value: string): string =>
    isSecret(names(name), value) ? SCRUBBED : scrubText(value, names)
  const changes = changesOf(tags, of)
  // fromEntries defines properties, so that even a name like __proto__ stays one of its own.
  if (changes !== undefined) {
    return Object.fromEntries(
      Object.entries(tags).map(([name, text]) => [name, changes.get(name) ?? text]),
    )
  }
  return tags
}

function scrubJson(value: Json, names: (name: string) => NameKind, depth: number): Json {
  if (typeof value === 'string') return scrubText(value, names)
  if (typeof value === 'number') return isCardNumber(value) ? SCRUBBED : value
  if (value === null || typeof value === 'boolean') return value
  if (depth >= DEPTH_MAX) return SCRUBBED
  if (isList(value)) {
    const [name, second] = value
    // Headers often come as lists of names and values.
    if (value.length === 2 && isName(name) && typeof second === 'string') {
      const scrubbed = scrubNamed(name, second, names, depth)
      if (scrubbed !== second) return [scrubText(name, names), scrubbed]
    }
    return mapped(value, (item) => scrubJson(item, names, depth + 1))
  }
  return scrubObject(value, names, depth)
}

function scrubObject(
  object: JsonObject,
  names: (name: string) => NameKind,
  depth: number,
): JsonObject {
  const of = (key: string, value: Json): Json => {
    if (key !== 'value' || typeof value !== 'string') return scrubNamed(key, value, names, depth)
    // { name: 'Cookie', value: '…' }
    const name = object['name'] ?? object['key']
    return scrubNamed(isName(name) ? name : key, value, names, depth)
  }
  const changes = changesOf(object, of)
  if (changes !== undefined) {
    return Object.fromEntries(
      Object.entries(object).map(([name, item]) => [name, changes.get(name) ?? item]),
    )
  }
  return object
}

/** What becomes of each value that changes. Every value is looked at once, at any depth. */
function changesOf<T extends Json>(
  object: Readonly<Record<string, T>>,
  of: (name: string, value: T) => T,
): Map<string, T> | undefined {
  let changes: Map<string, T> | undefined
  for (const name of Object.keys(object)) {
    const value = object[name]
    if (value === undefined) continue
    const changed = of(name, value)
    if (changed !== value) (changes ??= new Map<string, T>()).set(name, changed)
  }
  return changes
}

/** A whole value under a secret name goes, whatever it is, unless it says that there is none. */
function scrubNamed(
  name: string,
  value: Json,
  names: (name: string) => NameKind,
  depth: number,
): Json {
  if (isSecret(names(name), value)) return SCRUBBED
  return scrubJson(value, names, depth + 1)
}

function isSecret(kind: NameKind, value: Json): boolean {
  if (kind === 'plain' || value === null || value === '' || typeof value === 'boolean') return false
  if (kind === 'secret') return true
  return typeof value === 'string' ? !/^[\d.]{1,32}$/.test(value) : typeof value !== 'number'
}

function isCardNumber(value: number): boolean {
  // The shortest has 13 digits and none begins with a 1: so no time in milliseconds is looked at.
  if (value < 2e12 || !Number.isSafeInteger(value)) return false
  const digits = String(value)
  return card(digits, 0, digits.length) !== undefined
}

/** A header's or field's name, where one is given as a value; not a text that speaks of secrets. */
function isName(value: Json | undefined): value is string {
  return typeof value === 'string' && /^[\w.-]{1,64}$/.test(value)
}

function isList(value: readonly Json[] | JsonObject): value is readonly Json[] {
  return Array.isArray(value)
}

/** The same list where nothing changed. */
function mapped<T>(list: readonly T[], change: (item: T) => T): readonly T[] {
  for (let at = 0; at < list.length; at++) {
    const item = list[at]
    if (item === undefined) continue
    const first = change(item)
    if (first === item) continue
    return [...list.slice(0, at), first, ...list.slice(at + 1).map(change)]
  }
  return list
}

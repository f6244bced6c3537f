import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'
import type { Frame, Grouping, Occurrence } from '../occurrence.ts'
import { normaliseFrame, type NormalFrame } from './frames.ts'
import { parameterise } from './parameterise.ts'
import { createMemory, type Memory } from '../remember.ts'
import { isShared } from '../same-frames.ts'
import { callsOf, sampleOf } from './stack.ts'
import { parseStackText, type Call } from './stackText.ts'

/** What is hashed of the version before this colon never changes: a change of the rules is `v2`. */
const VERSION = 'v1'
/** Newest first; what lies deeper is how the app was started. */
const FRAMES_MAX = 50
const COMPONENTS_MAX = 64
const COMPONENT_CHARS_MAX = 300
const DEFAULT_PART = /^\{\{\s{0,8}default\s{0,8}\}\}$/
const REMEMBERED = { countMax: 8192, bytesMax: 8 * 1024 * 1024 } as const

interface Known {
  readonly code: string
  readonly message: string | undefined
  /** What `parsedStack` held, to be compared: its text alone does not say. */
  readonly frames: readonly Frame[] | undefined
  readonly grouping: Grouping
}

/**
 * A stage that says which issue an occurrence belongs to: the client's own `fingerprint`, in which
 * `{{ default }}` stands for the computed one; else code and the app's own calls, of `parsedStack`
 * or, where that has none, of `stackTrace` as text; else code and message, without what differs
 * from one time to the next. Never throws; pure apart from a bounded memory of stacks.
 *
 * What stays the same keeps the issue: moved lines, a bundle's new hash, another host, the depth of
 * a recursion. What differs splits it: the code, and the app's own files and functions.
 */
export function group(occurrence: Occurrence): Grouping {
  const computed = remembered(occurrence, KNOWN)
  const parts = occurrence.fingerprint
  return parts.length === 0 ? computed : ofClient(parts, computed)
}

/** Of the process, as {@link KNOWN} is: by the array itself, where the message plays no part. */
const KNOWN_SHARED = new WeakMap<readonly Frame[], Known>()

function noteShared(frames: readonly Frame[] | undefined, known: Known): void {
  if (frames !== undefined && known.message === undefined && isShared(frames)) {
    KNOWN_SHARED.set(frames, known)
  }
}

/** Of the process: it holds results of a pure function only, so sharing it changes no answer. */
const KNOWN = createMemory<Known>(REMEMBERED)

function remembered(occurrence: Occurrence, known: Memory<Known>): Grouping {
  const { code, message } = occurrence
  const frames = occurrence.parsedStack?.frames.length ? occurrence.parsedStack.frames : undefined
  const same = frames === undefined ? undefined : KNOWN_SHARED.get(frames)
  if (same?.code === code) return same.grouping
  const key = keyOf(occurrence, frames)
  const found = known.find(key)
  if (
    found?.code === code &&
    (found.message === undefined || found.message === message) &&
    haveSameCalls(found.frames, frames)
  ) {
    noteShared(frames, found)
    return found.grouping
  }
  const { grouping, isByMessage } = compute(occurrence, frames)
  const kept = { code, message: isByMessage ? message : undefined, frames, grouping }
  const frameBytes = (frames?.length ?? 0) * 400
  noteShared(frames, kept)
  known.keep(key, kept, (key.length + (isByMessage ? message.length : 0)) * 2 + frameBytes + 1024)
  return grouping
}

/** Without what is new each time, the message above the calls, so that a stack is found again. */
function keyOf(occurrence: Occurrence, frames: readonly Frame[] | undefined): string {
  if (frames === undefined) return callsOf(occurrence.stackTrace) || occurrence.message
  return occurrence.code + sampleOf(frames)
}

function haveSameCalls(
  some: readonly Frame[] | undefined,
  others: readonly Frame[] | undefined,
): boolean {
  if (some === others) return true
  if (some === undefined || others?.length !== some.length) return false
  return some.every((frame, at) => {
    const other = others[at]
    return (
      other !== undefined &&
      frame.functionName === other.functionName &&
      frame.fileName === other.fileName &&
      frame.inApp === other.inApp &&
      frame.contextLine === other.contextLine &&
      frame.resolved === other.resolved &&
      frame.originalFileName === other.originalFileName &&
      frame.originalFunctionName === other.originalFunctionName
    )
  })
}

interface Computed {
  readonly grouping: Grouping
  readonly isByMessage: boolean
}

function compute(occurrence: Occurrence, frames: readonly Frame[] | undefined): Computed {
  const calls = frames?.map(callOf) ?? parseStackText(callsOf(occurrence.stackTrace))
  const all = normalised(calls)
  if (all.length === 0) {
    const components = [occurrence.code, parameterise(occurrence.message)]
    const fingerprint = hash('message', components)
    return {
      grouping: grouping(fingerprint, fingerprint, 'message', components),
      isByMessage: true,
    }
  }
  const ours = calls.filter((call) => call.inApp)
  const own = ours.length === 0 || ours.length === calls.length ? all : normalised(ours)
  const chosen = own.length === 0 ? all : own
  // Files alone, as a minifier leaves them, would make one issue of all bugs in a bundle.
  const isByMessage = !chosen.some((frame) => frame.isTelling)
  const message = isByMessage ? [parameterise(occurrence.message)] : []
  const components = [occurrence.code, ...chosen.map((frame) => frame.text), ...message]
  const fingerprint = hash('stack', components)
  const secondary =
    chosen === all
      ? fingerprint
      : hash('stack', [occurrence.code, ...all.map((frame) => frame.text), ...message])
  return { grouping: grouping(fingerprint, secondary, 'stack', components), isByMessage }
}

/** By the names of the sources, where source maps gave them. */
function callOf(frame: Frame): Call {
  return {
    functionName: frame.originalFunctionName ?? frame.functionName,
    fileName: frame.originalFileName ?? frame.fileName,
    inApp: frame.inApp,
    ...(frame.contextLine === undefined ? {} : { contextLine: frame.contextLine }),
  }
}

/** Each call once, at its newest place: so a recursion counts the same at any depth. */
function normalised(calls: readonly Call[]): readonly NormalFrame[] {
  const distinct = new Map<string, NormalFrame>()
  for (const call of calls) {
    const frame = normaliseFrame(call)
    if (frame.text !== '' && !distinct.has(frame.text)) distinct.set(frame.text, frame)
    if (distinct.size >= FRAMES_MAX) break
  }
  return [...distinct.values()]
}

function ofClient(parts: readonly string[], computed: Grouping): Grouping {
  const isDefault = (part: string): boolean => DEFAULT_PART.test(part)
  if (parts.every(isDefault) && parts.length === 1) return computed
  const filled = parts.map((part) => (isDefault(part) ? computed.fingerprint : part))
  const fingerprint = hash('client', filled)
  const secondary = parts.some(isDefault)
    ? hash(
        'client',
        parts.map((part) => (isDefault(part) ? computed.secondary : part)),
      )
    : fingerprint
  const components = parts.flatMap((part) => (isDefault(part) ? computed.components : [part]))
  return grouping(fingerprint, secondary, 'client', components)
}

function grouping(
  fingerprint: string,
  secondary: string,
  basis: Grouping['basis'],
  parts: readonly string[],
): Grouping {
  const components = parts
    .slice(0, COMPONENTS_MAX)
    .map((part) => part.slice(0, COMPONENT_CHARS_MAX))
  return { fingerprint, secondary, basis, components }
}

/** As JSON, so that no part can pass for two. */
function hash(basis: Grouping['basis'], parts: readonly string[]): string {
  const digest = sha256(utf8ToBytes(JSON.stringify([basis, ...parts])))
  return `${VERSION}:${bytesToHex(digest.subarray(0, 16))}`
}

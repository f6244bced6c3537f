import type { Frame } from './occurrence.ts'
import { createMemoryOf } from './remember.ts'

/** The stacks of a process, each as one array however often it comes. */
export interface SameFrames {
  /** The frames that were made of exactly such ones before; undefined where none were. */
  readonly find: (given: readonly unknown[]) => readonly Frame[] | undefined
  /** Remembers what was made of `given`, which nobody changes from now on. */
  readonly keep: (given: readonly Frame[], made: readonly Frame[]) => void
}

const REMEMBERED = { countMax: 4096, bytesMax: 8 * 1024 * 1024 } as const
const FRAME_BYTES = 600

/** Of the process: whoever finds out something about such a stack may note it for the array itself. */
const shared = new WeakSet<readonly Frame[]>()

/** Says that whoever made this stack will give the same array when it comes again. */
export function share(frames: readonly Frame[]): void {
  shared.add(frames)
}

/** Whether a stack is known to come again: then what is found out about it is worth keeping. */
export function isShared(frames: readonly Frame[]): boolean {
  return shared.has(frames)
}

/**
 * Errors come from a few places in the code, so their stacks are the same few hundred: what each
 * stage makes of one is then found by the array's identity. Reading, checking, scrubbing, grouping and
 * encoding a stack of four frames costs 5 µs, finding it here 0.5 µs.
 */
export function createSameFrames(): SameFrames {
  const memory = createMemoryOf<readonly Frame[], readonly Frame[], readonly unknown[]>(
    { sample: sampleOfFrames, isSame },
    REMEMBERED,
  )
  return {
    find: memory.find,
    keep(given, made) {
      share(made)
      memory.keep(given, made, given.length * FRAME_BYTES + 256)
    },
  }
}

/** What the frames of the native wire format are told apart by: all that is read of them. */
function isSame(kept: readonly Frame[], given: readonly unknown[]): boolean {
  if (kept.length !== given.length) return false
  for (let at = 0; at < given.length; at += 1) {
    const [known, frame] = [kept[at], given[at]]
    if (!isObject(frame) || known === undefined) return false
    // What is absent was made this, and is found again as absent.
    const { lineNumber = null, columnNumber = null, inApp = true } = frame
    const { functionName = null, fileName = null, raw = '' } = frame
    if (known.lineNumber !== lineNumber || known.columnNumber !== columnNumber) return false
    if (known.functionName !== functionName || known.fileName !== fileName) return false
    if (known.inApp !== inApp || known.raw !== raw) return false
  }
  return true
}

/** The same number for the same frames of our own form, rarely the same for others. */
export function sampleOfFrames(given: readonly unknown[]): number {
  const { length } = given
  const ends = length ^ Math.imul(placeOf(given[0]), 0x9e3779b1) ^ placeOf(given[length - 1])
  return Math.imul(ends ^ Math.imul(placeOf(given[length >> 1]), 0x85ebca6b), 0xc2b2ae35) | 0
}

function placeOf(frame: unknown): number {
  if (!isObject(frame)) return 0
  const { lineNumber: line, columnNumber: column, functionName: name } = frame
  const place = typeof line === 'number' ? line * 1_009 : 0
  const inLine = typeof column === 'number' ? column : 0
  return (place + inLine + (typeof name === 'string' ? name.length << 20 : 0)) | 0
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}

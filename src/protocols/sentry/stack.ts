import { LIMITS } from '../../occurrence.ts'
import type { Frame, Json, JsonObject, ParsedStack, Platform } from '../../occurrence.ts'
import { createMemoryOf, createSeen } from '../../remember.ts'
import { sampleOfFrames, share } from '../../same-frames.ts'
import { bothEnds, frameFits } from '../cut.ts'
import { isObject, listOf, numberOf, objectOf, textOf } from '../json.ts'
import { renderFrames } from './render.ts'
import type { Bare, Rendered } from './render.ts'

/** An exception of an event, its frames newest first. */
export interface Thrown extends Rendered {
  readonly type: string | undefined
  readonly value: string | undefined
  readonly module: string | undefined
  readonly mechanism: JsonObject | undefined
}

// A chain is a handful; what is longer is a loop in somebody's `cause`.
const CHAIN_MAX = 50

/** The exceptions of an event, the one that was thrown first, then its causes. */
export function chainOf(event: JsonObject, platform: Platform): readonly Thrown[] {
  const exception = event['exception']
  const values = isObject(exception)
    ? (exception['values'] ?? [exception])
    : (exception ?? event['sentry.interfaces.Exception'])
  const objects = listOf(values).filter(isObject)
  return objects
    .slice(-CHAIN_MAX)
    .toReversed()
    .map((value) => ({
      type: textOf(value['type']),
      value: textOf(value['value']),
      module: textOf(value['module']),
      mechanism: objectOf(value['mechanism']),
      ...framesOf(objectOf(value['stacktrace']) ?? objectOf(value['raw_stacktrace']), platform),
    }))
}

/** The stack of an event that has none of its own in an exception: of the thread that reported it. */
export function threadFrames(event: JsonObject, platform: Platform): Rendered {
  const threads = objectOf(event['threads'])
  const list = listOf(threads?.['values'] ?? event['threads']).filter(isObject)
  const withStack = list.filter((thread) => isObject(thread['stacktrace']))
  const thread =
    withStack.find((each) => each['crashed'] === true) ??
    withStack.find((each) => each['current'] === true) ??
    (withStack.length === 1 ? withStack[0] : undefined)
  return framesOf(objectOf(thread?.['stacktrace']) ?? objectOf(event['stacktrace']), platform)
}

/** The stack as the pipeline takes it; undefined without frames. */
export function parsedStackOf(
  frames: readonly Frame[],
  raw: string,
  platform: Platform,
  sdk: string,
): ParsedStack | undefined {
  if (frames.length === 0) return undefined
  const parser = sdk.includes('react-native')
    ? 'react-native'
    : platform === 'web'
      ? 'browser'
      : platform === 'node'
        ? 'node'
        : 'unknown'
  return { frames, raw, parser }
}

function framesOf(stacktrace: JsonObject | undefined, platform: Platform): Rendered {
  // On the wire the oldest call comes first.
  const all = listOf(stacktrace?.['frames'])
  const kept = bothEnds(all, LIMITS.framesMax)
  const bare: Bare[] = []
  for (let at = kept.length - 1; at >= 0; at--) {
    const frame = kept[at]
    if (isObject(frame)) bare.push(bareOf(frame, platform))
  }
  return rendered(withoutClient(bare), platform, all.length - kept.length)
}

interface Stack {
  readonly platform: Platform
  readonly frames: readonly Bare[]
}

/** Of one frame, without its texts. */
const FRAME_BYTES = 250
const sampleOf = ({ frames }: Stack): number => sampleOfFrames(frames)
const isSecond = createSeen()
const stacks = createMemoryOf<Stack, Rendered>(
  {
    sample: sampleOf,
    isSame: (kept, given) =>
      kept.platform === given.platform &&
      kept.frames.length === given.frames.length &&
      kept.frames.every((frame, at) => isSameFrame(frame, given.frames[at])),
  },
  { countMax: 4096, bytesMax: 8 * 1024 * 1024 },
)

/**
 * The frames with their texts. From the second time on the same frames are the same array, so that later stages
 * know them again: remembering what comes once costs more than it ever saves.
 */
function rendered(frames: readonly Bare[], platform: Platform, framesLost: number): Rendered {
  if (frames.length === 0) return { frames: NOTHING, framesLost, text: '' }
  const stack = { platform, frames }
  if (framesLost > 0 || !isSecond(sampleOf(stack)))
    return renderFrames(frames, platform, framesLost)
  const known = stacks.find(stack)
  if (known !== undefined) return known
  const made = renderFrames(frames, platform, framesLost)
  // What is cut later on is another stack by then.
  if (!made.frames.every(frameFits)) return made
  share(made.frames)
  const bytes = 2 * made.text.length + frames.length * FRAME_BYTES
  stacks.keep({ platform, frames: made.frames }, made, bytes)
  return made
}

const NOTHING: readonly never[] = []

function isSameFrame(kept: Bare, given: Bare | undefined): boolean {
  return (
    given !== undefined &&
    kept.lineNumber === given.lineNumber &&
    kept.columnNumber === given.columnNumber &&
    kept.functionName === given.functionName &&
    kept.fileName === given.fileName &&
    kept.inApp === given.inApp &&
    kept.contextLine === given.contextLine
  )
}

const CLIENT = /^(?:<?sentry(?:_\w+)?::|io\.sentry\.|github\.com\/getsentry\/sentry-go)/

/** Some clients take the stack within themselves; those calls, the newest, say nothing of the error. */
function withoutClient(frames: readonly Bare[]): readonly Bare[] {
  const firstOwn = frames.findIndex(({ inApp }) => inApp)
  if (firstOwn === -1) return frames
  const lastOfClient = frames
    .slice(0, firstOwn)
    .findLastIndex(({ functionName }) => CLIENT.test(functionName ?? ''))
  return frames.slice(lastOfClient + 1)
}

function bareOf(frame: JsonObject, platform: Platform): Bare {
  const fileName =
    textOf(frame['filename']) ?? textOf(frame['abs_path']) ?? textOf(frame['package']) ?? null
  const functionName = functionOf(frame, platform)
  const contextLine = textOf(frame['context_line'])
  const bare = {
    functionName: functionName ?? textOf(frame['instruction_addr']) ?? null,
    fileName,
    lineNumber: placeOf(frame['lineno']),
    columnNumber: placeOf(frame['colno']),
    inApp:
      typeof frame['in_app'] === 'boolean' ? frame['in_app'] : looksOwn(fileName, functionName),
  }
  return contextLine === undefined ? bare : { ...bare, contextLine }
}

// In these languages a function's name says little without what it belongs to.
const QUALIFIED = new Set<Platform>(['java', 'android', 'go', 'dotnet', 'elixir'])

function functionOf(frame: JsonObject, platform: Platform): string | undefined {
  const name = textOf(frame['function']) ?? textOf(frame['raw_function'])
  const module = textOf(frame['module'])
  // Clients write `?` for a function without a name.
  if (name === undefined || name === '?') return undefined
  if (module === undefined || !QUALIFIED.has(platform) || name.startsWith(`${module}.`)) return name
  return `${module}.${name}`
}

function placeOf(value: Json | undefined): number | null {
  const number = numberOf(value)
  return number === undefined || number < 1 || number > 0xffff_ffff ? null : Math.trunc(number)
}

const FOREIGN =
  /node_modules|site-packages|dist-packages|\/\.cargo\/|\/rustc\/|\/go\/pkg\/mod\/|\/usr\/lib|^node:|^internal\/|^<frozen|^\[native code\]/
const FOREIGN_FUNCTION =
  /^(?:java|javax|jdk|sun|kotlin|android|androidx|scala|System|Microsoft|std|core|alloc)(?:\.|::)/

/** Most clients say which frames are the app's own; this is for those that do not. */
function looksOwn(fileName: string | null, functionName: string | undefined): boolean {
  if (fileName !== null && FOREIGN.test(fileName)) return false
  return functionName === undefined || !FOREIGN_FUNCTION.test(functionName)
}

import { LIMITS } from '../../occurrence.ts'
import type { Frame, Json, JsonObject, ParsedStack, Platform } from '../../occurrence.ts'
import { bothEnds } from '../cut.ts'
import { isObject, listOf, numberOf, objectOf, textOf } from '../json.ts'
import { frameText } from './render.ts'

/** An exception of an event, its frames newest first. */
export interface Thrown {
  readonly type: string | undefined
  readonly value: string | undefined
  readonly module: string | undefined
  readonly mechanism: JsonObject | undefined
  readonly frames: readonly Frame[]
  /** Frames that the middle of the stack lost to the limit. */
  readonly framesLost: number
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
export function threadFrames(
  event: JsonObject,
  platform: Platform,
): Pick<Thrown, 'frames' | 'framesLost'> {
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

function framesOf(
  stacktrace: JsonObject | undefined,
  platform: Platform,
): Pick<Thrown, 'frames' | 'framesLost'> {
  // On the wire the oldest call comes first.
  const all = listOf(stacktrace?.['frames'])
  const kept = bothEnds(all, LIMITS.framesMax).toReversed()
  return {
    frames: withoutClient(kept.filter(isObject).map((frame) => frameOf(frame, platform))),
    framesLost: all.length - kept.length,
  }
}

const CLIENT = /^(?:<?sentry(?:_\w+)?::|io\.sentry\.|github\.com\/getsentry\/sentry-go)/

/** Some clients take the stack within themselves; those calls, the newest, say nothing of the error. */
function withoutClient(frames: readonly Frame[]): readonly Frame[] {
  const firstOwn = frames.findIndex(({ inApp }) => inApp)
  if (firstOwn === -1) return frames
  const lastOfClient = frames
    .slice(0, firstOwn)
    .findLastIndex(({ functionName }) => CLIENT.test(functionName ?? ''))
  return frames.slice(lastOfClient + 1)
}

function frameOf(frame: JsonObject, platform: Platform): Frame {
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
  const raw = frameText(bare, platform)
  return contextLine === undefined ? { ...bare, raw } : { ...bare, raw, contextLine }
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

import type { Frame, Platform } from '../../occurrence.ts'
import type { Thrown } from './stack.ts'

/** A frame before it has its text. */
export type Bare = Omit<Frame, 'raw'>

/** The frames of an exception, newest first, and their lines. */
export interface Rendered {
  readonly frames: readonly Frame[]
  /** Frames that the middle of the stack lost to the limit. */
  readonly framesLost: number
  /** What stands below the exception's own line; empty without frames. */
  readonly text: string
}

/**
 * A stack as text, as a person of that platform reads it, but always newest call first and the thrown
 * exception before its causes.
 */
export function renderStack(chain: readonly Thrown[], platform: Platform): string {
  const lines: string[] = []
  for (const [at, thrown] of chain.entries()) {
    const title = titleOf(thrown, platform)
    lines.push(at === 0 ? title : `Caused by: ${title}`)
    if (thrown.text !== '') lines.push(thrown.text)
  }
  return lines.join('\n')
}

/** Gives frames their texts, all of which are views of one: of twenty texts each made of parts nothing is copied. */
export function renderFrames(
  frames: readonly Bare[],
  platform: Platform,
  framesLost: number,
): Rendered {
  const indent = INDENT[platform] ?? '    '
  const middle = Math.ceil(frames.length / 2)
  const lines: string[] = []
  const places: { readonly start: number; readonly end: number }[] = []
  let length = 0
  const add = (line: string): void => {
    lines.push(line)
    length += line.length + 1
  }
  for (const [index, frame] of frames.entries()) {
    if (index === middle && framesLost > 0) add(`    ... ${String(framesLost)} more calls ...`)
    const start = length + indent.length
    add(indent + frameText(frame, platform))
    places.push({ start, end: length - 1 })
    if (platform === 'python' && frame.contextLine !== undefined) {
      add(`    ${frame.contextLine.trim()}`)
    }
  }
  const text = lines.join('\n')
  return { frames: frames.map((frame, at) => withText(frame, text, places[at])), framesLost, text }
}

function withText(
  frame: Bare,
  text: string,
  place: { readonly start: number; readonly end: number } | undefined,
): Frame {
  const { functionName, fileName, lineNumber, columnNumber, inApp, contextLine } = frame
  const raw = text.slice(place?.start ?? 0, place?.end ?? 0)
  const whole = { functionName, fileName, lineNumber, columnNumber, inApp, raw }
  return contextLine === undefined ? whole : { ...whole, contextLine }
}

/** One call as its platform writes it, without the indentation. */
function frameText(frame: Bare, platform: Platform): string {
  const name = frame.functionName ?? '<unknown>'
  const file = frame.fileName ?? '<unknown>'
  const line = frame.lineNumber === null ? '' : `:${String(frame.lineNumber)}`
  const place = `${file}${line}`
  const column = frame.columnNumber === null ? '' : `:${String(frame.columnNumber)}`
  switch (platform) {
    case 'python':
      return `File "${file}"${frame.lineNumber === null ? '' : `, line ${String(frame.lineNumber)}`}, in ${name}`
    case 'java':
    case 'android':
      return `at ${name}(${frame.fileName === null ? 'Unknown Source' : place})`
    case 'go':
      return `${name}()\n\t\t${place}`
    case 'ruby':
      return `from ${place}:in '${name}'`
    case 'php':
      return `${file}${frame.lineNumber === null ? '' : `(${String(frame.lineNumber)})`}: ${name}()`
    case 'dotnet':
      return `at ${name}${frame.fileName === null ? '' : ` in ${file}:line ${String(frame.lineNumber ?? 0)}`}`
    case 'elixir':
      return `${place}: ${name}`
    case 'rust':
    case 'native':
    case 'ios':
      return frame.fileName === null ? name : `${name}\n             at ${place}${column}`
    case 'web':
    case 'node':
    case 'other':
      return frame.functionName === null ? `at ${place}${column}` : `at ${name} (${place}${column})`
  }
}

const INDENT: Partial<Record<Platform, string>> = {
  python: '  ',
  java: '\t',
  android: '\t',
  go: '\t',
  ruby: '\t',
  dotnet: '   ',
}

function titleOf(thrown: Thrown, platform: Platform): string {
  const qualified = platform === 'java' || platform === 'android' || platform === 'dotnet'
  const type =
    qualified && thrown.type !== undefined && thrown.module !== undefined
      ? `${thrown.module}.${thrown.type}`
      : thrown.type
  if (type === undefined) return thrown.value ?? ''
  return thrown.value === undefined ? type : `${type}: ${thrown.value}`
}

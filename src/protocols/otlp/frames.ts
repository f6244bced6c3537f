import { LIMITS } from '../../occurrence.ts'
import type { Frame, ParsedStack, Platform } from '../../occurrence.ts'
import { createMemory } from '../../remember.ts'
import { share } from '../../same-frames.ts'
import { bothEnds } from '../cut.ts'

/**
 * The calls of a stack that was sent as text, newest first, for the languages whose text says file and line.
 * Undefined where nothing of the text looks like a call. Linear in the text, of which at most 256 KiB are read.
 */
export function framesOfText(text: string, platform: Platform): ParsedStack | undefined {
  const parse = PARSERS[platform]
  if (text === '' || parse === undefined) return undefined
  // The cut may tear a pair of surrogates.
  const read = text.length > TEXT_CHARS_MAX ? text.slice(0, TEXT_CHARS_MAX).toWellFormed() : text
  const frames = sharedFrames(read, platform, parse)
  if (frames.length === 0) return undefined
  const parser = platform === 'web' ? 'browser' : platform === 'node' ? 'node' : 'unknown'
  return { frames, raw: text, parser }
}

/**
 * The text without the line that says what was thrown, which differs from event to event: the first one, for
 * Python the last one. All of it where that line looks like a call.
 */
function callsOf(text: string, platform: Platform, parse: Parser): string {
  if (platform === 'go') return text
  if (platform === 'python') {
    const end = text.lastIndexOf('\n', text.length - 2)
    const last = text.slice(end + 1)
    const isCall = last.startsWith('Traceback ') || parse(last, '') !== undefined
    return end === -1 || isCall ? text : text.slice(0, end)
  }
  const start = text.indexOf('\n')
  const isCall = start === -1 || parse(text.slice(0, start), '') !== undefined
  return isCall ? text : text.slice(start + 1)
}

const FRAME_BYTES = 600
const known = createMemory<{ readonly platform: Platform; readonly frames: readonly Frame[] }>({
  countMax: 4096,
  bytesMax: 8 * 1024 * 1024,
})

/** For the same calls the same array, so that later stages know it again. */
function sharedFrames(text: string, platform: Platform, parse: Parser): readonly Frame[] {
  const calls = callsOf(text, platform, parse)
  const found = known.find(calls)
  if (found?.platform === platform) return found.frames
  const frames = framesOf(calls, platform, parse)
  share(frames)
  // Its texts are views of the whole one, which stays as long as they do.
  known.keep(calls, { platform, frames }, 2 * text.length + frames.length * FRAME_BYTES)
  return frames
}

function framesOf(text: string, platform: Platform, parse: Parser): readonly Frame[] {
  const lines = text.split('\n')
  const frames: Frame[] = []
  for (const [at, line] of lines.entries()) {
    if (line.length > LINE_CHARS_MAX) continue
    // Below this line stand the calls of a cause, which is another stack.
    if (frames.length > 0 && platform !== 'python' && CAUSE.test(line)) break
    // Python shows the cause first, so what was thrown begins anew.
    if (platform === 'python' && line.startsWith('Traceback ')) frames.length = 0
    const frame = parse(line, lines[at + 1] ?? '')
    if (frame !== undefined) frames.push(frame)
  }
  return bothEnds(platform === 'python' ? frames.reverse() : frames, LIMITS.framesMax)
}

type Parser = (line: string, next: string) => Frame | undefined

const TEXT_CHARS_MAX = 256 * 1024
const LINE_CHARS_MAX = 2_000
const CAUSE = /^\s*(?:Caused by: |\[cause\]: )/

const PARSERS: Partial<Record<Platform, Parser>> = {
  node: javascript,
  web: javascript,
  java: java,
  android: java,
  python: python,
  go: go,
}

function javascript(line: string): Frame | undefined {
  const call = line.trim()
  // Chrome and Node: `at f (file:1:2)` or `at file:1:2`; Firefox and Safari: `f@file:1:2`.
  const match = call.startsWith('at ')
    ? /^at (?:(.*) \()?([^()]+):(\d+):(\d+)\)?$/.exec(call)
    : /^([^@]*)@(.+):(\d+):(\d+)$/.exec(call)
  if (match === null) return undefined
  const [, name, file, line_, column] = match
  return frame(name, file, line_, column, call, /node_modules|^node:|\bnode:internal/)
}

function java(line: string): Frame | undefined {
  const call = line.trim()
  const match = /^at ([^(]+)\(([^():]*)(?::(\d+))?\)/.exec(call)
  if (match === null) return undefined
  const [, name, file, number] = match
  const foreign = /^(?:[\w.]+\/)?(?:java|javax|jdk|sun|com\.sun|kotlin|android|androidx)\./
  return frame(name, file, number, undefined, call, foreign.test(name ?? '') ? /^/ : /^(?!)/)
}

function python(line: string): Frame | undefined {
  const match = /^ {2}File "(.+)", line (\d+), in (.+)$/.exec(line)
  if (match === null) return undefined
  const [, file, number, name] = match
  return frame(
    name,
    file,
    number,
    undefined,
    line.trim(),
    /(?:site|dist)-packages|\/lib\/python|^<frozen/,
  )
}

function go(line: string, next: string): Frame | undefined {
  // `main.f(…)`, and below it a tab, the file and the line.
  const place = /^\t(.+):(\d+)(?: \+0x[0-9a-f]+)?$/.exec(next)
  if (place === null || /^\s/.test(line)) return undefined
  const [, file, number] = place
  const name = line.replace(/^created by /, '').replace(/\([^()]*\)$/, '')
  return frame(
    name,
    file,
    number,
    undefined,
    `${line} ${next.trim()}`,
    /\/go\/pkg\/mod\/|\/src\/(?:runtime|net|testing)\//,
  )
}

function frame(
  name: string | undefined,
  file: string | undefined,
  line: string | undefined,
  column: string | undefined,
  raw: string,
  foreign: RegExp,
): Frame {
  const fileName = file === undefined || file === '' ? null : file
  return {
    functionName: name === undefined || name === '' ? null : name,
    fileName,
    lineNumber: line === undefined ? null : Number(line),
    columnNumber: column === undefined ? null : Number(column),
    inApp: !foreign.test(fileName ?? ''),
    raw,
  }
}

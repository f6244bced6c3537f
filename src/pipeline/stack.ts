import type { Frame } from '../occurrence.ts'

/**
 * Where the calls begin in a stack as text: behind the message, which differs from one time to the
 * next. 0 where that cannot be told.
 */
export function callsStart(stackTrace: string): number {
  let at = stackTrace.indexOf('\n    at ')
  if (at < 0) at = stackTrace.indexOf('\n\tat ')
  return at < 0 ? 0 : at + 1
}

/** The calls of a stack as text. */
export function callsOf(stackTrace: string): string {
  return stackTrace.slice(callsStart(stackTrace))
}

/** A short text that most different stacks do not share: what they begin with, pass through and end in. */
export function sampleOf(frames: readonly Frame[]): string {
  const { length } = frames
  const first = frames[0]
  return `${length}\0${first?.fileName ?? ''}\0${first?.functionName ?? ''}\0${
    frames[1]?.functionName ?? ''
  }\0${frames[length >> 1]?.functionName ?? ''}\0${frames[length - 1]?.functionName ?? ''}`
}

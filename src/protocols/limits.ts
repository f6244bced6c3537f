import { LIMITS } from '../occurrence.ts'
import type { Frame, Json, Occurrence, ParsedStack } from '../occurrence.ts'
import {
  bothEnds,
  cutChars,
  cutEnd,
  cutJson,
  cutMiddle,
  cutNoted,
  cutObject,
  jsonSize,
  sizeAtMost,
} from './cut.ts'

/**
 * Brings a decoded occurrence within {@link LIMITS}. What is longer is cut and named in `marks` as
 * `field:cut`; lone surrogates of texts become U+FFFD. What fits comes back as it is. Never throws.
 */
export function withinLimits(wide: Occurrence): Occurrence {
  const marks = new Set(wide.marks)
  const fit = <Name extends keyof Occurrence>(
    field: Name,
    cut: (value: Occurrence[Name]) => Occurrence[Name],
  ): Occurrence[Name] => {
    const narrow = cut(wide[field])
    if (narrow !== wide[field]) marks.add(`${field}:cut`)
    return narrow
  }
  const label = (text: string) => cutEnd(text, LIMITS.labelBytesMax)
  const narrow = {
    ...wide,
    code: fit('code', (text) => cutChars(text, LIMITS.codeCharsMax)),
    message: fit('message', (text) => cutNoted(text, LIMITS.messageBytesMax)),
    stackTrace: fit('stackTrace', (text) => cutMiddle(text, LIMITS.stackTraceBytesMax)),
    parsedStack: fit('parsedStack', cutStack),
    appVersion: fit('appVersion', label),
    platformVersion: fit('platformVersion', label),
    environment: fit('environment', label),
    userId: fit('userId', (text) => (text === null ? null : label(text))),
    metadata: fit('metadata', (object) =>
      cutObject(object, LIMITS.metadataBytesMax, LIMITS.metadataDepthMax)),
    tags: fit('tags', cutTags),
    fingerprint: fit('fingerprint', cutFingerprint),
    breadcrumbs: fit('breadcrumbs', cutBreadcrumbs),
  }
  return { ...narrow, marks: [...marks] }
}

/**
 * The time that is kept of what a client says: its own, unless that is over an hour ahead of the receipt.
 * `claimedMs` undefined means that it said none.
 */
export function settleTime(
  claimedMs: number | undefined,
  receivedAtMs: number,
): Pick<Occurrence, 'timestampMs' | 'originalTimestampMs'> {
  if (claimedMs === undefined) return { timestampMs: receivedAtMs, originalTimestampMs: undefined }
  if (claimedMs > receivedAtMs + LIMITS.clockAheadMsMax) {
    return { timestampMs: receivedAtMs, originalTimestampMs: claimedMs }
  }
  return { timestampMs: claimedMs, originalTimestampMs: undefined }
}

function cutStack(stack: ParsedStack | undefined): ParsedStack | undefined {
  if (stack === undefined) return undefined
  const ends = bothEnds(stack.frames, LIMITS.framesMax)
  const frames = ends.map(cutFrame)
  const raw = cutMiddle(stack.raw, LIMITS.stackTraceBytesMax)
  const same = raw === stack.raw && sameEntries(frames, stack.frames)
  return same ? stack : { ...stack, frames, raw }
}

function cutFrame(frame: Frame): Frame {
  const text = (value: string) => cutEnd(value, LIMITS.frameTextBytesMax)
  const functionName = frame.functionName === null ? null : text(frame.functionName)
  const fileName = frame.fileName === null ? null : text(frame.fileName)
  const raw = text(frame.raw)
  const contextLine = frame.contextLine === undefined ? undefined : text(frame.contextLine)
  const same =
    functionName === frame.functionName &&
    fileName === frame.fileName &&
    raw === frame.raw &&
    contextLine === frame.contextLine
  if (same) return frame
  return {
    ...frame,
    functionName,
    fileName,
    raw,
    ...(contextLine !== undefined && { contextLine }),
  }
}

function cutTags(tags: Occurrence['tags']): Occurrence['tags'] {
  const entries = Object.entries(tags)
  let same = entries.length <= LIMITS.tagsMax
  const kept: [string, string][] = []
  for (const [name, value] of entries.slice(0, LIMITS.tagsMax)) {
    const narrowName = cutEnd(name, LIMITS.tagNameBytesMax)
    const narrowValue = cutEnd(value, LIMITS.tagValueBytesMax)
    if (narrowName !== name || narrowValue !== value) same = false
    kept.push([narrowName, narrowValue])
  }
  return same ? tags : Object.fromEntries(kept)
}

function cutFingerprint(parts: readonly string[]): readonly string[] {
  const narrow = parts
    .slice(0, LIMITS.fingerprintPartsMax)
    .map((part) => cutEnd(part, LIMITS.fingerprintPartBytesMax))
  return sameEntries(narrow, parts) ? parts : narrow
}

function cutBreadcrumbs(breadcrumbs: readonly Json[]): readonly Json[] {
  const { breadcrumbsMax, breadcrumbsBytesMax, metadataDepthMax } = LIMITS
  if (breadcrumbs.length === 0) return breadcrumbs
  const isSmall =
    sizeAtMost(breadcrumbs, breadcrumbsBytesMax, metadataDepthMax) <= breadcrumbsBytesMax
  if (breadcrumbs.length <= breadcrumbsMax && isSmall) return breadcrumbs
  // One talkative breadcrumb may not push out all the others.
  const eachBytesMax = Math.floor(breadcrumbsBytesMax / 8)
  let room: number = breadcrumbsBytesMax - 2
  const newestFirst: Json[] = []
  for (const breadcrumb of breadcrumbs.slice(-breadcrumbsMax).toReversed()) {
    const narrow = cutJson(breadcrumb, eachBytesMax, metadataDepthMax - 1)
    room -= 1 + jsonSize(narrow, room, metadataDepthMax)
    if (room < 0) break
    newestFirst.push(narrow)
  }
  const kept = newestFirst.toReversed()
  return sameEntries(kept, breadcrumbs) ? breadcrumbs : kept
}

function sameEntries<T>(some: readonly T[], others: readonly T[]): boolean {
  return some.length === others.length && some.every((entry, at) => entry === others[at])
}

import {
  LEVELS,
  LIMITS,
  PLATFORMS,
  STACK_PARSERS,
  type Frame,
  type Json,
  type JsonObject,
  type Level,
  type Occurrence,
  type ParsedStack,
  type Platform,
} from '../../occurrence.ts'
import { createSameFrames } from '../../same-frames.ts'
import { breadcrumbsFit, objectFits, tagsFit } from '../cut.ts'
import { settleTime } from '../limits.ts'
import { parseTimestamp } from './timestamp.ts'

const NO_METADATA: JsonObject = {}
const NO_TAGS: Readonly<Record<string, string>> = {}
const NOTHING: readonly never[] = []

const PLATFORM = new Map<unknown, Platform>(PLATFORMS.map((name) => [name, name]))
const LEVEL = new Map<unknown, Level>(LEVELS.map((name) => [name, name]))
const PARSER = new Map<unknown, ParsedStack['parser']>(STACK_PARSERS.map((name) => [name, name]))

const sameFrames = createSameFrames()

/**
 * The occurrence of an event that is valid and of which nothing is cut, as nearly all are. Undefined for
 * every other: what is wrong with it, and what is kept of it, is said by NativeEvent and
 * `toOccurrence`, with which this must agree (a property test compares them). It takes a quarter of
 * their time, which is a tenth of the server's.
 */
export function plainOccurrence(event: unknown, receivedAtMs: number): Occurrence | undefined {
  if (!isObject(event)) return undefined
  const { id, code, message, appId, appVersion, platformVersion, timestamp } = event
  if (typeof id !== 'string' || !isUuid(id)) return undefined
  if (typeof code !== 'string' || code === '' || code.length > LIMITS.codeCharsMax) return undefined
  if (!isShort(message, LIMITS.messageBytesMax) || typeof appId !== 'string') return undefined
  if (!isLabel(appVersion) || !isLabel(platformVersion)) return undefined
  if (typeof timestamp !== 'string') return undefined
  const timestampMs = parseTimestamp(timestamp)
  const platform = PLATFORM.get(event['platform'])
  if (timestampMs === undefined || platform === undefined) return undefined
  const more = optional(event)
  if (more === undefined) return undefined
  return {
    id: id.toLowerCase(),
    appId,
    protocol: 'native',
    code,
    message,
    stackTrace: more.stackTrace,
    parsedStack: more.parsedStack,
    appVersion,
    platform,
    platformVersion,
    environment: more.environment || 'production',
    level: more.level,
    userId: more.userId,
    ...settleTime(timestampMs, receivedAtMs),
    receivedAtMs,
    metadata: more.metadata,
    tags: more.tags,
    fingerprint: more.fingerprint,
    breadcrumbs: more.breadcrumbs,
    traceId: '',
    spanId: '',
    marks: NOTHING,
  }
}

/** The fields that may be absent; undefined where one of them is not as it is expected. */
function optional(event: Readonly<Record<string, unknown>>) {
  const { stackTrace = '', environment = 'production', userId = null } = event
  if (!isShort(stackTrace, LIMITS.stackTraceBytesMax) || !isLabel(environment)) return undefined
  if (userId !== null && !isLabel(userId)) return undefined
  const level = LEVEL.get(event['level'] ?? 'error')
  const { metadata = NO_METADATA, tags = NO_TAGS } = event
  const { fingerprint = NOTHING, breadcrumbs = NOTHING } = event
  if (level === undefined || event['level'] === null) return undefined
  if (!isJsonObject(metadata) || !objectFits(metadata)) return undefined
  if (!areTags(tags) || !tagsFit(tags)) return undefined
  if (!isJsonArray(breadcrumbs) || !breadcrumbsFit(breadcrumbs)) return undefined
  if (!isPlainFingerprint(fingerprint)) return undefined
  const { parsedStack: given } = event
  const parsedStack = given === undefined || given === null ? undefined : stackOf(given)
  if (parsedStack === undefined && given !== undefined && given !== null) return undefined
  return {
    ...{ stackTrace, environment, userId, level, metadata, tags, fingerprint, breadcrumbs },
    parsedStack,
  }
}

function stackOf(given: unknown): ParsedStack | undefined {
  if (!isObject(given)) return undefined
  const { frames, raw = '' } = given
  const parser = PARSER.get(given['parser'] ?? 'unknown')
  if (parser === undefined || given['parser'] === null) return undefined
  if (!isShort(raw, LIMITS.stackTraceBytesMax) || !Array.isArray(frames)) return undefined
  const known = sameFrames.find(frames) ?? framesOf(frames)
  return known === undefined ? undefined : { frames: known, raw, parser }
}

function framesOf(given: readonly unknown[]): readonly Frame[] | undefined {
  if (given.length > LIMITS.framesMax) return undefined
  const frames: Frame[] = []
  for (const frame of given) {
    const made = isObject(frame) ? frameOf(frame) : undefined
    if (made === undefined) return undefined
    frames.push(made)
  }
  sameFrames.keep(frames, frames)
  return frames
}

function frameOf(given: Readonly<Record<string, unknown>>): Frame | undefined {
  const { functionName = null, fileName = null, inApp = true, raw = '' } = given
  const { lineNumber = null, columnNumber = null } = given
  if (!isFrameText(functionName) || !isFrameText(fileName)) return undefined
  if (typeof raw !== 'string' || !isFrameText(raw) || typeof inApp !== 'boolean') return undefined
  if (lineNumber !== null && typeof lineNumber !== 'number') return undefined
  if (columnNumber !== null && typeof columnNumber !== 'number') return undefined
  return { functionName, fileName, lineNumber, columnNumber, inApp, raw }
}

/** A UTF-16 unit is at most three bytes of UTF-8: what is so short surely fits. */
function isShort(value: unknown, bytesMax: number): value is string {
  return typeof value === 'string' && value.length * 3 <= bytesMax
}

function isLabel(value: unknown): value is string {
  return isShort(value, LIMITS.labelBytesMax)
}

function isFrameText(value: unknown): value is string | null {
  return value === null || isShort(value, LIMITS.frameTextBytesMax)
}

function isPlainFingerprint(value: unknown): value is readonly string[] {
  if (!Array.isArray(value) || value.length > LIMITS.fingerprintPartsMax) return false
  return value.every((part) => isShort(part, LIMITS.fingerprintPartBytesMax))
}

function areTags(value: unknown): value is Readonly<Record<string, string>> {
  if (!isObject(value) || Array.isArray(value)) return false
  for (const name in value) if (typeof value[name] !== 'string') return false
  return true
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}

/** Whatever JSON.parse made is JSON. */
function isJsonObject(value: unknown): value is JsonObject {
  return isObject(value) && !Array.isArray(value)
}

function isJsonArray(value: unknown): value is readonly Json[] {
  return Array.isArray(value)
}

const HEX = new Uint8Array(128)
for (const digit of '0123456789abcdefABCDEF') HEX[digit.charCodeAt(0)] = 1

function isUuid(id: string): boolean {
  if (id.length !== 36) return false
  for (let at = 0; at < 36; at += 1) {
    const unit = id.charCodeAt(at)
    const isDash = at === 8 || at === 13 || at === 18 || at === 23
    if (isDash ? unit !== 0x2d : unit > 127 || HEX[unit] === 0) return false
  }
  return true
}

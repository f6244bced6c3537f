import {
  LIMITS,
  type Frame,
  type Json,
  type JsonObject,
  type Occurrence,
  type ParsedStack,
} from '../../occurrence.ts'
import { bothEnds } from '../cut.ts'
import { settleTime } from '../limits.ts'
import { createCutter, type Cutter } from './cut.ts'
import type { NativeEvent } from './event.ts'
import { parseTimestamp } from './timestamp.ts'

const NO_METADATA: JsonObject = {}
const NO_TAGS: Readonly<Record<string, string>> = {}
const NOTHING: readonly never[] = []

/**
 * A valid event in our own words: within {@link LIMITS}, what was too long cut and marked, its time
 * settled. What fits is taken over as it is, without a copy.
 * @throws Refusal `malformed` when metadata or breadcrumbs are nested without reason.
 */
export function toOccurrence(event: NativeEvent, receivedAtMs: number): Occurrence {
  const cutter = createCutter()
  const label = (field: string, text: string) => cutter.text(field, text, LIMITS.labelBytesMax)
  const { userId, metadata, tags, fingerprint, breadcrumbs } = event
  return {
    id: event.id.toLowerCase(),
    appId: event.appId,
    protocol: 'native',
    code: event.code,
    message: cutter.text('message', event.message, LIMITS.messageBytesMax),
    stackTrace: cutter.middle('stackTrace', event.stackTrace, LIMITS.stackTraceBytesMax),
    parsedStack: event.parsedStack ? cutStack(cutter, event.parsedStack) : undefined,
    appVersion: label('appVersion', event.appVersion),
    platform: event.platform,
    platformVersion: label('platformVersion', event.platformVersion),
    environment: label('environment', event.environment) || 'production',
    level: event.level,
    userId: typeof userId === 'string' ? label('userId', userId) : null,
    // The schema let only good timestamps through.
    ...settleTime(parseTimestamp(event.timestamp), receivedAtMs),
    receivedAtMs,
    metadata: isJsonObject(metadata) ? cutter.object('metadata', metadata) : NO_METADATA,
    tags: isTags(tags) ? cutter.tags(tags) : NO_TAGS,
    fingerprint: fingerprint === undefined ? NOTHING : cutter.fingerprint(fingerprint),
    breadcrumbs: isJsonArray(breadcrumbs) ? cutter.breadcrumbs(breadcrumbs) : NOTHING,
    traceId: '',
    spanId: '',
    marks: cutter.marks,
  }
}

function cutStack(cutter: Cutter, stack: ParsedStack): ParsedStack {
  const { framesMax, frameTextBytesMax, stackTraceBytesMax } = LIMITS
  const field = 'parsedStack'
  if (stack.frames.length > framesMax) cutter.mark(field)
  const text = (value: string | null) =>
    value === null ? null : cutter.text(field, value, frameTextBytesMax)
  const frame = (given: Frame): Frame => {
    const functionName = text(given.functionName)
    const fileName = text(given.fileName)
    const raw = cutter.text(field, given.raw, frameTextBytesMax)
    return functionName === given.functionName && fileName === given.fileName && raw === given.raw
      ? given
      : { ...given, functionName, fileName, raw }
  }
  return {
    frames: bothEnds(stack.frames, framesMax).map(frame),
    raw: cutter.middle(field, stack.raw, stackTraceBytesMax),
    parser: stack.parser,
  }
}

/** Whatever JSON.parse made and the schema found to be an object is a JSON object. */
function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null
}

function isTags(value: unknown): value is Readonly<Record<string, string>> {
  return typeof value === 'object' && value !== null
}

function isJsonArray(value: unknown): value is readonly Json[] {
  return Array.isArray(value)
}

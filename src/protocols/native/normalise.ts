import { type Json, type JsonObject, type Occurrence } from '../../occurrence.ts'
import { breadcrumbsFit, objectFits, requireBottom } from '../cut.ts'
import { settleTime, withinLimits } from '../limits.ts'
import type { NativeEvent } from './event.ts'
import { parseTimestamp } from './timestamp.ts'

const NO_METADATA: JsonObject = {}
const NO_TAGS: Readonly<Record<string, string>> = {}
const NOTHING: readonly never[] = []

/**
 * A valid event in our own words: within the limits, what was too long cut and marked, its time settled.
 * What fits is taken over as it is, without a copy.
 * @throws Refusal `malformed` when metadata or breadcrumbs are nested without reason.
 */
export function toOccurrence(event: NativeEvent, receivedAtMs: number): Occurrence {
  const { metadata, tags, breadcrumbs } = event
  return withinLimits({
    id: event.id.toLowerCase(),
    appId: event.appId,
    protocol: 'native',
    code: event.code,
    message: event.message,
    stackTrace: event.stackTrace,
    parsedStack: event.parsedStack ?? undefined,
    appVersion: event.appVersion,
    platform: event.platform,
    platformVersion: event.platformVersion,
    environment: event.environment || 'production',
    level: event.level,
    userId: event.userId ?? null,
    // The schema let only good timestamps through.
    ...settleTime(parseTimestamp(event.timestamp), receivedAtMs),
    receivedAtMs,
    metadata: isJsonObject(metadata) ? withBottom(metadata) : NO_METADATA,
    tags: isTags(tags) ? tags : NO_TAGS,
    fingerprint: event.fingerprint ?? NOTHING,
    breadcrumbs: isJsonArray(breadcrumbs) ? allWithBottom(breadcrumbs) : NOTHING,
    traceId: '',
    spanId: '',
    marks: NOTHING,
  })
}

function withBottom(metadata: JsonObject): JsonObject {
  if (!objectFits(metadata)) requireBottom('metadata', metadata)
  return metadata
}

function allWithBottom(breadcrumbs: readonly Json[]): readonly Json[] {
  if (!breadcrumbsFit(breadcrumbs)) requireBottom('breadcrumbs', breadcrumbs)
  return breadcrumbs
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

import { z } from 'zod'
import { LEVELS, PLATFORMS } from '../occurrence.ts'
import type { Json, JsonObject } from '../occurrence.ts'
import { isArray, isObject, parseStack } from './rows.ts'
import type { StoredEvent } from './store.ts'

/** What {@link EventRow} reads, as the list of a SELECT from the table of occurrences. */
export const EVENT_COLUMNS = `toString(id) AS event_id, code, message, stack_trace, parsed_stack,
  app_id, app_version, platform, platform_version, environment, level, user_id,
  toUnixTimestamp64Milli(timestamp) AS timestamp_ms,
  toUnixTimestamp64Milli(received_at) AS received_at_ms,
  toUnixTimestamp64Milli(original_timestamp) AS original_timestamp_ms,
  metadata, tags, client_fingerprint, breadcrumbs, trace_id, span_id, marks, fingerprint`

const iso = z.coerce.number().transform((ms) => new Date(ms).toISOString())
const json = z.string().transform((text): unknown => JSON.parse(text))
// Not z.record, which leaves out a name such as `__proto__`.
const StringMap = z.custom<Readonly<Record<string, string>>>(
  (value) => isObject(value) && Object.values(value).every((inner) => typeof inner === 'string'),
)

/** An event as ClickHouse answers it for {@link EVENT_COLUMNS}, turned into ours. */
export const EventRow = z
  .object({
    event_id: z.string(),
    code: z.string(),
    message: z.string(),
    stack_trace: z.string(),
    parsed_stack: z.string(),
    app_id: z.string(),
    app_version: z.string(),
    platform: z.enum(PLATFORMS),
    platform_version: z.string(),
    environment: z.string(),
    level: z.enum(LEVELS),
    user_id: z.string().nullable(),
    timestamp_ms: iso,
    received_at_ms: iso,
    original_timestamp_ms: iso.nullable(),
    metadata: json.pipe(z.custom<JsonObject>(isObject)),
    tags: StringMap,
    client_fingerprint: z.array(z.string()),
    breadcrumbs: json.pipe(z.custom<readonly Json[]>(isArray)),
    trace_id: z.string(),
    span_id: z.string(),
    marks: z.array(z.string()),
    fingerprint: z.string(),
  })
  .transform((row): StoredEvent => ({
    id: row.event_id,
    code: row.code,
    message: row.message,
    stackTrace: row.stack_trace,
    parsedStack: parseStack(row.parsed_stack, row.stack_trace) ?? null,
    appId: row.app_id,
    appVersion: row.app_version,
    platform: row.platform,
    platformVersion: row.platform_version,
    environment: row.environment,
    level: row.level,
    userId: row.user_id,
    timestamp: row.timestamp_ms,
    receivedAt: row.received_at_ms,
    originalTimestamp: row.original_timestamp_ms,
    metadata: row.metadata,
    tags: row.tags,
    fingerprint: row.client_fingerprint,
    breadcrumbs: row.breadcrumbs,
    traceId: row.trace_id,
    spanId: row.span_id,
    marks: row.marks,
    issue: row.fingerprint,
  }))

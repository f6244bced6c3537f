import type { Json, JsonObject, Occurrence } from '../../occurrence.ts'
import { derivedId, hexOf, uuidOf } from '../derive.ts'
import { isObject, listOf, numberOf, objectOf, present, textOf } from '../json.ts'
import { withinLimits } from '../limits.ts'
import type { Discarded } from '../protocol.ts'
import { levelOf, occurrenceOf, timed } from './event.ts'
import type { Origin } from './event.ts'
import { platformOf } from './platform.ts'

/** What a user wrote about an error: an occurrence of level `info` that names the error's event. */
export function feedbackOf(event: JsonObject, id: string | undefined, origin: Origin): Occurrence {
  const feedback = objectOf(objectOf(event['contexts'])?.['feedback']) ?? {}
  const occurrence = occurrenceOf(event, id, origin)
  const about = uuidOf(textOf(feedback['associated_event_id']))
  return withinLimits({
    ...occurrence,
    code: 'feedback',
    message: textOf(feedback['message']) ?? occurrence.message,
    level: 'info',
    tags: about === undefined ? occurrence.tags : { ...occurrence.tags, 'feedback.event': about },
  })
}

/**
 * The older form of feedback. Its `event_id` is that of the error, so its own id is derived from it: sent
 * again, it is the same.
 */
export function userReportOf(report: JsonObject, origin: Origin): Occurrence {
  const about = textOf(report['event_id']) ?? ''
  const contact = { name: report['name'] ?? null, contact_email: report['email'] ?? null }
  const message = textOf(report['comments']) ?? ''
  const event = {
    contexts: { feedback: { ...contact, message, associated_event_id: about } },
  } satisfies JsonObject
  return feedbackOf(event, derivedId(JSON.stringify(['user_report', about, message])), origin)
}

/** What a client says it lost by itself. Unknown words become `other`. */
export function clientReportOf(report: JsonObject): readonly Discarded[] {
  const counts = new Map<string, Discarded>()
  // The older form has one list per reason; the current one names the reason in each entry.
  const lists = ['discarded_events', 'rate_limited_events', 'filtered_events']
  for (const entry of lists.flatMap((name) => listOf(report[name])).filter(isObject)) {
    const count = numberOf(entry['quantity']) ?? 0
    if (!Number.isSafeInteger(count) || count < 1 || count > QUANTITY_MAX) continue
    const reason = among(REASONS, textOf(entry['reason']))
    const category = among(CATEGORIES, textOf(entry['category']))
    const key = `${category} ${reason}`
    const before = counts.get(key)?.count ?? 0
    counts.set(key, {
      by: 'client',
      category,
      reason,
      count: Math.min(before + count, QUANTITY_MAX),
    })
  }
  return [...counts.values()]
}

/** A log item: its records of level error and worse, and how many others there were. */
export function logsOf(
  container: JsonObject,
  origin: Origin,
  ordinalOf: (key: string) => number,
): { readonly occurrences: readonly Occurrence[]; readonly others: number } {
  const records = listOf(container['items']).filter(isObject)
  const bad = records.filter((record) => {
    const level = levelOf(record['level'])
    return level === 'error' || level === 'fatal'
  })
  return {
    occurrences: bad.map((record) => logOf(record, origin, ordinalOf)),
    others: records.length - bad.length,
  }
}

/** A report of a browser that a page broke its content security policy. Undefined when it is none. */
export function policyReportOf(report: JsonObject, origin: Origin): Occurrence | undefined {
  const body = objectOf(report['csp-report']) ?? objectOf(report['body'])
  const directive =
    textOf(body?.['effective-directive']) ??
    textOf(body?.['effectiveDirective']) ??
    textOf(body?.['violated-directive'])?.split(' ')[0]
  if (body === undefined || directive === undefined) return undefined
  const blocked = textOf(body['blocked-uri']) ?? textOf(body['blockedURL']) ?? 'inline'
  const page = textOf(body['document-uri']) ?? textOf(body['documentURL']) ?? ''
  const event = {
    platform: 'javascript',
    logger: `csp/${directive}`,
    message: `Blocked ${blocked} by ${directive}`,
    request: { url: page },
    extra: body,
  } satisfies JsonObject
  return occurrenceOf(event, undefined, origin)
}

/** A category that we know, for a label. */
export function categoryOf(itemType: string): string {
  const type = Object.hasOwn(CATEGORY_OF_ITEM, itemType) ? CATEGORY_OF_ITEM[itemType] : itemType
  return among(CATEGORIES, type)
}

// More than this is a counter that ran wild.
const QUANTITY_MAX = 1_000_000_000

const REASONS = [
  'queue_overflow',
  'cache_overflow',
  'buffer_overflow',
  'ratelimit_backoff',
  'network_error',
  'sample_rate',
  'before_send',
  'event_processor',
  'send_error',
  'internal_sdk_error',
  'insufficient_data',
  'backpressure',
  'other',
] as const

const CATEGORIES = [
  'default',
  'error',
  'transaction',
  'span',
  'monitor',
  'log_item',
  'log_byte',
  'security',
  'attachment',
  'session',
  'profile',
  'profile_chunk',
  'replay',
  'feedback',
  'trace_metric',
  'internal',
  'other',
] as const

const CATEGORY_OF_ITEM: Readonly<Record<string, string>> = {
  event: 'error',
  sessions: 'session',
  check_in: 'monitor',
  log: 'log_item',
  replay_event: 'replay',
  replay_recording: 'replay',
  replay_video: 'replay',
  user_report: 'feedback',
  client_report: 'internal',
}

function among(words: readonly string[], word: string | undefined): string {
  return word !== undefined && words.includes(word) ? word : 'other'
}

function logOf(record: JsonObject, origin: Origin, ordinalOf: (key: string) => number): Occurrence {
  const attributes = attributesOf(record['attributes'])
  const text = (name: string) => textOf(attributes[name])
  const identity = JSON.stringify([
    record['timestamp'],
    record['trace_id'],
    record['body'],
    text('server.address'),
  ])
  const { kept, marks } = timed(record['timestamp'], origin)
  const sdk = text('sentry.sdk.name') ?? ''
  const language = /^sentry\.([a-z]+)/.exec(sdk)?.[1] ?? ''
  return withinLimits({
    id: derivedId(JSON.stringify([origin.appId, identity, ordinalOf(identity)])),
    appId: origin.appId,
    protocol: 'sentry',
    code: text('logger.name') ?? 'log',
    message: textOf(record['body']) ?? '',
    stackTrace: '',
    parsedStack: undefined,
    appVersion: text('sentry.release') ?? '',
    ...platformOf({
      platform: language,
      sdk: { name: sdk },
      contexts: { runtime: { version: attributes['process.runtime.version'] ?? null } },
    }),
    environment: text('sentry.environment') ?? 'production',
    level: levelOf(record['level']) ?? 'error',
    userId: text('user.id') ?? text('user.name') ?? text('user.email') ?? null,
    ...kept,
    receivedAtMs: origin.receivedAtMs,
    metadata: present({ attributes }),
    tags: {},
    fingerprint: [],
    breadcrumbs: [],
    traceId: hexOf(textOf(record['trace_id']), 32),
    spanId: hexOf(textOf(record['span_id']) ?? text('sentry.trace.parent_span_id'), 16),
    marks,
  })
}

function attributesOf(attributes: Json | undefined): JsonObject {
  const entries: [string, Json][] = []
  for (const [name, attribute] of Object.entries(objectOf(attributes) ?? {})) {
    const value = isObject(attribute) ? attribute['value'] : attribute
    if (value !== undefined) entries.push([name, value])
  }
  return Object.fromEntries(entries)
}

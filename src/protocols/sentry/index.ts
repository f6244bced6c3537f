import { isObject, listOf, parseJson, textOf } from '../json.ts'
import type { JsonObject, Occurrence } from '../../occurrence.ts'
import { Refusal } from '../../refusal.ts'
import { ordinals, uuidOf } from '../derive.ts'
import type { Decoded, Discarded, Post, Protocol, RefusedItem } from '../protocol.ts'
import { CORS_HEADERS, accepted, refused } from './answer.ts'
import { agree, keyOfBody, keyOfRequest } from './auth.ts'
import { splitEnvelope } from './envelope.ts'
import type { EnvelopeItem } from './envelope.ts'
import { driftOf, occurrenceOf } from './event.ts'
import type { Origin } from './event.ts'
import {
  categoryOf,
  clientReportOf,
  feedbackOf,
  logsOf,
  policyReportOf,
  userReportOf,
} from './items.ts'

/** What Sentry's clients speak: envelopes, the older `store`, tunnels and browsers' policy reports. */
export const sentry: Protocol = {
  name: 'sentry',
  paths: [
    '/api/:project/envelope/',
    '/api/:project/envelope',
    '/api/:project/store/',
    '/api/:project/store',
    '/api/:project/security/',
    '/api/:project/security',
    '/tunnel',
  ],
  credential: keyOfRequest,
  credentialInBody: keyOfBody,
  corsHeaders: CORS_HEADERS,
  decode,
  accepted,
  refused,
}

// Of the whole address: a request's is in its normal form, and to take it apart costs as much as an item.
const PATH = /^[a-z]+:\/\/[^/]+\/api\/([^/?#]+)\/(envelope|store|security)\/?(?:[?#]|$)/

function decode(post: Post): Decoded {
  const [, project, face] = PATH.exec(post.request.url) ?? []
  const decoded =
    face === 'store'
      ? decodeStore(post, project)
      : face === 'security'
        ? decodeSecurity(post, project)
        : decodeEnvelope(post, project)
  return withinCount(decoded, post.eventsMax)
}

function decodeStore(post: Post, project: string | undefined): Decoded {
  agree(post.request, {}, project, post.projectId)
  const event = parseJson(post.body, 'The event')
  if (!isObject(event)) throw new Refusal('malformed', 'The event must be a JSON object.')
  // Here the client says in the header when it sent the event.
  const sentAt = /sentry_timestamp=([\d.]+)/.exec(post.request.headers.get('x-sentry-auth') ?? '')
  const occurrence = occurrenceOf(event, undefined, originOf(post, sentAt?.[1]))
  return { occurrences: [occurrence], refused: [], receipt: bare(occurrence.id) }
}

function decodeSecurity(post: Post, project: string | undefined): Decoded {
  agree(post.request, {}, project, post.projectId)
  const body = parseJson(post.body, 'The report')
  const reports = isObject(body) ? [body] : listOf(body).filter(isObject)
  const occurrences = reports.flatMap(
    (report) => policyReportOf(report, originOf(post, undefined)) ?? [],
  )
  const others = reports.length - occurrences.length
  return { occurrences, refused: [], discarded: unsupported('security', others) }
}

function decodeEnvelope(post: Post, project: string | undefined): Decoded {
  const envelope = splitEnvelope(post.body)
  agree(post.request, envelope.headers, project, post.projectId)
  const named = uuidOf(textOf(envelope.headers['event_id']))
  const work: Work = {
    origin: originOf(post, envelope.headers['sent_at']),
    ordinalOf: ordinals(),
    // The envelope's id names its one event; a second event would collide with it.
    names: named === undefined ? [] : [named],
  }
  const occurrences: Occurrence[] = []
  const refused: RefusedItem[] = envelope.broken.map((broken) => ({ ...broken, id: null }))
  const discarded: Discarded[] = []
  for (const item of envelope.items) {
    try {
      const understood = understand(item, work)
      occurrences.push(...(understood.occurrences ?? []))
      discarded.push(...(understood.discarded ?? []))
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      refused.push({ index: item.index, id: named ?? null, refusal: error })
    }
  }
  // A log record's id is ours: the client would not know it.
  const event = envelope.items.some(({ type }) => EVENTS.has(type)) ? occurrences[0]?.id : undefined
  const receipt = named ?? event
  return {
    occurrences,
    refused,
    discarded: merged(discarded),
    receipt: receipt === undefined ? undefined : bare(receipt),
  }
}

interface Work {
  readonly origin: Origin
  readonly ordinalOf: (key: string) => number
  /** Ids that the next event may take. */
  readonly names: string[]
}

const EVENTS = new Set(['event', 'feedback'])

/** @throws Refusal `malformed` for an item that we would keep and cannot read. */
function understand(
  item: EnvelopeItem,
  work: Work,
): { occurrences?: readonly Occurrence[]; discarded?: readonly Discarded[] } {
  switch (item.type) {
    case 'event':
      return { occurrences: [occurrenceOf(contentOf(item), work.names.pop(), work.origin)] }
    case 'feedback':
      return { occurrences: [feedbackOf(contentOf(item), work.names.pop(), work.origin)] }
    case 'user_report':
      return { occurrences: [userReportOf(contentOf(item), work.origin)] }
    case 'client_report':
      return { discarded: clientReportOf(contentOf(item)) }
    case 'log': {
      const { occurrences, others } = logsOf(contentOf(item), work.origin, work.ordinalOf)
      return { occurrences, discarded: counted('log_item', 'below_error', others) }
    }
    default:
      return { discarded: unsupported(categoryOf(item.type), 1) }
  }
}

function contentOf(item: EnvelopeItem): JsonObject {
  const content = parseJson(item.payload, `The payload of the item ${item.type}`)
  if (isObject(content)) return content
  throw new Refusal('malformed', `The payload of the item ${item.type} must be a JSON object.`)
}

function originOf(post: Post, sentAt: JsonObject[string] | undefined): Origin {
  const { appId, receivedAtMs } = post
  return { appId, receivedAtMs, driftMs: driftOf(sentAt, receivedAtMs) }
}

/** What is beyond the count is refused by name; what came before it is kept. */
function withinCount(decoded: Decoded, eventsMax: number): Decoded {
  if (decoded.occurrences.length <= eventsMax) return decoded
  const refusal = new Refusal(
    'too_large',
    `A request holds at most ${String(eventsMax)} events; the others are not kept.`,
  )
  const beyond = decoded.occurrences
    .slice(eventsMax)
    .map(({ id }, at) => ({ index: eventsMax + at, id, refusal }))
  return {
    ...decoded,
    occurrences: decoded.occurrences.slice(0, eventsMax),
    refused: [...decoded.refused, ...beyond],
  }
}

function unsupported(category: string, count: number): readonly Discarded[] {
  return counted(category, 'unsupported', count)
}

function counted(category: string, reason: string, count: number): readonly Discarded[] {
  return count === 0 ? [] : [{ by: 'server', category, reason, count }]
}

function merged(discarded: readonly Discarded[]): readonly Discarded[] {
  const sums = new Map<string, Discarded>()
  for (const each of discarded) {
    const key = `${each.by} ${each.category} ${each.reason}`
    const count = each.count + (sums.get(key)?.count ?? 0)
    sums.set(key, { ...each, count })
  }
  return [...sums.values()]
}

function bare(id: string): string {
  return id.replaceAll('-', '')
}

import type { Occurrence } from '../../occurrence.ts'
import { Refusal } from '../../refusal.ts'
import { withoutLoneSurrogates } from '../json.ts'
import type { Decoded, Post, Protocol, RefusedItem, Reply } from '../protocol.ts'
import { NativeEvent, sentenceOf } from './event.ts'
import { toOccurrence } from './normalise.ts'
import { plainOccurrence } from './plain.ts'

/** Our own JSON: `{"events": [Event, …]}`, the seed's contract and more fields. */
export const native: Protocol = {
  name: 'native',
  paths: ['/api/v1/ingest'],
  credential,
  decode,
  accepted: ({ occurrences, refused }): Reply =>
    refused.length === 0
      ? json(200, `{"success":true,"accepted":${occurrences.length}}`)
      : json(
          200,
          JSON.stringify({
            success: true,
            accepted: occurrences.length,
            rejected: refused.map(rejection),
          }),
        ),
  refused: ({ message }, status, items): Reply =>
    json(
      status,
      JSON.stringify({
        success: false,
        error: message,
        ...(items !== undefined && items.length > 0 && { rejected: items.map(rejection) }),
      }),
    ),
}

/** Longest id of a client that an answer repeats; a UUID has 36 characters. */
const ID_CHARS_MAX = 100

const utf8 = new TextDecoder('utf-8', { fatal: true })

function credential({ headers }: Request): string | undefined {
  const own = headers.get('x-api-key')?.trim()
  if (own) return own
  return /^Bearer +(\S+)$/i.exec(headers.get('authorization')?.trim() ?? '')?.[1]
}

function decode({ body, appId, eventsMax, receivedAtMs }: Post): Decoded {
  const events = eventsOf(parse(body), eventsMax)
  if (events.some((event) => isOfAnotherApp(event, appId))) return refuseAll(events, appId)
  const occurrences: Occurrence[] = []
  const refused: RefusedItem[] = []
  for (const [index, event] of events.entries()) {
    const read = plainOccurrence(event, receivedAtMs) ?? readEvent(event, receivedAtMs)
    if (read instanceof Refusal) refused.push({ index, id: idOf(event), refusal: read })
    else occurrences.push(read)
  }
  return { occurrences, refused }
}

function readEvent(event: unknown, receivedAtMs: number): Occurrence | Refusal {
  const parsed = NativeEvent.safeParse(event)
  if (!parsed.success) return new Refusal('malformed', sentenceOf(parsed.error))
  try {
    return toOccurrence(parsed.data, receivedAtMs)
  } catch (error) {
    if (error instanceof Refusal) return error
    throw error
  }
}

/** @throws Refusal `malformed` when the bytes are no UTF-8 or no JSON. */
function parse(body: Uint8Array): unknown {
  if (body.length === 0) {
    throw new Refusal('malformed', 'The body is empty; it must be JSON such as {"events": […]}.')
  }
  let text: string
  try {
    text = utf8.decode(body)
  } catch (cause) {
    throw new Refusal('malformed', 'The body is not valid UTF-8; it must be JSON in UTF-8.', {
      cause,
    })
  }
  try {
    return JSON.parse(withoutLoneSurrogates(text))
  } catch (cause) {
    throw new Refusal('malformed', 'The body is not valid JSON; it must be {"events": […]}.', {
      cause,
    })
  }
}

/** @throws Refusal `malformed` when there is no list of 1 to `eventsMax` events. */
function eventsOf(body: unknown, eventsMax: number): readonly unknown[] {
  const events: unknown =
    typeof body === 'object' && body !== null && 'events' in body ? body.events : undefined
  if (!Array.isArray(events)) {
    throw new Refusal('malformed', 'The body must be an object whose `events` is an array.')
  }
  if (events.length === 0 || events.length > eventsMax) {
    throw new Refusal(
      'malformed',
      `events must hold 1 to ${eventsMax} events in one request, not ${events.length}.`,
    )
  }
  return events
}

function isOfAnotherApp(event: unknown, appId: string): boolean {
  if (typeof event !== 'object' || event === null || !('appId' in event)) return false
  return typeof event.appId === 'string' && event.appId !== appId
}

function refuseAll(events: readonly unknown[], appId: string): Decoded {
  const refusal = new Refusal(
    'malformed',
    `Some events do not match authenticated app. Expected appId: ${appId}`,
  )
  const refused = events.map((event, index) => ({ index, id: idOf(event), refusal }))
  return { occurrences: [], refused, refusal }
}

function idOf(event: unknown): string | null {
  if (typeof event !== 'object' || event === null || !('id' in event)) return null
  if (typeof event.id !== 'string') return null
  return event.id.slice(0, ID_CHARS_MAX).toWellFormed()
}

function rejection({ index, id, refusal }: RefusedItem) {
  return { index, id, error: refusal.message }
}

function json(status: number, body: string): Reply {
  return { status, contentType: 'application/json', body }
}

import type { Refusal } from '../../refusal.ts'
import type { Decoded, RefusedItem, Reply } from '../protocol.ts'

/** Request headers that Sentry's browser clients may send. */
export const CORS_HEADERS = [
  'x-sentry-auth',
  'x-requested-with',
  'x-forwarded-for',
  'origin',
  'referer',
  'accept',
  'content-type',
  'authentication',
  'authorization',
  'content-encoding',
  'transfer-encoding',
  'sentry-trace',
  'baggage',
] as const

/** The yes: the event's id in the client's form, or nothing where there was no event. */
export function accepted({ receipt }: Decoded): Reply {
  const body = receipt === undefined ? '{}' : JSON.stringify({ id: receipt })
  return { status: 200, contentType: 'application/json', body }
}

/** The no, where Sentry's clients look for it. */
export function refused(
  refusal: Refusal,
  status: number,
  items: readonly RefusedItem[] = [],
): Response {
  const headers = new Headers(READABLE)
  // A header holds one line of Latin-1; the messages are ours, but they may quote the client.
  headers.set('X-Sentry-Error', refusal.message.replaceAll(/[^\x20-\x7e]/g, '?'))
  if (refusal.retryAfterSeconds !== undefined) {
    headers.set('Retry-After', String(refusal.retryAfterSeconds))
  }
  if (status === 429) {
    // What we would refuse too; the others, which we only count, may go on.
    const seconds = refusal.retryAfterSeconds ?? 60
    headers.set('X-Sentry-Rate-Limits', `${String(seconds)}:${LIMITED}:key:${refusal.code}`)
    headers.set('Retry-After', String(seconds))
  }
  const causes = items.map((item) => item.refusal.message)
  // Sentry knows no 401: a request without a key is as forbidden as one with the wrong key.
  const known = status === 401 ? 403 : status
  return Response.json({ detail: refusal.message, causes }, { status: known, headers })
}

const LIMITED = 'default;error;feedback;log_item;security'

// Scripts of other origins may read the answer, and these headers of it; no cookie is ever involved.
const READABLE = {
  'Access-Control-Allow-Origin': '*',
  'Access-Control-Expose-Headers': 'x-sentry-error, x-sentry-rate-limits, retry-after',
} as const

import type { Context, Hono } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { Refusal, type ReachedLimit, type RefusalCode } from '../refusal.ts'
import { factsOf } from './access.ts'

/**
 * The only place where a code becomes a status.
 * `overloaded` is 503, not 500: OTLP exporters retry 429, 502, 503 and 504 and drop on anything else.
 */
export const STATUS = {
  malformed: 400,
  unauthenticated: 401,
  forbidden: 403,
  not_found: 404,
  method_not_allowed: 405,
  timeout: 408,
  conflict: 409,
  too_large: 413,
  unsupported_encoding: 415,
  rate_limited: 429,
  quota: 429,
  overloaded: 503,
} as const satisfies Record<RefusalCode, number>

/** Said with 429 and 503 where the refusal names no time of its own. */
const RETRY_AFTER_SECONDS = 5

/** The headers that go with a refusal whatever the shape of its body. */
export function refusalHeaders(refusal: Refusal): Record<string, string> {
  const { code, retryAfterSeconds, limit } = refusal
  const headers: Record<string, string> = { 'X-Error-Code': code }
  if (retryAfterSeconds !== undefined || STATUS[code] === 429 || STATUS[code] === 503) {
    headers['Retry-After'] = String(
      Math.max(1, Math.ceil(retryAfterSeconds ?? RETRY_AFTER_SECONDS)),
    )
  }
  if (limit !== undefined) Object.assign(headers, limitHeaders(limit, headers['Retry-After']))
  // RFC 9110 §15.5.16: a 415 for its coding says which would do.
  if (code === 'unsupported_encoding') headers['Accept-Encoding'] = 'gzip, deflate, br, zstd'
  return headers
}

/**
 * The current fields and the three that older clients read. Nothing is left where they are sent.
 * @see https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/ (10 and 06)
 */
function limitHeaders(
  { policy, quota, windowSeconds }: ReachedLimit,
  resetSeconds = String(RETRY_AFTER_SECONDS),
): Record<string, string> {
  const limit = String(Math.ceil(quota))
  return {
    'RateLimit-Policy': `"${policy}";q=${limit};w=${String(windowSeconds)}`,
    RateLimit: `"${policy}";r=0;t=${resetSeconds}`,
    'RateLimit-Limit': limit,
    'RateLimit-Remaining': '0',
    'RateLimit-Reset': resetSeconds,
  }
}

/** A refusal in the shape of the native and dashboard APIs. */
export function problem(
  refusal: Refusal,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return Response.json(
    { success: false, error: refusal.message },
    { status: STATUS[refusal.code], headers: { ...refusalHeaders(refusal), ...headers } },
  )
}

/**
 * Answers of the whole app to what no route answers: 404 for a path nobody has, 405 with `Allow` for
 * the wrong method, a thrown Refusal, and 500 for a bug. Routes may still be added afterwards.
 */
export function answerProblems(app: Hono, bug: (error: unknown) => void): void {
  app.notFound((c) => {
    const methods = methodsOf(app, c.req.path)
    // A route that gave the request on, as a page for a request that wants none, has nothing there.
    if (methods.length === 0 || methods.includes(c.req.method)) {
      const message = 'There is nothing at this path; GET / names what is here.'
      return answer(c, new Refusal('not_found', message))
    }
    const allow = methods.join(', ')
    if (c.req.method === 'OPTIONS')
      return new Response(null, { status: 204, headers: { Allow: allow } })
    const message = `The method ${c.req.method} is not allowed here; use ${allow}.`
    return answer(c, new Refusal('method_not_allowed', message), { Allow: allow })
  })
  app.onError((error, c) => {
    if (error instanceof Refusal) return answer(c, error)
    // Hono's own validators throw these; they are the client's fault.
    if (error instanceof HTTPException && error.status < 500) {
      const message = error.message === '' ? 'The request is not valid.' : error.message
      return answer(c, new Refusal(codeOf(error.status), message))
    }
    bug(error)
    return internal(c)
  })
}

function answer(c: Context, refusal: Refusal, headers: Readonly<Record<string, string>> = {}) {
  const facts = factsOf(c.env)
  if (facts !== undefined) facts.code = refusal.code
  return problem(refusal, { ...corsOf(c), ...headers })
}

function internal(c: Context): Response {
  const facts = factsOf(c.env)
  if (facts !== undefined) facts.code = 'internal'
  const which = facts === undefined ? '' : ` and name the request ${facts.requestId}`
  const error = `Something is wrong on our side; try again later${which} when you report it.`
  const headers = { 'X-Error-Code': 'internal', ...corsOf(c) }
  return Response.json({ success: false, error }, { status: 500, headers })
}

/** A route that browsers may use from anywhere has said so before it threw. */
function corsOf(c: Context): Record<string, string> {
  const origin = c.res.headers.get('access-control-allow-origin')
  const exposed = c.res.headers.get('access-control-expose-headers')
  if (origin === null || exposed === null) return {}
  return { 'Access-Control-Allow-Origin': origin, 'Access-Control-Expose-Headers': exposed }
}

function codeOf(status: number): RefusalCode {
  if (status === 401) return 'unauthenticated'
  if (status === 403) return 'forbidden'
  if (status === 404) return 'not_found'
  if (status === 413) return 'too_large'
  return 'malformed'
}

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const

/** The methods that have a route of their own at `path`; middleware for every method is none. */
function methodsOf(app: Hono, path: string): string[] {
  const found: string[] = METHODS.filter((method) =>
    app.router.match(method, path)[0].some(([[, route]]) => route.method === method),
  )
  if (found.length === 0) return found
  if (found[0] === 'GET') found.splice(1, 0, 'HEAD')
  return [...found, 'OPTIONS']
}

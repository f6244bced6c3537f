import type { ExecutionContext } from 'hono'
import type { Client } from '../administration.ts'
import type { RefusalCode } from '../refusal.ts'

/** What becomes known of one request while it is answered; one canonical log line is made of it. */
export interface Facts {
  readonly requestId: string
  /** Protocol by which events came. */
  protocol?: string
  /** App of the key. */
  appId?: string
  /** Bytes of the body after inflating. */
  bytes?: number
  /** Events accepted, and events refused. */
  accepted?: number
  refused?: number
  /** Why the request was refused, or `internal` for a bug. */
  code?: RefusalCode | 'internal'
  /** The answer carries the headers of {@link baseHeaders} already. */
  hasHeaders?: boolean
}

/** The canonical line of one request: never a query, a header or content. */
export interface AccessLine extends Readonly<Omit<Facts, 'hasHeaders'>> {
  readonly method: string
  readonly path: string
  readonly status: number
  readonly elapsedMs: number
}

/** What `withAccess` stands on. */
export interface AccessDeps {
  readonly fetch: (
    request: Request,
    env: object,
    context?: ExecutionContext,
  ) => Response | Promise<Response>
  /** Told of each request once its answer is known, which leaves when this is done. */
  readonly log: (line: AccessLine) => Promise<void> | undefined
  readonly nowMs: () => number
  /** `env` is what the runtime passes with the request. */
  readonly clientOf: (request: Request, env: unknown) => Client
}

/** The fetch of the whole service: gives each request an id, and each answer its common headers. */
export type AccessFetch = (
  request: Request,
  env?: unknown,
  context?: ExecutionContext,
) => Promise<Response>

/** Ids that a client or a proxy may choose: short, and harmless in logs and headers. */
const SANE_ID = /^[\w.:@/+=-]{1,128}$/

/** No browser may guess a type, and an API answer is never a page; pages bring their own policy. */
const API_POLICY = "default-src 'none'; frame-ancestors 'none'"

/** Wraps the app; routes see the {@link Facts} of their request in Hono's `c.env`. */
export function withAccess({ fetch, log, nowMs, clientOf }: AccessDeps): AccessFetch {
  const nextId = createIds()
  return async (request, env, context) => {
    const startedAtMs = nowMs()
    const given = request.headers.get('x-request-id')
    const facts: Facts = { requestId: given !== null && SANE_ID.test(given) ? given : nextId() }
    // Found out only when asked for: most requests never ask.
    let client: Client | undefined
    const ask = () => (client ??= clientOf(request, env))
    const runtime = typeof env === 'object' && env !== null ? env : {}
    let response = await fetch(request, { ...runtime, [FACTS]: facts, [CLIENT]: ask }, context)
    const { hasHeaders, ...told } = facts
    if (hasHeaders !== true) response = withBaseHeaders(response, facts.requestId)
    const done = log({
      ...told,
      method: request.method,
      path: pathOf(request.url),
      status: response.status,
      elapsedMs: nowMs() - startedAtMs,
    })
    // Most have nothing to wait for, and a wait costs a turn.
    if (done !== undefined) await done
    return response
  }
}

/** The facts of a request from Hono's `c.env`; undefined where the app runs without `withAccess`. */
export function factsOf(env: unknown): Facts | undefined {
  return isWithFacts(env) ? env[FACTS] : undefined
}

/**
 * Where a request comes from, from Hono's `c.env`: for limits, the audit log and links.
 * Undefined where the app runs without `withAccess`.
 */
export function clientIn(env: unknown): Client | undefined {
  return isWithFacts(env) ? env[CLIENT]() : undefined
}

/** The client as the request itself tells it: no proxy is believed, and no address is known. */
export function directClient(request: Request): Client {
  return { address: undefined, origin: new URL(request.url).origin, viaProxy: false }
}

/** Headers of every API answer, for those who build it in one go. */
export function baseHeaders(requestId: string | undefined): Record<string, string> {
  return {
    ...(requestId !== undefined && { 'X-Request-Id': requestId }),
    'X-Content-Type-Options': 'nosniff',
  }
}

const FACTS = Symbol('facts')
const CLIENT = Symbol('client')

function isWithFacts(
  env: unknown,
): env is { readonly [FACTS]: Facts; readonly [CLIENT]: () => Client } {
  return typeof env === 'object' && env !== null && FACTS in env && CLIENT in env
}

function withBaseHeaders(response: Response, requestId: string): Response {
  try {
    return addHeaders(response, requestId)
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    // Answers of Response.redirect and of fetch cannot be changed, copies can.
    return addHeaders(new Response(response.body, response), requestId)
  }
}

function addHeaders(response: Response, requestId: string): Response {
  const { headers } = response
  headers.set('X-Request-Id', requestId)
  headers.set('X-Content-Type-Options', 'nosniff')
  if (!headers.has('content-security-policy')) headers.set('Content-Security-Policy', API_POLICY)
  if (!headers.has('referrer-policy')) headers.set('Referrer-Policy', 'no-referrer')
  if (!headers.has('cache-control')) headers.set('Cache-Control', 'no-store')
  return response
}

/** Unique among all processes by a random beginning, cheap by counting on from it. */
function createIds(): () => string {
  let prefix = ''
  let count = 0
  return () => {
    // Not before the first request: at the edge nothing is random until then.
    if (prefix === '') prefix = crypto.randomUUID().replaceAll('-', '').slice(0, 16)
    count++
    return `${prefix}-${count.toString(36)}`
  }
}

/** The path alone: a query may hold a key (Sentry's does). */
function pathOf(url: string): string {
  const start = url.indexOf('/', url.indexOf('://') + 3)
  if (start === -1) return '/'
  const end = url.slice(start).search(/[?#]/)
  return end === -1 ? url.slice(start) : url.slice(start, start + end)
}

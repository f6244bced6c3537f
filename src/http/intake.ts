import { Hono, type Context } from 'hono'
import type { Occurrence } from '../occurrence.ts'
import type { Outcome } from '../outcome.ts'
import type { Decoded, Protocol, Reply } from '../protocols/protocol.ts'
import { Refusal } from '../refusal.ts'
import { baseHeaders, factsOf } from './access.ts'
import type { Body } from './body.ts'
import { problem, refusalHeaders, STATUS } from './problem.ts'

/** The app whose key a request carries. */
interface IntakeApp {
  readonly id: string
  readonly name: string
  readonly projectId?: number
}

/** Who is asking; a key of all apps has no app of its own. */
interface IntakeCaller {
  readonly app: IntakeApp | undefined
}

/** What `intakeRoutes` stands on. */
export interface IntakeDeps {
  readonly protocols: readonly Protocol[]
  /** @throws Refusal `unauthenticated`, `forbidden` or `rate_limited`. */
  readonly admit: (
    credential: string | undefined,
    scope: 'ingest',
  ) => IntakeCaller | Promise<IntakeCaller>
  /** The API key of `GET /api/v1/ingest/test`, which belongs to no protocol. */
  readonly credential: (request: Request) => string | undefined
  /** As `readBody` of http/body.ts; `env` is Hono's `c.env`. @throws Refusal */
  readonly readBody: (request: Request, env: unknown) => Promise<Body>
  /** Resolves once every occurrence is durable. @throws Refusal `overloaded`; then none is. */
  readonly accept: (occurrences: readonly Occurrence[]) => Promise<void>
  readonly outcome: (protocol: string, outcome: Outcome, count: number) => void
  /** Parts of requests that are neither kept nor refused. */
  readonly discarded?: (protocol: string, parts: NonNullable<Decoded['discarded']>) => void
  readonly nowMs: () => number
  /** Most events that one request may carry. */
  readonly eventsMax: number
}

/** One POST route per protocol path; every request ends in that protocol's own yes or no. */
export function intakeRoutes(deps: IntakeDeps): Hono {
  const app = new Hono()
  const preflight = preflightOf(deps.protocols)
  for (const protocol of deps.protocols) {
    for (const path of protocol.paths) {
      app.post(path, (c) => take(deps, protocol, c))
      app.options(path, () => preflight('POST, OPTIONS'))
    }
  }
  app.get('/api/v1/ingest/test', (c) => test(deps, c))
  app.options('/api/v1/ingest/test', () => preflight('GET, HEAD, OPTIONS'))
  return app
}

async function take(deps: IntakeDeps, protocol: Protocol, c: Context): Promise<Response> {
  const request = c.req.raw
  const ends = createEnds(deps, protocol.name, c.env)
  let body: Body | undefined
  try {
    let credential = protocol.credential(request)
    if (credential === undefined && protocol.credentialInBody !== undefined) {
      body = await deps.readBody(request, c.env)
      credential = protocol.credentialInBody(body.bytes)
    }
    const app = requireApp(await deps.admit(credential, 'ingest'))
    body ??= await deps.readBody(request, c.env)
    ends.know(app.id, body.bytes.byteLength)
    const decoded = protocol.decode({
      request,
      body: body.bytes,
      appId: app.id,
      projectId: app.projectId,
      receivedAtMs: deps.nowMs(),
      eventsMax: deps.eventsMax,
    })
    ends.decoded(decoded)
    const refusal = decoded.refusal ?? noneValid(decoded)
    if (refusal !== undefined) {
      const items = decoded.refusal === undefined ? decoded.refused : []
      ends.refused(refusal, decoded)
      const reply = protocol.refused(refusal, STATUS[refusal.code], items, request)
      return respond(c, reply, refusalHeaders(refusal))
    }
    if (decoded.occurrences.length > 0) await deps.accept(decoded.occurrences)
    ends.accepted(decoded)
    return respond(c, protocol.accepted(decoded, request), {})
  } catch (error) {
    if (!(error instanceof Refusal)) {
      // A bug: the app's onError answers 500 and reports it; browsers may read that answer too.
      for (const [name, value] of Object.entries(CORS)) c.header(name, value)
      throw error
    }
    ends.failed(error)
    const reply = protocol.refused(error, STATUS[error.code], undefined, request)
    return respond(c, reply, refusalHeaders(error))
  } finally {
    body?.release()
  }
}

async function test(deps: IntakeDeps, c: Context): Promise<Response> {
  try {
    const app = requireApp(await deps.admit(deps.credential(c.req.raw), 'ingest'))
    return Response.json({ success: true, appId: app.id, appName: app.name }, { headers: CORS })
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    const facts = factsOf(c.env)
    if (facts !== undefined) facts.code = error.code
    return problem(error, CORS)
  }
}

function requireApp({ app }: IntakeCaller): IntakeApp {
  if (app !== undefined) return app
  const message = 'This API key belongs to no app; events need the key of the app that sends them.'
  throw new Refusal('forbidden', message)
}

/** Why the whole request is refused although it could be read: it held events, and none was valid. */
function noneValid({ occurrences, refused }: Decoded): Refusal | undefined {
  const [first] = refused
  if (first === undefined || occurrences.length > 0) return undefined
  const { code, message, retryAfterSeconds } = first.refusal
  const text = refused.length === 1 ? 'The event is not valid' : 'None of the events is valid'
  const retry = retryAfterSeconds === undefined ? {} : { retryAfterSeconds }
  return new Refusal(code, `${text}: ${message}`, retry)
}

/** Sees to it that each event of one request is counted once, however the request ends. */
function createEnds(deps: IntakeDeps, protocol: string, env: unknown) {
  const facts = factsOf(env)
  if (facts !== undefined) facts.protocol = protocol
  let read: Decoded | undefined
  const say = (accepted: number, refused: number, refusal?: Refusal): void => {
    if (facts === undefined) return
    facts.accepted = accepted
    facts.refused = refused
    if (refusal !== undefined) facts.code = refusal.code
  }
  const countItems = ({ refused }: Decoded): void => {
    for (const { refusal } of refused) {
      deps.outcome(protocol, { kind: 'refused', reason: refusal.code }, 1)
    }
  }
  return {
    know: (appId: string, bytes: number): void => {
      if (facts === undefined) return
      facts.appId = appId
      facts.bytes = bytes
    },
    decoded: (decoded: Decoded): void => {
      read = decoded
      if (decoded.discarded !== undefined) deps.discarded?.(protocol, decoded.discarded)
    },
    accepted: (decoded: Decoded): void => {
      countItems(decoded)
      say(decoded.occurrences.length, decoded.refused.length)
    },
    refused: (refusal: Refusal, decoded: Decoded): void => {
      countItems(decoded)
      say(0, decoded.refused.length, refusal)
    },
    failed: (refusal: Refusal): void => {
      // Until it is decoded, a request counts as one event.
      const count = read === undefined ? 1 : read.occurrences.length
      if (count > 0) deps.outcome(protocol, { kind: 'refused', reason: refusal.code }, count)
      if (read !== undefined) countItems(read)
      say(0, count + (read?.refused.length ?? 0), refusal)
    },
  }
}

/** Any origin may send events, and none of its cookies: so the answer never varies by origin. */
const CORS = {
  'Access-Control-Allow-Origin': '*',
  'Access-Control-Expose-Headers':
    'X-Request-Id, X-Error-Code, Retry-After, X-Sentry-Error, X-Sentry-Rate-Limits',
} as const

const ALLOWED_HEADERS = ['Content-Type', 'Content-Encoding', 'Authorization', 'X-API-Key']
const PREFLIGHT_SECONDS = '3600'

function preflightOf(protocols: readonly Protocol[]): (allow: string) => Response {
  const own = protocols.flatMap(({ corsHeaders }) => corsHeaders ?? [])
  const headers = [...ALLOWED_HEADERS, 'X-Request-Id', ...own].join(', ')
  return (allow) =>
    new Response(null, {
      status: 204,
      headers: {
        ...CORS,
        Allow: allow,
        'Access-Control-Allow-Methods': allow,
        'Access-Control-Allow-Headers': headers,
        'Access-Control-Max-Age': PREFLIGHT_SECONDS,
      },
    })
}

function respond(
  c: Context,
  reply: Response | Reply,
  headers: Readonly<Record<string, string>>,
): Response {
  const facts = factsOf(c.env)
  if (!('contentType' in reply)) {
    for (const [name, value] of Object.entries({ ...CORS, ...headers })) {
      reply.headers.set(name, value)
    }
    return reply
  }
  if (facts !== undefined) facts.hasHeaders = true
  const base = baseHeaders(facts?.requestId)
  return new Response(reply.body, {
    status: reply.status,
    headers: { 'Content-Type': reply.contentType, ...base, ...CORS, ...headers },
  })
}

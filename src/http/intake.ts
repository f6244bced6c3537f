import { Hono, type Context } from 'hono'
import type { AppSetting } from '../app-setting.ts'
import type { Occurrence } from '../occurrence.ts'
import type { Outcome } from '../outcome.ts'
import type { Decoded, Post, Protocol, Reply } from '../protocols/protocol.ts'
import { Refusal, type RefusalCode } from '../refusal.ts'
import { baseHeaders, factsOf } from './access.ts'
import type { Body } from './body.ts'
import { problem, refusalHeaders, STATUS } from './problem.ts'

/** The app whose key a request carries. */
interface IntakeApp extends Pick<AppSetting, 'limits' | 'scrub'> {
  readonly id: string
  readonly name: string
  readonly projectId?: number | undefined
}

/** See limits/limits.ts. */
interface Gate {
  readonly take: (events: number) => void
  readonly giveBack: () => void
}

/** Who is asking; a key of all apps has no app of its own. */
interface IntakeCaller {
  readonly app: IntakeApp | undefined
}

/** What `intakeRoutes` stands on. */
export interface IntakeDeps {
  readonly protocols: readonly Protocol[]
  /**
   * The app that `credential` may send events of, in this request.
   * @throws Refusal `unauthenticated`, `forbidden`, `rate_limited` or `overloaded`.
   */
  readonly admit: (
    credential: string | undefined,
    request: Request,
  ) => IntakeCaller | Promise<IntakeCaller>
  /**
   * What a request with this key has still to pass; undefined where nothing limits it. Asked before
   * the body is read. @throws Refusal `rate_limited` or `quota`.
   */
  readonly enter?: (app: IntakeApp, credential: string) => Gate | undefined
  /** The API key of `GET /api/v1/ingest/test`, which belongs to no protocol. */
  readonly credential: (request: Request) => string | undefined
  /** Awaited before the body of a request is read: more may not be wanted at once. */
  readonly turn: () => Promise<void> | undefined
  /** As `readBody` of http/body.ts; `env` is Hono's `c.env`. @throws Refusal */
  readonly readBody: (request: Request, env: unknown) => Promise<Body>
  /** Resolves once every occurrence is durable. @throws Refusal `overloaded`; then none is. */
  readonly accept: (occurrences: readonly Occurrence[], app: IntakeApp) => Promise<void>
  /** Hears of every event what became of it, once. */
  readonly telemetry: {
    readonly received: (protocol: string, count: number, bytes: number) => void
    /** The app's id is empty where it is not known. */
    readonly outcome: (appId: string, protocol: string, outcome: Outcome, count: number) => void
    /** Parts of requests that are neither kept nor refused. */
    readonly discarded: (
      appId: string,
      protocol: string,
      parts: NonNullable<Decoded['discarded']>,
    ) => void
  }
  readonly nowMs: () => number
  /** Most events that one request may carry. */
  readonly eventsMax: number
  /** As the host makes it; see Post. */
  readonly digest?: Post['digest']
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
  let gate: Gate | undefined
  try {
    let credential = protocol.credential(request)
    if (credential === undefined && protocol.credentialInBody !== undefined) {
      body = await deps.readBody(request, c.env)
      credential = protocol.credentialInBody(body.bytes)
    }
    const app = requireApp(await deps.admit(credential, request))
    ends.of(app.id)
    gate = deps.enter?.(app, credential ?? '')
    const turn = deps.turn()
    if (turn !== undefined) await turn
    body ??= await deps.readBody(request, c.env)
    ends.know(body.bytes.byteLength)
    const { accepting, reply, headers } = decide(deps, protocol, { request, body, app, gate, ends })
    body.spend()
    await accepting
    if (accepting !== undefined) ends.accepted()
    return respond(c, reply, headers)
  } catch (error) {
    if (!(error instanceof Refusal)) {
      // A bug: the app's onError answers 500 and reports it; browsers may read that answer too.
      for (const [name, value] of Object.entries(CORS)) c.header(name, value)
      ends.failed('internal')
      throw error
    }
    gate?.giveBack()
    ends.failed(error.code)
    const reply = protocol.refused(error, STATUS[error.code], undefined, request)
    return respond(c, reply, refusalHeaders(error))
  } finally {
    body?.release()
  }
}

/**
 * Decodes and hands on to the pipeline, without an await: so nothing here holds the events while the
 * disk is waited for, and most of them are gone before the next collection of garbage.
 */
function decide(
  deps: IntakeDeps,
  protocol: Protocol,
  {
    request,
    body,
    app,
    gate,
    ends,
  }: {
    request: Request
    body: Body
    app: IntakeApp
    gate: Gate | undefined
    ends: ReturnType<typeof createEnds>
  },
): {
  /** Absent where the whole request is refused. */
  readonly accepting?: Promise<void>
  readonly reply: Response | Reply
  readonly headers: Readonly<Record<string, string>>
} {
  const decoded = protocol.decode({
    request,
    body: body.bytes,
    appId: app.id,
    projectId: app.projectId,
    receivedAtMs: deps.nowMs(),
    eventsMax: deps.eventsMax,
    digest: deps.digest,
  })
  ends.decoded(decoded)
  const refusal = decoded.refusal ?? noneValid(decoded)
  if (refusal !== undefined) {
    const items = decoded.refusal === undefined ? decoded.refused : []
    ends.refused(refusal)
    const reply = protocol.refused(refusal, STATUS[refusal.code], items, request)
    return { reply, headers: refusalHeaders(refusal) }
  }
  const { occurrences } = decoded
  gate?.take(occurrences.length)
  // First, because a bug in it must not leave events behind that are kept and refused.
  const reply = protocol.accepted(decoded, request)
  const accepting = occurrences.length > 0 ? deps.accept(occurrences, app) : Promise.resolve()
  return { accepting, reply, headers: {} }
}

async function test(deps: IntakeDeps, c: Context): Promise<Response> {
  try {
    const app = requireApp(await deps.admit(deps.credential(c.req.raw), c.req.raw))
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
  let appId = ''
  let bytes = 0
  /** Counts only: the events themselves must be free to go. */
  let read: { readonly occurrences: number; readonly refused: readonly RefusalCode[] } | undefined
  let isEnded = false
  const say = (accepted: number, refused: number, code?: Reason): void => {
    isEnded = true
    if (facts === undefined) return
    facts.accepted = accepted
    facts.refused = refused
    if (code !== undefined) facts.code = code
  }
  const countItems = (): void => {
    for (const reason of read?.refused ?? []) {
      deps.telemetry.outcome(appId, protocol, { kind: 'refused', reason }, 1)
    }
  }
  return {
    of: (id: string): void => {
      appId = id
      if (facts !== undefined) facts.appId = appId
    },
    know: (length: number): void => {
      bytes = length
      if (facts !== undefined) facts.bytes = bytes
    },
    decoded: (decoded: Decoded): void => {
      const { occurrences, refused } = decoded
      read = { occurrences: occurrences.length, refused: refused.map((item) => item.refusal.code) }
      deps.telemetry.received(protocol, occurrences.length + refused.length, bytes)
      if (decoded.discarded !== undefined)
        deps.telemetry.discarded(appId, protocol, decoded.discarded)
    },
    accepted: (): void => {
      countItems()
      say(read?.occurrences ?? 0, read?.refused.length ?? 0)
    },
    refused: (refusal: Refusal): void => {
      countItems()
      say(0, read?.refused.length ?? 0, refusal.code)
    },
    failed: (reason: Reason): void => {
      // A bug that comes after the end changes the answer, not what became of the events.
      if (isEnded) return
      // Until it is decoded, a request counts as one event.
      if (read === undefined) deps.telemetry.received(protocol, 1, bytes)
      const count = read === undefined ? 1 : read.occurrences
      if (count > 0) deps.telemetry.outcome(appId, protocol, { kind: 'refused', reason }, count)
      countItems()
      say(0, count + (read?.refused.length ?? 0), reason)
    },
  }
}

type Reason = RefusalCode | 'internal'

/** Any origin may send events, and none of its cookies: so the answer never varies by origin. */
const CORS = {
  'Access-Control-Allow-Origin': '*',
  'Access-Control-Expose-Headers':
    'X-Request-Id, X-Error-Code, Retry-After, RateLimit, RateLimit-Policy, X-Sentry-Error, X-Sentry-Rate-Limits',
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

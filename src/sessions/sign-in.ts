import { Refusal } from '../refusal.ts'
import type { SignInRule } from '../sign-in-setting.ts'
import { createEndedSessions, type EndingsStore } from './ended.ts'
import {
  cookieOf,
  createGate,
  requireSameSite,
  setCookie,
  setSessionCookie,
  sessionCookie,
} from './gate.ts'
import type { Gate } from './gate.ts'
import { createPasswordCheck } from './guesses.ts'
import type { DoorAction, DoorNotes, Visitor } from './notes.ts'
import { createOidc, OidcFlow, type OidcSettings } from './oidc.ts'
import { ADMINISTRATOR, grantsOf, withKnownGroups, type Person } from './person.ts'
import { createSeal } from './seal.ts'
import { openSessions } from './sessions.ts'

/** What `openSignIn` stands on. */
export interface SignInDeps {
  readonly password: string | undefined
  readonly oidc: OidcSettings | undefined
  readonly proxy: boolean
  readonly rules: readonly SignInRule[]
  /** Newest first; with none, sessions last as long as this process. */
  readonly secrets: readonly string[]
  readonly sessionMs: number
  /** Where clients reach us, for the way back from the provider; else by the client's own origin. */
  readonly publicUrl: string | undefined
  readonly endings: EndingsStore
  /** Where who came and went is noted, for the audit log. */
  readonly note: DoorNotes['note']
  readonly nowMs: () => number
  readonly say: (level: 'info' | 'warn', text: string, fields: object) => void
}

/** All ways to sign in and out. Cookies are whole `Set-Cookie` values. */
export interface SignIn extends Gate {
  /** Which ways the settings offer. */
  readonly ways: { readonly password: boolean; readonly oidc: boolean; readonly proxy: boolean }
  /** @throws Refusal `unauthenticated` for a wrong one, `rate_limited`, `forbidden` for another site's page. */
  readonly withPassword: (request: Request, client: Visitor, password: string) => Promise<string>
  /** @throws Refusal `not_found` where that is no way in, `overloaded`. */
  readonly begin: (
    client: Visitor,
    to: string,
  ) => Promise<{ readonly url: string; readonly cookie: string }>
  /**
   * The browser has come back from the provider.
   * @throws Refusal `unauthenticated` where it does not fit what was begun, `forbidden` for a person
   * whom no rule is about, `overloaded`.
   */
  readonly finish: (
    request: Request,
    client: Visitor,
  ) => Promise<{ readonly to: string; readonly cookies: readonly string[] }>
  /** Ends the session of the request, or all of its person. @throws Refusal `forbidden` */
  readonly out: (request: Request, client: Visitor, everywhere: boolean) => Promise<string>
}

const SAID = {
  'session.begin': 'signed in',
  'session.refuse': 'sign-in refused',
  'session.end': 'signed out',
  'session.end_all': 'signed out everywhere',
} as const satisfies Record<DoorAction, string>

const FLOW_SECONDS = 600
const CALLBACK = '/sign-in/callback'

/** Opens sign-in as the settings say; with nothing set nobody is ever signed in. */
export async function openSignIn(deps: SignInDeps): Promise<SignIn> {
  const { nowMs, say, rules } = deps
  const ways = {
    password: deps.password !== undefined,
    oidc: deps.oidc !== undefined,
    proxy: deps.proxy,
  }
  const failed = (what: string) => (error: unknown) => say('warn', what, { error: wordsOf(error) })
  const ended = createEndedSessions({
    store: deps.endings,
    nowMs,
    failed: failed('ended sessions cannot be read or stored: those known go on'),
  })
  const secrets =
    deps.secrets.length > 0 ? deps.secrets : [crypto.randomUUID() + crypto.randomUUID()]
  const hasSessions = ways.password || ways.oidc
  const sessions = hasSessions
    ? await openSessions({ secrets, lifeMs: deps.sessionMs, ended, nowMs })
    : undefined
  const flows = ways.oidc ? await createSeal({ secrets, nowMs }, 'sign-in', OidcFlow) : undefined
  const oidc =
    deps.oidc && createOidc(deps.oidc, { nowMs, failed: failed('sign-in at the provider failed') })
  const isRight =
    deps.password === undefined ? undefined : createPasswordCheck(deps.password, nowMs)
  const gate = createGate({ sessions, proxy: deps.proxy, rules })

  /** In the log of the server, and in that of administration. */
  async function tell(action: DoorAction, who: string, visitor: Visitor, detail: object) {
    const level = action === 'session.refuse' ? 'warn' : 'info'
    say(level, SAID[action], { who, from: visitor.address, ...detail })
    await deps.note(action, { who, visitor, detail })
  }

  async function admitted(person: Person, client: Visitor, way: string): Promise<string> {
    if (sessions === undefined) throw noWay()
    if (grantsOf(person, rules).isEmpty) {
      await tell('session.refuse', person.id, client, { way, reason: 'no rule is about them' })
      throw new Refusal('forbidden', `You are ${person.name}, but nobody has let you in here yet.`)
    }
    await tell('session.begin', person.id, client, { way })
    return setSessionCookie(client.origin, await sessions.begin(withKnownGroups(person, rules)))
  }

  /** Who the provider says it is; what it refuses is noted, though not by whom. */
  async function provided(answer: Promise<Person>, client: Visitor): Promise<Person> {
    try {
      return await answer
    } catch (error) {
      if (error instanceof Refusal && error.code === 'unauthenticated') {
        const detail = { way: 'oidc', reason: 'the provider did not say who' }
        await tell('session.refuse', 'unknown', client, detail)
      }
      throw error
    }
  }

  return {
    ...gate,
    ways,
    async withPassword(request, client, password) {
      requireSameSite(request, client.origin)
      if (isRight === undefined) throw noWay()
      if (isRight(password, client.address)) return admitted(ADMINISTRATOR, client, 'password')
      const detail = { way: 'password', reason: 'wrong password' }
      await tell('session.refuse', ADMINISTRATOR.id, client, detail)
      throw new Refusal('unauthenticated', 'This is not the password.')
    },
    async begin(client, to) {
      if (oidc === undefined || flows === undefined) throw noWay()
      const base = (deps.publicUrl ?? client.origin).replace(/\/+$/, '')
      const { url, flow } = await oidc.begin(base + CALLBACK, to)
      const sealed = await flows.seal(flow, FLOW_SECONDS * 1_000)
      return { url, cookie: setCookie(flowCookie(client.origin), sealed, FLOW_SECONDS) }
    },
    async finish(request, client) {
      if (oidc === undefined || flows === undefined) throw noWay()
      const { name } = flowCookie(client.origin)
      const flow = (await flows.open(cookieOf(request, name)))?.content
      if (flow === undefined) {
        throw new Refusal(
          'unauthenticated',
          'This sign-in was not begun here or took too long; begin again.',
        )
      }
      const person = await provided(oidc.finish(new URL(request.url).search, flow), client)
      const over = setCookie(flowCookie(client.origin), '', 0)
      return { to: flow.to, cookies: [over, await admitted(person, client, 'oidc')] }
    },
    async out(request, client, everywhere) {
      requireSameSite(request, client.origin)
      const session = (await gate.whoIs(request, client))?.session
      if (session !== undefined) {
        const { id, person } = session
        // One more than now: a session that began in this very millisecond ends too.
        const beforeMs = nowMs() + 1
        await ended.end({ subject: everywhere ? `person:${person.id}` : `session:${id}`, beforeMs })
        await tell(everywhere ? 'session.end_all' : 'session.end', person.id, client, {})
      }
      return setCookie({ origin: client.origin, name: sessionCookie(client.origin) }, '', 0)
    },
  }
}

function flowCookie(origin: string) {
  return { origin, name: origin.startsWith('https:') ? '__Host-ei_sign_in' : 'ei_sign_in' }
}

function noWay(): Refusal {
  return new Refusal('not_found', 'This way to sign in is not set up here.')
}

/** Never the whole error: those of the provider hold tokens. */
function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown'
  const code = 'code' in error ? ` (${String(error.code)})` : ''
  const cause = error.cause instanceof Error ? `: ${error.cause.message}` : ''
  return `${error.message}${code}${cause}`.slice(0, 300)
}

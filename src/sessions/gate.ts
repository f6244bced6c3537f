import type { Client } from '../administration.ts'
import { Refusal } from '../refusal.ts'
import type { SignInRule } from '../sign-in-setting.ts'
import { grantsOf, withKnownGroups, type Grants, type Person } from './person.ts'
import type { Session, Sessions } from './sessions.ts'

/** What `createGate` stands on. */
export interface GateDeps {
  /** Undefined where nobody can begin a session. */
  readonly sessions: Sessions | undefined
  /** Believe what a trusted proxy says of its user. */
  readonly proxy: boolean
  readonly rules: readonly SignInRule[]
}

/** Somebody who is signed in, and asks for something. */
export interface SignedIn {
  readonly person: Person
  readonly grants: Grants
  /** Undefined behind a proxy, which keeps sessions of its own. */
  readonly session: Session | undefined
  /** The `Set-Cookie` that the answer should carry, if any. */
  readonly cookie: string | undefined
}

/** Knows people by the cookie of their session or by the headers of a trusted proxy. */
export interface Gate {
  /**
   * Who is signed in; undefined: nobody. What they may do is judged anew each time.
   * @throws Refusal `forbidden` for a request that changes something and comes from another site,
   * `overloaded` while sessions cannot be judged.
   */
  readonly whoIs: (request: Request, client: Client) => Promise<SignedIn | undefined>
}

const HEADER_CHARS_MAX = 8_192
const SAFE_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])

/** See {@link Gate}. */
export function createGate({ sessions, proxy, rules }: GateDeps): Gate {
  return {
    async whoIs(request, client) {
      const found = await known(request, client)
      // A key has to be written by whoever asks; cookies and proxies come along by themselves.
      if (found !== undefined) requireSameSite(request, client.origin)
      return found
    },
  }

  async function known(request: Request, client: Client): Promise<SignedIn | undefined> {
    if (proxy && client.viaProxy) {
      const person = personOfProxy(request.headers)
      if (person !== undefined) {
        const grants = grantsOf(person, rules)
        return {
          person: withKnownGroups(person, rules),
          grants,
          session: undefined,
          cookie: undefined,
        }
      }
    }
    const text = cookieOf(request, sessionCookie(client.origin))
    if (sessions === undefined || text === undefined) return undefined
    const read = await sessions.read(text)
    if (read === undefined) return undefined
    const { session, renewed } = read
    const cookie = renewed === undefined ? undefined : setSessionCookie(client.origin, renewed)
    return { person: session.person, grants: grantsOf(session.person, rules), session, cookie }
  }
}

/**
 * Refuses a request that changes something and was made by a page of another site. Browsers say so in
 * `Sec-Fetch-Site`, older ones in `Origin`; one that says neither is no browser of today.
 * @throws Refusal `forbidden`.
 */
export function requireSameSite(request: Request, origin: string): void {
  if (SAFE_METHODS.has(request.method)) return
  const site = request.headers.get('sec-fetch-site')
  const isOurs = site === null ? request.headers.get('origin') === origin : site === 'same-origin'
  if (!isOurs) throw new Refusal('forbidden', 'This may be asked only by a page of this server.')
}

/** @throws Refusal `forbidden` for somebody without a role in the app, or in any where none is named. */
export function requireRole(grants: Grants, appId: string | undefined): void {
  if (grants.isEmpty) throw new Refusal('forbidden', 'You are signed in, but may see no app here.')
  if (appId !== undefined && grants.roleFor(appId) === undefined) {
    throw new Refusal('forbidden', 'You are signed in, but may not see this app.')
  }
}

/** Name of the cookie of a session: browsers send the `__Host-` one back only over TLS. */
export function sessionCookie(origin: string): string {
  return origin.startsWith('https:') ? '__Host-ei_session' : 'ei_session'
}

/** A `Set-Cookie` that lasts as long as the browser is open, or `maxAgeSeconds`; 0 takes it away. */
export function setCookie(
  { origin, name }: { readonly origin: string; readonly name: string },
  text: string,
  maxAgeSeconds?: number,
): string {
  const parts = [`${name}=${text}`, 'Path=/', 'HttpOnly', 'SameSite=Lax']
  if (origin.startsWith('https:')) parts.push('Secure')
  if (maxAgeSeconds !== undefined) parts.push(`Max-Age=${maxAgeSeconds}`)
  return parts.join('; ')
}

/** The cookie with a session's text. */
export function setSessionCookie(origin: string, text: string): string {
  return setCookie({ origin, name: sessionCookie(origin) }, text)
}

/** The value of a cookie, as it stands there. */
export function cookieOf(request: Request, name: string): string | undefined {
  for (const part of (request.headers.get('cookie') ?? '').split(';')) {
    const at = part.indexOf('=')
    if (at > 0 && part.slice(0, at).trim() === name) return part.slice(at + 1).trim()
  }
  return undefined
}

/** As oauth2-proxy says it. */
function personOfProxy(headers: Headers): Person | undefined {
  const text = (name: string) => headers.get(name)?.slice(0, HEADER_CHARS_MAX).trim() ?? ''
  const email = text('x-forwarded-email').toLowerCase()
  const user = text('x-forwarded-user') || email
  if (user === '') return undefined
  return {
    id: `proxy:${user}`,
    name: text('x-forwarded-preferred-username') || email || user,
    email: email === '' ? undefined : email,
    groups: text('x-forwarded-groups')
      .split(',')
      .map((group) => group.trim())
      .filter((group) => group !== ''),
  }
}

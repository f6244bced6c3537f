import { z } from 'zod'
import type { Configuration } from 'openid-client'
import { Refusal } from '../refusal.ts'
import type { Person } from './person.ts'

/** The provider, and who we are there. */
export interface OidcSettings {
  readonly issuer: string
  readonly clientId: string
  readonly clientSecret: string | undefined
  readonly scopes: string
  readonly groupsClaim: string
}

/** What must be known again when the browser comes back from the provider. */
export const OidcFlow = z.object({
  state: z.string(),
  nonce: z.string(),
  verifier: z.string(),
  redirectUri: z.string(),
  /** Path of ours to go on to. */
  to: z.string(),
})
/** See the schema. */
export type OidcFlow = z.infer<typeof OidcFlow>

/** Sign-in by OpenID Connect: authorization code with PKCE, state and nonce. */
export interface Oidc {
  /** Where to send the browser, and what to keep for its return. @throws Refusal `overloaded` */
  readonly begin: (
    redirectUri: string,
    to: string,
  ) => Promise<{ readonly url: string; readonly flow: OidcFlow }>
  /**
   * Who came back with the query of `search`.
   * @throws Refusal `unauthenticated` where the provider or a check says no, `overloaded` where the
   * provider does not answer.
   */
  readonly finish: (search: string, flow: OidcFlow) => Promise<Person>
}

const ANSWER_SECONDS_MAX = 10
const GROUPS_MAX = 5_000
// Their keys and addresses may change, if seldom.
const KNOWN_FOR_MS = 3_600_000

const Claims = z.object({
  sub: z.string().min(1),
  name: z.string().optional().catch(undefined),
  preferred_username: z.string().optional().catch(undefined),
  email: z.string().optional().catch(undefined),
  // Some providers write it as a text.
  email_verified: z
    .union([z.literal(true), z.literal('true')])
    .optional()
    .catch(undefined),
})
const Groups = z.union([z.array(z.string()).max(GROUPS_MAX), z.string().transform((one) => [one])])

/** Loads openid-client and asks the provider who it is when somebody first signs in. */
export function createOidc(
  settings: OidcSettings,
  { nowMs, failed }: { readonly nowMs: () => number; readonly failed: (error: unknown) => void },
): Oidc {
  let known: { readonly config: Promise<Configuration>; readonly sinceMs: number } | undefined
  const configuration = () => {
    if (known === undefined || nowMs() - known.sinceMs > KNOWN_FOR_MS) {
      const asked = { config: discover(settings), sinceMs: nowMs() }
      known = asked
      asked.config.catch(() => {
        if (known === asked) known = undefined
      })
    }
    return known.config
  }
  const guarded = async <T>(run: () => Promise<T>): Promise<T> => {
    try {
      return await run()
    } catch (error) {
      if (error instanceof Refusal) throw error
      failed(error)
      throw refusalOf(error)
    }
  }
  return {
    begin: (redirectUri, to) =>
      guarded(async () => {
        const client = await import('openid-client')
        const verifier = client.randomPKCECodeVerifier()
        const flow = {
          state: client.randomState(),
          nonce: client.randomNonce(),
          verifier,
          redirectUri,
          to,
        }
        const url = client.buildAuthorizationUrl(await configuration(), {
          redirect_uri: redirectUri,
          scope: settings.scopes,
          code_challenge: await client.calculatePKCECodeChallenge(verifier),
          code_challenge_method: 'S256',
          state: flow.state,
          nonce: flow.nonce,
        })
        return { url: url.href, flow }
      }),
    finish: (search, flow) =>
      guarded(async () => {
        const client = await import('openid-client')
        const config = await configuration()
        const tokens = await client.authorizationCodeGrant(
          config,
          new URL(search, flow.redirectUri),
          {
            pkceCodeVerifier: flow.verifier,
            expectedState: flow.state,
            expectedNonce: flow.nonce,
            idTokenExpected: true,
          },
        )
        const claims = { ...tokens.claims() }
        const isWhole = 'email' in claims && settings.groupsClaim in claims
        if (!isWhole && config.serverMetadata().userinfo_endpoint !== undefined) {
          const { sub } = Claims.parse(claims)
          Object.assign(claims, await client.fetchUserInfo(config, tokens.access_token, sub))
        }
        return personOf(claims, settings.groupsClaim)
      }),
  }
}

async function discover({ issuer, clientId, clientSecret }: OidcSettings): Promise<Configuration> {
  const client = await import('openid-client')
  // config.ts lets it be so on loopback and in development mode only.
  const http = issuer.startsWith('http:') ? allowHttp(client) : []
  const execute = [client.enableNonRepudiationChecks, ...http]
  const auth = clientSecret === undefined ? client.None() : undefined
  return client.discovery(new URL(issuer), clientId, clientSecret, auth, {
    execute,
    timeout: ANSWER_SECONDS_MAX,
  })
}

type Extension = (config: Configuration) => void

/** Marked as deprecated by its authors so that it stands out, hence by name. */
function allowHttp(client: object): readonly Extension[] {
  const allow: unknown = Reflect.get(client, 'allowInsecureRequests')
  return isExtension(allow) ? [allow] : []
}

function isExtension(value: unknown): value is Extension {
  return typeof value === 'function'
}

function personOf(claims: Readonly<Record<string, unknown>>, groupsClaim: string): Person {
  const { sub, name, preferred_username, email, email_verified } = Claims.parse(claims)
  const groups = Groups.safeParse(claims[groupsClaim])
  return {
    id: `oidc:${sub}`,
    name: name ?? preferred_username ?? email ?? sub,
    // An address that nobody checked could be anybody's.
    email: email_verified === undefined ? undefined : email?.toLowerCase(),
    groups: groups.success ? groups.data : [],
  }
}

/** What the provider refuses is no; what it does not answer may be tried again. */
function refusalOf(error: unknown): Refusal {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const status = error instanceof Error && 'status' in error ? Number(error.status) : 0
  if (code.startsWith('OAUTH_') && code !== 'OAUTH_TIMEOUT' && status < 500) {
    const message =
      'The sign-in was not completed; try again, and ask who runs this server if it stays so.'
    return new Refusal('unauthenticated', message, { cause: error })
  }
  const message = 'The sign-in provider does not answer as it should; try again shortly.'
  return new Refusal('overloaded', message, { retryAfterSeconds: 5, cause: error })
}

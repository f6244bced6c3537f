import { z } from 'zod'

/** What somebody who signed in may do; each may do what those before it may. */
export const ROLES = ['viewer', 'editor', 'admin'] as const
/** One of {@link ROLES}. */
export type Role = (typeof ROLES)[number]

const SECRET_CHARS_MIN = 32
const PASSWORD_CHARS_MIN = 12
// A secret of 32 random hexadecimal digits has fewer than this in one of a million cases.
const SECRET_DISTINCT_MIN = 8
const PASSWORD_DISTINCT_MIN = 6
const LOOPBACK = /^http:\/\/(?:localhost|127\.0\.0\.1|\[::1\])(?::|\/|$)/

const Rule = z
  .strictObject({
    email: z.email().toLowerCase().optional(),
    /** Of a proven email address. */
    domain: z.string().min(1).toLowerCase().optional(),
    group: z.string().min(1).optional(),
    /** App ids; `*` is all of them. */
    apps: z.array(z.string().min(1)).min(1).default(['*']),
    role: z.enum(ROLES).default('viewer'),
  })
  .refine(
    ({ email, domain, group }) =>
      [email, domain, group].filter((one) => one !== undefined).length === 1,
    'must have exactly one of email, domain and group',
  )

/** One of SIGN_IN_RULES: whom it is about, and what they may do with which apps. */
export type SignInRule = z.infer<typeof Rule>

const rules = z
  .string()
  .transform((text, context): unknown => {
    try {
      return JSON.parse(text)
    } catch {
      context.addIssue({ code: 'custom', message: 'must be JSON' })
      return z.NEVER
    }
  })
  .pipe(z.array(Rule).max(1_000))

/** The settings of sign-in; part of those in config.ts. */
export const signInSettings = {
  ADMIN_PASSWORD: z
    .string()
    .optional()
    .describe('Password that signs in to the dashboard as administrator, for a small team.'),
  OIDC_ISSUER: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe('OpenID Connect provider that people sign in with, as an address.'),
  OIDC_CLIENT_ID: z.string().min(1).optional().describe('Id of this server at the provider.'),
  OIDC_CLIENT_SECRET: z.string().min(1).optional().describe('Its secret, if it has one.'),
  OIDC_SCOPES: z
    .string()
    .default('openid email profile')
    .describe('Scopes that the provider is asked for; some want `groups` among them.'),
  OIDC_GROUPS_CLAIM: z
    .string()
    .min(1)
    .default('groups')
    .describe('Claim in which the provider names the groups of a person.'),
  SIGN_IN_PROXY: z
    .stringbool()
    .default(false)
    .describe(
      'Believe `X-Forwarded-User`, `-Email` and `-Groups` of TRUSTED_PROXIES (oauth2-proxy).',
    ),
  SIGN_IN_RULES: rules
    .default([])
    .describe(
      'Who may do what after OpenID Connect or behind the proxy, as JSON: `[{"domain": "example.com", "role": "viewer", "apps": ["*"]}]`; also by `group` or `email`; roles are viewer, editor, admin.',
    ),
  SESSION_SECRET: z
    .string()
    .optional()
    .describe(
      'Secret that seals sessions, at least 32 characters; several with commas, the newest first, to change it without signing everybody out.',
    ),
  SESSION_HOURS: z.coerce
    .number()
    .int()
    .positive()
    .max(720)
    .default(12)
    .describe('Hours after which one has to sign in again.'),
}

type Settings = z.infer<z.ZodObject<typeof signInSettings>>

/** Settings of others that sign-in depends on. */
interface Around {
  readonly production: boolean
  readonly publicUrl: string | undefined
  readonly hasProxies: boolean
}

/** What is wrong with the settings of sign-in together, in sentences. */
export function signInProblems(e: Settings, around: Around): string[] {
  return [...oidcProblems(e, around), ...proxyProblems(e, around), ...secretProblems(e, around)]
}

function oidcProblems(e: Settings, { production, publicUrl }: Around): string[] {
  const problems: string[] = []
  if (e.OIDC_ISSUER === undefined) {
    if (e.OIDC_CLIENT_ID !== undefined) problems.push('OIDC_CLIENT_ID: set OIDC_ISSUER too.')
    return problems
  }
  if (e.OIDC_CLIENT_ID === undefined) problems.push('OIDC_ISSUER: set OIDC_CLIENT_ID too.')
  if (e.SIGN_IN_RULES.length === 0) {
    problems.push(
      'OIDC_ISSUER: say in SIGN_IN_RULES who gets in; the dashboard is not open to everybody whom the provider knows.',
    )
  }
  if (!production) return problems
  if (publicUrl === undefined) {
    problems.push('OIDC_ISSUER: set PUBLIC_URL, to which the provider sends people back.')
  }
  if (!e.OIDC_ISSUER.startsWith('https://') && !LOOPBACK.test(e.OIDC_ISSUER)) {
    problems.push('OIDC_ISSUER: must begin with https://.')
  }
  return problems
}

function proxyProblems(e: Settings, { hasProxies }: Around): string[] {
  if (!e.SIGN_IN_PROXY) return []
  const problems: string[] = []
  if (!hasProxies) {
    problems.push(
      'SIGN_IN_PROXY: the dashboard would be open to whoever writes X-Forwarded-User; set TRUSTED_PROXIES to the addresses of the proxy.',
    )
  }
  if (e.SIGN_IN_RULES.length === 0) {
    problems.push(
      'SIGN_IN_PROXY: say in SIGN_IN_RULES who gets in; the dashboard is not open to everybody whom the proxy knows.',
    )
  }
  return problems
}

function secretProblems(e: Settings, { production }: Around): string[] {
  if (!production) return []
  const problems: string[] = []
  const distinct = (text: string) => new Set(text).size
  const password = e.ADMIN_PASSWORD
  if (
    password !== undefined &&
    (password.length < PASSWORD_CHARS_MIN || distinct(password) < PASSWORD_DISTINCT_MIN)
  ) {
    problems.push(
      `ADMIN_PASSWORD: is too easy to guess; use at least ${PASSWORD_CHARS_MIN} characters, such as those of: openssl rand -base64 18`,
    )
  }
  const hasSessions = password !== undefined || e.OIDC_ISSUER !== undefined
  const secrets = secretsOf(e.SESSION_SECRET)
  if (hasSessions && secrets.length === 0) {
    problems.push('SESSION_SECRET: sign-in needs one; make it with: openssl rand -base64 32')
  }
  if (secrets.some((one) => one.length < SECRET_CHARS_MIN || distinct(one) < SECRET_DISTINCT_MIN)) {
    problems.push(
      `SESSION_SECRET: is weak; use at least ${SECRET_CHARS_MIN} random characters, such as those of: openssl rand -base64 32`,
    )
  }
  return problems
}

/** The settings of sign-in as modules see them. */
export function signInOf(e: Settings) {
  const { OIDC_ISSUER: issuer, OIDC_CLIENT_ID: clientId } = e
  return {
    password: e.ADMIN_PASSWORD,
    oidc:
      issuer === undefined || clientId === undefined
        ? undefined
        : {
            issuer,
            clientId,
            clientSecret: e.OIDC_CLIENT_SECRET,
            scopes: e.OIDC_SCOPES,
            groupsClaim: e.OIDC_GROUPS_CLAIM,
          },
    /** The headers of a trusted proxy name who asks. */
    proxy: e.SIGN_IN_PROXY,
    rules: e.SIGN_IN_RULES,
    /** Newest first: that one seals, all of them open. */
    secrets: secretsOf(e.SESSION_SECRET),
    sessionMs: e.SESSION_HOURS * 3_600_000,
  }
}

function secretsOf(text: string | undefined): readonly string[] {
  return (text ?? '')
    .split(',')
    .map((secret) => secret.trim())
    .filter((secret) => secret !== '')
}

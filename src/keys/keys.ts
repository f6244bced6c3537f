import type { AppSetting } from '../app-setting.ts'
import { ConfigError } from '../config.ts'
import { Refusal } from '../refusal.ts'
import {
  createDigest,
  declaredOf,
  hintOf,
  SCOPES,
  shownKey,
  type Declared,
  type DeclaredKey,
  type Digest,
  type Scope,
  type Source,
} from './records.ts'
import { createRegistrations, sameProjectId, type Registrations } from './registrations.ts'
import { buildRing, type App, type KeyRecord, type Ring } from './ring.ts'
import { isMistyped, isWellFormed, projectIdOf } from './token.ts'

/** Who is asking: the bearer of a key that is known, live and has the scope. */
export interface Caller {
  /** Absent for a key of all apps, and for a dashboard reader in development mode. */
  readonly app: App | undefined
  readonly scopes: ReadonlySet<Scope>
  /** The same for the same key in every process that shares the pepper; absent where no key was shown. */
  readonly keyId: string | undefined
  /** What may be shown of the key. */
  readonly shown: string
}

/** Which keys cannot be judged now, because a source is away or was never read whole. */
export type Doubt = 'none' | 'well-formed' | 'any'

/** All that is known of apps and their keys. */
export interface Keys {
  /**
   * The bearer of `credential`, which needs the scope, or one of the scopes.
   * @throws Refusal `unauthenticated` for a missing or unknown key, `forbidden` for one that is
   * revoked, has expired or lacks the scope, `overloaded` for one that cannot be judged now.
   */
  readonly admit: (credential: string | undefined, scope: Scope | readonly Scope[]) => Caller
  /**
   * The bearer of an ingest key, whose app may be sent to from the request's web page. A request
   * without `Origin` comes from no page.
   * @throws Refusal as `admit`, and `forbidden` for a page that is not on the app's list.
   */
  readonly admitIngest: (credential: string | undefined, origin: string | null) => Caller
  /**
   * The reader of the app `appId`, or of whatever the key may read where that is absent.
   * In development mode nobody needs a key to read; a key that is shown all the same must be good.
   * @throws Refusal as `admit`, and `forbidden` for the app of another key.
   */
  readonly admitRead: (credential: string | undefined, appId?: string) => Caller
  /**
   * Who may change apps and keys: of all apps where the answer has no app, as the development key.
   * @throws Refusal as `admit`.
   */
  readonly admitAdmin: (credential: string | undefined) => Caller
  /** Every app, the strongest source first. */
  readonly apps: () => readonly App[]
  readonly app: (id: string) => App | undefined
  /** As {@link Registrations.register}; also checks all other apps. */
  readonly register: Registrations['register']
  /** Replaces all that the source declared before. */
  readonly declare: (source: Source, declared: Declared) => void
  /** Says which unknown keys the source leaves open; `none` at the beginning. */
  readonly doubt: (source: Source, doubt: Doubt) => void
  /** All apps and keys as they are declared. */
  readonly ring: () => Ring
  /** How often a key was shown that is known, and one that is not. */
  readonly lookups: () => { readonly known: number; readonly unknown: number }
  readonly digest: Digest
}

/** What `createKeys` stands on. */
export interface KeysDeps {
  readonly apps: readonly AppSetting[]
  /** Adds the development app and its public key, and opens reading to everyone. */
  readonly developmentMode: boolean
  readonly developmentKey: string
  /** One whose pepper ends with the process where absent. */
  readonly digest?: Digest
  readonly nowMs: () => number
  /** A key of all apps, with the scopes `admin` and `read`. */
  readonly adminKey?: string | undefined
  /** Apps that code registers, also later; none where absent. */
  readonly registrations?: Registrations | undefined
}

/** The app that exists in development mode only. */
const DEVELOPMENT_APP = {
  id: 'test-app',
  name: 'Test Application',
  createdAtMs: Date.UTC(2024, 0, 1),
  options: {},
} as const

// Longer than any key that configuration takes: what is longer is not worth hashing.
const KEY_CHARS_MAX = 200
const RETRY_AFTER_SECONDS = 5

/**
 * Keys hashed in memory, found by their hash and compared in constant time. Nobody is asked when a
 * key is shown, so unknown keys cost nobody else anything, however many they are.
 * @throws ConfigError when two apps share a project number, or the development key is not where it belongs.
 */
export function createKeys(given: KeysDeps): Keys {
  const deps = { ...given, digest: given.digest ?? createDigest(undefined) }
  const { nowMs, developmentMode, digest } = deps
  const registrations = deps.registrations ?? createRegistrations(nowMs)
  const declared = new Map<Source, Declared>()
  const doubts = new Map<Source, Doubt>()
  declared.set('setting', settingsOf(deps))
  if (developmentMode) declared.set('development', developmentOf(deps))
  const code = registered(registrations, digest)
  declared.set('code', code.declared())
  let known: Ring | undefined = buildRing(declared, undefined)
  requireSane(deps, known)
  let last = known
  const ring = (): Ring => {
    if (code.isNew()) {
      declared.set('code', code.declared())
      known = undefined
    }
    known ??= buildRing(declared, last)
    last = known
    return known
  }
  const nobody = digest('')
  const lookups = { known: 0, unknown: 0 }
  const find = (credential: string | undefined): KeyRecord | undefined => {
    const { keys } = ring()
    if (credential === undefined || credential.length > KEY_CHARS_MAX) return undefined
    const own = digest(credential)
    const found = keys.get(own)
    // Compared in either case, so that a miss takes as long as a hit.
    const key = isSame(found?.digest ?? nobody, own) ? found : undefined
    lookups[key === undefined ? 'unknown' : 'known'] += 1
    return key
  }
  const live = (credential: string | undefined, scopes: readonly Scope[]): KeyRecord => {
    const now = nowMs()
    const key = requireLive(find(credential), credential, now, doubts)
    if (!scopes.some((one) => key.scopes.has(one))) {
      throw new Refusal('forbidden', `This API key lacks the scope ${scopes.join(' or ')}.`)
    }
    key.usedAtMs = now
    return key
  }
  const admit: Keys['admit'] = (credential, scope) =>
    callerOf(live(credential, typeof scope === 'string' ? [scope] : scope), nowMs())
  return {
    admit,
    admitIngest: (credential, origin) => {
      const caller = admit(credential, 'ingest')
      requireOrigin(caller.app?.origins, origin)
      return caller
    },
    admitRead: (credential, appId) => {
      if (developmentMode && credential === undefined) return ANY_READER
      const caller = admit(credential, 'read')
      if (appId !== undefined && caller.app !== undefined && caller.app.id !== appId) {
        throw new Refusal('forbidden', 'This API key belongs to another app than appId.')
      }
      return caller
    },
    admitAdmin: (credential) => {
      const key = live(credential, ['admin'])
      const caller = callerOf(key, nowMs())
      // Whoever has the machine has everything on it, and the first app must come from somewhere.
      return key.source === 'development' ? { ...caller, app: undefined } : caller
    },
    apps: () => [...ring().apps.values()].map((app) => app.seen(nowMs())),
    app: (id) => ring().apps.get(id)?.seen(nowMs()),
    register: (appId, name) => {
      requireOwnNumber(ring(), appId)
      return registrations.register(appId, name)
    },
    declare: (source, given) => {
      declared.set(source, given)
      known = undefined
    },
    doubt: (source, doubt) => {
      doubts.set(source, doubt)
    },
    ring,
    lookups: () => lookups,
    digest,
  }
}

/**
 * The API key of a request: `X-API-Key`, else `Authorization: Bearer`.
 * An empty header counts as absent.
 */
export function apiKeyOf(request: Request): string | undefined {
  const own = request.headers.get('x-api-key')?.trim()
  if (own) return own
  const bearer = /^Bearer +(\S+)$/i.exec(request.headers.get('authorization')?.trim() ?? '')
  return bearer?.[1]
}

/** @throws RangeError when another app has the project number of this id. */
export function requireOwnNumber({ apps }: Ring, appId: string): void {
  const number = projectIdOf(appId)
  for (const app of apps.values()) {
    if (app.projectId === number && app.id !== appId) {
      throw new RangeError(sameProjectId(appId, app.id))
    }
  }
}

const ANY_READER: Caller = {
  app: undefined,
  scopes: new Set<Scope>(['read']),
  keyId: undefined,
  shown: '',
}

function callerOf(key: KeyRecord, nowMs: number): Caller {
  return { app: key.app?.seen(nowMs), scopes: key.scopes, keyId: key.id, shown: shownKey(key) }
}

function requireLive(
  key: KeyRecord | undefined,
  credential: string | undefined,
  nowMs: number,
  doubts: ReadonlyMap<Source, Doubt>,
): KeyRecord {
  if (credential === undefined || credential === '') {
    throw new Refusal('unauthenticated', 'An API key is needed; send it in the header X-API-Key.')
  }
  if (key === undefined) throw unknown(credential, doubts)
  if (key.revokedAtMs !== undefined) {
    throw new Refusal('forbidden', 'This API key has been revoked.')
  }
  if ((key.expiresAtMs ?? Infinity) <= nowMs) {
    throw new Refusal('forbidden', 'This API key has expired.')
  }
  return key
}

/** A client throws away what is refused with 401: it must be true. */
function unknown(credential: string, doubts: ReadonlyMap<Source, Doubt>): Refusal {
  const open = new Set(doubts.values())
  // Keys that are made here all have a checksum.
  if (open.has('any') || (open.has('well-formed') && isWellFormed(credential))) {
    return new Refusal(
      'overloaded',
      'This API key cannot be judged at the moment, because not all keys could be read; try again.',
      { retryAfterSeconds: RETRY_AFTER_SECONDS },
    )
  }
  const message = isMistyped(credential)
    ? 'This API key is not complete or mistyped: its checksum does not fit.'
    : 'This API key is not known.'
  return new Refusal('unauthenticated', message)
}

function requireOrigin(allowed: readonly string[] | undefined, origin: string | null): void {
  if (allowed === undefined || allowed.length === 0 || origin === null) return
  const own = origin.toLowerCase()
  if (allowed.some((pattern) => matchesOrigin(pattern, own))) return
  throw new Refusal('forbidden', 'This web page may not send events of this app.')
}

/** `https://*.example.com` stands for every subdomain of example.com, and not for that itself. */
function matchesOrigin(pattern: string, origin: string): boolean {
  const [before, after] = pattern.split('*', 2)
  if (before === undefined || after === undefined) return pattern === origin
  if (!origin.startsWith(before) || !origin.endsWith(after)) return false
  const between = origin.slice(before.length, origin.length - after.length)
  return /^[a-z0-9-]+(\.[a-z0-9-]+)*$/.test(between)
}

type AllDeps = KeysDeps & { readonly digest: Digest }

function settingsOf({ apps, adminKey, digest, nowMs }: AllDeps): Declared {
  const { apps: declared, keys } = declaredOf({ apps }, digest, nowMs())
  if (adminKey === undefined) return { apps: declared, keys }
  const admin: DeclaredKey = {
    ...{ digest: digest(adminKey), appId: undefined, name: 'ADMIN_KEY', ...hintOf(adminKey) },
    scopes: new Set(['admin', 'read']),
    ...{ createdAtMs: undefined, expiresAtMs: undefined, revokedAtMs: undefined },
    readable: undefined,
  }
  return { apps: declared, keys: [...keys, admin] }
}

/** Its key can do everything and is public all the same: everyone knows it. */
function developmentOf({ developmentKey, digest }: AllDeps): Declared {
  const { id: appId, createdAtMs } = DEVELOPMENT_APP
  const key: DeclaredKey = {
    ...{ digest: digest(developmentKey), appId, name: '', ...hintOf(developmentKey) },
    ...{ scopes: new Set(SCOPES), createdAtMs, expiresAtMs: undefined, revokedAtMs: undefined },
    readable: developmentKey,
  }
  return { apps: [DEVELOPMENT_APP], keys: [key] }
}

/** What code registered, as a declaration that grows. */
function registered(registrations: Registrations, digest: Digest) {
  const apps = new Map<string, Declared['apps'][number]>()
  const keys: DeclaredKey[] = []
  return {
    isNew: () => registrations.list().length > keys.length,
    declared: (): Declared => {
      for (const { appId, name, apiKey, createdAtMs } of registrations.list().slice(keys.length)) {
        if (!apps.has(appId)) apps.set(appId, { id: appId, name, createdAtMs, options: {} })
        keys.push({
          ...{ digest: digest(apiKey), appId, name: '', ...hintOf(apiKey), createdAtMs },
          ...{ scopes: new Set(['ingest']), expiresAtMs: undefined, revokedAtMs: undefined },
          readable: apiKey,
        })
      }
      return { apps: [...apps.values()], keys: [...keys] }
    },
  }
}

/** @throws ConfigError */
function requireSane({ apps, developmentMode, developmentKey }: KeysDeps, ring: Ring): void {
  const owner = apps.find(({ keys }) => keys.some(({ key }) => key === developmentKey))
  if (developmentMode && owner !== undefined && owner.id !== DEVELOPMENT_APP.id) {
    throw new ConfigError([`APPS: the development key belongs to ${DEVELOPMENT_APP.id} only.`])
  }
  if (ring.problems.length > 0) {
    throw new ConfigError(ring.problems.map((problem) => `APPS: ${problem}`))
  }
}

/** Compares every character, whatever the first ones say. Both have the length of a SHA-256. */
function isSame(a: string, b: string): boolean {
  let difference = a.length ^ b.length
  for (let i = 0; i < a.length; i += 1) difference |= a.charCodeAt(i) ^ b.charCodeAt(i)
  return difference === 0
}

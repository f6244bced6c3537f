import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, concatBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import type { AppSetting } from '../app-setting.ts'
import { ConfigError } from '../config.ts'
import { Refusal } from '../refusal.ts'
import { createRegistrations, sameProjectId, type Registrations } from './registrations.ts'
import { isMistyped, projectIdOf } from './token.ts'

/** What a key may be used for. */
export const SCOPES = ['ingest', 'read', 'sourcemaps', 'admin'] as const
/** One of {@link SCOPES}. */
export type Scope = (typeof SCOPES)[number]

/** What may be set of an app; see app-setting.ts. */
type AppOptions = Pick<AppSetting, 'limits' | 'origins' | 'retentionDays' | 'scrub'>

/** An app that sends events. */
export interface App extends AppOptions {
  readonly id: string
  readonly name: string
  /** ISO 8601. */
  readonly createdAt: string
  /** Numeric alias, for DSNs. */
  readonly projectId: number
  /** Public by nature; for the DSN. */
  readonly ingestKey: string | undefined
}

/** Who is asking: the bearer of a key that is known, live and has the scope. */
interface Caller {
  /** Absent for an `admin` key of all apps, and for a dashboard reader in development mode. */
  readonly app: App | undefined
  readonly scopes: ReadonlySet<Scope>
}

/** All that is known of apps and their keys. */
export interface Keys {
  /**
   * The bearer of `credential`, which needs the scope, or one of the scopes.
   * @throws Refusal `unauthenticated` for a missing or unknown key, `forbidden` for one that is
   * revoked, has expired or lacks the scope.
   */
  readonly admit: (credential: string | undefined, scope: Scope | readonly Scope[]) => Caller
  /**
   * The reader of the app `appId`, or of whatever the key may read where that is absent.
   * In development mode nobody needs a key to read; a key that is shown all the same must be good.
   * @throws Refusal as `admit`, and `forbidden` for the app of another key.
   */
  readonly admitRead: (credential: string | undefined, appId?: string) => Caller
  /** Every app: configured ones in their order, then registered ones. */
  readonly apps: () => readonly App[]
  readonly app: (id: string) => App | undefined
  /** As {@link Registrations.register}; also checks the configured apps. */
  readonly register: Registrations['register']
}

/** What `createKeys` stands on. */
export interface KeysDeps {
  readonly apps: readonly AppSetting[]
  /** Adds the development app and its public key, and opens reading to everyone. */
  readonly developmentMode: boolean
  readonly developmentKey: string
  readonly nowMs: () => number
  /** Apps that code registers, also later; none where absent. */
  readonly registrations?: Registrations
}

/** The app that exists in development mode only. */
const DEVELOPMENT_APP = {
  id: 'test-app',
  name: 'Test Application',
  createdAtMs: Date.UTC(2024, 0, 1),
} as const

// Longer than any key that configuration takes: what is longer is not worth hashing.
const KEY_CHARS_MAX = 200

interface AppRecord {
  readonly id: string
  readonly name: string
  readonly createdAt: string
  readonly projectId: number
  readonly options: AppOptions
  /** Oldest first. */
  readonly keys: KeyRecord[]
}

interface KeyRecord {
  readonly app: AppRecord
  readonly digest: Uint8Array
  readonly scopes: ReadonlySet<Scope>
  readonly expiresAtMs: number
  readonly revoked: boolean
  /** The key itself where it is public by nature, for the DSN. */
  readonly readable: string | undefined
}

/**
 * Keys hashed in memory, found by their hash and compared in constant time.
 * @throws ConfigError when two apps share a project number, or the development key is not where it belongs.
 */
export function createKeys(deps: KeysDeps): Keys {
  const { nowMs, developmentMode } = deps
  const registrations = deps.registrations ?? createRegistrations(nowMs)
  const ring = createRing()
  for (const app of deps.apps) addConfiguredApp(ring, app, nowMs())
  if (developmentMode) addDevelopmentApp(ring, deps.developmentKey)
  let taken = 0
  const takeRegistrations = () => {
    const made = registrations.list()
    for (; taken < made.length; taken += 1) {
      const one = made[taken]
      if (one === undefined) break
      ring.addKey(ring.addApp(one.appId, one.name, one.createdAtMs), one.apiKey, INGEST_ONLY)
    }
  }
  takeRegistrations()
  const problems = collisionsOf(ring.apps())
  if (problems.length > 0) throw new ConfigError(problems.map((problem) => `APPS: ${problem}`))

  const admit: Keys['admit'] = (credential, scope) => {
    takeRegistrations()
    const key = requireLive(ring.find(credential), credential, nowMs())
    const wanted = typeof scope === 'string' ? [scope] : scope
    if (!wanted.some((one) => key.scopes.has(one))) {
      throw new Refusal('forbidden', `This API key lacks the scope ${wanted.join(' or ')}.`)
    }
    return { app: appOf(key.app, nowMs()), scopes: key.scopes }
  }
  return {
    admit,
    admitRead: (credential, appId) => {
      if (developmentMode && credential === undefined) return ANY_READER
      const caller = admit(credential, 'read')
      if (appId !== undefined && caller.app !== undefined && caller.app.id !== appId) {
        throw new Refusal('forbidden', 'This API key belongs to another app than appId.')
      }
      return caller
    },
    apps: () => {
      takeRegistrations()
      return ring.apps().map((app) => appOf(app, nowMs()))
    },
    app: (id) => {
      takeRegistrations()
      const app = ring.app(id)
      return app === undefined ? undefined : appOf(app, nowMs())
    },
    register: (appId, name) => {
      takeRegistrations()
      const owner = ring.apps().find((app) => app.projectId === projectIdOf(appId))
      if (owner !== undefined && owner.id !== appId) {
        throw new RangeError(sameProjectId(appId, owner.id))
      }
      return registrations.register(appId, name)
    },
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

const ANY_READER: Caller = { app: undefined, scopes: new Set<Scope>(['read']) }

function requireLive(
  key: KeyRecord | undefined,
  credential: string | undefined,
  nowMs: number,
): KeyRecord {
  if (credential === undefined || credential === '') {
    throw new Refusal('unauthenticated', 'An API key is needed; send it in the header X-API-Key.')
  }
  if (key === undefined) {
    throw new Refusal(
      'unauthenticated',
      isMistyped(credential)
        ? 'This API key is not complete or mistyped: its checksum does not fit.'
        : 'This API key is not known.',
    )
  }
  if (key.revoked) throw new Refusal('forbidden', 'This API key has been revoked.')
  if (key.expiresAtMs <= nowMs) throw new Refusal('forbidden', 'This API key has expired.')
  return key
}

function appOf(app: AppRecord, nowMs: number): App {
  const { id, name, createdAt, projectId } = app
  const live = app.keys.filter((key) => !key.revoked && key.expiresAtMs > nowMs)
  // The development key comes last: an app with a key of its own hands out that.
  const readable = live.filter((key) => key.readable !== undefined)
  const ingestKey = (readable.findLast((key) => !key.scopes.has('read')) ?? readable[0])?.readable
  return { id, name, createdAt, projectId, ingestKey, ...app.options }
}

type KeyRules = Pick<KeyRecord, 'scopes' | 'expiresAtMs' | 'revoked'> & {
  readonly isPublic: boolean
}
const INGEST_ONLY: KeyRules = {
  scopes: new Set(['ingest']),
  expiresAtMs: Infinity,
  revoked: false,
  isPublic: true,
}
// The development key can do everything and is public all the same: everyone knows it.
const EVERYTHING: KeyRules = { ...INGEST_ONLY, scopes: new Set(SCOPES) }

/** Apps by id and keys by digest. */
interface Ring {
  readonly find: (key: string | undefined) => KeyRecord | undefined
  readonly apps: () => readonly AppRecord[]
  readonly app: (id: string) => AppRecord | undefined
  /** The app of that id, made where there is none. */
  readonly addApp: (
    id: string,
    name: string,
    createdAtMs: number,
    options?: AppOptions,
  ) => AppRecord
  readonly addKey: (app: AppRecord, key: string, rules: KeyRules) => void
}

function createRing(): Ring {
  // Ours alone, so that nobody can choose keys whose digests lie close to that of another.
  const pepper = crypto.getRandomValues(new Uint8Array(16))
  const digestOf = (key: string) => sha256(concatBytes(pepper, utf8ToBytes(key)))
  const nobody = digestOf('')
  const apps = new Map<string, AppRecord>()
  const keys = new Map<string, KeyRecord>()
  return {
    find: (key) => {
      if (key === undefined || key.length > KEY_CHARS_MAX) return undefined
      const digest = digestOf(key)
      const found = keys.get(bytesToHex(digest))
      // Compared in either case, so that a miss takes as long as a hit.
      return isSame(found?.digest ?? nobody, digest) ? found : undefined
    },
    apps: () => [...apps.values()],
    app: (id) => apps.get(id),
    addApp: (id, name, createdAtMs, options = {}) => {
      const known = apps.get(id)
      if (known !== undefined) return known
      const createdAt = new Date(createdAtMs).toISOString()
      const projectId = projectIdOf(id)
      const app: AppRecord = { id, name, createdAt, projectId, options, keys: [] }
      apps.set(id, app)
      return app
    },
    addKey: (app, key, { isPublic, ...rules }) => {
      const digest = digestOf(key)
      const record: KeyRecord = { app, digest, readable: isPublic ? key : undefined, ...rules }
      app.keys.push(record)
      keys.set(bytesToHex(digest), record)
    },
  }
}

/** @throws ConfigError when the development key belongs to another app. */
function addDevelopmentApp(ring: Ring, key: string): void {
  const owner = ring.find(key)?.app.id ?? DEVELOPMENT_APP.id
  if (owner !== DEVELOPMENT_APP.id) {
    throw new ConfigError([`APPS: the development key belongs to ${DEVELOPMENT_APP.id} only.`])
  }
  const app = ring.addApp(DEVELOPMENT_APP.id, DEVELOPMENT_APP.name, DEVELOPMENT_APP.createdAtMs)
  ring.addKey(app, key, EVERYTHING)
}

function addConfiguredApp(ring: Ring, setting: AppSetting, nowMs: number): void {
  const createdAtMs = setting.createdAt === undefined ? nowMs : Date.parse(setting.createdAt)
  const { limits, origins, retentionDays, scrub } = setting
  const options = { limits, origins, retentionDays, scrub }
  const app = ring.addApp(setting.id, setting.name, createdAtMs, options)
  for (const { key, scopes, expiresAt, revoked } of setting.keys) {
    const expiresAtMs = expiresAt === undefined ? Infinity : Date.parse(expiresAt)
    const isPublic = scopes.every((scope) => scope === 'ingest')
    ring.addKey(app, key, { scopes: new Set(scopes), expiresAtMs, revoked, isPublic })
  }
}

function collisionsOf(apps: readonly AppRecord[]): string[] {
  const owners = new Map<number, string>()
  return apps.flatMap(({ id, projectId }) => {
    const owner = owners.get(projectId)
    owners.set(projectId, id)
    return owner === undefined ? [] : [sameProjectId(id, owner)]
  })
}

/** Compares every byte, whatever the first ones say. Both have the length of a SHA-256. */
function isSame(a: Uint8Array, b: Uint8Array): boolean {
  let difference = a.length ^ b.length
  for (let i = 0; i < a.length; i += 1) difference |= (a[i] ?? 0) ^ (b[i] ?? 0)
  return difference === 0
}

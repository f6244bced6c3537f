import type { AuditEntry, StoredKey } from '../administration.ts'
import type { AppSetting } from '../app-setting.ts'
import { Refusal } from '../refusal.ts'
import { requireOwnNumber, type Keys } from './keys.ts'
import {
  hintOf,
  keyIdOf,
  shownKey,
  type AppOptions,
  type DeclaredKey,
  type Scope,
  type Source,
} from './records.ts'
import { isLive, type AppRecord, type KeyRecord } from './ring.ts'
import { storedKeyOf, type Stored } from './stored.ts'
import { makeKey } from './token.ts'

/** Who asks, for the audit log. */
export interface Actor {
  /** Kind and name, as `key:ei_admin_Ab…wxyz`. */
  readonly name: string
  readonly address: string
  readonly requestId: string
  /** The only app that they administer; undefined: all. */
  readonly appId: string | undefined
}

/** An app as administrators see it; times in ISO 8601. */
export interface AppView extends AppOptions {
  readonly id: string
  readonly name: string
  readonly createdAt: string
  readonly projectId: number
  readonly source: Source
  /** Declared elsewhere, so that it cannot be changed here. */
  readonly readOnly: boolean
  /** Public by nature; for the DSN. */
  readonly ingestKey: string | undefined
}

/** A key as administrators see it, which is not the key; times in ISO 8601. */
export interface KeyView {
  readonly id: string
  /** Null: a key of all apps. */
  readonly appId: string | null
  readonly name: string
  readonly prefix: string
  readonly lastFour: string
  readonly scopes: readonly Scope[]
  readonly status: 'live' | 'expired' | 'revoked'
  readonly source: Source
  readonly readOnly: boolean
  readonly createdAt: string | null
  readonly expiresAt: string | null
  readonly revokedAt: string | null
  /** To the hour. */
  readonly lastUsedAt: string | null
  /** The key itself, where it can only ingest. */
  readonly key: string | null
}

/** A key just made: the only time that it is told. */
export interface MadeKey {
  readonly key: KeyView
  readonly apiKey: string
}

type Options = Pick<AppSetting, 'limits' | 'origins' | 'retentionDays' | 'scrub'>
/** What of an app is to change; null takes an option away, absent leaves it. */
export type AppChange = { readonly name?: string | undefined } & {
  readonly [Name in keyof Options]?: Options[Name] | null
}

/** What `createAdmin` stands on. */
export interface AdminDeps {
  readonly keys: Keys
  readonly tables: {
    readonly putApp: (app: Stored['apps'][number]) => Promise<void>
    readonly putKey: (key: StoredKey) => Promise<void>
    readonly uses: () => Promise<ReadonlyMap<string, number>>
  }
  readonly note: (entry: AuditEntry) => Promise<void>
  /** Makes what was just stored count in this process; the others follow within seconds. */
  readonly refresh: () => Promise<void>
  /** Whether keys can be stored at all: their hashes need a pepper that outlives the process. */
  readonly hasPepper: boolean
  readonly nowMs: () => number
}

/**
 * All that administrators do to apps and keys. Each change is in the audit log before it is made: a
 * note of something that then failed is better than a change that nobody noted.
 * Everything throws Refusal `not_found`, `forbidden` (another app's), or `conflict`, and otherwise
 * rejects with what the client of ClickHouse rejects with.
 */
export type Admin = ReturnType<typeof createAdmin>

const HOUR_MS = 3_600_000

/** See {@link Admin}. */
export function createAdmin(deps: AdminDeps) {
  const { keys, tables, nowMs } = deps
  const audit = createNote(deps)
  const appOf = (actor: Actor, id: string): AppRecord => {
    if (actor.appId !== undefined && actor.appId !== id) {
      throw new Refusal('forbidden', 'This API key administers another app.')
    }
    const app = keys.ring().apps.get(id)
    if (app === undefined) throw new Refusal('not_found', 'There is no app of this id.')
    return app
  }
  const keyOf = (actor: Actor, id: string): KeyRecord => {
    for (const key of keys.ring().keys.values()) {
      if (key.id !== id) continue
      if (actor.appId === undefined || actor.appId === key.appId) return key
    }
    throw new Refusal('not_found', 'There is no key of this id, or not for this API key.')
  }
  const viewOfKey = (digest: string): KeyView => {
    const key = keys.ring().keys.get(digest)
    if (key === undefined) throw new Error('A key that was just stored is not there.')
    return keyView(key, key.usedAtMs, nowMs())
  }
  const make = async (
    actor: Actor,
    wanted: Pick<DeclaredKey, 'appId' | 'name' | 'scopes' | 'expiresAtMs'>,
    note: { readonly action: string; readonly detail: object },
  ): Promise<MadeKey> => {
    requirePepper(deps)
    const { appId, scopes } = wanted
    const apiKey = makeKey(kindOf(scopes))
    const digest = keys.digest(apiKey)
    const isPublic = appId !== undefined && [...scopes].every((scope) => scope === 'ingest')
    const key: DeclaredKey = {
      ...{ ...wanted, digest, ...hintOf(apiKey), createdAtMs: nowMs(), revokedAtMs: undefined },
      readable: isPublic ? apiKey : undefined,
    }
    const { action, detail } = note
    const told = { key: shownKey(key), scopes: [...scopes], ...detail }
    await audit(actor, action, { appId, target: keyIdOf(digest), detail: told })
    await tables.putKey(storedKeyOf(key))
    await deps.refresh()
    return { key: viewOfKey(digest), apiKey }
  }
  return {
    apps: (actor: Actor): readonly AppView[] =>
      [...keys.ring().apps.values()]
        .filter(({ id }) => actor.appId === undefined || actor.appId === id)
        .map((app) => appView(app, nowMs())),

    app: (actor: Actor, id: string): AppView => appView(appOf(actor, id), nowMs()),

    async createApp(actor: Actor, given: Options & { id: string; name: string }): Promise<AppView> {
      requireAllApps(actor)
      requirePepper(deps)
      const { id, name, limits, origins, retentionDays, scrub } = given
      if (keys.ring().apps.has(id)) {
        throw new Refusal(
          'conflict',
          `The app ${id} is there already; change it, or take another id.`,
        )
      }
      requireFreeNumber(keys, id)
      const options = { limits, origins, retentionDays, scrub }
      await audit(actor, 'app.create', { appId: id, target: id, detail: { name, ...options } })
      await tables.putApp({ id, name, createdAtMs: nowMs(), options })
      await deps.refresh()
      return appView(appOf(actor, id), nowMs())
    },

    async changeApp(actor: Actor, id: string, change: AppChange): Promise<AppView> {
      const app = appOf(actor, id)
      requireStored(app.source, `The app ${id}`)
      const { name = app.name, ...changed } = change
      const options = Object.fromEntries(
        Object.entries({ ...app.options, ...changed }).filter(([, value]) => value !== null),
      )
      await audit(actor, 'app.change', { appId: id, target: id, detail: change })
      await tables.putApp({ id, name, createdAtMs: app.createdAtMs, options })
      await deps.refresh()
      return appView(appOf(actor, id), nowMs())
    },

    /** Of one app, or of all that the actor administers; oldest first. */
    async listKeys(actor: Actor, appId: string | undefined): Promise<readonly KeyView[]> {
      if (appId !== undefined) appOf(actor, appId)
      const wanted = appId ?? actor.appId
      const used = await tables.uses()
      return [...keys.ring().keys.values()]
        .filter((key) => wanted === undefined || key.appId === wanted)
        .map((key) => keyView(key, Math.max(key.usedAtMs, used.get(key.digest) ?? 0), nowMs()))
    },

    createKey: async (
      actor: Actor,
      given: {
        readonly appId: string | undefined
        readonly name: string
        readonly scopes: readonly Scope[]
        readonly expiresAtMs: number | undefined
      },
    ): Promise<MadeKey> => {
      const { appId, name, expiresAtMs } = given
      const scopes = new Set(given.scopes)
      if (appId === undefined) requireAllAppsKey(actor, scopes)
      else requireStored(appOf(actor, appId).source, `The app ${appId}`)
      const detail = { name, expiresAtMs }
      return make(actor, { appId, name, scopes, expiresAtMs }, { action: 'key.create', detail })
    },

    /** A new key like the old one, which goes on for `overlapMs` and then expires. */
    async rotateKey(
      actor: Actor,
      id: string,
      overlapMs: number,
    ): Promise<MadeKey & { old: KeyView }> {
      const key = keyOf(actor, id)
      requireStored(key.source, 'This key')
      if (!isLive(key, nowMs())) {
        throw new Refusal('conflict', 'This key is revoked or has expired; make a new one instead.')
      }
      const { appId, name, scopes } = key
      const note = { action: 'key.rotate', detail: { old: id, overlapMs } }
      // The new one first: if this ends in the middle, both are there, and neither is missing.
      const made = await make(actor, { appId, name, scopes, expiresAtMs: undefined }, note)
      const endsAtMs = Math.min(nowMs() + overlapMs, key.expiresAtMs ?? Infinity)
      await tables.putKey(storedKeyOf({ ...key, expiresAtMs: endsAtMs }))
      await deps.refresh()
      return { ...made, old: viewOfKey(key.digest) }
    },

    /** Refused from now on, here at once and everywhere within seconds. It cannot be taken back. */
    async revokeKey(actor: Actor, id: string): Promise<KeyView> {
      const key = keyOf(actor, id)
      requireStored(key.source, 'This key')
      if (key.revokedAtMs !== undefined) return viewOfKey(key.digest)
      const detail = { key: shownKey(key) }
      await audit(actor, 'key.revoke', { appId: key.appId, target: id, detail })
      await tables.putKey(storedKeyOf({ ...key, revokedAtMs: nowMs() }))
      await deps.refresh()
      return viewOfKey(key.digest)
    },

    audit,
    requireApp: appOf,
  }
}

function createNote({ note, nowMs }: AdminDeps) {
  return (
    { name, address, requestId }: Actor,
    action: string,
    what: { readonly appId: string | undefined; readonly target: string; readonly detail: object },
  ) =>
    note({
      ...{ id: crypto.randomUUID(), atMs: nowMs(), actor: name, address, requestId, action },
      ...{ appId: what.appId ?? '', target: what.target, detail: what.detail },
    })
}

/** What stands in the key itself, so that a person who finds one knows what it is. */
function kindOf(scopes: ReadonlySet<Scope>): string {
  const [only] = scopes
  return scopes.size === 1 && only !== undefined ? only : 'multi'
}

function requireAllApps({ appId }: Actor): void {
  if (appId === undefined) return
  throw new Refusal('forbidden', 'This needs an admin key of all apps; this one is of one app.')
}

function requireAllAppsKey(actor: Actor, scopes: ReadonlySet<Scope>): void {
  requireAllApps(actor)
  if (!scopes.has('ingest') && !scopes.has('sourcemaps')) return
  throw new Refusal('malformed', 'A key of all apps can have the scopes read and admin; say appId.')
}

function requirePepper({ hasPepper }: AdminDeps): void {
  if (hasPepper) return
  const message =
    'This server has no KEY_PEPPER, so it cannot store apps and keys; set it, or declare them in KEYS_DIR.'
  throw new Refusal('conflict', message)
}

const DECLARED_IN = {
  setting: 'in the settings of the server',
  files: 'in the files of KEYS_DIR',
  development: 'by development mode',
  code: 'by the code that runs the server',
} as const satisfies Record<Exclude<Source, 'store'>, string>

function requireStored(source: Source, what: string): void {
  if (source === 'store') return
  throw new Refusal('conflict', `${what} is declared ${DECLARED_IN[source]}; change it there.`)
}

function requireFreeNumber(keys: Keys, id: string): void {
  try {
    requireOwnNumber(keys.ring(), id)
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    throw new Refusal('conflict', error.message, { cause: error })
  }
}

function appView(app: AppRecord, nowMs: number): AppView {
  return { ...app.seen(nowMs), source: app.source, readOnly: app.source !== 'store' }
}

function keyView(key: KeyRecord, usedAtMs: number, nowMs: number): KeyView {
  const time = (ms: number | undefined) => (ms ? new Date(ms).toISOString() : null)
  const status = isLive(key, nowMs) ? 'live' : key.revokedAtMs === undefined ? 'expired' : 'revoked'
  return {
    ...{ id: key.id, appId: key.appId ?? null, name: key.name },
    ...{ prefix: key.prefix, lastFour: key.lastFour, scopes: [...key.scopes], status },
    ...{ source: key.source, readOnly: key.source !== 'store' },
    ...{ createdAt: time(key.createdAtMs), expiresAt: time(key.expiresAtMs) },
    revokedAt: time(key.revokedAtMs),
    lastUsedAt: time(Math.floor(usedAtMs / HOUR_MS) * HOUR_MS),
    key: key.readable ?? null,
  }
}

import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'
import type { AppSetting } from '../app-setting.ts'

/** What a key may be used for. */
export const SCOPES = ['ingest', 'read', 'sourcemaps', 'admin'] as const
/** One of {@link SCOPES}. */
export type Scope = (typeof SCOPES)[number]

/** Where apps and keys are declared, the strongest first: of one id or key the first counts. */
export const SOURCES = ['setting', 'files', 'development', 'code', 'store'] as const
/** One of {@link SOURCES}. */
export type Source = (typeof SOURCES)[number]

/** What may be set of an app; see app-setting.ts. */
export type AppOptions = Pick<AppSetting, 'limits' | 'origins' | 'retentionDays' | 'scrub'>

/** An app as one source declares it. */
export interface DeclaredApp {
  readonly id: string
  readonly name: string
  readonly createdAtMs: number
  readonly options: AppOptions
}

/** A key as one source declares it: never the key itself, unless that is public by nature. */
export interface DeclaredKey {
  /** As {@link Digest} makes it. */
  readonly digest: string
  /** Undefined: a key of all apps. */
  readonly appId: string | undefined
  /** For people; may be empty. */
  readonly name: string
  /** What may be shown of it: its beginning and its last four characters. */
  readonly prefix: string
  readonly lastFour: string
  readonly scopes: ReadonlySet<Scope>
  readonly createdAtMs: number | undefined
  /** Refused from then on. */
  readonly expiresAtMs: number | undefined
  /** Refused, since when; 0 where that is not known. */
  readonly revokedAtMs: number | undefined
  /** The key where it can only ingest, for the DSN. */
  readonly readable: string | undefined
}

/** All that one source declares. */
export interface Declared {
  readonly apps: readonly DeclaredApp[]
  readonly keys: readonly DeclaredKey[]
}

/** The hash by which a key is stored and found: SHA-256 of the pepper and the key, in hex. */
export type Digest = (key: string) => string

/**
 * Hashes keys with a pepper that no table holds, so that a stolen table opens nothing and a row that
 * somebody writes into it lets nobody in. Without a pepper one is made that ends with the process.
 */
export function createDigest(pepper: string | undefined, hash: Hash = inScript): Digest {
  const salt =
    pepper === undefined
      ? bytesToHex(crypto.getRandomValues(new Uint8Array(32)))
      : hash([`error-ingestor pepper:${pepper}`])
  return (key) => hash([salt, key])
}

/** SHA-256 of texts joined by a line end, in hex. Every request needs one: the runtime's own takes a fifth of the time. */
type Hash = (texts: readonly string[]) => string

const inScript: Hash = (texts) => bytesToHex(sha256(utf8ToBytes(texts.join('\n'))))

/** The public name of a key: 64 bits of its digest. */
export function keyIdOf(digest: string): string {
  return `key_${digest.slice(0, 16)}`
}

const LAST_CHARS = 4
const SHORT_KEY_CHARS = 16

/** What may be shown of a key: the kind and two more characters, and the last four. */
export function hintOf(key: string): { readonly prefix: string; readonly lastFour: string } {
  const kind = /^ei_[a-z]+_/.exec(key)?.[0] ?? ''
  // Of a short key that would be too much of it.
  if (key.length - kind.length < SHORT_KEY_CHARS) return { prefix: kind, lastFour: '' }
  return { prefix: key.slice(0, kind.length + 2), lastFour: key.slice(-LAST_CHARS) }
}

/** The key as {@link hintOf} shows it, in one text. */
export function shownKey({ prefix, lastFour }: Pick<DeclaredKey, 'prefix' | 'lastFour'>): string {
  return `${prefix}…${lastFour}`
}

/** What `APPS` or a file says of apps, as a declaration; `keys` are those of no app. */
export function declaredOf(
  given: {
    readonly apps: readonly AppSetting[]
    readonly keys?: AppSetting['keys']
  },
  digest: Digest,
  nowMs: number,
): Declared {
  const keyOf = (setting: AppSetting['keys'][number], appId: string | undefined): DeclaredKey => {
    const { key, scopes, expiresAt, revoked } = setting
    const isPublic = appId !== undefined && scopes.every((scope) => scope === 'ingest')
    return {
      ...{ digest: digest(key), appId, name: '', ...hintOf(key), scopes: new Set(scopes) },
      createdAtMs: undefined,
      expiresAtMs: expiresAt === undefined ? undefined : Date.parse(expiresAt),
      revokedAtMs: revoked ? 0 : undefined,
      readable: isPublic ? key : undefined,
    }
  }
  return {
    apps: given.apps.map(({ id, name, createdAt, limits, origins, retentionDays, scrub }) => ({
      ...{ id, name, options: { limits, origins, retentionDays, scrub } },
      createdAtMs: createdAt === undefined ? nowMs : Date.parse(createdAt),
    })),
    keys: [
      ...given.apps.flatMap((app) => app.keys.map((key) => keyOf(key, app.id))),
      ...(given.keys ?? []).map((key) => keyOf(key, undefined)),
    ],
  }
}

import { z } from 'zod'
import type { StoredApp, StoredKey } from '../administration.ts'
import type { ClickHouse } from './clickhouse.ts'
import {
  beginWriting,
  writeNullableTime,
  writeString,
  writeStrings,
  writeTime,
  written,
} from './rowbinary.ts'

/** Apps and keys in ClickHouse. Everything rejects with what the client rejects with. */
export interface KeyTables {
  /** Changes whenever an app or a key does; cheap enough to be asked every few seconds. */
  readonly version: (signal?: AbortSignal) => Promise<string>
  readonly load: (
    signal?: AbortSignal,
  ) => Promise<{ readonly apps: readonly StoredApp[]; readonly keys: readonly StoredKey[] }>
  /** Adds an app, or replaces the one of that id. */
  readonly putApp: (app: StoredApp) => Promise<void>
  /** Adds a key, or brings its expiry or revocation forward; neither can be taken back. */
  readonly putKey: (key: StoredKey) => Promise<void>
  readonly putUses: (
    uses: readonly { readonly digest: string; readonly usedAtMs: number }[],
  ) => Promise<void>
  /** When each key was used last, by digest, in milliseconds. */
  readonly uses: () => Promise<ReadonlyMap<string, number>>
}

const SETTINGS = { max_execution_time: 10 }
// The same row again is no repetition: it may follow another of its key.
const INSERT_SETTINGS = { insert_deduplicate: 0 }

const AppRow = z
  .object({
    id: z.string(),
    name: z.string(),
    created_at_ms: z.coerce.number(),
    options: z.string(),
  })
  .transform((row): StoredApp => ({
    id: row.id,
    name: row.name,
    createdAtMs: row.created_at_ms,
    options: JSON.parse(row.options),
  }))
const time = z.coerce.number().transform((ms) => (ms === 0 ? undefined : ms))
const KeyRow = z
  .object({
    digest: z.string(),
    app_id: z.string(),
    name: z.string(),
    prefix: z.string(),
    last_four: z.string(),
    scopes: z.array(z.string()),
    readable: z.string(),
    created_at_ms: z.coerce.number(),
    expires_at_ms: time,
    revoked_at_ms: time,
  })
  .transform((row): StoredKey => ({
    digest: row.digest,
    appId: row.app_id,
    name: row.name,
    prefix: row.prefix,
    lastFour: row.last_four,
    scopes: row.scopes,
    readable: row.readable,
    createdAtMs: row.created_at_ms,
    expiresAtMs: row.expires_at_ms,
    revokedAtMs: row.revoked_at_ms,
  }))
const UseRow = z.object({ digest: z.string(), used_at_ms: z.coerce.number() })

/** The tables of apps and keys in `database`. */
export function createKeyTables({
  clickhouse,
  database,
}: {
  readonly clickhouse: ClickHouse
  readonly database: string
}): KeyTables {
  const ask = (name: string, sql: string, signal?: AbortSignal) =>
    clickhouse.query(
      `/* error-ingestor:${name} */ ${sql}`,
      { database },
      signal === undefined ? { settings: SETTINGS } : { settings: SETTINGS, signal },
    )
  const insert = (table: string, columns: readonly string[], write: () => void) => {
    beginWriting()
    write()
    const body = [written()]
    return clickhouse.insert({
      table: `${database}.${table}`,
      columns,
      body,
      settings: INSERT_SETTINGS,
    })
  }
  return {
    async version(signal) {
      const rows = await ask('keys-version', VERSION, signal)
      return z.array(z.object({ version: z.string() })).parse(rows)[0]?.version ?? ''
    },
    async load(signal) {
      const [apps, keys] = [await ask('apps', APPS, signal), await ask('keys', KEYS, signal)]
      return { apps: z.array(AppRow).parse(apps), keys: z.array(KeyRow).parse(keys) }
    },
    putApp: (app) =>
      insert('apps', ['id', 'name', 'created_at', 'options'], () => {
        writeString(app.id)
        writeString(app.name)
        writeTime(app.createdAtMs)
        writeString(JSON.stringify(app.options))
      }),
    putKey: (key) => insert('keys', KEY_COLUMNS, () => writeKey(key)),
    async putUses(uses) {
      if (uses.length === 0) return
      await insert('key_uses', ['digest', 'used_at'], () => {
        for (const { digest, usedAtMs } of uses) {
          writeString(digest)
          writeTime(usedAtMs)
        }
      })
    },
    async uses() {
      const rows = z.array(UseRow).parse(await ask('key-uses', USES))
      return new Map(rows.map((row) => [row.digest, row.used_at_ms]))
    },
  }
}

const KEY_COLUMNS = [
  ...['digest', 'app_id', 'name', 'prefix', 'last_four', 'scopes', 'readable'],
  ...['created_at', 'expires_at', 'revoked_at'],
]

function writeKey(key: StoredKey): void {
  writeString(key.digest)
  writeString(key.appId)
  writeString(key.name)
  writeString(key.prefix)
  writeString(key.lastFour)
  writeStrings(key.scopes)
  writeString(key.readable)
  writeTime(key.createdAtMs)
  writeNullableTime(key.expiresAtMs)
  writeNullableTime(key.revokedAtMs)
}

// One number for all that may change; rows that a merge has not joined yet count as joined.
const VERSION = `
  SELECT concat(toString((
    SELECT groupBitXor(cityHash64(id, changed_at)) FROM {database: Identifier}.apps FINAL
  )), '-', toString((
    SELECT groupBitXor(cityHash64(digest, ifNull(toUnixTimestamp64Milli(expires_at), 0),
      ifNull(toUnixTimestamp64Milli(revoked_at), 0)))
    FROM {database: Identifier}.keys FINAL
  ))) AS version`

const APPS = `
  SELECT id, name, toUnixTimestamp64Milli(created_at) AS created_at_ms, options
  FROM {database: Identifier}.apps FINAL ORDER BY created_at, id`

const KEYS = `
  SELECT digest, app_id, name, prefix, last_four, scopes, readable,
    toUnixTimestamp64Milli(created_at) AS created_at_ms,
    ifNull(toUnixTimestamp64Milli(expires_at), 0) AS expires_at_ms,
    ifNull(toUnixTimestamp64Milli(revoked_at), 0) AS revoked_at_ms
  FROM {database: Identifier}.keys FINAL ORDER BY created_at, digest`

const USES = `
  SELECT digest, toUnixTimestamp64Milli(used_at) AS used_at_ms
  FROM {database: Identifier}.key_uses FINAL`

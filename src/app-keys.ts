import type { Hono } from 'hono'
import { DEVELOPMENT_KEY, type Config } from './config.ts'
import type { Host } from './host.ts'
import { clientIn, factsOf } from './http/access.ts'
import { adminRoutes, type AdminRoutesDeps } from './http/admin.ts'
import { createAdmin } from './keys/admin.ts'
import { createKeyFiles } from './keys/files.ts'
import { createForgetting } from './keys/forget.ts'
import { apiKeyOf, type Keys } from './keys/keys.ts'
import { createKeySync, waited, type KeySync } from './keys/sync.ts'
import type { Spool } from './pipeline/spool.ts'
import { createDoorNotes } from './sessions/notes.ts'
import { createAudit } from './store/audit.ts'
import { createForgets } from './store/forget.ts'
import type { KeyTables } from './store/keys.ts'

/** What the admin API changes. */
export interface AdminParts {
  readonly tables: KeyTables
  readonly keySync: KeySync
  readonly forgetting: AdminRoutesDeps['forgetting']
}

/** Where our tables are. */
export function databaseOf({ clickhouse: { database } }: Config, { clickhouse }: Host) {
  return { clickhouse, database }
}

/**
 * Whether keys can be kept in ClickHouse: without a pepper of all pods no stored hash could be
 * compared, and where nothing runs beside the requests nobody would see a change.
 */
function canStoreKeys({ keys }: Config, { knownKeys }: Host): boolean {
  return keys.pepper !== undefined && knownKeys !== undefined
}

/** Joins the keys to where they are declared. The edge has nothing that runs beside its requests. */
export function openKeySync(
  config: Config,
  host: Host,
  { keys, tables }: { readonly keys: Keys; readonly tables: KeyTables },
): KeySync {
  const { telemetry, nowMs, keyFolder, knownKeys } = host
  const { production } = config
  const forbidden = production ? [DEVELOPMENT_KEY] : []
  return createKeySync({
    keys,
    store: canStoreKeys(config, host) ? tables : undefined,
    known: knownKeys,
    folder: keyFolder,
    files: createKeyFiles({ digest: keys.digest, nowMs, forbidden, production }),
    read: telemetry.keysRead,
    say: telemetry.say,
    nowMs,
  })
}

/** Removes the events of users, wherever they are: in ClickHouse, and in the spool of this process. */
export function openForgetting(
  config: Config,
  host: Host,
  spool: Pick<Spool, 'settle' | 'dropAside'>,
) {
  const { cluster } = config.clickhouse
  const forgets = createForgets({ ...databaseOf(config, host), cluster })
  const { telemetry, nowMs } = host
  const forgetting = createForgetting({
    forgets,
    settle: () => spool.settle(SETTLE_MS_MAX),
    dropAside: spool.dropAside,
    say: telemetry.say,
    nowMs,
  })
  return { ...forgetting, find: forgets.find }
}

/** Longest a request to forget somebody waits for what was accepted just before it. */
const SETTLE_MS_MAX = 1_000
/** Longest one try may take; the stop of the server waits for the last one. */
const NOTES_MS_MAX = 5_000
/** Between two tries to store what the audit log did not take. */
const NOTES_EVERY_MS = 5_000

/** Notes in the audit log who signs in and out; `run` tries again until told to stop, and once more then. */
export function openDoorNotes(config: Config, host: Host) {
  const { put } = createAudit(databaseOf(config, host))
  const { telemetry, nowMs } = host
  const notes = createDoorNotes({
    put: (entries) => put(entries, AbortSignal.timeout(NOTES_MS_MAX)),
    say: telemetry.say,
    nowMs,
  })
  return {
    note: notes.note,
    run: async (stopping: AbortSignal): Promise<void> => {
      while (await waited(NOTES_EVERY_MS, stopping)) await notes.flush()
      await notes.flush()
    },
  }
}

/** The API by which apps and keys are made and changed. */
export function adminApi(
  config: Config,
  host: Host,
  {
    keys,
    admin: { tables, keySync, forgetting },
  }: {
    readonly keys: Keys
    readonly admin: AdminParts
  },
  given: Pick<AdminRoutesDeps, 'ask' | 'readBody' | 'originOf'>,
): Hono {
  const { ask, readBody, originOf } = given
  const audit = createAudit(databaseOf(config, host))
  const admin = createAdmin({
    keys,
    tables,
    note: (entry) => audit.put([entry]),
    refresh: keySync.refresh,
    hasPepper: canStoreKeys(config, host),
    nowMs: host.nowMs,
  })
  return adminRoutes({
    admit: (request, env) => {
      const { app, shown } = keys.admitAdmin(apiKeyOf(request))
      const address = clientIn(env)?.address ?? ''
      const requestId = factsOf(env)?.requestId ?? ''
      return { name: `key:${shown}`, address, requestId, appId: app?.id }
    },
    ...{ admin, auditLog: audit.list, forgetting, readBody, ask, originOf },
  })
}

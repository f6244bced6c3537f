import {
  keyIdOf,
  SOURCES,
  type AppOptions,
  type Declared,
  type DeclaredApp,
  type DeclaredKey,
  type Source,
} from './records.ts'
import { sameProjectId } from './registrations.ts'
import { projectIdOf } from './token.ts'

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

/** An app with its keys. */
export interface AppRecord extends DeclaredApp {
  readonly source: Source
  readonly projectId: number
  /** Oldest first. */
  readonly keys: readonly KeyRecord[]
  /** As everybody else sees it, at that time. */
  readonly seen: (nowMs: number) => App
}

/** A key that was declared. */
export interface KeyRecord extends DeclaredKey {
  readonly id: string
  readonly source: Source
  /** Undefined for a key of all apps. */
  readonly app: AppRecord | undefined
  /** When this process saw it last; 0 where it did not. Coarse, and the one thing here that changes. */
  usedAtMs: number
}

/** Everything that is declared, joined: apps by id, keys by digest. It never changes. */
export interface Ring {
  readonly apps: ReadonlyMap<string, AppRecord>
  readonly keys: ReadonlyMap<string, KeyRecord>
  /** What cannot be as it was declared, in sentences. */
  readonly problems: readonly string[]
}

/**
 * Joins what the sources declare; of an app or a key that several declare the strongest counts.
 * `before` gives the times at which its keys were used to the new ones.
 */
export function buildRing(declared: ReadonlyMap<Source, Declared>, before: Ring | undefined): Ring {
  const apps = new Map<string, AppRecord & { readonly keys: KeyRecord[] }>()
  const keys = new Map<string, KeyRecord>()
  const problems: string[] = []
  const numbers = new Map<number, string>()
  for (const source of SOURCES) {
    for (const app of declared.get(source)?.apps ?? []) {
      if (apps.has(app.id)) continue
      const record = appRecord(app, source)
      apps.set(app.id, record)
      const owner = numbers.get(record.projectId)
      // A key says by itself which app it is of, so events are kept apart all the same.
      if (owner !== undefined) problems.push(sameProjectId(app.id, owner))
      else numbers.set(record.projectId, app.id)
    }
  }
  // The development key can do everything, also where somebody declares it with less.
  for (const source of ['development', ...SOURCES] as const) {
    for (const key of declared.get(source)?.keys ?? []) {
      if (keys.has(key.digest)) continue
      const app = key.appId === undefined ? undefined : apps.get(key.appId)
      if (key.appId !== undefined && app === undefined) continue
      const usedAtMs = before?.keys.get(key.digest)?.usedAtMs ?? 0
      const record: KeyRecord = { ...key, id: keyIdOf(key.digest), source, app, usedAtMs }
      keys.set(key.digest, record)
      app?.keys.push(record)
    }
  }
  return { apps, keys, problems }
}

/** Whether the key opens anything at that time. */
export function isLive(key: DeclaredKey, nowMs: number): boolean {
  return key.revokedAtMs === undefined && (key.expiresAtMs ?? Infinity) > nowMs
}

function appRecord(app: DeclaredApp, source: Source): AppRecord & { readonly keys: KeyRecord[] } {
  const projectId = projectIdOf(app.id)
  const keys: KeyRecord[] = []
  // Made once and kept until one of its keys expires: it is asked for with every request.
  let kept: { readonly app: App; readonly fromMs: number; readonly untilMs: number } | undefined
  return {
    ...app,
    source,
    projectId,
    keys,
    seen: (nowMs) => {
      if (kept === undefined || nowMs < kept.fromMs || nowMs >= kept.untilMs) {
        const expiries = keys.map((key) => key.expiresAtMs ?? Infinity).filter((ms) => ms > nowMs)
        kept = {
          app: {
            ...{ id: app.id, name: app.name, projectId, ...app.options },
            createdAt: new Date(app.createdAtMs).toISOString(),
            ingestKey: ingestKeyOf(keys, nowMs),
          },
          fromMs: nowMs,
          untilMs: Math.min(Infinity, ...expiries),
        }
      }
      return kept.app
    },
  }
}

function ingestKeyOf(keys: readonly KeyRecord[], nowMs: number): string | undefined {
  const readable = keys.filter((key) => key.readable !== undefined && isLive(key, nowMs))
  // The development key comes last: an app with a key of its own hands out that.
  return (readable.findLast((key) => !key.scopes.has('read')) ?? readable[0])?.readable
}

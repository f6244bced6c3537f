import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { AuditEntry, StoredKey } from '../../src/administration.ts'
import { createAudit } from '../../src/store/audit.ts'
import { createKeyTables } from '../../src/store/keys.ts'
import { createDatabase, type TestDatabase } from '../support/database.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createDatabase()
})
afterAll(() => database.drop())

const T = Date.UTC(2026, 0, 15)

function aStoredKey(fields: Partial<StoredKey> = {}): StoredKey {
  return {
    digest: randomUUID().replaceAll('-', '').repeat(2),
    appId: 'shop',
    name: 'Web ✓ ünïcode',
    prefix: 'ei_ingest_Ab',
    lastFour: 'wxyz',
    scopes: ['ingest', 'read'],
    readable: '',
    createdAtMs: T,
    expiresAtMs: undefined,
    revokedAtMs: undefined,
    ...fields,
  }
}

describe('apps and keys', () => {
  test('come back as they were put; the newest row of an app is the app', async () => {
    const tables = createKeyTables(database)
    const app = { id: 'shop', name: 'Shop', createdAtMs: T, options: { retentionDays: 7 } }
    await tables.putApp(app)
    await tables.putApp({ ...app, name: 'Shop 2', options: { origins: ['https://a.example'] } })
    const key = aStoredKey({ expiresAtMs: T + 1 })
    await tables.putKey(key)
    const { apps, keys } = await tables.load()
    expect(apps).toEqual([{ ...app, name: 'Shop 2', options: { origins: ['https://a.example'] } }])
    expect(keys).toEqual([key])
  })

  test('a retention stands in a column of its own, 0 where there is none', async () => {
    const tables = createKeyTables(database)
    await tables.putApp({ id: 'kept', name: 'K', createdAtMs: T, options: { retentionDays: 30 } })
    await tables.putApp({ id: 'free', name: 'F', createdAtMs: T, options: {} })
    const rows = await database.clickhouse.query(
      `SELECT id, retention_days FROM apps FINAL WHERE id IN ('kept', 'free') ORDER BY id`,
      {},
    )
    expect(rows).toEqual([
      { id: 'free', retention_days: 0 },
      { id: 'kept', retention_days: 30 },
    ])
  })

  test('the version changes with every change and with nothing else', async () => {
    const tables = createKeyTables(database)
    const key = aStoredKey()
    const app = { id: 'versioned', name: 'V', createdAtMs: T, options: {} }
    const versions = [await tables.version()]
    const changes = [
      () => tables.putApp(app),
      () => tables.putApp(app),
      () => tables.putKey(key),
      () => tables.putKey({ ...key, expiresAtMs: T + 5 }),
      () => tables.putKey({ ...key, revokedAtMs: T + 1 }),
    ]
    for (const change of changes) {
      await change()
      versions.push(await tables.version())
    }
    expect(new Set(versions).size).toBe(versions.length)
    await tables.putUses([{ digest: key.digest, usedAtMs: T }])
    await database.clickhouse.command('OPTIMIZE TABLE keys FINAL')
    await database.clickhouse.command('OPTIMIZE TABLE apps FINAL')
    expect(await tables.version()).toBe(versions.at(-1))
  })

  test('what is revoked stays revoked, and an expiry only comes earlier, in any order', async () => {
    const tables = createKeyTables(database)
    const key = aStoredKey()
    await tables.putKey({ ...key, revokedAtMs: T + 1 })
    await tables.putKey({ ...key, expiresAtMs: T + 10 })
    await tables.putKey({ ...key, expiresAtMs: T + 20 })
    await tables.putKey(key)
    const find = async () => (await tables.load()).keys.find(({ digest }) => digest === key.digest)
    const joined = { ...key, revokedAtMs: T + 1, expiresAtMs: T + 10 }
    expect(await find()).toEqual(joined)
    await database.clickhouse.command('OPTIMIZE TABLE keys FINAL')
    expect(await find()).toEqual(joined)
  })

  test('of several uses the last one counts', async () => {
    const tables = createKeyTables(database)
    const { digest } = aStoredKey()
    await tables.putUses([{ digest, usedAtMs: T + 2 }])
    await tables.putUses([{ digest, usedAtMs: T + 1 }])
    expect((await tables.uses()).get(digest)).toBe(T + 2)
    expect((await tables.uses()).get('other')).toBeUndefined()
  })
})

describe('the audit log', () => {
  const anEntry = (fields: Partial<AuditEntry> = {}): AuditEntry => ({
    id: randomUUID(),
    atMs: T,
    actor: 'key:ei_admin_Ab…wxyz',
    address: '2001:db8::1',
    requestId: 'r-1',
    action: 'key.revoke',
    appId: 'shop',
    target: 'key_0123456789abcdef',
    detail: { overlapSeconds: 5 },
    ...fields,
  })

  test('gives back pages, newest first, that neither repeat nor skip entries of one moment', async () => {
    const audit = createAudit(database)
    const own = 'paged'
    const entries = [0, 0, 0, 1, 2].map((ms) => anEntry({ appId: own, atMs: T + ms }))
    await audit.put(entries.slice(0, 2))
    for (const entry of entries.slice(2)) await audit.put([entry])
    await audit.put([anEntry({ appId: 'other' })])
    const seen: AuditEntry[] = []
    for (;;) {
      const last = seen.at(-1)
      const page = await audit.list({ appId: own, before: last, limit: 2 })
      if (page.length === 0) break
      seen.push(...page)
    }
    expect(seen.map(({ atMs }) => atMs)).toEqual([T + 2, T + 1, T, T, T])
    expect(seen).toEqual(expect.arrayContaining(entries))
    expect(seen).toHaveLength(entries.length)
    const all = await audit.list({ appId: undefined, before: undefined, limit: 100 })
    expect(all.map(({ appId }) => appId)).toContain('other')
  })
})

import { cp, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { nodeClickHouse } from '../../src/node/clickhouse.ts'
import { startEmbedded } from '../../src/node/embedded.ts'
import { migrate, plan } from '../../src/store/migrate.ts'
import { createStore } from '../../src/store/queries.ts'
import { blockTarget, encodeRows } from '../../src/store/rows.ts'
import { aGrouping, anOccurrence } from '../support/occurrence.ts'

const database = 'error_ingestor'
const folders: string[] = []
afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true })
})

async function aServer() {
  const dataDir = await mkdtemp(join(tmpdir(), 'error-ingestor-backup-'))
  folders.push(dataDir)
  const engine = await startEmbedded({ dataDir, say: () => undefined })
  const login = { url: engine.url, user: 'default', password: '', timeoutMs: 30_000 }
  const clickhouse = nodeClickHouse({ ...login, database })
  const outside = nodeClickHouse(login)
  return {
    dataDir,
    clickhouse,
    /** Statements for which the database need not be there. */
    outside,
    store: createStore({ clickhouse, database }),
    async [Symbol.asyncDispose]() {
      await clickhouse.close()
      await outside.close()
      await engine.close()
    },
  }
}

/** The statements of the guide, as it prints them. */
async function printed(verb: 'BACKUP' | 'RESTORE'): Promise<string> {
  const page = await readFile('docs/backup.md', 'utf8')
  const sql = new RegExp(`^${verb} DATABASE[^;]*File[^;]*`, 'm').exec(page)?.[0]
  if (sql === undefined) throw new Error(`The guide has no ${verb} to a file.`)
  return sql
}

test('a backup as the guide has it is restored into an empty server, with the same answers, and goes on', async () => {
  const rows = Array.from({ length: 50 }, (_, i) =>
    anOccurrence({ appId: 'shop', code: `c${i % 3}` }),
  )
  const { bytes, format } = encodeRows(rows, aGrouping)
  const token = { insert_deduplication_token: 'one' }
  const block = { ...blockTarget(format), body: [bytes], settings: token }
  const options = { database, retentionDays: 90, say: () => undefined }
  const range = { startMs: 0, endMs: Date.now() + 3_600_000 }
  const answersOf = async ({ store }: Awaited<ReturnType<typeof aServer>>) => ({
    codes: await store.codes('shop', undefined),
    issues: await store.issues('shop', range, 10),
    trends: await store.trends({ appId: 'shop', range }, 'day'),
    page: await store.events({ appId: 'shop', range }, { offset: 0, limit: 100 }),
  })

  await using first = await aServer()
  await migrate(first.clickhouse, options)
  await first.clickhouse.insert(block)
  const before = await answersOf(first)
  expect(before.page.events).toHaveLength(50)
  await first.outside.command(await printed('BACKUP'))

  await using second = await aServer()
  await cp(join(first.dataDir, 'backups'), join(second.dataDir, 'backups'), { recursive: true })
  await second.outside.command(await printed('RESTORE'))
  expect(await answersOf(second)).toEqual(before)
  expect((await plan(second.clickhouse, options)).steps).toEqual([])
  // New events reach the counts by hours too: the views are there.
  const more = encodeRows([anOccurrence({ appId: 'shop', code: 'new' })], aGrouping)
  await second.clickhouse.insert({ ...block, body: [more.bytes], settings: {} })
  expect(await second.store.codes('shop', undefined)).toContainEqual({ code: 'new', count: 1 })
}, 90_000)

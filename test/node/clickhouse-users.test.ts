import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readConfig } from '../../src/config.ts'
import { chooseClickHouse, type ChosenClickHouse } from '../../src/node/choose.ts'
import { startServer } from '../../src/node/server.ts'
import { migrate, retentionDue, take } from '../../src/store/migrate.ts'
import { tellRetentions } from '../../src/store/retention.ts'
import { anEvent, post } from '../flows/support.ts'
import { documentedUsers, startEngineWithUsers, type EngineWithUsers } from '../support/users.ts'

const [DATABASE, PASSWORD, KEY] = ['by_users', 'a-password', 'ei_a_key_of_the_test']
const NAMES = {
  CLICKHOUSE_USER: 'error_ingestor',
  CLICKHOUSE_PASSWORD: PASSWORD,
  CLICKHOUSE_READER_USER: 'error_ingestor_reader',
  CLICKHOUSE_READER_PASSWORD: PASSWORD,
  CLICKHOUSE_MIGRATOR_USER: 'error_ingestor_migrator',
  CLICKHOUSE_MIGRATOR_PASSWORD: PASSWORD,
}

let engine: EngineWithUsers
let chosen: ChosenClickHouse
let folder: string
const env = () => ({
  ...NAMES,
  CLICKHOUSE_HOST: engine.url,
  CLICKHOUSE_DATABASE: DATABASE,
  DATA_DIR: folder,
  PORT: '0',
  LOG_LEVEL: 'silent',
})

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'error-ingestor-users-'))
  engine = await startEngineWithUsers(await documentedUsers(DATABASE, PASSWORD))
  chosen = await chooseClickHouse(readConfig(env()), { say: () => undefined })
  await migrate(chosen.migrator, { database: DATABASE, retentionDays: 90, say: () => undefined })
}, 60_000)
afterAll(async () => {
  await chosen.close()
  await engine.close()
  await rm(folder, { recursive: true, force: true })
})

describe('with the three users of docs/security.md', () => {
  test('the whole server works: it takes events, answers questions, and keeps and deletes source maps', async () => {
    const APPS = JSON.stringify([
      {
        id: 'test-app',
        name: 'Test',
        keys: [{ key: KEY, scopes: ['ingest', 'read', 'sourcemaps'] }],
      },
    ])
    const server = await startServer({ ...env(), NODE_ENV: 'production', HOST: '127.0.0.1', APPS })
    const headers = { 'X-API-Key': KEY, 'Content-Type': 'application/json' }
    const call = (path: string, init: RequestInit = {}) =>
      fetch(server.url + path, { ...init, headers })
    try {
      const event = anEvent()
      const sent = await call('/api/v1/ingest', post({ events: [event] }, { 'X-API-Key': KEY }))
      expect(sent.status).toBe(200)
      for (const path of ['errors', `errors/${event.id}`, 'trends', 'codes']) {
        const answer = await call(`/dashboard/api/${path}?appId=test-app`)
        expect([path, answer.status, await answer.text()]).toEqual([
          path,
          200,
          expect.stringContaining('true'),
        ])
      }
      const map = { appVersion: '1', fileName: 'a.js.map', sourceMap: '{"version":3}' }
      const upload = { method: 'POST', body: JSON.stringify(map) }
      expect((await call('/api/v1/sourcemaps/upload', upload)).status).toBe(200)
      expect((await call('/api/v1/sourcemaps/1', { method: 'DELETE' })).status).toBe(200)
    } finally {
      await server.stop()
    }
  })

  test('an app of its own retention waits for the migrator, where the server may not set it', async () => {
    const APPS = JSON.stringify([
      { id: 'long', name: 'x', retentionDays: 400, keys: [{ key: KEY, scopes: ['ingest'] }] },
    ])
    const due = async (url: string) =>
      /^error_ingestor_retention_due_apps (\d+)$/m.exec(
        await (await fetch(`${url}/metrics`)).text(),
      )?.[1]
    const whole = { ...env(), NODE_ENV: 'production', HOST: '127.0.0.1', APPS }
    const alone = { CLICKHOUSE_MIGRATOR_USER: '', CLICKHOUSE_MIGRATOR_PASSWORD: '' }
    const server = await startServer({ ...whole, ...alone })
    try {
      await expect.poll(() => due(server.url), { timeout: 10_000 }).toBe('1')
    } finally {
      await server.stop()
    }
    const { clickhouse, migrator } = chosen
    const step = await retentionDue(clickhouse, DATABASE)
    expect(step?.apps).toBe(1)
    if (step === undefined) return
    await expect(take(clickhouse, step, DATABASE)).rejects.toThrow(/Not enough privileges/)
    await migrate(migrator, { database: DATABASE, retentionDays: 90, say: () => undefined })
    expect(await retentionDue(clickhouse, DATABASE)).toBeUndefined()
  })

  test('the grants that are documented for it let the server set retentions, and drop nothing', async () => {
    const [, grant = ''] =
      /```sql\n(GRANT ALTER TTL.*?)```/s.exec(await readFile('docs/security.md', 'utf8')) ?? []
    expect(grant).not.toBe('')
    const users = await documentedUsers(DATABASE, PASSWORD)
    const own = await startEngineWithUsers(
      users + grant.replaceAll('error_ingestor.', `${DATABASE}.`),
    )
    const there = await chooseClickHouse(readConfig({ ...env(), CLICKHOUSE_HOST: own.url }), {
      say: () => undefined,
    })
    try {
      const { clickhouse, migrator } = there
      await migrate(migrator, { database: DATABASE, retentionDays: 90, say: () => undefined })
      await tellRetentions(clickhouse, DATABASE, new Map([['long', 400]]))
      const step = await retentionDue(clickhouse, DATABASE)
      if (step !== undefined) await take(clickhouse, step, DATABASE)
      expect(step?.apps).toBe(1)
      expect(await retentionDue(clickhouse, DATABASE)).toBeUndefined()
      await expect(clickhouse.command('DROP TABLE occurrences')).rejects.toThrow(
        /Not enough privileges/,
      )
    } finally {
      await there.close()
      await own.close()
    }
  })

  test('the reader reads, and can change nothing, see no other database, nor lift its limits', async () => {
    const { reader } = chosen
    expect(await reader.query('SELECT count() AS n FROM occurrences', {})).toHaveLength(1)
    for (const sql of [
      'INSERT INTO occurrences (id) VALUES (generateUUIDv4())',
      'TRUNCATE TABLE occurrences',
      'DROP TABLE occurrences',
      'CREATE TABLE mine (a UInt8) ENGINE = Memory',
      'ALTER TABLE occurrences DELETE WHERE 1',
    ]) {
      await expect(reader.command(sql), sql).rejects.toThrow(/readonly|Not enough privileges/i)
    }
    for (const sql of [
      "SELECT * FROM file('/etc/passwd', LineAsString)",
      "SELECT * FROM url('http://127.0.0.1:1/', LineAsString)",
    ]) {
      await expect(reader.query(sql, {}), sql).rejects.toThrow(/readonly|Not enough privileges/i)
    }
    for (const settings of [
      { max_execution_time: 3_600 },
      { max_memory_usage: 1e12 },
      { max_result_rows: 1e9 },
      { readonly: 0 },
    ]) {
      await expect(
        reader.query('SELECT 1', {}, { settings }),
        JSON.stringify(settings),
      ).rejects.toThrow()
    }
  })

  test('the writer inserts, and can neither drop nor delete events', async () => {
    const { clickhouse } = chosen
    for (const sql of ['DROP TABLE occurrences', 'ALTER TABLE occurrences DELETE WHERE 1']) {
      await expect(clickhouse.command(sql), sql).rejects.toThrow(/Not enough privileges/)
    }
  })

  test('a login in the address is that of the writer only', async () => {
    const url = new URL(engine.url)
    url.username = NAMES.CLICKHOUSE_USER
    url.password = PASSWORD
    const other = await chooseClickHouse(readConfig({ ...env(), CLICKHOUSE_HOST: url.href }), {
      say: () => undefined,
    })
    const who = 'SELECT currentUser() AS name'
    try {
      expect(await other.clickhouse.query(who, {})).toEqual([{ name: NAMES.CLICKHOUSE_USER }])
      expect(await other.reader.query(who, {})).toEqual([{ name: NAMES.CLICKHOUSE_READER_USER }])
      expect(await other.migrator.query(who, {})).toEqual([
        { name: NAMES.CLICKHOUSE_MIGRATOR_USER },
      ])
    } finally {
      await other.close()
    }
  })
})

test('where no reader and no migrator is named, the one user does all', async () => {
  const alone = await chooseClickHouse(
    readConfig({
      ...env(),
      CLICKHOUSE_READER_USER: '',
      CLICKHOUSE_READER_PASSWORD: '',
      CLICKHOUSE_MIGRATOR_USER: '',
      CLICKHOUSE_MIGRATOR_PASSWORD: '',
    }),
    { say: () => undefined },
  )
  expect(alone.reader).toBe(alone.clickhouse)
  expect(alone.migrator).toBe(alone.clickhouse)
  await alone.close()
})

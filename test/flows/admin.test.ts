import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rename, rm, symlink, mkdir, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { makeKey, projectIdOf } from '../../src/keys/token.ts'
import { keysCommand } from '../../src/node/keys-cli.ts'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { anOccurrence } from '../support/occurrence.ts'
import { aSite, anEvent, post, type Answer, type Site } from './support.ts'

const ADMIN_KEY = makeKey('admin')
const KEY_PEPPER = 'f3a1c09b77d24e5886aa10b2c9d4e7f05518'
/** What is promised: a change is everywhere within that time. */
const EVERYWHERE_MS = 10_000

let database: TestDatabase
let keysDir: string
let one: Site
let two: Site

beforeAll(async () => {
  database = await createDatabase()
  keysDir = await mkdtemp(join(tmpdir(), 'error-ingestor-keys-'))
  const env = {
    ...{ NODE_ENV: 'production', HOST: '127.0.0.1', ADMIN_KEY, KEY_PEPPER, KEYS_DIR: keysDir },
    CLICKHOUSE_DATABASE: database.database,
  }
  one = await aSite(env)
  two = await aSite(env)
})
afterAll(async () => {
  await one.close()
  await two.close()
  await database.drop()
  await rm(keysDir, { recursive: true })
})

const admin = (method: string, path: string, body?: object, key = ADMIN_KEY) =>
  one.call(`/api/v1/admin/${path}`, {
    method,
    headers: { 'Content-Type': 'application/json', 'X-API-Key': key },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
const Made = z.object({
  apiKey: z.string(),
  key: z.object({ id: z.string(), lastFour: z.string(), status: z.string() }),
  old: z.object({ expiresAt: z.string().nullable() }).optional(),
})
const made = ({ body, status }: Answer) => {
  expect(status).toBe(201)
  return Made.parse(body)
}
const send = (site: Site, key: string, fields: object) =>
  site.call('/api/v1/ingest', post({ events: [anEvent(fields)] }, { 'X-API-Key': key }))
const tries = (site: Site, key: string) =>
  site.call('/api/v1/ingest/test', { headers: { 'X-API-Key': key } })
const becomes = (site: Site, key: string, status: number) =>
  vi.waitFor(async () => expect((await tries(site, key)).status).toBe(status), {
    timeout: EVERYWHERE_MS,
    interval: 100,
  })

describe('apps and keys over the API', () => {
  test('an app and its key work here at once and on the other server within seconds', async () => {
    const created = await admin('POST', 'apps', { id: 'shop', name: 'Shop', retentionDays: 30 })
    expect(created.status).toBe(201)
    expect(created.body).toMatchObject({
      app: { id: 'shop', source: 'store', readOnly: false, retentionDays: 30, dsn: null },
    })
    const { apiKey } = made(await admin('POST', 'keys', { appId: 'shop' }))
    expect(apiKey).toMatch(/^ei_ingest_[0-9A-Za-z]{36}$/)
    expect((await send(one, apiKey, { appId: 'shop' })).status).toBe(200)
    await becomes(two, apiKey, 200)
    expect((await admin('GET', 'apps/shop')).body).toMatchObject({
      app: { dsn: `http://${apiKey}@${new URL(one.url).host}/${projectIdOf('shop')}` },
    })
    expect((await admin('POST', 'apps', { id: 'shop', name: 'Again' })).status).toBe(409)
  })

  test('an option is changed, taken away, and refused where it makes no sense', async () => {
    await admin('POST', 'apps', { id: 'opts', name: 'O', origins: ['https://a.example'] })
    const { apiKey } = made(await admin('POST', 'keys', { appId: 'opts' }))
    const from = (origin: string) =>
      one.call('/api/v1/ingest/test', { headers: { 'X-API-Key': apiKey, Origin: origin } })
    expect((await from('https://a.example')).status).toBe(200)
    expect((await from('https://b.example')).status).toBe(403)
    expect(
      (await admin('PATCH', 'apps/opts', { origins: null, retentionDays: 7 })).body,
    ).toMatchObject({ app: { origins: null, retentionDays: 7, name: 'O' } })
    expect((await from('https://b.example')).status).toBe(200)
    expect((await admin('PATCH', 'apps/opts', { retention: 7 })).status).toBe(400)
    expect((await admin('PATCH', 'apps/none', { name: 'N' })).status).toBe(404)
  })

  test('an app is made once, also behind a stream of events, where questions are asked twice', async () => {
    await admin('POST', 'apps', { id: 'flood', name: 'F' })
    const { apiKey } = made(await admin('POST', 'keys', { appId: 'flood' }))
    const untilMs = performance.now() + 3_500
    while (performance.now() < untilMs) {
      const events = Array.from({ length: 100 }, () => anEvent({ appId: 'flood' }))
      const answer = await one.call('/api/v1/ingest', post({ events }, { 'X-API-Key': apiKey }))
      expect(answer.status).toBe(200)
    }
    expect((await admin('POST', 'apps', { id: 'once', name: 'O' })).status).toBe(201)
    made(await admin('POST', 'keys', { appId: 'once' }))
    const { body } = await admin('GET', 'audit?appId=once')
    expect(body).toMatchObject({ entries: [{ action: 'key.create' }, { action: 'app.create' }] })
  })

  test('a list shows no key that could be used, except one that only ingests', async () => {
    await admin('POST', 'apps', { id: 'listed', name: 'L' })
    const ingest = made(await admin('POST', 'keys', { appId: 'listed' })).apiKey
    const read = made(await admin('POST', 'keys', { appId: 'listed', scopes: ['read'] })).apiKey
    const { text } = await admin('GET', 'keys?appId=listed')
    expect(text).toContain(ingest)
    expect(text).not.toContain(read)
    expect(text).toContain(read.slice(-4))
    const raw = await database.clickhouse.query('SELECT * FROM keys', {})
    expect(JSON.stringify(raw)).not.toContain(read)
    expect(JSON.stringify(raw)).not.toContain(ADMIN_KEY)
  })

  test('rotation under load fails no request, and the old key ends after its time', async () => {
    await admin('POST', 'apps', { id: 'rotated', name: 'R' })
    const first = made(await admin('POST', 'keys', { appId: 'rotated' }))
    await becomes(two, first.apiKey, 200)
    let current = first.apiKey
    const statuses: number[] = []
    const stop = { now: false }
    const client = async (site: Site) => {
      while (!stop.now) statuses.push((await send(site, current, { appId: 'rotated' })).status)
    }
    const clients = [client(one), client(two), client(two)]
    const next = made(await admin('POST', `keys/${first.key.id}/rotate`, { overlapSeconds: 8 }))
    // The new key is handed out when every server has it, which the overlap is for.
    await becomes(two, next.apiKey, 200)
    current = next.apiKey
    await becomes(two, first.apiKey, 403)
    stop.now = true
    await Promise.all(clients)
    expect(statuses.length).toBeGreaterThan(20)
    expect(statuses.filter((status) => status !== 200)).toEqual([])
    expect((await tries(one, first.apiKey)).status).toBe(403)
  })

  test('a revoked key is refused here at once and on the other server within 10 s, for good', async () => {
    await admin('POST', 'apps', { id: 'revoked', name: 'R' })
    const { apiKey, key } = made(await admin('POST', 'keys', { appId: 'revoked' }))
    await becomes(two, apiKey, 200)
    expect((await admin('DELETE', `keys/${key.id}`)).body).toMatchObject({
      key: { status: 'revoked' },
    })
    expect((await tries(one, apiKey)).status).toBe(403)
    await becomes(two, apiKey, 403)
    expect((await admin('POST', `keys/${key.id}/rotate`, {})).status).toBe(409)
  })

  test('an admin key of one app changes that app only', async () => {
    await admin('POST', 'apps', { id: 'mine', name: 'M' })
    await admin('POST', 'apps', { id: 'theirs', name: 'T' })
    const scopes = ['admin']
    const { apiKey } = made(await admin('POST', 'keys', { appId: 'mine', scopes }))
    const their = made(await admin('POST', 'keys', { appId: 'theirs' }))
    const as = (method: string, path: string, body?: object) => admin(method, path, body, apiKey)
    expect((await as('POST', 'keys', { appId: 'mine' })).status).toBe(201)
    for (const [method, path, body, status] of [
      ['POST', 'keys', { appId: 'theirs' }, 403],
      ['POST', 'keys', { scopes: ['read'] }, 403],
      ['POST', 'apps', { id: 'new', name: 'N' }, 403],
      ['GET', 'apps/theirs', undefined, 403],
      ['PATCH', 'apps/theirs', { name: 'X' }, 403],
      ['GET', 'keys?appId=theirs', undefined, 403],
      ['DELETE', `keys/${their.key.id}`, undefined, 404],
      ['POST', `keys/${their.key.id}/rotate`, {}, 404],
      ['DELETE', 'apps/theirs/users/u', undefined, 403],
      ['GET', 'audit?appId=theirs', undefined, 403],
    ] as const) {
      expect([method, path, (await as(method, path, body)).status]).toEqual([method, path, status])
    }
    expect((await as('GET', 'apps')).body).toMatchObject({ apps: [{ id: 'mine' }] })
    expect((await as('GET', 'keys')).text).not.toContain('theirs')
  })

  test('two ids of one project number are refused, also one after the other', async () => {
    expect((await admin('POST', 'apps', { id: 'app-953', name: 'A' })).status).toBe(201)
    const answer = await admin('POST', 'apps', { id: 'app-24635', name: 'B' })
    expect([answer.status, answer.text]).toEqual([409, expect.stringMatching(/project number/)])
  })

  test('every change is in the log: who, what, when, from where, and no key', async () => {
    await admin('POST', 'apps', { id: 'logged', name: 'L' })
    const { apiKey, key } = made(await admin('POST', 'keys', { appId: 'logged', scopes: ['read'] }))
    await admin('DELETE', `keys/${key.id}`)
    const { body, text } = await admin('GET', 'audit?appId=logged&limit=2')
    const Entries = z.object({
      entries: z.array(z.looseObject({ action: z.string() })),
      nextCursor: z.string(),
    })
    const page = Entries.parse(body)
    expect(page.entries).toMatchObject([
      {
        ...{ action: 'key.revoke', target: key.id, appId: 'logged', address: '127.0.0.1' },
        actor: `key:${ADMIN_KEY.slice(0, 11)}…${ADMIN_KEY.slice(-4)}`,
      },
      { action: 'key.create' },
    ])
    const more = await admin('GET', `audit?appId=logged&limit=2&cursor=${page.nextCursor}`)
    expect(more.body).toMatchObject({ entries: [{ action: 'app.create' }], nextCursor: null })
    expect(text).not.toContain(apiKey)
    expect(text).not.toContain(ADMIN_KEY)
  })
})

describe('files', () => {
  /** As the kubelet does it. */
  async function mount(version: string, content: unknown): Promise<void> {
    await mkdir(join(keysDir, `..${version}`))
    const text = typeof content === 'string' ? content : JSON.stringify(content)
    await writeFile(join(keysDir, `..${version}`, 'apps.json'), text)
    await symlink(`..${version}`, join(keysDir, '..data_tmp'))
    await rename(join(keysDir, '..data_tmp'), join(keysDir, '..data'))
    await symlink('..data/apps.json', join(keysDir, 'apps.json')).catch(() => undefined)
  }

  test('a swapped Secret counts within 10 s, a bad one changes nothing and is counted, and neither is changed here', async () => {
    const [a, b] = [makeKey('ingest'), makeKey('ingest')]
    const app = (...keys: string[]) => [
      { id: 'filed', name: 'F', keys: keys.map((key) => ({ key })) },
    ]
    await mount('1', app(a))
    await becomes(one, a, 200)
    await mount('2', app(a, b))
    await becomes(two, b, 200)
    await mount('3', '[{"id": "filed"')
    await vi.waitFor(async () => expect(await one.metric('error_ingestor_key_files_bad')).toBe(1), {
      timeout: EVERYWHERE_MS,
    })
    expect((await tries(one, a)).status).toBe(200)
    expect((await admin('PATCH', 'apps/filed', { name: 'X' })).status).toBe(409)
    expect((await admin('POST', 'keys', { appId: 'filed' })).text).toMatch(/declared in the files/)
    await mount('4', app(b))
    await becomes(one, a, 401)
    expect((await tries(one, b)).status).toBe(200)
    expect(await one.metric('error_ingestor_key_files_bad')).toBe(0)
  })
})

describe('the right to be forgotten', () => {
  test(
    "a user's events go, nobody else's, and the answer says when",
    { timeout: 90_000 },
    async () => {
      await admin('POST', 'apps', { id: 'private', name: 'P' })
      const { apiKey } = made(
        await admin('POST', 'keys', { appId: 'private', scopes: ['ingest', 'read'] }),
      )
      const userId = 'Ünal/7@example.com'
      for (const user of [userId, userId, 'other', null]) {
        await send(one, apiKey, { appId: 'private', userId: user })
      }
      const users = async () => {
        const answer = await one.call('/dashboard/api/errors?appId=private', {
          headers: { 'X-API-Key': apiKey },
        })
        return z
          .object({ errors: z.array(z.object({ userId: z.string().nullable() })) })
          .parse(answer.body)
          .errors.map((error) => error.userId)
      }
      expect(await users()).toHaveLength(4)
      // What ClickHouse refused waits on the disks of the servers.
      const aside = [one, two].map(({ folder }) => join(folder, 'spool/undeliverable'))
      for (const folder of aside) {
        for (const user of [userId, 'other']) {
          const occurrence = anOccurrence({ appId: 'private', userId: user })
          const kept = { at: new Date().toISOString(), error: 'Refused.', occurrence }
          await writeFile(join(folder, `00000000-${occurrence.id}.json`), JSON.stringify(kept))
        }
      }
      const begun = await admin('DELETE', `apps/private/users/${encodeURIComponent(userId)}`)
      expect(begun.status).toBe(202)
      const { deletion } = z
        .object({ deletion: z.object({ id: z.string(), status: z.string() }) })
        .parse(begun.body)
      await vi.waitFor(
        async () => {
          const { body } = await admin('GET', `apps/private/deletions/${deletion.id}`)
          expect(body).toMatchObject({ deletion: { status: 'done' } })
        },
        { timeout: 60_000, interval: 500 },
      )
      expect((await users()).toSorted()).toEqual(['other', null].toSorted())
      for (const folder of aside) {
        const [left = '', ...more] = await readdir(folder)
        expect(more).toEqual([])
        expect(await readFile(join(folder, left), 'utf8')).toContain('"userId":"other"')
      }
      const hours = await database.clickhouse.query(
        `SELECT count() AS users FROM hourly_users FINAL WHERE app_id = 'private'`,
        {},
      )
      expect(hours).toEqual([{ users: 1 }])
      const trends = await one.call('/dashboard/api/trends?appId=private', {
        headers: { 'X-API-Key': apiKey },
      })
      expect(trends.body).toMatchObject({ trends: [{ count: 2, affectedUsers: 1 }] })
      // Who comes back is a new user.
      await send(one, apiKey, { appId: 'private', userId })
      expect(await users()).toHaveLength(3)
      expect((await admin('GET', 'audit?appId=private')).text).not.toContain('example.com')
      const kept = await database.clickhouse.query('SELECT * FROM forgets', {})
      expect(JSON.stringify(kept)).not.toContain('example.com')
    },
  )
})

test('every answer of these tests is one that the document names', async () => {
  expect(await one.undocumented()).toEqual([])
})

describe('the commands', () => {
  const run = async (noun: 'apps' | 'keys', ...args: string[]) => {
    let said = ''
    const code = await keysCommand(noun, args, {
      out: (text) => (said += text),
      ask: (_to, path, init) =>
        fetch(`${one.url}/${path}`, {
          ...init,
          headers: { 'X-API-Key': ADMIN_KEY, 'Content-Type': 'application/json' },
        }),
    })
    return { code, said }
  }

  test('make an app whose key works, list, rotate and revoke it', async () => {
    const { said } = await run('apps', 'create', 'cli.app', '--name', 'From the shell')
    const key = /^Key {2}(ei_ingest_\w+)$/m.exec(said)?.[1] ?? ''
    expect(said).toContain(`DSN  http://${key}@127.0.0.1`)
    expect((await tries(one, key)).status).toBe(200)
    expect((await run('apps', 'list')).said).toMatch(/^cli\.app +From the shell +\d+ +store$/m)
    const listed = (await run('keys', 'list', '--app', 'cli.app')).said
    const id = /key_[0-9a-f]{16}/.exec(listed)?.[0] ?? ''
    expect(listed).toMatch(/live/)
    const rotated = (await run('keys', 'rotate', id, '--overlap', '0', '--json')).said
    expect(Made.parse(JSON.parse(rotated)).apiKey).not.toBe(key)
    expect((await tries(one, key)).status).toBe(403)
    const next = Made.parse(JSON.parse(rotated))
    await run('keys', 'revoke', next.key.id)
    expect((await tries(one, next.apiKey)).status).toBe(403)
  })

  test('say in a sentence what was refused and what was not understood', async () => {
    await expect(run('apps', 'create', 'cli.app')).rejects.toThrow(/is there already/)
    await expect(run('keys', 'revoke', 'key_none')).rejects.toThrow(/no key of this id/)
    await expect(run('keys', 'explode')).rejects.toMatchObject({ name: 'UsageError' })
    await expect(run('keys', 'revoke')).rejects.toMatchObject({ name: 'UsageError' })
    await expect(run('keys', 'list', 'x')).rejects.toMatchObject({ name: 'UsageError' })
    expect((await run('keys', '--help')).said).toMatch(/keys rotate KEY_ID/)
  })

  test('end with 0, 1 and 2 as a process', async () => {
    const { port } = new URL(one.url)
    const env = { ...process.env, PORT: port, ADMIN_KEY, NODE_ENV: 'development' }
    const start = (...args: string[]) =>
      promisify(execFile)(process.execPath, ['dist/main.js', ...args], { env }).then(
        ({ stdout }) => ({ code: 0, said: stdout }),
        (error: unknown) => z.object({ code: z.number(), stderr: z.string() }).parse(error),
      )
    expect(await start('apps', 'list')).toMatchObject({ code: 0 })
    expect(await start('keys', 'revoke', 'key_none')).toMatchObject({ code: 1 })
    expect(await start('keys', 'nonsense')).toMatchObject({ code: 2 })
  })
})

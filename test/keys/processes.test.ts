import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeAll, describe, expect, inject, test, vi } from 'vitest'
import { z } from 'zod'
import { makeKey } from '../../src/keys/token.ts'
import { anEvent } from '../flows/support.ts'
import { createDatabase } from '../support/database.ts'

// What `npm start` runs. `npm test` builds it first; so must whoever runs this file alone.
const MAIN = join(import.meta.dirname, '../../dist/main.js')
const ADMIN_KEY = makeKey('admin')
const KEY_PEPPER = '7be0c1d2a3f4958677aa10b2c9d4e7f05518'
/** What is promised: a revoked key is refused everywhere within that time. */
const EVERYWHERE_MS = 10_000

beforeAll(() => {
  if (!existsSync(MAIN)) throw new Error('dist/main.js is missing: run `npm run build` first.')
})

const undo: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
})

/** A server in a process of its own, with a folder of its own and nothing of our environment. */
async function aProcess(env: Readonly<Record<string, string>>) {
  const folder = await mkdtemp(join(tmpdir(), 'error-ingestor-keys-'))
  const { PATH } = process.env
  const child = spawn(process.execPath, [MAIN], {
    cwd: folder,
    env: {
      ...{ PATH, NODE_ENV: 'production', PORT: '0', HOST: '127.0.0.1', DATA_DIR: folder },
      ...{ CLICKHOUSE_HOST: inject('clickhouseUrl'), ...env },
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text))
  const ended = once(child, 'close')
  undo.push(async () => {
    child.kill('SIGKILL')
    await ended
    await rm(folder, { recursive: true, force: true })
  })
  const find = () => /"url":"(http:[^"]+)"/.exec(said)?.[1]
  await vi.waitUntil(() => find() !== undefined || child.exitCode !== null, { timeout: 20_000 })
  const url = find()
  return {
    said: () => said,
    code: () => child.exitCode,
    call: async (path: string, { headers = {}, ...init }: Call = {}) => {
      if (url === undefined) throw new Error(`It ended: ${said}`)
      const answer = await fetch(url + path, { ...init, headers })
      return { status: answer.status, body: await answer.text() }
    },
  }
}
type Process = Awaited<ReturnType<typeof aProcess>>
interface Call {
  readonly method?: string
  readonly headers?: Record<string, string>
  readonly body?: string
}

const Made = z.object({ apiKey: z.string(), key: z.object({ id: z.string() }) })
const admin = (on: Process, method: string, path: string, body?: object) =>
  on.call(`/api/v1/admin/${path}`, {
    method,
    headers: { 'X-API-Key': ADMIN_KEY, 'Content-Type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
const send = async (to: Process, key: string) => {
  const body = JSON.stringify({ events: [anEvent({ appId: 'shop' })] })
  const headers = { 'X-API-Key': key, 'Content-Type': 'application/json' }
  return (await to.call('/api/v1/ingest', { method: 'POST', headers, body })).status
}

describe('two server processes on one ClickHouse', () => {
  test(
    'a key made on one opens both, and revoked on one it is refused by both within 10 s, for good',
    { timeout: 90_000 },
    async () => {
      const { database, drop } = await createDatabase()
      undo.push(drop)
      const env = { ADMIN_KEY, KEY_PEPPER, CLICKHOUSE_DATABASE: database }
      const [one, two] = [await aProcess(env), await aProcess(env)]
      expect((await admin(one, 'POST', 'apps', { id: 'shop', name: 'Shop' })).status).toBe(201)
      const made = async () =>
        Made.parse(
          JSON.parse(
            (await admin(one, 'POST', 'keys', { appId: 'shop', scopes: ['ingest'] })).body,
          ),
        )
      const [revoked, kept] = [await made(), await made()]
      for (const { apiKey } of [revoked, kept]) {
        await vi.waitUntil(async () => (await send(two, apiKey)) === 200, { timeout: 10_000 })
        expect(await send(one, apiKey)).toBe(200)
      }

      const sinceMs = performance.now()
      expect((await admin(one, 'DELETE', `keys/${revoked.key.id}`)).status).toBe(200)
      expect(await send(one, revoked.apiKey)).toBe(403)
      let status = 0
      while (status !== 403 && performance.now() - sinceMs < EVERYWHERE_MS) {
        status = await send(two, revoked.apiKey)
        expect([200, 403]).toContain(status)
      }
      expect(status).toBe(403)
      for (const server of [one, two]) {
        for (let n = 0; n < 20; n++) {
          expect(await send(server, revoked.apiKey)).toBe(403)
          expect(await send(server, kept.apiKey)).toBe(200)
        }
      }
    },
  )
})

describe('a production server', () => {
  const SESSION_SECRET = '0123456789abcdef0123456789abcdef'

  test.each([
    [
      'the password of an administrator',
      { ADMIN_PASSWORD: 'correct horse battery', SESSION_SECRET },
    ],
    ['an admin key', { ADMIN_KEY, KEY_PEPPER }],
  ])('with %s and nothing else starts, also with ClickHouse away', async (_what, env) => {
    const server = await aProcess({ ...env, CLICKHOUSE_HOST: 'http://127.0.0.1:9' })
    expect((await server.call('/health/live')).status).toBe(200)
    expect((await server.call('/dashboard/api/apps')).status).toBe(401)
  })

  test('logs neither keys nor what events say, at any level', async () => {
    const [key, secret] = [makeKey('ingest'), 'a-word-of-this-event']
    const APPS = JSON.stringify([{ id: 'shop', name: 'Shop', keys: [{ key }] }])
    const { database, drop } = await createDatabase()
    undo.push(drop)
    const server = await aProcess({ APPS, LOG_LEVEL: 'debug', CLICKHOUSE_DATABASE: database })
    const event = anEvent({ appId: 'shop', message: secret, userId: secret })
    const headers = { 'X-API-Key': key, 'Content-Type': 'application/json' }
    const post = (path: string, body: string) =>
      server.call(path, { method: 'POST', headers, body })
    expect((await post('/api/v1/ingest', JSON.stringify({ events: [event] }))).status).toBe(200)
    const envelope = `{}\n{"type":"event"}\n{"message":"${secret}"}`
    expect((await post(`/api/1/envelope/?sentry_key=${key}`, envelope)).status).toBe(403)
    expect((await post('/api/v1/ingest', `{"events": [{"id": "${secret}"}]}`)).status).toBe(400)
    expect((await server.call(`/dashboard/api/errors?search=${secret}`)).status).toBe(401)
    await vi.waitUntil(() => server.said().includes('/dashboard/api/errors'), { timeout: 10_000 })
    expect(server.said()).not.toContain(key)
    expect(server.said()).not.toContain(secret)
  })

  test('with neither does not start, and says what to set', async () => {
    const server = await aProcess({ KEY_PEPPER, SESSION_SECRET })
    expect(server.code()).toBe(1)
    for (const name of ['KEYS_DIR', 'ADMIN_KEY', 'ADMIN_PASSWORD', 'APPS']) {
      expect(server.said()).toContain(name)
    }
  })
})

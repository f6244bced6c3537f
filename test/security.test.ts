// One test for each row of what went wrong elsewhere that applies here; docs/security.md lists them all.
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { brotliCompressSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { makeKey } from '../src/keys/token.ts'
import { anEvent, errorsOf, type Answer, type Site } from './flows/support.ts'
import { aGuardedSite } from './sessions/support.ts'

const KEYS = {
  all: 'ei_security_all_of_shop_1',
  ingest: 'ei_security_ingest_of_shop_1',
  other: 'ei_security_all_of_blog_1',
}
const scopes = ['ingest', 'read', 'sourcemaps']
const APPS = JSON.stringify([
  {
    id: 'shop',
    name: 'Shop',
    keys: [
      { key: KEYS.all, scopes },
      { key: KEYS.ingest, scopes: ['ingest'] },
    ],
  },
  { id: 'blog', name: 'Blog', keys: [{ key: KEYS.other, scopes }] },
])

const ADMIN_KEY = makeKey('admin')
const KEY_PEPPER = 'b1946ac92492d2347c6235b4d2611184aa0f'

let site: Site
beforeAll(async () => {
  site = await aGuardedSite({ APPS, ADMIN_KEY, KEY_PEPPER })
})
afterAll(() => site.close())

type Init = Omit<RequestInit, 'headers'> & { readonly headers?: Record<string, string> }
const as = (key: string, path: string, init: Init = {}): Promise<Answer> =>
  site.call(path, { ...init, headers: { 'X-API-Key': key, ...init.headers } })
const send = (key: string, event: object, headers: Record<string, string> = {}) =>
  as(key, '/api/v1/ingest', {
    method: 'POST',
    body: JSON.stringify({ events: [anEvent({ appId: 'shop', ...event })] }),
    headers: { 'Content-Type': 'application/json', ...headers },
  })
const listed = async () => errorsOf(await as(KEYS.all, '/dashboard/api/errors?appId=shop'))

describe('API1 broken object level authorization', () => {
  test('GHSA-g5vc-q7qc-v939, GHSA-vx2f-6m6h-9frf: an event is found by the key of its own app only', async () => {
    const { id } = anEvent()
    expect((await send(KEYS.all, { id })).status).toBe(200)
    expect((await as(KEYS.all, `/dashboard/api/errors/${id}?appId=shop`)).status).toBe(200)
    expect((await as(KEYS.other, `/dashboard/api/errors/${id}?appId=shop`)).status).toBe(403)
    expect((await as(KEYS.other, `/dashboard/api/errors/${id}?appId=blog`)).status).toBe(404)
  })

  test('GHSA-5389-f7vh-wxj8: source maps of one app are neither listed nor deleted by another', async () => {
    const map = { appVersion: '1', fileName: 'a.js.map', sourceMap: '{"version":3}' }
    const upload = { method: 'POST', body: JSON.stringify(map) }
    expect((await as(KEYS.all, '/api/v1/sourcemaps/upload', upload)).status).toBe(200)
    expect((await as(KEYS.other, '/api/v1/sourcemaps/list')).text).not.toContain('a.js.map')
    await as(KEYS.other, '/api/v1/sourcemaps/1', { method: 'DELETE' })
    expect((await as(KEYS.all, '/api/v1/sourcemaps/list')).text).toContain('a.js.map')
  })
})

test('API2 tokens in plain text: the ClickHouse tables and the spool hold no key that reads', async () => {
  await send(KEYS.all, {})
  const tables = await site.clickhouse.query(
    "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree%'",
    {},
  )
  for (const { name } of z.array(z.object({ name: z.string() })).parse(tables)) {
    const rows = await site.clickhouse.query(`SELECT * FROM \`${name}\` LIMIT 1000`, {})
    expect(JSON.stringify(rows)).not.toContain(KEYS.all)
  }
})

test('API5 function level: an ingest key, public in browsers, reads and changes nothing', async () => {
  for (const path of ['errors?appId=shop', 'trends?appId=shop', 'codes?appId=shop', 'apps']) {
    expect([path, (await as(KEYS.ingest, `/dashboard/api/${path}`)).status]).toEqual([path, 403])
  }
  expect((await as(KEYS.ingest, '/api/v1/sourcemaps/list')).status).toBe(403)
  expect((await as(KEYS.ingest, '/', { headers: { Accept: 'text/html' } })).status).toBe(403)
})

test('API3 object properties: what nobody may set of an app or a key is refused, not taken over', async () => {
  const change = (path: string, body: object, method = 'POST') =>
    as(ADMIN_KEY, `/api/v1/admin/${path}`, {
      method,
      body: JSON.stringify(body),
      headers: { 'Content-Type': 'application/json' },
    })
  const app = { id: 'mine', name: 'Mine' }
  for (const more of [
    { projectId: 1 },
    { createdAt: '2020-01-01T00:00:00Z' },
    { source: 'store' },
  ]) {
    expect((await change('apps', { ...app, ...more })).status).toBe(400)
  }
  expect((await change('apps', app)).status).toBe(201)
  for (const more of [{ digest: 'aa' }, { prefix: 'ei_' }, { key: 'ei_ingest_of_my_own_choice' }]) {
    expect((await change('keys', { appId: 'mine', ...more })).status).toBe(400)
  }
  expect((await change('apps/mine', { id: 'shop' }, 'PATCH')).status).toBe(400)
})

describe('API4 resources', () => {
  test('Bugsink 2.0.5 and 2.0.6: a brotli bomb is refused while it is read', async () => {
    const body = brotliCompressSync(Buffer.alloc(64 * 1024 * 1024))
    expect(body.byteLength).toBeLessThan(1_000)
    const headers = { 'Content-Encoding': 'br', 'Content-Type': 'application/json' }
    const answer = await as(KEYS.ingest, '/api/v1/ingest', { method: 'POST', body, headers })
    expect(answer.status).toBe(413)
  })

  test('GHSA-5x67-j5xg-c5gj: of ten thousand tags at most 100 are kept', async () => {
    const { id } = anEvent()
    const tags = Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`t${i}`, 'x']))
    expect((await send(KEYS.ingest, { id, tags })).status).toBe(200)
    const [event] = (await listed()).filter((one) => one['id'] === id)
    expect(
      Object.keys(z.record(z.string(), z.unknown()).parse(event?.['tags'])).length,
    ).toBeLessThanOrEqual(100)
  })
})

test('JSON: __proto__ is data, and nesting without end is refused in words', async () => {
  const body = `{"events":[${JSON.stringify(anEvent({ appId: 'shop' })).slice(0, -1)},"metadata":{"__proto__":{"polluted":1}}}]}`
  expect((await as(KEYS.ingest, '/api/v1/ingest', { method: 'POST', body })).status).toBe(200)
  expect(Reflect.get({}, 'polluted')).toBeUndefined()
  const deep = '['.repeat(100_000)
  expect((await as(KEYS.ingest, '/api/v1/ingest', { method: 'POST', body: deep })).status).toBe(400)
})

test('stored XSS (Bugsink 2.0.13): a crafted stack is text on the page, whose policy runs nothing inline', async () => {
  const { id } = anEvent()
  const stackTrace = 'Error: x\n    at <img src=x onerror=alert(1)> (javascript:alert(1):1:1)'
  await send(KEYS.ingest, { id, stackTrace, message: '<script>alert(1)</script>' })
  const page = await as(KEYS.all, `/errors/${id}?appId=shop`, { headers: { Accept: 'text/html' } })
  expect(page.status).toBe(200)
  expect(page.text).not.toMatch(/<img src=x|<script>alert|href="javascript:/)
  expect(page.headers.get('content-security-policy')).toMatch(/^default-src 'none'/)
  expect(page.headers.get('content-security-policy')).not.toContain('unsafe')
})

test('files (Bugsink 2.1.1, zip slip): the name of an upload is data, and no path on a disk', async () => {
  const fileName = '../../../../tmp/ei-security-escaped.map'
  const upload = {
    method: 'POST',
    body: JSON.stringify({ appVersion: '2', fileName, sourceMap: '{"version":3}' }),
  }
  const { status } = await as(KEYS.all, '/api/v1/sourcemaps/upload', upload)
  expect([200, 400]).toContain(status)
  expect(await readdir('/tmp')).not.toContain('ei-security-escaped.map')
})

test('ClickHouse injection: quotes, comments and placeholders in a parameter are text', async () => {
  for (const code of [
    "' OR 1=1 --",
    "'; DROP TABLE occurrences; --",
    '{database: Identifier}',
    "\\' OR 1",
  ]) {
    const query = new URLSearchParams({ appId: 'shop', code })
    const answer = await as(KEYS.all, `/dashboard/api/errors?${query.toString()}`)
    expect([answer.status, errorsOf(answer)]).toEqual([200, []])
  }
  expect((await listed()).length).toBeGreaterThan(0)
})

test('log injection: an id that a client chooses is taken only where it is harmless', async () => {
  const { headers } = await site.call('/health/live', {
    headers: { 'X-Request-Id': 'a"}{"level":"error' },
  })
  expect(headers.get('x-request-id')).toMatch(/^[\w.:@/+=-]+$/)
})

test('PII: a secret in an event is neither on the disk nor in ClickHouse', async () => {
  const secret = 'hunter2-of-the-security-test'
  await send(KEYS.ingest, {
    message: `login failed, password=${secret}`,
    metadata: { password: secret },
  })
  const rows = await site.clickhouse.query('SELECT * FROM occurrences', {})
  expect(rows.length).toBeGreaterThan(0)
  expect(JSON.stringify(rows)).not.toContain(secret)
})

test('API8 defaults: the public key of development opens nothing here', async () => {
  expect((await as('ei_test_key_12345', '/dashboard/api/apps')).status).toBe(401)
  expect((await send('ei_test_key_12345', {})).status).toBe(401)
})

test('CORS: any site may send events, without credentials; no site may read the answers of the dashboard', async () => {
  const origin = { Origin: 'https://shop.example' }
  const sent = await send(KEYS.ingest, {}, origin)
  expect(sent.headers.get('access-control-allow-origin')).toBe('*')
  expect(sent.headers.get('access-control-allow-credentials')).toBeNull()
  expect(sent.headers.getSetCookie()).toEqual([])
  const read = await as(KEYS.all, '/dashboard/api/apps', { headers: origin })
  expect(read.headers.get('access-control-allow-origin')).toBeNull()
})

test('SSRF: nothing of an event is ever fetched: only sign-in asks an address, which the operator sets', async () => {
  const names = (await readdir('src', { recursive: true })).filter((name) => /\.tsx?$/.test(name))
  const asking: string[] = []
  for (const name of names) {
    const code = (await readFile(join('src', name), 'utf8')).replaceAll(
      /^\s*(?:\/\/|\*|\/\*).*$/gm,
      '',
    )
    if (/(?<![.\w])fetch\(\s*[`'"\w$]/.test(code) && !/fetch\(request/.test(code)) asking.push(name)
  }
  // The embedded engine and the look for a ClickHouse at the default address, on loopback.
  expect(asking.filter((name) => !name.startsWith('node/')).sort()).toEqual([])
})

/** The risks that are followed, one row each: what went wrong elsewhere, and the lists of OWASP and CoSAI. */
const RISKS = [
  'API1 object level authorization',
  'API2 keys',
  'API3, API5 properties and functions',
  'API4 resources',
  'JSON',
  'Regular expressions',
  'API7 server-side requests (SSRF)',
  'Stored XSS',
  'Files',
  'ClickHouse injection',
  'Logs',
  'Personal data',
  'MCP and agents',
  'API8, API9 settings and inventory',
  'CSRF and CORS',
]

test('docs/security.md has each risk, with tests that exist, or says why there is none', async () => {
  const page = await readFile('docs/security.md', 'utf8')
  const part = page.slice(page.indexOf('## What went wrong elsewhere'))
  const rows = part.split('\n### ').slice(1)
  expect(rows.map((row) => row.split('\n', 1)[0])).toEqual(RISKS)
  const named: string[] = []
  for (const row of rows) {
    const tests = [...row.matchAll(/^- `(test\/[\w/.-]+)`: (.+)$/gm)]
    if (tests.length === 0) expect(row).toContain('Does not apply: ')
    for (const [, file = '', written = ''] of tests) {
      // Markdown would take underscores for emphasis.
      const name = written.replaceAll('\\_', '_')
      const text = await readFile(file, 'utf8')
      expect([file, name, text.includes(name)]).toEqual([file, name, true])
      if (file === 'test/security.test.ts') named.push(name)
    }
  }
  const own = await readFile('test/security.test.ts', 'utf8')
  const tests = [...own.matchAll(/^ *test\('([^']+)'/gm)].map(([, name]) => name)
  expect(tests.filter((name) => !named.includes(name ?? '') && name !== SELF)).toEqual([])
})
const SELF = 'docs/security.md has each risk, with tests that exist, or says why there is none'

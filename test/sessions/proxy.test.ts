import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Site } from '../flows/support.ts'
import { KEYS, aGuardedSite, form } from './support.ts'

const RULES = JSON.stringify([
  { domain: 'example.com', role: 'viewer', apps: ['shop'] },
  { group: 'ops', role: 'admin' },
])
const BOB = { 'X-Forwarded-User': 'bob', 'X-Forwarded-Email': 'Bob@Example.com' }
const OPS = { 'X-Forwarded-User': 'ada', 'X-Forwarded-Groups': 'others, ops' }

let trusted: Site
let elsewhere: Site
let off: Site
beforeAll(async () => {
  const env = { SIGN_IN_PROXY: 'true', SIGN_IN_RULES: RULES }
  ;[trusted, elsewhere, off] = await Promise.all([
    aGuardedSite({ ...env, TRUSTED_PROXIES: '127.0.0.0/8' }),
    aGuardedSite({ ...env, TRUSTED_PROXIES: '10.0.0.0/8' }),
    aGuardedSite({ TRUSTED_PROXIES: '127.0.0.0/8' }),
  ])
})
afterAll(() => Promise.all([trusted.close(), elsewhere.close(), off.close()]))

const read = async (site: Site, headers: Record<string, string>, appId = 'shop') =>
  (await site.call(`/dashboard/api/errors?appId=${appId}`, { headers })).status

test('a trusted proxy names who asks, and the rules say what they may see', async () => {
  expect([await read(trusted, BOB), await read(trusted, BOB, 'blog')]).toEqual([200, 403])
  expect([await read(trusted, OPS), await read(trusted, OPS, 'blog')]).toEqual([200, 200])
  const page = await trusted.call('/', { headers: { ...BOB, Accept: 'text/html' } })
  expect(page.text).toContain('Signed in as bob@example.com')
  // It is the proxy that keeps the session, and ends it.
  expect(page.text).not.toContain('Sign out')
  expect(page.headers.getSetCookie()).toEqual([])
})

test('whom no rule is about sees nothing, and whom the proxy does not name is nobody', async () => {
  expect(await read(trusted, { 'X-Forwarded-User': 'eve' })).toBe(403)
  expect(await read(trusted, { ...BOB, 'X-Forwarded-Email': 'bob@example.com.evil.test' })).toBe(
    403,
  )
  expect(await read(trusted, { 'X-Forwarded-User': '' })).toBe(401)
  expect(await read(trusted, {})).toBe(401)
})

test('the same headers from any other address are nothing, and so they are where the mode is off', async () => {
  expect([await read(elsewhere, OPS), await read(off, OPS)]).toEqual([401, 401])
})

test('a key is a key behind the proxy too, whoever comes with it', async () => {
  expect(await read(trusted, { ...OPS, 'X-API-Key': KEYS.blog })).toBe(403)
  expect(await read(trusted, { ...OPS, 'X-API-Key': 'ei_wrong' })).toBe(401)
})

test('a page of another site cannot use that the proxy lets a reader in', async () => {
  const evil = { ...OPS, Origin: 'https://evil.example', 'Sec-Fetch-Site': 'cross-site' }
  expect((await trusted.call('/sign-out', form(trusted, {}, evil))).status).toBe(403)
})

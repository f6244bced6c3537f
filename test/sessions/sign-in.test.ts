import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import type { Site } from '../flows/support.ts'
import { BY_PASSWORD, KEYS, PASSWORD, aGuardedSite, cookiesOf, form } from './support.ts'

const HTML = { Accept: 'text/html' }
const READ = '/dashboard/api/errors?appId=shop'

describe('in production, with a password', () => {
  let site: Site
  let cookie: string
  const page = (path: string, headers: Record<string, string> = {}) =>
    site.call(path, { redirect: 'manual', headers: { ...HTML, ...headers } })
  const signIn = (password = PASSWORD, headers: Record<string, string> = {}) =>
    site.call('/sign-in', form(site, { password, to: '/?appId=blog' }, headers))

  beforeAll(async () => {
    site = await aGuardedSite(BY_PASSWORD)
    cookie = cookiesOf(await signIn())
  })
  afterAll(() => site.close())

  test('a page without a session leads to sign-in and remembers where one was going', async () => {
    for (const path of ['/?appId=shop&q=a%26b', '/errors/550e8400-e29b-41d4-a716-446655440000']) {
      const answer = await page(path)
      expect(answer.status).toBe(303)
      const to = new URL(answer.headers.get('location') ?? '', site.url)
      expect([to.pathname, to.searchParams.get('to')]).toEqual(['/sign-in', path])
    }
  })

  test('the JSON API without a session is 401, and a key with the scope read opens it', async () => {
    expect((await site.call(READ)).status).toBe(401)
    expect((await site.call(READ, { headers: { 'X-API-Key': KEYS.shop } })).status).toBe(200)
    expect((await site.call(READ, { headers: { 'X-API-Key': KEYS.blog } })).status).toBe(403)
  })

  test('the right password opens pages and API for all apps, and the page says who one is', async () => {
    const answer = await signIn()
    expect([answer.status, answer.headers.get('location')]).toEqual([303, '/?appId=blog'])
    expect((await page('/?appId=shop', { cookie })).text).toContain('Signed in as Administrator')
    const apps = await site.call('/dashboard/api/apps', { headers: { cookie } })
    expect(apps.body).toMatchObject({ apps: [{ id: 'shop' }, { id: 'blog' }] })
    expect((await site.call(READ, { headers: { cookie } })).status).toBe(200)
    expect((await page('/sign-in?to=/docs', { cookie })).headers.get('location')).toBe('/docs')
  })

  test('the cookie is out of reach of scripts and other sites, sealed, and tells nothing', async () => {
    const [header = ''] = (await signIn()).headers.getSetCookie()
    expect(header).toMatch(/^ei_session=[\w.-]+; Path=\/; HttpOnly; SameSite=Lax$/)
    expect(Buffer.from(header, 'base64url').toString('latin1')).not.toContain('admin')
  })

  test.each([
    [
      'changed in one character',
      (text: string) => text.slice(0, -2) + (text.endsWith('AA') ? 'BB' : 'AA'),
    ],
    ['of another server', () => 'ei_session=eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..a.b.c'],
    [
      'without encryption',
      () => `ei_session=${Buffer.from('{"alg":"none"}').toString('base64url')}.e30.`,
    ],
    ['that is garbage', () => 'ei_session=%00%ff'],
    ['that is very long', () => `ei_session=${'a'.repeat(9_000)}`],
    ['that is empty', () => 'ei_session='],
  ])('a session %s is none', async (_, change) => {
    expect((await site.call(READ, { headers: { cookie: change(cookie) } })).status).toBe(401)
  })

  test('a wrong password is told on the page, sets no cookie, and is not written into it', async () => {
    const answer = await signIn('not the password')
    expect([answer.status, answer.headers.getSetCookie()]).toEqual([401, []])
    expect(answer.text).toContain('This is not the password.')
    expect(answer.text).not.toContain('not the password"')
    expect(answer.headers.get('x-error-code')).toBe('unauthenticated')
  })

  test('a form of another site signs nobody in or out, and neither does a client that says nothing', async () => {
    for (const headers of [
      { Origin: 'https://evil.example', 'Sec-Fetch-Site': 'cross-site' },
      { Origin: site.url, 'Sec-Fetch-Site': 'same-site' },
      { Origin: 'null', 'Sec-Fetch-Site': 'none' },
    ]) {
      expect((await signIn(PASSWORD, headers)).status).toBe(403)
      const out = await site.call('/sign-out', form(site, {}, { ...headers, cookie }))
      expect([out.status, out.headers.getSetCookie()]).toEqual([403, []])
    }
    const body = new URLSearchParams({ password: PASSWORD })
    expect((await site.call('/sign-in', { method: 'POST', body })).status).toBe(403)
    // A browser that is too old for Sec-Fetch-Site says Origin all the same.
    const old = { method: 'POST', body, headers: { Origin: site.url }, redirect: 'manual' } as const
    expect((await site.call('/sign-in', old)).status).toBe(303)
    expect((await site.call(READ, { headers: { cookie } })).status).toBe(200)
  })

  test.each([
    '//evil.example',
    'https://evil.example',
    '/\\evil.example',
    '/%09/evil.example',
    'javascript:alert(1)',
    '',
  ])('after signing in one goes on to a path here, and not to %s', async (to) => {
    const answer = await site.call('/sign-in', form(site, { password: PASSWORD, to }))
    const url = new URL(answer.headers.get('location') ?? 'none:', site.url)
    expect(url.origin).toBe(site.url)
  })

  test('signing out ends the session itself: a copy of its cookie is worth nothing', async () => {
    const mine = cookiesOf(await signIn())
    const out = await site.call('/sign-out', form(site, {}, { cookie: mine }))
    expect([out.status, out.headers.get('location')]).toEqual([303, '/sign-in'])
    expect(out.headers.getSetCookie().join()).toMatch(/^ei_session=; .*Max-Age=0/)
    expect((await site.call(READ, { headers: { cookie: mine } })).status).toBe(401)
    // The others of the same person go on.
    expect((await site.call(READ, { headers: { cookie } })).status).toBe(200)
  })

  test('ingest neither takes a session nor sets a cookie', async () => {
    const event = { method: 'POST', body: '{"events":[]}', headers: { cookie } }
    const answer = await site.call('/api/v1/ingest', event)
    expect([answer.status, answer.headers.getSetCookie()]).toEqual([401, []])
  })

  test('every page is sent with a policy that lets nothing inline and nobody frame it', async () => {
    for (const path of ['/sign-in', '/docs']) {
      const { headers } = await page(path)
      expect(headers.get('content-security-policy')).toMatch(
        /default-src 'none'.*frame-ancestors 'none'/,
      )
      expect(headers.get('content-security-policy')).not.toContain('unsafe')
      expect(headers.get('cache-control')).toBe('no-store')
    }
    expect(await site.undocumented()).toEqual([])
  })

  test('on another process too, within ten seconds; signing out everywhere ends all of a person', async () => {
    const other = await aGuardedSite({ ...BY_PASSWORD, CLICKHOUSE_DATABASE: site.database })
    // It takes the database along, so nothing comes after this.
    onTestFinished(() => other.close())
    const [one, two] = [cookiesOf(await signIn()), cookiesOf(await signIn())]
    const there = async (text: string) =>
      (await other.call(READ, { headers: { cookie: text } })).status
    expect([await there(one), await there(two)]).toEqual([200, 200])
    const startedMs = performance.now()
    await site.call('/sign-out', form(site, {}, { cookie: one }))
    await vi.waitUntil(async () => (await there(one)) === 401, { timeout: 20_000, interval: 200 })
    expect(performance.now() - startedMs).toBeLessThan(10_000)
    expect(await there(two)).toBe(200)
    await site.call('/sign-out', form(site, { everywhere: '1' }, { cookie: two }))
    expect((await site.call(READ, { headers: { cookie } })).status).toBe(401)
    await vi.waitUntil(async () => (await there(two)) === 401, { timeout: 20_000, interval: 200 })
    cookie = cookiesOf(await signIn())
    expect((await site.call(READ, { headers: { cookie } })).status).toBe(200)
  })
})

test('over TLS the cookie is one that is never sent without it', async () => {
  const site = await aGuardedSite({ ...BY_PASSWORD, PUBLIC_URL: 'https://errors.example.com' })
  const headers = { Origin: 'https://errors.example.com' }
  const answer = await site.call('/sign-in', form(site, { password: PASSWORD }, headers))
  const [cookie = ''] = answer.headers.getSetCookie()
  expect(cookie).toMatch(/^__Host-ei_session=[\w.-]+; Path=\/; HttpOnly; SameSite=Lax; Secure$/)
  await site.close()
})

test('the secret can be changed without signing anybody out, and a forgotten one ends all sessions', async () => {
  const first = await aGuardedSite(BY_PASSWORD)
  const cookie = cookiesOf(await first.call('/sign-in', form(first, { password: PASSWORD })))
  const next = 'fedcba9876543210fedcba9876543210'
  const rotated = await aGuardedSite({
    ...BY_PASSWORD,
    SESSION_SECRET: `${next},${BY_PASSWORD.SESSION_SECRET}`,
  })
  const forgotten = await aGuardedSite({ ...BY_PASSWORD, SESSION_SECRET: next })
  expect((await rotated.call(READ, { headers: { cookie } })).status).toBe(200)
  expect((await forgotten.call(READ, { headers: { cookie } })).status).toBe(401)
  await Promise.all([first.close(), rotated.close(), forgotten.close()])
})

test('in production without a way to sign in the server starts, keys read, and the pages say what to set', async () => {
  const site = await aGuardedSite()
  expect((await site.call(READ, { headers: { 'X-API-Key': KEYS.shop } })).status).toBe(200)
  const answer = await site.call('/', { headers: HTML })
  expect(answer.text).toContain('ADMIN_PASSWORD')
  expect((await site.call('/sign-in', form(site, { password: '' }))).status).toBe(404)
  expect((await site.call('/sign-in/provider')).status).toBe(404)
  await site.close()
})

test('ten wrong passwords of one address are enough: then also the right one waits', async () => {
  const site = await aGuardedSite(BY_PASSWORD)
  const signIn = (password: string) => site.call('/sign-in', form(site, { password }))
  const cookie = cookiesOf(await signIn(PASSWORD))
  for (let i = 0; i < 10; i += 1) expect((await signIn(`guess ${i}`)).status).toBe(401)
  const last = await signIn(PASSWORD)
  expect(last.status).toBe(429)
  expect(Number(last.headers.get('retry-after'))).toBeGreaterThan(1)
  expect((await site.call(READ, { headers: { cookie } })).status).toBe(200)
  await site.close()
})

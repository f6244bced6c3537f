import { createServer } from 'node:net'
import { once } from 'node:events'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Site } from '../flows/support.ts'
import { openBrowser, openTab } from '../pages/support/browser.ts'
import { CLIENT, startProvider, type TestProvider } from './provider.ts'
import { BY_PASSWORD, SECRET, aGuardedSite } from './support.ts'

const PEOPLE = {
  ada: { name: 'Ada', email: 'Ada@Example.com', email_verified: true, groups: ['ops', 'others'] },
  bob: { name: 'Bob', email: 'bob@example.com', email_verified: true },
  eve: { name: 'Eve', email: 'eve@example.com', email_verified: false },
  mal: { name: 'Mal', email: 'mal@example.com.evil.test', email_verified: true },
}
const RULES = [
  { domain: 'example.com', role: 'viewer', apps: ['shop'] },
  { group: 'ops', role: 'admin', apps: ['*'] },
]

let browser: Browser
let provider: TestProvider
let site: Site

beforeAll(async () => {
  const port = await freePort()
  const origin = `http://localhost:${port}`
  provider = await startProvider(() => origin, PEOPLE)
  ;[browser, site] = await Promise.all([
    openBrowser(),
    aGuardedSite({
      PORT: String(port),
      PUBLIC_URL: origin,
      OIDC_ISSUER: provider.issuer,
      OIDC_CLIENT_ID: CLIENT.id,
      OIDC_CLIENT_SECRET: CLIENT.secret,
      OIDC_SCOPES: 'openid email profile groups',
      SIGN_IN_RULES: JSON.stringify(RULES),
      SESSION_SECRET: SECRET,
      ADMIN_PASSWORD: BY_PASSWORD.ADMIN_PASSWORD,
    }),
  ])
}, 60_000)
afterAll(async () => {
  await browser.close()
  await site.close()
  await provider.close()
})

const origin = () => site.url.replace('127.0.0.1', 'localhost')

/** From our page to the provider, through its two forms, and back. */
async function signInAs(page: Page, login: string, path = '/'): Promise<void> {
  await page.goto(path)
  await page.click('text=Continue with single sign-on')
  await page.fill('input[name=login]', login)
  await page.fill('input[name=password]', 'anything')
  await page.click('button[type=submit]')
  await page.click('button:has-text("Continue")')
  await page.waitForURL(`${origin()}/**`)
}

describe.each([true, false])(
  'with OpenID Connect in a browser (script: %s)',
  (javaScriptEnabled) => {
    test('one signs in, comes back to where one was going, sees who one is, and signs out', async () => {
      const { page, close } = await openTab(browser, origin(), { javaScriptEnabled })
      await signInAs(page, 'ada', '/?appId=blog&range=7d')
      expect(page.url()).toBe(`${origin()}/?appId=blog&range=7d`)
      expect(await page.textContent('.me summary')).toBe('Ada')
      await page.click('.me summary')
      expect(await page.textContent('.me p')).toContain('ada@example.com')
      expect(await page.textContent('.me p small')).toBe('admin')
      const [cookie] = (await page.context().cookies()).filter(({ name }) => name === 'ei_session')
      expect(cookie).toMatchObject({ httpOnly: true, sameSite: 'Lax' })
      expect(await page.evaluate('document.cookie').catch(() => '')).toBe('')

      await page.click('text="Sign out"')
      expect(page.url()).toBe(`${origin()}/sign-in`)
      await page.goto('/?appId=blog')
      expect(page.url()).toContain('/sign-in?to=')
      const again = { headers: { cookie: `ei_session=${cookie?.value ?? ''}` } }
      expect((await site.call('/dashboard/api/apps', again)).status).toBe(401)
      await close()
    })
  },
)

describe('of those whom the provider knows', () => {
  const tab = () => openTab(browser, origin())

  test('a proven address of the domain sees the apps of its rule, and no other', async () => {
    const { page, close } = await tab()
    await signInAs(page, 'bob')
    expect(await page.textContent('.app-name')).toBe('shop')
    expect(await page.textContent('.me p small')).toBe('viewer')
    expect((await page.goto('/?appId=blog'))?.status()).toBe(403)
    const api = await page.request.get('/dashboard/api/apps')
    expect(await api.json()).toMatchObject({ apps: [{ id: 'shop' }] })
    expect((await page.request.get('/dashboard/api/errors?appId=blog')).status()).toBe(403)
    await close()
  })

  test.each(['eve', 'mal'])(
    'one whose address is not proven or of another domain gets no session: %s',
    async (login) => {
      const { page, close } = await tab()
      await signInAs(page, login)
      expect(await page.textContent('[role=alert]')).toContain('nobody has let you in')
      expect((await page.context().cookies()).map(({ name }) => name)).not.toContain('ei_session')
      await close()
    },
  )
})

describe('what comes back from the provider', () => {
  test('without a beginning here, or with the state of another, is refused', async () => {
    const answer = await site.call('/sign-in/callback?code=x&state=y')
    expect(answer.status).toBe(401)
    expect(answer.headers.getSetCookie()).toEqual([])
    const begun = await site.call('/sign-in/provider?to=/', { redirect: 'manual' })
    const cookie = begun.headers.getSetCookie()[0]?.split(';')[0] ?? ''
    expect(cookie).toMatch(/^ei_sign_in=/)
    for (const query of ['code=x&state=y', 'state=y', 'error=access_denied&state=y', '']) {
      const back = await site.call(`/sign-in/callback?${query}`, { headers: { cookie } })
      expect([query, back.status]).toEqual([query, 401])
      expect(back.text).toContain('sign-in was not completed')
      expect(back.headers.getSetCookie()).toEqual([])
    }
  })

  test('and what we send there are PKCE, state and nonce, new each time, with nothing of the reader', async () => {
    const ask = async () => {
      const { headers } = await site.call('/sign-in/provider?to=/secret', { redirect: 'manual' })
      return new URL(headers.get('location') ?? '')
    }
    const [one, two] = [await ask(), await ask()]
    expect(one.origin).toBe(provider.issuer)
    expect(one.searchParams.get('code_challenge_method')).toBe('S256')
    for (const name of ['code_challenge', 'state', 'nonce']) {
      expect(one.searchParams.get(name)).toMatch(/^[\w-]{43}$/)
      expect(one.searchParams.get(name)).not.toBe(two.searchParams.get(name))
    }
    expect(one.href).not.toContain('secret')
  })
})

test('a provider that is away is told, and the password goes on', async () => {
  const away = await aGuardedSite({
    PUBLIC_URL: 'http://localhost:1',
    OIDC_ISSUER: 'http://localhost:1',
    OIDC_CLIENT_ID: 'x',
    SIGN_IN_RULES: JSON.stringify(RULES),
    ...BY_PASSWORD,
  })
  const answer = await away.call('/sign-in/provider')
  expect(answer.status).toBe(503)
  expect(answer.headers.get('retry-after')).toBe('5')
  expect(answer.text).toContain('name="password"')
  await away.close()
})

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const address = probe.address()
  const closed = once(probe, 'close')
  probe.close()
  await closed
  return typeof address === 'object' && address !== null ? address.port : 0
}

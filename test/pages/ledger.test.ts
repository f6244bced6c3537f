import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ledgerAnswer } from '../../src/dashboard/ledger.ts'
import { writeLedger } from '../../src/store/ledger.ts'
import { createStore } from '../../src/store/queries.ts'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { openBrowser, openTab } from './support/browser.ts'
import { anApp, listen, site } from './support/site.ts'

const NOW = Date.UTC(2026, 10, 23, 14, 20)
const HOUR = Math.floor(NOW / 3_600_000) * 3_600
const APPS = [anApp('shop', 'Shop'), anApp('blog', 'Blog')]
const HTML = { headers: { accept: 'text/html' } }

let browser: Browser
let database: TestDatabase
let url: string
let close: () => Promise<void>

beforeAll(async () => {
  ;[browser, database] = await Promise.all([openBrowser(), createDatabase()])
  const row = (
    [appId, outcome, reason, count]: readonly [string, string, string, number],
    hour = HOUR,
  ) => ({ appId, outcome, reason, count, hour, protocol: 'sentry', source: 'a:0' })
  await writeLedger(database, [
    row(['shop', 'stored', '', 1_200]),
    row(['shop', 'stored', '', 34], HOUR - 7_200),
    row(['shop', 'duplicate', '', 7]),
    row(['shop', 'refused', 'rate_limited', 300]),
    row(['shop', 'dropped', 'expired', 2]),
    row(['shop', 'undeliverable', '', 1]),
    row(['shop', 'unsent', 'error:<b>sample_rate</b>', 40]),
    row(['shop', 'stored', '', 5_000], HOUR - 3 * 86_400),
    row(['', 'refused', 'unauthenticated', 9]),
  ])
  const served = await listen(
    site({ store: createStore(database), apps: () => APPS, nowMs: () => NOW }),
  )
  ;({ url, close } = served)
})
afterAll(async () => {
  await browser.close()
  await close()
  await database.drop()
})

test.each([true, false])(
  'the page says how events ended, by reason, and what was never sent (script: %s)',
  async (javaScriptEnabled) => {
    const tab = await openTab(browser, url, { javaScriptEnabled })
    const { page } = tab
    await page.goto('/?appId=shop')
    await page.click('.pages >> text=Ledger')
    expect(await page.textContent('h1')).toMatch(/^1,544 events received in the last 24 hours/)
    const rows = async (of: string) =>
      (await page.locator(`${of} .tallies > li`).allInnerTexts()).map((text) =>
        text.replaceAll(/\s+/g, ' '),
      )
    expect(await rows('main .columns > section')).toEqual([
      expect.stringMatching(/^stored 1,234 79.9 %/),
      expect.stringMatching(/^duplicate 7 0.5 %/),
      expect.stringMatching(/^dropped 2 0.1 %/),
      expect.stringMatching(/^refused 300 19.4 %/),
      expect.stringMatching(/^undeliverable 1 < 0.1 %/),
    ])
    const aside = (await page.locator('aside .tally-name').allInnerTexts()).map((text) =>
      text.replaceAll(/\s+/g, ' '),
    )
    expect(aside).toEqual([
      'rate_limited refused · sentry',
      'expired dropped · sentry',
      '<b>sample_rate</b> error',
    ])
    expect(await page.locator('aside .tally-count').allInnerTexts()).toEqual(['300', '2', '40'])
    await page.click('text=By hour')
    expect(await page.locator('tbody tr').count()).toBe(2)
    await page.click('text=All apps')
    expect(await page.textContent('h1 strong')).toBe('1,553')
    expect(await page.textContent('aside')).toMatch(/unauthenticated/)
    await page.click('.ranges >> text=7 d')
    expect(await page.textContent('h1 strong')).toBe('6,553')
    await page.goto('/ledger?appId=blog')
    expect(await page.textContent('h1')).toMatch(/^0 events received/)
    expect(await page.textContent('aside')).toMatch(/Nothing was refused or dropped\./)
    expect(tab.complaints).toEqual([])
    await tab.close()
  },
)

test('a reader of one app is neither shown nor offered all of them', async () => {
  const [shop] = APPS
  const own = site({
    store: createStore(database),
    apps: () => APPS,
    nowMs: () => NOW,
    admitRead: () => Promise.resolve({ app: shop }),
  })
  const page = await own.request('/ledger?appId=shop', HTML)
  expect([page.status, (await page.text()).includes('All apps')]).toEqual([200, false])
  expect((await own.request('/ledger?scope=all', HTML)).status).toBe(403)
  expect((await own.request('/ledger?appId=blog', HTML)).status).toBe(404)
})

test('a range that cannot be understood is said, and the default stands in its place', async () => {
  const app = site({ store: createStore(database), apps: () => APPS, nowMs: () => NOW })
  const answer = await app.request('/ledger?appId=shop&startTime=yesterday', HTML)
  expect(answer.status).toBe(400)
  expect(await answer.text()).toMatch(/role="alert".*must be a time like/s)
})

test('what clients say they never sent is in no total', () => {
  const entry = { time: '2026-11-23T14:00:00.000Z', protocol: 'sentry' }
  const answer = ledgerAnswer([
    { ...entry, outcome: 'stored', reason: '', count: 3 },
    { ...entry, outcome: 'unsent', reason: 'error:sample_rate', count: 40 },
  ])
  expect(answer.totals.received).toBe(3)
  expect(answer.unsent).toEqual([{ ...entry, category: 'error', reason: 'sample_rate', count: 40 }])
})

import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { anOccurrence } from '../support/occurrence.ts'
import { openBrowser, openTab } from './support/browser.ts'
import { HOSTILE } from './support/events.ts'
import { anApp, listen, site } from './support/site.ts'
import { openStore, type Data } from './support/store.ts'

const NOW = Date.UTC(2026, 10, 23, 14, 20)
const ALL = HOSTILE.join(' ')
const APP = `app"><script>window.pwned=1</script>'`

/** One event for each text, with it in every field that takes text, and one with all of them. */
const events = [...HOSTILE, ALL].map((text, i) =>
  anOccurrence({
    appId: APP,
    timestampMs: NOW - i * 1_000,
    receivedAtMs: NOW,
    code: text,
    message: text,
    stackTrace: text,
    parsedStack: {
      raw: text,
      parser: 'unknown',
      frames: [true, false, true].map((inApp, at) => ({
        functionName: at === 2 ? null : text,
        fileName: at === 2 ? null : text,
        lineNumber: 1,
        columnNumber: null,
        inApp,
        raw: text,
        originalFileName: text,
        originalFunctionName: text,
        resolved: at === 0,
        contextLine: text,
      })),
    },
    appVersion: text,
    platformVersion: text,
    environment: text,
    userId: text,
    metadata: { [text]: text, nested: { [text]: [text, 1, null] } },
    tags: { [text]: text },
    fingerprint: [text],
    breadcrumbs: [
      text,
      { timestamp: text, category: text, level: text, message: text, data: text },
    ],
    traceId: text,
    spanId: text,
    marks: [`${text}:scrubbed`],
  }),
)

let browser: Browser
let data: Data
let url: string
let close: () => Promise<void>

beforeAll(async () => {
  ;[browser, data] = await Promise.all([openBrowser(), openStore()])
  await data.insert(events)
  const apps = [anApp(APP, ALL.slice(0, 400)), anApp('quiet')]
  const openapi = () => ({
    info: { title: ALL, version: ALL, description: ALL },
    paths: { [`/${ALL}`]: { get: { summary: ALL, description: ALL, responses: {} } } },
  })
  const pages = site({ store: data.store, apps: () => apps, nowMs: () => NOW, openapi })
  ;({ url, close } = await listen(pages))
})

afterAll(async () => {
  await browser.close()
  await close()
  await data.drop()
})

const appQuery = new URLSearchParams({ appId: APP }).toString()

test.each([
  { width: 1440, scheme: 'light' },
  { width: 390, scheme: 'dark' },
] as const)('no text of an event runs or breaks the pages at $width px', async (given) => {
  const tab = await openTab(browser, url, {
    viewport: { width: given.width, height: 844 },
    colorScheme: given.scheme,
  })
  const { page } = tab
  await page.goto(`/?${appQuery}`)
  await sound(page)
  const hrefs = await hrefsOf(page, '.row-link')
  expect(hrefs).toHaveLength(events.length)
  for (const href of hrefs) {
    await page.goto(href)
    await unfold(page)
    await sound(page)
  }
  expect(tab.complaints).toEqual([])
  await tab.close()
})

test('no filter value runs or breaks the page, and it stays what was typed', async () => {
  const tab = await openTab(browser, url, { viewport: { width: 390, height: 844 } })
  const fields = ['q', 'code', 'environment', 'appVersion', 'userId', 'issue', 'level', 'platform']
  for (const text of HOSTILE) {
    const query = new URLSearchParams({ appId: APP })
    // All fields together still have to fit the 16 KiB that Node takes as a request's head.
    for (const name of fields) query.set(name, name === 'q' ? text : text.slice(0, 100))
    await tab.page.goto(`/?${query.toString()}`)
    await unfold(tab.page)
    await sound(tab.page)
  }
  const typed = `"'><b>&amp;`
  await tab.page.goto(`/?${new URLSearchParams({ appId: APP, q: typed }).toString()}`)
  expect(await tab.page.inputValue('input[name=q]')).toBe(typed)
  expect(tab.complaints).toEqual([])
  await tab.close()
})

test('a hostile code still filters by exactly itself', async () => {
  const tab = await openTab(browser, url)
  await tab.page.goto(`/?${appQuery}`)
  const all = await hrefsOf(tab.page, '.codes a')
  for (const href of all) {
    await tab.page.goto(href)
    expect(await tab.page.textContent('h1 strong')).toBe('1')
  }
  expect(tab.complaints).toEqual([])
  await tab.close()
})

test('neither the documentation nor the pages of problems run what they repeat', async () => {
  const tab = await openTab(browser, url, { viewport: { width: 390, height: 844 } })
  await tab.page.goto('/docs')
  await sound(tab.page)
  expect(tab.complaints).toEqual([])
  for (const text of HOSTILE) {
    const query = new URLSearchParams({ appId: text, startTime: text, after: text, range: text })
    await tab.page.goto(`/?${query.toString()}`)
    await sound(tab.page)
    await tab.page.goto(
      `/errors/${encodeURIComponent(text.toWellFormed().slice(0, 200))}?${appQuery}`,
    )
    await sound(tab.page)
  }
  // The browser itself notes each 404; nothing else may stand there.
  expect(tab.complaints.filter((text) => !text.includes('status of 404'))).toEqual([])
  await tab.close()
})

test('text that turns its surroundings around is shown by its code point', async () => {
  const tab = await openTab(browser, url, { javaScriptEnabled: false })
  await tab.page.goto(`/?${new URLSearchParams({ appId: APP, q: 'zero-width' }).toString()}`)
  await tab.page.locator('.row-link').first().click()
  const shown = await tab.page.textContent('h1')
  expect(shown).toContain('U+202Egnp.exeU+202C')
  expect(shown).not.toMatch(/[\u202a-\u202e\u2066-\u2069]/)
  await tab.close()
})

/** Where the links go that a selector finds. */
async function hrefsOf(page: Page, selector: string): Promise<readonly string[]> {
  const links = await page.locator(selector).all()
  return Promise.all(links.map(async (link) => (await link.getAttribute('href')) ?? ''))
}

/** Opens everything that is folded, as a curious reader would. */
async function unfold(page: Page): Promise<void> {
  await page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
}

/** Nothing of an event has run, nothing foreign is in the page, and it does not scroll sideways. */
async function sound(page: Page): Promise<void> {
  const found = await page.evaluate(`({
    pwned: window.pwned,
    inline: document.querySelectorAll('script:not([src]), iframe, object, embed, [style]:not(.chart *), [onerror], [onload], [onfocus], [onmouseover]').length,
    foreign: [...document.querySelectorAll('[href], [src], [action]')].map((one) => one.href || one.src || one.action).filter((address) => !/^(http:.{2}127\\.0\\.0\\.1:|data:image.svg)/.test(address)),
    sideways: document.documentElement.scrollWidth - innerWidth,
  })`)
  expect(found, page.url().slice(0, 200)).toEqual({
    pwned: undefined,
    inline: 0,
    foreign: [],
    sideways: 0,
  })
}

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Refusal } from '../../src/refusal.ts'
import { NativeBatch } from '../../src/protocols/native/event.ts'
import { anOccurrence } from '../support/occurrence.ts'
import { openBrowser, openTab } from './support/browser.ts'
import { anApp, listen, site } from './support/site.ts'
import { openStore, type Data } from './support/store.ts'

const NOW = Date.UTC(2026, 10, 23, 14, 20)
const MINUTE = 60_000
const HTML = { headers: { accept: 'text/html' } }

let browser: Browser
let data: Data
let url: string
let close: () => Promise<void>

/** 120 events of `shop` in the last day, newest last in `ids`; three of `blog`; none of `test-app`. */
const shop = Array.from({ length: 120 }, (_, i) =>
  anOccurrence({
    appId: 'shop',
    code: i % 4 === 0 ? 'cart/empty' : 'network/request-failed',
    message: `Failure number ${i}`,
    level: i % 10 === 0 ? 'fatal' : 'error',
    userId: `user-${i % 7}`,
    environment: i % 3 === 0 ? 'staging' : 'production',
    timestampMs: NOW - (120 - i) * 10 * MINUTE,
    receivedAtMs: NOW,
  }),
)

beforeAll(async () => {
  ;[browser, data] = await Promise.all([openBrowser(), openStore()])
  await data.insert(shop)
  await data.insert(
    [1, 2, 3].map((i) =>
      anOccurrence({ appId: 'blog', code: 'blog/broken', timestampMs: NOW - i * MINUTE }),
    ),
  )
  const apps = [anApp('shop', 'Shop'), anApp('blog', 'Blog'), anApp('test-app', 'Test Application')]
  const served = await listen(site({ store: data.store, apps: () => apps, nowMs: () => NOW }))
  ;({ url, close } = served)
})

afterAll(async () => {
  await browser.close()
  await close()
  await data.drop()
})

describe('the list, with and without a script', () => {
  test.each([true, false])('filters, pages and opens an event (script: %s)', async (hasScript) => {
    const tab = await openTab(browser, url, { javaScriptEnabled: hasScript })
    const { page } = tab
    await page.goto('/?appId=shop')
    expect(await page.textContent('h1')).toMatch(/^120 events in the last 24 hours/)
    expect(await page.locator('.events > li').count()).toBe(50)
    expect(await page.textContent('.row-message')).toBe('Failure number 119')

    await page.click('text=Older →')
    expect(await page.textContent('.row-message')).toBe('Failure number 69')
    await page.click('text=Older →')
    expect(await page.locator('.events > li').count()).toBe(20)
    expect(await page.locator('text=Older →').count()).toBe(0)
    await page.click('text=← Newest')

    await page.fill('input[name=q]', 'number 4')
    await page.selectOption('select[name=level]', 'fatal')
    await page.click('button:has-text("Filter")')
    expect(await page.locator('.row-message').allTextContents()).toEqual(['Failure number 40'])
    expect(await page.textContent('h1')).toMatch(/^1 matching event/)

    await page.click('.row-link')
    expect(await page.textContent('h1')).toBe('cart/empty')
    expect(await page.textContent('.event-message')).toBe('Failure number 40')
    expect(tab.complaints).toEqual([])
    await tab.close()
  })

  test('every filter of the API narrows it, and its chip widens it again', async () => {
    const tab = await openTab(browser, url)
    const one = shop[33]!
    const filters = {
      code: one.code,
      userId: one.userId ?? '',
      platform: one.platform,
      appVersion: one.appVersion,
      environment: one.environment,
      level: one.level,
      q: 'number 33',
    }
    for (const [name, value] of Object.entries(filters)) {
      await tab.page.goto(`/?appId=shop&${new URLSearchParams({ [name]: value }).toString()}`)
      const count = Number.parseInt((await tab.page.textContent('h1 strong')) ?? '')
      const same = shop.filter((other) =>
        name === 'q'
          ? other.message.includes(value)
          : Object.entries(other).some(([field, held]) => field === name && held === value),
      )
      expect([name, count]).toEqual([name, same.length])
      await tab.page.click('.chips a')
      expect(await tab.page.textContent('h1 strong')).toBe('120')
    }
    await tab.page.goto('/?appId=shop&level=debug')
    expect(await tab.page.textContent('.nothing h3')).toBe('Nothing here')
    expect(tab.complaints).toEqual([])
    await tab.close()
  })

  test('a code counts its events, and a click filters by it', async () => {
    const tab = await openTab(browser, url)
    await tab.page.goto('/?appId=shop')
    expect(await tab.page.locator('.code-count').allTextContents()).toEqual(['90', '30'])
    await tab.page.click('.codes >> text=cart/empty')
    expect(await tab.page.textContent('h1 strong')).toBe('30')
    await tab.close()
  })

  test('a range can be typed, and one that cannot be read is said in words', async () => {
    const tab = await openTab(browser, url, { javaScriptEnabled: false })
    await tab.page.goto('/?appId=shop')
    await tab.page.click('.filters-more summary')
    await tab.page.fill('input[name=startTime]', '2026-11-23T13:20')
    await tab.page.fill('input[name=endTime]', '2026-11-23T14:00')
    await tab.page.click('button:has-text("Filter")')
    // Both ends belong to it: 13:20, 13:30, 13:40, 13:50 and 14:00.
    expect(await tab.page.textContent('h1 strong')).toBe('5')
    const answer = await tab.page.goto('/?appId=shop&startTime=tomorrow')
    expect(answer?.status()).toBe(400)
    expect(await tab.page.textContent('[role=alert]')).toContain('must be a time like')
    await tab.close()
  })

  test('the app switch shows the other app, and only its events', async () => {
    const tab = await openTab(browser, url, { javaScriptEnabled: false })
    await tab.page.goto('/?appId=shop&q=number')
    await tab.page.click('.app-switch summary')
    await tab.page.click('.app-switch >> text=Blog')
    expect(await tab.page.textContent('h1 strong')).toBe('3')
    expect(await tab.page.textContent('.app-switch summary')).toBe('Blog')
    await tab.close()
  })

  test('the keyboard alone skips to the content and opens an event', async () => {
    const tab = await openTab(browser, url)
    await tab.page.goto('/?appId=blog')
    await tab.page.keyboard.press('Tab')
    expect(await tab.page.evaluate('document.activeElement.className')).toBe('skip')
    for (let i = 0; i < 40; i += 1) {
      await tab.page.keyboard.press('Tab')
      if ((await tab.page.evaluate('document.activeElement.className')) === 'row-link') break
    }
    await Promise.all([tab.page.waitForURL('**/errors/**'), tab.page.keyboard.press('Enter')])
    expect(await tab.page.textContent('h1')).toBe('blog/broken')
    await tab.close()
  })
})

describe('the trend', () => {
  const INK = `(() => {
    const canvas = document.querySelector('.chart canvas')
    const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data
    let bars = 0
    for (let i = 0; i < pixels.length; i += 4) if (pixels[i] > 200 && pixels[i + 1] < 130 && pixels[i + 2] < 100) bars += 1
    return bars
  })()`

  test('is drawn, tells a bar’s numbers, and a selection becomes the range', async () => {
    const tab = await openTab(browser, url)
    const { page } = tab
    await page.goto('/?appId=shop')
    await page.waitForSelector('.chart.drawn canvas')
    expect(await page.evaluate(INK)).toBeGreaterThan(1_000)

    const over = await page.locator('.u-over').boundingBox()
    const { x = 0, y = 0, width = 0, height = 0 } = over ?? {}
    await page.mouse.move(x + width * 0.5, y + height / 2)
    expect(await page.textContent('.tip')).toMatch(
      /^\d+ events?, \d users?2026-11-2\d \d\d:00 UTC$/,
    )

    await page.mouse.move(x + width * 0.6, y + 20)
    await page.mouse.down()
    await page.mouse.move(x + width * 0.75, y + 20, { steps: 4 })
    await Promise.all([page.waitForURL(/startTime=/), page.mouse.up()])
    const shown = Number(await page.textContent('h1 strong'))
    expect(shown).toBeGreaterThan(0)
    expect(shown).toBeLessThan(120)
    expect(tab.complaints).toEqual([])
    await tab.close()
  })

  test('of no events has no bar', async () => {
    const tab = await openTab(browser, url)
    await tab.page.goto('/?appId=shop&level=debug')
    await tab.page.waitForSelector('.chart.drawn canvas')
    expect(await tab.page.evaluate(INK)).toBe(0)
    await tab.close()
  })

  test('without a script is a picture and a table that say the same', async () => {
    const tab = await openTab(browser, url, { javaScriptEnabled: false })
    await tab.page.goto('/?appId=shop')
    const label = await tab.page.getAttribute('.chart svg', 'aria-label')
    expect(label).toMatch(/^Events over time\. 120 events; most at /)
    expect(await tab.page.locator('.chart svg').isVisible()).toBe(true)
    const counts = await tab.page.locator('.trend-table td:nth-child(2)').allTextContents()
    expect(counts.reduce((sum, text) => sum + Number(text), 0)).toBe(120)
    await tab.close()
  })
})

test('the command of an empty app is one that sends a valid event of that app', async () => {
  const tab = await openTab(browser, url)
  await tab.page.goto('/?appId=test-app')
  expect(await tab.page.textContent('h1')).toBe('Waiting for the first event of Test Application')
  const command = (await tab.page.textContent('#curl')) ?? ''
  await tab.page.context().grantPermissions(['clipboard-read', 'clipboard-write'])
  await tab.page.click('button[data-copy=curl]')
  await tab.page.waitForSelector('button:has-text("Copied")')
  expect(await tab.page.evaluate('navigator.clipboard.readText()')).toBe(command)

  // A real shell takes the command apart; what curl would get is looked at.
  const { stdout } = await promisify(execFile)('sh', [
    '-c',
    `curl() { printf '%s\\0' "$@"; }\n${command}`,
  ])
  const words = stdout.split('\0')
  expect(words[0]).toBe(`${url}/api/v1/ingest`)
  expect(words).toContain('X-API-Key: ei_test_key_12345')
  expect(words).toContain('Content-Type: application/json')
  const body: unknown = JSON.parse(words[words.indexOf('-d') + 1] ?? '')
  const batch = NativeBatch.parse(body)
  expect(batch.events).toHaveLength(1)
  expect(body).toMatchObject({
    events: [{ appId: 'test-app', timestamp: new Date(NOW).toISOString() }],
  })
  await tab.page.reload()
  expect(await tab.page.textContent('#curl')).not.toBe(command)
  expect(tab.complaints).toEqual([])
  await tab.close()
})

describe('what cannot be shown', () => {
  const ask = async (path: string, given: Partial<Parameters<typeof site>[0]> = {}) => {
    const apps = [anApp('shop')]
    const app = site({ store: data.store, apps: () => apps, nowMs: () => NOW, ...given })
    const answer = await app.request(path, HTML)
    return { status: answer.status, text: await answer.text(), headers: answer.headers }
  }

  test('a store that is away is a page with 503 that invites to try again', async () => {
    const away = () => Promise.reject(new Error('connect ECONNREFUSED 10.1.2.3:8123'))
    const store = { events: away, event: away, trends: away, codes: away, ledger: away }
    for (const path of ['/?appId=shop', `/errors/${shop[0]!.id}?appId=shop`, '/ledger']) {
      const { status, text, headers } = await ask(path, { store })
      expect([status, headers.get('retry-after'), headers.get('x-error-code')]).toEqual([
        503,
        '5',
        'overloaded',
      ])
      expect(text).toContain('Try again')
      expect(text).not.toContain('10.1.2.3')
    }
  })

  test('an event, an app or a key that is unknown is a page that says so', async () => {
    const unknown = '/errors/550e8400-e29b-41d4-a716-446655440000?appId=shop'
    expect((await ask(unknown)).status).toBe(404)
    expect((await ask('/errors/x%00y?appId=shop')).status).toBe(404)
    expect((await ask('/?appId=nobody')).status).toBe(404)
    expect((await ask('/', { apps: () => [] })).status).toBe(404)
    const closed = {
      admitRead: () => {
        throw new Refusal('unauthenticated', 'This API key is not known.')
      },
    }
    const headers = { ...HTML.headers, 'X-API-Key': 'ei_unknown' }
    const refused = await site({ store: data.store, ...closed }).request('/?appId=shop', {
      headers,
    })
    expect([refused.status, refused.headers.get('x-error-code')]).toEqual([401, 'unauthenticated'])
    expect(await refused.text()).toContain('This API key is not known.')
    const person = await ask('/?appId=shop', closed)
    expect([person.status, person.headers.get('location')]).toEqual([
      303,
      '/sign-in?to=%2F%3FappId%3Dshop',
    ])
  })

  test('the event of another app stays unseen, and so does another app of a key', async () => {
    const { events } = await data.store.events(
      { appId: 'blog', range: { startMs: 0, endMs: NOW } },
      { offset: 0, limit: 1 },
    )
    expect((await ask(`/errors/${events[0]!.id}?appId=shop`)).status).toBe(404)
    const own = { admitRead: () => ({ app: anApp('blog') }) }
    expect((await ask('/?appId=shop', own)).status).toBe(404)
    expect((await ask('/?appId=blog', own)).status).toBe(200)
  })

  test('a bug is left to the one place that answers and counts bugs', async () => {
    const app = site({
      store: data.store,
      apps: () => {
        throw new TypeError('a bug')
      },
    })
    const seen: unknown[] = []
    app.onError((error, c) => {
      seen.push(error)
      return c.text('bug', 500)
    })
    expect((await app.request('/', HTML)).status).toBe(500)
    expect(seen).toEqual([new TypeError('a bug')])
  })
})

describe('headers', () => {
  test('pages are strict and never stored; assets are named by content and kept for good', async () => {
    const page = await fetch(`${url}/?appId=shop`, HTML)
    expect(page.headers.get('content-security-policy')).toBe(
      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    )
    expect(page.headers.get('x-content-type-options')).toBe('nosniff')
    expect(page.headers.get('referrer-policy')).toBe('same-origin')
    expect(page.headers.get('cache-control')).toBe('no-store')
    const html = await page.text()
    const assets = html.match(/\/assets\/[0-9a-f]{16}\.(css|js)/g) ?? []
    expect(assets).toHaveLength(2)
    for (const path of assets) {
      const asset = await fetch(`${url}${path}`)
      expect(asset.headers.get('cache-control')).toBe('public, max-age=31536000, immutable')
      expect(asset.headers.get('x-content-type-options')).toBe('nosniff')
      expect((await asset.text()).length).toBeGreaterThan(500)
    }
    expect((await fetch(`${url}/assets/0000000000000000.js`)).status).toBe(404)
  })

  test('who does not ask for HTML gets no page', async () => {
    for (const path of ['/', `/errors/${shop[0]!.id}?appId=shop`]) {
      const answer = await fetch(`${url}${path}`)
      expect([answer.status, answer.headers.get('content-type')]).toEqual([404, 'application/json'])
    }
  })

  test('the policy stops an inline script and a style attribute, and the tests would see it', async () => {
    const tab = await openTab(browser, url)
    await tab.page.goto('/?appId=blog')
    await tab.page.evaluate(`(() => {
      const script = document.createElement('script')
      script.textContent = 'window.pwned = 1'
      document.body.append(script)
    })()`)
    expect(await tab.page.evaluate('window.pwned')).toBeUndefined()
    expect(tab.complaints.join()).toContain('Content Security Policy')
    await tab.close()
  })
})

import { afterEach, describe, expect, test } from 'vitest'
import { aSite, type Site } from '../flows/support.ts'
import { goesQuiet, keptWithoutStore } from './hardship.ts'
import { CLIENTS, eventsOf, expectOtlp, expectSentry, send, SHOP, type Client } from './support.ts'

const undo: (() => unknown)[] = []
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
})

async function site(env: Readonly<Record<string, string>> = {}): Promise<Site> {
  const made = await aSite(env)
  undo.push(() => made.close())
  return made
}

const node = (...args: readonly string[]): Client => ({ command: process.execPath, args })
const NODE = { ...SHOP, platform: 'node', cause: 'SyntaxError', inApp: 'chargeCard' }

describe('a real client of today, with the DSN or the endpoint of a real server', () => {
  test('@sentry/node: exception with its cause, message, full event, log; flush is true', async () => {
    const here = await site()
    await send(here, node('sentry-node.mjs'))
    const events = await eventsOf(here, 4)
    expectSentry(events, NODE)
    expect(events.filter(({ code }) => code === 'log')).toMatchObject([
      { message: 'inventory is unreachable', level: 'error' },
    ])
  })

  test(
    '@sentry/browser in Chromium, on a page of another origin',
    { timeout: 60_000 },
    async () => {
      const here = await site()
      await send(here, node('sentry-browser.mjs', CLIENTS))
      const events = await eventsOf(here, 4)
      expectSentry(events, {
        platform: 'web',
        code: 'CheckoutError',
        message: 'the cart is empty',
        cause: 'TypeError',
        inApp: 'checkOut',
        note: 'slow connection',
        user: 'user-8',
        release: 'shop-web@4.5.6',
        region: 'us',
        fingerprint: ['checkout'],
      })
      expect(events.filter(({ code }) => code === 'feedback')).toHaveLength(1)
    },
  )

  test('@sentry/node through the tunnel, which has no key but the DSN in the envelope', async () => {
    const here = await site()
    await send(here, node('sentry-node-tunnel.mjs'))
    expect(await eventsOf(here, 1)).toMatchObject([{ message: 'through the tunnel' }])
  })

  test.each([
    ['json', 'none'],
    ['json', 'gzip'],
    ['protobuf', 'none'],
    ['protobuf', 'gzip'],
  ])('OpenTelemetry, logs and spans in %s, compression %s', async (encoding, compression) => {
    const here = await site()
    await send(here, node('otel-node.mjs', encoding, compression))
    // An exception of a span, an exception in a log record, and an error log record.
    const events = await eventsOf(here, 3)
    expect(events).toHaveLength(3)
    expectOtlp(events, { type: 'PaymentError', platform: 'node', inApp: 'chargeCard' })
  })
})

test('@sentry/node with ClickHouse away: told yes, and afterwards all is there, once', async () => {
  expectSentry(await keptWithoutStore(node('sentry-node.mjs'), 4), NODE)
})

test('@sentry/node over its limit: one no, and quiet about errors, not about the rest', () =>
  goesQuiet(node('sentry-limited.mjs')))

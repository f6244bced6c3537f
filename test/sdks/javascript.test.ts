import { once } from 'node:events'
import { createServer, connect, type Server, type Socket } from 'node:net'
import { afterEach, describe, expect, inject, test } from 'vitest'
import { aSite, type Site } from '../flows/support.ts'
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

describe('with ClickHouse away', () => {
  test(
    'a Sentry client is told yes, and afterwards all is there, once',
    { timeout: 60_000 },
    async () => {
      const wire = await cuttable(new URL(inject('clickhouseUrl')))
      undo.push(() => wire.close())
      const here = await site({ CLICKHOUSE_HOST: `http://127.0.0.1:${wire.port}` })
      wire.cut()
      await expect
        .poll(async () => (await here.call('/health')).body)
        .toMatchObject({
          services: { clickhouse: 'down' },
        })
      await send(here, node('sentry-node.mjs'))
      expect(await here.metric('error_ingestor_events_total', { outcome: 'refused' })).toBe(0)
      wire.mend()
      const events = await eventsOf(here, 4)
      expect(events).toHaveLength(4)
      expectSentry(events, NODE)
    },
  )
})

/** A way to ClickHouse that can be cut. */
async function cuttable(target: URL) {
  const sockets = new Set<Socket>()
  let isCut = false
  const server: Server = createServer((socket) => {
    if (isCut) {
      socket.destroy()
      return
    }
    const onward = connect(Number(target.port), target.hostname)
    for (const end of [socket, onward]) {
      sockets.add(end)
      end.on('error', () => undefined).on('close', () => sockets.delete(end))
    }
    socket.pipe(onward).pipe(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    cut: (): void => {
      isCut = true
      for (const socket of sockets) socket.destroy()
    },
    mend: (): void => {
      isCut = false
    },
    close: async (): Promise<void> => {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

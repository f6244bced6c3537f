import { describe, expect, test } from 'vitest'
import type { Occurrence } from '../../../src/occurrence.ts'
import { sentry } from '../../../src/protocols/sentry/index.ts'
import { RECEIVED_AT_MS, clients, recorded } from '../../fixtures/replay.ts'

interface Expected {
  readonly platform: string
  readonly code: string
  readonly message: string
  readonly cause: string
  /** A function of the app that must be named by an in-app frame and in the text. */
  readonly inApp: string
  readonly text: string
  readonly note: string
  readonly user: string
  readonly release: string
  readonly fingerprint: readonly string[]
}

const shop = {
  code: 'PaymentError',
  message: 'card was declined',
  note: 'disk almost full',
  user: 'user-7',
  release: 'shop@1.2.3',
  fingerprint: ['payment', '{{ default }}'],
} as const

const EXPECTED: Readonly<Record<string, Expected>> = {
  'sentry-node-11.12.0': {
    ...shop,
    platform: 'node',
    cause: 'SyntaxError',
    inApp: 'chargeCard',
    text: '    at chargeCard (/srv/app/node/sentry-node.mjs:19:11)',
  },
  'sentry-browser-11.12.0': {
    platform: 'web',
    code: 'CheckoutError',
    message: 'the cart is empty',
    cause: 'TypeError',
    inApp: 'checkOut',
    text: '/shop.js:7246:13)',
    note: 'slow connection',
    user: 'user-8',
    release: 'shop-web@4.5.6',
    fingerprint: ['checkout'],
  },
  'sentry-python-2.75.0': {
    ...shop,
    platform: 'python',
    cause: 'JSONDecodeError',
    inApp: 'charge_card',
    text: '  File "sentry_python.py", line 23, in charge_card\n    raise PaymentError(',
  },
  'sentry-go-0.50.0': {
    ...shop,
    platform: 'go',
    code: '*main.PaymentError',
    cause: '*json.SyntaxError',
    inApp: 'main.capture',
    text: '\tmain.capture()\n\t\t/srv/app/go/s/main.go:28',
  },
  'sentry-java-8.62.0': {
    ...shop,
    platform: 'java',
    code: 'SentryJava$PaymentException',
    cause: 'java.lang.NumberFormatException',
    inApp: 'SentryJava.chargeCard',
    text: '\tat SentryJava.chargeCard(SentryJava.java:18)',
  },
  'sentry-rust-0.49.5': {
    ...shop,
    platform: 'rust',
    cause: 'ParseIntError',
    inApp: 'rec::main',
    text: '    rec::main\n             at main.rs:',
  },
}

function occurrencesOf(client: string): readonly Occurrence[] {
  return recorded(client).flatMap((post) => {
    const decoded = sentry.decode(post)
    expect(decoded.refused).toEqual([])
    return decoded.occurrences
  })
}

test('every recorded Sentry client has its expectation', () => {
  expect(clients('sentry-')).toEqual(Object.keys(EXPECTED).sort())
})

describe.each(Object.entries(EXPECTED))('what %s sent', (client, expected) => {
  test('carries the key where we look for it', () => {
    for (const post of recorded(client)) {
      expect(sentry.credential(post.request)).toBe('ei_test_key_12345')
    }
  })

  test('is an exception with its causes and a stack that names the function of the app', () => {
    const errors = occurrencesOf(client).filter(({ code }) => code === expected.code)
    expect(errors).toHaveLength(2)
    for (const error of errors) {
      expect(error).toMatchObject({
        message: expected.message,
        platform: expected.platform,
        appVersion: expected.release,
        environment: 'staging',
        appId: 'test-app',
        protocol: 'sentry',
      })
      expect(error.platformVersion).not.toBe(expected.platform === 'web' ? null : '')
      expect(error.stackTrace.split('\n')[0]).toContain(`${expected.code}: ${expected.message}`)
      expect(error.stackTrace).toContain(expected.text)
      expect(error.stackTrace).toContain(`Caused by: ${expected.cause}: `)
      const first = error.parsedStack?.frames.find(({ inApp }) => inApp)
      expect(first?.functionName).toContain(expected.inApp)
      expect(error.traceId).toMatch(/^[0-9a-f]{32}$/)
      expect(error.timestampMs).toBeGreaterThan(RECEIVED_AT_MS - 60_000)
      expect(error.timestampMs).toBeLessThan(RECEIVED_AT_MS)
      expect(error.marks).toEqual([])
    }
  })

  test('is a message whose code says so', () => {
    const [note, ...others] = occurrencesOf(client).filter(
      ({ message }) => message === expected.note,
    )
    expect(others).toEqual([])
    expect(note).toMatchObject({ code: 'message', platform: expected.platform })
    expect(note?.level).toBe(expected.platform === 'go' ? 'info' : 'warning')
  })

  test('is an exception with user, tags, breadcrumbs, extra and fingerprint', () => {
    const errors = occurrencesOf(client).filter(({ userId }) => userId !== null)
    expect(errors).toHaveLength(1)
    const [error] = errors
    expect(error).toMatchObject({
      userId: expected.user,
      tags: { region: expected.platform === 'web' ? 'us' : 'eu' },
      fingerprint: expected.fingerprint,
    })
    expect(error?.breadcrumbs.length).toBeGreaterThan(0)
    expect(JSON.stringify(error?.metadata)).toContain('"cart"')
    expect(JSON.stringify(error?.metadata['user'])).toMatch(/"email":"(jo|kim)@example.com"/)
  })

  test('is answered with the id of its event', async () => {
    for (const post of recorded(client)) {
      const decoded = sentry.decode(post)
      const answer = sentry.accepted(decoded, post.request)
      expect(answer.status).toBe(200)
      const text = answer instanceof Response ? await answer.text() : answer.body
      const isEvent = decoded.occurrences.some(({ code }) => code !== 'log')
      expect(text).toMatch(isEvent ? /^\{"id":"[0-9a-f]{32}"\}$/ : /^\{\}$/)
      if (isEvent) expect(text).toContain(decoded.occurrences[0]?.id.replaceAll('-', ''))
    }
  })
})

test('log items are kept from level error on and counted below', () => {
  for (const client of ['sentry-node-11.12.0', 'sentry-python-2.75.0']) {
    const decoded = recorded(client).map((post) => sentry.decode(post))
    const logs = decoded
      .flatMap(({ occurrences }) => occurrences)
      .filter(({ code }) => code === 'log')
    expect(logs).toMatchObject([
      {
        message: 'inventory is unreachable',
        level: 'error',
        appVersion: 'shop@1.2.3',
        environment: 'staging',
      },
    ])
    expect(logs[0]?.metadata['attributes']).toMatchObject({ attempts: 3 })
    expect(decoded.flatMap(({ discarded }) => discarded ?? [])).toContainEqual({
      by: 'server',
      category: 'log_item',
      reason: 'below_error',
      count: 1,
    })
  }
})

test('feedback of a browser is an occurrence of level info', () => {
  const feedback = occurrencesOf('sentry-browser-11.12.0').filter(({ code }) => code === 'feedback')
  expect(feedback).toMatchObject([{ message: 'The button does nothing.', level: 'info' }])
})

test('a tunnelled envelope has its key and project in its own header only', () => {
  const posts = recorded('tunnel-sentry-node-11.12.0')
  expect(posts).toHaveLength(1)
  for (const post of posts) {
    expect(sentry.credential(post.request)).toBeUndefined()
    expect(sentry.credentialInBody?.(post.body)).toBe('ei_test_key_12345')
    expect(sentry.decode(post).occurrences).toMatchObject([{ message: 'through the tunnel' }])
    expect(() => sentry.decode({ ...post, projectId: 2 })).toThrow('another project')
  }
})

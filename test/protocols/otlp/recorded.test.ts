import { describe, expect, test } from 'vitest'
import { otlp } from '../../../src/protocols/otlp/index.ts'
import { RECEIVED_AT_MS, clients, recorded } from '../../fixtures/replay.ts'

const EXPECTED = {
  'otel-go-1.47.0': { type: '*main.PaymentError', platform: 'go', inApp: 'main.chargeCard' },
  'otel-java-1.68.0': {
    type: 'PaymentException',
    platform: 'java',
    inApp: 'OtelJava.chargeCard',
  },
  'otel-node-2.12.1-json': { type: 'PaymentError', platform: 'node', inApp: 'chargeCard' },
  'otel-node-2.12.1-protobuf-gzip': { type: 'PaymentError', platform: 'node', inApp: 'chargeCard' },
  'otel-python-1.45.2': { type: 'PaymentError', platform: 'python', inApp: 'charge_card' },
  'otel-python-1.45.2-gzip': { type: 'PaymentError', platform: 'python', inApp: 'charge_card' },
} as const

test('every recorded OpenTelemetry client has its expectation', () => {
  expect(clients('otel-')).toEqual(Object.keys(EXPECTED))
})

describe.each(Object.entries(EXPECTED))('what %s sent', (client, expected) => {
  const decoded = recorded(client).map((post) => ({ post, ...otlp.decode(post) }))
  const [traces, logs] = [decoded[0], decoded[1]]

  test('carries the key and is understood whole', () => {
    expect(decoded).toHaveLength(2)
    for (const { post, refused } of decoded) {
      expect(otlp.credential(post.request)).toBe('ei_test_key_12345')
      expect(refused).toEqual([])
    }
  })

  test('as a span event is an exception with stack, version, environment, service and trace', () => {
    expect(traces?.occurrences).toHaveLength(1)
    const error = traces?.occurrences[0]
    expect(error).toMatchObject({
      message: 'card was declined',
      level: 'error',
      platform: expected.platform,
      appVersion: '1.2.3',
      environment: 'staging',
      tags: { 'service.name': 'shop' },
      metadata: { span: 'POST /pay', resource: { 'service.name': 'shop' } },
    })
    expect(error?.code).toContain(expected.type)
    expect(error?.stackTrace).toContain(expected.inApp)
    const own = error?.parsedStack?.frames.find(({ inApp }) => inApp)
    expect(own?.functionName).toBe(expected.inApp)
    expect(own?.lineNumber).toBeGreaterThan(1)
    expect(error?.traceId).toMatch(/^[0-9a-f]{32}$/)
    expect(error?.spanId).toMatch(/^[0-9a-f]{16}$/)
    expect(Math.abs((error?.timestampMs ?? 0) - RECEIVED_AT_MS)).toBeLessThan(3_600_000)
  })

  test('as a log record of severity error is an occurrence, and below it is counted', () => {
    const error = logs?.occurrences.find(({ message }) => message === 'inventory is unreachable')
    expect(error).toMatchObject({ level: 'error', stackTrace: '', appVersion: '1.2.3' })
    expect(error?.code).toBe(expected.platform === 'python' ? 'checkout' : 'inventory')
    const below =
      expected.platform === 'go' || expected.platform === 'java'
        ? []
        : [{ by: 'server', category: 'log_record', reason: 'below_error', count: 1 }]
    expect(logs?.discarded).toEqual(below)
  })

  test('as a log record with an exception is that exception', () => {
    const error = logs?.occurrences.find(({ code }) => code.endsWith(expected.type))
    expect(error).toMatchObject({ message: 'card was declined' })
    // Go's client sends no stack with a log record.
    if (expected.platform !== 'go') expect(error?.parsedStack?.frames.length).toBeGreaterThan(0)
  })

  test('is known again when it is sent again', () => {
    for (const { post, occurrences } of decoded) {
      const ids = occurrences.map(({ id }) => id)
      expect(new Set(ids).size).toBe(ids.length)
      expect(otlp.decode(post).occurrences.map(({ id }) => id)).toEqual(ids)
    }
  })
})

test('an exception that comes as span event and as log record is one', () => {
  // Python's two name its type differently, with and without its module.
  for (const client of ['otel-python-1.45.2', 'otel-python-1.45.2-gzip']) {
    const ids = recorded(client)
      .flatMap((post) => otlp.decode(post).occurrences)
      .filter(({ message }) => message === 'card was declined')
      .map(({ id }) => id)
    expect(ids).toHaveLength(2)
    expect(new Set(ids).size).toBe(1)
  }
})

import { describe, expect, test } from 'vitest'
import type { JsonObject, Occurrence } from '../../../src/occurrence.ts'
import { sentry } from '../../../src/protocols/sentry/index.ts'
import { RECEIVED_AT_MS, post } from '../../fixtures/replay.ts'

function read(event: JsonObject, headers: JsonObject = {}): Occurrence {
  const body = `${JSON.stringify(headers)}\n{"type":"event"}\n${JSON.stringify(event)}`
  const [occurrence] = sentry.decode(post('/api/1/envelope/', body)).occurrences
  if (occurrence === undefined) throw new Error('no occurrence')
  return occurrence
}

const iso = (ms: number) => new Date(ms).toISOString()

describe('time', () => {
  const hour = 3_600_000

  test('is read as a date, a date without zone (UTC), and seconds', () => {
    const at = Date.parse('2026-11-23T10:00:00.123Z')
    for (const timestamp of [
      '2026-11-23T10:00:00.123Z',
      '2026-11-23T10:00:00.123456',
      '2026-11-23 10:00:00.123',
      '2026-11-23T11:00:00.123+01:00',
      at / 1000,
      String(at / 1000),
    ]) {
      expect(read({ timestamp }).timestampMs).toBe(at)
    }
  })

  test('is the receipt where there is none to be had', () => {
    for (const timestamp of [null, '', 'yesterday', -5, 1e300, {}, [], '0000-00-00T00:00:00Z']) {
      expect(read({ timestamp })).toMatchObject({ timestampMs: RECEIVED_AT_MS, marks: [] })
    }
  })

  test('of a wrong clock is set right by the moment of sending, and marked', () => {
    const event = { timestamp: (RECEIVED_AT_MS - 30 * hour - 5_000) / 1000 }
    const occurrence = read(event, { sent_at: iso(RECEIVED_AT_MS - 30 * hour) })
    expect(occurrence.timestampMs).toBe(RECEIVED_AT_MS - 5_000)
    expect(occurrence.marks).toEqual(['timestamp:corrected'])
    const ahead = read(
      { timestamp: iso(RECEIVED_AT_MS + 9 * hour) },
      { sent_at: iso(RECEIVED_AT_MS + 9 * hour) },
    )
    expect(ahead).toMatchObject({ timestampMs: RECEIVED_AT_MS, originalTimestampMs: undefined })
  })

  test('of a right clock stays as it is, however long the envelope waited', () => {
    const timestamp = iso(RECEIVED_AT_MS - 50 * hour)
    const occurrence = read({ timestamp }, { sent_at: iso(RECEIVED_AT_MS - 2_000) })
    expect(occurrence).toMatchObject({ timestampMs: RECEIVED_AT_MS - 50 * hour, marks: [] })
  })

  test('over an hour ahead without a moment of sending gives way to the receipt and is kept beside it', () => {
    const occurrence = read({ timestamp: iso(RECEIVED_AT_MS + 2 * hour) })
    expect(occurrence).toMatchObject({
      timestampMs: RECEIVED_AT_MS,
      originalTimestampMs: RECEIVED_AT_MS + 2 * hour,
    })
    expect(read({ timestamp: iso(RECEIVED_AT_MS + hour) }).timestampMs).toBe(RECEIVED_AT_MS + hour)
  })
})

describe('exceptions', () => {
  test('are one object, a bare list, or values; the last one was thrown', () => {
    const cause = { type: 'Inner', value: 'because' }
    const thrown = { type: 'Outer', value: 'failed' }
    for (const exception of [{ values: [cause, thrown] }, [cause, thrown]]) {
      expect(read({ exception })).toMatchObject({
        code: 'Outer',
        message: 'failed',
        stackTrace: 'Outer: failed\nCaused by: Inner: because',
        metadata: { exceptions: [thrown, cause] },
      })
    }
    expect(read({ exception: thrown })).toMatchObject({
      code: 'Outer',
      message: 'failed',
      stackTrace: '',
    })
  })

  test('without a type are messages: the code is the logger, else `message`', () => {
    expect(read({ exception: { values: [{ value: 'hi' }] } })).toMatchObject({
      code: 'message',
      message: 'hi',
    })
    expect(
      read({ logger: 'app.db', logentry: { message: 'slow %s of %d', params: ['query', 3] } }),
    ).toMatchObject({
      code: 'app.db',
      message: 'slow query of 3',
    })
    expect(read({ logentry: { formatted: 'done', message: 'x' } }).message).toBe('done')
    expect(read({ message: 'plain' }).message).toBe('plain')
    expect(read({ message: { message: 'old form' } }).message).toBe('old form')
    expect(read({})).toMatchObject({
      code: 'message',
      message: '',
      level: 'error',
      environment: 'production',
      appVersion: '',
    })
  })

  test.each([
    ['python', '  File "a.py", line 3, in f'],
    ['java', '\tat com.shop.Cart.f(a.py:3)'],
    ['go', '\tcom.shop.Cart.f()\n\t\ta.py:3'],
    ['ruby', "\tfrom a.py:3:in 'f'"],
    ['php', '    a.py(3): f()'],
    ['csharp', '   at com.shop.Cart.f in a.py:line 3'],
    ['elixir', '    a.py:3: com.shop.Cart.f'],
    ['native', '    f\n             at a.py:3:7'],
    ['javascript', '    at f (a.py:3:7)'],
    ['klingon', '    at f (a.py:3:7)'],
  ])('of %s are written as that platform writes them', (platform, line) => {
    const frame = { function: 'f', module: 'com.shop.Cart', filename: 'a.py', lineno: 3, colno: 7 }
    const exception = { values: [{ type: 'E', value: 'v', stacktrace: { frames: [frame] } }] }
    expect(read({ platform, exception }).stackTrace).toBe(`E: v\n${line}`)
  })

  test('carry context lines, and say which frames are the app’s own even where the client does not', () => {
    const frames = [
      { function: 'lib', filename: '/app/node_modules/x/i.js' },
      { function: 'own', filename: '/app/src/i.js', context_line: '  boom()', lineno: 2, colno: 1 },
      { function: 'said', filename: '/app/node_modules/y.js', in_app: true },
      'nonsense',
      { function: null, lineno: -4, colno: 'x' },
    ]
    const { parsedStack } = read({
      platform: 'node',
      exception: { values: [{ type: 'E', stacktrace: { frames } }] },
    })
    expect(parsedStack?.frames.map(({ functionName, inApp }) => [functionName, inApp])).toEqual([
      [null, true],
      ['said', true],
      ['own', true],
      ['lib', false],
    ])
    expect(parsedStack?.frames[2]?.contextLine).toBe('  boom()')
    expect(parsedStack?.frames[0]).toMatchObject({
      lineNumber: null,
      columnNumber: null,
      fileName: null,
    })
    expect(parsedStack?.parser).toBe('node')
  })
})

describe('the other fields', () => {
  test('tags come as a map or as pairs, numbers and booleans as text, nothing else', () => {
    expect(read({ tags: { a: 1, b: true, c: null, d: {} } }).tags).toEqual({ a: '1', b: 'true' })
    expect(read({ tags: [['a', 1], { key: 'b', value: 'x' }, ['c'], 7, null] }).tags).toEqual({
      a: '1',
      b: 'x',
    })
  })

  test('a user is the id, else the name, else the address; the rest is metadata', () => {
    expect(read({ user: { id: 7, email: 'a@b.c', ip_address: '{{auto}}' } })).toMatchObject({
      userId: '7',
      metadata: { user: { email: 'a@b.c' } },
    })
    expect(read({ user: { username: 'jo', email: 'a@b.c' } }).userId).toBe('jo')
    expect(read({ user: { email: 'a@b.c' } }).userId).toBe('a@b.c')
    expect(read({ user: {} }).userId).toBeNull()
    expect(read({ user: 'jo' }).userId).toBeNull()
  })

  test.each([
    [{ platform: 'javascript', contexts: { browser: { version: '120' } } }, 'web', '120'],
    [
      { platform: 'javascript', contexts: { runtime: { name: 'bun', version: '1.2' } } },
      'node',
      '1.2',
    ],
    [
      {
        platform: 'javascript',
        sdk: { name: 'sentry.javascript.react-native' },
        contexts: { os: { name: 'iOS', version: '17.2' } },
      },
      'ios',
      '17.2',
    ],
    [
      {
        platform: 'javascript',
        sdk: { name: 'sentry.javascript.react-native' },
        contexts: { os: { name: 'Android', version: '14' } },
      },
      'android',
      '14',
    ],
    [
      {
        platform: 'java',
        sdk: { name: 'sentry.java.android' },
        contexts: { os: { name: 'Android', version: '14' } },
      },
      'android',
      '14',
    ],
    [{ platform: 'cocoa', contexts: { os: { version: '17' } } }, 'ios', '17'],
    [{ platform: 'csharp' }, 'dotnet', ''],
    [{ platform: 'native', sdk: { name: 'sentry.rust' } }, 'rust', ''],
    [{ platform: '__proto__' }, 'other', ''],
    [{}, 'other', ''],
  ])('the platform of %j is %s %s', (event, platform, platformVersion) => {
    expect(read(event)).toMatchObject({ platform, platformVersion })
  })

  test('trace and span are kept in hex, and nothing else is', () => {
    const trace = { trace_id: 'AB'.repeat(16), span_id: 'cd'.repeat(8) }
    expect(read({ contexts: { trace } })).toMatchObject({
      traceId: 'ab'.repeat(16),
      spanId: 'cd'.repeat(8),
    })
    expect(read({ contexts: { trace: { trace_id: 'x', span_id: 7 } } })).toMatchObject({
      traceId: '',
      spanId: '',
    })
  })

  test.each(['fatal', 'error', 'warning', 'info', 'debug'])('the level %s is ours', (level) => {
    expect(read({ level }).level).toBe(level)
  })

  test('any other level is error', () => {
    expect(read({ level: 'loud' }).level).toBe('error')
    expect(read({ level: 7 }).level).toBe('error')
  })

  test('wrong types everywhere cost the field, not the event', () => {
    const wrong = [
      'exception',
      'breadcrumbs',
      'tags',
      'user',
      'contexts',
      'request',
      'extra',
      'sdk',
      'fingerprint',
      'threads',
      'logentry',
      'release',
    ]
    for (const value of [
      7,
      'x',
      true,
      null,
      [],
      {},
      [[]],
      [null],
      { values: 7 },
      { values: [7, null, []] },
    ]) {
      const event = Object.fromEntries(wrong.map((name) => [name, value]))
      expect(read({ ...event, message: 'm' }).message).toBe('m')
    }
  })

  test('a policy report of a browser is an occurrence', () => {
    const report = {
      'csp-report': {
        'document-uri': 'https://shop.example/',
        'effective-directive': 'script-src',
        'blocked-uri': 'https://evil.example',
      },
    }
    const decoded = sentry.decode(post('/api/1/security/?sentry_key=k', JSON.stringify(report)))
    expect(decoded.occurrences).toMatchObject([
      {
        code: 'csp/script-src',
        message: 'Blocked https://evil.example by script-src',
        platform: 'web',
      },
    ])
    expect(sentry.decode(post('/api/1/security/', '{"other":1}'))).toMatchObject({
      occurrences: [],
      discarded: [{ category: 'security', reason: 'unsupported', count: 1 }],
    })
  })
})

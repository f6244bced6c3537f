import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { LIMITS, PLATFORMS } from '../../../src/occurrence.ts'
import { NativeBatch, NativeEvent } from '../../../src/protocols/native/event.ts'
import { native } from '../../../src/protocols/native/index.ts'
import { Refusal } from '../../../src/refusal.ts'
import { anEvent, NOW_MS } from '../../http/support/intake.ts'

const encoder = new TextEncoder()

function decodeBytes(body: Uint8Array, eventsMax = 10) {
  const request = new Request('http://localhost/api/v1/ingest')
  return native.decode({ request, body, appId: 'test-app', receivedAtMs: NOW_MS, eventsMax })
}

function decodeText(text: string) {
  return decodeBytes(encoder.encode(text))
}

function decode(...events: unknown[]) {
  return decodeText(JSON.stringify({ events }))
}

/** The one occurrence that must come of it. */
function occurrenceOf(given: object) {
  const { occurrences, refused } = decode(anEvent(given))
  expect(refused.map(({ refusal }) => refusal.message)).toEqual([])
  return occurrences[0]!
}

/** Why the one event must be refused. */
function problemOf(given: object): string {
  const { occurrences, refused } = decode(anEvent(given), anEvent())
  expect(occurrences).toHaveLength(1)
  return refused[0]?.refusal.message ?? 'it was accepted'
}

/** An event whose JSON is written by hand: `text` stands where its metadata would. */
function withMetadata(text: string): string {
  return JSON.stringify({ events: [anEvent({ metadata: '@' })] }).replace('"@"', () => text)
}

function bytesOf(text: string): number {
  return encoder.encode(text).length
}

function nested(depth: number): object {
  let value: object = {}
  for (let level = 1; level < depth; level++) value = { a: value }
  return value
}

function depthOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  return 1 + Math.max(0, ...Object.values(value).map(depthOf))
}

test('an event becomes an occurrence with every field', () => {
  const event = anEvent({
    id: '550E8400-E29B-41D4-A716-446655440000',
    parsedStack: {
      frames: [
        {
          functionName: 'f',
          fileName: null,
          lineNumber: 1,
          columnNumber: 2,
          inApp: false,
          raw: 'r',
        },
      ],
      raw: 'all',
      parser: 'browser',
    },
    environment: 'staging',
    level: 'fatal',
    fingerprint: ['a', '{{ default }}'],
    breadcrumbs: [{ message: 'click' }, 1, null],
    unknown: 'ignored',
  })
  expect(occurrenceOf(event)).toEqual({
    id: '550e8400-e29b-41d4-a716-446655440000',
    appId: 'test-app',
    protocol: 'native',
    code: 'network/request-failed',
    message: 'Failed to fetch user data',
    stackTrace: 'Error: Failed to fetch',
    parsedStack: event['parsedStack'],
    appVersion: '1.0.0',
    platform: 'ios',
    platformVersion: '17.0',
    environment: 'staging',
    level: 'fatal',
    userId: 'user-123',
    timestampMs: NOW_MS,
    originalTimestampMs: undefined,
    receivedAtMs: NOW_MS,
    metadata: { endpoint: '/api/users', statusCode: 500 },
    tags: { severity: 'high' },
    fingerprint: ['a', '{{ default }}'],
    breadcrumbs: [{ message: 'click' }, 1, null],
    traceId: '',
    spanId: '',
    marks: [],
  })
})

test('what may be absent is absent', () => {
  const event = anEvent()
  for (const name of ['stackTrace', 'userId', 'metadata', 'tags'])
    Reflect.deleteProperty(event, name)
  const { occurrences } = decode(event, anEvent({ userId: null, parsedStack: null }))
  expect(occurrences[0]).toMatchObject({
    stackTrace: '',
    parsedStack: undefined,
    userId: null,
    metadata: {},
    tags: {},
    environment: 'production',
    level: 'error',
    fingerprint: [],
    breadcrumbs: [],
  })
  expect(occurrences[1]?.userId).toBeNull()
})

describe('a body', () => {
  test.each([
    ['nothing', ''],
    ['no JSON', '{"events": ['],
    ['null', 'null'],
    ['a text', '"events"'],
    ['an array', '[]'],
    ['no events', '{}'],
    ['events that are no array', '{"events": {"length": 1}}'],
    ['an empty list', '{"events": []}'],
    ['only nesting', '['.repeat(100_000)],
    ['closed nesting', `{"events": ${'['.repeat(100_000)}${']'.repeat(100_000)}, "events": 1}`],
  ])('that is %s is malformed', (_, text) => {
    expect(() => decodeText(text)).toThrow(expect.objectContaining({ code: 'malformed' }))
  })

  test('that is no UTF-8 is malformed, also where only a text is wrong', () => {
    const bytes = encoder.encode(JSON.stringify({ events: [anEvent({ message: '@@' })] }))
    bytes[bytes.indexOf(64)] = 0xff
    expect(() => decodeBytes(bytes)).toThrow(/UTF-8/)
  })

  test('may begin with a byte order mark', () => {
    const text = `\uFEFF${JSON.stringify({ events: [anEvent()] })}`
    expect(decodeText(text).occurrences).toHaveLength(1)
  })

  test('may hold as many events as allowed, and not one more', () => {
    const events = Array.from({ length: 11 }, () => anEvent())
    expect(decode(...events.slice(1)).occurrences).toHaveLength(10)
    expect(() => decode(...events)).toThrow(
      'events must hold 1 to 10 events in one request, not 11.',
    )
  })

  test('may hold the same id twice: both count as accepted', () => {
    const event = anEvent()
    expect(decode(event, event).occurrences).toHaveLength(2)
  })

  test.each([null, 1, 'event', [], [[[]]], true])(
    'whose event is %j costs the others nothing',
    (event) => {
      const { occurrences, refused } = decode(event, anEvent())
      expect([occurrences.length, refused.length, refused[0]?.index]).toEqual([1, 1, 0])
    },
  )
})

describe('a field', () => {
  const WRONG: [string, unknown[]][] = [
    [
      'id',
      [
        '',
        'x',
        1,
        null,
        '550e8400e29b41d4a716446655440000',
        '550e8400-e29b-41d4-a716-44665544000g',
      ],
    ],
    ['code', ['', 'c'.repeat(201), '😀'.repeat(201), 1, null, {}]],
    ['message', [1, null, ['a']]],
    ['stackTrace', [1, {}]],
    ['appId', [1, null]],
    ['appVersion', [1, null]],
    ['platformVersion', [17, null]],
    ['platform', ['', 'windows', 'iOS', null, 1]],
    ['environment', [1, {}]],
    ['level', ['critical', 'ERROR', 1]],
    ['userId', [1, {}]],
    ['metadata', ['text', 1, []]],
    ['tags', ['text', [], { a: 1 }, { a: null }]],
    ['fingerprint', ['a', [1], {}]],
    ['breadcrumbs', ['a', {}]],
    [
      'parsedStack',
      [
        'a',
        [],
        {},
        { frames: {} },
        { frames: [1] },
        { frames: [], parser: 'x' },
        { frames: [{ inApp: 'yes' }] },
        { frames: [{ lineNumber: '1' }] },
      ],
    ],
    ['timestamp', ['', 'now', 0, null, 1705314600000, '2024-01-15', '2024-01-15T10:30:00']],
  ]
  test.each(WRONG.flatMap(([name, values]) => values.map((value) => [name, value] as const)))(
    '%s that is %j is refused by name',
    (name, value) => {
      expect(problemOf({ [name]: value })).toMatch(
        new RegExp(`^${name}[.[\\w\\]]* (is missing: it )?must be .*\\.$`),
      )
    },
  )

  test.each([
    'id',
    'code',
    'message',
    'appId',
    'appVersion',
    'platform',
    'platformVersion',
    'timestamp',
  ])('%s that is missing is said to be missing', (name) =>
    expect(problemOf({ [name]: undefined })).toMatch(`${name} is missing: it must be`),
  )

  test.each(PLATFORMS)('platform may be %s', (platform) => {
    expect(occurrenceOf({ platform }).platform).toBe(platform)
  })

  test('code may have 200 characters, also such of four bytes', () => {
    for (const code of ['c'.repeat(200), '😀'.repeat(200)])
      expect(occurrenceOf({ code }).code).toBe(code)
  })

  test('several problems stand in one sentence', () => {
    expect(problemOf({ id: 1, code: 1, message: 1, level: 1 })).toMatch(
      /^id .*; code .*; message .*; and 1 more problems\.$/,
    )
  })
})

describe('what is kept up to a limit', () => {
  test.each([
    ['message', LIMITS.messageBytesMax],
    ['appVersion', LIMITS.labelBytesMax],
    ['platformVersion', LIMITS.labelBytesMax],
    ['environment', LIMITS.labelBytesMax],
    ['userId', LIMITS.labelBytesMax],
  ] as const)('%s: at the limit as it is, one byte past it cut and marked', (field, max) => {
    const fits = 'm'.repeat(max)
    expect(occurrenceOf({ [field]: fits })).toMatchObject({ [field]: fits, marks: [] })
    const cut = occurrenceOf({ [field]: `${fits}x` })
    expect(cut[field]).toBe(`${fits}… [cut: ${max} of ${max + 1} bytes kept]`)
    expect(cut.marks).toEqual([`${field}:cut`])
  })

  test('never splits a character', () => {
    const cut = occurrenceOf({ message: 'a' + '😀'.repeat(3_000) }).message
    expect(cut.isWellFormed()).toBe(true)
    expect(cut).not.toContain('\uFFFD')
    expect(cut).toContain('[cut: 8189 of 12001 bytes kept]')
  })

  test('a stack keeps both ends', () => {
    const max = LIMITS.stackTraceBytesMax
    const fits = 's'.repeat(max)
    expect(occurrenceOf({ stackTrace: fits })).toMatchObject({ stackTrace: fits, marks: [] })
    const { stackTrace, marks } = occurrenceOf({ stackTrace: `first${'é'.repeat(max)}last` })
    expect(stackTrace).toMatch(/^first(?<e>é+)\n… \[cut: \d+ of \d+ bytes kept\] …\né+last$/)
    expect(bytesOf(stackTrace)).toBeLessThan(max + 100)
    expect(marks).toEqual(['stackTrace:cut'])
  })

  test('frames keep both ends', () => {
    const frames = (count: number) =>
      Array.from({ length: count }, (_, at) => ({
        functionName: `f${at}`,
        fileName: 'a.js',
        lineNumber: at,
        columnNumber: 1,
        inApp: true,
        raw: '',
      }))
    const stack = (count: number) =>
      occurrenceOf({ parsedStack: { frames: frames(count), raw: '', parser: 'node' } })
    expect(stack(250)).toMatchObject({ marks: [] })
    expect(stack(250).parsedStack?.frames).toHaveLength(250)
    const names = stack(251).parsedStack?.frames.map(({ functionName }) => functionName)
    expect([names?.length, names?.[0], names?.[124], names?.[125], names?.at(-1)]).toEqual([
      250,
      'f0',
      'f124',
      'f126',
      'f250',
    ])
    expect(stack(251).marks).toEqual(['parsedStack:cut'])
  })

  test('a frame holds no more than its known fields, each bounded', () => {
    const frame = { functionName: 'f'.repeat(5_000), raw: 'r', secret: 'x'.repeat(10_000) }
    const { parsedStack, marks } = occurrenceOf({
      parsedStack: { frames: [frame], raw: 'r', parser: 'node' },
    })
    expect(parsedStack?.frames[0]?.functionName).toContain('[cut: 4096 of 5000 bytes kept]')
    expect(Object.keys(parsedStack?.frames[0] ?? {}).sort()).toEqual([
      'columnNumber',
      'fileName',
      'functionName',
      'inApp',
      'lineNumber',
      'raw',
    ])
    expect(marks).toEqual(['parsedStack:cut'])
  })

  test('metadata keeps 16 levels', () => {
    expect(occurrenceOf({ metadata: nested(16) })).toMatchObject({
      metadata: nested(16),
      marks: [],
    })
    const { metadata, marks } = occurrenceOf({ metadata: nested(17) })
    expect(depthOf(metadata)).toBe(16)
    expect(JSON.stringify(metadata)).toContain('[cut: nested deeper than 16]')
    expect(marks).toEqual(['metadata:cut'])
  })

  test('metadata keeps 64 KiB', () => {
    const of = (bytes: number) => ({ a: 1, b: 'x'.repeat(bytes - '{"a":1,"b":""}'.length) })
    const max = LIMITS.metadataBytesMax
    expect(occurrenceOf({ metadata: of(max) })).toMatchObject({ metadata: of(max), marks: [] })
    const { metadata, marks } = occurrenceOf({ metadata: of(max + 1) })
    expect(metadata['a']).toBe(1)
    expect(metadata['b']).toMatch(/… \[cut: \d+ of \d+ bytes kept\]$/)
    expect(marks).toEqual(['metadata:cut'])
  })

  test('tags keep the first 100, and bounded names and values', () => {
    const tags = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, at) => [`t${at}`, 'v']))
    expect(occurrenceOf({ tags: tags(100) })).toMatchObject({ tags: tags(100), marks: [] })
    expect(occurrenceOf({ tags: tags(101) })).toMatchObject({
      tags: tags(100),
      marks: ['tags:cut'],
    })
    const { tags: long } = occurrenceOf({ tags: { ['n'.repeat(201)]: 'v', w: 'v'.repeat(8_193) } })
    expect(Object.keys(long)[0]).toContain('[cut: 200 of 201 bytes kept]')
    expect(long['w']).toContain('[cut: 8192 of 8193 bytes kept]')
  })

  test('breadcrumbs keep the newest 100, and the newest 64 KiB', () => {
    const crumbs = (count: number) => Array.from({ length: count }, (_, at) => ({ at }))
    expect(occurrenceOf({ breadcrumbs: crumbs(100) })).toMatchObject({
      breadcrumbs: crumbs(100),
      marks: [],
    })
    const many = occurrenceOf({ breadcrumbs: crumbs(101) })
    expect([many.breadcrumbs.length, many.breadcrumbs[0], many.marks]).toEqual([
      100,
      { at: 1 },
      ['breadcrumbs:cut'],
    ])
    const wide = occurrenceOf({
      breadcrumbs: Array.from({ length: 10 }, (_, at) => ({ at, text: 'x'.repeat(20_000) })),
    })
    expect(wide.breadcrumbs).toMatchObject([{ at: 7 }, { at: 8 }, { at: 9 }])
  })

  test('a fingerprint keeps 32 parts of 1 KiB', () => {
    const parts = Array.from({ length: 33 }, (_, at) => `${at}${'p'.repeat(at === 0 ? 2_000 : 1)}`)
    const { fingerprint, marks } = occurrenceOf({ fingerprint: parts })
    expect([fingerprint.length, marks]).toEqual([32, ['fingerprint:cut']])
    expect(fingerprint[0]).toContain('[cut: 1024 of 2001 bytes kept]')
  })
})

describe('hostile input', () => {
  test.each(['{"a":', '['])('nesting with %s beyond reason is refused, not walked', (open) => {
    const deep = (depth: number) => {
      const close = open === '[' ? ']' : '}'
      return withMetadata(`{"x":${open.repeat(depth)}1${close.repeat(depth)}}`)
    }
    expect(decodeText(deep(500)).occurrences[0]?.marks).toEqual(['metadata:cut'])
    const { refused } = decodeText(deep(100_000))
    expect(refused[0]?.refusal.message).toContain(
      'metadata must not be nested deeper than 512 levels',
    )
  })

  test('__proto__ and constructor stay names, and change no prototype', () => {
    const hostile = '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"n":'
    for (const text of [`${hostile}1}`, `${hostile}${JSON.stringify(nested(20))}}`]) {
      const metadata = decodeText(withMetadata(text)).occurrences[0]?.metadata
      expect(Object.hasOwn(metadata ?? {}, '__proto__')).toBe(true)
      expect(Object.getPrototypeOf(metadata)).toBe(Object.prototype)
    }
    const tags: unknown = JSON.parse('{"__proto__":"x","constructor":"y","a":"b"}')
    expect(JSON.stringify(occurrenceOf({ tags }).tags)).toBe(JSON.stringify(tags))
    expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false)
  })

  test('lone surrogates become U+FFFD everywhere, pairs and escaped backslashes stay', () => {
    const text = withMetadata(
      '{"\\ud800k":"\\uDFFFa\\ud83d\\ude00\\\\ud800\\ud83d","nul":"\\u0000"}',
    )
    expect(decodeText(text).occurrences[0]?.metadata).toEqual({
      '\uFFFDk': '\uFFFDa😀\\ud800\uFFFD',
      nul: '\0',
    })
  })

  test('NUL bytes are kept', () => {
    expect(occurrenceOf({ message: 'a\0b', tags: { 'n\0': '\0' } })).toMatchObject({
      message: 'a\0b',
      tags: { 'n\0': '\0' },
    })
  })

  test('any text comes out as it went in', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 500 }), (message) => {
        const expected = message.toWellFormed()
        const { message: kept, metadata } = occurrenceOf({
          message,
          metadata: { [message]: message },
        })
        expect(kept).toBe(expected)
        expect(Object.entries(metadata)).toEqual([[expected, expected]])
      }),
    )
  })

  test('any JSON decodes to a list or a Refusal, never a bug', () => {
    fc.assert(
      fc.property(fc.json(), fc.json(), (anything, field) => {
        for (const text of [
          anything,
          `{"events":${anything}}`,
          `{"events":[${anything}]}`,
          withMetadata(field),
        ]) {
          try {
            decodeText(text)
          } catch (error) {
            expect(error).toBeInstanceOf(Refusal)
          }
        }
      }),
    )
  })

  test('any metadata and breadcrumbs end within their limits', () => {
    const wide = fc.object({
      maxDepth: 20,
      maxKeys: 50,
      values: [fc.string({ maxLength: 3_000, unit: 'binary' }), fc.double(), fc.boolean()],
    })
    fc.assert(
      fc.property(
        wide,
        fc.array(wide, { maxLength: 120 }),
        fc.integer({ min: 1, max: 40 }),
        (value, crumbs, times) => {
          const metadata = Object.fromEntries(
            Array.from({ length: times }, (_, at) => [`k${at}`, value]),
          )
          const { occurrences } = decode(anEvent({ metadata, breadcrumbs: crumbs }))
          const kept = occurrences[0]!
          expect(bytesOf(JSON.stringify(kept.metadata))).toBeLessThanOrEqual(
            LIMITS.metadataBytesMax,
          )
          expect(bytesOf(JSON.stringify(kept.breadcrumbs))).toBeLessThanOrEqual(
            LIMITS.breadcrumbsBytesMax,
          )
          expect(depthOf(kept.metadata)).toBeLessThanOrEqual(LIMITS.metadataDepthMax)
        },
      ),
      { numRuns: 60 },
    )
  })
})

test('the schema can be shown as JSON Schema', () => {
  const shown = JSON.stringify(
    [NativeEvent, NativeBatch].map((schema) => z.toJSONSchema(schema, { io: 'input' })),
  )
  for (const name of ['breadcrumbs', 'date-time', '"metadata":{"type":"object"', 'functionName'])
    expect(shown).toContain(name)
})

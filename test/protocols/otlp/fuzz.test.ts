import { fromJsonString, toBinary } from '@bufbuild/protobuf'
import fc from 'fast-check'
import { afterAll, expect, test } from 'vitest'
import { ExportLogsServiceRequestSchema } from '../../../src/protocols/otlp/generated/opentelemetry/proto/collector/logs/v1/logs_service_pb.ts'
import { otlp } from '../../../src/protocols/otlp/index.ts'
import { anyJson as json, fuzz, maybe } from '../../fixtures/fuzz.ts'
import { generator } from '../../fixtures/mutate.ts'
import { clients, post, recorded } from '../../fixtures/replay.ts'

const fire = fuzz(otlp)
afterAll(() => fire.finish())

test('recorded requests, damaged at random, are decoded or refused', { timeout: 600_000 }, () => {
  fire.damaged(0.35, clients('otel-').flatMap(recorded), (of, n) => {
    if (n % 10 !== 0) return of
    // Now and then a body meets the reader of another signal.
    const type = of.request.headers.get('content-type') ?? ''
    return { ...of, request: post('/v1/metrics', '', { 'content-type': type }).request }
  })
})

const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom('', 'exception', 'nodejs', 'python', 'java', 'go'),
)
const name = fc.oneof(
  fc.constantFrom(
    'exception.type',
    'exception.message',
    'exception.stacktrace',
    'service.name',
    'telemetry.sdk.language',
    'user.id',
  ),
  text,
)
const stack = fc
  .array(
    fc.constantFrom(
      'Error: x',
      '    at f (a.js:1:2)',
      'f@a.js:1:2',
      '\tat a.B.c(D.java:3)',
      '  File "a.py", line 3, in f',
      'Traceback (most recent call last):',
      'main.f()',
      '\t/a.go:7 +0x1',
      'Caused by: y',
      '(((((((((',
    ),
    { maxLength: 12 },
  )
  .map((lines) => lines.join('\n'))
const value = maybe(
  fc.oneof(
    fc.record({ stringValue: maybe(fc.oneof(text, stack)) }),
    fc.record({ intValue: maybe(fc.oneof(fc.integer(), fc.bigInt().map(String))) }),
    fc.record({ doubleValue: maybe(fc.double()) }),
    fc.record({ arrayValue: fc.record({ values: json }) }),
    fc.record({ kvlistValue: fc.record({ values: json }) }),
    fc.record({ bytesValue: json }),
  ),
)
const attributes = maybe(fc.array(maybe(fc.record({ key: maybe(name), value })), { maxLength: 6 }))
const time = maybe(fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 70n }).map(String), fc.double()))
const trace = maybe(fc.stringMatching(/^[0-9a-fA-F]{32}$/))
const record = fc.record(
  {
    timeUnixNano: time,
    severityNumber: maybe(fc.integer({ min: 0, max: 30 })),
    body: value,
    attributes,
    traceId: trace,
    spanId: trace,
    eventName: maybe(text),
  },
  { requiredKeys: [] },
)
const span = fc.record(
  {
    name: maybe(text),
    traceId: trace,
    spanId: trace,
    attributes,
    events: maybe(
      fc.array(maybe(fc.record({ name: maybe(text), timeUnixNano: time, attributes })), {
        maxLength: 3,
      }),
    ),
  },
  { requiredKeys: [] },
)
const list = (arbitrary: fc.Arbitrary<unknown>) =>
  maybe(fc.array(maybe(arbitrary), { maxLength: 4 }))
const logs = fc.record({
  resourceLogs: list(
    fc.record({
      resource: maybe(fc.record({ attributes })),
      scopeLogs: list(fc.record({ scope: json, logRecords: list(record) })),
    }),
  ),
})
const spans = fc.record({
  resourceSpans: list(
    fc.record({
      resource: maybe(fc.record({ attributes })),
      scopeSpans: list(fc.record({ scope: json, spans: list(span) })),
    }),
  ),
})

test.each<[string, fc.Arbitrary<unknown>]>([
  ['/v1/logs', logs],
  ['/v1/traces', spans],
])(
  'JSON requests to %s made by the grammar are decoded or refused',
  { timeout: 600_000 },
  (path, arbitrary) => {
    fire.grammar(0.12, arbitrary, (request) =>
      post(path, JSON.stringify(request), { 'content-type': 'application/json' }),
    )
  },
)

const typed = fc.letrec((tie) => ({
  any: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.record({ stringValue: fc.string({ unit: 'grapheme' }) }),
    fc.record({ boolValue: fc.boolean() }),
    fc.record({ intValue: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String) }),
    fc.record({ doubleValue: fc.oneof(fc.integer(), fc.constantFrom(0.1, -1e300, 5e-324, 'NaN')) }),
    fc.record({
      bytesValue: fc.uint8Array().map((bytes) => Buffer.from(bytes).toString('base64')),
    }),
    fc.record({ arrayValue: fc.record({ values: fc.array(tie('any'), { maxLength: 3 }) }) }),
    fc.record({ kvlistValue: fc.record({ values: tie('pairs') }) }),
    fc.constant({}),
  ),
  pairs: fc.array(
    fc.record({
      key: fc.oneof(
        fc.constantFrom('exception.type', 'exception.message', '__proto__'),
        fc.string(),
      ),
      value: tie('any'),
    }),
    { maxLength: 5 },
  ),
}))
const nanos = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String)
const request = fc.array(
  fc.record({
    resource: fc.record({ attributes: typed.pairs }),
    scopeLogs: fc.array(
      fc.record({
        scope: fc.record({ name: fc.string(), version: fc.string() }),
        logRecords: fc.array(
          fc.record({
            timeUnixNano: nanos,
            observedTimeUnixNano: nanos,
            severityNumber: fc.integer({ min: 0, max: 24 }),
            severityText: fc.string(),
            body: typed.any,
            attributes: typed.pairs,
            eventName: fc.oneof(fc.constantFrom('exception', ''), fc.string()),
          }),
          { maxLength: 3 },
        ),
      }),
      { maxLength: 2 },
    ),
  }),
  { maxLength: 2 },
)

test(
  'what the library writes in protobuf is read as the same in JSON is',
  { timeout: 600_000 },
  () => {
    fc.assert(
      fc.property(request, (resourceLogs) => {
        const text = JSON.stringify({ resourceLogs })
        const message = fromJsonString(ExportLogsServiceRequestSchema, text)
        const body = toBinary(ExportLogsServiceRequestSchema, message)
        const fromBytes = fire.decode(
          post('/v1/logs', body, { 'content-type': 'application/x-protobuf' }),
        )
        const fromText = fire.decode(post('/v1/logs', text, { 'content-type': 'application/json' }))
        expect(fromBytes).toEqual(fromText)
      }),
      { seed: fire.seed, numRuns: 1_000 },
    )
  },
)

/** Protobuf by its grammar only: fields of any number and wire type, nested, their lengths mostly true. */
function wire(random: () => number, depth: number): number[] {
  const bytes: number[] = []
  for (let fields = random() % 5; fields > 0; fields--) {
    const type = [0, 1, 2, 2, 2, 2, 5, 3, 4][random() % 9] ?? 2
    bytes.push(((1 + (random() % 12)) << 3) | type)
    if (type === 0) bytes.push(...[0x80 | (random() & 127), random() & 127].slice(random() % 2))
    if (type === 1 || type === 5)
      for (let left = type === 1 ? 8 : 4; left > 0; left--) bytes.push(random() & 255)
    if (type !== 2) continue
    const inner =
      depth > 0
        ? wire(random, depth - 1)
        : Array.from({ length: random() % 20 }, () => random() & 255)
    const length = random() % 40 === 0 ? random() % 256 : inner.length
    bytes.push(...(length > 127 ? [(length & 127) | 128, length >>> 7] : [length]), ...inner)
  }
  return bytes
}

test(
  'protobuf made by its grammar, of any fields and wire types, is decoded or refused',
  { timeout: 600_000 },
  () => {
    const random = generator(fire.seed)
    const count = fire.casesOf(0.41)
    let decoded = 0
    for (let n = 0; n < count; n++) {
      const path = ['/v1/logs', '/v1/traces', '/v1/metrics'][random() % 3] ?? ''
      const body = new Uint8Array(wire(random, 5))
      const given = post(path, body, { 'content-type': 'application/x-protobuf' })
      if (fire.decode(given) !== undefined) decoded++
    }
    expect(decoded).toBeGreaterThan(count / 20)
    expect(decoded).toBeLessThan(count)
  },
)

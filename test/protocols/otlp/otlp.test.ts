import { create, fromBinary, fromJsonString, toBinary } from '@bufbuild/protobuf'
import type { MessageInitShape } from '@bufbuild/protobuf'
import { describe, expect, test } from 'vitest'
import { LIMITS } from '../../../src/occurrence.ts'
import type { Json, JsonObject } from '../../../src/occurrence.ts'
import { Refusal } from '../../../src/refusal.ts'
import {
  ExportLogsServiceRequestSchema,
  ExportLogsServiceResponseSchema,
} from '../../../src/protocols/otlp/generated/opentelemetry/proto/collector/logs/v1/logs_service_pb.ts'
import {
  ExportMetricsServiceRequestSchema,
  ExportMetricsServiceResponseSchema,
} from '../../../src/protocols/otlp/generated/opentelemetry/proto/collector/metrics/v1/metrics_service_pb.ts'
import { GaugeSchema } from '../../../src/protocols/otlp/generated/opentelemetry/proto/metrics/v1/metrics_pb.ts'
import { otlp } from '../../../src/protocols/otlp/index.ts'
import type { Decoded, Post, Reply } from '../../../src/protocols/protocol.ts'
import { RECEIVED_AT_MS, post } from '../../fixtures/replay.ts'

const NANOS = `${String(RECEIVED_AT_MS - 1_000)}000000`
const JSON_TYPE = { 'content-type': 'application/json' }
const PROTOBUF_TYPE = { 'content-type': 'application/x-protobuf' }

const attribute = (key: string, value: string) => ({ key, value: { stringValue: value } })
const exception = [
  attribute('exception.type', 'PaymentError'),
  attribute('exception.message', 'declined'),
  attribute('exception.stacktrace', 'PaymentError: declined\n    at pay (/app/a.js:1:2)'),
]

function logs(records: readonly Json[], resource: readonly Json[] = []): string {
  return JSON.stringify({
    resourceLogs: [
      {
        resource: { attributes: resource },
        scopeLogs: [{ scope: { name: 'app' }, logRecords: records }],
      },
    ],
  })
}

function spans(list: readonly Json[]): string {
  return JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: list }] }] })
}

function json(path: string, body: string, more: Partial<Post> = {}): Decoded {
  return otlp.decode(post(path, body, JSON_TYPE, more))
}

function protobuf(request: MessageInitShape<typeof ExportLogsServiceRequestSchema>): Uint8Array {
  return toBinary(ExportLogsServiceRequestSchema, create(ExportLogsServiceRequestSchema, request))
}

function refusalOf(work: () => unknown): Refusal {
  try {
    work()
  } catch (error) {
    if (error instanceof Refusal) return error
    throw error
  }
  throw new Error('It was not refused.')
}

/** The answer as it goes out; its other headers are the intake's. */
function answerOf(answer: Response | Reply): Response {
  if (answer instanceof Response) return answer
  const { status, contentType, body } = answer
  return new Response(body, { status, headers: { 'content-type': contentType } })
}

const record = (more: JsonObject = {}): JsonObject => ({
  timeUnixNano: NANOS,
  severityNumber: 17,
  body: { stringValue: 'down' },
  ...more,
})

describe('log records', () => {
  test('are kept from severity ERROR on, or with an exception, or by an exception’s event name', () => {
    const kept = json(
      '/v1/logs',
      logs([
        record(),
        record({ severityNumber: 16 }),
        record({ severityNumber: 21 }),
        record({ severityNumber: 9, attributes: exception }),
        record({ severityNumber: 13, eventName: 'app.exception' }),
        record({ severityNumber: 0 }),
        record({ severityNumber: 0, attributes: exception.slice(1, 2) }),
      ]),
    )
    expect(kept.occurrences.map(({ code, level }) => [code, level])).toEqual([
      ['app', 'error'],
      ['app', 'fatal'],
      ['PaymentError', 'info'],
      ['app.exception', 'warning'],
      ['app', 'error'],
    ])
    expect(kept.discarded).toEqual([
      { by: 'server', category: 'log_record', reason: 'below_error', count: 2 },
    ])
  })

  test('carry values of every type, 64-bit numbers exactly', () => {
    const attributes = [
      { key: 'text', value: { stringValue: 't' } },
      { key: 'int', value: { intValue: '7' } },
      { key: 'number', value: { intValue: 7 } },
      { key: 'huge', value: { intValue: '9223372036854775807' } },
      { key: 'double', value: { doubleValue: 1.5 } },
      { key: 'nan', value: { doubleValue: 'NaN' } },
      { key: 'bool', value: { boolValue: false } },
      { key: 'list', value: { arrayValue: { values: [{ intValue: 1 }, { stringValue: 'x' }] } } },
      {
        key: 'map',
        value: { kvlistValue: { values: [{ key: 'a', value: { boolValue: true } }] } },
      },
      { key: 'bytes', value: { bytesValue: 'AQL/' } },
      { key: '__proto__', value: { stringValue: 'p' } },
      { key: 'none', value: {} },
    ]
    const expected = {
      text: 't',
      int: 7,
      number: 7,
      huge: '9223372036854775807',
      double: 1.5,
      nan: 'NaN',
      bool: false,
      list: [1, 'x'],
      map: { a: true },
      bytes: 'AQL/',
      ['__proto__']: 'p',
      none: null,
    }
    const request = logs([record({ attributes })])
    const [fromText] = json('/v1/logs', request).occurrences
    expect(fromText?.metadata['attributes']).toEqual(expected)
    expect(Object.keys(fromText?.metadata['attributes'] ?? {})).toContain('__proto__')
    const message = fromJsonString(ExportLogsServiceRequestSchema, request)
    const body = toBinary(ExportLogsServiceRequestSchema, message)
    const [fromBytes] = otlp.decode(post('/v1/logs', body, PROTOBUF_TYPE)).occurrences
    expect(fromBytes).toEqual(fromText)
  })

  test('have the same form and id in protobuf as in JSON', () => {
    const resource = [
      attribute('service.name', 'shop'),
      attribute('service.version', '1.2.3'),
      attribute('deployment.environment', 'staging'),
      attribute('telemetry.sdk.language', 'nodejs'),
      attribute('process.runtime.version', '24.1.0'),
      attribute('k8s.pod.name', 'shop-1'),
      attribute('k8s.pod.uid', 'u'),
    ]
    const text = json(
      '/v1/logs',
      logs(
        [
          record({
            attributes: [...exception, attribute('user.id', 'u7')],
            traceId: 'AB'.repeat(16),
            spanId: 'cd'.repeat(8),
          }),
          record(),
        ],
        resource,
      ),
    )
    const value = (text: string) => ({ value: { case: 'stringValue', value: text } as const })
    const pairs = (list: readonly { key: string; value: { stringValue: string } }[]) =>
      list.map(({ key, value: { stringValue } }) => ({ key, value: value(stringValue) }))
    const body = protobuf({
      resourceLogs: [
        {
          resource: { attributes: pairs(resource) },
          scopeLogs: [
            {
              scope: { name: 'app' },
              logRecords: [
                {
                  timeUnixNano: BigInt(NANOS),
                  severityNumber: 17,
                  body: value('down'),
                  attributes: pairs([...exception, attribute('user.id', 'u7')]),
                  traceId: new Uint8Array(16).fill(0xab),
                  spanId: new Uint8Array(8).fill(0xcd),
                },
                { timeUnixNano: BigInt(NANOS), severityNumber: 17, body: value('down') },
              ],
            },
          ],
        },
      ],
    })
    const binary = otlp.decode(post('/v1/logs', body, PROTOBUF_TYPE))
    expect(binary).toEqual(text)
    expect(text.occurrences[0]).toMatchObject({
      code: 'PaymentError',
      message: 'declined',
      userId: 'u7',
      appVersion: '1.2.3',
      environment: 'staging',
      platform: 'node',
      platformVersion: '24.1.0',
      traceId: 'ab'.repeat(16),
      spanId: 'cd'.repeat(8),
      tags: { 'service.name': 'shop', 'k8s.pod.name': 'shop-1' },
      metadata: { body: 'down', resource: { 'k8s.pod.uid': 'u' } },
      timestampMs: RECEIVED_AT_MS - 1_000,
    })
  })

  test('that are equal get an id each, and the same ones when sent again; others differ', () => {
    const ids = (body: string) => json('/v1/logs', body).occurrences.map(({ id }) => id)
    const twice = ids(
      logs([
        record(),
        record(),
        record({ body: { stringValue: 'up' } }),
        record({ timeUnixNano: `${NANOS.slice(0, -1)}1` }),
      ]),
    )
    expect(new Set(twice).size).toBe(4)
    expect(ids(logs([record(), record()]))).toEqual(twice.slice(0, 2))
    expect(ids(logs([record()], [attribute('service.name', 'other')]))[0]).not.toBe(twice[0])
    for (const id of twice)
      expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    const elsewhere = json('/v1/logs', logs([record()]), { appId: 'other-app' }).occurrences[0]
    expect(elsewhere?.id).not.toBe(twice[0])
  })

  test('have the receipt’s time where they say none or one far ahead', () => {
    const of = (more: JsonObject) => json('/v1/logs', logs([record(more)])).occurrences[0]
    expect(of({ timeUnixNano: '0', observedTimeUnixNano: NANOS })?.timestampMs).toBe(
      RECEIVED_AT_MS - 1_000,
    )
    for (const timeUnixNano of [null, 'x', '-1', '', {}, '99999999999999999999']) {
      expect(of({ timeUnixNano })?.timestampMs).toBe(RECEIVED_AT_MS)
    }
    expect(of({ timeUnixNano: `${String(RECEIVED_AT_MS + 4_000_000)}000000` })).toMatchObject({
      timestampMs: RECEIVED_AT_MS,
      originalTimestampMs: RECEIVED_AT_MS + 4_000_000,
    })
  })

  test('beyond the count are a partial success', () => {
    const decoded = json('/v1/logs', logs([record(), record(), record()]), { eventsMax: 2 })
    expect(decoded.occurrences).toHaveLength(2)
    expect(decoded.refused).toMatchObject([{ index: 2, refusal: { code: 'too_large' } }])
  })
})

describe('spans', () => {
  const span = (events: readonly Json[], more: JsonObject = {}) => ({
    name: 'GET /',
    traceId: 'ab'.repeat(16),
    spanId: 'cd'.repeat(8),
    events,
    ...more,
  })
  const thrown = { name: 'exception', timeUnixNano: NANOS, attributes: exception }

  test('are read for their exception events only; spans without are counted', () => {
    const decoded = json(
      '/v1/traces',
      spans([span([thrown, { name: 'retry' }]), span([]), span([{ name: 'log' }])]),
    )
    expect(decoded.occurrences).toMatchObject([
      { code: 'PaymentError', level: 'error', metadata: { span: 'GET /' } },
    ])
    expect(decoded.discarded).toEqual([
      { by: 'server', category: 'span', reason: 'below_error', count: 2 },
    ])
  })

  test('share the id of an exception with its log record, and with no other', () => {
    const [fromSpan] = json('/v1/traces', spans([span([thrown])])).occurrences
    const asLog = (more: JsonObject) =>
      json(
        '/v1/logs',
        logs([
          record({
            attributes: exception,
            traceId: 'ab'.repeat(16),
            spanId: 'cd'.repeat(8),
            ...more,
          }),
        ]),
      ).occurrences[0]
    expect(asLog({})?.id).toBe(fromSpan?.id)
    expect(asLog({ spanId: 'ce'.repeat(8) })?.id).not.toBe(fromSpan?.id)
    expect(asLog({ attributes: exception.slice(1) })?.id).not.toBe(fromSpan?.id)
    const two = json('/v1/traces', spans([span([thrown, thrown])])).occurrences
    expect(new Set(two.map(({ id }) => id)).size).toBe(2)
  })
})

describe('bad requests', () => {
  test.each([
    '',
    'x',
    '[]',
    '7',
    '{"resourceLogs":{}}',
    '{"resourceLogs":"x"}',
    '{"resourceLogs":[{"scopeLogs":[{"logRecords":[7]}]}]}',
  ])('%j in JSON are refused', (body) => {
    expect(refusalOf(() => json('/v1/logs', body)).code).toBe('malformed')
  })

  test.each([
    '{}',
    '{"resourceLogs":null}',
    '{"resourceLogs":[]}',
    '{"resourceLogs":[7,{"scopeLogs":[null,{"logRecords":"x"}]}],"new":1}',
  ])('%j in JSON hold nothing, which is no error', (body) => {
    expect(json('/v1/logs', body)).toMatchObject({ occurrences: [], refused: [] })
  })

  test.each([
    ['text', new TextEncoder().encode('hello world')],
    ['a field of the wrong wire type', new Uint8Array([0x08, 0x01])],
    ['a length beyond the end', new Uint8Array([0x0a, 0x7f, 0x00])],
    ['an endless number', new Uint8Array(12).fill(0xff)],
    ['a record of the wrong wire type', new Uint8Array([0x0a, 0x02, 0x10, 0x01])],
    ['a group without end', new Uint8Array([0x13])],
  ])('%s in protobuf is refused', (_, body) => {
    expect(refusalOf(() => otlp.decode(post('/v1/logs', body, PROTOBUF_TYPE))).code).toBe(
      'malformed',
    )
  })

  test('a bad record costs itself, a bad resource of protobuf costs itself, and neighbours live', () => {
    const decoded = json('/v1/logs', logs([record(), 7, record()]))
    expect(decoded.occurrences).toHaveLength(2)
    expect(decoded.refused).toMatchObject([{ index: 1, refusal: { code: 'malformed' } }])
    const good = protobuf({
      resourceLogs: [{ scopeLogs: [{ logRecords: [{ severityNumber: 17 }] }] }],
    })
    const both = new Uint8Array([...good, 0x0a, 0x03, 0x12, 0x7f, 0x00, ...good])
    const binary = otlp.decode(post('/v1/logs', both, PROTOBUF_TYPE))
    expect(binary.occurrences).toHaveLength(2)
    expect(binary.refused).toMatchObject([{ index: 1 }])
    // Records of one scope: the second one's severity has the wire type of a text.
    const good17 = [0x12, 0x02, 0x10, 17]
    const records = [...good17, 0x12, 0x02, 0x12, 0x00, ...good17]
    const scope = [0x12, records.length, ...records]
    const three = otlp.decode(
      post('/v1/logs', new Uint8Array([0x0a, scope.length, ...scope]), PROTOBUF_TYPE),
    )
    expect(three.occurrences).toHaveLength(2)
    expect(three.refused).toMatchObject([{ index: 1, refusal: { code: 'malformed' } }])
  })

  test('in protobuf may have their fields in any order, and texts that are no UTF-8', () => {
    const parts = (path: number, ...inner: readonly number[]) => [path, inner.length, ...inner]
    const text = (field: number, value: string) =>
      parts((field << 3) | 2, ...new TextEncoder().encode(value))
    const attribute = (name: string, value: readonly number[]) =>
      parts(0x32, ...parts(0x12, ...value), ...text(1, name))
    const record = parts(
      0x12,
      ...attribute('exception.message', parts(0x0a, 0x61, 0xff, 0x62)),
      ...parts(0x4a, ...new Array<number>(16).fill(0xab)),
      ...attribute('exception.type', text(1, 'E')),
    )
    // The scope's records before its name, and the resource behind its scopes.
    const scope = parts(0x12, ...record, ...parts(0x0a, ...text(1, 'app')))
    const version = parts(0x0a, ...text(1, 'service.version'), ...parts(0x12, ...text(1, '7')))
    const body = parts(0x0a, ...scope, ...parts(0x0a, ...version))
    const decoded = otlp.decode(post('/v1/logs', new Uint8Array(body), PROTOBUF_TYPE))
    expect(decoded.occurrences).toMatchObject([
      {
        code: 'E',
        message: 'a\ufffdb',
        appVersion: '7',
        traceId: 'ab'.repeat(16),
        metadata: { scope: { name: 'app' } },
      },
    ])
  })

  test('of another content type are refused as such', () => {
    for (const type of ['text/plain', '', 'multipart/form-data']) {
      const refusal = refusalOf(() => otlp.decode(post('/v1/logs', '{}', { 'content-type': type })))
      expect(refusal.code).toBe('unsupported_encoding')
    }
    expect(
      otlp.decode(post('/v1/logs', '{}', { 'content-type': 'application/json; charset=utf-8' }))
        .refused,
    ).toEqual([])
  })

  test('nested beyond any stack are cut or refused, never a crash', () => {
    const deep = `${'{"arrayValue":{"values":['.repeat(50_000)}${']}}'.repeat(50_000)}`
    const [occurrence] = json(
      '/v1/logs',
      `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"severityNumber":17,"body":${deep}}]}]}]}`,
    ).occurrences
    expect(JSON.stringify(occurrence).length).toBeLessThan(5_000)
    let bytes = new Uint8Array(0)
    const wrap = (tag: number, inner: Uint8Array) => {
      const size: number[] = []
      for (let left = inner.length; ; left >>>= 7) {
        size.push(left > 127 ? (left & 127) | 128 : left)
        if (left <= 127) break
      }
      return new Uint8Array([tag, ...size, ...inner])
    }
    // AnyValue.array_value is field 5, ArrayValue.values field 1, LogRecord.body field 5.
    for (let at = 0; at < 300; at++) bytes = wrap(0x2a, wrap(0x0a, bytes))
    // Its severity, field 2, is ERROR.
    const record = new Uint8Array([0x10, 17, ...wrap(0x2a, bytes)])
    const body = wrap(0x0a, wrap(0x12, wrap(0x12, record)))
    const [fromBytes] = otlp.decode(post('/v1/logs', body, PROTOBUF_TYPE)).occurrences
    expect(JSON.stringify(fromBytes).length).toBeLessThan(5_000)
    // Groups, which OTLP never had, nest without lengths.
    const groups = new Uint8Array(100_000).fill(0x1b)
    expect(refusalOf(() => otlp.decode(post('/v1/logs', groups, PROTOBUF_TYPE))).code).toBe(
      'malformed',
    )
  })

  test('of megabytes in one attribute are cut and marked', () => {
    const big = 'x'.repeat(1_000_000)
    const [occurrence] = json(
      '/v1/logs',
      logs(
        [
          record({
            body: { stringValue: big },
            attributes: [
              attribute('exception.stacktrace', big),
              attribute('exception.type', big),
              attribute('big', big),
            ],
          }),
        ],
        [attribute('service.name', big)],
      ),
    ).occurrences
    expect(occurrence?.code.length).toBe(LIMITS.codeCharsMax)
    expect(JSON.stringify(occurrence).length).toBeLessThan(200_000)
    expect([...(occurrence?.marks ?? [])].sort()).toEqual([
      'code:cut',
      'message:cut',
      'metadata:cut',
      'stackTrace:cut',
      'tags:cut',
    ])
  })
})

describe('the key', () => {
  const of = (headers: Record<string, string>) =>
    otlp.credential(post('/v1/logs', '', headers).request)

  test('is the X-API-Key or the bearer token, and two that differ are refused', () => {
    expect(of({ 'x-api-key': 'k1' })).toBe('k1')
    expect(of({ authorization: 'Bearer k1' })).toBe('k1')
    expect(of({ authorization: 'Bearer k1', 'x-api-key': 'k1' })).toBe('k1')
    expect(of({ authorization: 'Basic k1' })).toBeUndefined()
    expect(of({})).toBeUndefined()
    expect(refusalOf(() => of({ authorization: 'Bearer k1', 'x-api-key': 'k2' })).code).toBe(
      'forbidden',
    )
  })
})

describe('answers', () => {
  const nothing: Decoded = { occurrences: [], refused: [] }
  const request = (path: string, headers: Record<string, string>) => post(path, '', headers).request

  test('of a whole success are empty, in the request’s encoding', async () => {
    const text = answerOf(otlp.accepted(nothing, request('/v1/logs', JSON_TYPE)))
    expect([text.status, text.headers.get('content-type'), await text.text()]).toEqual([
      200,
      'application/json',
      '{}',
    ])
    const binary = answerOf(otlp.accepted(nothing, request('/v1/logs', PROTOBUF_TYPE)))
    expect([binary.status, binary.headers.get('content-type'), await binary.text()]).toEqual([
      200,
      'application/x-protobuf',
      '',
    ])
  })

  test('of a partial success count what was rejected, in the request’s encoding', async () => {
    const partial = {
      ...nothing,
      refused: [{ index: 0, id: null, refusal: new Refusal('malformed', 'No.') }],
    }
    const text = answerOf(otlp.accepted(partial, request('/v1/traces', JSON_TYPE)))
    expect(await text.json()).toEqual({
      partialSuccess: { rejectedSpans: '1', errorMessage: 'No.' },
    })
    const binary = answerOf(otlp.accepted(partial, request('/v1/logs', PROTOBUF_TYPE)))
    const message = fromBinary(
      ExportLogsServiceResponseSchema,
      new Uint8Array(await binary.arrayBuffer()),
    )
    expect(message.partialSuccess).toMatchObject({ rejectedLogRecords: 1n, errorMessage: 'No.' })
  })

  test('to metrics reject every data point and say where they belong', async () => {
    const gauge = { dataPoints: [{}, {}] }
    const body = {
      resourceMetrics: [
        {
          scopeMetrics: [
            { metrics: [{ name: 'a', gauge }, { name: 'b', sum: gauge }, { name: 'c' }] },
          ],
        },
      ],
    }
    const decoded = json('/v1/metrics', JSON.stringify(body))
    expect(decoded.discarded).toEqual([
      { by: 'server', category: 'data_point', reason: 'unsupported', count: 4 },
    ])
    const text = answerOf(otlp.accepted(decoded, request('/v1/metrics', JSON_TYPE)))
    expect(await text.json()).toMatchObject({
      partialSuccess: {
        rejectedDataPoints: '4',
        errorMessage:
          'Metrics are not kept here: send them elsewhere, and errors as logs or spans.',
      },
    })
    const gaugeOfTwo = create(GaugeSchema, { dataPoints: [{}, {}] })
    const data = { case: 'gauge', value: gaugeOfTwo } as const
    const bytes = toBinary(
      ExportMetricsServiceRequestSchema,
      create(ExportMetricsServiceRequestSchema, {
        resourceMetrics: [{ scopeMetrics: [{ metrics: [{ data }, { data }] }] }],
      }),
    )
    const binary = otlp.decode(post('/v1/metrics', bytes, PROTOBUF_TYPE))
    expect(binary.discarded).toEqual(decoded.discarded)
    const answer = answerOf(otlp.accepted(binary, request('/v1/metrics', PROTOBUF_TYPE)))
    const message = fromBinary(
      ExportMetricsServiceResponseSchema,
      new Uint8Array(await answer.arrayBuffer()),
    )
    expect(message.partialSuccess?.rejectedDataPoints).toBe(4n)
  })

  test('that say no are a google.rpc.Status in the request’s encoding', async () => {
    const refusal = new Refusal('overloaded', 'The spool is full.', { retryAfterSeconds: 5 })
    const text = answerOf(otlp.refused(refusal, 503, [], request('/v1/logs', JSON_TYPE)))
    expect([text.status, await text.json()]).toEqual([
      503,
      { code: 14, message: 'The spool is full.' },
    ])
    const binary = answerOf(otlp.refused(refusal, 503, [], request('/v1/logs', PROTOBUF_TYPE)))
    const bytes = [...new Uint8Array(await binary.arrayBuffer())]
    expect(bytes).toEqual([0x08, 14, 0x12, 18, ...new TextEncoder().encode('The spool is full.')])
    expect(binary.headers.get('content-type')).toBe('application/x-protobuf')
  })
})

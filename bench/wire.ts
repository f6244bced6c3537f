import { randomUUID } from 'node:crypto'
import { create, toBinary } from '@bufbuild/protobuf'
import { ExportLogsServiceRequestSchema } from '../src/protocols/otlp/generated/opentelemetry/proto/collector/logs/v1/logs_service_pb.ts'
import { SeverityNumber } from '../src/protocols/otlp/generated/opentelemetry/proto/logs/v1/logs_pb.ts'
import { anEvent } from './events.ts'

/** One event in what each protocol carries it: as many bytes, and as far as the formats go the same content. */

const SDK = {
  name: 'sentry.javascript.node',
  version: '11.12.0',
  packages: [{ name: 'npm:@sentry/node', version: '11.12.0' }],
  integrations: [
    'InboundFilters',
    'FunctionToString',
    'LinkedErrors',
    'Console',
    'Http',
    'NodeFetch',
  ],
}

function crumb(n: number, at: number, nowMs: number) {
  return {
    timestamp: (nowMs - at * 250) / 1000,
    type: 'http',
    category: at % 2 === 0 ? 'http' : 'console',
    level: 'info',
    message: `GET /api/orders/${(n + at) % 1000}`,
    data: { method: 'GET', status_code: 200, url: `https://api.example.com/orders/${at}` },
  }
}

function contexts(n: number) {
  return {
    trace: { trace_id: randomUUID().replaceAll('-', ''), span_id: '00f067aa0ba902b7' },
    runtime: { name: 'node', version: 'v24.1.0' },
    os: { name: 'Debian GNU/Linux', version: '12', kernel_version: '6.1.0-18-amd64' },
    device: { arch: 'x64', processor_count: 4, memory_size: 8_277_032_960, free_memory: n * 1000 },
  }
}

/** A stack that 200 different bugs share among them, as those of the batches do. */
function frames(event: number) {
  const n = (event * 7919) % 200
  return Array.from({ length: 20 }, (_, at) => {
    const inApp = at < 12
    return {
      functionName: `handle${(n + at) % 90}`,
      fileName: inApp
        ? `/srv/app/dist/cart/step${at}.js`
        : '/srv/app/node_modules/express/lib/router.js',
      lineNumber: 10 + ((n * 31 + at * 17) % 900),
      columnNumber: 5 + at,
      inApp,
    }
  })
}

const request = (n: number) => ({
  method: 'POST',
  url: `https://shop.example.com/api/orders/${n % 1000}`,
  headers: { accept: 'application/json', 'user-agent': 'Mozilla/5.0 (X11; Linux x86_64)' },
})

/** A native event of about `bytes` as JSON: what is missing is made of breadcrumbs. */
export function largeNative(n: number, nowMs: number, bytes: number): string {
  const calls = frames(n).map((frame) => ({
    ...frame,
    raw: `    at ${frame.functionName} (${frame.fileName}:${frame.lineNumber}:${frame.columnNumber})`,
  }))
  const event = {
    ...anEvent(n, nowMs),
    stackTrace: ['Error: it failed', ...calls.map(({ raw }) => raw)].join('\n'),
    parsedStack: { frames: calls, raw: '', parser: 'node' },
    metadata: { contexts: contexts(n), request: request(n), sdk: SDK },
  }
  return JSON.stringify({ events: [filled(event, n, nowMs, bytes)] })
}

/** An envelope with one event of about `bytes`, as Sentry's client for Node sends it. */
export function sentryEnvelope(n: number, nowMs: number, bytes: number): string {
  const event_id = randomUUID().replaceAll('-', '')
  const event = {
    event_id,
    timestamp: nowMs / 1000,
    platform: 'node',
    level: 'error',
    release: `shop@2.${n % 7}.0`,
    environment: 'production',
    server_name: 'web-1',
    user: { id: `user-${(n * 31) % 5000}`, email: 'jo@example.com' },
    tags: { region: ['eu', 'us', 'ap'][n % 3], tenant: `t${n % 40}`, build: `b${n % 7}` },
    exception: {
      values: [
        {
          type: 'PaymentError',
          value: `Request ${n} to /api/orders/${n % 1000} failed with status ${500 + (n % 5)}`,
          mechanism: { type: 'generic', handled: true },
          stacktrace: {
            frames: frames(n)
              .map(({ functionName, fileName, lineNumber, columnNumber, inApp }) => ({
                function: functionName,
                filename: fileName,
                module: 'cart.step',
                lineno: lineNumber,
                colno: columnNumber,
                in_app: inApp,
                ...(inApp && {
                  context_line: '    throw new PaymentError(`failed with ${status}`)',
                }),
              }))
              .reverse(),
          },
        },
      ],
    },
    contexts: contexts(n),
    request: request(n),
    sdk: SDK,
  }
  const payload = JSON.stringify(filled(event, n, nowMs, bytes))
  const header = {
    event_id,
    sent_at: new Date(nowMs).toISOString(),
    sdk: { name: SDK.name, version: SDK.version },
  }
  const item = { type: 'event', length: Buffer.byteLength(payload) }
  return [JSON.stringify(header), JSON.stringify(item), payload].join('\n')
}

function filled(event: object, n: number, nowMs: number, bytes: number): object {
  const breadcrumbs: object[] = []
  let size = JSON.stringify(event).length
  while (size < bytes && breadcrumbs.length < 100) {
    const next = crumb(n, breadcrumbs.length, nowMs)
    size += JSON.stringify(next).length + 1
    breadcrumbs.push(next)
  }
  return { ...event, breadcrumbs }
}

/** A batch of `size` log records with exceptions, each of about `bytes` in its encoding. */
export function otlpBatch(
  first: number,
  size: number,
  nowMs: number,
  bytes: number,
  encoding: 'json' | 'protobuf',
): Buffer {
  const resource = {
    'service.name': 'shop',
    'service.version': '2.1.0',
    'deployment.environment.name': 'production',
    'telemetry.sdk.language': 'nodejs',
    'telemetry.sdk.name': 'opentelemetry',
    'telemetry.sdk.version': '2.12.1',
    'process.runtime.version': '24.1.0',
    'k8s.namespace.name': 'web',
    'k8s.pod.name': 'shop-7d4b9',
    'host.name': 'node-1',
  }
  const records = Array.from({ length: size }, (_, at) =>
    record(first + at, nowMs, bytes, encoding),
  )
  const wrap = <P, R>(attributes: P, logRecords: R) => ({
    resourceLogs: [
      { resource: { attributes }, scopeLogs: [{ scope: { name: 'checkout' }, logRecords }] },
    ],
  })
  if (encoding === 'json') {
    return Buffer.from(
      JSON.stringify(
        wrap(
          jsonPairs(resource),
          records.map(({ attributes, ...rest }) => ({
            ...rest,
            timeUnixNano: String(rest.timeUnixNano),
            body: { stringValue: rest.body },
            attributes: jsonPairs(attributes),
          })),
        ),
      ),
    )
  }
  const request = wrap(
    protobufPairs(resource),
    records.map(({ attributes, traceId, spanId, body, ...rest }) => ({
      ...rest,
      body: { value: { case: 'stringValue' as const, value: body } },
      traceId: new Uint8Array(Buffer.from(traceId, 'hex')),
      spanId: new Uint8Array(Buffer.from(spanId, 'hex')),
      attributes: protobufPairs(attributes),
    })),
  )
  return Buffer.from(
    toBinary(ExportLogsServiceRequestSchema, create(ExportLogsServiceRequestSchema, request)),
  )
}

function record(n: number, nowMs: number, bytes: number, encoding: 'json' | 'protobuf') {
  const message = `Request ${n} to /api/orders/${n % 1000} failed with status ${500 + (n % 5)}`
  const own = {
    'exception.type': 'PaymentError',
    'exception.message': message,
    'user.id': `user-${(n * 31) % 5000}`,
    'http.request.method': 'POST',
    'http.route': '/api/orders/:id',
    'url.path': `/api/orders/${n % 1000}`,
    'server.address': 'api.example.com',
    'thread.name': 'main',
  }
  const bug = (n * 7919) % 200
  const lines = Array.from(
    { length: 10 },
    (_, at) =>
      `    at handle${(bug + at) % 90} (/srv/app/dist/cart/step${at}.js:${10 + ((bug * 31 + at * 17) % 900)}:${5 + at})`,
  )
  const attributes: Record<string, string> = {
    ...own,
    'exception.stacktrace': [`PaymentError: ${message}`, ...lines].join('\n'),
  }
  // In JSON a name and a value have 35 characters around them, in protobuf 8 bytes; the record itself has some more.
  const around = encoding === 'json' ? 35 : 8
  const size = () =>
    Object.entries(attributes).reduce(
      (sum, [name, { length }]) => sum + name.length + length + around,
      250,
    )
  for (let at = 0; size() < bytes; at++) {
    attributes[`app.order.item.${at}`] = `sku-${(n * 13 + at) % 10_000} blue, large, 2 pieces`
  }
  return {
    timeUnixNano: BigInt(nowMs) * 1_000_000n + BigInt(n),
    severityNumber: SeverityNumber.ERROR,
    severityText: 'ERROR',
    body: 'payment failed',
    traceId: randomUUID().replaceAll('-', ''),
    spanId: randomUUID().replaceAll('-', '').slice(16),
    attributes,
  }
}

function jsonPairs(attributes: Readonly<Record<string, string>>) {
  return Object.entries(attributes).map(([key, value]) => ({ key, value: { stringValue: value } }))
}

function protobufPairs(attributes: Readonly<Record<string, string>>) {
  return Object.entries(attributes).map(([key, value]) => ({
    key,
    value: { value: { case: 'stringValue' as const, value } },
  }))
}

import { createServer, request as ask } from 'node:http'
import { once } from 'node:events'
import { buffer } from 'node:stream/consumers'
import { afterEach, expect, inject, test, vi } from 'vitest'
import { fromBinary } from '@bufbuild/protobuf'
import {
  TracesDataSchema,
  type Span,
} from '../../src/protocols/otlp/generated/opentelemetry/proto/trace/v1/trace_pb.ts'
import { openLogger } from '../../src/node/logger.ts'
import { openTelemetry } from '../../src/node/telemetry.ts'
import { openTracing } from '../../src/node/tracing.ts'
import { aSite, anEvent } from '../flows/support.ts'

const undo: (() => unknown)[] = []
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
})

/** A receiver of OTLP, with the spans that it was sent. */
async function aReceiver() {
  const spans: Span[] = []
  const server = createServer((request, response) => {
    void buffer(request).then((body) => {
      // The body of a request has the same fields as what a file of traces holds.
      const { resourceSpans } = fromBinary(TracesDataSchema, body)
      for (const { scopeSpans } of resourceSpans)
        for (const scope of scopeSpans) spans.push(...scope.spans)
      response.writeHead(200, { 'Content-Type': 'application/x-protobuf' }).end()
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  undo.push(() => server.close())
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return { url: `http://127.0.0.1:${port}`, spans }
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const PARENT = '00f067aa0ba902b7'

test('a trace shows one event from HTTP to the inserted block', async () => {
  const receiver = await aReceiver()
  const site = await aSite({
    ...{ OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, OTEL_TRACES_SAMPLER_ARG: '0' },
    DELIVERY_AGE_MS_MAX: '20',
  })
  // The first rows of a process are read back from the disk, which keeps no trace.
  await site.ingest([anEvent()])
  await vi.waitUntil(async () => (await site.metric('error_ingestor_spool_events')) === 0, {
    timeout: 20_000,
  })
  const answer = await site.ingest([anEvent()], { traceparent: `00-${TRACE}-${PARENT}-01` })
  expect(answer.status).toBe(200)
  await vi.waitUntil(async () => (await site.metric('error_ingestor_spool_events')) === 0, {
    timeout: 20_000,
  })
  const exemplar = await site.call('/metrics', {
    headers: { Accept: 'application/openmetrics-text' },
  })
  expect(exemplar.text).toMatch(new RegExp(`request_duration.* # \\{trace_id="${TRACE}"\\} `))
  await site.close() // It sends what is left.

  const find = (name: string) => {
    const found = receiver.spans.filter((span) => span.name === name)
    expect(found.map((span) => span.name)).toEqual([name])
    return found[0]!
  }
  const request = find('POST /api/v1/ingest')
  expect([hex(request.traceId), hex(request.parentSpanId)]).toEqual([TRACE, PARENT])
  for (const stage of ['stages', 'spool']) {
    const span = find(stage)
    expect([hex(span.traceId), hex(span.parentSpanId)]).toEqual([TRACE, hex(request.spanId)])
  }
  // The delivery carries the events of many requests: it points at them.
  const delivery = find('deliver')
  expect(delivery.links.map((link) => [hex(link.traceId), hex(link.spanId)])).toEqual([
    [TRACE, hex(request.spanId)],
  ])
  for (const step of [
    'clickhouse known',
    'known',
    'seal',
    'clickhouse insert-occurrences',
    'insert',
  ]) {
    const matching = receiver.spans.filter(
      ({ name, parentSpanId }) =>
        name.startsWith(step) && hex(parentSpanId) === hex(delivery.spanId),
    )
    expect([step, matching.length > 0]).toEqual([step, true])
  }
}, 60_000)

test('without a sampled traceparent and at a share of 0 nothing is sent', async () => {
  const receiver = await aReceiver()
  const site = await aSite({
    ...{ OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, OTEL_TRACES_SAMPLER_ARG: '0' },
    DELIVERY_AGE_MS_MAX: '20',
  })
  await site.ingest([anEvent()])
  await site.ingest([anEvent()], { traceparent: `00-${TRACE}-${PARENT}-00` })
  await vi.waitUntil(async () => (await site.metric('error_ingestor_spool_events')) === 0, {
    timeout: 20_000,
  })
  await site.close()
  expect(receiver.spans).toEqual([])
}, 60_000)

test('ClickHouse is told which trace a statement belongs to', async () => {
  const receiver = await aReceiver()
  const seen: (string | undefined)[] = []
  const real = new URL(inject('clickhouseUrl'))
  const proxy = createServer((request, response) => {
    const { traceparent } = request.headers
    seen.push(typeof traceparent === 'string' ? traceparent : undefined)
    const { method, url: path, headers } = request
    const onward = ask({ hostname: real.hostname, port: real.port, path, method, headers })
    onward.once('response', (answer) => {
      response.writeHead(answer.statusCode ?? 500, answer.headers)
      answer.pipe(response)
    })
    request.pipe(onward)
  }).listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  undo.push(() => proxy.close())
  const address = proxy.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const site = await aSite({
    ...{ OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, OTEL_TRACES_SAMPLER_ARG: '0' },
    ...{ CLICKHOUSE_HOST: `http://127.0.0.1:${port}`, DELIVERY_AGE_MS_MAX: '20' },
  })
  undo.push(site.close)
  seen.length = 0
  const traceparent = `00-${TRACE}-${PARENT}-01`
  await site.call('/dashboard/api/trends?appId=test-app', { headers: { traceparent } })
  const ours = seen.filter((one) => one?.startsWith(`00-${TRACE}-`))
  expect(ours.length).toBeGreaterThan(0)
  expect(ours.filter((one) => one === traceparent)).toEqual([])
  seen.length = 0
  await site.call('/dashboard/api/trends?appId=test-app')
  expect(seen.filter((one) => one?.startsWith(`00-${TRACE}-`))).toEqual([])
}, 60_000)

test('an error of ours is an exception in the span of its request', async () => {
  const receiver = await aReceiver()
  const tracing = await openTracing(
    { tracing: { endpoint: receiver.url, sampleRatio: 1 } },
    '1.2.3',
  )
  const logger = await openLogger({ level: 'silent', pretty: false })
  const telemetry = openTelemetry(logger, '1.2.3', tracing)
  await tracing.request(new Request('http://x/api/v1/ingest'), () => {
    telemetry.bug(new TypeError('the wheel came off'))
    return Promise.resolve(new Response(null, { status: 500 }))
  })
  await tracing.request(new Request('http://x/'), () => Promise.resolve(new Response()))
  await tracing.close()
  const [failed, fine] = receiver.spans
  expect(failed?.status?.code).toBe(2) // ERROR
  expect(failed?.events.map(({ name }) => name)).toEqual(['exception'])
  const said = failed?.events[0]?.attributes.map(({ key, value }) => [key, value?.value.value])
  expect(said).toContainEqual(['exception.type', 'TypeError'])
  expect(said).toContainEqual(['exception.message', 'the wheel came off'])
  expect(fine?.events).toEqual([])
  expect(fine?.status?.code ?? 0).toBe(0)
})

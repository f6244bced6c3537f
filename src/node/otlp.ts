import { AsyncLocalStorage } from 'node:async_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
  type Context,
  type Span,
} from '@opentelemetry/api'
import { parseTraceParent } from '@opentelemetry/core'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto'
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources'
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  SamplingDecision,
  TraceIdRatioBasedSampler,
  TracerProvider,
  type Sampler,
} from '@opentelemetry/sdk-trace'
import type { OpenSpan, SpanLink } from '../trace.ts'
import type { Tracing } from './tracing.ts'

/** Longest that the end of the process waits for the receiver of spans. */
const CLOSE_MS_MAX = 2_000
/** Requests that one delivery points at; it may carry thousands. */
const LINKS_MAX = 128

/** Tracing that sends spans as protobuf over HTTP to `endpoint` + `/v1/traces`. */
export function otlpTracing(endpoint: string, sampleRatio: number, version: string): Tracing {
  const provider = new TracerProvider({
    resource: defaultResource().merge(
      resourceFromAttributes({
        'service.name': process.env['OTEL_SERVICE_NAME'] ?? 'error-ingestor',
        'service.version': version,
      }),
    ),
    sampler: new ParentBasedSampler({ root: rootSampler(sampleRatio) }),
    spanProcessors: [
      new BatchSpanProcessor({
        exporter: new OTLPTraceExporter({ url: `${endpoint.replace(/\/+$/, '')}/v1/traces` }),
      }),
    ],
  })
  const tracer = provider.getTracer('error-ingestor', version)
  /** Only of spans that are recorded: without one, nothing here costs anything. */
  const current = new AsyncLocalStorage<Span>()
  const below = (span: Span | undefined): Context =>
    span === undefined ? ROOT_CONTEXT : trace.setSpan(ROOT_CONTEXT, span)

  async function within<T>(span: Span, work: () => Promise<T>): Promise<T> {
    try {
      return await current.run(span, work)
    } catch (error) {
      fail(span, error)
      throw error
    } finally {
      span.end()
    }
  }

  return {
    here() {
      const span = current.getStore()
      return span === undefined ? undefined : linkOf(span)
    },

    open(name, facts, links): OpenSpan {
      const span = tracer.startSpan(
        name,
        {
          kind: SpanKind.CONSUMER,
          attributes: { ...facts, links: links.length },
          links: links.slice(0, LINKS_MAX).map((link) => ({
            context: { ...link, traceFlags: TraceFlags.SAMPLED },
          })),
        },
        ROOT_CONTEXT,
      )
      return {
        run: (work) => (span.isRecording() ? current.run(span, work) : work()),
        end(error) {
          if (error !== undefined) fail(span, error)
          span.end()
        },
      }
    },

    span(name, facts, work) {
      const parent = current.getStore()
      if (parent === undefined) return work()
      return within(tracer.startSpan(name, { attributes: facts }, below(parent)), work)
    },

    async request(request, answer) {
      const header = request.headers.get('traceparent')
      const remote = header === null ? null : parseTraceParent(header)
      const context =
        remote === null
          ? ROOT_CONTEXT
          : trace.setSpanContext(ROOT_CONTEXT, { ...remote, isRemote: true })
      const span = tracer.startSpan(request.method, { kind: SpanKind.SERVER }, context)
      return span.isRecording() ? within(span, answer) : answer()
    },

    note(facts) {
      const span = current.getStore()
      if (span === undefined) return
      span.setAttributes(facts)
      const { 'http.request.method': method, 'http.route': route } = facts
      if (route !== undefined) span.updateName(`${method} ${route}`)
      if (Number(facts['http.response.status_code']) >= 500) {
        span.setStatus({ code: SpanStatusCode.ERROR })
      }
    },

    stage(name, elapsedMs, count) {
      const parent = current.getStore()
      if (parent === undefined) return
      const endMs = Date.now()
      const attributes = { 'error_ingestor.events': count }
      tracer.startSpan(name, { attributes, startTime: endMs - elapsedMs }, below(parent)).end(endMs)
    },

    error(error) {
      const span = current.getStore()
      if (span !== undefined) fail(span, error)
    },

    traceparent() {
      const span = current.getStore()
      if (span === undefined) return undefined
      const { traceId, spanId } = span.spanContext()
      return `00-${traceId}-${spanId}-01`
    },

    async close() {
      const late = new AbortController()
      const waited = sleep(CLOSE_MS_MAX, undefined, { signal: late.signal }).catch(() => undefined) // It was in time.
      // A receiver that is away must not hold up the end.
      await Promise.race([provider.shutdown().catch(() => undefined), waited])
      late.abort()
    },
  }
}

function linkOf(span: Span): SpanLink {
  const { traceId, spanId } = span.spanContext()
  return { traceId, spanId }
}

function fail(span: Span, error: unknown): void {
  span.recordException(error instanceof Error ? error : String(error))
  span.setStatus({ code: SpanStatusCode.ERROR })
}

/** A share of all traces, and the delivery of every event that is shown. */
function rootSampler(sampleRatio: number): Sampler {
  const ratio = new TraceIdRatioBasedSampler(sampleRatio)
  return {
    shouldSample: (context, traceId, _name, kind, _attributes, links) =>
      links.length > 0
        ? { decision: SamplingDecision.RECORD_AND_SAMPLED }
        : kind === SpanKind.CONSUMER
          ? // A delivery none of whose events is shown has nothing to point at.
            { decision: SamplingDecision.NOT_RECORD }
          : ratio.shouldSample(context, traceId),
    toString: () => ratio.toString(),
  }
}

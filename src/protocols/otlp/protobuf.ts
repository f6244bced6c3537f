import type { DescMessage } from '@bufbuild/protobuf'
import type { BinaryReader } from '@bufbuild/protobuf/wire'
import {
  LogRecordSchema,
  ResourceLogsSchema,
  ScopeLogsSchema,
} from './generated/opentelemetry/proto/logs/v1/logs_pb.ts'
import {
  GaugeSchema,
  MetricSchema,
  ResourceMetricsSchema,
  ScopeMetricsSchema,
} from './generated/opentelemetry/proto/metrics/v1/metrics_pb.ts'
import {
  ResourceSpansSchema,
  ScopeSpansSchema,
  SpanSchema,
  Span_EventSchema,
} from './generated/opentelemetry/proto/trace/v1/trace_pb.ts'
import {
  anyAt,
  each,
  finish,
  idAt,
  nameAt,
  pairAt,
  skip,
  stopAt,
  tagOf,
  wrongType,
} from './reader.ts'
import { eachRecordOfBytes } from './request.ts'
import type { RequestTags } from './request.ts'
import { createAttributes, isErrorRecord, isExceptionEvent } from './signals.ts'
import type { Emitter, Signal, Signals } from './signals.ts'

/**
 * The log records of an `ExportLogsServiceRequest`. A record that cannot be decoded is refused; the others live.
 * @throws Refusal `malformed` when nothing of the request can be decoded.
 */
export function logsOfBytes(body: Uint8Array): Signals {
  const signals: Signal[] = []
  const { total, refused } = eachRecordOfBytes(body, LOGS, (reader, end, emitter, index) => {
    const signal = logAt(reader, end, emitter, index)
    if (signal !== undefined) signals.push(signal)
  })
  return { signals, others: total - signals.length, refused }
}

/**
 * The exception events of an `ExportTraceServiceRequest`; `others` counts the spans without one.
 * @throws Refusal `malformed` when nothing of the request can be decoded.
 */
export function spansOfBytes(body: Uint8Array): Signals {
  const signals: Signal[] = []
  let others = 0
  const { refused } = eachRecordOfBytes(body, SPANS, (reader, end, emitter, index) => {
    const found = spanAt(reader, end, emitter, index)
    if (found.length === 0) others++
    signals.push(...found)
  })
  return { signals, others, refused }
}

/**
 * How many data points an `ExportMetricsServiceRequest` holds.
 * @throws Refusal `malformed` when nothing of the request can be decoded.
 */
export function pointsOfBytes(body: Uint8Array): number {
  let points = 0
  eachRecordOfBytes(body, METRICS, (reader, end) => {
    while (reader.pos < end) {
      const tag = reader.uint32()
      if (DATA.has(tag)) each(reader, stopAt(reader, end), POINT, () => points++)
      else unknown(reader, tag, METRIC_FIELDS)
    }
    finish(reader, end)
  })
  return points
}

const LOGS: RequestTags = {
  resource: tagOf(ResourceLogsSchema.field.resource),
  scopes: tagOf(ResourceLogsSchema.field.scopeLogs),
  scope: tagOf(ScopeLogsSchema.field.scope),
  records: tagOf(ScopeLogsSchema.field.logRecords),
}
const log = LogRecordSchema.field
const LOG_FIELDS = wireTypes(LogRecordSchema)
const LOG_TIME = tagOf(log.timeUnixNano)
const LOG_OBSERVED = tagOf(log.observedTimeUnixNano)
const LOG_SEVERITY = tagOf(log.severityNumber)
const LOG_SEVERITY_TEXT = tagOf(log.severityText)
const LOG_EVENT = tagOf(log.eventName)
const LOG_BODY = tagOf(log.body)
const LOG_ATTRIBUTE = tagOf(log.attributes)
const LOG_TRACE = tagOf(log.traceId)
const LOG_SPAN = tagOf(log.spanId)

/** Undefined where the record is no error; then its attributes and its body were not read. */
function logAt(
  reader: BinaryReader,
  end: number,
  emitter: Emitter,
  index: number,
): Signal | undefined {
  let [severity, time, observed] = [0, 0n, 0n]
  let [severityText, eventName, traceId, spanId] = ['', '', '', '']
  const attributes: number[] = []
  const body: number[] = []
  while (reader.pos < end) {
    const tag = reader.uint32()
    if (tag === LOG_ATTRIBUTE) hop(reader, end, attributes)
    else if (tag === LOG_BODY) hop(reader, end, body)
    else if (tag === LOG_TIME) time = BigInt(reader.fixed64())
    else if (tag === LOG_OBSERVED) observed = BigInt(reader.fixed64())
    else if (tag === LOG_SEVERITY) severity = reader.int32()
    else if (tag === LOG_SEVERITY_TEXT) severityText = reader.string()
    else if (tag === LOG_EVENT) eventName = reader.string()
    else if (tag === LOG_TRACE) traceId = idAt(reader, 16)
    else if (tag === LOG_SPAN) spanId = idAt(reader, 8)
    else unknown(reader, tag, LOG_FIELDS)
  }
  finish(reader, end)
  if (!isErrorRecord(severity, eventName, []) && !hasException(reader, attributes)) return undefined
  const [bodyStart, bodyEnd] = body.slice(-2)
  if (bodyStart !== undefined) reader.pos = bodyStart
  return {
    kind: 'log',
    emitter,
    index,
    timeNanos: String(time === 0n ? observed : time),
    eventName,
    severity,
    severityText,
    body: bodyEnd === undefined ? null : anyAt(reader, bodyEnd),
    ...pairsAt(reader, attributes),
    traceId,
    spanId,
    span: '',
  }
}

const SPANS: RequestTags = {
  resource: tagOf(ResourceSpansSchema.field.resource),
  scopes: tagOf(ResourceSpansSchema.field.scopeSpans),
  scope: tagOf(ScopeSpansSchema.field.scope),
  records: tagOf(ScopeSpansSchema.field.spans),
}
const span = SpanSchema.field
const SPAN_FIELDS = wireTypes(SpanSchema)
const SPAN_TRACE = tagOf(span.traceId)
const SPAN_SPAN = tagOf(span.spanId)
const SPAN_NAME = tagOf(span.name)
const SPAN_ATTRIBUTE = tagOf(span.attributes)
const SPAN_EVENT = tagOf(span.events)

/** The exceptions of a span, mostly none; then its attributes were not read. */
function spanAt(
  reader: BinaryReader,
  end: number,
  emitter: Emitter,
  index: number,
): readonly Signal[] {
  let [traceId, spanId, name] = ['', '', '']
  const attributes: number[] = []
  const events: number[] = []
  while (reader.pos < end) {
    const tag = reader.uint32()
    if (tag === SPAN_ATTRIBUTE) hop(reader, end, attributes)
    else if (tag === SPAN_EVENT) hop(reader, end, events)
    else if (tag === SPAN_TRACE) traceId = idAt(reader, 16)
    else if (tag === SPAN_SPAN) spanId = idAt(reader, 8)
    else if (tag === SPAN_NAME) name = reader.string()
    else unknown(reader, tag, SPAN_FIELDS)
  }
  finish(reader, end)
  const found: Signal[] = []
  eachPart(reader, events, (stop) => {
    const event = eventAt(reader, stop)
    if (!isExceptionEvent(event.name)) return
    found.push({
      kind: 'span',
      emitter,
      index,
      timeNanos: event.timeNanos,
      eventName: event.name,
      severity: 0,
      severityText: '',
      body: null,
      ...pairsAt(reader, [...attributes, ...event.attributes]),
      traceId,
      spanId,
      span: name,
    })
  })
  return found
}

const event = Span_EventSchema.field
const EVENT_FIELDS = wireTypes(Span_EventSchema)
const EVENT_TIME = tagOf(event.timeUnixNano)
const EVENT_NAME = tagOf(event.name)
const EVENT_ATTRIBUTE = tagOf(event.attributes)

function eventAt(reader: BinaryReader, end: number) {
  let [timeNanos, name] = ['0', '']
  const attributes: number[] = []
  while (reader.pos < end) {
    const tag = reader.uint32()
    if (tag === EVENT_ATTRIBUTE) hop(reader, end, attributes)
    else if (tag === EVENT_TIME) timeNanos = String(reader.fixed64())
    else if (tag === EVENT_NAME) name = reader.string()
    else unknown(reader, tag, EVENT_FIELDS)
  }
  finish(reader, end)
  return { timeNanos, name, attributes }
}

const METRICS: RequestTags = {
  resource: tagOf(ResourceMetricsSchema.field.resource),
  scopes: tagOf(ResourceMetricsSchema.field.scopeMetrics),
  scope: tagOf(ScopeMetricsSchema.field.scope),
  records: tagOf(ScopeMetricsSchema.field.metrics),
}
const METRIC_FIELDS = wireTypes(MetricSchema)
const { gauge, sum, histogram, exponentialHistogram, summary } = MetricSchema.field
const DATA = new Set([gauge, sum, histogram, exponentialHistogram, summary].map(tagOf))
const POINT = tagOf(GaugeSchema.field.dataPoints)

/** Notes where a message begins and ends, and hops over it. */
function hop(reader: BinaryReader, end: number, parts: number[]): void {
  const stop = stopAt(reader, end)
  parts.push(reader.pos, stop)
  reader.pos = stop
}

/** Goes to each of the messages that were noted. */
function eachPart(
  reader: BinaryReader,
  parts: readonly number[],
  visit: (end: number) => void,
): void {
  for (let at = 0; at < parts.length; at += 2) {
    reader.pos = parts[at] ?? 0
    visit(parts[at + 1] ?? 0)
  }
}

function pairsAt(reader: BinaryReader, parts: readonly number[]) {
  const { exception, attributes, add } = createAttributes()
  eachPart(reader, parts, (stop) => pairAt(reader, stop, add))
  return { exception, attributes }
}

function hasException(reader: BinaryReader, attributes: readonly number[]): boolean {
  const names: string[] = []
  eachPart(reader, attributes, (stop) => names.push(nameAt(reader, stop)))
  return isErrorRecord(0, '', names)
}

function wireTypes({ fields }: DescMessage): ReadonlyMap<number, number> {
  return new Map(fields.map((field) => [field.number, tagOf(field) & 7]))
}

/** Hops over a field that we do not read. */
function unknown(reader: BinaryReader, tag: number, types: ReadonlyMap<number, number>): void {
  const type = types.get(tag >>> 3)
  if (type !== undefined && type !== (tag & 7)) throw wrongType(tag)
  skip(reader, tag)
}

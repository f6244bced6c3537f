import { fromBinary } from '@bufbuild/protobuf'
import type { DescMessage, MessageShape } from '@bufbuild/protobuf'
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { bytesToHex } from '@noble/hashes/utils.js'
import type { Json, JsonObject } from '../../occurrence.ts'
import { Refusal } from '../../refusal.ts'
import { hexOf } from '../derive.ts'
import type { RefusedItem } from '../protocol.ts'
import type { AnyValue, KeyValue } from './generated/opentelemetry/proto/common/v1/common_pb.ts'
import { ResourceLogsSchema } from './generated/opentelemetry/proto/logs/v1/logs_pb.ts'
import { ResourceMetricsSchema } from './generated/opentelemetry/proto/metrics/v1/metrics_pb.ts'
import { ResourceSpansSchema } from './generated/opentelemetry/proto/trace/v1/trace_pb.ts'
import { isErrorRecord, isExceptionEvent } from './signals.ts'
import type { Emitter, Signal, Signals } from './signals.ts'

/**
 * The log records of an `ExportLogsServiceRequest`. A resource that cannot be decoded is refused; the others live.
 * @throws Refusal `malformed` when the request itself cannot be.
 */
export function logsOfBytes(body: Uint8Array): Signals {
  const { messages, refused } = resources(ResourceLogsSchema, body)
  const signals: Signal[] = []
  let index = 0
  for (const { resource, scopeLogs } of messages) {
    const attributes = objectOfPairs(resource?.attributes)
    for (const { scope, logRecords } of scopeLogs) {
      const emitter = emitterOf(attributes, scope)
      for (const record of logRecords) {
        const names = record.attributes.map(({ key }) => key)
        const position = index++
        if (!isErrorRecord(record.severityNumber, record.eventName, names)) continue
        signals.push({
          kind: 'log',
          emitter,
          index: position,
          timeNanos: String(record.timeUnixNano || record.observedTimeUnixNano),
          eventName: record.eventName,
          severity: record.severityNumber,
          severityText: record.severityText,
          body: jsonOf(record.body),
          attributes: objectOfPairs(record.attributes),
          traceId: hexOf(bytesToHex(record.traceId), 32),
          spanId: hexOf(bytesToHex(record.spanId), 16),
          span: '',
        })
      }
    }
  }
  return { signals, others: index - signals.length, refused }
}

/**
 * The exception events of an `ExportTraceServiceRequest`; `others` counts the spans without one.
 * @throws Refusal `malformed` when the request itself cannot be decoded.
 */
export function spansOfBytes(body: Uint8Array): Signals {
  const { messages, refused } = resources(ResourceSpansSchema, body)
  const signals: Signal[] = []
  let [index, others] = [0, 0]
  for (const { resource, scopeSpans } of messages) {
    const attributes = objectOfPairs(resource?.attributes)
    for (const { scope, spans } of scopeSpans) {
      const emitter = emitterOf(attributes, scope)
      for (const span of spans) {
        const position = index++
        const events = span.events.filter(({ name }) => isExceptionEvent(name))
        if (events.length === 0) others++
        for (const event of events) {
          signals.push({
            kind: 'span',
            emitter,
            index: position,
            timeNanos: String(event.timeUnixNano),
            eventName: event.name,
            severity: 0,
            severityText: '',
            body: null,
            attributes: objectOfPairs([...span.attributes, ...event.attributes]),
            traceId: hexOf(bytesToHex(span.traceId), 32),
            spanId: hexOf(bytesToHex(span.spanId), 16),
            span: span.name,
          })
        }
      }
    }
  }
  return { signals, others, refused }
}

/**
 * How many data points an `ExportMetricsServiceRequest` holds.
 * @throws Refusal `malformed` when the request itself cannot be decoded.
 */
export function pointsOfBytes(body: Uint8Array): number {
  let points = 0
  for (const { scopeMetrics } of resources(ResourceMetricsSchema, body).messages) {
    for (const { metrics } of scopeMetrics) {
      for (const { data } of metrics) points += data.value?.dataPoints.length ?? 0
    }
  }
  return points
}

/** `partial_success` of any of the three answers: they have the same shape. */
export function partialSuccessBytes(rejected: number, message: string): Uint8Array<ArrayBuffer> {
  if (rejected === 0 && message === '') return new Uint8Array(0)
  const partial = new BinaryWriter()
  if (rejected > 0) partial.tag(1, WireType.Varint).int64(rejected)
  if (message !== '') partial.tag(2, WireType.LengthDelimited).string(message)
  return new BinaryWriter().tag(1, WireType.LengthDelimited).bytes(partial.finish()).finish()
}

/** A `google.rpc.Status` without details. */
export function statusBytes(code: number, message: string): Uint8Array<ArrayBuffer> {
  const status = new BinaryWriter().tag(1, WireType.Varint).int32(code)
  return status.tag(2, WireType.LengthDelimited).string(message).finish()
}

/** All three requests are a list of resources in field 1; each is decoded by itself, so that one bad costs one. */
function resources<Desc extends DescMessage>(
  schema: Desc,
  body: Uint8Array,
): { readonly messages: readonly MessageShape<Desc>[]; readonly refused: readonly RefusedItem[] } {
  const parts = split(body)
  const messages: MessageShape<Desc>[] = []
  const refused: RefusedItem[] = []
  for (const [index, part] of parts.entries()) {
    try {
      messages.push(fromBinary(schema, part, { readUnknownFields: false }))
    } catch (cause) {
      // The library throws plain errors for bytes that are no such message; it reads nothing else.
      refused.push({ index, id: null, refusal: undecodable(cause) })
    }
  }
  const [first] = refused
  if (messages.length === 0 && first !== undefined) throw first.refusal
  return { messages, refused }
}

function split(body: Uint8Array): readonly Uint8Array[] {
  const parts: Uint8Array[] = []
  const reader = new BinaryReader(body)
  try {
    while (reader.pos < reader.len) {
      const [field, wireType] = reader.tag()
      if (field !== 1) reader.skip(wireType, field)
      else if (wireType === WireType.LengthDelimited) parts.push(reader.bytes())
      else throw new Error('field 1 is no message')
    }
  } catch (cause) {
    throw undecodable(cause)
  }
  return parts
}

function undecodable(cause: unknown): Refusal {
  return new Refusal(
    'malformed',
    'The body is no OTLP request in protobuf as its Content-Type says.',
    { cause },
  )
}

function emitterOf(
  resource: JsonObject,
  scope: { readonly name: string; readonly version: string } | undefined,
): Emitter {
  return { resource, scope: scope?.name ?? '', scopeVersion: scope?.version ?? '' }
}

function objectOfPairs(pairs: readonly KeyValue[] | undefined): JsonObject {
  return Object.fromEntries((pairs ?? []).map(({ key, value }) => [key, jsonOf(value)]))
}

function jsonOf(any: AnyValue | undefined): Json {
  const value = any?.value
  if (value === undefined) return null
  switch (value.case) {
    case 'stringValue':
    case 'boolValue':
      return value.value
    case 'doubleValue':
      return Number.isFinite(value.value) ? value.value : String(value.value)
    case 'intValue': {
      const number = Number(value.value)
      return Number.isSafeInteger(number) ? number : String(value.value)
    }
    case 'bytesValue':
      return bytesToHex(value.value)
    case 'arrayValue':
      return value.value.values.map(jsonOf)
    case 'kvlistValue':
      return objectOfPairs(value.value.values)
    case 'stringValueStrindex': // An index into a table that only profiles have.
    case undefined:
      return null
  }
}

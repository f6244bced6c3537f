import { LIMITS } from '../../occurrence.ts'
import type { Json, JsonObject } from '../../occurrence.ts'
import { Refusal } from '../../refusal.ts'
import { hexOf } from '../derive.ts'
import { isObject, listOf, numberOf, objectOf, parseJson, put, textOf } from '../json.ts'
import type { MutableJsonObject } from '../json.ts'
import type { RefusedItem } from '../protocol.ts'
import { createAttributes, isErrorRecord, isExceptionEvent } from './signals.ts'
import type { Emitter, Signal, Signals } from './signals.ts'

/**
 * The log records of a request in OTLP's JSON: ids in hex, 64-bit numbers as text or number, enums as numbers,
 * unknown fields ignored. A record that is no object is refused; the others live.
 * @throws Refusal `malformed` when the body is no such request.
 * @see https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
 */
export function logsOfText(body: Uint8Array): Signals {
  const signals: Signal[] = []
  const { total, refused } = eachRecord(body, LOGS, (record, emitter, index) => {
    const severity = numberOf(record['severityNumber']) ?? 0
    const eventName = textOf(record['eventName']) ?? ''
    const pairs = listOf(record['attributes'])
    const isError =
      isErrorRecord(severity, eventName, []) || isErrorRecord(0, '', pairs.map(nameOf))
    if (!isError) return
    const time = nanosOf(record['timeUnixNano'])
    signals.push({
      kind: 'log',
      emitter,
      index,
      timeNanos: time === '0' ? nanosOf(record['observedTimeUnixNano']) : time,
      eventName,
      severity,
      severityText: textOf(record['severityText']) ?? '',
      body: anyOf(record['body'], LIMITS.metadataDepthMax),
      ...signalPairs(pairs),
      traceId: hexOf(textOf(record['traceId']), 32),
      spanId: hexOf(textOf(record['spanId']), 16),
      span: '',
    })
  })
  return { signals, others: total - refused.length - signals.length, refused }
}

/**
 * The exception events of a trace request in OTLP's JSON; `others` counts the spans without one.
 * @throws Refusal `malformed` when the body is no such request.
 */
export function spansOfText(body: Uint8Array): Signals {
  const signals: Signal[] = []
  let others = 0
  const { refused } = eachRecord(body, SPANS, (span, emitter, index) => {
    const events = listOf(span['events'])
      .filter(isObject)
      .filter((event) => isExceptionEvent(textOf(event['name']) ?? ''))
    if (events.length === 0) others++
    for (const event of events) {
      signals.push({
        kind: 'span',
        emitter,
        index,
        timeNanos: nanosOf(event['timeUnixNano']),
        eventName: textOf(event['name']) ?? '',
        severity: 0,
        severityText: '',
        body: null,
        ...signalPairs([...listOf(span['attributes']), ...listOf(event['attributes'])]),
        traceId: hexOf(textOf(span['traceId']), 32),
        spanId: hexOf(textOf(span['spanId']), 16),
        span: textOf(span['name']) ?? '',
      })
    }
  })
  return { signals, others, refused }
}

/**
 * How many data points a metrics request in OTLP's JSON holds.
 * @throws Refusal `malformed` when the body is no such request.
 */
export function pointsOfText(body: Uint8Array): number {
  let points = 0
  eachRecord(body, METRICS, (metric) => {
    const data = Object.values(metric).find((value) => isObject(value) && 'dataPoints' in value)
    points += listOf(objectOf(data)?.['dataPoints']).length
  })
  return points
}

interface Names {
  readonly resources: string
  readonly scopes: string
  readonly records: string
}

const LOGS: Names = { resources: 'resourceLogs', scopes: 'scopeLogs', records: 'logRecords' }
const SPANS: Names = { resources: 'resourceSpans', scopes: 'scopeSpans', records: 'spans' }
const METRICS: Names = { resources: 'resourceMetrics', scopes: 'scopeMetrics', records: 'metrics' }

function eachRecord(
  body: Uint8Array,
  names: Names,
  take: (record: JsonObject, emitter: Emitter, index: number) => void,
): { readonly total: number; readonly refused: readonly RefusedItem[] } {
  const request = parseJson(body, 'The body')
  const resources = isObject(request) ? (request[names.resources] ?? []) : null
  if (!Array.isArray(resources)) throw malformed(`The body must hold an array ${names.resources}.`)
  const refused: RefusedItem[] = []
  let total = 0
  for (const resource of listOf(resources).map(objectOf)) {
    const attributes = pairsOf(objectOf(resource?.['resource'])?.['attributes'])
    for (const scope of listOf(resource?.[names.scopes]).map(objectOf)) {
      const about = objectOf(scope?.['scope'])
      const emitter: Emitter = {
        resource: attributes,
        scope: textOf(about?.['name']) ?? '',
        scopeVersion: textOf(about?.['version']) ?? '',
      }
      for (const record of listOf(scope?.[names.records])) {
        const index = total++
        if (isObject(record)) take(record, emitter, index)
        else
          refused.push({
            index,
            id: null,
            refusal: malformed(`Each of ${names.records} must be an object.`),
          })
      }
    }
  }
  const [first] = refused
  if (first !== undefined && refused.length === total) throw first.refusal
  return { total, refused }
}

function signalPairs(pairs: readonly Json[]) {
  const { exception, attributes, add } = createAttributes()
  for (const pair of pairs) {
    if (isObject(pair)) add(nameOf(pair), anyOf(pair['value'], LIMITS.metadataDepthMax))
  }
  return { exception, attributes }
}

function pairsOf(pairs: Json | undefined, depthMax: number = LIMITS.metadataDepthMax): JsonObject {
  const object: MutableJsonObject = {}
  for (const pair of listOf(pairs)) {
    if (isObject(pair)) put(object, nameOf(pair), anyOf(pair['value'], depthMax))
  }
  return object
}

function nameOf(pair: Json): string {
  return (isObject(pair) ? textOf(pair['key']) : undefined) ?? ''
}

function anyOf(any: Json | undefined, depthMax: number): Json {
  const value = objectOf(any)
  if (value === undefined || depthMax <= 0) return null
  if (typeof value['stringValue'] === 'string') return value['stringValue']
  if (typeof value['boolValue'] === 'boolean') return value['boolValue']
  const integer = numberOf(value['intValue'])
  // Beyond 2^53 the text is exact and the number is not.
  if (integer !== undefined)
    return Number.isSafeInteger(integer) ? integer : (textOf(value['intValue']) ?? null)
  if (value['doubleValue'] !== undefined) {
    return numberOf(value['doubleValue']) ?? textOf(value['doubleValue']) ?? null
  }
  if (typeof value['bytesValue'] === 'string') return value['bytesValue']
  const array = objectOf(value['arrayValue'])
  if (array !== undefined) return listOf(array['values']).map((each) => anyOf(each, depthMax - 1))
  const entries = objectOf(value['kvlistValue'])
  return entries === undefined ? null : pairsOf(entries['values'], depthMax - 1)
}

function nanosOf(value: Json | undefined): string {
  const text =
    typeof value === 'number' && Number.isFinite(value)
      ? BigInt(Math.trunc(value)).toString()
      : value
  return typeof text === 'string' && /^\d{1,20}$/.test(text) ? text : '0'
}

function malformed(message: string): Refusal {
  return new Refusal('malformed', message)
}

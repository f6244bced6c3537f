import type { Json, JsonObject } from '../../occurrence.ts'
import { put, textOf } from '../json.ts'
import type { MutableJsonObject } from '../json.ts'
import type { RefusedItem } from '../protocol.ts'

/** What the records of one resource and scope share. */
export interface Emitter {
  readonly resource: JsonObject
  readonly scope: string
  readonly scopeVersion: string
}

/** The exception that a record carries in its attributes. */
export interface ExceptionTexts {
  type: string
  message: string
  stacktrace: string
}

/** A log record or a span event that may be an error, in one form for both encodings. */
export interface Signal {
  readonly kind: 'log' | 'span'
  readonly emitter: Emitter
  /** Position among all records of the request. */
  readonly index: number
  /** Nanoseconds since the epoch, as decimal digits; `0` when the client did not say. */
  readonly timeNanos: string
  readonly eventName: string
  /** 1 to 24, 0 unspecified. */
  readonly severity: number
  readonly severityText: string
  readonly body: Json
  /** What the attributes `exception.…` say; empty where they do not. */
  readonly exception: ExceptionTexts
  /** All other attributes. */
  readonly attributes: JsonObject
  /** Lower-case hex, or empty. */
  readonly traceId: string
  readonly spanId: string
  /** The span's name, for span events. */
  readonly span: string
}

/** What a request holds: what we may keep, and how much else there was. */
export interface Signals {
  readonly signals: readonly Signal[]
  /** Records that are no errors. */
  readonly others: number
  readonly refused: readonly RefusedItem[]
}

/** From here on a log record counts as an error (SEVERITY_NUMBER_ERROR). */
export const SEVERITY_ERROR = 17
/** From here on it is fatal (SEVERITY_NUMBER_FATAL). */
export const SEVERITY_FATAL = 21

/** Whether a log record is an error: by its severity, or because it carries an exception. */
export function isErrorRecord(
  severity: number,
  eventName: string,
  attributeNames: readonly string[],
): boolean {
  return (
    severity >= SEVERITY_ERROR || isExceptionEvent(eventName) || attributeNames.some(isException)
  )
}

/** Whether the event of a span (or of a log record) is an exception by its name. */
export function isExceptionEvent(name: string): boolean {
  return name === 'exception' || name.endsWith('.exception')
}

/** Collects the attributes of a record: texts of the exception apart from all others. */
export function createAttributes() {
  const exception: ExceptionTexts = { type: '', message: '', stacktrace: '' }
  const attributes: MutableJsonObject = {}
  return {
    exception,
    attributes,
    add: (name: string, value: Json): void => {
      if (name === 'exception.type') exception.type = textOf(value) ?? ''
      else if (name === 'exception.message') exception.message = textOf(value) ?? ''
      else if (name === 'exception.stacktrace') exception.stacktrace = textOf(value) ?? ''
      else put(attributes, name, value)
    },
  }
}

function isException(attributeName: string): boolean {
  return attributeName === 'exception.type' || attributeName === 'exception.message'
}

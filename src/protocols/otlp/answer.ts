import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import type { Refusal, RefusalCode } from '../../refusal.ts'
import type { Decoded, Reply } from '../protocol.ts'

/** How a request is written; its answer is written the same way. */
export type Encoding = 'protobuf' | 'json'

/** The encoding that a request's content type says. Undefined for any other. */
export function encodingOf(request: Request): Encoding | undefined {
  const type = request.headers.get('content-type')?.split(';', 1)[0]?.trim().toLowerCase()
  if (type === 'application/x-protobuf' || type === 'application/protobuf') return 'protobuf'
  return type === 'application/json' ? 'json' : undefined
}

/**
 * The yes. What was refused among it is a partial success, which clients do not send again; what is no error
 * was not rejected, only not kept.
 */
export function accepted(decoded: Decoded, request?: Request): Reply {
  const unsupported = (decoded.discarded ?? []).filter(({ reason }) => reason === 'unsupported')
  const rejected = unsupported.reduce((sum, { count }) => sum + count, decoded.refused.length)
  const message =
    decoded.refused[0]?.refusal.message ??
    (rejected > 0
      ? 'Metrics are not kept here: send them elsewhere, and errors as logs or spans.'
      : '')
  if (request !== undefined && encodingOf(request) === 'protobuf') {
    return answer(200, 'application/x-protobuf', partialSuccessBytes(rejected, message))
  }
  const field = REJECTED[signalOf(request)]
  const partialSuccess = { [field]: String(rejected), errorMessage: message }
  return answer(200, 'application/json', JSON.stringify(rejected > 0 ? { partialSuccess } : {}))
}

/** The no: a `google.rpc.Status`. */
export function refused(
  refusal: Refusal,
  status: number,
  _items?: unknown,
  request?: Request,
): Reply {
  const code = CODES[refusal.code]
  return request !== undefined && encodingOf(request) === 'protobuf'
    ? answer(status, 'application/x-protobuf', statusBytes(code, refusal.message))
    : answer(status, 'application/json', JSON.stringify({ code, message: refusal.message }))
}

/** Which of the three services a request's path names. */
export function signalOf(request: Request | undefined): 'logs' | 'traces' | 'metrics' {
  const path = request === undefined ? '' : new URL(request.url).pathname
  if (path.endsWith('/v1/traces')) return 'traces'
  return path.endsWith('/v1/metrics') ? 'metrics' : 'logs'
}

const REJECTED = {
  logs: 'rejectedLogRecords',
  traces: 'rejectedSpans',
  metrics: 'rejectedDataPoints',
} as const

// https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto
const CODES = {
  malformed: 3,
  unsupported_encoding: 3,
  too_large: 3,
  timeout: 4,
  not_found: 5,
  forbidden: 7,
  rate_limited: 8,
  quota: 8,
  conflict: 9,
  method_not_allowed: 12,
  overloaded: 14,
  unauthenticated: 16,
} as const satisfies Record<RefusalCode, number>

function answer(status: number, contentType: string, body: Reply['body']): Reply {
  return { status, contentType, body }
}

/** `partial_success` of any of the three answers: they have the same shape. */
function partialSuccessBytes(rejected: number, message: string): Uint8Array<ArrayBuffer> {
  if (rejected === 0 && message === '') return new Uint8Array(0)
  const partial = new BinaryWriter()
  if (rejected > 0) partial.tag(1, WireType.Varint).int64(rejected)
  if (message !== '') partial.tag(2, WireType.LengthDelimited).string(message)
  return new BinaryWriter().tag(1, WireType.LengthDelimited).bytes(partial.finish()).finish()
}

/** A `google.rpc.Status` without details. */
function statusBytes(code: number, message: string): Uint8Array<ArrayBuffer> {
  const status = new BinaryWriter().tag(1, WireType.Varint).int32(code)
  return status.tag(2, WireType.LengthDelimited).string(message).finish()
}

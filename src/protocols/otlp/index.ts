import { Refusal } from '../../refusal.ts'
import { ordinals } from '../derive.ts'
import type { Decoded, Discarded, Post, Protocol } from '../protocol.ts'
import { accepted, encodingOf, refused, signalOf } from './answer.ts'
import { occurrenceOf } from './exception.ts'
import { logsOfBytes, pointsOfBytes, spansOfBytes } from './protobuf.ts'
import type { Signals } from './signals.ts'
import { logsOfText, pointsOfText, spansOfText } from './text.ts'

/**
 * OpenTelemetry over HTTP. Of logs the errors are kept, of traces the exceptions, of metrics nothing.
 * @see https://opentelemetry.io/docs/specs/otlp/#otlphttp
 */
export const otlp: Protocol = {
  name: 'otlp',
  paths: ['/v1/logs', '/v1/traces', '/v1/metrics'],
  credential,
  corsHeaders: ['content-type', 'content-encoding', 'authorization', 'x-api-key', 'traceparent'],
  decode,
  accepted,
  refused,
}

/** @throws Refusal `forbidden` when the request holds two keys that differ. */
function credential({ headers }: Request): string | undefined {
  const own = headers.get('x-api-key')?.trim()
  const bearer = /^Bearer +(\S+)$/i.exec(headers.get('authorization')?.trim() ?? '')?.[1]
  if (own !== undefined && own !== '' && bearer !== undefined && own !== bearer) {
    throw new Refusal('forbidden', 'The request holds two keys that differ; send one.')
  }
  return own === undefined || own === '' ? bearer : own
}

function decode(post: Post): Decoded {
  const encoding = encodingOf(post.request)
  if (encoding === undefined) {
    throw new Refusal(
      'unsupported_encoding',
      'The Content-Type must be application/x-protobuf or application/json.',
    )
  }
  const isText = encoding === 'json'
  switch (signalOf(post.request)) {
    case 'logs':
      return kept((isText ? logsOfText : logsOfBytes)(post.body), 'log_record', post)
    case 'traces':
      return kept((isText ? spansOfText : spansOfBytes)(post.body), 'span', post)
    case 'metrics': {
      const count = (isText ? pointsOfText : pointsOfBytes)(post.body)
      return {
        occurrences: [],
        refused: [],
        discarded: counted('data_point', 'unsupported', count),
      }
    }
  }
}

function kept({ signals, others, refused: bad }: Signals, category: string, post: Post): Decoded {
  const ordinalOf = ordinals()
  const occurrences = signals
    .slice(0, post.eventsMax)
    .map((signal) => occurrenceOf(signal, post, ordinalOf))
  const beyond = signals.slice(post.eventsMax).map(({ index }) => {
    const message = `A request holds at most ${String(post.eventsMax)} errors; the others are not kept.`
    return { index, id: null, refusal: new Refusal('too_large', message) }
  })
  return {
    occurrences,
    refused: [...bad, ...beyond],
    discarded: counted(category, 'below_error', others),
  }
}

function counted(category: string, reason: string, count: number): readonly Discarded[] {
  return count === 0 ? [] : [{ by: 'server', category, reason, count }]
}

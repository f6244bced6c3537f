import fc from 'fast-check'
import { afterAll, expect, test } from 'vitest'
import { sentry } from '../../../src/protocols/sentry/index.ts'
import { anyJson as json, fuzz, maybe } from '../../fixtures/fuzz.ts'
import { clients, post, recorded } from '../../fixtures/replay.ts'

const fire = fuzz(sentry)
afterAll(() => fire.finish())

test('recorded envelopes, damaged at random, are decoded or refused', { timeout: 600_000 }, () => {
  fire.damaged(0.7, clients('sentry-').flatMap(recorded))
})

const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom('', '0', 'node', 'python', 'javascript', '{{ default }}'),
)
const frame = fc.record(
  {
    function: maybe(text),
    module: maybe(text),
    filename: maybe(text),
    lineno: maybe(fc.integer()),
    colno: maybe(fc.double()),
    in_app: maybe(fc.boolean()),
    context_line: maybe(text),
  },
  { requiredKeys: [] },
)
const exception = fc.record(
  {
    type: maybe(text),
    value: maybe(text),
    module: maybe(text),
    mechanism: json,
    stacktrace: maybe(fc.record({ frames: maybe(fc.array(maybe(frame), { maxLength: 6 })) })),
  },
  { requiredKeys: [] },
)
const event = fc.record(
  {
    event_id: maybe(fc.stringMatching(/^[0-9a-f]{32}$/)),
    timestamp: maybe(
      fc.oneof(
        fc.double(),
        fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
      ),
    ),
    level: maybe(fc.constantFrom('fatal', 'error', 'warn', 'log')),
    platform: maybe(text),
    message: maybe(text),
    logger: maybe(text),
    release: maybe(text),
    environment: maybe(text),
    exception: maybe(
      fc.oneof(
        fc.record({ values: maybe(fc.array(maybe(exception), { maxLength: 4 })) }),
        fc.array(exception, { maxLength: 3 }),
        exception,
      ),
    ),
    threads: maybe(
      fc.record({
        values: fc.array(
          fc.record({
            current: json,
            stacktrace: fc.record({ frames: fc.array(frame, { maxLength: 3 }) }),
          }),
          { maxLength: 3 },
        ),
      }),
    ),
    tags: maybe(fc.oneof(fc.dictionary(text, json), fc.array(fc.tuple(json, json)))),
    user: maybe(fc.dictionary(fc.constantFrom('id', 'email', 'username', 'ip_address'), json)),
    contexts: maybe(
      fc.dictionary(
        fc.constantFrom('trace', 'os', 'runtime', 'feedback'),
        maybe(fc.dictionary(text, json)),
      ),
    ),
    breadcrumbs: maybe(fc.oneof(fc.array(json), fc.record({ values: json }))),
    fingerprint: maybe(fc.array(json)),
    extra: json,
  },
  { requiredKeys: [] },
)
const payload = fc.oneof(
  { weight: 6, arbitrary: event.map((value) => JSON.stringify(value)) },
  { weight: 1, arbitrary: json.map((value) => JSON.stringify(value)) },
  { weight: 1, arbitrary: text },
)
const item = fc
  .tuple(
    fc.constantFrom(
      'event',
      'event',
      'feedback',
      'user_report',
      'client_report',
      'log',
      'transaction',
      'attachment',
      'nobody_knows',
    ),
    payload,
    fc.oneof(
      { weight: 6, arbitrary: fc.constant(0) },
      { weight: 1, arbitrary: fc.integer({ min: -20, max: 20 }) },
    ),
    fc.boolean(),
  )
  .map(([type, content, error, hasLength]) => {
    const length = new TextEncoder().encode(content).length + error
    return `${JSON.stringify(hasLength ? { type, length } : { type })}\n${content}`
  })
const envelope = fc
  .tuple(
    fc.oneof(
      fc.constant('{}'),
      fc
        .record({ event_id: json, sent_at: json, dsn: json })
        .map((headers) => JSON.stringify(headers)),
    ),
    fc.array(item, { maxLength: 5 }),
  )
  .map(([headers, items]) => [headers, ...items].join('\n'))

test(
  'envelopes made by the grammar, their fields of any type, are decoded or refused',
  { timeout: 600_000 },
  () => {
    fire.grammar(0.25, envelope, (body) => post('/api/1/envelope/', body))
  },
)

test('an event alone, its fields of any type, is never refused', { timeout: 600_000 }, () => {
  const check = fc.property(event, (content) => {
    const decoded = fire.decode(post('/api/1/store/', JSON.stringify(content)))
    expect(decoded?.occurrences).toHaveLength(1)
  })
  fc.assert(check, { seed: fire.seed, numRuns: 500 })
  fire.grammar(0.05, event, (content) => post('/api/1/store/', JSON.stringify(content)))
})

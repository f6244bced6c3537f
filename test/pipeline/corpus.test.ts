import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Occurrence } from '../../src/occurrence.ts'
import { scrub } from '../../src/pipeline/scrub.ts'
import { native } from '../../src/protocols/native/index.ts'
import { otlp } from '../../src/protocols/otlp/index.ts'
import { sentry } from '../../src/protocols/sentry/index.ts'
import { post } from '../fixtures/replay.ts'
import { anOccurrence } from '../support/occurrence.ts'
import { GO, STAY } from './corpus.ts'

const run = scrub()

/** An event of each protocol with `text` in every field in which a program may put one. */
const CARRIERS: Readonly<Record<string, (text: string) => readonly Occurrence[]>> = {
  native: (text) =>
    native.decode(
      post(
        '/api/v1/ingest',
        JSON.stringify({
          events: [
            {
              id: '99999999-9999-4999-8999-999999999999',
              code: 'net/failed',
              message: text,
              stackTrace: `Error: ${text}\n    at load (app.js:9:8)`,
              parsedStack: {
                frames: [
                  {
                    functionName: 'load',
                    fileName: 'app.js',
                    lineNumber: 9,
                    columnNumber: 8,
                    inApp: true,
                    raw: text,
                  },
                ],
                raw: text,
                parser: 'node',
              },
              appId: 'test-app',
              appVersion: '9.8',
              platform: 'node',
              platformVersion: '9',
              timestamp: '2026-08-09T07:08:09.000Z',
              metadata: { deep: { list: [text, { text }] } },
              tags: { note: text },
              fingerprint: [text],
              breadcrumbs: [{ message: text, data: { text } }, text],
            },
          ],
        }),
      ),
    ).occurrences,
  sentry: (text) => sentry.decode(post('/api/1/envelope/', envelope(text))).occurrences,
  otlp: (text) => [
    ...otlp.decode(json('/v1/logs', { resourceLogs: [logs(text)] })).occurrences,
    ...otlp.decode(json('/v1/traces', { resourceSpans: [spans(text)] })).occurrences,
  ],
}

function envelope(text: string): string {
  const event = {
    message: { formatted: text },
    exception: {
      values: [
        {
          type: 'Error',
          value: text,
          mechanism: { type: 'generic', data: { text } },
          stacktrace: {
            frames: [{ function: 'load', filename: 'app.js', lineno: 9, context_line: text }],
          },
        },
      ],
    },
    breadcrumbs: { values: [{ message: text, data: { text } }] },
    tags: { note: text },
    extra: { text, list: [text] },
    contexts: { own: { text } },
    user: { id: 'u', note: text },
    request: {
      url: text,
      query_string: text,
      data: text,
      headers: [['X-Note', text]],
      env: { NOTE: text },
    },
    fingerprint: [text],
  }
  const log = { items: [{ level: 'error', body: text, attributes: { note: { value: text } } }] }
  const feedback = { contexts: { feedback: { message: text } } }
  return [
    '{}',
    '{"type":"event"}',
    JSON.stringify(event),
    '{"type":"log"}',
    JSON.stringify(log),
    '{"type":"feedback"}',
    JSON.stringify(feedback),
  ].join('\n')
}

const attribute = (key: string, text: string) => ({ key, value: { stringValue: text } })

function logs(text: string): object {
  const nested = { kvlistValue: { values: [attribute('note', text)] } }
  const attributes = [
    attribute('exception.type', 'Error'),
    attribute('exception.message', text),
    attribute('exception.stacktrace', `Error: ${text}\n    at load (app.js:9:8)`),
    attribute('url.full', text),
    { key: 'deep', value: nested },
  ]
  return {
    resource: { attributes: [attribute('note', text)] },
    scopeLogs: [
      {
        logRecords: [
          { severityNumber: 17, body: { stringValue: text }, attributes },
          { severityNumber: 17, body: { stringValue: text } },
        ],
      },
    ],
  }
}

function spans(text: string): object {
  const event = {
    name: 'exception',
    attributes: [attribute('exception.message', text), attribute('note', text)],
  }
  const span = { name: 'GET', attributes: [attribute('url.full', text)], events: [event] }
  return { resource: { attributes: [] }, scopeSpans: [{ spans: [span] }] }
}

function json(path: string, body: object) {
  return post(path, JSON.stringify(body), { 'content-type': 'application/json' })
}

/** All that a program's own words may stand in; ids and times are ours. */
function wordsOf(occurrence: Occurrence): string {
  const { code, message, stackTrace, parsedStack, metadata, tags } = occurrence
  const { fingerprint, breadcrumbs, userId, environment, appVersion } = occurrence
  return JSON.stringify([
    [code, message, stackTrace, parsedStack, metadata, tags],
    [fingerprint, breadcrumbs, userId, environment, appVersion],
  ])
}

describe.each(Object.entries(CARRIERS))('in every field of %s', (_name, carry) => {
  test('each secret goes', () => {
    const still = GO.filter(([text, secret]) => {
      const events = carry(text)
      expect(events.length).toBeGreaterThan(0)
      expect(events.every((event) => wordsOf(event).includes(secret))).toBe(true)
      return events.some((event) => wordsOf(run(event)).includes(secret))
    })
    expect(still).toEqual([])
  })

  test('each look-alike stays', () => {
    const changed = STAY.filter((text) => {
      const events = carry(text)
      expect(events.length).toBeGreaterThan(0)
      return events.some((event) => run(event) !== event)
    })
    expect(changed).toEqual([])
  })
})

test('the corpus is as large as it is said to be', () => {
  expect(GO.length).toBeGreaterThanOrEqual(60)
  expect(STAY.length).toBeGreaterThanOrEqual(60)
})

test('a megabyte takes at most about four times what a quarter of it takes, whatever it repeats', () => {
  const pieces = fc.constantFrom(
    ...GO.map(([text]) => text),
    ...STAY,
    ...['=', ':', '"', "'", '\\', '>', '<', '%3D', '%', '-', '--', ' ', ',', '[scrubbed]', 'token'],
  )
  fc.assert(
    fc.property(fc.array(pieces, { minLength: 1, maxLength: 3 }), (parts) => {
      const seed = parts.join('')
      const of = (chars: number) => seed.repeat(Math.ceil(chars / seed.length))
      const [quarter, whole] = [cpuMs(of(256 * 1024)), cpuMs(of(1024 * 1024))]
      // A quadratic rule would take sixteen times as long; half of that is noise enough.
      expect(whole, JSON.stringify(seed)).toBeLessThan(quarter * 8 + 60)
    }),
    { numRuns: 60 },
  )
})

/** CPU of this process, the least of three rounds: others on the machine do not count. */
function cpuMs(message: string): number {
  const occurrence = anOccurrence({ message })
  const rounds = [0, 1, 2].map(() => {
    const before = process.cpuUsage()
    run(occurrence)
    const { user, system } = process.cpuUsage(before)
    return (user + system) / 1000
  })
  return Math.min(...rounds)
}

import { Hono } from 'hono'
import { directClient, withAccess, type AccessLine } from '../../../src/http/access.ts'
import { readBody } from '../../../src/http/body.ts'
import { createByteBudget } from '../../../src/http/budget.ts'
import { intakeRoutes, type IntakeDeps } from '../../../src/http/intake.ts'
import { answerProblems } from '../../../src/http/problem.ts'
import type { Occurrence } from '../../../src/occurrence.ts'
import type { Outcome } from '../../../src/outcome.ts'
import { inflate } from '../../../src/node/inflate.ts'
import { native } from '../../../src/protocols/native/index.ts'
import { Refusal } from '../../../src/refusal.ts'

export const KEY = 'ei_test_key_12345'
export const NOW_MS = Date.UTC(2024, 0, 15, 10, 30)
export const BYTES_MAX = 100_000

/** A valid event; say only what the test is about. */
export function anEvent(given: object = {}): Record<string, unknown> {
  return {
    id: crypto.randomUUID(),
    code: 'network/request-failed',
    message: 'Failed to fetch user data',
    stackTrace: 'Error: Failed to fetch',
    appId: 'test-app',
    appVersion: '1.0.0',
    platform: 'ios',
    platformVersion: '17.0',
    userId: 'user-123',
    timestamp: '2024-01-15T10:30:00.000Z',
    metadata: { endpoint: '/api/users', statusCode: 500 },
    tags: { severity: 'high' },
    ...given,
  }
}

/** The intake as the service has it, with an in-memory end behind `accept`. */
export function anIntake(
  given: Partial<IntakeDeps> & { inFlightMax?: number; beginMsMax?: number } = {},
) {
  const stored: Occurrence[] = []
  const ends: { protocol: string; outcome: Outcome; count: number }[] = []
  const received = { count: 0 }
  const lines: AccessLine[] = []
  const bugs: unknown[] = []
  const budget = createByteBudget(given.inFlightMax ?? 10 * BYTES_MAX, 50, given.beginMsMax ?? 50)
  const app = new Hono()
  app.route(
    '/',
    intakeRoutes({
      turn: () => undefined,
      protocols: [native],
      admit: (credential) => {
        if (credential === undefined) throw new Refusal('unauthenticated', 'An API key is needed.')
        if (credential === 'revoked') throw new Refusal('forbidden', 'The API key is revoked.')
        if (credential === 'all-apps') return { app: undefined }
        if (credential !== KEY) throw new Refusal('unauthenticated', 'The API key is unknown.')
        return { app: { id: 'test-app', name: 'Test Application' } }
      },
      credential: (request) => native.credential(request),
      readBody: (request, env) => readBody(request, { bytesMax: BYTES_MAX, inflate, budget }, env),
      accept: (occurrences) => {
        stored.push(...occurrences)
        return Promise.resolve()
      },
      telemetry: {
        received: (_protocol, count) => {
          received.count += count
        },
        outcome: (_appId, protocol, outcome, count) => ends.push({ protocol, outcome, count }),
        discarded: () => undefined,
      },
      nowMs: () => NOW_MS,
      eventsMax: 10,
      ...given,
    }),
  )
  answerProblems(app, (error) => bugs.push(error))
  const fetch = withAccess({
    fetch: app.fetch,
    log: (line) => {
      lines.push({ ...line })
      return undefined
    },
    nowMs: () => NOW_MS,
    clientOf: directClient,
  })
  const post = (body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}) =>
    fetch(
      new Request('http://localhost/api/v1/ingest', {
        method: 'POST',
        headers: { 'X-API-Key': KEY, 'Content-Type': 'application/json', ...headers },
        body,
      }),
    )
  const send = (events: unknown, headers?: Record<string, string>) =>
    post(JSON.stringify({ events }), headers)
  return { fetch, post, send, stored, ends, received, lines, bugs, budget }
}

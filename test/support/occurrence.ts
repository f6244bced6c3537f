import type { Occurrence } from '../../src/occurrence.ts'

/** A plain occurrence with a fresh id; say only what the test is about. */
export function anOccurrence(given: Partial<Occurrence> = {}): Occurrence {
  return {
    id: crypto.randomUUID(),
    appId: 'test-app',
    protocol: 'native',
    code: 'network/request-failed',
    message: 'Request failed',
    stackTrace: 'Error: Request failed\n    at fetchUser (app.js:10:5)',
    parsedStack: undefined,
    appVersion: '1.0.0',
    platform: 'web',
    platformVersion: '120',
    environment: 'production',
    level: 'error',
    userId: 'user-1',
    timestampMs: Date.now(),
    originalTimestampMs: undefined,
    receivedAtMs: Date.now(),
    metadata: {},
    tags: {},
    fingerprint: [],
    breadcrumbs: [],
    traceId: '',
    spanId: '',
    marks: [],
    ...given,
  }
}

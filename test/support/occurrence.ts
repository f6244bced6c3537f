import { randomUUID } from 'node:crypto'
import type { Grouping, Occurrence } from '../../src/occurrence.ts'

/** An occurrence with all that a test does not care about. */
export function anOccurrence(fields: Partial<Occurrence> = {}): Occurrence {
  const now = Date.now()
  return {
    id: randomUUID(),
    appId: 'test-app',
    protocol: 'native',
    code: 'test/failure',
    message: 'It failed.',
    stackTrace: 'Error: It failed.\n    at f (app.js:1:1)',
    parsedStack: undefined,
    appVersion: '1.0.0',
    platform: 'web',
    platformVersion: '',
    environment: 'production',
    level: 'error',
    userId: null,
    timestampMs: now,
    originalTimestampMs: undefined,
    receivedAtMs: now,
    metadata: {},
    tags: {},
    fingerprint: [],
    breadcrumbs: [],
    traceId: '',
    spanId: '',
    marks: [],
    ...fields,
  }
}

/** A grouping by code alone. */
export function aGrouping({ code }: Occurrence): Grouping {
  const fingerprint = `v1:${code}`
  return { fingerprint, secondary: fingerprint, basis: 'message', components: [code] }
}

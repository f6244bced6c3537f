import { expect, test } from 'vitest'
import { openLogger } from '../../src/node/logger.ts'
import { openTelemetry } from '../../src/node/telemetry.ts'

async function recorded(level: 'info' | 'debug' = 'info') {
  const lines: unknown[] = []
  const destination = { write: (line: string) => lines.push(JSON.parse(line)) }
  const logger = await openLogger({ level, pretty: false, destination })
  return { lines, telemetry: openTelemetry(logger, '1.2.3') }
}

test('every outcome, stage, request and bug shows in the metrics', async () => {
  const { telemetry } = await recorded()
  telemetry.outcome('app', 'native', { kind: 'stored' }, 3)
  telemetry.outcome('app', 'native', { kind: 'stored' }, 2)
  telemetry.outcome('app', 'sentry', { kind: 'refused', reason: 'malformed' }, 1)
  telemetry.stage('scrub', 20, 7)
  telemetry.request('POST', '/api/v1/ingest', 200, 3)
  telemetry.bug(new Error('once'))
  telemetry.gauge('error_ingestor_spool_bytes', () => 42)
  telemetry.gauge('error_ingestor_spool_segments', () => undefined)
  const { text, contentType } = await telemetry.metricsText(undefined)
  expect(contentType).toMatch(/^text\/plain; version=0\.0\.4/)
  for (const line of [
    'error_ingestor_events_total{protocol="native",outcome="stored",reason=""} 5',
    'error_ingestor_events_total{protocol="sentry",outcome="refused",reason="malformed"} 1',
    'error_ingestor_stage_duration_seconds_sum{stage="scrub"} 0.02',
    'error_ingestor_stage_occurrences_total{stage="scrub"} 7',
    'error_ingestor_http_requests_total{method="POST",route="/api/v1/ingest",status="200"} 1',
    'error_ingestor_http_request_duration_seconds_count{route="/api/v1/ingest"} 1',
    'error_ingestor_http_request_duration_seconds_bucket{route="/api/v1/ingest",le="0.0025"} 0',
    'error_ingestor_http_request_duration_seconds_bucket{route="/api/v1/ingest",le="0.005"} 1',
    'error_ingestor_http_request_duration_seconds_bucket{route="/api/v1/ingest",le="+Inf"} 1',
    'error_ingestor_bugs_total 1',
    'error_ingestor_spool_bytes 42',
    `error_ingestor_build_info{version="1.2.3",node="${process.versions.node}"} 1`,
  ]) {
    expect(text.split('\n')).toContain(line)
  }
  expect(text).not.toMatch(/^error_ingestor_spool_segments /m)
  expect(text).toMatch(/^process_resident_memory_bytes \d/m)
  expect(text).toMatch(/^nodejs_eventloop_lag_p99_seconds /m)
})

test.each([
  ['application/openmetrics-text', true],
  ['application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4', true],
  ['text/plain;version=0.0.4;q=0.9,application/openmetrics-text;q=0.2', false],
  ['application/openmetrics-text;q=0', false],
  ['text/plain', false],
  ['*/*', false],
])('%s is answered as OpenMetrics: %s', async (accept, isOpen) => {
  const { telemetry } = await recorded()
  telemetry.outcome('app', 'native', { kind: 'stored' }, 1)
  telemetry.gauge('error_ingestor_spool_bytes', () => 1)
  const { text, contentType } = await telemetry.metricsText(accept)
  expect(contentType.startsWith('application/openmetrics-text')).toBe(isOpen)
  expect(text.endsWith('# EOF\n')).toBe(isOpen)
  // The same sample name in both, as scrapers need it.
  expect(text).toMatch(/^error_ingestor_events_total\{.*\} 1$/m)
  expect(text).toMatch(/^error_ingestor_spool_bytes 1$/m)
})

test('a scrape of one format leaves the names of the other as they were', async () => {
  const { telemetry } = await recorded()
  telemetry.outcome('app', 'native', { kind: 'stored' }, 1)
  const open = 'application/openmetrics-text'
  const scrapes = await Promise.all(
    [undefined, open, undefined, open, undefined].map((accept) => telemetry.metricsText(accept)),
  )
  for (const { text } of [...scrapes, await telemetry.metricsText(undefined)]) {
    expect(text).toMatch(/^error_ingestor_events_total\{.*\} 1$/m)
    expect(text).toMatch(/^process_cpu_seconds_total /m)
  }
})

test('what is said is one JSON line with level, time and fields, from the level that is set', async () => {
  const { lines, telemetry } = await recorded()
  telemetry.say('warn', 'the store is away', { attempt: 2 })
  telemetry.say('debug', 'not at this level')
  expect(lines).toHaveLength(1)
  expect(lines[0]).toMatchObject({ level: 'warn', msg: 'the store is away', attempt: 2 })
  expect(JSON.stringify(lines[0])).toMatch(/"time":"\d{4}-\d\d-\d\dT/)
})

test('a bug is logged with its stack', async () => {
  const { lines, telemetry } = await recorded()
  telemetry.bug(new Error('broken'))
  expect(JSON.stringify(lines[0])).toMatch(/"level":"error".*"message":"broken".*"stack":/)
})

import { Hono } from 'hono'
import { describe, expect, test } from 'vitest'
import { healthRoutes, type HealthDeps } from '../../src/http/health.ts'

const NOW = Date.UTC(2024, 0, 15, 10, 30)
const DISK = { refusing: undefined }
const never = () => new Promise<never>(() => undefined)
const containing = (text: string): unknown => expect.stringContaining(text)
const away = () => Promise.reject(new Error('connect ECONNREFUSED 10.1.2.3:8123'))

function health(given: Partial<HealthDeps> = {}) {
  const app = new Hono()
  app.route(
    '/',
    healthRoutes({
      storePing: () => Promise.resolve(true),
      schemaVersion: () => Promise.resolve(3),
      schemaNeeded: 3,
      spoolStatus: () => DISK,
      stopping: () => false,
      readyWithoutStore: false,
      metrics: () => Promise.resolve({ text: 'up 1\n', contentType: 'text/plain; version=0.0.4' }),
      nowMs: () => NOW,
      ...given,
    }),
  )
  return async (path: string, headers: Record<string, string> = {}) => {
    const response = await app.request(path, { headers })
    const text = await response.text()
    const type = response.headers.get('content-type')
    const body: unknown = type?.includes('json') === true ? JSON.parse(text) : text
    return { status: response.status, body, type }
  }
}

describe('/health', () => {
  test('is exactly what the README prints', async () => {
    const body = {
      status: 'healthy',
      timestamp: '2024-01-15T10:30:00.000Z',
      services: { clickhouse: 'up' },
    }
    expect(await health()('/health')).toMatchObject({ status: 200, body })
    expect((await health()('/health')).body).toEqual(body)
  })

  test('is degraded while ClickHouse is away and the disk takes events', async () => {
    const answer = await health({ storePing: away })('/health')
    expect(answer).toMatchObject({
      status: 200,
      body: { status: 'degraded', services: { clickhouse: 'down' } },
    })
  })

  test('calls ClickHouse down when it answers pings but no questions', async () => {
    const answer = await health({ schemaVersion: away })('/health')
    expect(answer.body).toMatchObject({ services: { clickhouse: 'down' } })
  })

  test('is unhealthy when events cannot be accepted, and says why', async () => {
    const noDisk = await health({ storePing: away, spoolStatus: () => undefined })('/health')
    expect(noDisk).toMatchObject({
      status: 503,
      body: { status: 'unhealthy', error: 'ClickHouse does not answer.' },
    })
    const full = await health({ spoolStatus: () => ({ refusing: 'The spool is full.' }) })(
      '/health',
    )
    expect(full).toMatchObject({
      status: 503,
      body: { status: 'unhealthy', services: { clickhouse: 'up' }, error: 'The spool is full.' },
    })
  })
})

describe('/health/live', () => {
  test('is ok whatever else is down', async () => {
    const ask = health({ storePing: never, schemaVersion: never, stopping: () => true })
    expect(await ask('/health/live')).toMatchObject({ status: 200, body: { status: 'ok' } })
  })
})

describe('/health/ready', () => {
  const ready = { status: 200, body: { status: 'ready' } }

  test('is ready when all is well', async () => {
    expect(await health()('/health/ready')).toMatchObject(ready)
    expect(
      await health({ schemaVersion: () => Promise.resolve(4) })('/health/ready'),
    ).toMatchObject(ready)
  })

  test.each<[string, Partial<HealthDeps>, string[], string]>([
    ['ClickHouse is away', { storePing: away }, ['clickhouse'], 'does not answer'],
    [
      'ping says no',
      { storePing: () => Promise.resolve(false) },
      ['clickhouse'],
      'does not answer',
    ],
    ['no question is answered', { schemaVersion: away }, ['clickhouse'], 'not to our questions'],
    ['the schema is old', { schemaNeeded: 4 }, ['schema'], 'version 3 and 4 is needed'],
    ['the server stops', { stopping: () => true }, ['stopping'], 'stopping'],
    ['the spool is full', { spoolStatus: () => ({ refusing: 'Full.' }) }, ['spool'], 'Full.'],
    [
      'all fails at once',
      { stopping: () => true, storePing: away, spoolStatus: () => ({ refusing: 'Full.' }) },
      ['stopping', 'spool', 'clickhouse'],
      'The server is stopping. Full. ClickHouse does not answer.',
    ],
  ])('is 503 when %s, and says so', async (_, given, failed, error) => {
    const advised: unknown = expect.objectContaining({ level: 'wrong', advice: containing('.') })
    expect(await health(given)('/health/ready')).toMatchObject({
      status: 503,
      body: {
        status: 'unready',
        failed,
        error: containing(error),
        findings: failed.map(() => advised),
      },
    })
  })

  test('never tells where ClickHouse is', async () => {
    const { body } = await health({ storePing: away })('/health/ready')
    expect(JSON.stringify(body)).not.toMatch(/10\.1\.2\.3|8123|ECONN/)
  })

  test('READY_WITHOUT_STORE keeps it ready without ClickHouse or schema while the disk has room', async () => {
    const readyWithoutStore = true
    for (const given of [{ storePing: away }, { schemaVersion: () => Promise.resolve(0) }]) {
      expect(await health({ readyWithoutStore, ...given })('/health/ready')).toMatchObject(ready)
    }
    const full = health({ readyWithoutStore, spoolStatus: () => ({ refusing: 'Full.' }) })
    expect(await full('/health/ready')).toMatchObject({ status: 503, body: { failed: ['spool'] } })
    const stopping = health({ readyWithoutStore, stopping: () => true })
    expect(await stopping('/health/ready')).toMatchObject({ status: 503 })
  })

  test('READY_WITHOUT_STORE means nothing without a disk', async () => {
    const ask = health({ readyWithoutStore: true, storePing: away, spoolStatus: () => undefined })
    expect(await ask('/health/ready')).toMatchObject({ body: { failed: ['clickhouse'] } })
  })
})

describe('probes', () => {
  test('are answered within a second while ClickHouse hangs', async () => {
    const ask = health({ storePing: never, schemaVersion: never })
    const start = performance.now()
    const [full, ready] = await Promise.all([ask('/health'), ask('/health/ready')])
    expect(performance.now() - start).toBeLessThan(1_000)
    expect(full.body).toMatchObject({ status: 'degraded' })
    expect(ready.status).toBe(503)
  })

  test('ask ClickHouse once per second, however many they are, and see it come back', async () => {
    let now = NOW
    let pings = 0
    let isUp = false
    const storePing = () => {
      pings += 1
      return Promise.resolve(isUp)
    }
    const ask = health({ nowMs: () => now, storePing })
    await Promise.all(Array.from({ length: 50 }, () => ask('/health/ready')))
    expect(pings).toBe(1)
    isUp = true
    now += 999
    expect((await ask('/health/ready')).status).toBe(503)
    now += 1
    expect((await ask('/health/ready')).status).toBe(200)
    expect(pings).toBe(2)
  })

  test('leave a bounded number of questions open at a hung ClickHouse', async () => {
    let now = NOW
    let open = 0
    const storePing = () => {
      open += 1
      return never()
    }
    const ask = health({ nowMs: () => now, storePing })
    const answers = Array.from({ length: 20 }, () => {
      now += 1_000
      return ask('/health/ready')
    })
    for (const { status } of await Promise.all(answers)) expect(status).toBe(503)
    expect(open).toBe(5)
  })
})

describe('/metrics', () => {
  test('answers the text it is given, in the format that was asked for', async () => {
    const asked: (string | undefined)[] = []
    const ask = health({
      metrics: (accept) => {
        asked.push(accept)
        return Promise.resolve({ text: 'up 1\n', contentType: 'text/plain; version=0.0.4' })
      },
    })
    expect(await ask('/metrics', { Accept: 'application/openmetrics-text' })).toEqual({
      status: 200,
      body: 'up 1\n',
      type: 'text/plain; version=0.0.4',
    })
    expect(asked).toEqual(['application/openmetrics-text'])
  })
})

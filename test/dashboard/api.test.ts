import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { DEVELOPMENT_KEY } from '../../src/config.ts'
import { dashboardSchemas } from '../../src/dashboard/answers.ts'
import type { Occurrence } from '../../src/occurrence.ts'
import { blockTarget, encodeRows } from '../../src/store/rows.ts'
import { createStore } from '../../src/store/queries.ts'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { anOccurrence } from '../support/occurrence.ts'
import { anApi, type Answer } from './api-support.ts'

const NOW = Date.UTC(2024, 0, 15, 10, 30)
const HOUR = 3_600_000
const ISSUE = `v1:${'0'.repeat(32)}`
const HEAD = { headers: { 'X-API-Key': DEVELOPMENT_KEY } }

let database: TestDatabase
let ask: (path: string, init?: RequestInit) => Promise<Answer>

/** Stores occurrences as delivery does, without waiting for its timers. */
async function put(...occurrences: readonly Occurrence[]): Promise<void> {
  const { format, bytes } = encodeRows(occurrences, () => ({
    fingerprint: ISSUE,
    secondary: ISSUE,
    basis: 'message',
    components: [],
  }))
  await database.clickhouse.insert({ ...blockTarget(format), body: [bytes], settings: {} })
}

/** An occurrence some minutes before now. */
function ago(minutes: number, given: Partial<Occurrence> = {}): Occurrence {
  const timestampMs = NOW - minutes * 60_000
  return anOccurrence({
    timestampMs,
    receivedAtMs: timestampMs,
    code: 'network/request-failed',
    userId: 'user-1',
    appVersion: '1.0.0',
    ...given,
  })
}

const uuid = (n: number) => `00000000-0000-4000-8000-${n.toString(16).padStart(12, '0')}`
const Listed = dashboardSchemas.errorsAnswer
const idsOf = (answer: Answer) => Listed.parse(answer.body).errors.map(({ id }) => id)

beforeAll(async () => {
  database = await createDatabase({ retentionDays: 36_500 })
  const store = createStore(database)
  ask = anApi({ store, nowMs: () => NOW }).ask
})
afterAll(() => database.drop())

describe('the examples of the README', () => {
  const id = '550e8400-e29b-41d4-a716-446655440000'
  beforeAll(() =>
    put(
      ago(5, {
        id,
        message: 'Failed to fetch user data',
        stackTrace: 'Error: Failed to fetch...',
        platform: 'ios',
        platformVersion: '17.0',
        userId: 'user-123',
        metadata: { endpoint: '/api/users', statusCode: 500 },
        tags: { severity: 'high' },
      }),
      ago(10, { id: uuid(1) }),
      ago(24 * 60 - 1, { id: uuid(2), code: 'auth/session-expired', userId: null }),
      ago(24 * 60 + 1, { id: uuid(3), userId: 'user-2' }),
    ),
  )

  test('errors: the last 24 hours, newest first', async () => {
    const answer = await ask('/dashboard/api/errors?appId=test-app&limit=10')
    expect(answer.status).toBe(200)
    expect(idsOf(answer)).toEqual([id, uuid(1), uuid(2)])
    expect(answer.body).toMatchObject({ success: true })
    expect(Object.keys(answer.body)).toEqual(['success', 'errors', 'pagination'])
    expect(answer.body['pagination']).toEqual({ limit: 10, offset: 0, hasMore: false })
    expect(Listed.parse(answer.body).errors[0]).toMatchObject({
      id,
      code: 'network/request-failed',
      message: 'Failed to fetch user data',
      stackTrace: 'Error: Failed to fetch...',
      appId: 'test-app',
      appVersion: '1.0.0',
      platform: 'ios',
      platformVersion: '17.0',
      userId: 'user-123',
      timestamp: '2024-01-15T10:25:00.000Z',
      metadata: { endpoint: '/api/users', statusCode: 500 },
      tags: { severity: 'high' },
      issue: ISSUE,
    })
  })

  test('trends: days of the last week, ascending, in UTC', async () => {
    const { status, body } = await ask('/dashboard/api/trends?appId=test-app&granularity=day')
    expect(status).toBe(200)
    expect(body).toEqual({
      success: true,
      trends: [
        { time: '2024-01-14T00:00:00.000Z', count: 2, uniqueCodes: 2, affectedUsers: 1 },
        { time: '2024-01-15T00:00:00.000Z', count: 2, uniqueCodes: 1, affectedUsers: 2 },
      ],
    })
  })

  test('trends: hours where nothing else is said', async () => {
    const { body } = await ask('/dashboard/api/trends?appId=test-app')
    const { trends } = dashboardSchemas.trendsAnswer.parse(body)
    expect(trends.map(({ time, count }) => [time, count])).toEqual([
      ['2024-01-14T10:00:00.000Z', 2],
      ['2024-01-15T10:00:00.000Z', 2],
    ])
  })

  test('codes: all that is retained, most first', async () => {
    const { body } = await ask('/dashboard/api/codes?appId=test-app')
    expect(body).toEqual({
      success: true,
      codes: [
        { code: 'network/request-failed', count: 3 },
        { code: 'auth/session-expired', count: 1 },
      ],
    })
  })

  test('issues: those of the last week, with the first and the last event of each', async () => {
    const { body } = await ask('/dashboard/api/issues?appId=test-app')
    const { issues } = dashboardSchemas.issuesAnswer.parse(body)
    const { trends } = dashboardSchemas.trendsAnswer.parse(
      (await ask('/dashboard/api/trends?appId=test-app')).body,
    )
    expect(issues).toMatchObject([{ issue: ISSUE, code: 'network/request-failed' }])
    expect(issues[0]?.count).toBe(trends.reduce((sum, { count }) => sum + count, 0))
    expect(issues[0]?.lastSeen).toBe('2024-01-15T10:25:00.000Z')
  })

  test('one event, by its id in either case; another id or app is 404', async () => {
    const found = await ask(`/dashboard/api/errors/${id.toUpperCase()}?appId=test-app`)
    expect(found.status).toBe(200)
    expect(dashboardSchemas.errorAnswer.parse(found.body).error.id).toBe(id)
    expect(Object.keys(found.body)).toEqual(['success', 'error'])
    expect((await ask(`/dashboard/api/errors/${uuid(9)}?appId=test-app`)).status).toBe(404)
    expect((await ask(`/dashboard/api/errors/${id}?appId=other`)).status).toBe(404)
  })
})

describe('ranges', () => {
  const appId = 'ranges'
  const at = (iso: string) => ({ appId, timestampMs: Date.parse(iso) })
  beforeAll(() =>
    put(
      anOccurrence({ id: uuid(10), ...at('2024-01-10T00:00:00.000Z') }),
      anOccurrence({ id: uuid(11), ...at('2024-01-10T00:00:00.001Z') }),
      anOccurrence({ id: uuid(12), ...at('2024-01-10T23:59:59.999Z') }),
      anOccurrence({ id: uuid(13), ...at('1970-01-01T00:00:00.000Z') }),
    ),
  )

  test.each([
    ['2024-01-10T00:00:00.000Z', '2024-01-10T23:59:59.999Z', [12, 11, 10]],
    ['2024-01-10T00:00:00.001Z', '2024-01-10T23:59:59.998Z', [11]],
    ['2024-01-10T00:00:00Z', '2024-01-10T00:00:00Z', [10]],
    ['2024-01-10T02:00:00%2B02:00', '2024-01-10T02:00:00+02:00', [10]],
    ['0000-01-01T00:00:00Z', '9999-12-31T23:59:59.999Z', [12, 11, 10, 13]],
    ['1970-01-01T00:00:00Z', '1970-01-01T00:00:00Z', [13]],
    ['1969-01-01T00:00:00Z', '1969-12-31T23:59:59.999Z', []],
  ])('%s to %s holds both ends, to the millisecond', async (startTime, endTime, expected) => {
    const query = `appId=${appId}&startTime=${startTime}&endTime=${endTime}`
    expect(idsOf(await ask(`/dashboard/api/errors?${query}`))).toEqual(expected.map(uuid))
    const { body } = await ask(`/dashboard/api/codes?${query}`)
    const { codes } = dashboardSchemas.codesAnswer.parse(body)
    expect(codes.reduce((sum, { count }) => sum + count, 0)).toBe(expected.length)
    const { trends } = dashboardSchemas.trendsAnswer.parse(
      (await ask(`/dashboard/api/trends?${query}`)).body,
    )
    expect(trends.reduce((sum, { count }) => sum + count, 0)).toBe(expected.length)
  })

  test('an end alone has the usual length of the range before it', async () => {
    const answer = await ask(`/dashboard/api/errors?appId=${appId}&endTime=2024-01-11T00:00:00Z`)
    expect(idsOf(answer)).toEqual([12, 11, 10].map(uuid))
  })

  test('fill=true adds the empty buckets of the whole range', async () => {
    const range = 'startTime=2024-01-09T12:00:00Z&endTime=2024-01-11T00:00:00Z'
    const path = `/dashboard/api/trends?appId=${appId}&${range}&granularity=day`
    const counts = async (query: string) => {
      const { body } = await ask(path + query)
      return dashboardSchemas.trendsAnswer
        .parse(body)
        .trends.map(({ time, count }) => [time, count])
    }
    expect(await counts('')).toEqual([['2024-01-10T00:00:00.000Z', 3]])
    expect(await counts('&fill=true')).toEqual([
      ['2024-01-09T00:00:00.000Z', 0],
      ['2024-01-10T00:00:00.000Z', 3],
      ['2024-01-11T00:00:00.000Z', 0],
    ])
  })
})

describe('filters', () => {
  const appId = 'filters'
  const odd = `quo'te "double" \\ back \t tab \n line % _ {x:String} 😀`
  beforeAll(() =>
    put(
      ago(1, {
        id: uuid(20),
        appId,
        code: odd,
        userId: odd,
        platform: 'python',
        appVersion: odd,
        environment: odd,
        level: 'fatal',
        message: `Before ${odd} after`,
      }),
      ago(2, { id: uuid(21), appId, code: 'other', message: 'Nothing special' }),
    ),
  )

  test.each([
    ['code', odd],
    ['userId', odd],
    ['platform', 'python'],
    ['appVersion', odd],
    ['environment', odd],
    ['level', 'fatal'],
    ['q', odd],
    ['q', '% _'],
  ])('%s finds exactly the event that has %j', async (name, value) => {
    const query = new URLSearchParams({ appId, [name]: value }).toString()
    expect(idsOf(await ask(`/dashboard/api/errors?${query}`))).toEqual([uuid(20)])
  })

  test('issue finds its events, and another issue none', async () => {
    const path = `/dashboard/api/errors?appId=${appId}&issue=`
    expect(idsOf(await ask(path + ISSUE))).toHaveLength(2)
    expect(idsOf(await ask(`${path}v1:${'f'.repeat(32)}`))).toEqual([])
  })

  test.each(['code', 'issue', 'environment', 'appVersion'])('trends follow %s', async (name) => {
    const query = new URLSearchParams({ appId, [name]: name === 'issue' ? ISSUE : odd }).toString()
    const { body } = await ask(`/dashboard/api/trends?${query}`)
    const { trends } = dashboardSchemas.trendsAnswer.parse(body)
    expect(trends.map(({ count }) => count)).toEqual([name === 'issue' ? 2 : 1])
  })

  test.each(['appId', 'code', 'userId', 'appVersion', 'environment', 'issue', 'q'])(
    'SQL and control characters in %s are only text',
    async (name) => {
      const attacks = [
        "' OR 1=1 --",
        "'; DROP TABLE occurrences; --",
        '\\',
        '\0',
        '%00',
        '\ud800',
        '{a:b}',
      ]
      for (const attack of attacks) {
        const query = new URLSearchParams({ appId, [name]: attack }).toString()
        const answer = await ask(`/dashboard/api/errors?${query}`)
        expect(answer.status, attack).toBe(200)
        expect(answer.text).not.toMatch(/DB::|Exception|SELECT/)
        if (name !== 'q') expect(idsOf(answer), attack).toEqual([])
      }
      expect(idsOf(await ask(`/dashboard/api/errors?appId=${appId}`))).toHaveLength(2)
    },
  )
})

describe('pages', () => {
  const appId = 'pages'
  // Five events of one millisecond at the page bounds: ties must neither repeat nor vanish.
  const all = Array.from({ length: 23 }, (_, i) =>
    ago(i < 9 ? i : i < 14 ? 9 : i, { id: uuid(100 + i), appId }),
  )
  beforeAll(() => put(...all))

  test.each([1, 4, 10, 23])('by offset, %i at a time, every event comes once', async (limit) => {
    const seen: string[] = []
    for (let offset = 0, more = true; more; offset += limit) {
      const answer = await ask(
        `/dashboard/api/errors?appId=${appId}&limit=${limit}&offset=${offset}`,
      )
      seen.push(...idsOf(answer))
      const { pagination } = Listed.parse(answer.body)
      more = pagination.hasMore
      expect(pagination).toEqual({ limit, offset, hasMore: seen.length < all.length })
    }
    expect(seen.toSorted()).toEqual(all.map(({ id }) => id).toSorted())
  })

  test.each([1, 4, 10, 23])(
    'by cursor, %i at a time, the same in the same order',
    async (limit) => {
      const path = `/dashboard/api/errors?appId=${appId}&limit=${limit}`
      const seen: string[] = []
      let cursor: string | null | undefined = ''
      while (typeof cursor === 'string') {
        const answer = await ask(`${path}&cursor=${cursor}`)
        seen.push(...idsOf(answer))
        const { pagination, nextCursor } = Listed.parse(answer.body)
        expect(pagination.nextCursor).toBe(nextCursor)
        expect(pagination.hasMore).toBe(nextCursor !== null)
        cursor = nextCursor
      }
      const whole = await ask(`/dashboard/api/errors?appId=${appId}&limit=1000`)
      expect(seen).toEqual(idsOf(whole))
      expect(seen).toHaveLength(all.length)
    },
  )

  test('an event that arrives between two pages moves nothing', async () => {
    const app = 'pages-moving'
    const three = [1, 2, 3].map((minutes) => ago(minutes, { id: uuid(200 + minutes), appId: app }))
    await put(...three)
    const path = `/dashboard/api/errors?appId=${app}&limit=1&cursor=`
    const first = Listed.parse((await ask(path)).body)
    await put(ago(0, { id: uuid(210), appId: app }))
    expect(idsOf(await ask(path + z.string().parse(first.nextCursor)))).toEqual([uuid(202)])
  })

  test('a cursor with one wrong character, or of another app, is 400', async () => {
    const path = `/dashboard/api/errors?appId=${appId}&limit=4&cursor=`
    const cursor = z.string().parse(Listed.parse((await ask(path)).body).nextCursor)
    for (let i = 0; i < cursor.length; i += 1) {
      const other = cursor[i] === 'A' ? 'B' : 'A'
      const { status, body } = await ask(path + cursor.slice(0, i) + other + cursor.slice(i + 1))
      expect(status).toBe(400)
      expect(body['error']).toContain('cursor must be empty or the nextCursor')
    }
    expect((await ask(`/dashboard/api/errors?appId=other&cursor=${cursor}`)).status).toBe(400)
    expect((await ask(path + cursor)).status).toBe(200)
  })
})

test('an event that was stored twice counts once everywhere', async () => {
  const twice = ago(1, { id: uuid(300), appId: 'twice' })
  await put(twice)
  await put(twice, ago(2, { id: uuid(301), appId: 'twice' }))
  expect(idsOf(await ask('/dashboard/api/errors?appId=twice'))).toEqual([uuid(300), uuid(301)])
  const { trends } = dashboardSchemas.trendsAnswer.parse(
    (await ask(`/dashboard/api/trends?appId=twice`)).body,
  )
  expect(trends.map(({ count }) => count)).toEqual([2])
  const { codes } = dashboardSchemas.codesAnswer.parse(
    (await ask('/dashboard/api/codes?appId=twice')).body,
  )
  expect(codes).toEqual([{ code: 'network/request-failed', count: 2 }])
})

describe('source maps', () => {
  const map = (names: readonly string[]) => JSON.stringify({ version: 3, names, mappings: '' })
  const upload = (appVersion: string, fileName: string, sourceMap: string) =>
    ask('/api/v1/sourcemaps/upload', {
      method: 'POST',
      ...HEAD,
      body: JSON.stringify({ appVersion, fileName, sourceMap }),
    })
  const listed = async (query = '') => {
    const { body } = await ask(`/api/v1/sourcemaps/list${query}`, HEAD)
    const Maps = z.array(
      z.strictObject({ fileName: z.string(), appVersion: z.string(), createdAt: z.iso.datetime() }),
    )
    return Maps.parse(body['sourceMaps']).map(
      ({ appVersion, fileName }) => `${appVersion} ${fileName}`,
    )
  }

  test('are listed by version, replaced by the same name, and deleted by version only', async () => {
    for (const [version, file] of [
      ['1.0.0', 'main.js'],
      ['1.0.0', 'dist/other.js'],
      ['1.0.0', 'main.js'],
      ["2.0.0/b '%", 'main.js'],
    ] as const) {
      expect((await upload(version, file, map(['x']))).status).toBe(200)
    }
    expect((await listed()).toSorted()).toEqual([
      '1.0.0 main.js',
      '1.0.0 other.js',
      "2.0.0/b '% main.js",
    ])
    expect(await listed('?appVersion=3')).toEqual([])
    expect((await listed('?appVersion=1.0.0')).toSorted()).toEqual([
      '1.0.0 main.js',
      '1.0.0 other.js',
    ])
    const { body } = await ask('/api/v1/sourcemaps/1.0.0', { method: 'DELETE', ...HEAD })
    expect(body).toEqual({ success: true, message: 'Deleted source maps for v1.0.0' })
    expect(await listed()).toEqual(["2.0.0/b '% main.js"])
    const odd = encodeURIComponent("2.0.0/b '%")
    expect((await ask(`/api/v1/sourcemaps/${odd}`, { method: 'DELETE', ...HEAD })).status).toBe(200)
    expect(await listed()).toEqual([])
  })
})

test('a missing schema is 503 for readers, not 500', async () => {
  const bare = await createDatabase({ schema: false })
  try {
    const api = anApi({ store: createStore(bare), nowMs: () => NOW })
    const { status, headers, text } = await api.ask('/dashboard/api/errors?appId=test-app')
    expect(status).toBe(503)
    expect(headers.get('retry-after')).toBe('5')
    expect(text).not.toMatch(/DB::|UNKNOWN|test_/)
    expect(api.failures).toHaveLength(1)
  } finally {
    await bare.drop()
  }
})

test('the last bucket of a week of hours is the current one', async () => {
  const { body } = await ask('/dashboard/api/trends?appId=nobody&fill=true')
  const { trends } = dashboardSchemas.trendsAnswer.parse(body)
  expect(trends).toHaveLength(7 * 24 + 1)
  expect(trends.at(-1)?.time).toBe(new Date(NOW - (NOW % HOUR)).toISOString())
})

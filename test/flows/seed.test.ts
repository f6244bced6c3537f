import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { registerApp, start } from '../../src/index.ts'
import {
  aSite,
  anEvent,
  errorsOf,
  expectProblem,
  KEY,
  post,
  settings,
  type Site,
} from './support.ts'

const run = promisify(execFile)
const PROJECT = fileURLToPath(new URL('../..', import.meta.url))
const anyText: unknown = expect.any(String)
const aTime: unknown = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
const anError: unknown = expect.objectContaining({ id: anyText, code: anyText, timestamp: aTime })

let site: Site
beforeAll(async () => {
  const keys = [{ key: 'your-api-key', scopes: ['ingest', 'read'] }]
  const APPS = JSON.stringify([{ id: 'com.example.app', name: 'Example', keys }])
  site = await aSite({ APPS }, start)
})
afterAll(async () => {
  expect(await site.metric('error_ingestor_bugs_total')).toBe(0)
  expect(await site.undocumented()).toEqual([])
  await site.close()
})

/** Runs a command of the README in a shell, with only the address of this server put in. */
async function sh(command: string): Promise<unknown> {
  const address = command.replaceAll('http://localhost:3000', site.url)
  const { stdout } = await run('sh', ['-c', address.replace(/^curl/, 'curl -s')])
  const answer: unknown = JSON.parse(stdout)
  return answer
}

const README_EVENT = {
  id: '550e8400-e29b-41d4-a716-446655440000',
  code: 'network/request-failed',
  message: 'Failed to fetch user data',
  stackTrace: 'Error: Failed to fetch...',
  appId: 'com.example.app',
  appVersion: '1.0.0',
  platform: 'ios',
  platformVersion: '17.0',
  userId: 'user-123',
  timestamp: '2024-01-15T10:30:00.000Z',
  metadata: { endpoint: '/api/users', statusCode: 500 },
  tags: { severity: 'high' },
}

describe('every HTTP example of the README', () => {
  test('health', async () => {
    expect(await sh('curl http://localhost:3000/health')).toEqual({
      status: 'healthy',
      timestamp: aTime,
      services: { clickhouse: 'up' },
    })
    expect((await site.call('/health/live')).status).toBe(200)
    expect((await site.call('/health/ready')).status).toBe(200)
  })

  test('the body of the ingest example, with its key, is answered as printed', async () => {
    const headers = { 'X-API-Key': 'your-api-key' }
    const answer = await site.ingest([README_EVENT], headers)
    expect(answer.status).toBe(200)
    expect(answer.body).toEqual({ success: true, accepted: 1 })
    const fresh = { ...README_EVENT, id: randomUUID(), timestamp: new Date().toISOString() }
    expect((await site.ingest([fresh], headers)).body).toEqual({ success: true, accepted: 1 })
    const read = await site.call(`/dashboard/api/errors/${fresh.id}?appId=com.example.app`, {
      headers,
    })
    expect(read.body).toMatchObject({ error: fresh })
  })

  test('an event of another app is answered as printed', async () => {
    const answer = await site.ingest([anEvent()], { 'X-API-Key': 'your-api-key' })
    expect(answer.status).toBe(400)
    expect(answer.body).toEqual({
      success: false,
      error: 'Some events do not match authenticated app. Expected appId: com.example.app',
    })
  })

  test('the key test', async () => {
    expect(
      await sh(`curl -H "X-API-Key: ei_test_key_12345" http://localhost:3000/api/v1/ingest/test`),
    ).toEqual({ success: true, appId: 'test-app', appName: 'Test Application' })
  })

  test('the ingest command, then every question of the dashboard', async () => {
    const events = [anEvent({ userId: 'user-1' }), anEvent({ code: 'auth/session-expired' })]
    expect(
      await sh(`curl -X POST \
  -H "Content-Type: application/json" \
  -H "X-API-Key: ei_test_key_12345" \
  -d '${JSON.stringify({ events })}' \
  http://localhost:3000/api/v1/ingest`),
    ).toEqual({ success: true, accepted: 2 })
    const errors = await sh(
      'curl "http://localhost:3000/dashboard/api/errors?appId=test-app&limit=10"',
    )
    expect(errors).toEqual({
      success: true,
      errors: [anError, anError],
      pagination: { limit: 10, offset: 0, hasMore: false },
    })
    const trends = 'http://localhost:3000/dashboard/api/trends?appId=test-app&granularity=day'
    const midnight = new Date(new Date().setUTCHours(0, 0, 0, 0)).toISOString()
    expect(await sh(`curl "${trends}"`)).toEqual({
      success: true,
      trends: [{ time: midnight, count: 2, uniqueCodes: 2, affectedUsers: 1 }],
    })
    expect(await sh('curl "http://localhost:3000/dashboard/api/codes?appId=test-app"')).toEqual({
      success: true,
      codes: [
        { code: 'auth/session-expired', count: 1 },
        { code: 'network/request-failed', count: 1 },
      ],
    })
    expect(await sh('curl http://localhost:3000/dashboard/api/apps')).toMatchObject({
      success: true,
      apps: [
        { id: 'com.example.app', name: 'Example' },
        { id: 'test-app', name: 'Test Application', createdAt: '2024-01-01T00:00:00.000Z' },
      ],
    })
  })

  test('registerApp gives a key that the server takes at once', async () => {
    const { apiKey } = registerApp('com.example.other', 'My Application')
    expect(apiKey).toMatch(/^ei_\w+$/)
    const headers = { 'X-API-Key': apiKey }
    expect((await site.call('/api/v1/ingest/test', { headers })).body).toEqual({
      success: true,
      appId: 'com.example.other',
      appName: 'My Application',
    })
    const event = anEvent({ appId: 'com.example.other' })
    expect((await site.ingest([event], headers)).body).toEqual({ success: true, accepted: 1 })
  })

  test('registerApp and start come from the package by its name', async () => {
    const code = `import { registerApp, start } from 'error-ingestor'
      const { apiKey } = registerApp('com.example.app', 'My Application')
      const { url, stop } = await start()
      const answer = await fetch(url + '/api/v1/ingest/test', { headers: { 'X-API-Key': apiKey } })
      console.log(JSON.stringify(await answer.json()))
      await stop()`
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', code], {
      cwd: PROJECT,
      env: { PATH: process.env['PATH'], ...(await settings()) },
    })
    expect(JSON.parse(stdout)).toEqual({
      success: true,
      appId: 'com.example.app',
      appName: 'My Application',
    })
  })
})

describe('what the client of the seed does', () => {
  test('a batch of 1,000 is taken, and one of 1,001 is not', async () => {
    const code = `client/${randomUUID()}`
    const events = Array.from({ length: 1_001 }, () => anEvent({ code }))
    expectProblem(await site.ingest(events), 400, 'malformed', /1 to 1000 events.*1001/)
    const answer = await site.ingest(events.slice(0, 1_000))
    expect(answer.body).toEqual({ success: true, accepted: 1_000 })
    const found = await site.call(`/dashboard/api/errors?appId=test-app&limit=1000&code=${code}`)
    expect(errorsOf(found)).toHaveLength(1_000)
    expect(new Set(errorsOf(found).map(({ id }) => id)).size).toBe(1_000)
  })

  test('the same ids sent again, alone, among others and in upper case, count once', async () => {
    const code = `again/${randomUUID()}`
    const [first, second] = [anEvent({ code }), anEvent({ code })]
    await site.ingest([first, first])
    await site.ingest([first])
    const upper = { ...first, id: first.id.toUpperCase() }
    expect((await site.ingest([upper, second])).body).toEqual({ success: true, accepted: 2 })
    await Promise.all(Array.from({ length: 8 }, () => site.ingest([first, second])))
    await vi.waitUntil(async () => (await site.metric('error_ingestor_spool_events')) === 0)
    const { body } = await site.call('/dashboard/api/codes?appId=test-app')
    const counted: unknown = expect.arrayContaining([{ code, count: 2 }])
    expect(body).toMatchObject({ codes: counted })
    const rows = await site.clickhouse.query(
      'SELECT count() AS rows FROM occurrences WHERE code = {code: String}',
      { code },
    )
    expect(rows).toEqual([{ rows: 2 }])
  })

  test('a parsed stack comes back as it was sent', async () => {
    const frame = { functionName: 'load', fileName: 'app.js', lineNumber: 10, columnNumber: 5 }
    const nothing = { functionName: null, fileName: null, lineNumber: null, columnNumber: null }
    for (const parser of ['browser', 'react-native', 'node', 'unknown']) {
      const parsedStack = {
        frames: [
          { ...frame, inApp: true, raw: '    at load (app.js:10:5)' },
          { ...nothing, inApp: false, raw: '    at <anonymous>' },
        ],
        raw: 'Error: Failed\n    at load (app.js:10:5)\n    at <anonymous>',
        parser,
      }
      const event = anEvent({ parsedStack })
      await site.ingest([event])
      const { body } = await site.call(`/dashboard/api/errors/${event.id}?appId=test-app`)
      expect(body).toMatchObject({ success: true, error: { ...event, parsedStack } })
    }
  })

  test('source maps are stored, replaced, listed and deleted, each version apart', async () => {
    const sourceMap = JSON.stringify({ version: 3, sources: ['a.ts'], names: [], mappings: 'AAAA' })
    const upload = (appVersion: string, fileName: string) =>
      site.call('/api/v1/sourcemaps/upload', post({ appVersion, fileName, sourceMap }))
    for (let again = 0; again < 2; again += 1) {
      expect((await upload('1.0.0', 'index.bundle')).body).toEqual({
        success: true,
        message: 'Source map uploaded for index.bundle (v1.0.0)',
      })
    }
    const sourceMaps = ['main.js', 'vendor.js'].map((fileName) => ({ fileName, sourceMap }))
    const batch = await site.call(
      '/api/v1/sourcemaps/upload-batch',
      post({ appVersion: '2.0.0', sourceMaps }),
    )
    expect(batch.body).toEqual({
      success: true,
      uploaded: 2,
      message: 'Uploaded 2 source maps for v2.0.0',
    })
    const headers = { 'X-API-Key': KEY }
    const list = async (query = '') => {
      const { body } = await site.call(`/api/v1/sourcemaps/list${query}`, { headers })
      const Maps = z.object({
        success: z.literal(true),
        sourceMaps: z.array(
          z.strictObject({
            fileName: z.string(),
            appVersion: z.string(),
            createdAt: z.iso.datetime(),
          }),
        ),
      })
      return Maps.parse(body).sourceMaps.map(
        ({ fileName, appVersion }) => `${fileName} ${appVersion}`,
      )
    }
    expect(new Set(await list())).toEqual(
      new Set(['index.bundle 1.0.0', 'main.js 2.0.0', 'vendor.js 2.0.0']),
    )
    expect(await list('?appVersion=1.0.0')).toEqual(['index.bundle 1.0.0'])
    const removed = await site.call('/api/v1/sourcemaps/2.0.0', { method: 'DELETE', headers })
    expect(removed.body).toEqual({ success: true, message: 'Deleted source maps for v2.0.0' })
    expect(await list()).toEqual(['index.bundle 1.0.0'])
    const bad = { appVersion: '1', fileName: 'a.js', sourceMap: '{' }
    expectProblem(
      await site.call('/api/v1/sourcemaps/upload', post(bad)),
      400,
      'malformed',
      /sourceMap/,
    )
  })
})

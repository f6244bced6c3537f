import { Hono } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { describe, expect, test } from 'vitest'
import { answerProblems, problem, STATUS } from '../../src/http/problem.ts'
import { directClient, withAccess } from '../../src/http/access.ts'
import { Refusal, type RefusalCode } from '../../src/refusal.ts'
import { anIntake } from './support/intake.ts'

function anApp() {
  const bugs: unknown[] = []
  const app = new Hono()
  app.get('/things/:id', (c) => c.text('thing'))
  app.delete('/things/:id', (c) => c.text('gone'))
  app.get('/teapot', () => {
    throw new HTTPException(400, { message: 'Not a pot.' })
  })
  app.get('/full', () => {
    throw new Refusal('overloaded', 'Full.')
  })
  app.get('/bug', () => {
    throw new Error('password=hunter2')
  })
  app.get('/moved', () => Response.redirect('http://localhost/things/1'))
  answerProblems(app, (error) => bugs.push(error))
  const fetch = withAccess({
    fetch: app.fetch,
    log: () => undefined,
    nowMs: () => 0,
    clientOf: directClient,
  })
  const get = (path: string, init?: RequestInit) =>
    fetch(new Request(`http://localhost${path}`, init))
  return { get, bugs }
}

test('a path nobody has gets 404 as JSON', async () => {
  const response = await anApp().get('/nothing')
  expect(response.status).toBe(404)
  expect(response.headers.get('x-error-code')).toBe('not_found')
  const answer: unknown = await response.json()
  expect(JSON.stringify(answer)).toMatch(/^\{"success":false,"error":"[^"]+\."\}$/)
})

test('a wrong method gets 405 with every method that would do', async () => {
  const response = await anApp().get('/things/1', { method: 'POST' })
  expect(response.status).toBe(405)
  expect(response.headers.get('allow')).toBe('GET, HEAD, DELETE, OPTIONS')
  expect(response.headers.get('x-error-code')).toBe('method_not_allowed')
})

test('the ingest path says that it wants POST', async () => {
  const response = await anIntake().fetch(new Request('http://localhost/api/v1/ingest'))
  expect([response.status, response.headers.get('allow')]).toEqual([405, 'POST, OPTIONS'])
})

test('a refusal that a route throws keeps its code, and 503 always says when to return', async () => {
  const response = await anApp().get('/full')
  expect([response.status, response.headers.get('retry-after')]).toEqual([503, '5'])
  expect(await response.json()).toEqual({ success: false, error: 'Full.' })
})

test("Hono's own refusals are the client's fault, not a bug", async () => {
  const { get, bugs } = anApp()
  const response = await get('/teapot')
  expect([response.status, await response.json()]).toEqual([
    400,
    { success: false, error: 'Not a pot.' },
  ])
  expect(bugs).toEqual([])
})

test('a bug gets a generic 500 that names the request, and is told', async () => {
  const { get, bugs } = anApp()
  const response = await get('/bug', { headers: { 'X-Request-Id': 'abc' } })
  expect(response.status).toBe(500)
  expect(response.headers.get('x-request-id')).toBe('abc')
  const text = await response.text()
  expect(text).toContain('abc')
  expect(text).not.toContain('hunter2')
  expect(bugs).toHaveLength(1)
})

test('every answer carries the security headers, also one that cannot be changed', async () => {
  const { get } = anApp()
  for (const path of ['/things/1', '/nothing', '/moved']) {
    const { headers } = await get(path)
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    expect(headers.get('content-security-policy')).toContain("default-src 'none'")
    expect(headers.get('x-request-id')).toMatch(/^[\da-f]{16}-\w+$/)
  }
})

test.each(['two words', 'x'.repeat(129), 'a"b', '<script>'])(
  'the request id %j is not taken over',
  async (id) => {
    const response = await anApp().get('/things/1', { headers: { 'X-Request-Id': id } })
    expect(response.headers.get('x-request-id')).not.toBe(id)
  },
)

test('request ids differ', async () => {
  const { get } = anApp()
  const ids = await Promise.all(
    Array.from({ length: 50 }, async () => (await get('/things/1')).headers.get('x-request-id')),
  )
  expect(new Set(ids).size).toBe(50)
})

describe('every refusal code', () => {
  const codes = Object.keys(STATUS).filter((code): code is RefusalCode => code in STATUS)
  test.each(codes)('%s has its status and its header', (code) => {
    const response = problem(new Refusal(code, 'No.'))
    expect(response.status).toBe(STATUS[code])
    expect(response.headers.get('x-error-code')).toBe(code)
    expect(response.headers.has('retry-after')).toBe([429, 503].includes(STATUS[code]))
  })
})

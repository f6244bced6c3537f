import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { dashboardSchemas } from '../../src/dashboard/answers.ts'
import { openapiDocument } from '../../src/http/openapi.ts'
import { NativeBatch } from '../../src/protocols/native/event.ts'
import { site } from './support/site.ts'

const never = () => Promise.reject(new Error('The documentation asks no store.'))
const store = { events: never, event: never, trends: never, codes: never, ledger: never }
const Paths = z.record(
  z.string(),
  z.record(z.string(), z.object({ responses: z.record(z.string(), z.unknown()) })),
)
const read = async (document: unknown) => {
  const answer = await site({ store, openapi: () => document }).request('/docs')
  return { status: answer.status, html: await answer.text() }
}

describe('the documentation', () => {
  const document = openapiDocument({
    schemas: { nativeBatch: NativeBatch, dashboard: dashboardSchemas },
    version: '1.2.3',
    publicUrl: undefined,
  })

  test('tells every operation, parameter and status of the OpenAPI document', async () => {
    const { status, html } = await read(document)
    expect(status).toBe(200)
    const operations = Object.entries(Paths.parse(document.paths)).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
    )
    expect(operations.length).toBeGreaterThan(10)
    expect(html.match(/<article /g)).toHaveLength(operations.length)
    for (const { path, method, operation } of operations) {
      const start = html.indexOf(
        `<b class="method ${method}">${method.toUpperCase()}</b> <code>${path}</code>`,
      )
      expect([path, start > 0]).toEqual([path, true])
      const article = html.slice(start, html.indexOf('</article>', start))
      for (const code of Object.keys(operation.responses)) expect(article).toContain(code)
    }
    // A field of an event, two levels down, with what it takes.
    expect(html).toMatch(/<code>lineNumber<\/code>/)
    expect(html).toContain('X-API-Key: …')
  })

  test('every link of its table of contents leads to an operation', async () => {
    const { html } = await read(document)
    const ids = new Set([...html.matchAll(/<article [^>]*id="([^"]+)"/g)].map(([, id]) => id))
    const links = [...html.matchAll(/href="#([^"]+)"/g)].map(([, id]) => id)
    expect(links.filter((id) => id !== 'content' && !ids.has(id))).toEqual([])
    expect(ids.size).toBe(html.match(/<article /g)?.length)
  })

  test('of a schema that holds itself ends', async () => {
    const self = { $ref: '#/components/schemas/Json' }
    const { status, html } = await read({
      info: { title: 'Loop', version: '1' },
      paths: {
        '/loop': {
          post: {
            requestBody: { content: { 'application/json': { schema: self } } },
            responses: {
              200: { description: 'Fine.', content: { 'text/json': { schema: self } } },
            },
          },
        },
      },
      components: {
        schemas: {
          Json: {
            anyOf: [
              { type: 'string' },
              { type: 'array', items: self },
              { type: 'object', properties: { more: self } },
            ],
          },
        },
      },
    })
    expect(status).toBe(200)
    expect(html).toContain('/loop')
    expect(html.length).toBeLessThan(100_000)
  })
})

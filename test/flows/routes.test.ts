import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { aSite, type Site } from './support.ts'

/** Every Hono that was made; the service is the one with the most routes. */
const made = vi.hoisted(
  (): { readonly routes: readonly { method: string; path: string }[] }[] => [],
)
vi.mock('hono', async (original) => {
  const hono = await original<typeof import('hono')>()
  class Recorded extends hono.Hono {
    constructor() {
      super()
      made.push(this)
    }
  }
  return { ...hono, Hono: Recorded }
})

let site: Site
beforeAll(async () => {
  site = await aSite()
})
afterAll(() => site.close())

test('every route that the server has is in /openapi.json, and every operation there has a route', async () => {
  const Document = z.object({ paths: z.record(z.string(), z.record(z.string(), z.unknown())) })
  const { paths } = Document.parse((await site.call('/openapi.json')).body)
  const documented = Object.entries(paths).flatMap(([path, operations]) =>
    Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
  )
  const whole = made.reduce((most, one) => (one.routes.length > most.routes.length ? one : most))
  const served = whole.routes
    // Preflights are the browser's own business.
    .filter(({ method }) => method !== 'OPTIONS')
    .map(({ method, path }) => `${method} ${path.replaceAll(/:(\w+)(\{[^}]*\})?/g, '{$1}')}`)
  expect(served.length).toBeGreaterThan(20)
  expect(new Set(served)).toEqual(new Set(documented))
})

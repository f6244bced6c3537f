import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { openSessions } from '../../src/sessions/sessions.ts'
import type { Site } from '../flows/support.ts'
import { BY_PASSWORD, SECRET, aGuardedSite } from './support.ts'

/** Sessions of the test: nobody's, of one role in the app `shop`, of a viewer of `blog`, and of nobody's rule. */
const WHO = ['nobody', 'viewer', 'editor', 'admin', 'blog', 'stranger'] as const
const RULES = JSON.stringify([
  ...['viewer', 'editor', 'admin'].map((role) => ({ group: role, role, apps: ['shop'] })),
  { group: 'blog', role: 'viewer', apps: ['blog'] },
])

/** Statuses in the order of {@link WHO}. */
type Row = readonly [number, number, number, number, number, number]
const same = (status: number): Row => [status, status, status, status, status, status]
const READ: Row = [401, 200, 200, 200, 403, 403]
const ID = '550e8400-e29b-41d4-a716-446655440000'

/** Each operation of the document; where a path is not enough, how it is asked. */
const ROWS: Readonly<Record<string, { readonly path?: string; readonly row: Row }>> = {
  'GET /': { path: '/?appId=shop', row: [303, 200, 200, 200, 403, 403] },
  'GET /errors/{id}': { path: `/errors/${ID}?appId=shop`, row: [303, 404, 404, 404, 403, 403] },
  'GET /ledger': { path: '/ledger?appId=shop', row: [303, 200, 200, 200, 403, 403] },
  'GET /dashboard/api/errors': { path: '/dashboard/api/errors?appId=shop', row: READ },
  'GET /dashboard/api/errors/{id}': {
    path: `/dashboard/api/errors/${ID}?appId=shop`,
    row: [401, 404, 404, 404, 403, 403],
  },
  'GET /dashboard/api/trends': { path: '/dashboard/api/trends?appId=shop', row: READ },
  'GET /dashboard/api/codes': { path: '/dashboard/api/codes?appId=shop', row: READ },
  'GET /dashboard/api/issues': { path: '/dashboard/api/issues?appId=shop', row: READ },
  'GET /dashboard/api/ledger': { path: '/dashboard/api/ledger?appId=shop', row: READ },
  'GET /dashboard/api/apps': { row: [401, 200, 200, 200, 200, 403] },
  'GET /api/v1/ingest/test': { row: same(401) },
  'GET /api/v1/sourcemaps/list': { row: same(401) },
  'DELETE /api/v1/sourcemaps/{appVersion}': { path: '/api/v1/sourcemaps/1', row: same(401) },
  'POST /api/v1/sourcemaps/upload': { row: same(401) },
  'POST /api/v1/sourcemaps/upload-batch': { row: same(401) },
  'GET /health': { row: same(200) },
  'GET /health/live': { row: same(200) },
  'GET /health/ready': { row: same(200) },
  'GET /metrics': { row: same(200) },
  'GET /openapi.json': { row: same(200) },
  'GET /docs': { row: same(200) },
  'GET /assets/{name}': { path: '/assets/x.css', row: same(404) },
  'GET /sign-in': { row: [200, 303, 303, 303, 303, 303] },
  'POST /sign-in': { row: same(401) },
  'GET /sign-in/provider': { row: same(404) },
  'GET /sign-in/callback': { row: same(404) },
}
/** Ends the session, so it comes last. */
const LAST: typeof ROWS = { 'POST /sign-out': { row: same(303) } }

/** In development mode nobody may read what the others may. */
const openTo = (row: Row, mode: Mode): Row => {
  const [nobody, viewer, ...rest] = row
  const isRead = [401, 303].includes(nobody) && [200, 404].includes(viewer)
  return mode === 'development' && isRead ? [viewer, viewer, ...rest] : row
}
const MODES = ['production', 'development'] as const
type Mode = (typeof MODES)[number]

const sites = new Map<Mode, Site>()
let cookies: readonly string[]
beforeAll(async () => {
  for (const mode of MODES) {
    const env = { ...BY_PASSWORD, SIGN_IN_RULES: RULES, NODE_ENV: mode }
    sites.set(mode, await aGuardedSite(env))
  }
  const never = { has: () => Promise.resolve(false), end: () => Promise.resolve() }
  const nowMs = () => Date.now()
  const sessions = await openSessions({ secrets: [SECRET], lifeMs: 3_600_000, ended: never, nowMs })
  cookies = await Promise.all(
    WHO.map(async (who) => {
      if (who === 'nobody') return ''
      const person = { id: `oidc:${who}`, name: who, email: undefined, groups: [who] }
      return `ei_session=${await sessions.begin(person)}`
    }),
  )
})
afterAll(async () => {
  for (const site of sites.values()) await site.close()
})

const Document = z.object({ paths: z.record(z.string(), z.record(z.string(), z.unknown())) })

async function statuses(site: Site, operation: string, path: string): Promise<number[]> {
  const [method = 'GET'] = operation.split(' ')
  const found: number[] = []
  for (const cookie of cookies) {
    const headers = {
      cookie,
      Accept: 'text/html',
      Origin: site.url,
      'Sec-Fetch-Site': 'same-origin',
    }
    found.push((await site.call(path, { method, headers, redirect: 'manual' })).status)
  }
  return found
}

test.each(MODES)(
  'every operation answers each session as its row says, and each has a row, in %s mode',
  async (mode) => {
    const site = sites.get(mode)
    if (site === undefined) throw new Error('There is no server.')
    const { paths } = Document.parse((await site.call('/openapi.json')).body)
    const operations = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    )
    const rows: Record<string, { readonly path?: string; readonly row: Row }> = { ...ROWS }
    for (const operation of operations) {
      // Wherever events are sent to, a key is what counts: by the path of each protocol.
      const isIntake = /^POST \/(?:api\/v1\/ingest$|api\/\{|v1\/|tunnel$)/.test(operation)
      const isSentry = /^POST \/(?:api\/\{|tunnel$)/.test(operation) // Its SDKs know no 401.
      if (isIntake) {
        const path = operation.slice(5).replaceAll(/\{\w+\}/g, '1')
        rows[operation] = { path, row: same(isSentry ? 403 : 401) }
      }
    }
    for (const operation of operations) {
      // Who administers shows a key: no session does, whatever its role.
      if (!operation.includes(' /api/v1/admin/')) continue
      const path = operation.slice(operation.indexOf('/')).replaceAll(/\{\w+\}/g, '1')
      rows[operation] = { path, row: same(401) }
    }
    const known = [...Object.keys(rows), ...Object.keys(LAST)]
    expect(known.sort()).toEqual(operations.sort())
    const wrong: string[] = []
    for (const [operation, { path, row }] of [...Object.entries(rows), ...Object.entries(LAST)]) {
      const got = await statuses(site, operation, path ?? operation.slice(operation.indexOf('/')))
      const right = openTo(row, mode).join()
      if (got.join() !== right) wrong.push(`${operation}: ${got.join()} and not ${right}`)
    }
    expect(wrong).toEqual([])
  },
  120_000,
)

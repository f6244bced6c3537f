import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { makeKey, projectIdOf } from '../../src/keys/token.ts'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { aSite, anEvent, type Site } from './support.ts'

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

type Scope = 'ingest' | 'read' | 'sourcemaps' | 'admin'
type Mode = 'development' | 'production'

const SCOPES: readonly Scope[] = ['ingest', 'read', 'sourcemaps', 'admin']
const ADMIN_KEY = makeKey('admin')
const PROJECT = projectIdOf('mine')
const UUID = '00000000-0000-4000-8000-000000000000'
const key = (scope: string) => ({ key: makeKey(scope), scopes: [scope] })
const scoped = Object.fromEntries(SCOPES.map((scope) => [scope, key(scope)]))
const everything = { scopes: [...SCOPES] }
const revoked = { key: makeKey('multi'), ...everything, revoked: true }
const expired = { key: makeKey('multi'), ...everything, expiresAt: '2024-01-01T00:00:00Z' }
const other = { key: makeKey('multi'), ...everything }
const APPS = JSON.stringify([
  { id: 'mine', name: 'Mine', keys: [...Object.values(scoped), revoked, expired] },
  { id: 'other', name: 'Other', keys: [other] },
])

/** Who asks. Whoever adds a way to sign in adds a line here, and what it may do to `expected`. */
const CALLERS: Readonly<Record<string, string | undefined>> = {
  'no key': undefined,
  'a wrong key': makeKey('multi'),
  'half a key': ADMIN_KEY.slice(0, -3),
  'a revoked key': revoked.key,
  'an expired key': expired.key,
  ...Object.fromEntries(SCOPES.map((scope) => [scope, scoped[scope]?.key])),
  "another app's key": other.key,
  'the admin key of all apps': ADMIN_KEY,
}

interface Row {
  /** The scope that opens it; open to everyone where absent. */
  readonly needs?: Scope
  /** Path and query; that of the route where absent. */
  readonly at?: string
  /** As JSON, or as it is. */
  readonly body?: object | string
  readonly headers?: Readonly<Record<string, string>>
  /** What whoever is let in gets. */
  readonly ok: number
  /** What a request without a key gets in production mode, where that is not 401. */
  readonly keyless?: number
  /** What the key of another app gets, where that differs. */
  readonly other?: number
}

// A person without a key is sent to sign in, and to where they wanted to go from there.
const page = { headers: { Accept: 'text/html' }, keyless: 303 }
const otlp = {
  needs: 'ingest',
  body: '{}',
  headers: { 'Content-Type': 'application/json' },
} as const
const sentry = (route: string): Row => ({
  needs: 'ingest',
  at: route.replace('POST ', '').replace('{}', String(PROJECT)),
  body: '{}',
  ok: 200,
})
const read = (path: string, ok = 200): Row => ({
  ...{ needs: 'read', at: `/dashboard/api/${path}?appId=mine`, ok, other: 403 },
})
const admin = (row: Omit<Row, 'needs'>): Row => ({ needs: 'admin', ...row })

/** One row or more for every route of the server. */
const ROWS: Readonly<Record<string, readonly Row[]>> = {
  'POST /api/v1/ingest': [
    { needs: 'ingest', body: { events: [anEvent({ appId: 'mine' })] }, ok: 200, other: 400 },
  ],
  'GET /api/v1/ingest/test': [{ needs: 'ingest', ok: 200 }],
  'POST /v1/logs': [{ ...otlp, ok: 200 }],
  'POST /v1/traces': [{ ...otlp, ok: 200 }],
  'POST /v1/metrics': [{ ...otlp, ok: 200 }],
  'POST /api/v1/sourcemaps/upload': [{ needs: 'sourcemaps', body: {}, ok: 400 }],
  'POST /api/v1/sourcemaps/upload-batch': [{ needs: 'sourcemaps', body: {}, ok: 400 }],
  'GET /api/v1/sourcemaps/list': [{ needs: 'sourcemaps', ok: 200 }],
  'DELETE /api/v1/sourcemaps/{}': [{ needs: 'sourcemaps', at: '/api/v1/sourcemaps/0', ok: 200 }],
  'GET /dashboard/api/errors': [read('errors')],
  'GET /dashboard/api/errors/{}': [read(`errors/${UUID}`, 404)],
  'GET /dashboard/api/trends': [read('trends')],
  'GET /dashboard/api/codes': [read('codes')],
  'GET /dashboard/api/issues': [read('issues')],
  'GET /dashboard/api/ledger': [read('ledger')],
  'GET /dashboard/api/apps': [{ needs: 'read', ok: 200 }],
  'GET /api/v1/admin/apps': [admin({ ok: 200 })],
  'POST /api/v1/admin/apps': [admin({ body: {}, ok: 400 })],
  'GET /api/v1/admin/apps/{}': [admin({ at: '/api/v1/admin/apps/mine', ok: 200, other: 403 })],
  'PATCH /api/v1/admin/apps/{}': [
    admin({ at: '/api/v1/admin/apps/mine', body: { name: 'M' }, ok: 409, other: 403 }),
  ],
  'DELETE /api/v1/admin/apps/{}/users/{}': [
    admin({ at: '/api/v1/admin/apps/mine/users/nobody', ok: 202, other: 403 }),
  ],
  'GET /api/v1/admin/apps/{}/deletions/{}': [
    admin({ at: `/api/v1/admin/apps/mine/deletions/${UUID}`, ok: 404, other: 403 }),
  ],
  'GET /api/v1/admin/keys': [admin({ at: '/api/v1/admin/keys?appId=mine', ok: 200, other: 403 })],
  'POST /api/v1/admin/keys': [
    admin({ body: { appId: 'mine' }, ok: 409, other: 403 }),
    admin({ body: { scopes: [] }, ok: 400 }),
  ],
  'DELETE /api/v1/admin/keys/{}': [admin({ at: '/api/v1/admin/keys/key_none', ok: 404 })],
  'POST /api/v1/admin/keys/{}/rotate': [
    admin({ at: '/api/v1/admin/keys/key_none/rotate', body: {}, ok: 404 }),
  ],
  'GET /api/v1/admin/audit': [admin({ at: '/api/v1/admin/audit?appId=mine', ok: 200, other: 403 })],
  'GET /': [{ ok: 200 }, { needs: 'read', ...page, at: '/?appId=mine', ok: 200, other: 403 }],
  'GET /errors/{}': [
    { at: `/errors/${UUID}`, ok: 404 },
    { needs: 'read', ...page, at: `/errors/${UUID}?appId=mine`, ok: 404, other: 403 },
  ],
  'GET /ledger': [{ needs: 'read', ...page, at: '/ledger?appId=mine', ok: 200, other: 403 }],
  'GET /sign-in': [{ ok: 200 }],
  'POST /sign-in': [{ ok: 403 }],
  'GET /sign-in/provider': [{ ok: 404 }],
  'GET /sign-in/callback': [{ ok: 404 }],
  'POST /sign-out': [{ ok: 403 }],
  'GET /docs': [{ ok: 200 }],
  'GET /assets/{}': [{ at: '/assets/none.js', ok: 404 }],
  'GET /health': [{ ok: 200 }],
  'GET /health/live': [{ ok: 200 }],
  'GET /health/ready': [{ ok: 200 }],
  'GET /metrics': [{ ok: 200 }],
  'GET /openapi.json': [{ ok: 200 }],
}

/** What that caller gets there. */
function expected(row: Row, caller: string, mode: Mode): number {
  const { needs, ok } = row
  if (needs === undefined) return ok
  const isDevelopment = mode === 'development'
  if (caller === 'no key') return isDevelopment && needs === 'read' ? ok : (row.keyless ?? 401)
  if (caller === 'a wrong key' || caller === 'half a key') return 401
  if (caller === 'a revoked key' || caller === 'an expired key') return 403
  if (caller === "another app's key") return row.other ?? ok
  if (caller === 'the admin key of all apps') return ['admin', 'read'].includes(needs) ? ok : 403
  const also = isDevelopment && needs === 'sourcemaps' ? 'ingest' : needs
  return caller === needs || caller === also ? ok : 403
}

let database: TestDatabase
const sites = new Map<Mode, Site>()
beforeAll(async () => {
  database = await createDatabase()
  for (const mode of ['development', 'production'] as const) {
    const site = await aSite({
      ...{ NODE_ENV: mode, HOST: '127.0.0.1', APPS, ADMIN_KEY },
      KEY_PEPPER: '0f9a8d7c6b5e4f3a2b1c0d9e8f7a6b5c4d3e',
      CLICKHOUSE_DATABASE: database.database,
    })
    sites.set(mode, site)
  }
})
afterAll(async () => {
  for (const site of sites.values()) await site.close()
  await database.drop()
})

const isSentry = (route: string) => /^POST \/(?:api\/\{\}\/|tunnel)/.test(route)

/** `GET /a/{}` for each route of the server. */
function served(): string[] {
  const whole = made.reduce((most, one) => (one.routes.length > most.routes.length ? one : most))
  return [
    ...new Set(
      whole.routes
        // Preflights are the browser's own business, and hold no key.
        .filter(({ method }) => method !== 'OPTIONS')
        .map(({ method, path }) => `${method} ${path.replaceAll(/:\w+(\{[^}]*\})?/g, '{}')}`),
    ),
  ]
}

test('every route has a row here, and every row a route', () => {
  const routes = served()
  expect(routes.length).toBeGreaterThan(30)
  expect(routes.filter((route) => ROWS[route] === undefined && !isSentry(route))).toEqual([])
  expect(Object.keys(ROWS).filter((route) => !routes.includes(route))).toEqual([])
})

async function statusOf(site: Site, route: string, row: Row, caller: string): Promise<number> {
  const [method = '', path = ''] = route.split(' ')
  const shown = CALLERS[caller]
  const { body, headers } = row
  const { status } = await site.call(row.at ?? path, {
    method,
    redirect: 'manual',
    headers: {
      'Content-Type': 'application/json',
      ...headers,
      ...(shown !== undefined && {
        'X-API-Key': shown,
        'X-Sentry-Auth': `Sentry sentry_version=7, sentry_key=${shown}`,
      }),
    },
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  return status
}

describe.each(['development', 'production'] as const)('%s mode', (mode) => {
  test.each(Object.keys(CALLERS))(
    '%s is let in where it may go, and nowhere else',
    async (caller) => {
      const site = sites.get(mode)
      if (site === undefined) throw new Error('There is no server.')
      const wrong: string[] = []
      for (const [route, rows] of Object.entries(ROWS)) {
        for (const row of rows) {
          const status = await statusOf(site, route, row, caller)
          const right = expected(row, caller, mode)
          if (status !== right) wrong.push(`${route} ${row.at ?? ''}: ${status}, not ${right}`)
        }
      }
      for (const route of served().filter(isSentry)) {
        const row = sentry(route)
        const status = await statusOf(site, route, row, caller)
        // Sentry knows no 401.
        const right = expected(row, caller, mode) === 401 ? 403 : expected(row, caller, mode)
        // Whoever is let in is told whether this was an event; nobody else learns even that.
        const isIn = right === row.ok && ![401, 403].includes(status)
        const isOther = caller === "another app's key" && [400, 403].includes(status)
        if (!isIn && !isOther && status !== right) wrong.push(`${route}: ${status}, not ${right}`)
      }
      expect(wrong).toEqual([])
    },
  )
})

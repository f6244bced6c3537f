import { Hono, type Context } from 'hono'
import type { z } from 'zod'
import type { AuditEntry, AuditQuery as AuditAsked, Forget } from '../administration.ts'
import { dsnOf } from '../app-setting.ts'
import type { Actor, Admin, AppView } from '../keys/admin.ts'
import { Refusal } from '../refusal.ts'
import {
  AppNew,
  AppPatch,
  AuditQuery,
  KeyNew,
  KeyRotation,
  KeysQuery,
  type AuditAnswer,
} from './admin-schemas.ts'
import type { Ask } from './ask.ts'
import { withJsonBody, type ReadBody } from './json-body.ts'

/** What `adminRoutes` stands on. */
export interface AdminRoutesDeps {
  /** Who asks. @throws Refusal as `admitAdmin` of keys/keys.ts. */
  readonly admit: (request: Request, env: unknown) => Actor
  readonly admin: Admin
  readonly auditLog: (query: AuditAsked) => Promise<readonly AuditEntry[]>
  readonly forgetting: {
    readonly begin: (appId: string, userId: string) => Promise<Forget>
    readonly look: (forget: Forget) => Promise<Forget>
    readonly find: (appId: string, id: string) => Promise<Forget | undefined>
  }
  readonly readBody: ReadBody
  readonly ask: Ask
  /** Where the client of a request reaches us, for DSNs. */
  readonly originOf: (request: Request, env: unknown) => string
}

const BASE = '/api/v1/admin'
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** The routes under `/api/v1/admin`. Refusals are thrown; the app answers them. */
export function adminRoutes(deps: AdminRoutesDeps): Hono {
  const routes = new Hono()
  appRoutes(routes, deps)
  keyRoutes(routes, deps)
  userRoutes(routes, deps)
  routes.get(`${BASE}/audit`, async (c) => {
    const actor = deps.admit(c.req.raw, c.env)
    const { appId, limit, cursor } = readQuery(AuditQuery, c)
    if (appId !== undefined && actor.appId !== undefined && appId !== actor.appId) {
      throw new Refusal('forbidden', 'This API key administers another app.')
    }
    const query = { appId: appId ?? actor.appId, before: positionOf(cursor), limit }
    const entries = await deps.ask(c.req.raw, () => deps.auditLog(query))
    const last = entries.length === limit ? entries.at(-1) : undefined
    const answer: z.infer<typeof AuditAnswer> = {
      success: true,
      entries: entries.map(({ atMs, appId: of, detail, ...rest }) => ({
        ...rest,
        at: new Date(atMs).toISOString(),
        appId: of === '' ? null : of,
        detail: { ...detail },
      })),
      nextCursor: last === undefined ? null : `${last.atMs}_${last.id}`,
    }
    return c.json(answer)
  })
  return routes
}

function appRoutes(routes: Hono, { admit, admin, readBody, ask, originOf }: AdminRoutesDeps): void {
  const shown = (app: AppView, c: Context) => {
    const { id, name, createdAt, projectId, source, readOnly, ingestKey } = app
    const base = originOf(c.req.raw, c.env)
    const dsn = ingestKey === undefined ? null : dsnOf(base, ingestKey, projectId)
    const { limits = null, origins = null, retentionDays = null, scrub = null } = app
    const options = { limits, origins, retentionDays, scrub }
    return { ...{ id, name, createdAt, projectId, dsn, source, readOnly }, ...options }
  }
  routes.get(`${BASE}/apps`, (c) => {
    const apps = admin.apps(admit(c.req.raw, c.env))
    return c.json({ success: true, apps: apps.map((app) => shown(app, c)) })
  })
  routes.post(`${BASE}/apps`, (c) => {
    const actor = admit(c.req.raw, c.env)
    return withJsonBody(readBody, c, AppNew, async (given) => {
      const app = await ask(c.req.raw, () => admin.createApp(actor, given))
      return c.json({ success: true, app: shown(app, c) }, 201)
    })
  })
  routes.get(`${BASE}/apps/:app`, (c) => {
    const app = admin.app(admit(c.req.raw, c.env), c.req.param('app'))
    return c.json({ success: true, app: shown(app, c) })
  })
  routes.patch(`${BASE}/apps/:app`, (c) => {
    const actor = admit(c.req.raw, c.env)
    return withJsonBody(readBody, c, AppPatch, async (change) => {
      const app = await ask(c.req.raw, () => admin.changeApp(actor, c.req.param('app'), change))
      return c.json({ success: true, app: shown(app, c) })
    })
  })
}

function keyRoutes(routes: Hono, { admit, admin, readBody, ask }: AdminRoutesDeps): void {
  routes.get(`${BASE}/keys`, async (c) => {
    const actor = admit(c.req.raw, c.env)
    const { appId } = readQuery(KeysQuery, c)
    const keys = await ask(c.req.raw, () => admin.listKeys(actor, appId))
    return c.json({ success: true, keys })
  })
  routes.post(`${BASE}/keys`, (c) => {
    const actor = admit(c.req.raw, c.env)
    return withJsonBody(readBody, c, KeyNew, async ({ appId, name, scopes, expiresAt }) => {
      const expiresAtMs = expiresAt === undefined ? undefined : Date.parse(expiresAt)
      const wanted = { appId, name, scopes, expiresAtMs }
      const made = await ask(c.req.raw, () => admin.createKey(actor, wanted))
      return c.json({ success: true, ...made }, 201)
    })
  })
  routes.post(`${BASE}/keys/:id/rotate`, (c) => {
    const actor = admit(c.req.raw, c.env)
    return withJsonBody(readBody, c, KeyRotation, async ({ overlapSeconds }) => {
      const id = c.req.param('id')
      const made = await ask(c.req.raw, () => admin.rotateKey(actor, id, overlapSeconds * 1_000))
      return c.json({ success: true, ...made }, 201)
    })
  })
  routes.delete(`${BASE}/keys/:id`, async (c) => {
    const actor = admit(c.req.raw, c.env)
    const key = await ask(c.req.raw, () => admin.revokeKey(actor, c.req.param('id')))
    return c.json({ success: true, key })
  })
}

function userRoutes(routes: Hono, { admit, admin, ask, forgetting }: AdminRoutesDeps): void {
  const shown = ({ id, appId, requestedAtMs, doneAtMs }: Forget) => ({
    ...{ id, appId, status: doneAtMs === undefined ? 'running' : 'done' },
    requestedAt: new Date(requestedAtMs).toISOString(),
    doneAt: doneAtMs === undefined ? null : new Date(doneAtMs).toISOString(),
  })
  routes.delete(`${BASE}/apps/:app/users/:userId`, async (c) => {
    const actor = admit(c.req.raw, c.env)
    const { id: appId } = admin.requireApp(actor, c.req.param('app'))
    const forget = await ask(c.req.raw, async () => {
      const begun = await forgetting.begin(appId, c.req.param('userId'))
      // Who it was is not noted: the log would remember whom we forget.
      await admin.audit(actor, 'user.forget', { appId, target: begun.id, detail: {} })
      return begun
    })
    return c.json({ success: true, deletion: shown(forget) }, 202)
  })
  routes.get(`${BASE}/apps/:app/deletions/:id`, async (c) => {
    const actor = admit(c.req.raw, c.env)
    const { id: appId } = admin.requireApp(actor, c.req.param('app'))
    const id = c.req.param('id').toLowerCase()
    const forget = await ask(c.req.raw, async () => {
      const found = UUID.test(id) ? await forgetting.find(appId, id) : undefined
      return found === undefined ? undefined : forgetting.look(found)
    })
    if (forget === undefined) {
      throw new Refusal('not_found', 'The app has no deletion of this id.')
    }
    return c.json({ success: true, deletion: shown(forget) })
  })
}

/** @throws Refusal `malformed` naming the parameter. An empty parameter counts as absent. */
function readQuery<Schema extends z.ZodType>(schema: Schema, c: Context): z.output<Schema> {
  const given = Object.entries(c.req.query()).filter(([, value]) => value !== '')
  const parsed = schema.safeParse(Object.fromEntries(given))
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw new Refusal('malformed', `${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}.`)
}

function positionOf(cursor: string | undefined) {
  const [at, id] = cursor?.split('_', 2) ?? []
  return at === undefined || id === undefined ? undefined : { atMs: Number(at), id }
}

import { Hono, type Context } from 'hono'
import type { App } from '../keys/ring.ts'
import { Refusal, type RefusalCode } from '../refusal.ts'
import type { EventPage, Store, StoredEvent } from '../store/store.ts'
import { ledgerAnswer } from './ledger.ts'
import { wantsHtml } from './pages/accept.ts'
import { buildAssets } from './pages/assets.ts'
import { fill, granularityOf } from './pages/buckets.ts'
import { DocsPage } from './pages/docs.tsx'
import { EventPage as EventView, type Neighbours } from './pages/event.tsx'
import { curlFor } from './pages/first.tsx'
import type { Assets, Frame } from './pages/layout.tsx'
import { LedgerPage } from './pages/ledger.tsx'
import { ListPage } from './pages/list.tsx'
import { NoticePage, type Notice } from './pages/notice.tsx'
import { OpenApi } from './pages/openapi.ts'
import { eventFilter, readQuery, type ListQuery } from './pages/query.ts'
import { signInPages, type SignInPagesDeps } from './sign-in.tsx'

/** What the pages ask of the rest; `admitRead`, `apps` and `ask` are those of the dashboard API. */
export interface PageDeps {
  readonly store: Pick<Store, 'events' | 'event' | 'trends' | 'codes' | 'ledger'>
  /**
   * Lets the reader of `appId` in, or of whatever the key may read where that is absent.
   * The answer's `app` is undefined for a reader of several: `apps` says which, else of all.
   * Rejects with Refusal `unauthenticated`, `forbidden` or `overloaded`.
   */
  readonly admitRead: (
    request: Request,
    appId: string | undefined,
    env: unknown,
  ) => PageReader | Promise<PageReader>
  /** Every app, in the order in which they are offered. */
  readonly apps: () => readonly App[]
  /**
   * Puts a question to the store, bounded in time.
   * @throws Refusal `overloaded` when the store does not answer.
   */
  readonly ask: <Answer>(
    request: Request,
    question: (signal: AbortSignal) => Promise<Answer>,
  ) => Promise<Answer>
  /** As that of the dashboard API. */
  readonly settleLedger: () => Promise<void>
  /** Milliseconds since the Unix epoch. */
  readonly nowMs: () => number
  /** Where the client of a request reaches us, for links: an origin, or a URL with a path. */
  readonly originOf: (request: Request, env: unknown) => string
  /** The OpenAPI 3.1 document. */
  readonly openapi: () => unknown
  readonly signIn: SignInPagesDeps
}

/** Who reads; see sessions/reader.ts. */
interface PageReader {
  readonly app: App | undefined
  readonly apps?: readonly App[]
  readonly person?: Frame['person']
  /** A `Set-Cookie` for the answer. */
  readonly cookie?: string | undefined
}

const EVENTS_PER_PAGE = 50
const NEIGHBOUR_DAYS = 7
const DAY_MS = 86_400_000

// Nothing inline and nothing foreign: event text is written by strangers.
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ')

const HEADERS = {
  'Content-Security-Policy': POLICY,
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  // Addresses hold user ids and search texts.
  'Referrer-Policy': 'same-origin',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cache-Control': 'no-store',
  Vary: 'Accept',
} as const

/**
 * The pages for people: `GET /` and `GET /errors/:id` (only where the request asks for HTML, else the
 * next route answers), `GET /ledger`, `GET /docs`, and `/assets/…`. Mount it before routes that answer `/` with JSON.
 */
export function pageRoutes(deps: PageDeps): Hono {
  const { files, assets } = buildAssets()
  const pages = new Hono()
  const frame: Frame = { assets, apps: [], app: undefined, here: 'other' }

  pages.get('/', async (c, next) => {
    if (!wantsHtml(c.req.raw)) return next()
    return listPage(deps, assets, c)
  })

  pages.get('/errors/:id', async (c, next) => {
    if (!wantsHtml(c.req.raw)) return next()
    return eventPage(deps, assets, c, c.req.param('id'))
  })

  pages.get('/ledger', async (c) => ledgerPage(deps, assets, c))

  pages.get('/docs', async (c) => {
    const here: Frame = { ...frame, here: 'docs' }
    return send(c, 200, <DocsPage frame={here} api={OpenApi.parse(deps.openapi())} />)
  })

  pages.get('/assets/:name', (c) => {
    const file = files.get(c.req.path)
    if (file === undefined) throw new Refusal('not_found', 'There is no file of this name.')
    return c.body(file.text, 200, {
      'Content-Type': file.type,
      'Cache-Control': 'public, max-age=31536000, immutable',
      'X-Content-Type-Options': 'nosniff',
    })
  })

  pages.onError((error, c) => {
    // Anything else is a bug, and bugs are answered and counted in one place.
    if (!(error instanceof Refusal) || !wantsHtml(c.req.raw)) throw error
    // Somebody without a key is a person who may sign in; a wrong key is to be told as such.
    const isKeyless = !c.req.raw.headers.has('x-api-key') && !c.req.raw.headers.has('authorization')
    if (error.code === 'unauthenticated' && isKeyless) {
      const { pathname, search } = new URL(c.req.url)
      return c.redirect(
        `/sign-in?${new URLSearchParams({ to: pathname + search }).toString()}`,
        303,
      )
    }
    if (error.retryAfterSeconds !== undefined) {
      c.header('Retry-After', String(error.retryAfterSeconds))
    }
    c.header('X-Error-Code', error.code)
    const { status, notice } = refused(error, c)
    return send(c, status, <NoticePage frame={frame} notice={notice} />)
  })

  pages.route('/', signInPages(deps.signIn, frame, send))
  return pages
}

async function listPage(deps: PageDeps, assets: Assets, c: Context): Promise<Response> {
  const nowMs = deps.nowMs()
  const query = readQuery(new URL(c.req.url).searchParams, nowMs)
  const { app, ...reader } = await chosenApp(deps, c, query.appId)
  const found = await deps.ask(c.req.raw, (signal) => questions(deps.store, query, app.id, signal))
  const origin = deps.originOf(c.req.raw, c.env)
  const curl = curlFor({
    origin: origin.replace(/\/$/, ''),
    appId: app.id,
    key: app.ingestKey,
    id: crypto.randomUUID(),
    nowMs,
  })
  const frame: Frame = { assets, ...reader, app, here: 'errors' }
  return send(
    c,
    query.problems.length > 0 ? 400 : 200,
    <ListPage frame={frame} app={app} query={query} curl={curl} nowMs={nowMs} {...found} />,
  )
}

async function questions(
  store: PageDeps['store'],
  query: ListQuery,
  appId: string,
  signal: AbortSignal,
) {
  const filter = eventFilter(query, appId)
  const granularity = granularityOf(query.range)
  const [page, trends, codes] = await Promise.all([
    store.events(filter, { after: query.after, limit: EVENTS_PER_PAGE }, signal),
    store.trends(filter, granularity, signal),
    store.codes(appId, query.range, signal),
  ])
  return {
    page,
    series: fill(trends, query.range, granularity),
    codes,
    isNew: await isNew(store, page, codes, appId, signal),
  }
}

/** Whether the app never sent anything: asked only where the range shows nothing. */
async function isNew(
  store: PageDeps['store'],
  page: EventPage,
  codes: readonly unknown[],
  appId: string,
  signal: AbortSignal,
): Promise<boolean> {
  if (page.events.length > 0 || codes.length > 0) return false
  return (await store.codes(appId, undefined, signal)).length === 0
}

async function eventPage(
  deps: PageDeps,
  assets: Assets,
  c: Context,
  id: string,
): Promise<Response> {
  const asking = new URL(c.req.url).searchParams.get('appId') ?? undefined
  const { app, ...reader } = await chosenApp(deps, c, asking)
  // What is no UUID can be no event's id, and need not be asked for.
  const isId = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(id)
  const event = isId
    ? await deps.ask(c.req.raw, (signal) => deps.store.event(app.id, id.toLowerCase(), signal))
    : undefined
  if (event === undefined) {
    throw new Refusal('not_found', 'There is no event with this id, or it is older than is kept.')
  }
  const neighbours = await deps.ask(c.req.raw, (signal) => neighboursOf(deps, event, signal))
  const frame: Frame = { assets, ...reader, app, here: 'errors' }
  return send(
    c,
    200,
    <EventView
      frame={frame}
      app={app}
      event={event}
      neighbours={neighbours}
      nowMs={deps.nowMs()}
    />,
  )
}

async function ledgerPage(deps: PageDeps, assets: Assets, c: Context): Promise<Response> {
  const params = new URL(c.req.url).searchParams
  const query = readQuery(params, deps.nowMs())
  const { app, apps, person, isOfAll } = await chosenApp(deps, c, query.appId)
  const asksForAll = params.get('scope') === 'all'
  // What no app sent is for those who may read them all.
  if (asksForAll && !isOfAll) throw new Refusal('forbidden', 'Only readers of all apps see that.')
  const counted = asksForAll ? undefined : app
  const entries = await deps.ask(c.req.raw, async (signal) => {
    await deps.settleLedger()
    return deps.store.ledger(counted?.id, query.range, granularityOf(query.range), signal)
  })
  const frame: Frame = { assets, apps, person, app, here: 'ledger' }
  return send(
    c,
    query.problems.length > 0 ? 400 : 200,
    <LedgerPage
      frame={frame}
      app={counted}
      mayReadAll={isOfAll}
      query={query}
      ledger={ledgerAnswer(entries)}
    />,
  )
}

async function neighboursOf(
  { store, nowMs }: PageDeps,
  event: StoredEvent,
  signal: AbortSignal,
): Promise<Neighbours> {
  const at = Date.parse(event.timestamp)
  const range = {
    startMs: Math.max(0, at - NEIGHBOUR_DAYS * DAY_MS),
    endMs: Math.min(at + NEIGHBOUR_DAYS * DAY_MS, Math.max(at, nowMs())),
  }
  const filter = { appId: event.appId, range, issue: event.issue }
  const [page, trends] = await Promise.all([
    store.events(filter, { after: undefined, limit: 6 }, signal),
    store.trends(filter, 'day', signal),
  ])
  return { events: page.events, series: fill(trends, range, 'day'), days: NEIGHBOUR_DAYS }
}

async function chosenApp(
  deps: PageDeps,
  c: Context,
  appId: string | undefined,
): Promise<{ readonly app: App; readonly isOfAll: boolean } & Pick<Frame, 'apps' | 'person'>> {
  const reader = await deps.admitRead(c.req.raw, appId, c.env)
  const { person, cookie } = reader
  if (cookie !== undefined) c.header('Set-Cookie', cookie)
  const apps = reader.app === undefined ? (reader.apps ?? deps.apps()) : [reader.app]
  const app = appId === undefined ? apps[0] : apps.find(({ id }) => id === appId)
  // Asked without an app, a key of one names its own.
  const whole = appId === undefined ? reader : await deps.admitRead(c.req.raw, undefined, c.env)
  const isOfAll = whole.app === undefined && whole.apps === undefined
  if (app !== undefined) return { app, apps, person, isOfAll }
  throw new Refusal(
    'not_found',
    appId === undefined ? 'No app is registered yet.' : 'There is no app of this name.',
  )
}

const TITLES = {
  malformed: [400, 'That cannot be read'],
  unauthenticated: [401, 'A key is needed here'],
  forbidden: [403, 'Not yours to see'],
  not_found: [404, 'Nothing here'],
  method_not_allowed: [405, 'That cannot be done here'],
  timeout: [408, 'That took too long'],
  conflict: [409, 'It is not as you think'],
  too_large: [413, 'That is too much'],
  unsupported_encoding: [415, 'That cannot be read'],
  rate_limited: [429, 'Too many requests'],
  quota: [429, 'Too many requests'],
  overloaded: [503, 'The store is away'],
} as const satisfies Record<RefusalCode, readonly [number, string]>

function refused(refusal: Refusal, c: Context): { status: PageStatus; notice: Notice } {
  const [status, title] = TITLES[refusal.code]
  const notice = { title, text: refusal.message }
  const { pathname, search } = new URL(c.req.url)
  if (refusal.code === 'unauthenticated') return { status, notice }
  const link =
    refusal.code === 'overloaded'
      ? { href: `${pathname}${search}`, label: 'Try again' }
      : { href: '/', label: 'To the events' }
  return { status, notice: { ...notice, link } }
}

type PageStatus = (typeof TITLES)[RefusalCode][0] | 200

async function send(
  c: Context,
  status: PageStatus,
  page: string | Promise<string>,
): Promise<Response> {
  for (const [name, value] of Object.entries(HEADERS)) c.header(name, value)
  return c.html(`<!doctype html>${await page}`, status)
}

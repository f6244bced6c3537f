import { Hono, type Context } from 'hono'
import { Refusal, type RefusalCode } from '../refusal.ts'
import type { Visitor } from '../sessions/notes.ts'
import type { SignIn } from '../sessions/sign-in.ts'
import type { Frame } from './pages/layout.tsx'
import { SignInPage } from './pages/sign-in.tsx'

/** What the sign-in pages ask of the rest. */
export interface SignInPagesDeps extends SignIn {
  /** The body of a form, bounded. @throws Refusal `too_large`, `timeout` and the like. */
  readonly readForm: (
    request: Request,
    env: unknown,
  ) => Promise<{ readonly bytes: Uint8Array; readonly release: () => void }>
  readonly clientOf: (request: Request, env: unknown) => Visitor
}

type Status = 200 | 401 | 403 | 404 | 429 | 503
type Send = (c: Context, status: Status, page: string | Promise<string>) => Promise<Response>

/** Refusals that stand on the page itself. */
const STATUS: Readonly<Partial<Record<RefusalCode, Status>>> = {
  unauthenticated: 401,
  forbidden: 403,
  not_found: 404,
  rate_limited: 429,
  overloaded: 503,
}

/** `GET` and `POST /sign-in`, the way to the provider and back, and `POST /sign-out`. */
export function signInPages(deps: SignInPagesDeps, frame: Frame, send: Send): Hono {
  const pages = new Hono()
  const page = (c: Context, status: Status, to: string, problem?: string) =>
    send(c, status, <SignInPage frame={frame} ways={deps.ways} to={to} problem={problem} />)

  /** A refusal stands on the page itself, beside what may be tried instead. */
  async function orPage(c: Context, to: string, run: () => Promise<Response>): Promise<Response> {
    try {
      return await run()
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      const status = STATUS[error.code]
      if (status === undefined) throw error
      c.header('X-Error-Code', error.code)
      if (error.retryAfterSeconds !== undefined) {
        c.header('Retry-After', String(Math.ceil(error.retryAfterSeconds)))
      }
      return page(c, status, to, error.message)
    }
  }

  pages.get('/sign-in', (c) => {
    const to = localPath(c.req.query('to'))
    return orPage(c, to, async () => {
      const isIn = (await deps.whoIs(c.req.raw, deps.clientOf(c.req.raw, c.env))) !== undefined
      return isIn ? c.redirect(to, 303) : page(c, 200, to)
    })
  })

  pages.post('/sign-in', async (c) => {
    const form = await formOf(deps, c)
    const to = localPath(form.get('to'))
    return orPage(c, to, async () => {
      const client = deps.clientOf(c.req.raw, c.env)
      c.header('Set-Cookie', await deps.withPassword(c.req.raw, client, form.get('password') ?? ''))
      return c.redirect(to, 303)
    })
  })

  pages.get('/sign-in/provider', (c) => {
    const to = localPath(c.req.query('to'))
    return orPage(c, to, async () => {
      const { url, cookie } = await deps.begin(deps.clientOf(c.req.raw, c.env), to)
      c.header('Set-Cookie', cookie)
      return c.redirect(url, 303)
    })
  })

  pages.get('/sign-in/callback', (c) =>
    orPage(c, '/', async () => {
      const { to, cookies } = await deps.finish(c.req.raw, deps.clientOf(c.req.raw, c.env))
      for (const cookie of cookies) c.header('Set-Cookie', cookie, { append: true })
      return c.redirect(localPath(to), 303)
    }),
  )

  pages.post('/sign-out', async (c) => {
    const form = await formOf(deps, c)
    const client = deps.clientOf(c.req.raw, c.env)
    c.header('Set-Cookie', await deps.out(c.req.raw, client, form.get('everywhere') === '1'))
    return c.redirect('/sign-in', 303)
  })

  return pages
}

/** Where to go on to: a path here, whatever somebody wrote into a link. */
function localPath(to: string | null | undefined): string {
  const here = 'http://here.invalid'
  if (!to?.startsWith('/')) return '/'
  const url = URL.parse(to, here)
  return url?.origin === here ? url.pathname + url.search : '/'
}

async function formOf(deps: SignInPagesDeps, c: Context): Promise<URLSearchParams> {
  const { bytes, release } = await deps.readForm(c.req.raw, c.env)
  try {
    return new URLSearchParams(new TextDecoder().decode(bytes))
  } finally {
    release()
  }
}

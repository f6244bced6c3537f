import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { pageRoutes, type PageDeps } from '../../../src/dashboard/pages.tsx'
import { createAsk } from '../../../src/http/ask.ts'
import { answerProblems } from '../../../src/http/problem.ts'
import type { App } from '../../../src/keys/ring.ts'
import { Refusal } from '../../../src/refusal.ts'

/** Apps as the pages get them. */
export function anApp(id: string, name = id): App {
  const key = id === 'test-app' ? 'ei_test_key_12345' : undefined
  return { id, name, createdAt: '2026-01-01T00:00:00.000Z', projectId: 1, ingestKey: key }
}

const closed = () => Promise.reject(new Refusal('not_found', 'Not here.'))
/** Sign-in where no way is set up. */
const CLOSED: PageDeps['signIn'] = {
  ways: { password: false, oidc: false, proxy: false },
  whoIs: () => Promise.resolve(undefined),
  withPassword: closed,
  begin: closed,
  finish: closed,
  out: closed,
  readForm: closed,
  clientOf: ({ url }) => ({
    address: undefined,
    origin: new URL(url).origin,
    viaProxy: false,
    requestId: '',
  }),
}

/** The pages alone, as `app.ts` mounts them; what is not theirs answers 404 with JSON. */
export function site(given: Partial<PageDeps> & Pick<PageDeps, 'store'>): Hono {
  const apps = [anApp('test-app', 'Test Application')]
  const routes = pageRoutes({
    admitRead: () => Promise.resolve({ app: undefined }),
    signIn: CLOSED,
    apps: () => apps,
    ask: createAsk({ timeoutMs: 20_000, storeFailed: () => undefined }),
    settleLedger: () => Promise.resolve(),
    nowMs: () => Date.now(),
    originOf: ({ url }) => new URL(url).origin,
    openapi: () => ({ info: { title: 'error-ingestor', version: '0.0.0' } }),
    ...given,
  })
  const app = new Hono()
  app.route('/', routes)
  answerProblems(app, (error) => {
    throw error
  })
  return app
}

/** Serves an app on a free loopback port. */
export async function listen(
  app: Hono,
): Promise<{ readonly url: string; readonly close: () => Promise<void> }> {
  return new Promise((resolve) => {
    const server = serve({ fetch: app.fetch, hostname: '127.0.0.1', port: 0 }, ({ port }) =>
      resolve({
        url: `http://127.0.0.1:${port}`,
        close: () => new Promise((closed) => server.close(() => closed())),
      }),
    )
  })
}

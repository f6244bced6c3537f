import { Hono } from 'hono'
import { z } from 'zod'
import type { AppSetting } from '../../src/app-setting.ts'
import { DEVELOPMENT_KEY } from '../../src/config.ts'
import { dashboardApi } from '../../src/dashboard/api.ts'
import { createAsk } from '../../src/http/ask.ts'
import { answerProblems } from '../../src/http/problem.ts'
import { sourceMapRoutes } from '../../src/http/sourcemaps.ts'
import { apiKeyOf, createKeys } from '../../src/keys/keys.ts'
import type { Store } from '../../src/store/store.ts'

/** How a test differs from development mode without other apps. */
export interface ApiOptions {
  readonly store?: Partial<Store>
  readonly apps?: readonly AppSetting[]
  readonly production?: boolean
  readonly publicUrl?: string
  readonly nowMs?: () => number
  readonly timeoutMs?: number
}

/** What came back, read to the end. */
export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: Readonly<Record<string, unknown>>
  readonly text: string
}

/** The dashboard and source map routes on real keys, with whatever store the test has. */
export function anApi(options: ApiOptions = {}) {
  const bugs: unknown[] = []
  const failures: unknown[] = []
  const nowMs = options.nowMs ?? Date.now
  const developmentMode = options.production !== true
  const keys = createKeys({
    apps: options.apps ?? [],
    developmentMode,
    developmentKey: DEVELOPMENT_KEY,
    nowMs,
  })
  const ask = createAsk({
    timeoutMs: options.timeoutMs ?? 10_000,
    storeFailed: (error) => failures.push(error),
  })
  const store = { ...NO_STORE, ...options.store }
  const app = new Hono()
  answerProblems(app, (error) => bugs.push(error))
  app.route(
    '/',
    dashboardApi({
      store,
      ask,
      settleLedger: () => Promise.resolve(),
      nowMs,
      originOf: ({ url }) => options.publicUrl ?? new URL(url).origin,
      apps: keys.apps,
      admitRead: (request, appId) => keys.admitRead(apiKeyOf(request), appId),
    }),
  )
  app.route(
    '/',
    sourceMapRoutes({
      ask,
      sourceMaps: store.sourceMaps,
      admit: (request) =>
        keys.admit(apiKeyOf(request), developmentMode ? ['sourcemaps', 'ingest'] : 'sourcemaps'),
      readBody: async (request) => ({
        bytes: new Uint8Array(await request.arrayBuffer()),
        spend: () => undefined,
        release: () => undefined,
      }),
    }),
  )
  const ask1 = async (path: string, init: RequestInit = {}): Promise<Answer> => {
    const response = await app.request(path, init)
    const text = await response.text()
    const body = text === '' ? {} : z.record(z.string(), z.unknown()).parse(JSON.parse(text))
    return { status: response.status, headers: response.headers, body, text }
  }
  return { app, bugs, failures, ask: ask1 }
}

const notAsked = () => Promise.reject(new Error('The store must not be asked.'))

const NO_STORE: Store = {
  events: notAsked,
  event: notAsked,
  trends: notAsked,
  codes: notAsked,
  issues: notAsked,
  ledger: notAsked,
  sourceMaps: { put: notAsked, list: notAsked, remove: notAsked },
  sessionEnds: { list: notAsked, add: notAsked },
  schemaVersion: notAsked,
  ping: notAsked,
}

import { createApp, type App } from './app.ts'
import { ConfigError, readConfig, requireSomeKey } from './config.ts'
import { directClient } from './http/access.ts'
import { directSpool } from './pipeline/direct.ts'
import { digest } from './pipeline/digest.ts'
import { placed } from './store/cluster.ts'
import { webClickHouse } from './store/webclient.ts'
import { webInflate } from './http/inflate.ts'

type Env = Readonly<Record<string, string | undefined>>

let app: Promise<App> | undefined

/**
 * Edge entry. Settings are the bindings that come with each request (Cloudflare Workers) or
 * `process.env` (Vercel), so the app is made at the first request, once. The edge is on the public
 * internet: it is in production mode unless NODE_ENV says otherwise.
 */
export default {
  async fetch(request: Request, env?: unknown): Promise<Response> {
    let made: App
    try {
      app ??= open(environment(env))
      made = await app
    } catch (error) {
      // The next request tries again: it may come with other bindings.
      app = undefined
      return misconfigured(error)
    }
    return made.fetch(request)
  },
}

/** Longest an event waits for ClickHouse before its client is told to come back; Vercel allows 25 s. */
const STORE_WAIT_MS_MAX = 10_000

function open(env: Env): Promise<App> {
  const config = readConfig(env)
  requireSomeKey(config)
  const { host = 'http://localhost:8123', user, password, reader } = config.clickhouse
  const { database, timeoutMs, caFile, cluster } = config.clickhouse
  if (host === 'embedded') {
    throw new ConfigError(['CLICKHOUSE_HOST: there is no embedded ClickHouse at the edge.'])
  }
  if (caFile !== undefined) {
    throw new ConfigError([
      'CLICKHOUSE_CA_FILE: the edge has no files; its own list of CAs counts.',
    ])
  }
  const connect = (login: { readonly user: string; readonly password: string }) => {
    const open = (url: string) => webClickHouse({ ...login, url, database, timeoutMs })
    return placed(open(host), { url: host, database, cluster }, open)
  }
  const writer = connect({ user, password })
  return createApp(config, {
    telemetry: {
      received: () => undefined,
      kept: () => undefined,
      outcome: () => undefined,
      delivered: () => undefined,
      discarded: () => undefined,
      stage: () => undefined,
      keysRead: () => undefined,
      inserted: () => undefined,
      retried: () => undefined,
      knownAlready: () => undefined,
      say: (level, text, fields) => {
        if (level !== 'debug') console[level](JSON.stringify({ level, msg: text, ...fields }))
      },
      bug: (error) => console.error(error),
    },
    clickhouse: writer,
    reader: reader === undefined ? writer : connect(reader),
    nowMs: () => Date.now(),
    openSpool: (delivery) =>
      Promise.resolve(directSpool(delivery, Math.min(timeoutMs, STORE_WAIT_MS_MAX))),
    hasDiskSpool: false,
    // A process of the edge sees too little to know a resend by itself: it asks ClickHouse each time.
    recent: { add: () => true },
    digest,
    inflate: webInflate,
    metrics: () =>
      Promise.resolve({ contentType: 'text/plain', text: '# The edge keeps no metrics.\n' }),
    clientOf: directClient,
    answered: () => undefined,
  })
}

/** Texts of the runtime's environment, and over them those of the request's bindings. */
function environment(bindings: unknown): Env {
  const process: unknown = Reflect.get(globalThis, 'process')
  const own = isObject(process) ? textsOf(Reflect.get(process, 'env')) : {}
  return { NODE_ENV: 'production', ...own, ...textsOf(bindings) }
}

/** A binding may also be a function or a store, and Vercel passes its context in their place. */
function textsOf(value: unknown): Record<string, string> {
  if (!isObject(value)) return {}
  const entries = Object.entries(value)
  return Object.fromEntries(
    entries.flatMap(([name, text]) => (typeof text === 'string' ? [[name, text]] : [])),
  )
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

function misconfigured(error: unknown): Response {
  console.error(error instanceof ConfigError ? error.message : error)
  return Response.json(
    { success: false, error: 'The server is not set up yet: its log says what is missing.' },
    {
      status: 503,
      headers: {
        'X-Error-Code': 'overloaded',
        'X-Request-Id': crypto.randomUUID(),
        'Retry-After': '60',
        'Access-Control-Allow-Origin': '*',
      },
    },
  )
}

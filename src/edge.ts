import { createApp, type App } from './app.ts'
import { readConfig } from './config.ts'
import { directSpool } from './pipeline/direct.ts'
import { digest } from './pipeline/digest.ts'
import { webClickHouse } from './store/webclient.ts'
import { webInflate } from './http/inflate.ts'

type Env = Readonly<Record<string, string | undefined>>

let app: Promise<App> | undefined

/** Edge entry: `env` arrives with the first request, so the app is made then, once. */
export default {
  async fetch(request: Request, env: Env = {}): Promise<Response> {
    app ??= open(env)
    return (await app).fetch(request)
  },
}

/** Longest an event waits for ClickHouse before its client is told to come back. */
const STORE_WAIT_MS_MAX = 25_000

function open(env: Env): Promise<App> {
  const config = readConfig(env)
  const { host = 'http://localhost:8123', user, password, database, timeoutMs } = config.clickhouse
  return createApp(config, {
    telemetry: {
      outcome: () => undefined,
      discarded: () => undefined,
      stage: () => undefined,
      say: (level, text, fields) => {
        if (level !== 'debug') console[level](JSON.stringify({ level, msg: text, ...fields }))
      },
      bug: (error) => console.error(error),
    },
    clickhouse: webClickHouse({ url: host, user, password, database, timeoutMs }),
    nowMs: () => Date.now(),
    openSpool: (delivery) => Promise.resolve(directSpool(delivery, STORE_WAIT_MS_MAX)),
    hasDiskSpool: false,
    // A process of the edge sees too little to know a resend by itself: it asks ClickHouse each time.
    recent: { add: () => true, has: () => false },
    digest,
    inflate: webInflate,
    metrics: () =>
      Promise.resolve({ contentType: 'text/plain', text: '# The edge keeps no metrics.\n' }),
    answered: () => undefined,
  })
}

import { z } from 'zod'
import { AppSetting } from './app-setting.ts'
import { clickhouseProblems, clusterOf, clusterSettings } from './clickhouse-setting.ts'
import { signInOf, signInProblems, signInSettings } from './sign-in-setting.ts'
import { watchOf, watchSettings } from './watch-setting.ts'

const count = z.coerce.number().int().positive()
const bytes = count
const httpUrl = z.url({ protocol: /^https?$/ })
const milliseconds = z.coerce.number().int().nonnegative()
const perSecond = z.coerce.number().positive().max(1_000_000)
const port = z.coerce.number().int().min(0).max(65_535)

/** The key that exists in development mode only. */
export const DEVELOPMENT_KEY = 'ei_test_key_12345'

/** As public as that key: it lets keys of a development server outlive its process, no more. */
const DEVELOPMENT_PEPPER = 'error-ingestor development'

/** Shorter ones could be guessed; development mode takes any, such as those of an example. */
const KEY_CHARS_MIN = 16

const json = z.string().transform((text, context): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    context.addIssue({ code: 'custom', message: 'must be JSON' })
    return z.NEVER
  }
})

/** Addresses as a proxy in front of us has them: `10.0.0.0/8, fd00::/8`. */
const ranges = z
  .string()
  .transform((text) => text.split(',').map((range) => range.trim()))
  .pipe(
    z.array(
      z
        .union([z.cidrv4(), z.cidrv6()], { error: 'must be address ranges such as 10.0.0.0/8' })
        .refine((range) => !range.endsWith('/0'), 'must not be everybody (/0)'),
    ),
  )

/**
 * Settings that may also come as `<name>_FILE`: the name of a file that holds the value, as
 * Kubernetes mounts a Secret. Read under Node only.
 */
export const SECRET_SETTINGS = [
  'ADMIN_PASSWORD',
  'OIDC_CLIENT_SECRET',
  'SESSION_SECRET',
  'CLICKHOUSE_PASSWORD',
  'CLICKHOUSE_READER_PASSWORD',
  'CLICKHOUSE_MIGRATOR_PASSWORD',
  'ADMIN_KEY',
  'KEY_PEPPER',
  'SELF_DSN',
] as const

/** Shorter peppers and admin keys could be guessed, and so could those of few different characters. */
const SECRET_CHARS_MIN = 32
const SECRET_DISTINCT_MIN = 10

/** Every knob, in the order the README lists them. The text of `describe` is the documentation. */
export const Environment = z.object({
  NODE_ENV: z
    .string()
    .default('development')
    .describe('`production` asks for keys everywhere; anything else is development mode.'),
  PORT: port.default(3000).describe('Port to listen on; 0 takes a free one.'),
  HOST: z
    .string()
    .optional()
    .describe('Address to listen on: 127.0.0.1 in development mode, else all.'),
  PUBLIC_URL: z
    .url()
    .optional()
    .describe(
      'Where clients reach this server, for links and DSNs; else the host of each request.',
    ),
  TRUSTED_PROXIES: ranges
    .default([])
    .describe(
      'Address ranges of the proxies in front, such as `10.0.0.0/8,fd00::/8`: only they are believed what `X-Forwarded-*` says.',
    ),
  CONNECTIONS_MAX: count
    .max(1_000_000)
    .default(10_000)
    .describe('Most open connections; what comes beyond is closed at once.'),
  ...signInSettings,
  CLICKHOUSE_HOST: z
    .union([httpUrl, z.literal('embedded')])
    .optional()
    .describe(
      'ClickHouse over HTTP, or `embedded`. Default http://localhost:8123; in development mode the embedded one when nothing answers there.',
    ),
  CLICKHOUSE_USER: z.string().default('default').describe('ClickHouse user.'),
  CLICKHOUSE_PASSWORD: z.string().default('').describe('Its password.'),
  CLICKHOUSE_READER_USER: z
    .string()
    .optional()
    .describe(
      'User of the questions of dashboard and API, which needs only to read; else that above.',
    ),
  CLICKHOUSE_READER_PASSWORD: z.string().default('').describe('Its password.'),
  CLICKHOUSE_MIGRATOR_USER: z
    .string()
    .optional()
    .describe('User that makes the schema; else CLICKHOUSE_USER.'),
  CLICKHOUSE_MIGRATOR_PASSWORD: z.string().default('').describe('Its password.'),
  CLICKHOUSE_CA_FILE: z
    .string()
    .optional()
    .describe('File with the certificates (PEM) that vouch for an `https://` ClickHouse.'),
  CLICKHOUSE_DATABASE: z
    .string()
    .regex(/^[A-Za-z_][A-Za-z0-9_]{0,63}$/, 'must be a plain identifier')
    .default('error_ingestor')
    .describe('Database of all tables.'),
  ...clusterSettings,
  CLICKHOUSE_TIMEOUT_MS: milliseconds
    .min(1_000)
    .default(30_000)
    .describe('Longest a statement may take before it is given up and tried again.'),
  DATA_DIR: z
    .string()
    .min(1)
    .default('./data')
    .describe('Folder of the spool and of the embedded ClickHouse.'),
  RETENTION_DAYS: count.max(36_500).default(90).describe('Days after which events are deleted.'),
  APPS: json
    .pipe(z.array(AppSetting))
    .default([])
    .describe('Apps and their keys as JSON: `[{"id", "name", "keys": [{"key", "scopes"}]}]`.'),
  KEYS_DIR: z
    .string()
    .min(1)
    .optional()
    .describe(
      'Folder of JSON or YAML files with apps and keys, as a Secret is mounted; read again when it changes.',
    ),
  KEY_PEPPER: z
    .string()
    .max(1_000)
    .optional()
    .describe(
      'Secret that key hashes in ClickHouse are made with, the same on every pod: `openssl rand -hex 32`. Needed in production mode to make keys over the admin API.',
    ),
  ADMIN_KEY: z
    .string()
    .regex(/^[\w-]{8,200}$/, 'must be 8 to 200 letters, digits, _ or -')
    .optional()
    .describe('API key of whoever runs the server: it makes apps and keys, and reads all apps.'),
  INTAKE_BODY_BYTES_MAX: bytes
    .min(1_024)
    .default(8 * 1024 * 1024)
    .describe('Largest request body, before and after decompression.'),
  SOURCEMAP_BODY_BYTES_MAX: bytes
    .min(1_024)
    .default(64 * 1024 * 1024)
    .describe('Largest upload of source maps, before and after decompression.'),
  INTAKE_EVENTS_MAX: count.max(100_000).default(1_000).describe('Most events in one request.'),
  INTAKE_BYTES_IN_FLIGHT_MAX: bytes
    .default(64 * 1024 * 1024)
    .describe('Bytes of request bodies held at once; what comes beyond waits, then gets 503.'),
  INTAKE_TIMEOUT_MS: milliseconds
    .min(1)
    .default(60_000)
    .describe('Longest a request may take to arrive completely.'),
  LIMIT_REQUESTS_PER_SECOND: perSecond
    .optional()
    .describe('Most requests of one key on one pod; an app may have its own. None where absent.'),
  LIMIT_EVENTS_PER_SECOND: perSecond
    .optional()
    .describe('Most events of one key on one pod; an app may have its own. None where absent.'),
  LIMIT_BURST_SECONDS: perSecond
    .default(1)
    .describe('Seconds of requests and events that may come at once after a quiet time.'),
  LIMIT_EVENTS_PER_DAY: count
    .optional()
    .describe('Most events of one app a day (UTC), over all pods; an app may have its own.'),
  SPOOL_BYTES_MAX: bytes
    .min(1024 * 1024)
    .default(4 * 1024 ** 3)
    .describe('Disk the spool may use before requests are refused.'),
  SPOOL_SEGMENT_BYTES: bytes
    .min(64 * 1024)
    .default(64 * 1024 * 1024)
    .describe('Size at which a segment file of the spool is closed.'),
  DELIVERY_ROWS_MAX: count.max(1_000_000).default(20_000).describe('Most rows in one insert.'),
  DELIVERY_BYTES_MAX: bytes
    .min(64 * 1024)
    .default(48 * 1024 * 1024)
    .describe('Most bytes in one insert.'),
  DELIVERY_AGE_MS_MAX: milliseconds
    .default(1_000)
    .describe('Longest a row waits for its block to fill.'),
  READY_WITHOUT_STORE: z
    .stringbool()
    .default(false)
    .describe('Stay ready while ClickHouse is away, as long as the spool has room.'),
  SHUTDOWN_UNREADY_MS: milliseconds
    .default(0)
    .describe('Time between failing readiness and closing the listener.'),
  SHUTDOWN_GRACE_MS: milliseconds
    .default(10_000)
    .describe('Time for open requests and the last delivery before the rest is left on disk.'),
  ...watchSettings,
})

/** What the modules see: settings grouped by the module that uses them. */
export type Config = ReturnType<typeof readConfig>

/**
 * Turns an environment into a frozen Config, grouped by the module that uses it.
 * Empty variables count as absent.
 * @throws ConfigError naming every bad variable at once, without their values.
 */
export function readConfig(env: Readonly<Record<string, string | undefined>>) {
  const e = checked(env)
  const production = e.NODE_ENV === 'production'
  return Object.freeze({
    production,
    http: {
      port: e.PORT,
      host: e.HOST ?? (production ? '::' : '127.0.0.1'),
      publicUrl: e.PUBLIC_URL,
      metricsPort: e.METRICS_PORT,
      timeoutMs: e.INTAKE_TIMEOUT_MS,
      connectionsMax: e.CONNECTIONS_MAX,
      trustedProxies: e.TRUSTED_PROXIES,
      unreadyMs: e.SHUTDOWN_UNREADY_MS,
      graceMs: e.SHUTDOWN_GRACE_MS,
    },
    signIn: signInOf(e),
    clickhouse: {
      /** Undefined: nothing was said, so in development mode the embedded one may serve. */
      host: e.CLICKHOUSE_HOST,
      user: e.CLICKHOUSE_USER,
      password: e.CLICKHOUSE_PASSWORD,
      /** Undefined: the user above. */
      reader: loginOf(e.CLICKHOUSE_READER_USER, e.CLICKHOUSE_READER_PASSWORD),
      migrator: loginOf(e.CLICKHOUSE_MIGRATOR_USER, e.CLICKHOUSE_MIGRATOR_PASSWORD),
      caFile: e.CLICKHOUSE_CA_FILE,
      database: e.CLICKHOUSE_DATABASE,
      /** Undefined: one server. */
      cluster: clusterOf(e),
      timeoutMs: e.CLICKHOUSE_TIMEOUT_MS,
    },
    dataDir: e.DATA_DIR,
    retentionDays: e.RETENTION_DAYS,
    /** Of the configured apps that have their own. */
    retentionDaysOfApps: Object.fromEntries(
      e.APPS.flatMap(({ id, retentionDays }) => (retentionDays ? [[id, retentionDays]] : [])),
    ),
    apps: e.APPS,
    keys: {
      /** Undefined: no files. */
      dir: e.KEYS_DIR,
      pepper: e.KEY_PEPPER ?? (production ? undefined : DEVELOPMENT_PEPPER),
      adminKey: e.ADMIN_KEY,
    },
    ...boundsOf(e),
    spool: { bytesMax: e.SPOOL_BYTES_MAX, segmentBytes: e.SPOOL_SEGMENT_BYTES },
    delivery: {
      rowsMax: e.DELIVERY_ROWS_MAX,
      bytesMax: e.DELIVERY_BYTES_MAX,
      ageMsMax: e.DELIVERY_AGE_MS_MAX,
    },
    readyWithoutStore: e.READY_WITHOUT_STORE,
    ...watchOf(e),
  })
}

function checked(env: Readonly<Record<string, string | undefined>>): z.infer<typeof Environment> {
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''))
  const parsed = Environment.safeParse(given)
  if (!parsed.success) {
    throw new ConfigError(parsed.error.issues.map((i) => `${i.path.join('.')}: ${i.message}`))
  }
  const problems = crossFieldProblems(parsed.data, parsed.data.NODE_ENV === 'production')
  if (problems.length > 0) throw new ConfigError(problems)
  return parsed.data
}

function loginOf(user: string | undefined, password: string) {
  return user === undefined ? undefined : { user, password }
}

/**
 * Makes sure that in production somebody can use the server, by a key or as an administrator.
 * @throws ConfigError saying what to set.
 */
export function requireSomeKey({ production, apps, keys, signIn }: Config): void {
  const hasKey = apps.some((app) => app.keys.length > 0)
  if (!production || hasKey || (keys.dir ?? keys.adminKey ?? signIn.password) !== undefined) return
  throw new ConfigError([
    'ADMIN_KEY: production mode needs a way in, and there is none. Set KEYS_DIR (a folder of files with apps and keys), or ADMIN_KEY and KEY_PEPPER (then make apps with `error-ingestor apps create`), or APPS, or ADMIN_PASSWORD.',
  ])
}

/** The environment does not describe a service that can start. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  constructor(problems: readonly string[]) {
    super(`The configuration cannot be used:\n  ${problems.join('\n  ')}`)
  }
}

/** What comes in at once, and what a key or an app may send. */
function boundsOf(e: z.infer<typeof Environment>) {
  return {
    intake: {
      bodyBytesMax: e.INTAKE_BODY_BYTES_MAX,
      eventsMax: e.INTAKE_EVENTS_MAX,
      bytesInFlightMax: e.INTAKE_BYTES_IN_FLIGHT_MAX,
      sourceMapBytesMax: e.SOURCEMAP_BODY_BYTES_MAX,
    },
    limits: {
      requestsPerSecond: e.LIMIT_REQUESTS_PER_SECOND,
      eventsPerSecond: e.LIMIT_EVENTS_PER_SECOND,
      burst: e.LIMIT_BURST_SECONDS,
      eventsPerDay: e.LIMIT_EVENTS_PER_DAY,
    },
  }
}

function crossFieldProblems(e: z.infer<typeof Environment>, production: boolean): string[] {
  const problems = signInProblems(e, {
    production,
    publicUrl: e.PUBLIC_URL,
    hasProxies: e.TRUSTED_PROXIES.length > 0,
  })
  const loopback = e.HOST === undefined || ['127.0.0.1', '::1', 'localhost'].includes(e.HOST)
  if (!production && !loopback) {
    problems.push(
      'HOST: development mode has a public key and an open dashboard, so it listens on 127.0.0.1 only; set NODE_ENV=production and your own APPS.',
    )
  }
  problems.push(...secretProblems(e, production))
  const keys = e.APPS.flatMap((app) => app.keys.map(({ key }) => key))
  if (production && keys.includes(DEVELOPMENT_KEY)) {
    problems.push(`APPS: the development key is public knowledge; make a key of your own.`)
  }
  if (production && keys.some((key) => key.length < KEY_CHARS_MIN)) {
    problems.push(`APPS: a key must have at least ${KEY_CHARS_MIN} characters.`)
  }
  problems.push(...clickhouseProblems(e))
  if (e.ADMIN_KEY !== undefined && keys.includes(e.ADMIN_KEY)) {
    problems.push('ADMIN_KEY: stands in APPS too; keep one of them.')
  }
  if (new Set(keys).size !== keys.length) problems.push('APPS: the same key stands twice.')
  if (new Set(e.APPS.map(({ id }) => id)).size !== e.APPS.length) {
    problems.push('APPS: the same app id stands twice.')
  }
  if (e.SPOOL_BYTES_MAX < 2 * e.SPOOL_SEGMENT_BYTES) {
    problems.push('SPOOL_BYTES_MAX: must hold at least two segments (SPOOL_SEGMENT_BYTES).')
  }
  return problems
}

function secretProblems(e: z.infer<typeof Environment>, production: boolean): string[] {
  if (!production) return []
  const problems: string[] = []
  for (const name of ['KEY_PEPPER', 'ADMIN_KEY'] as const) {
    const secret = e[name]
    if (secret === undefined) continue
    if (secret === DEVELOPMENT_KEY || secret === DEVELOPMENT_PEPPER) {
      problems.push(`${name}: the one of development mode is public knowledge; make your own.`)
    } else if (isWeak(secret)) {
      problems.push(
        `${name}: is too weak; it must have at least ${SECRET_CHARS_MIN} characters and be random, as \`openssl rand -hex 32\` makes it.`,
      )
    }
  }
  if (e.ADMIN_KEY !== undefined && e.KEY_PEPPER === undefined) {
    problems.push(
      'KEY_PEPPER: ADMIN_KEY makes keys, whose hashes need a secret, the same on every pod; set it to what `openssl rand -hex 32` makes.',
    )
  }
  if (e.ADMIN_KEY !== undefined && e.ADMIN_KEY === e.KEY_PEPPER) {
    problems.push('KEY_PEPPER: must be another secret than ADMIN_KEY.')
  }
  return problems
}

function isWeak(secret: string): boolean {
  return secret.length < SECRET_CHARS_MIN || new Set(secret).size < SECRET_DISTINCT_MIN
}

import { Hono } from 'hono'
import { groupWith, openSpool } from './app-delivery.ts'
import {
  adminApi,
  databaseOf,
  openDoorNotes,
  openForgetting,
  openKeySync,
  type AdminParts,
} from './app-keys.ts'
import type { AppSetting } from './app-setting.ts'
import { DEVELOPMENT_KEY, type Config } from './config.ts'
import { dashboardApi } from './dashboard/api.ts'
import { dashboardSchemas } from './dashboard/answers.ts'
import { pageRoutes, type PageDeps } from './dashboard/pages.tsx'
import type { SignInPagesDeps } from './dashboard/sign-in.tsx'
import type { Host } from './host.ts'
import { clientIn, directClient, factsOf, withAccess, type AccessFetch } from './http/access.ts'
import { createAsk, type Ask } from './http/ask.ts'
import { readBody } from './http/body.ts'
import { createByteBudget, type ByteBudget } from './http/budget.ts'
import { healthRoutes } from './http/health.ts'
import { intakeRoutes, type IntakeDeps } from './http/intake.ts'
import { openapiDocument, openapiRoutes } from './http/openapi.ts'
import { answerProblems } from './http/problem.ts'
import { sourceMapRoutes } from './http/sourcemaps.ts'
import { apiKeyOf, createKeys, type Keys } from './keys/keys.ts'
import { createDigest } from './keys/records.ts'
import { createLimits, type Limits } from './limits/limits.ts'
import { createQuota, type Quota } from './limits/quota.ts'
import type { Registrations } from './keys/registrations.ts'
import type { KeySync } from './keys/sync.ts'
import type { Occurrence } from './occurrence.ts'
import { createPipeline } from './pipeline/pipeline.ts'
import { createRules } from './pipeline/rules.ts'
import { scrub } from './pipeline/scrub.ts'
import { createSettled } from './pipeline/settle.ts'
import { createSpikeGuard } from './pipeline/spike.ts'
import type { Spool } from './pipeline/spool.ts'
import { symbolicate } from './pipeline/symbolicate.ts'
import { protocols } from './protocols/index.ts'
import { NativeBatch } from './protocols/native/event.ts'
import { createReaders } from './sessions/reader.ts'
import type { Visitor } from './sessions/notes.ts'
import { openSignIn, type SignIn, type SignInDeps } from './sessions/sign-in.ts'
import { createKeyTables } from './store/keys.ts'
import { SCHEMA_VERSION } from './store/migrate.ts'
import { createStore } from './store/queries.ts'
import type { Store } from './store/store.ts'
import { giveBack } from './store/rowbinary.ts'
import { encodeRows } from './store/rows.ts'
import { createUsageTable } from './store/usage.ts'
import { NO_TRACER, type Tracer } from './trace.ts'
import { VERSION } from './version.ts'

/** The whole service, minus its runtime. */
export interface App {
  readonly fetch: AccessFetch
  /** Delivers what the spool holds. After `stopping` it goes on for at most `graceMs`. */
  readonly drain: (stopping: AbortSignal, graceMs: number) => Promise<void>
  /** Fails readiness from now on, so that nobody sends us more. */
  readonly unready: () => void
  readonly spool: Spool
  /** Reads apps and keys from where they are declared; to be opened before anything is served. */
  readonly keySync: Pick<KeySync, 'open' | 'status'>
  /** All that are declared now, wherever. */
  readonly apps: Keys['apps']
  /** Goes on reading them, and removing events of users who are to be forgotten, until told to stop. */
  readonly watch: (stopping: AbortSignal) => Promise<void>
  /** What is held in memory now, for metrics. */
  readonly load: () => Load
  /** The counts of quotas, which processes tell each other from time to time. */
  readonly usage: {
    readonly exchange: (signal: AbortSignal) => Promise<void>
    readonly hasNewcomer: () => boolean
    readonly exchangedAtMs: () => number | undefined
  }
}

/** See {@link App.load}. */
export interface Load {
  /** Bytes of request bodies. */
  readonly bodyBytes: number
  readonly limitedKeys: number
  readonly apps: number
  readonly keys: number
  readonly keyLookups: ReturnType<Keys['lookups']>
}

const DAY_MS = 86_400_000
/** A password and a path. */
const FORM_BYTES_MAX = 8_192
/** Longest a reader of the dashboard waits for an answer. */
const ASK_MS_MAX = 10_000
/** What an administrator sends: lists of names and rules. */
const ADMIN_BODY_BYTES_MAX = 256 * 1024

/** Wires the modules to one another; the only place that knows them all. */
export async function createApp(
  config: Config,
  host: Host,
  registrations?: Registrations,
): Promise<App> {
  const { telemetry, nowMs, tracer = NO_TRACER } = host
  const keys = keysOf(config, host, registrations)
  const tables = createKeyTables(databaseOf(config, host))
  const keySync = openKeySync(config, host, { keys, tables })
  const spool = await openSpool(config, host)
  const pipeline = createPipeline({
    scrub: scrub(),
    symbolicate,
    group: groupWith(telemetry.bug),
    encode: encodeRows,
    giveBack,
    append: spool.append,
    retentionMs: retentionOf(config, keys),
    spikes: createSpikeGuard(),
    kept: telemetry.kept,
    here: tracer.here,
    outcome: telemetry.outcome,
    stage: telemetry.stage,
    nowMs,
  })
  const rulesOf = createRules()
  const quota = createQuota(nowMs)
  let stopping = false
  const forgetting = openForgetting(config, host, spool)
  const store = openStore(config, host, keys)
  const doorNotes = openDoorNotes(config, host)
  const signIn = await signInOf(config, host, { store, note: doorNotes.note })
  const budget = createByteBudget(config.intake.bytesInFlightMax)
  const limits = createLimits({ defaults: config.limits, quota, nowMs })
  const app = routes(config, host, {
    budget,
    keys,
    store,
    signIn,
    spool,
    accept: (occurrences, app) => pipeline.accept(occurrences, rulesOf(app)),
    enter: limits.enter,
    stopping: () => stopping,
    admin: { tables, keySync, forgetting },
  })
  answerProblems(app, telemetry.bug)
  return {
    fetch: fetchOf(app, host, tracer),
    drain: spool.drain,
    unready: () => {
      stopping = true
    },
    spool,
    keySync,
    apps: keys.apps,
    load: () => loadOf(keys, budget.used(), limits.size()),
    usage: sharedBy(quota, config, host),
    watch: together(keySync.run, doorNotes.run, forgetting.run),
  }
}

/** The routes behind what holds for every request: its trace, its id and its line. */
function fetchOf(app: Hono, { answered, nowMs, clientOf }: Host, { request: traced }: Tracer) {
  const answer = withAccess({
    fetch: (request, env, context) => app.fetch(request, env, context),
    log: answered,
    nowMs,
    clientOf,
  })
  const fetch: AccessFetch = (request, env, context) =>
    traced(request, () => answer(request, env, context))
  return fetch
}

function openStore(config: Config, host: Host, keys: Keys): Store {
  const retentionMs = retentionOf(config, keys)
  return createStore({
    ...host,
    database: config.clickhouse.database,
    oldestMs: (appId) => host.nowMs() - retentionMs(appId),
  })
}

/** How long an app's events are kept and shown. */
function retentionOf(config: Config, keys: Keys): (appId: string) => number {
  return (appId) => (keys.app(appId)?.retentionDays ?? config.retentionDays) * DAY_MS
}

/** The counts of this process, by a name of its own. */
function sharedBy(quota: Quota, config: Config, { clickhouse }: Host): App['usage'] {
  const { database } = config.clickhouse
  const table = createUsageTable({ clickhouse, database, source: crypto.randomUUID() })
  return { ...quota, exchange: (signal) => quota.exchange(table, signal) }
}

function keysOf(config: Config, host: Host, registrations?: Registrations): Keys {
  return createKeys({
    apps: config.apps,
    developmentMode: !config.production,
    developmentKey: DEVELOPMENT_KEY,
    digest: createDigest(config.keys.pepper, host.digest),
    adminKey: config.keys.adminKey,
    nowMs: host.nowMs,
    registrations,
  })
}

function together(...runs: readonly ((signal: AbortSignal) => Promise<void>)[]) {
  return async (signal: AbortSignal): Promise<void> => {
    await Promise.all(runs.map((run) => run(signal)))
  }
}

function loadOf(keys: Keys, bodyBytes: number, limitedKeys: number): Load {
  const ring = keys.ring()
  const held = { apps: ring.apps.size, keys: ring.keys.size, keyLookups: keys.lookups() }
  return { bodyBytes, limitedKeys, ...held }
}

interface Parts {
  readonly budget: ByteBudget
  readonly keys: Keys
  readonly store: Store
  readonly signIn: SignIn
  readonly spool: Spool
  readonly accept: (
    occurrences: readonly Occurrence[],
    app: Pick<AppSetting, 'limits' | 'scrub'>,
  ) => Promise<void>
  readonly enter: Limits['enter']
  readonly stopping: () => boolean
  readonly admin: AdminParts
}

const DOCUMENTED = {
  schemas: { nativeBatch: NativeBatch, dashboard: dashboardSchemas },
  version: VERSION,
  protocols,
}

/** Everyone knows the development key, and writes its Sentry DSN by heart: there any project will do. */
function admitterOf(keys: Keys): IntakeDeps['admit'] {
  return (credential, request) => {
    const caller = keys.admitIngest(credential, request.headers.get('origin'))
    if (credential !== DEVELOPMENT_KEY || caller.app === undefined) return caller
    return { app: { ...caller.app, projectId: undefined } }
  }
}

function routes(config: Config, host: Host, parts: Parts): Hono {
  const { keys, spool, accept, enter, store, budget } = parts
  const { telemetry, nowMs, inflate } = host
  const reader = (bytesMax: number) => (request: Request, env: unknown) =>
    readBody(request, { bytesMax, inflate, budget }, env)
  const ask = askOf(telemetry.say)
  const { publicUrl } = config.http
  const documented = { ...DOCUMENTED, publicUrl }
  const app = new Hono()
  app.route(
    '/',
    intakeRoutes({
      protocols,
      admit: admitterOf(keys),
      enter,
      credential: apiKeyOf,
      turn: spool.turn,
      readBody: reader(config.intake.bodyBytesMax),
      accept,
      telemetry,
      nowMs,
      eventsMax: config.intake.eventsMax,
      digest: host.digest,
    }),
  )
  app.route('/', healthOf(config, host, parts))
  app.route('/', openapiRoutes(documented))
  app.route(
    '/',
    dashboardRoutes(config, parts, ledgerOf(host), {
      ask: settledAsk(ask, spool),
      nowMs,
      readForm: reader(FORM_BYTES_MAX),
      openapi: () => openapiDocument(documented),
    }),
  )
  app.route(
    '/',
    sourceMapRoutes({
      admit: (request) =>
        keys.admit(apiKeyOf(request), config.production ? 'sourcemaps' : ['sourcemaps', 'ingest']),
      readBody: reader(config.intake.sourceMapBytesMax),
      ask,
      sourceMaps: store.sourceMaps,
    }),
  )
  const readAdminBody = reader(ADMIN_BODY_BYTES_MAX)
  app.route(
    '/',
    adminApi(config, host, parts, { ask, readBody: readAdminBody, originOf: originsOf(publicUrl) }),
  )
  return app
}

/** Sign-in as the settings say it. */
function signInOf(
  config: Config,
  host: Host,
  { store, note }: Pick<SignInDeps, 'note'> & { readonly store: Store },
): Promise<SignIn> {
  return openSignIn({
    ...config.signIn,
    publicUrl: config.http.publicUrl,
    endings: store.sessionEnds,
    note,
    nowMs: host.nowMs,
    say: host.telemetry.say,
  })
}

/** Whether this process should be sent requests. */
function healthOf(config: Config, host: Host, { spool, stopping, store }: Parts): Hono {
  return healthRoutes({
    storePing: store.ping,
    schemaVersion: store.schemaVersion,
    schemaNeeded: SCHEMA_VERSION,
    spoolStatus: () => (host.hasDiskSpool ? spool.status() : undefined),
    stopping,
    readyWithoutStore: config.readyWithoutStore,
    metrics: host.metrics,
    nowMs: host.nowMs,
  })
}

/** The JSON API of the dashboard, the pages, and signing in to them. */
function dashboardRoutes(
  config: Config,
  { keys, store, signIn }: Parts,
  settleLedger: () => Promise<void>,
  rest: Pick<PageDeps, 'ask' | 'nowMs' | 'openapi'> & Pick<SignInPagesDeps, 'readForm'>,
): Hono {
  const { publicUrl } = config.http
  const clientOf = clientsOf(publicUrl)
  const { readForm, ...read } = {
    ...rest,
    store,
    settleLedger,
    apps: keys.apps,
    originOf: originsOf(publicUrl),
    admitRead: createReaders({
      whoIs: signIn.whoIs,
      keyOf: apiKeyOf,
      admitKey: keys.admitRead,
      apps: keys.apps,
      clientOf,
    }),
  }
  const app = new Hono()
  app.route('/', dashboardApi(read))
  app.route('/', pageRoutes({ ...read, signIn: { ...signIn, readForm, clientOf } }))
  return app
}

/** The configured address, else the one by which the client of each request came. */
function originsOf(publicUrl: string | undefined) {
  return (request: Request, env: unknown) =>
    publicUrl ?? (clientIn(env) ?? directClient(request)).origin
}

/** The client of a request, at the configured address where there is one: cookies go by its scheme. */
function clientsOf(publicUrl: string | undefined) {
  const origin = publicUrl === undefined ? undefined : new URL(publicUrl).origin
  return (request: Request, env: unknown): Visitor => {
    const client = clientIn(env) ?? directClient(request)
    const requestId = factsOf(env)?.requestId ?? ''
    return { ...client, origin: origin ?? client.origin, requestId }
  }
}

/** The edge keeps no ledger, and has nothing to put there. */
const ledgerOf = ({ settleLedger }: Host) => settleLedger ?? (() => Promise.resolve())

/** Asks the store, or changes something there. */
const askOf = (say: Host['telemetry']['say']): Ask =>
  createAsk({
    timeoutMs: ASK_MS_MAX,
    storeFailed: (error) => {
      say('warn', 'ClickHouse did not answer a question', {
        error: error instanceof Error ? error.message : String(error),
      })
    },
  })

/** Questions see what was accepted before them, as far as pipeline/settle.ts says. They may be asked twice. */
function settledAsk(ask: Ask, spool: Spool): Ask {
  const settled = createSettled(spool)
  return (request, question) => ask(request, (signal) => settled(() => question(signal)))
}

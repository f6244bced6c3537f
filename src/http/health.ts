import { Hono } from 'hono'
import { z } from 'zod'
import { FINDING_LEVELS, findingsOf, schemaFinding, type Finding } from '../finding.ts'

/** What `healthRoutes` stands on. */
export interface HealthDeps {
  readonly storePing: () => Promise<boolean>
  /** Applied version; 0 where there is none. Rejects where it cannot be read. */
  readonly schemaVersion: () => Promise<number>
  readonly schemaNeeded: number
  /** Undefined where no disk spool stands before the store. */
  readonly spoolStatus: () => { readonly refusing: string | undefined } | undefined
  readonly stopping: () => boolean
  /** Stay ready without the store, as long as a disk spool has room. */
  readonly readyWithoutStore: boolean
  /** The metrics as text, in the format that `accept` asks for. */
  readonly metrics: (
    accept: string | undefined,
  ) => Promise<{ readonly text: string; readonly contentType: string }>
  readonly nowMs: () => number
}

const up = z.enum(['up', 'down'])

/** Answer of `GET /health`. */
export const HealthAnswer = z.strictObject({
  status: z.enum(['healthy', 'degraded', 'unhealthy']),
  timestamp: z.string().meta({ format: 'date-time' }),
  services: z.strictObject({ clickhouse: up }),
  error: z.string().optional().describe('Why it is unhealthy.'),
})

/** Answer of `GET /health/live`. */
export const LiveAnswer = z.strictObject({ status: z.literal('ok') })

/** Answer of `GET /health/ready` with status 200. */
export const ReadyAnswer = z.strictObject({ status: z.literal('ready') })

/** Answer of `GET /health/ready` with status 503. */
export const UnreadyAnswer = z.strictObject({
  status: z.literal('unready'),
  failed: z.array(z.enum(['stopping', 'spool', 'clickhouse', 'schema'])),
  error: z.string().describe('What failed, in words.'),
  findings: z
    .array(
      z.strictObject({
        check: z.string(),
        level: z.enum(FINDING_LEVELS),
        text: z.string(),
        advice: z.string().optional(),
      }),
    )
    .describe('The same with what to do, as `error-ingestor doctor` says it.'),
})

/** A probe must be answered within 1 s, whatever ClickHouse does. */
const CHECK_TIMEOUT_MS = 600
/** Probes of a whole cluster together ask ClickHouse once per this time. */
const CHECK_AGE_MS_MAX = 1_000
/** Checks that a hung ClickHouse may hold open; the client ends each of them some day. */
const CHECKS_OPEN_MAX = 5

/** `/health`, `/health/live`, `/health/ready` and `/metrics`: open to everyone, and never slow. */
export function healthRoutes(deps: HealthDeps): Hono {
  const { nowMs } = deps
  const routes = new Hono()
  const checkStore = cached(() => storeState(deps), nowMs)
  routes.get('/health', async (c) => {
    const store = await checkStore()
    const failed = [...ownFailures(deps)]
    // Without a disk the answer to an event waits for the store.
    if (store.clickhouse === 'down' && deps.spoolStatus() === undefined) failed.push(DOWN)
    const status =
      failed.length > 0 ? 'unhealthy' : store.clickhouse === 'up' ? 'healthy' : 'degraded'
    const answer: z.infer<typeof HealthAnswer> = {
      status,
      timestamp: new Date(nowMs()).toISOString(),
      services: { clickhouse: store.clickhouse },
    }
    if (status !== 'unhealthy') return c.json(answer)
    return c.json({ ...answer, error: sentence(failed) }, 503)
  })
  routes.get('/health/live', (c) => c.json({ status: 'ok' }))
  routes.get('/health/ready', async (c) => {
    const failed = [...ownFailures(deps)]
    const storeMayBeAway = deps.readyWithoutStore && deps.spoolStatus() !== undefined
    if (!storeMayBeAway) failed.push(...(await checkStore()).failed)
    if (failed.length === 0) return c.json({ status: 'ready' })
    const answer: z.infer<typeof UnreadyAnswer> = {
      status: 'unready',
      failed: failed.map(({ check }) => check),
      error: sentence(failed),
      findings: failed.map(({ finding }) => finding),
    }
    return c.json(answer, 503)
  })
  routes.get('/metrics', async (c) => {
    const { text, contentType } = await deps.metrics(c.req.header('accept'))
    return c.body(text, 200, { 'Content-Type': contentType })
  })
  return routes
}

interface Failure {
  readonly check: z.infer<typeof UnreadyAnswer>['failed'][number]
  readonly finding: Finding
}

interface StoreState {
  readonly clickhouse: 'up' | 'down'
  readonly failed: readonly Failure[]
}

const REACH = findingsOf('clickhouse-reach')
const DOWN: Failure = {
  check: 'clickhouse',
  finding: REACH.wrong(
    'ClickHouse does not answer.',
    'Look with `error-ingestor doctor` where the server runs: it says why.',
  ),
}
const UNREADABLE: Failure = {
  check: 'clickhouse',
  finding: REACH.wrong(
    'ClickHouse answers, but not to our questions: see the log.',
    'Look with `error-ingestor doctor` where the server runs: rights, or a wrong password.',
  ),
}

function sentence(failed: readonly Failure[]): string {
  return failed.map(({ finding }) => finding.text).join(' ')
}

/** What keeps events out whatever the store does. */
function ownFailures({ stopping, spoolStatus }: HealthDeps): readonly Failure[] {
  const refusing = spoolStatus()?.refusing
  const failed: Failure[] = []
  if (stopping()) {
    const advice = 'Nothing: it ends by itself, and another takes its place.'
    const finding = findingsOf('server-ready').wrong('The server is stopping.', advice)
    failed.push({ check: 'stopping', finding })
  }
  if (refusing !== undefined) {
    const advice = 'Free the disk of DATA_DIR or mount it writable; it goes on by itself.'
    const finding = findingsOf('spool-writable').wrong(refusing, advice)
    failed.push({ check: 'spool', finding })
  }
  return failed
}

/** Asks the store both questions at once. It is up only when it really answers us. */
async function storeState(deps: HealthDeps): Promise<StoreState> {
  const [isUp, version] = await Promise.all([
    deps.storePing().catch(() => false),
    deps.schemaVersion().catch(() => undefined),
  ])
  if (!isUp) return { clickhouse: 'down', failed: [DOWN] }
  if (version === undefined) return { clickhouse: 'down', failed: [UNREADABLE] }
  const finding = schemaFinding(version, deps.schemaNeeded)
  if (finding.level !== 'wrong') return { clickhouse: 'up', failed: [] }
  return { clickhouse: 'up', failed: [{ check: 'schema', finding }] }
}

/**
 * The state of the store, at most {@link CHECK_AGE_MS_MAX} old, within {@link CHECK_TIMEOUT_MS};
 * a store that takes longer is down. Callers at the same time share one check.
 */
function cached(check: () => Promise<StoreState>, nowMs: () => number): () => Promise<StoreState> {
  let latest: { readonly atMs: number; readonly state: Promise<StoreState> } | undefined
  let open = 0
  const start = async (): Promise<StoreState> => {
    if (open >= CHECKS_OPEN_MAX) return { clickhouse: 'down', failed: [DOWN] }
    open += 1
    return withTimeout(check().finally(() => (open -= 1)))
  }
  return () => {
    const now = nowMs()
    // A clock that was set back must not keep an old state alive.
    const ageMs = latest === undefined ? Infinity : Math.abs(now - latest.atMs)
    if (latest === undefined || ageMs >= CHECK_AGE_MS_MAX) latest = { atMs: now, state: start() }
    return latest.state
  }
}

async function withTimeout(state: Promise<StoreState>): Promise<StoreState> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<StoreState>((resolve) => {
    timer = setTimeout(() => resolve({ clickhouse: 'down', failed: [DOWN] }), CHECK_TIMEOUT_MS)
  })
  try {
    return await Promise.race([state, late])
  } finally {
    clearTimeout(timer)
  }
}

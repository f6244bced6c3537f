import { setTimeout as sleep } from 'node:timers/promises'
import type { App } from '../app.ts'
import type { ClickHouse } from '../store/clickhouse.ts'
import { retentionDue, take } from '../store/migrate.ts'
import { tellRetentions, toldRetentions, type RetentionDays } from '../store/retention.ts'
import type { NodeTelemetry } from './telemetry.ts'

/** What {@link keepRetentions} stands on. */
export interface RetentionDeps {
  readonly apps: App['apps']
  readonly clickhouse: ClickHouse
  /** The same ClickHouse, as the user that may change the TTL of tables, where one is configured. */
  readonly migrator: ClickHouse
  readonly database: string
  readonly telemetry: Pick<NodeTelemetry, 'say' | 'gauge'>
}

/** A changed app is seen within that time. */
const LOOK_EVERY_MS = 1_000
/** What other processes told is seen within that time. */
const ROUND_EVERY_MS = 60_000
const AGAIN_AFTER_MS = 5_000
/** Two processes that know an app by different settings would contradict each other without end. */
const TELL_AGAIN_MS = 3_600_000
const ACCESS_DENIED = '497'

/**
 * Tells ClickHouse how long each app keeps its events, wherever the app is declared, and has the tables
 * do so, until told to stop. Where the user may not, `error-ingestor migrate` does the second part.
 */
export async function keepRetentions(deps: RetentionDeps, stopping: AbortSignal): Promise<void> {
  const { say, gauge } = deps.telemetry
  let due: number | undefined
  gauge('error_ingestor_retention_due_apps', () => due)
  const tell = teller(deps)
  let [seen, nextMs, isFailing] = ['', -Infinity, false]
  const round = async (own: RetentionDays): Promise<void> => {
    await tell(own)
    const step = await retentionDue(deps.clickhouse, deps.database)
    due = step?.apps ?? 0
    if (step === undefined) return
    say('info', step.title)
    await take(deps.migrator, step, deps.database)
    due = 0
  }
  while (!stopping.aborted) {
    const own = ownDays(deps.apps())
    const text = JSON.stringify([...own])
    if (text !== seen || performance.now() >= nextMs) {
      seen = text
      let waitMs = ROUND_EVERY_MS
      try {
        await round(own)
        isFailing = false
      } catch (error) {
        const denied = isDenied(error)
        if (!denied) waitMs = AGAIN_AFTER_MS
        if (!isFailing) say('warn', denied ? DENIED : AWAY, { error: String(error) })
        isFailing = true
      }
      nextMs = performance.now() + waitMs
    }
    // Ends with a rejection when it is told to stop, which is not news.
    await sleep(LOOK_EVERY_MS, undefined, { signal: stopping }).catch(() => undefined)
  }
}

const DENIED =
  'the retention of apps is not applied: this user may not change the TTL of tables. Run `error-ingestor migrate`'
const AWAY = 'the retention of apps cannot be looked after, trying again'

/** Tells what is new, and what another process has told differently. */
function teller({ clickhouse, database }: RetentionDeps) {
  const said = new Map<string, { readonly days: number; readonly atMs: number }>()
  return async (own: RetentionDays): Promise<void> => {
    const told = await toldRetentions(clickhouse, database)
    const nowMs = performance.now()
    const isNews = (app: string, days: number) => {
      const last = said.get(app)
      return last?.days !== days || nowMs - last.atMs > TELL_AGAIN_MS
    }
    const news = new Map(
      [...own].filter(([app, days]) => (told.get(app) ?? 0) !== days && isNews(app, days)),
    )
    await tellRetentions(clickhouse, database, news)
    for (const [app, days] of news) said.set(app, { days, atMs: nowMs })
  }
}

function ownDays(apps: ReturnType<App['apps']>): RetentionDays {
  return new Map(apps.map(({ id, retentionDays = 0 }) => [id, retentionDays]))
}

function isDenied(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === ACCESS_DENIED
}

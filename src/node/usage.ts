import { setTimeout as sleep } from 'node:timers/promises'
import type { App } from '../app.ts'
import type { NodeTelemetry } from './telemetry.ts'

/** How often processes tell each other what their apps have had: how far a quota may be overrun. */
const EXCHANGE_EVERY_MS = 5_000
/** An app that sends for the first time is asked about sooner: it may have had its day elsewhere. */
const LOOK_EVERY_MS = 250
const EXCHANGE_MS_MAX = 10_000
/** A stop does not wait longer for it. */
const LAST_EXCHANGE_MS_MAX = 1_000

/**
 * Exchanges the counts of quotas with the other processes until `stopping` aborts, and once more
 * then, so that nothing counted is forgotten. While ClickHouse is away each process counts alone.
 */
export async function exchangeUsage(
  { usage }: Pick<App, 'usage'>,
  { say, gauge }: Pick<NodeTelemetry, 'say' | 'gauge'>,
  stopping: AbortSignal,
): Promise<void> {
  gauge('error_ingestor_quota_exchange_age_seconds', () => {
    const atMs = usage.exchangedAtMs()
    return atMs === undefined ? undefined : Math.max(0, (Date.now() - atMs) / 1_000)
  })
  let isFailing = false
  const exchange = async (msMax: number): Promise<void> => {
    try {
      await usage.exchange(AbortSignal.timeout(msMax))
      if (isFailing) say('info', 'the counts of quotas are shared again')
      isFailing = false
    } catch (error) {
      if (!isFailing) {
        say('warn', 'the counts of quotas cannot be shared: each process counts alone', {
          error: String(error),
        })
      }
      isFailing = true
    }
  }
  let lastMs = performance.now()
  while (!stopping.aborted) {
    if (usage.hasNewcomer() || performance.now() - lastMs >= EXCHANGE_EVERY_MS) {
      await exchange(EXCHANGE_MS_MAX)
      lastMs = performance.now()
    }
    // Ends with a rejection when it is told to stop, which is not news.
    await sleep(LOOK_EVERY_MS, undefined, { signal: stopping }).catch(() => undefined)
  }
  await exchange(LAST_EXCHANGE_MS_MAX)
}

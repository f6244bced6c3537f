import { setTimeout as sleep } from 'node:timers/promises'
import type { Ledger } from './ledger.ts'

const WRITE_EVERY_MS = 5_000
/** Longest that a question, or the end of the process, waits for a ClickHouse that may be away. */
const NOW_MS_MAX = 2_000

/** Writes the ledger to ClickHouse every few seconds, until `end`. */
export function writeRegularly(
  ledger: Pick<Ledger, 'flush'>,
  say: (level: 'warn', text: string, fields?: object) => void,
): {
  /** Writes what is there; resolves when it is, or after a moment. Never rejects. */
  readonly now: () => Promise<void>
  readonly end: () => Promise<void>
} {
  let isFailing = false

  async function write(): Promise<void> {
    try {
      await ledger.flush()
      isFailing = false
    } catch (error) {
      // It is in the folder's journal, and tried again; ClickHouse being away is said by the delivery too.
      if (!isFailing)
        say('warn', 'the ledger could not be written, trying again', { error: String(error) })
      isFailing = true
    }
  }

  async function now(): Promise<void> {
    const waited = new AbortController()
    const late = sleep(NOW_MS_MAX, undefined, { signal: waited.signal }).catch(() => undefined) // It was in time.
    await Promise.race([write(), late])
    waited.abort()
  }

  const timer = setInterval(() => void write(), WRITE_EVERY_MS).unref()

  return {
    now,
    end() {
      clearInterval(timer)
      return now()
    },
  }
}

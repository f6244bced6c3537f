/** Keeps one issue from flooding an app: of each only so many events a minute are kept. */
export interface SpikeGuard {
  /** Whether one more event of the issue is kept; the first of each minute always are. */
  readonly keeps: (appId: string, issue: string, eventsPerMinute: number, nowMs: number) => boolean
  /** An event that was to be kept could not be: it does not count. */
  readonly giveBack: (appId: string, issue: string) => void
}

const MINUTE_MS = 60_000
/** What comes when so many are counted is kept: a flood of many issues is a matter of limits. */
const ISSUES_MAX = 100_000

/** Counts by app and issue, in the minutes of the clock; at most `issuesMax` counts at once. */
export function createSpikeGuard(issuesMax = ISSUES_MAX): SpikeGuard {
  let minute = Number.NaN
  let counts = new Map<string, number>()
  return {
    keeps(appId, issue, eventsPerMinute, nowMs) {
      const current = Math.floor(nowMs / MINUTE_MS)
      if (current !== minute) {
        minute = current
        counts = new Map()
      }
      const key = keyOf(appId, issue)
      const count = counts.get(key)
      if (count === undefined && counts.size >= issuesMax) return true
      if ((count ?? 0) >= eventsPerMinute) return false
      counts.set(key, (count ?? 0) + 1)
      return true
    },
    giveBack(appId, issue) {
      const key = keyOf(appId, issue)
      const count = counts.get(key)
      if (count !== undefined && count > 0) counts.set(key, count - 1)
    },
  }
}

function keyOf(appId: string, issue: string): string {
  return `${appId}\0${issue}`
}

/** How many events one app has had on a day. */
export interface Usage {
  readonly appId: string
  readonly events: number
}

/** Where processes tell each other what they have taken. Days are counted from the Unix epoch, in UTC. */
export interface UsageStore {
  /** Says how much this process has taken of the day; a larger number replaces a smaller one. */
  readonly write: (day: number, usage: readonly Usage[], signal?: AbortSignal) => Promise<void>
  /** What all other processes have taken of the day. */
  readonly others: (day: number, signal?: AbortSignal) => Promise<readonly Usage[]>
}

/** Counts the events of apps by day, together with the other processes. */
export interface Quota {
  /** Whether the app has had its events of today; costs a look into two maps. */
  readonly isUsedUp: (appId: string, eventsPerDay: number) => boolean
  /**
   * Takes all of the events, or none. The first that do not fit end the app's day, however few are
   * left: who comes with fewer would else be let in now and then, and each be read before its no.
   */
  readonly take: (appId: string, eventsPerDay: number, events: number) => boolean
  readonly giveBack: (appId: string, events: number) => void
  /**
   * Tells the others what this process has taken, and learns what they have. Asks nothing while no
   * app with a quota sends here. @throws what the store rejects with; the counts go on without it.
   */
  readonly exchange: (store: UsageStore, signal?: AbortSignal) => Promise<void>
  /** Whether an app has sent for the first time since the last exchange: what the others took is unknown. */
  readonly hasNewcomer: () => boolean
  /** When the exchange last worked, in milliseconds since the epoch; undefined while none is needed. */
  readonly exchangedAtMs: () => number | undefined
}

const DAY_MS = 86_400_000

/**
 * A count that grows only, one per process: the day's total is the sum of them all, and telling the
 * same number again changes nothing. So an exchange that was cut off, or repeated, is never wrong.
 */
export function createQuota(nowMs: () => number): Quota {
  let day = dayOf(nowMs())
  let own = new Map<string, number>()
  let others = new Map<string, number>()
  /** The number that was reached, by app: a raised one opens the day again. */
  let ended = new Map<string, number>()
  let exchangedAtMs = nowMs()
  let hasNewcomer = false

  function today(): number {
    const now = dayOf(nowMs())
    if (now === day) return day
    day = now
    own = new Map()
    others = new Map()
    ended = new Map()
    return day
  }

  const used = (appId: string): number => (own.get(appId) ?? 0) + (others.get(appId) ?? 0)

  return {
    isUsedUp(appId, eventsPerDay) {
      today()
      if (!own.has(appId)) {
        own.set(appId, 0)
        hasNewcomer = true
      }
      return ended.get(appId) === eventsPerDay || used(appId) >= eventsPerDay
    },
    take(appId, eventsPerDay, events) {
      today()
      if (used(appId) + events > eventsPerDay) {
        ended.set(appId, eventsPerDay)
        return false
      }
      own.set(appId, (own.get(appId) ?? 0) + events)
      return true
    },
    giveBack(appId, events) {
      const count = own.get(appId)
      if (count !== undefined) own.set(appId, Math.max(0, count - events))
    },
    async exchange(store, signal) {
      const asked = today()
      if (own.size === 0) return
      hasNewcomer = false
      const taken = [...own].flatMap(([appId, events]) => (events > 0 ? [{ appId, events }] : []))
      if (taken.length > 0) await store.write(asked, taken, signal)
      const read = await store.others(asked, signal)
      // The day may have ended meanwhile.
      if (asked === today()) others = new Map(read.map(({ appId, events }) => [appId, events]))
      exchangedAtMs = nowMs()
    },
    hasNewcomer: () => hasNewcomer,
    exchangedAtMs: () => (own.size === 0 ? undefined : exchangedAtMs),
  }
}

function dayOf(ms: number): number {
  return Math.floor(ms / DAY_MS)
}

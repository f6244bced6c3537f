import type { AppSetting } from '../app-setting.ts'
import { Refusal } from '../refusal.ts'
import { fill, fullBucket, secondsUntilOne, type Bucket } from './bucket.ts'
import type { Quota } from './quota.ts'

/** What may come; a number that is absent limits nothing. See app-setting.ts for what they count. */
type LimitNumbers = Omit<NonNullable<AppSetting['limits']>, 'spikeGuard'>

/** The numbers of an app, as far as it has its own. */
interface LimitedApp {
  readonly id: string
  readonly limits?: AppSetting['limits']
}

/** What `createLimits` stands on. */
export interface LimitsDeps {
  /** For what an app does not say itself. */
  readonly defaults: LimitNumbers & { readonly burst: number }
  readonly quota: Quota
  readonly nowMs: () => number
  /** Keys that are remembered at once; 10,000 where absent. */
  readonly keysMax?: number
}

/** Says no to keys and apps that send more than they may. */
export interface Limits {
  /**
   * One request of a key, before its body is read. Undefined where nothing limits its events.
   * @throws Refusal `rate_limited`, or `quota` when the app has had its day's events.
   */
  readonly enter: (app: LimitedApp, key: string) => Gate | undefined
  /** Keys whose buckets are remembered. */
  readonly size: () => number
}

/** What one request that was let in has still to pass. */
export interface Gate {
  /**
   * Takes the request's events, all or none, before they are accepted.
   * @throws Refusal as `enter`.
   */
  readonly take: (events: number) => void
  /** The events were not accepted after all: they do not count for the day. */
  readonly giveBack: () => void
}

interface KeyState {
  readonly requests: Bucket
  readonly events: Bucket
  /** Events that are decoded only to be counted as refused; see `enter`. */
  readonly counted: Bucket
}

/** More keys than a pod sees at once; what is forgotten starts with full buckets again. */
const KEYS_MAX = 10_000
const DAY_SECONDS = 86_400

/**
 * Token buckets by key, in memory, and the quota by app.
 *
 * The request that takes the last token is taken whole, however many events it holds, and overdraws
 * the bucket: so a batch larger than the burst is not refused for ever, and a key over its limit is
 * known before its body is read. What it sends is then still decoded, to count its events one by
 * one, as long as that is no more than the limit itself allows; beyond that a request is refused
 * unread, and counts as one event.
 */
export function createLimits({ defaults, quota, nowMs, keysMax = KEYS_MAX }: LimitsDeps): Limits {
  const keys = new Map<string, KeyState>()

  function stateOf(key: string, numbers: Numbers, now: number): KeyState {
    let state = keys.get(key)
    if (state !== undefined) return state
    if (keys.size >= keysMax) {
      const [oldest] = keys.keys()
      if (oldest !== undefined) keys.delete(oldest)
    }
    state = {
      requests: fullBucket(capacityOf(numbers.requestsPerSecond, numbers.burst), now),
      events: fullBucket(capacityOf(numbers.eventsPerSecond, numbers.burst), now),
      counted: fullBucket(capacityOf(numbers.eventsPerSecond, numbers.burst), now),
    }
    keys.set(key, state)
    return state
  }

  return {
    size: () => keys.size,

    enter(app, key) {
      const numbers = numbersOf(app.limits, defaults)
      if (!isLimited(numbers)) return undefined
      const { requestsPerSecond, eventsPerSecond, eventsPerDay } = numbers
      const now = nowMs()
      const state = stateOf(key, numbers, now)
      if (requestsPerSecond !== undefined)
        takeRequest(state.requests, requestsPerSecond, numbers, now)
      if (eventsPerDay !== undefined && quota.isUsedUp(app.id, eventsPerDay)) {
        throw overQuota(eventsPerDay, now)
      }
      if (eventsPerSecond !== undefined) {
        const capacity = capacityOf(eventsPerSecond, numbers.burst)
        const left = fill(state.events, eventsPerSecond, capacity, now)
        const patience = fill(state.counted, eventsPerSecond, capacity, now)
        if (left < 1 && patience < 1) throw overEvents(state.events, eventsPerSecond)
      }
      return gateOf(app.id, state, numbers)
    },
  }

  function gateOf(appId: string, state: KeyState, numbers: Numbers): Gate {
    const { eventsPerSecond, eventsPerDay } = numbers
    let taken = 0
    return {
      take(events) {
        if (events === 0) return
        const now = nowMs()
        if (eventsPerSecond !== undefined) {
          const capacity = capacityOf(eventsPerSecond, numbers.burst)
          if (fill(state.events, eventsPerSecond, capacity, now) < 1) {
            fill(state.counted, eventsPerSecond, capacity, now)
            state.counted.tokens -= events
            throw overEvents(state.events, eventsPerSecond)
          }
        }
        if (eventsPerDay !== undefined) {
          if (!quota.take(appId, eventsPerDay, events)) throw overQuota(eventsPerDay, now)
          taken = events
        }
        state.events.tokens -= events
      },
      giveBack() {
        if (taken > 0) quota.giveBack(appId, taken)
        taken = 0
      },
    }
  }
}

interface Numbers extends LimitNumbers {
  readonly burst: number
}

function numbersOf(own: AppSetting['limits'], defaults: Numbers): Numbers {
  if (own === undefined) return defaults
  return {
    requestsPerSecond: own.requestsPerSecond ?? defaults.requestsPerSecond,
    eventsPerSecond: own.eventsPerSecond ?? defaults.eventsPerSecond,
    burst: own.burst ?? defaults.burst,
    eventsPerDay: own.eventsPerDay ?? defaults.eventsPerDay,
  }
}

function isLimited({ requestsPerSecond, eventsPerSecond, eventsPerDay }: Numbers): boolean {
  return (
    requestsPerSecond !== undefined || eventsPerSecond !== undefined || eventsPerDay !== undefined
  )
}

/** At least one, or nothing would ever come through. */
function capacityOf(perSecond: number | undefined, burst: number): number {
  return Math.max(1, (perSecond ?? 0) * burst)
}

function takeRequest(bucket: Bucket, perSecond: number, { burst }: Numbers, now: number): void {
  const capacity = capacityOf(perSecond, burst)
  if (fill(bucket, perSecond, capacity, now) >= 1) {
    bucket.tokens -= 1
    return
  }
  const retryAfterSeconds = secondsUntilOne(bucket, perSecond)
  throw new Refusal(
    'rate_limited',
    `This key may send ${String(perSecond)} requests a second; send again in ${secondsOf(retryAfterSeconds)}, and more events in one request.`,
    { retryAfterSeconds, limit: { policy: 'requests', quota: perSecond, windowSeconds: 1 } },
  )
}

function overEvents(bucket: Bucket, perSecond: number): Refusal {
  const retryAfterSeconds = secondsUntilOne(bucket, perSecond)
  return new Refusal(
    'rate_limited',
    `This key may send ${String(perSecond)} events a second; send again in ${secondsOf(retryAfterSeconds)}.`,
    { retryAfterSeconds, limit: { policy: 'events', quota: perSecond, windowSeconds: 1 } },
  )
}

function overQuota(eventsPerDay: number, now: number): Refusal {
  const retryAfterSeconds = DAY_SECONDS - (Math.floor(now / 1_000) % DAY_SECONDS)
  return new Refusal(
    'quota',
    `This app may send ${String(eventsPerDay)} events a day, and has; its next day begins at midnight UTC.`,
    {
      retryAfterSeconds,
      limit: { policy: 'quota', quota: eventsPerDay, windowSeconds: DAY_SECONDS },
    },
  )
}

function secondsOf(seconds: number): string {
  return seconds === 1 ? 'a second' : `${String(seconds)} seconds`
}

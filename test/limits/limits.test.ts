import { describe, expect, test } from 'vitest'
import { createLimits, type LimitsDeps } from '../../src/limits/limits.ts'
import { createQuota } from '../../src/limits/quota.ts'
import { Refusal } from '../../src/refusal.ts'

const NOON_MS = Date.UTC(2026, 10, 26, 12)

const AN_APP: App = { id: 'a' }

type App = Parameters<ReturnType<typeof createLimits>['enter']>[0]

/** Limits with a clock of the test's own. */
function limitsWith(
  defaults: Partial<LimitsDeps['defaults']> = {},
  more: Partial<Omit<LimitsDeps, 'defaults'>> = {},
) {
  let now = NOON_MS
  const nowMs = () => now
  const deps = { quota: createQuota(nowMs), nowMs, ...more }
  const limits = createLimits({ ...deps, defaults: { burst: 1, ...defaults } })
  return {
    limits,
    pass: (ms: number) => (now += ms),
    /** What a whole request of that many events ends in. */
    send: (events = 1, { app = AN_APP, key = 'k' } = {}) => {
      try {
        limits.enter(app, key)?.take(events)
        return 'yes'
      } catch (error) {
        if (!(error instanceof Refusal)) throw error
        return error
      }
    },
  }
}

function refusalOf(end: 'yes' | Refusal): Refusal {
  if (end === 'yes') throw new Error('It was let in.')
  return end
}

describe('without a number', () => {
  test('nothing is limited, and nothing has to be passed', () => {
    const { limits, send } = limitsWith()
    expect(limits.enter({ id: 'a' }, 'k')).toBeUndefined()
    for (let i = 0; i < 1_000; i++) expect(send(1_000)).toBe('yes')
  })
})

describe('requests of a key', () => {
  test('come up to the burst at once, then at the rate', () => {
    const { send, pass } = limitsWith({ requestsPerSecond: 10, burst: 2 })
    for (let i = 0; i < 20; i++) expect(send()).toBe('yes')
    expect(send()).toBeInstanceOf(Refusal)
    pass(100)
    expect(send()).toBe('yes')
    expect(send()).toBeInstanceOf(Refusal)
    pass(3_600_000)
    for (let i = 0; i < 20; i++) expect(send()).toBe('yes')
    expect(send()).toBeInstanceOf(Refusal)
  })

  test('are refused with what an answer has to say', () => {
    const { send } = limitsWith({ requestsPerSecond: 0.1, burst: 1 })
    expect(send()).toBe('yes')
    const refusal = refusalOf(send())
    expect(refusal).toMatchObject({
      code: 'rate_limited',
      retryAfterSeconds: 10,
      limit: { policy: 'requests', quota: 0.1, windowSeconds: 1 },
    })
    expect(refusal.message).toMatch(/0\.1 requests a second.*10 seconds/)
  })

  test('of one key leave those of another alone, also of the same app', () => {
    const { send } = limitsWith({ requestsPerSecond: 1 })
    expect(send(1, { key: 'loud' })).toBe('yes')
    expect(send(1, { key: 'loud' })).toBeInstanceOf(Refusal)
    expect(send(1, { key: 'quiet' })).toBe('yes')
  })

  test('are not let in by a clock that is set back, nor kept out by one for long', () => {
    const { send, pass } = limitsWith({ requestsPerSecond: 1 })
    expect(send()).toBe('yes')
    pass(-3_600_000)
    expect(send()).toBeInstanceOf(Refusal)
    pass(1_000)
    expect(send()).toBe('yes')
  })
})

describe('events of a key', () => {
  test('are taken whole by the request that takes the last of them, and the rate holds over time', () => {
    const { send, pass } = limitsWith({ eventsPerSecond: 100 })
    let taken = 0
    for (let second = 0; second < 60; second++) {
      for (let i = 0; i < 10; i++) {
        if (send(250) === 'yes') taken += 250
        pass(100)
      }
    }
    // 60 seconds, a burst of one more, and at most one batch over.
    expect(taken).toBeGreaterThanOrEqual(6_000)
    expect(taken).toBeLessThanOrEqual(6_350)
  })

  test('say when the next may come', () => {
    const { send, pass } = limitsWith({ eventsPerSecond: 100 })
    expect(send(1_000)).toBe('yes')
    const refusal = refusalOf(send())
    expect(refusal).toMatchObject({ code: 'rate_limited', retryAfterSeconds: 10 })
    pass(8_900)
    expect(send()).toBeInstanceOf(Refusal)
    pass(110)
    expect(send()).toBe('yes')
  })

  test('over the limit are decoded to be counted as often as the limit allows, then refused unread', () => {
    const { limits, pass } = limitsWith({ eventsPerSecond: 10 })
    const enter = () => limits.enter({ id: 'a' }, 'k')
    enter()?.take(10)
    const counted = enter()
    expect(() => counted?.take(10)).toThrow(Refusal)
    expect(enter).toThrow(Refusal)
    // A tenth of a second later one more is let in, and one more counted.
    pass(100)
    expect(enter()).toBeDefined()
  })

  test('none at all pass over the limit: what is no error is still answered with yes', () => {
    const { send } = limitsWith({ eventsPerSecond: 10 })
    expect(send(10)).toBe('yes')
    expect(send(0)).toBe('yes')
    expect(send(1)).toBeInstanceOf(Refusal)
  })
})

describe('numbers of an app', () => {
  test('stand before those of the server, each for itself', () => {
    const { send } = limitsWith({ requestsPerSecond: 1, eventsPerSecond: 1_000 })
    const app = { id: 'b', limits: { requestsPerSecond: 3 } }
    for (let i = 0; i < 3; i++) expect(send(300, { app })).toBe('yes')
    expect(refusalOf(send(1, { app })).limit?.policy).toBe('requests')
  })

  test('that change hold for the next request', () => {
    const { send, pass } = limitsWith()
    expect(send(1, { app: { id: 'b', limits: { requestsPerSecond: 1 } } })).toBe('yes')
    expect(send(1, { app: { id: 'b', limits: { requestsPerSecond: 1 } } })).not.toBe('yes')
    pass(1_000)
    for (let i = 0; i < 5; i++) {
      expect(send(1, { app: { id: 'b', limits: {} } })).toBe('yes')
    }
  })
})

describe('the day of an app', () => {
  test('ends with its last event, for all its keys, and begins again at midnight UTC', () => {
    const { send, pass } = limitsWith({ eventsPerDay: 100 })
    expect(send(60, { key: 'one' })).toBe('yes')
    expect(send(40, { key: 'two' })).toBe('yes')
    const refusal = refusalOf(send(1, { key: 'two' }))
    expect(refusal).toMatchObject({
      code: 'quota',
      retryAfterSeconds: 43_200,
      limit: { policy: 'quota', quota: 100, windowSeconds: 86_400 },
    })
    expect(send(1, { app: { id: 'other' } })).toBe('yes')
    pass(43_200_000 - 1)
    expect(send()).toBeInstanceOf(Refusal)
    pass(1)
    expect(send()).toBe('yes')
  })

  test('is ended by the first request that does not fit, and never has more than its events', () => {
    const { send } = limitsWith({ eventsPerDay: 100 })
    expect(send(99)).toBe('yes')
    expect(refusalOf(send(2)).code).toBe('quota')
    expect(refusalOf(send(1)).code).toBe('quota')
  })

  test('is not touched by events that could not be kept', () => {
    const { limits, send } = limitsWith({ eventsPerDay: 10 })
    const gate = limits.enter({ id: 'a' }, 'k')
    gate?.take(10)
    gate?.giveBack()
    gate?.giveBack()
    expect(send(10)).toBe('yes')
    expect(send(1)).toBeInstanceOf(Refusal)
  })

  test('opens again when its number is raised', () => {
    const { send } = limitsWith()
    const app = (eventsPerDay: number) => ({ app: { id: 'a', limits: { eventsPerDay } } })
    expect(send(5, app(5))).toBe('yes')
    expect(send(1, app(5))).toBeInstanceOf(Refusal)
    expect(send(1, app(6))).toBe('yes')
  })
})

test('a key beyond the number that is remembered takes the place of the oldest', () => {
  const { send } = limitsWith({ requestsPerSecond: 1 }, { keysMax: 2 })
  expect(send(1, { key: 'one' })).toBe('yes')
  expect(send(1, { key: 'two' })).toBe('yes')
  expect(send(1, { key: 'two' })).toBeInstanceOf(Refusal)
  expect(send(1, { key: 'three' })).toBe('yes')
  expect(send(1, { key: 'two' })).toBeInstanceOf(Refusal)
  expect(send(1, { key: 'one' })).toBe('yes')
})

import { expect, test } from 'vitest'
import { createQuota, type Usage, type UsageStore } from '../../src/limits/quota.ts'

const DAY_MS = 86_400_000
const NOW_MS = 20_000 * DAY_MS

/** What ClickHouse keeps: the largest number of each process, by day and app. */
function memoryUsage() {
  const rows: { day: number; appId: string; source: string; events: number }[] = []
  let asked = 0
  const storeOf = (source: string): UsageStore => ({
    write: (day, usage) => {
      asked++
      for (const { appId, events } of usage) rows.push({ day, appId, source, events })
      return Promise.resolve()
    },
    others: (day) => {
      asked++
      const most = new Map<string, Map<string, number>>()
      for (const row of rows.filter((each) => each.day === day && each.source !== source)) {
        const sources = most.get(row.appId) ?? new Map<string, number>()
        sources.set(row.source, Math.max(sources.get(row.source) ?? 0, row.events))
        most.set(row.appId, sources)
      }
      const sums = [...most].map(([appId, sources]): Usage => {
        return { appId, events: [...sources.values()].reduce((sum, each) => sum + each, 0) }
      })
      return Promise.resolve(sums)
    },
  })
  return { storeOf, asked: () => asked }
}

test('a quota holds over processes that tell each other, however often they do', async () => {
  const { storeOf } = memoryUsage()
  const [one, two] = [createQuota(() => NOW_MS), createQuota(() => NOW_MS)]
  expect(one.take('a', 100, 60)).toBe(true)
  expect(two.take('a', 100, 30)).toBe(true)
  for (let i = 0; i < 3; i++) {
    await one.exchange(storeOf('one'))
    await two.exchange(storeOf('two'))
  }
  await one.exchange(storeOf('one'))
  expect(one.isUsedUp('a', 100)).toBe(false)
  expect(one.take('a', 100, 11)).toBe(false)
  expect(two.take('a', 100, 10)).toBe(true)
  expect(two.isUsedUp('a', 100)).toBe(true)
})

test('a process that starts again knows what it took before', async () => {
  const { storeOf } = memoryUsage()
  const before = createQuota(() => NOW_MS)
  before.take('a', 100, 100)
  await before.exchange(storeOf('before'))
  const after = createQuota(() => NOW_MS)
  expect(after.isUsedUp('a', 100)).toBe(false)
  expect(after.hasNewcomer()).toBe(true)
  await after.exchange(storeOf('after'))
  expect(after.hasNewcomer()).toBe(false)
  expect(after.isUsedUp('a', 100)).toBe(true)
})

test('a new day knows nothing of the old one', async () => {
  let now = NOW_MS
  const { storeOf } = memoryUsage()
  const quota = createQuota(() => now)
  const other = createQuota(() => now)
  other.take('a', 10, 5)
  await other.exchange(storeOf('other'))
  quota.take('a', 10, 5)
  await quota.exchange(storeOf('own'))
  expect(quota.isUsedUp('a', 10)).toBe(true)
  now += DAY_MS
  expect(quota.isUsedUp('a', 10)).toBe(false)
  await quota.exchange(storeOf('own'))
  expect(quota.take('a', 10, 10)).toBe(true)
})

test('nothing is asked while no app with a quota sends', async () => {
  const { storeOf, asked } = memoryUsage()
  const quota = createQuota(() => NOW_MS)
  await quota.exchange(storeOf('own'))
  expect(asked()).toBe(0)
  expect(quota.exchangedAtMs()).toBeUndefined()
})

test('while the store is away each process counts on by itself', async () => {
  const quota = createQuota(() => NOW_MS)
  const away: UsageStore = {
    write: () => Promise.reject(new Error('away')),
    others: () => Promise.reject(new Error('away')),
  }
  expect(quota.take('a', 10, 8)).toBe(true)
  await expect(quota.exchange(away)).rejects.toThrow('away')
  expect(quota.take('a', 10, 2)).toBe(true)
  expect(quota.take('a', 10, 1)).toBe(false)
})

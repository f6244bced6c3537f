import { expect, test } from 'vitest'
import { createByteBudget } from '../../src/http/budget.ts'

test('bytes up to the limit are admitted at once, one more waits until some are given back', async () => {
  const budget = createByteBudget(100, 5_000)
  const [first, second] = [budget.lease(), budget.lease()]
  expect(first.grow(60)).toBeUndefined()
  expect(second.grow(40)).toBeUndefined()
  const more = second.grow(1)
  expect(more).toBeInstanceOf(Promise)
  first.release()
  await more
  expect(budget.used()).toBe(41)
  second.release()
  second.release()
  expect(budget.used()).toBe(0)
})

test('who waits in vain is told when to come back, and holds nothing that was not given', async () => {
  const budget = createByteBudget(100, 10)
  const [first, second] = [budget.lease(), budget.lease()]
  void first.grow(100)
  await expect(second.grow(1)).rejects.toMatchObject({ code: 'overloaded', retryAfterSeconds: 2 })
  second.release()
  expect(budget.used()).toBe(100)
})

test('a request that is alone is admitted whatever its size, and one that came later waits', async () => {
  const budget = createByteBudget(100, 5_000)
  const [large, small] = [budget.lease(), budget.lease()]
  expect(large.grow(500)).toBeUndefined()
  const waiting = small.grow(1)
  large.release()
  await waiting
  expect(budget.used()).toBe(1)
})

test('a request that ends while it waits neither takes room nor blocks those behind it', async () => {
  const budget = createByteBudget(100, 5_000)
  const [first, gone, last] = [budget.lease(), budget.lease(), budget.lease()]
  void first.grow(100)
  const given = gone.grow(100)
  const behind = last.grow(100)
  gone.release()
  first.release()
  await Promise.all([given, behind])
  expect(budget.used()).toBe(100)
})

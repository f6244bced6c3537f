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

test('long bodies are read some at a time: the next one begins when one before it has ended', async () => {
  const budget = createByteBudget(960, 5_000)
  const [first, second, third] = [budget.lease(), budget.lease(), budget.lease()]
  expect(first.begin(60)).toBeUndefined()
  expect(first.grow(60)).toBeUndefined()
  expect(second.begin(40)).toBeUndefined()
  const begun: number[] = []
  const waiting = third.begin(50)?.then(() => begun.push(3))
  expect(budget.used()).toBe(60) // What is announced takes no room.
  await Promise.resolve()
  expect(begun).toEqual([])
  first.release()
  await waiting
  expect(begun).toEqual([3])
})

test('a body that waits to begin is read all the same after a while', async () => {
  const budget = createByteBudget(960, 5_000, 20)
  const [first, second] = [budget.lease(), budget.lease()]
  void first.begin(100)
  void first.grow(100)
  await second.begin(100)
  expect(second.grow(100)).toBeUndefined()
  expect(budget.used()).toBe(200)
})

test('what a slow sender announces keeps others waiting for a moment only', async () => {
  const budget = createByteBudget(960, 5_000, 60_000)
  const [slow, other] = [budget.lease(), budget.lease()]
  expect(slow.begin(90)).toBeUndefined()
  expect(slow.grow(1)).toBeUndefined()
  await other.begin(90)
  slow.release()
  other.release()
  expect(budget.used()).toBe(0)
})

test('a body that is decoded lends its memory to the next one, and stays counted', () => {
  const budget = createByteBudget(1_000_000, 5_000)
  const [first, second] = [budget.lease(), budget.lease()]
  void first.grow(100_000)
  const memory = first.memory(100_000)
  first.spend()
  expect(budget.used()).toBe(100_000)
  expect(second.memory(90_000).buffer).toBe(memory.buffer)
  first.release()
  expect(budget.used()).toBe(0)
})

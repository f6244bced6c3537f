import { expect, test, vi } from 'vitest'
import { memoryDisk } from '../../support/memory-disk.ts'
import { memoryStore, type MemoryStore } from '../../support/memory-store.ts'
import { live, notOnce } from './living.ts'

// ClickHouse notes a block's token before its rows are in place: killed between, it says yes ever after.

/** Retries without their pauses. */
const noPause = { random: () => -0.999 }

type Way = ReturnType<MemoryStore['fail']>

/** Lets inserts end in these ways, one after the other, and all that follow in `after`. Tells how many are left. */
function failing(store: MemoryStore, ways: readonly Way[], after: Way): () => number {
  let left = ways
  store.fail = () => {
    const [way = after, ...rest] = left
    left = rest
    return way
  }
  return () => left.length
}

test.each(['to the same process', 'to the next one'])(
  'rows of which ClickHouse noted the token alone before it was killed are stored all the same, sent again by it %s',
  async (to) => {
    const store = memoryStore()
    const disk = memoryDisk()
    const after = to === 'to the next one' ? 'before' : 'no'
    const left = failing(store, ['noted', 'noted', 'before', 'noted'], after)
    const graceMs = to === 'to the next one' ? 20 : 10_000
    const life = await live(disk, { store, delivery: noPause, graceMs })
    const ids = await life.accept(20)
    if (to === 'to the next one') {
      await vi.waitUntil(() => left() === 0)
      await life.end()
      expect(store.counts().size).toBe(0)
      store.fail = () => 'no'
      const next = await live(disk, { store, delivery: noPause })
      await next.end()
    } else await life.end()
    expect(notOnce(store, ids)).toEqual([])
  },
)

test('of a block that was sent again in vain by the process before, the next one believes no yes either', async () => {
  const store = memoryStore()
  const disk = memoryDisk()
  // Noted, yes without its rows, noted under the next token, and then away.
  const left = failing(store, ['noted', 'no', 'noted'], 'before')
  const life = await live(disk, { store, delivery: noPause, graceMs: 20 })
  const ids = await life.accept(20)
  await vi.waitUntil(() => left() === 0)
  await life.end()
  expect(store.counts().size).toBe(0)
  store.fail = () => 'no'
  const next = await live(disk, { store, delivery: noPause })
  await next.end()
  expect(notOnce(store, ids)).toEqual([])
})

test('a store that could not be reached is believed at once when it says yes', async () => {
  const store = memoryStore()
  let [tries, asked] = [0, 0]
  const insert: typeof store.insert = async (block, signal) => {
    tries += 1
    if (tries <= 3) throw Object.assign(new Error('Refused.'), { code: 'ECONNREFUSED' })
    await store.insert(block, signal)
  }
  const storedIds = () => {
    asked += 1
    return Promise.resolve(new Set<string>())
  }
  const life = await live(memoryDisk(), { store, delivery: { insert, storedIds, ...noPause } })
  const ids = await life.accept(5)
  await life.end()
  expect(notOnce(store, ids)).toEqual([])
  expect([tries, asked]).toEqual([4, 0])
})

import { expect, test, vi } from 'vitest'
import { pack, unpack } from '../../../src/node/spool/pack.ts'
import { memoryDisk } from '../../support/memory-disk.ts'
import { memoryStore } from '../../support/memory-store.ts'
import { live, notOnce } from './living.ts'

const rowsOf = (count: number, appId: (i: number) => string = () => 'käse-app') =>
  Array.from({ length: count }, (_, i) => ({
    ...{ appId: appId(i), protocol: 'native', timestampMs: 1_700_000_000_000 + i * 0.5 },
    id: crypto.randomUUID(),
  }))

test.each([1, 100, 1_000])('%i rows come back as they were', (count) => {
  const rows = rowsOf(count)
  const packed = pack(rows)
  expect(packed === undefined ? [] : unpack(packed)).toEqual(rows)
})

test('rows of several apps are not packed, nor are none', () => {
  expect(pack(rowsOf(2, (i) => `app-${i}`))).toBeUndefined()
  expect(pack([])).toBeUndefined()
})

test('what waits behind a full window is delivered once each, without being read back', async () => {
  const disk = memoryDisk()
  const store = memoryStore()
  let reads = 0
  const counting = {
    ...disk,
    open: (name: string) => {
      reads += name.startsWith('segment-') ? 1 : 0
      return disk.open(name)
    },
  }
  let isAway = true
  const life = await live(counting, {
    store,
    limits: { rowsMax: 10, segmentBytes: 10_000_000 },
    delivery: {
      insert: async (block, signal) => {
        await vi.waitUntil(() => !isAway, { timeout: 10_000 })
        await store.insert(block, signal)
      },
    },
  })
  const ids: string[] = []
  for (let batch = 0; batch < 40; batch += 1) ids.push(...(await life.accept(5)))
  const before = reads
  isAway = false
  await life.end()
  expect(notOnce(store, ids)).toEqual([])
  // Each window is read once, when it is sent: 200 rows in windows of 10.
  expect(reads - before).toBeLessThanOrEqual(21)
})

import { describe, expect, it, test, vi } from 'vitest'
import { createPace } from '../../../src/node/spool/pace.ts'
import { memoryDisk } from '../../support/memory-disk.ts'
import { memoryStore } from '../../support/memory-store.ts'
import { live, notOnce } from './living.ts'

const ROWS_MAX = 60_000

/** A pace on a clock of its own. */
function paced() {
  const clock = { ms: 0 }
  const pace = createPace(ROWS_MAX, () => clock.ms)
  /** Batches of 100 from so many clients that each wait for their answer, while so many rows a second are delivered. */
  function run(seconds: number, { clients, answerMs, rowsPerSecond, rowsWaiting = 0 }: Load) {
    let waiting = rowsWaiting
    let longestMs = 0
    let accepted = 0
    const freeAt = Array.from({ length: clients }, () => clock.ms)
    const endMs = clock.ms + seconds * 1_000
    for (; clock.ms < endMs; clock.ms += 1) {
      if (clock.ms % 500 === 0) {
        const rows = Math.min(waiting, rowsPerSecond / 2)
        waiting -= rows
        pace.delivered(rows)
      }
      for (const [client, atMs] of freeAt.entries()) {
        if (atMs > clock.ms) continue
        const waitMs = pace.waitMs(waiting)
        longestMs = Math.max(longestMs, waitMs)
        freeAt[client] = clock.ms + waitMs + answerMs
        pace.kept(100)
        waiting += 100
        accepted += 100
      }
    }
    return { waiting, longestMs, perSecond: accepted / seconds }
  }
  return { pace, run, clock }
}

interface Load {
  readonly clients: number
  readonly answerMs: number
  readonly rowsPerSecond: number
  readonly rowsWaiting?: number
}

describe('the pace of delivery', () => {
  it('holds clients to it that would fill the spool', () => {
    const { run } = paced()
    const { waiting, longestMs, perSecond } = run(30, {
      ...{ clients: 16, answerMs: 40, rowsPerSecond: 28_000 },
    })
    expect(waiting).toBeLessThan(2 * ROWS_MAX)
    expect(perSecond).toBeGreaterThan(26_000)
    expect(perSecond).toBeLessThan(33_000) // 40,000 without it.
    expect(longestMs).toBeGreaterThan(1)
    expect(longestMs).toBeLessThanOrEqual(250)
  })

  it('lets go of clients that are slower than it', () => {
    const { run } = paced()
    const { waiting, longestMs } = run(10, {
      ...{ clients: 16, answerMs: 107, rowsPerSecond: 28_000 },
    })
    expect(longestMs).toBe(0)
    expect(waiting).toBeLessThan(ROWS_MAX)
  })

  it('holds nobody up who sends a part of what is delivered of a long backlog', () => {
    const { run } = paced()
    run(2, { clients: 4, answerMs: 100, rowsPerSecond: 28_000, rowsWaiting: 3_000_000 })
    const { longestMs, perSecond } = run(20, {
      ...{ clients: 4, answerMs: 80, rowsPerSecond: 28_000, rowsWaiting: 3_000_000 },
    })
    expect(longestMs).toBeLessThan(25) // All four come in the same millisecond.
    expect(perSecond).toBeGreaterThan(4_800)
  })

  it('holds nobody up while the store is away', () => {
    const { run, pace, clock } = paced()
    run(2, { clients: 16, answerMs: 40, rowsPerSecond: 28_000 })
    clock.ms += 3_001
    expect(pace.waitMs(10_000_000)).toBe(0)
    pace.delivered(20_000) // Back, and its speed is not known yet.
    expect(pace.waitMs(10_000_000)).toBe(0)
  })

  it('never keeps one waiting for more than a quarter of a second', () => {
    const { run, pace, clock } = paced()
    run(4, { clients: 1, answerMs: 100, rowsPerSecond: 200 })
    const waits = Array.from({ length: 500 }, () => pace.waitMs(10 * ROWS_MAX))
    expect(Math.max(...waits)).toBe(250)
    clock.ms += 251
    expect(pace.waitMs(10 * ROWS_MAX)).toBeLessThan(250)
  })
})

test('the spool lets requests wait their turn only while much waits for a store that takes it', async () => {
  const store = memoryStore()
  const gate = { open: Promise.resolve() }
  const insert: typeof store.insert = async (block, signal) => {
    await gate.open
    await store.insert(block, signal)
  }
  const life = await live(memoryDisk(), { store, delivery: { insert }, limits: { rowsMax: 10 } })
  const { spool } = life
  const ids: string[] = []
  for (let i = 0; i < 3; i += 1) {
    ids.push(...(await life.accept(5)))
    await vi.waitUntil(() => spool.status().rows === 0)
  }
  const turns = () =>
    [spool.turn(), spool.turn(), spool.turn()].filter((turn) => turn !== undefined)
  expect(turns()).toEqual([])

  const { promise, resolve } = Promise.withResolvers<undefined>()
  gate.open = promise.then(() => undefined)
  for (let i = 0; i < 20; i += 1) ids.push(...(await life.accept(100)))
  const waiting = turns()
  expect(waiting.length).toBeGreaterThan(0)
  await Promise.all(waiting)

  resolve(undefined)
  await vi.waitUntil(() => spool.status().rows === 0)
  expect(turns()).toEqual([])
  await life.end()
  expect(notOnce(store, ids)).toEqual([])
})

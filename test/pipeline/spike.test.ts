import { describe, expect, test } from 'vitest'
import type { Occurrence } from '../../src/occurrence.ts'
import type { Outcome } from '../../src/outcome.ts'
import { createPipeline } from '../../src/pipeline/pipeline.ts'
import { createSpikeGuard } from '../../src/pipeline/spike.ts'
import { Refusal } from '../../src/refusal.ts'
import { encodeRows } from '../../src/store/rows.ts'
import { aGrouping, anOccurrence } from '../support/occurrence.ts'

const NOW_MS = Date.UTC(2026, 10, 26, 12)

describe('of one issue of an app', () => {
  test('the first events of each minute are kept, and no more', () => {
    const { keeps } = createSpikeGuard()
    const kept = (nowMs: number) =>
      Array.from({ length: 20 }, () => keeps('a', 'i', 5, nowMs)).filter(Boolean).length
    expect(kept(NOW_MS)).toBe(5)
    expect(kept(NOW_MS + 59_999)).toBe(0)
    expect(kept(NOW_MS + 60_000)).toBe(5)
  })

  test('a flood leaves other issues, and the same issue of another app, alone', () => {
    const { keeps } = createSpikeGuard()
    for (let i = 0; i < 1_000; i++) keeps('a', 'flood', 1, NOW_MS)
    expect(keeps('a', 'flood', 1, NOW_MS)).toBe(false)
    expect(keeps('a', 'other', 1, NOW_MS)).toBe(true)
    expect(keeps('b', 'flood', 1, NOW_MS)).toBe(true)
  })

  test('memory is bounded: what is beyond it is kept, what is counted stays counted', () => {
    const { keeps } = createSpikeGuard(2)
    for (const issue of ['one', 'two']) expect(keeps('a', issue, 1, NOW_MS)).toBe(true)
    for (let i = 0; i < 5; i++) expect(keeps('a', 'three', 1, NOW_MS)).toBe(true)
    expect(keeps('a', 'one', 1, NOW_MS)).toBe(false)
  })
})

/** The half of the pipeline before the yes, before a spool in memory. */
function aPipeline() {
  const rows: string[] = []
  const ends: [Outcome, number][] = []
  const state = { isFull: false }
  const { accept } = createPipeline({
    scrub: (occurrence) => occurrence,
    symbolicate: (occurrence) => occurrence,
    group: (occurrence) => ({ ...aGrouping(occurrence), fingerprint: occurrence.message }),
    encode: encodeRows,
    giveBack: () => undefined,
    append: async (parcel) => {
      await Promise.resolve()
      if (state.isFull) throw new Refusal('overloaded', 'The spool is full.')
      rows.push(...parcel.rows.map(({ id }) => id))
    },
    retentionMs: () => 86_400_000,
    spikes: createSpikeGuard(),
    here: () => undefined,
    kept: () => undefined,
    outcome: (_appId, _protocol, outcome, count) => ends.push([outcome, count]),
    stage: () => undefined,
    nowMs: () => NOW_MS,
  })
  const of = (message: string, count: number, timestampMs = NOW_MS): Occurrence[] =>
    Array.from({ length: count }, () =>
      anOccurrence({ id: crypto.randomUUID(), message, timestampMs }),
    )
  return { accept, of, rows, ends, state }
}

const SPIKE = { kind: 'dropped', reason: 'spike' }

describe('the pipeline', () => {
  test('drops what floods, after the rest is safe, and counts each of it once', async () => {
    const { accept, of, rows, ends } = aPipeline()
    const [calm, flood] = [of('calm', 2), of('flood', 30)]
    await accept([...flood.slice(0, 15), ...calm, ...flood.slice(15)], { eventsPerMinute: 10 })
    expect(rows).toEqual([...flood.slice(0, 10), ...calm].map(({ id }) => id))
    expect(ends).toEqual([[SPIKE, 20]])
    await accept(of('flood', 3), { eventsPerMinute: 10 })
    expect(rows).toHaveLength(12)
    expect(ends).toEqual([
      [SPIKE, 20],
      [SPIKE, 3],
    ])
  })

  test('drops nothing of an app that does not ask for it', async () => {
    const { accept, of, rows, ends } = aPipeline()
    await accept(of('flood', 500))
    expect([rows.length, ends]).toEqual([500, []])
  })

  test('tells a flood from what is too old', async () => {
    const { accept, of, ends } = aPipeline()
    const old = of('flood', 4, NOW_MS - 86_400_001)
    await accept([...old, ...of('flood', 3)], { eventsPerMinute: 1 })
    expect(ends).toEqual([
      [{ kind: 'dropped', reason: 'expired' }, 4],
      [SPIKE, 2],
    ])
  })

  test('counts nothing of a request that could not be kept: its events come again as the first', async () => {
    const { accept, of, rows, ends, state } = aPipeline()
    const events = of('flood', 8)
    state.isFull = true
    await expect(accept(events, { eventsPerMinute: 5 })).rejects.toThrow(Refusal)
    expect(ends).toEqual([])
    state.isFull = false
    await accept(events, { eventsPerMinute: 5 })
    expect(rows).toEqual(events.slice(0, 5).map(({ id }) => id))
    expect(ends).toEqual([[SPIKE, 3]])
  })

  test('lets an app scrub behind what is scrubbed for all', async () => {
    const { accept, of, rows } = aPipeline()
    const seen: string[] = []
    const scrub = (occurrence: Occurrence) => {
      seen.push(occurrence.message)
      return occurrence
    }
    await accept(of('mine', 2), { scrub })
    expect([rows.length, seen]).toEqual([2, ['mine', 'mine']])
  })
})

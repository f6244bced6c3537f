import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { openFolderSpool } from '../../../src/node/spool/open.ts'
import { createStream } from '../../../src/node/spool/stream.ts'
import { deliveryTo, memoryStore } from '../../support/memory-store.ts'
import { anOccurrence } from '../../support/occurrence.ts'
import { LIMITS, parcelOf } from './living.ts'

/** A stream with a clock of its own: `seconds` of 10 requests with 100 rows each. */
function streaming(seconds: number) {
  const clock = { ms: 500 }
  const stream = createStream(() => clock.ms)
  for (let request = 0; request < seconds * 10; request += 1) {
    stream.kept(100)
    clock.ms += 100
  }
  return { clock, stream }
}

test('rows that come second after second are a stream while the next ones come', async () => {
  const { stream } = streaming(3)
  const [first, second] = [stream.goesOn(), stream.goesOn()]
  stream.kept(1)
  expect(await Promise.all([first, second])).toEqual([true, true])
})

test('a stream that has ended is none, for those who come behind it', async () => {
  const { clock, stream } = streaming(7)
  expect(await stream.goesOn()).toBe(false)
  clock.ms += 3_000
  expect(stream.goesOn()).toBeUndefined()
  stream.kept(1_000)
  expect(stream.goesOn()).toBeUndefined()
})

test('a burst is no stream, nor are few rows', () => {
  for (const { stream } of [streaming(1), streaming(0)]) {
    stream.kept(100_000)
    expect(stream.goesOn()).toBeUndefined()
  }
  const clock = { ms: 0 }
  const few = createStream(() => clock.ms)
  for (let request = 0; request < 100; request += 1) {
    few.kept(40)
    clock.ms += 100
  }
  expect(few.goesOn()).toBeUndefined()
})

test('a spool knows the stream that it takes', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'error-ingestor-stream-'))
  const spool = await openFolderSpool(join(folder, 'spool'), deliveryTo(memoryStore()), LIMITS)
  const accept = (count: number) =>
    spool.append(parcelOf(Array.from({ length: count }, () => anOccurrence())))
  vi.useFakeTimers({ toFake: ['performance'] })
  try {
    for (let second = 0; second < 7; second += 1) {
      await accept(600)
      vi.advanceTimersByTime(1_000)
    }
    const asked = spool.streams()
    await accept(1)
    expect(await asked).toBe(true)
    expect(await spool.streams()).toBe(false)
  } finally {
    vi.useRealTimers()
    await spool.close()
    await rm(folder, { recursive: true })
  }
})

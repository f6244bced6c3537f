import { expect, test, vi } from 'vitest'
import { encodeSegmentHeader, SEGMENT_HEADER_BYTES } from '../../../src/node/spool/frame.ts'
import { readFrames, segmentName } from '../../../src/node/spool/segment.ts'
import { memoryDisk, type MemoryDisk } from '../../support/memory-disk.ts'
import { memoryStore } from '../../support/memory-store.ts'
import { anOccurrence } from '../../support/occurrence.ts'
import { live, notOnce } from './living.ts'

async function bytesOf(disk: MemoryDisk, name: string): Promise<Buffer> {
  const file = await disk.open(name)
  return file.read(0, await file.size())
}

async function put(disk: MemoryDisk, name: string, bytes: Buffer): Promise<void> {
  await disk.remove(name)
  const file = await disk.create(name)
  await file.write([bytes], 0)
  await file.close()
}

async function flip(disk: MemoryDisk, name: string, at: number): Promise<void> {
  const bytes = await bytesOf(disk, name)
  bytes[at] = (bytes[at] ?? 0) ^ 4
  await put(disk, name, bytes)
}

/** A folder with frames of 3, 4, 5 … rows that nobody has delivered, and the ids of each. */
async function folder(frames: number, limits = {}) {
  const disk = memoryDisk()
  const life = await live(disk, { delivers: false, limits })
  const batches: (readonly string[])[] = []
  const ends: number[] = []
  for (let i = 0; i < frames; i += 1) {
    batches.push(await life.accept(3 + i))
    const segments = disk.names().filter((name) => name.startsWith('segment-'))
    ends.push((await bytesOf(disk, segments.at(-1) ?? '')).length)
  }
  await life.spool.close()
  return { disk, batches, ends }
}

/** Delivers what the folder still holds; ends when nothing waits. */
async function delivered(disk: MemoryDisk, limits = {}) {
  const store = memoryStore()
  const life = await live(disk, { store, limits })
  const fresh = await life.accept(2) // What comes after the damage is taken as ever.
  await life.end()
  expect(notOnce(store, fresh)).toEqual([])
  expect(life.bugs).toEqual([])
  const entries = disk.names().filter((name) => name.startsWith('damaged/rows-'))
  return { store, life, damagedRows: life.spool.status().damagedRows, entries }
}

const FIRST = segmentName(1)

test.each([
  ['its payload', 60],
  ['its header', 5],
])(
  'a frame with a flipped bit in %s is kept aside and counted, its neighbours are stored',
  async (_, at) => {
    const { disk, batches, ends } = await folder(3)
    await flip(disk, FIRST, (ends[0] ?? 0) + at)
    const { store, damagedRows, entries } = await delivered(disk)
    expect(notOnce(store, [...(batches[0] ?? []), ...(batches[2] ?? [])])).toEqual([])
    expect((batches[1] ?? []).filter((id) => store.counts().has(id))).toEqual([])
    expect(damagedRows).toBe(4)
    expect(entries).toEqual(['damaged/rows-3-4'])
    expect(disk.names()).toContain(`damaged/${FIRST}-${ends[0]}-${ends[1]}`)
  },
)

test('a flipped bit in the header of a segment costs no row', async () => {
  const { disk, batches } = await folder(3)
  await flip(disk, FIRST, 9)
  const { store, damagedRows, life } = await delivered(disk)
  expect(notOnce(store, batches.flat())).toEqual([])
  expect(damagedRows).toBe(0)
  expect(life.said).toContain('the spool is damaged: a segment without its header')
})

test.each([0.5, 0.02])(
  'of a segment cut to %d of its bytes the whole frames are stored, the rest is counted',
  async (share) => {
    const { disk, batches, ends } = await folder(6)
    const length = Math.floor((ends.at(-1) ?? 0) * share)
    await put(disk, FIRST, (await bytesOf(disk, FIRST)).subarray(0, length))
    const { store, damagedRows } = await delivered(disk)
    const whole = batches.filter((_, i) => (ends[i] ?? 0) <= length).flat()
    expect(notOnce(store, whole)).toEqual([])
    expect(damagedRows).toBe(batches.flat().length - whole.length)
  },
)

test('damage is counted once, however often the folder is read again', async () => {
  const { disk, ends } = await folder(3)
  await flip(disk, FIRST, (ends[0] ?? 0) + 60)
  for (let times = 0; times < 3; times += 1) {
    const life = await live(disk, { delivers: false })
    await life.spool.close()
    const again = memoryStore()
    again.fail = () => 'before'
    const trying = await live(disk, { store: again, graceMs: 1 })
    await vi.waitUntil(() => trying.spool.status().damagedRows > 0)
    expect(trying.spool.status().damagedRows).toBe(4)
    await trying.end()
  }
})

test('a segment that is damaged while the process runs does not stop delivery or the stop', async () => {
  const disk = memoryDisk()
  const store = memoryStore()
  const life = await live(disk, {
    store,
    delivers: false,
    graceMs: 5_000,
  })
  await life.accept(2)
  const end = (await bytesOf(disk, FIRST)).length
  await life.accept(5) // The last frame there is.
  const live2 = await disk.open(FIRST)
  const [byte = 0] = await live2.read(end + 50, 1)
  await live2.write([Buffer.from([byte ^ 1])], end + 50)
  const startedMs = performance.now()
  await life.end()
  expect(performance.now() - startedMs).toBeLessThan(4_000)
  expect(life.spool.status()).toMatchObject({ damagedRows: 5, rows: 0 })
  expect(store.counts().size).toBe(2)
})

test('reading frames of a file that became shorter ends, and tells what is missing', async () => {
  const { disk, ends } = await folder(2)
  const [first = 0, second = 0] = ends
  for (const left of [1, 20, 31, 33, 60]) {
    const bytes = (await bytesOf(disk, FIRST)).subarray(0, first + left)
    await put(disk, 'cut', bytes)
    const parts: string[] = []
    for await (const part of readFrames(await disk.open('cut'), 1, SEGMENT_HEADER_BYTES, second)) {
      parts.push(`${part.kind} ${part.at}-${part.end}`)
      expect(parts.length).toBeLessThan(5)
    }
    expect(parts[0]).toBe(`frame ${SEGMENT_HEADER_BYTES}-${first}`)
    expect(parts.at(-1)).toMatch(new RegExp(`^damage .*-${second}$`))
  }
})

test('a segment of a newer version waits, is told, and is never deleted', async () => {
  const { disk, batches } = await folder(1)
  const header = encodeSegmentHeader({ segment: 2, ordinal: 3, createdAtMs: Date.now() })
  header.writeUInt8(2, 7)
  const { crc32 } = await import('node:zlib')
  header.writeUInt32LE(crc32(header.subarray(0, 28)), 28)
  const newer = Buffer.concat([header, Buffer.from('what only the future can read')])
  await put(disk, segmentName(2), newer)
  for (let times = 0; times < 2; times += 1) {
    const { life } = await delivered(disk)
    expect(life.said).toContain(
      'a segment of the spool was written by a newer version: it waits for that',
    )
    expect((await bytesOf(disk, segmentName(2))).equals(newer)).toBe(true)
  }
  expect(batches.flat()).toHaveLength(3)
})

test.each([
  'segment-0000000001.log',
  'segment-0000000007.log',
  'segment-9999999999.log',
  'segment-4294967295.log',
])('garbage in %s is set aside, not deleted, and costs nothing', async (name) => {
  const { disk, batches } = await folder(1, { segmentBytes: 1 })
  const real = name === FIRST ? segmentName(5) : name
  const garbage = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 7919) % 251))
  await put(disk, real, garbage)
  const { store, damagedRows } = await delivered(disk)
  expect(notOnce(store, batches.flat())).toEqual([])
  expect(damagedRows).toBe(0)
  expect((await bytesOf(disk, `damaged/${real}`)).equals(garbage)).toBe(true)
  // The folder is as good as before for the process that comes next.
  const { store: later } = await delivered(disk)
  expect(later.counts().size).toBe(2)
})

test.each([
  'seals-9999999999.log',
  'seals-0000000003.log',
  'end',
  'reserve',
  'damaged/rows-x',
  'notes.txt',
])('garbage in %s neither loses nor doubles a row', async (name) => {
  const { disk, batches } = await folder(2)
  await put(disk, name, Buffer.alloc(5_000, 0xa7))
  const store = memoryStore()
  for (let times = 0; times < 3; times += 1) {
    const life = await live(disk, { store })
    await life.end()
    expect(life.bugs).toEqual([])
  }
  expect(notOnce(store, batches.flat())).toEqual([])
})

test('a flipped bit in the log of seals loses and doubles nothing, and tells no damage', async () => {
  const disk = memoryDisk()
  const store = memoryStore()
  const limits = { segmentBytes: 1_000, rowsMax: 2 }
  const ids: string[] = []
  const first = await live(disk, { store, limits })
  for (let i = 0; i < 12; i += 1) {
    ids.push(...(await first.accept(2)))
    await vi.waitUntil(() => first.spool.status().rows === 0)
  }
  await first.end()
  const waiting = await live(disk, { delivers: false, limits })
  ids.push(...(await waiting.accept(4)))
  await waiting.spool.close()
  const log = disk.names().find((name) => name.startsWith('seals-')) ?? ''
  const whole = await bytesOf(disk, log)
  for (let at = 0; at < whole.length; at += 3) {
    const copy = disk.afterCrash(() => 0.9)
    await flip(copy, log, at)
    const life = await live(copy, { store, limits })
    if (at > 0 && at < whole.length - 60) expect(life.said.join()).toContain('is damaged')
    await life.end()
    expect(life.spool.status().damagedRows).toBe(0)
  }
  expect(notOnce(store, ids)).toEqual([])
})

test('a large file of garbage in the place of the log of seals is set aside at once', async () => {
  const { disk, batches } = await folder(2)
  let state = 7
  const garbage = Buffer.from(
    Uint8Array.from({ length: 4_000_000 }, () => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
      return state >>> 24
    }),
  )
  await put(disk, 'seals-0000000077.log', garbage)
  const startedMs = performance.now()
  const { store } = await delivered(disk)
  expect(performance.now() - startedMs).toBeLessThan(3_000)
  expect(notOnce(store, batches.flat())).toEqual([])
  expect((await bytesOf(disk, 'damaged/seals-0000000077.log')).equals(garbage)).toBe(true)
})

test('garbage that is marked to be sent again is set aside, and the others are sent', async () => {
  const { disk } = await folder(1)
  await put(disk, 'undeliverable/a.json.retry', Buffer.from('garbage'))
  await put(disk, 'undeliverable/b.json.retry', Buffer.from('{"at":1}'))
  const occurrence = anOccurrence()
  const kept = { at: new Date().toISOString(), error: 'refused', occurrence }
  await put(disk, 'undeliverable/c.json.retry', Buffer.from(JSON.stringify(kept)))
  const store = memoryStore()
  const life = await live(disk, { store })
  await life.spool.tend()
  await life.end()
  expect(store.counts().get(occurrence.id)).toBe(1)
  expect(disk.names().filter((name) => name.includes('.retry'))).toEqual([
    'damaged/a.json.retry',
    'damaged/b.json.retry',
  ])
})

test('a frame that is damaged between its judgement and its insert costs itself alone', async () => {
  const disk = memoryDisk()
  const store = memoryStore()
  let inserts = 0
  let damage = () => Promise.resolve()
  const life = await live(disk, {
    store,
    delivers: false,
    delivery: {
      insert: async (block, signal) => {
        inserts += 1
        if (inserts === 1) await damage()
        await store.insert(block, signal)
      },
    },
  })
  const first = await life.accept(2)
  const start = (await bytesOf(disk, FIRST)).length
  const spoilt = await life.accept(3)
  const last = await life.accept(4)
  damage = () => flip(disk, FIRST, start + 60)
  await life.end()
  expect(notOnce(store, [...first, ...last])).toEqual([])
  expect(spoilt.some((id) => store.counts().has(id))).toBe(false)
  expect(life.spool.status()).toMatchObject({ damagedRows: 3, rows: 0 })
  expect(life.bugs).toEqual([])
})

test.each([
  ['the frames of both', [0, 1]],
  ['the frame of the first', [0]],
  ['the frame of the second', [1]],
])(
  'all that is missing is told where of two windows that were on their way at a kill %s came to harm',
  async (_, spoilt) => {
    const disk = memoryDisk()
    let inserts = 0
    const limits = { rowsMax: 4 }
    const insert = (_block: unknown, signal: AbortSignal) => {
      inserts += 1
      return new Promise<never>((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          reject(new Error('killed'))
        })
      })
    }
    const first = await live(disk, { limits, delivers: false, delivery: { insert }, graceMs: 500 })
    const batches: (readonly string[])[] = []
    const starts = [SEGMENT_HEADER_BYTES]
    for (let i = 0; i < 3; i += 1) {
      batches.push(await first.accept(4))
      starts.push((await bytesOf(disk, FIRST)).length)
    }
    await first.end().catch(() => undefined)
    expect(inserts).toBe(2)
    for (const i of spoilt) await flip(disk, FIRST, (starts[i] ?? 0) + 60)

    const { store, damagedRows, entries } = await delivered(disk, limits)
    const isSpoilt = (_ids: readonly string[], i: number) => spoilt.includes(i)
    const whole = batches.filter((ids, i) => !isSpoilt(ids, i)).flat()
    expect(notOnce(store, whole)).toEqual([])
    expect(batches.filter(isSpoilt).some((ids) => ids.some((id) => store.counts().has(id)))).toBe(
      false,
    )
    expect(damagedRows).toBe(4 * spoilt.length)
    expect(entries).toEqual(spoilt.map((i) => `damaged/rows-${4 * i}-4`))
  },
)

test('a segment whose file is gone while the process runs is told as missing, and holds up nothing', async () => {
  const disk = memoryDisk()
  const store = memoryStore()
  const life = await live(disk, { store, delivers: false, limits: { segmentBytes: 1 } })
  const lost = await life.accept(3)
  const kept = await life.accept(2)
  await disk.remove(FIRST)
  await life.end()
  expect(notOnce(store, kept)).toEqual([])
  expect(lost.some((id) => store.counts().has(id))).toBe(false)
  expect(life.spool.status()).toMatchObject({ damagedRows: 3, rows: 0 })
})

test('events of many months in one window are stored once each', async () => {
  const store = memoryStore()
  const life = await live(memoryDisk(), { store, delivers: false })
  const ids: string[] = []
  for (let month = 0; month < 30; month += 1) {
    ids.push(...(await life.accept(2, { timestampMs: Date.UTC(2000, month, 10) })))
  }
  await life.end()
  expect(notOnce(store, ids)).toEqual([])
})

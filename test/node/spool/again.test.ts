import { setTimeout as pause } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'
import { idKey } from '../../../src/pipeline/delivery.ts'
import { isStoreTrouble } from '../../../src/store/refused.ts'
import { segmentName } from '../../../src/node/spool/segment.ts'
import { memoryDisk } from '../../support/memory-disk.ts'
import { bytesOf, memoryStore } from '../../support/memory-store.ts'
import { anOccurrence } from '../../support/occurrence.ts'
import { live, notOnce, parcelOf } from './living.ts'

const refused = (code: string) => Object.assign(new Error('Refused.'), { code, type: 'NAME' })
const isContentRefusal = (error: unknown) =>
  error instanceof Error && 'code' in error && error.code === '469'

/** A store that refuses blocks with a poisonous row, in the words of ClickHouse. */
function choosyStore(code: string, store = memoryStore()) {
  const poison = new Set<string>()
  const insert: typeof store.insert = async (block, signal) => {
    const bytes = await bytesOf(block.body)
    const text = bytes.toString('latin1')
    if ([...poison].some((message) => text.includes(message))) throw refused(code)
    await store.insert({ ...block, body: [bytes] }, signal)
  }
  return { store, poison, insert }
}

/** Retries without their pauses. */
const noPause = { random: () => -0.999 }

test.each([
  ['a code that speaks against the content', '469'],
  ['a code that nobody knows', '99999'],
])(
  'rows refused with %s are kept aside alone, their neighbours are stored once',
  async (_, code) => {
    const { store, poison, insert } = choosyStore(code)
    poison.add('poison')
    const disk = memoryDisk()
    const life = await live(disk, { store, delivery: { insert, isContentRefusal, ...noPause } })
    const good = await life.accept(20)
    const bad = await life.accept(2, { message: 'poison' })
    const more = [...(await life.accept(20))]
    // A row alone is given up only while others are taken.
    const left = () => disk.names().filter((name) => name.startsWith('undeliverable/')).length < 2
    while (left()) {
      more.push(...(await life.accept(1)))
      await pause(20)
    }
    await vi.waitUntil(() => life.spool.status().rows === 0, { timeout: 20_000 })
    expect(notOnce(store, [...good, ...more])).toEqual([])
    const kept = disk.names().filter((name) => name.startsWith('undeliverable/'))
    expect(kept.map((name) => name.slice(-41, -5)).sort()).toEqual([...bad].sort())
    await life.end()
  },
)

test('a row is not given up because the store fails with its own troubles after it took others', async () => {
  const { store, poison, insert: choosy } = choosyStore('469')
  poison.add('poison')
  let [inserts, isIll] = [0, false]
  const insert: typeof store.insert = async (block, signal) => {
    inserts += 1
    const before = store.counts().size
    if (isIll) throw refused('241') // MEMORY_LIMIT_EXCEEDED
    await choosy(block, signal)
    // It takes the first half, and then nothing for a while.
    isIll = before === 0
  }
  const disk = memoryDisk()
  const delivery = { insert, isContentRefusal, ...noPause }
  const life = await live(disk, { store, delivers: false, delivery })
  const good = [anOccurrence(), anOccurrence(), anOccurrence()]
  await life.spool.append(
    parcelOf([...good.slice(0, 2), anOccurrence({ message: 'poison' }), ...good.slice(2)]),
  )
  const ended = life.end()
  await vi.waitUntil(() => inserts > 60)
  isIll = false
  await ended
  const ids = good.map(({ id }) => id)
  expect(notOnce(store, ids)).toEqual([])
  expect(life.spool.status().undeliverable).toBe(1)
})

test('a store with too many parts gets the same block again, whole, until it takes it', async () => {
  const store = memoryStore()
  const sizes: number[] = []
  const insert: typeof store.insert = async (block, signal) => {
    sizes.push(block.rows)
    if (sizes.length <= 30) throw refused('252')
    await store.insert(block, signal)
  }
  const delivery = { insert, isContentRefusal, isStoreTrouble, ...noPause }
  const life = await live(memoryDisk(), { store, delivers: false, delivery })
  const good = await life.accept(20)
  await life.end()
  expect(notOnce(store, good)).toEqual([])
  // No smaller block was tried: each would be one part more.
  expect(new Set(sizes)).toEqual(new Set([20]))
  expect(sizes).toHaveLength(31)
})

test('an undeliverable row that is marked is sent again, once, also after a restart', async () => {
  const { store, poison, insert } = choosyStore('469')
  poison.add('poison')
  const disk = memoryDisk()
  const options = { store, delivery: { insert, isContentRefusal, ...noPause } }
  const first = await live(disk, options)
  const occurrence = anOccurrence({ message: 'poison' })
  await first.spool.append(parcelOf([occurrence]))
  await vi.waitUntil(() => first.spool.status().undeliverable === 1)
  await first.end()

  poison.clear()
  const [name = ''] = disk.names().filter((each) => each.startsWith('undeliverable/'))
  await disk.rename(name, `${name}.retry`)
  const second = await live(disk, options)
  await second.spool.tend()
  await vi.waitUntil(() => store.counts().get(occurrence.id) === 1)
  expect(disk.names().filter((each) => each.startsWith('undeliverable/'))).toEqual([])
  // A resend by its client is no reason to store it twice, were it not known to the store either.
  await second.spool.append(parcelOf([anOccurrence(), occurrence]))
  await second.end()
  expect(store.counts().get(occurrence.id)).toBe(1)
})

test('what is kept aside of one user goes, also what is marked to be sent again, and nothing else', async () => {
  const { store, poison, insert } = choosyStore('469')
  poison.add('poison')
  const disk = memoryDisk()
  const life = await live(disk, { store, delivery: { insert, isContentRefusal, ...noPause } })
  const of = (userId: string | null) => anOccurrence({ message: 'poison', userId })
  const [ada, bob, nobody] = [of('ada'), of('bob'), of(null)]
  const marked = of('ada')
  await life.spool.append(parcelOf([ada, bob, nobody, marked]))
  await vi.waitUntil(() => life.spool.status().undeliverable === 4, { timeout: 20_000 })
  const aside = () => disk.names().filter((name) => name.startsWith('undeliverable/'))
  const name = aside().find((each) => each.includes(marked.id)) ?? ''
  await disk.rename(name, `${name}.retry`)
  const before = bob.receivedAtMs + 1
  const fits = ({ userId, receivedAtMs }: { userId: string | null; receivedAtMs: number }) =>
    userId === 'ada' && receivedAtMs < before
  expect(await life.spool.dropAside(fits)).toBe(2)
  expect(await life.spool.dropAside(fits)).toBe(0)
  expect(
    aside()
      .map((each) => each.slice(-41, -5))
      .sort(),
  ).toEqual([bob.id, nobody.id].sort())
  expect(life.spool.status().undeliverable).toBe(2)
  await life.end()
  expect(store.counts().get(ada.id)).toBeUndefined()
})

test('of a sealed window with a damaged frame the rest is sent, also in the same process', async () => {
  const disk = memoryDisk()
  const store = memoryStore()
  let away = true
  const insert: typeof store.insert = async (block, signal) => {
    if (away) throw new Error('ClickHouse is away.')
    await store.insert(block, signal)
  }
  const life = await live(disk, { store, delivers: false, delivery: { insert }, graceMs: 300 })
  const [a, b, c] = [await life.accept(3), await life.accept(4), await life.accept(5)]
  await life.end() // Sealed, and not delivered.
  const segment = await disk.open(segmentName(1))
  const size = await segment.size()
  const [byte = 0] = await segment.read(Math.floor(size * 0.4), 1)
  await segment.write([Buffer.from([byte ^ 1])], Math.floor(size * 0.4))
  // What its insert left behind: the first batch, which only the table itself tells.
  const occurrences = a.map((id) => anOccurrence({ id }))
  const { batch } = parcelOf(occurrences)
  await store.insert(
    { format: batch.format, body: [batch.bytes], token: 'x', rows: 3 },
    AbortSignal.timeout(1_000),
  )

  away = false
  const asked: string[] = []
  const next = await live(disk, {
    store,
    delivery: {
      insert,
      knownIds: () => Promise.resolve(new Set()),
      storedIds: (rows) => {
        asked.push(...rows.map(({ id }) => id))
        return Promise.resolve(new Set(rows.filter(({ id }) => store.counts().has(id)).map(idKey)))
      },
    },
  })
  await vi.waitUntil(() => next.spool.status().rows === 0)
  await next.end()
  expect(next.spool.status().damagedRows).toBe(4)
  expect(notOnce(store, [...a, ...c])).toEqual([])
  expect(b.filter((id) => store.counts().has(id))).toEqual([])
  // Of those that are lost too: the insert may have stored them, and a resend would double them.
  expect(asked).toEqual([...b, ...a, ...c])
  // The seal is closed: the next process finds nothing to send.
  const last = await live(disk, { store, delivers: false })
  expect(last.spool.status().rows).toBe(0)
  await last.end()
})

test('net 1: a block whose answer was lost is stored once, as its token is the same after a restart', async () => {
  const disk = memoryDisk()
  const store = memoryStore()
  // Nothing else may catch it: neither what the process remembers nor what the store knows.
  const blind = {
    recent: { add: () => true },
    knownIds: () => Promise.resolve(new Set<string>()),
  }
  store.fail = () => 'after'
  const first = await live(disk, { store, delivery: blind, graceMs: 200 })
  const ids = await first.accept(7)
  await vi.waitUntil(() => notOnce(store, ids).length === 0)
  await first.end()
  store.fail = () => 'no'
  const second = await live(disk, { store, delivery: blind })
  const more = await second.accept(2)
  await second.end()
  expect(notOnce(store, [...ids, ...more])).toEqual([])
})

test('net 2: a resend to the same process is not stored again, though the store does not know it yet', async () => {
  const store = memoryStore()
  const delivery = { knownIds: () => Promise.resolve(new Set<string>()) }
  const life = await live(memoryDisk(), { store, delivery })
  const occurrences = [anOccurrence(), anOccurrence(), anOccurrence()]
  await life.spool.append(parcelOf(occurrences))
  await vi.waitUntil(() => life.spool.status().rows === 0)
  await life.spool.append(parcelOf([anOccurrence(), ...occurrences.slice(1)]))
  await life.spool.append(parcelOf(occurrences.slice(2)))
  await life.end()
  expect([...store.counts().values()]).toEqual([1, 1, 1, 1])
})

test('net 3: a resend to another process is not stored again where the store knows it', async () => {
  const store = memoryStore()
  const [a, b] = [await live(memoryDisk(), { store }), await live(memoryDisk(), { store })]
  const occurrences = [anOccurrence(), anOccurrence()]
  await a.spool.append(parcelOf(occurrences))
  await vi.waitUntil(() => a.spool.status().rows === 0)
  await b.spool.append(parcelOf([...occurrences, anOccurrence()]))
  await Promise.all([a.end(), b.end()])
  expect([...store.counts().values()]).toEqual([1, 1, 1])
})

test('a block that waited over half a minute has its doubles looked for, whatever the clock does', async () => {
  const store = memoryStore()
  const told: string[] = []
  let offsetMs = 0
  const real = performance.now.bind(performance)
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => real() + offsetMs)
  try {
    const life = await live(memoryDisk(), {
      store,
      delivery: {
        nowMs: () => Date.now() - offsetMs * 100, // A clock that jumps back.
        insert: async (block, signal) => {
          offsetMs += 31_000
          await store.insert(block, signal)
        },
        recordDoubles: (rows) => {
          told.push(...rows.map(idKey))
          return Promise.resolve()
        },
      },
    })
    await life.accept(2)
    await life.end()
  } finally {
    clock.mockRestore()
  }
  expect(told).toHaveLength(2)
})

test('a window that ends while another one fails is not sent again', async () => {
  const disk = memoryDisk()
  const { store, poison, insert } = choosyStore('469')
  poison.add('poison')
  const slow = Promise.withResolvers<undefined>()
  let isDiskBad = true
  let counted = 0
  const failing = {
    ...disk,
    create: (name: string) =>
      isDiskBad && name.startsWith('undeliverable/')
        ? Promise.reject(Object.assign(new Error('EIO'), { code: 'EIO', syscall: 'open' }))
        : disk.create(name),
  }
  let inserts = 0
  const life = await live(failing, {
    store,
    delivers: false,
    limits: { rowsMax: 2, segmentBytes: 1, windowsMax: 3 },
    delivery: {
      isContentRefusal,
      ...noPause,
      insert: async (block, signal) => {
        inserts += 1
        if (inserts === 1) await slow.promise
        await insert(block, signal)
      },
      delivered: (ends) => {
        for (const { outcome, count } of ends) if (outcome.kind === 'stored') counted += count
      },
    },
  })
  const good = await life.accept(2)
  await life.accept(2, { message: 'poison' })
  const ended = life.end()
  await vi.waitUntil(() => life.bugs.length > 0) // The second window failed to be set aside.
  // Until delivery has begun anew: the first window ends only then.
  await new Promise((resolve) => setTimeout(resolve, 1_300))
  slow.resolve(undefined)
  isDiskBad = false
  await ended
  expect(notOnce(store, good)).toEqual([])
  expect(counted).toBe(2)
  expect(life.spool.status()).toMatchObject({ damagedRows: 0, undeliverable: 2 })
})

test('nothing is written to the folder after it was let go of, whenever the store answers', async () => {
  const disk = memoryDisk()
  const store = memoryStore()
  const answer = Promise.withResolvers<undefined>()
  let isAsked = false
  let judged = 0
  const life = await live(disk, {
    store,
    graceMs: 20,
    limits: { rowsMax: 3 },
    delivery: {
      // The second window is still being judged when the time is over.
      knownIds: (_rows, signal) =>
        new Promise((resolve, reject) => {
          judged += 1
          if (judged === 1) resolve(new Set())
          else signal.addEventListener('abort', () => reject(new Error('aborted')))
        }),
      insert: async (block, signal) => {
        isAsked = true
        signal.addEventListener('abort', () => setTimeout(() => answer.resolve(undefined), 100))
        await answer.promise
        await store.insert(block, signal)
      },
    },
  })
  const ids = await life.accept(3)
  await vi.waitUntil(() => isAsked)
  await life.accept(3)
  await vi.waitUntil(() => judged === 2)
  await life.end()
  const operations = disk.operations()
  await vi.waitUntil(() => notOnce(store, ids).length === 0)
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect(disk.operations()).toBe(operations)
})

test('rows that come while the file before them is being closed are delivered and counted once', async () => {
  const disk = memoryDisk()
  let atClose: (() => Promise<unknown>) | undefined
  // The first frames of a folder are read from disk, and so are those behind a new segment.
  const open: typeof disk.open = async (name) => {
    const file = await disk.open(name)
    return {
      ...file,
      async close() {
        const once = name === segmentName(1) ? atClose : undefined
        if (once !== undefined) atClose = undefined
        await once?.()
        await file.close()
      },
    }
  }
  const store = memoryStore()
  const ended = new Map<string, number>()
  const life = await live(
    { ...disk, open },
    {
      store,
      delivery: {
        delivered: (ends) => {
          for (const { outcome, count } of ends) {
            ended.set(outcome.kind, (ended.get(outcome.kind) ?? 0) + count)
          }
        },
      },
    },
  )
  let more: readonly string[] = []
  atClose = async () => {
    more = await life.accept(3)
  }
  const ids = await life.accept(5)
  await vi.waitUntil(() => more.length === 3 && life.spool.status().rows === 0)
  const last = await life.accept(2)
  await life.end()
  expect(notOnce(store, [...ids, ...more, ...last])).toEqual([])
  expect(Object.fromEntries(ended)).toEqual({ stored: 10 })
})

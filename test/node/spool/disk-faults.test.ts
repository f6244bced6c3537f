import { expect, test, vi } from 'vitest'
import type { Disk, DiskFile } from '../../../src/node/spool/disk.ts'
import { memoryDisk } from '../../support/memory-disk.ts'
import { memoryStore } from '../../support/memory-store.ts'
import { live, notOnce } from './living.ts'

const ioError = (code: string) => Object.assign(new Error(code), { code, syscall: 'write' })

/** A disk whose operations can be made to fail, and that counts the files that are open. */
function faultyDisk(inner: Disk = memoryDisk()) {
  let open = 0
  const faults = { write: '', create: '', remove: '', note: '', sync: '' }
  const fail = (what: keyof typeof faults) => {
    if (faults[what] !== '') throw ioError(faults[what])
  }
  const counted = (file: DiskFile): DiskFile => {
    open += 1
    return {
      ...file,
      async write(pieces, at) {
        fail('write')
        await file.write(pieces, at)
      },
      async close() {
        open -= 1
        await file.close()
      },
    }
  }
  const disk: Disk = {
    ...inner,
    async create(name) {
      fail('create')
      return counted(await inner.create(name))
    },
    open: async (name) => counted(await inner.open(name)),
    async remove(name) {
      fail('remove')
      await inner.remove(name)
    },
    async syncFolder() {
      fail('sync')
      await inner.syncFolder()
    },
    note(name, bytes) {
      fail('note')
      inner.note(name, bytes)
    },
  }
  return { disk, faults, open: () => open }
}

test('a block that cannot be sealed on a read-only disk is sent once the disk can be written again', async () => {
  const { disk, faults } = faultyDisk()
  const store = memoryStore()
  const life = await live(disk, { store, delivers: false })
  const ids = await life.accept(5)
  Object.assign(faults, { write: 'EROFS', create: 'EROFS', remove: 'EROFS' })
  const ended = life.end()
  await vi.waitUntil(() => life.said.some((text) => text.includes('cannot be sealed')))
  Object.assign(faults, { write: '', create: '', remove: '' })
  await ended
  expect(notOnce(store, ids)).toEqual([])
})

test.each([
  ['ENOSPC', 'the disk is full'],
  ['EDQUOT', 'the disk is full'],
  ['EROFS', 'the disk is read-only'],
  ['EACCES', 'the spool folder may not be written to'],
  ['ENOENT', 'the spool folder is gone'],
  ['EIO', 'the disk reports an error'],
])(
  'a write that fails with %s is a 503 with the reason, until writes work again',
  async (code, reason) => {
    const { disk, faults } = faultyDisk()
    const store = memoryStore()
    const life = await live(disk, { store })
    const before = await life.accept(1)
    Object.assign(faults, { write: code, create: code })
    await expect(life.accept(1)).rejects.toMatchObject({
      code: 'overloaded',
      message: `Events cannot be kept safe now: ${reason}. Send them again later.`,
      retryAfterSeconds: 5,
    })
    await life.spool.tend()
    expect(life.spool.status().refusing).toBe(reason)
    Object.assign(faults, { write: '', create: '' })
    await life.spool.tend()
    const after = await life.accept(1)
    await life.end()
    expect(notOnce(store, [...before, ...after])).toEqual([])
    expect(life.bugs).toEqual([])
  },
)

test('a failing disk is tried again and again without a file left open', async () => {
  const { disk, faults, open } = faultyDisk()
  const life = await live(disk)
  await life.accept(1)
  await vi.waitUntil(() => life.spool.status().rows === 0)
  const before = open()
  faults.write = 'EIO'
  await expect(life.accept(1)).rejects.toThrow('the disk reports an error')
  for (let times = 0; times < 20; times += 1) await life.spool.tend()
  expect(open()).toBeLessThanOrEqual(before)
  faults.write = ''
  await life.spool.tend()
  await life.accept(1)
  await life.end()
  expect(open()).toBe(0)
})

test('an end that cannot be noted costs a refusal, and no row that is on disk', async () => {
  const { disk, faults } = faultyDisk()
  const store = memoryStore()
  let recovered = 0
  const account = { recovered: (count: number) => (recovered += count) }
  const life = await live(disk, { store, account })
  faults.note = 'ENOSPC'
  await expect(life.accept(3)).rejects.toThrow('the disk is full')
  // They end as refused with their request, and once more as what they are on disk: so they came twice.
  expect(recovered).toBe(3)
  faults.note = ''
  await life.spool.tend()
  const ids = await life.accept(2)
  await life.end()
  expect(notOnce(store, ids)).toEqual([])
  expect(recovered).toBe(3)
  expect(life.spool.status().damagedRows).toBe(0)
  expect([...store.counts().values()].every((count) => count === 1)).toBe(true)
})

test('a full disk is a 503 until there is room again, and what was accepted is delivered meanwhile', async () => {
  const disk = memoryDisk()
  disk.setRoom(40 * 1024 * 1024)
  const store = memoryStore()
  const asked = Promise.withResolvers<ReadonlySet<string>>()
  // Not before the disk was seen to be full: what is delivered makes room at once.
  const life = await live(disk, { store, delivery: { knownIds: () => asked.promise } })
  const accepted: string[] = [...(await life.accept(10))]
  disk.setRoom(8 * 1024 * 1024)
  await expect(
    (async () => {
      for (;;) accepted.push(...(await life.accept(20)))
    })(),
  ).rejects.toMatchObject({ code: 'overloaded', retryAfterSeconds: 5 })
  await life.spool.tend()
  expect(life.spool.status().refusing).toBe('the disk is full')
  asked.resolve(new Set())
  await vi.waitUntil(() => life.spool.status().rows === 0, { timeout: 10_000 })
  disk.setRoom(400 * 1024 * 1024)
  await life.spool.tend()
  expect(life.spool.status().refusing).toBeUndefined()
  accepted.push(...(await life.accept(10)))
  await life.end()
  expect(notOnce(store, accepted)).toEqual([])
})

test('a full spool is a 503 with its size, and takes more once something is delivered', async () => {
  const store = memoryStore()
  store.fail = () => 'before'
  const life = await live(memoryDisk(), { store, limits: { bytesMax: 4_000, segmentBytes: 1_000 } })
  const accepted: string[] = []
  await expect(
    (async () => {
      for (;;) accepted.push(...(await life.accept(1)))
    })(),
  ).rejects.toThrow(/^Events cannot be kept safe now: the spool is full \(\d+ of 4000 bytes\)\./)
  // Some bytes are left, and it says all the same that it refuses, as long as somebody hears so.
  const { bytes, refusing } = life.spool.status()
  expect(bytes).toBeLessThan(4_000)
  expect(refusing).toMatch(/^the spool is full/)
  for (let second = 0; second < 29; second += 1) await life.spool.tend()
  expect(life.spool.status().refusing).toMatch(/^the spool is full/)
  await life.spool.tend()
  expect(life.spool.status().refusing).toBeUndefined()
  await expect(life.accept(1)).rejects.toThrow('the spool is full')
  store.fail = () => 'no'
  await vi.waitUntil(() => life.spool.status().rows === 0)
  expect(life.spool.status().refusing).toBeUndefined()
  accepted.push(...(await life.accept(1)))
  await life.end()
  expect(notOnce(store, accepted)).toEqual([])
})

test('a clock that jumps back for an hour does not hold up delivery', async () => {
  const store = memoryStore()
  let offsetMs = 0
  const delivery = { nowMs: () => Date.now() + offsetMs }
  const life = await live(memoryDisk(), { store, delivery, limits: { ageMsMax: 20 } })
  await life.accept(1)
  await vi.waitUntil(() => life.spool.status().rows === 0)
  offsetMs = -3_600_000
  const ids = await life.accept(1)
  await vi.waitUntil(() => notOnce(store, ids).length === 0)
  await life.end()
})

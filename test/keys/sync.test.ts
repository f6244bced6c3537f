import { expect, test, vi } from 'vitest'
import { createKeyFiles, type KeyFile } from '../../src/keys/files.ts'
import { createKeys, type Keys } from '../../src/keys/keys.ts'
import { createDigest, hintOf } from '../../src/keys/records.ts'
import { createKeySync, type FolderReading, type KeySyncDeps } from '../../src/keys/sync.ts'
import type { StoredKey } from '../../src/administration.ts'
import { makeKey } from '../../src/keys/token.ts'

const T = Date.UTC(2026, 0, 15)
const KEY = makeKey('ingest')
const UNKNOWN = makeKey('ingest')
const refusal = (code: string): unknown => expect.objectContaining({ name: 'Refusal', code })

function aStoredKey(key: string, digest: string): StoredKey {
  return {
    ...{ digest, appId: 'shop', name: '', ...hintOf(key), scopes: ['ingest'], readable: key },
    ...{ createdAtMs: T, expiresAtMs: undefined, revokedAtMs: undefined },
  }
}

/** Tables and a file in memory, which can be away. */
function aWorld(pepper = 'one pepper', more: Partial<KeySyncDeps> = {}) {
  const file: { file: string | undefined } = { file: undefined }
  const world = {
    ...file,
    nowMs: T,
    isAway: false,
    version: '1',
    asked: 0,
    loads: 0,
    said: Array<string>(),
    keys: Array<string>(),
    uses: Array<{ digest: string; usedAtMs: number }>(),
  }
  const start = (withStore = true) => {
    const digest = createDigest(pepper)
    const nowMs = () => world.nowMs
    const keys: Keys = createKeys({
      ...{ apps: [], developmentMode: false, developmentKey: '', digest, nowMs },
    })
    const ask = async <T>(answer: () => T): Promise<T> => {
      await Promise.resolve()
      world.asked += 1
      if (world.isAway) throw new Error('ClickHouse is away.')
      return answer()
    }
    const sync = createKeySync({
      keys,
      store: withStore
        ? {
            version: () => ask(() => world.version),
            load: () =>
              ask(() => {
                world.loads += 1
                return {
                  apps: [
                    { id: 'shop', name: 'Shop', createdAtMs: T, options: { retentionDays: 9 } },
                  ],
                  keys: world.keys.map((key) => aStoredKey(key, digest(key))),
                }
              }),
            putUses: (uses) => ask(() => void world.uses.push(...uses)),
          }
        : undefined,
      known: {
        read: () => Promise.resolve(world.file),
        write: (text) => Promise.resolve(void (world.file = text)),
      },
      files: createKeyFiles({ digest, nowMs, forbidden: [], production: true }),
      read: () => undefined,
      say: (_level, text) => world.said.push(text),
      nowMs,
      ...more,
    })
    return { keys, sync }
  }
  return Object.assign(world, { start })
}

test('what is stored opens the door, and what is not is unknown', async () => {
  const world = aWorld()
  world.keys.push(KEY)
  const { keys, sync } = world.start()
  expect(() => keys.admit(KEY, 'ingest')).toThrow(refusal('overloaded'))
  await sync.open()
  expect(keys.admit(KEY, 'ingest').app).toMatchObject({ id: 'shop', retentionDays: 9 })
  expect(() => keys.admit(UNKNOWN, 'ingest')).toThrow(refusal('unauthenticated'))
})

test('a start without ClickHouse knows the keys of the last run, and judges no new one', async () => {
  const world = aWorld()
  world.keys.push(KEY)
  await world.start().sync.open()
  world.isAway = true
  const { keys, sync } = world.start()
  await sync.open()
  expect(keys.admit(KEY, 'ingest').app?.id).toBe('shop')
  expect(() => keys.admit(UNKNOWN, 'ingest')).toThrow(
    expect.objectContaining({ code: 'overloaded', retryAfterSeconds: 5 }),
  )
  // No key that is made here looks like that.
  expect(() => keys.admit('ei_ingest_nonsense', 'ingest')).toThrow(refusal('unauthenticated'))
  expect(world.said).toHaveLength(1)
})

test('the file of known keys holds no key that reads, and no hash of another pepper is believed', async () => {
  const world = aWorld()
  world.keys.push(KEY)
  await world.start().sync.open()
  expect(world.file).toContain(KEY) // Public by nature.
  const other = aWorld('another pepper')
  Object.assign(other, { file: world.file, isAway: true })
  const { keys, sync } = other.start()
  await sync.open()
  expect(keys.apps()).toEqual([])
  expect(() => keys.admit(KEY, 'ingest')).toThrow(refusal('overloaded'))
})

test.each(['', '{', '{"version":1}', '[]', 'null'])(
  'a damaged file of known keys is no file: %j',
  async (file) => {
    const world = Object.assign(aWorld(), { file, isAway: true })
    const { keys, sync } = world.start()
    await sync.open()
    expect(keys.apps()).toEqual([])
  },
)

test('only a new version is loaded, and a flood of unknown keys asks nobody', async () => {
  const world = aWorld()
  const { keys, sync } = world.start()
  await sync.open()
  await sync.refresh()
  expect(world.loads).toBe(1)
  const { asked } = world
  for (let i = 0; i < 10_000; i += 1) {
    expect(() => keys.admit(`${UNKNOWN}${i}`, 'ingest')).toThrow()
  }
  expect(world.asked).toBe(asked)
  Object.assign(world, { version: '2', keys: [KEY] })
  await sync.refresh()
  expect([world.loads, keys.admit(KEY, 'ingest').app?.id]).toEqual([2, 'shop'])
})

test('while ClickHouse is away what was known goes on; after a while the unknown is left open', async () => {
  vi.useFakeTimers()
  try {
    const world = aWorld()
    world.keys.push(KEY)
    const { keys, sync } = world.start()
    await sync.open()
    const stop = new AbortController()
    const running = sync.run(stop.signal)
    world.isAway = true
    const after = async (ms: number) => {
      world.nowMs += ms
      await vi.advanceTimersByTimeAsync(2_000)
    }
    await after(2_000)
    expect(() => keys.admit(UNKNOWN, 'ingest')).toThrow(refusal('unauthenticated'))
    await after(60_000)
    expect(() => keys.admit(UNKNOWN, 'ingest')).toThrow(refusal('overloaded'))
    expect(keys.admit(KEY, 'ingest').app?.id).toBe('shop')
    expect(sync.status().storeAgeMs).toBe(62_000)
    world.isAway = false
    await after(2_000)
    expect(() => keys.admit(UNKNOWN, 'ingest')).toThrow(refusal('unauthenticated'))
    expect(world.said).toEqual([
      'ClickHouse does not tell apps and keys: those known last go on',
      'apps and keys are read from ClickHouse again',
    ])
    stop.abort()
    await running
    // In the hour of its use, once.
    expect(world.uses).toEqual([{ digest: keys.digest(KEY), usedAtMs: T }])
  } finally {
    vi.useRealTimers()
  }
})

test('a folder that cannot be read, or a file that was never good, leaves every unknown key open', async () => {
  const readings: (FolderReading | undefined)[] = []
  const world = aWorld('p', { folder: () => Promise.resolve(readings.shift()) })
  const bad: KeyFile = { name: 'a.json', problem: 'The file is not JSON.' }
  const good: KeyFile = {
    name: 'a.json',
    content: [{ id: 'shop', name: 'S', keys: [{ key: KEY }] }],
  }
  readings.push({ files: [], problem: 'No such folder.' })
  const { keys, sync } = world.start(false)
  await sync.open()
  expect(() => keys.admit('ei_of_any_form_0', 'ingest')).toThrow(refusal('overloaded'))
  expect(sync.status().folderProblem).toBe('No such folder.')

  vi.useFakeTimers()
  const stop = new AbortController()
  const running = sync.run(stop.signal)
  const take = async (...files: KeyFile[]) => {
    readings.push({ files, problem: undefined })
    await vi.advanceTimersByTimeAsync(2_000)
  }
  try {
    await take(bad)
    expect(() => keys.admit('ei_of_any_form_0', 'ingest')).toThrow(refusal('overloaded'))
    expect(sync.status().badFiles).toHaveLength(1)
    await take(good)
    expect(() => keys.admit('ei_of_any_form_0', 'ingest')).toThrow(refusal('unauthenticated'))
    expect(keys.admit(KEY, 'ingest').app?.id).toBe('shop')
    await take(bad)
    expect(keys.admit(KEY, 'ingest').app?.id).toBe('shop')
    expect(() => keys.admit('ei_of_any_form_0', 'ingest')).toThrow(refusal('unauthenticated'))
    await take()
    expect(() => keys.admit(KEY, 'ingest')).toThrow(refusal('unauthenticated'))
  } finally {
    stop.abort()
    await running
    vi.useRealTimers()
  }
})

test('the first app without a key for events is told, not the first key that is replaced', async () => {
  const readings: (FolderReading | undefined)[] = []
  const world = aWorld('p', { folder: () => Promise.resolve(readings.shift()) })
  const { sync } = world.start(false)
  const day = (days: number) => new Date(T + days * 86_400_000).toISOString()
  const told = async (keys: readonly object[]) => {
    const content = [{ id: 'shop', name: 'Shop', keys }]
    readings.push({ files: [{ name: 'a.json', content }], problem: undefined })
    await sync.open()
    const { ingestEndsAtMs } = sync.status()
    return ingestEndsAtMs === undefined ? undefined : (ingestEndsAtMs - T) / 86_400_000
  }
  const [old, next] = [{ key: KEY, expiresAt: day(3) }, { key: UNKNOWN }]
  expect(await told([old])).toBe(3)
  expect(await told([old, { ...next, expiresAt: day(90) }])).toBe(90)
  expect(await told([old, next])).toBeUndefined()
  expect(await told([old, { ...next, scopes: ['read'] }])).toBe(3)
  expect(await told([old, { ...next, revoked: true }])).toBe(3)
  expect(await told([{ ...old, expiresAt: day(-1) }])).toBeUndefined()
})

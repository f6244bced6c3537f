import { createHash } from 'node:crypto'
import {
  appendFile,
  mkdtemp,
  open,
  readdir,
  readFile,
  rm,
  stat,
  truncate,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Occurrence } from '../../src/occurrence.ts'
import { openFolderSpool } from '../../src/node/spool/open.ts'
import { spoolCommand } from '../../src/node/spool-cli.ts'
import { UsageError } from '../../src/node/spool-io.ts'
import { NativeBatch } from '../../src/protocols/native/event.ts'
import { encodeRows } from '../../src/store/rows.ts'
import { deliveryTo, memoryStore, type MemoryStore } from '../support/memory-store.ts'
import { aGrouping, anOccurrence } from '../support/occurrence.ts'

const LIMITS = {
  bytesMax: 100_000_000,
  segmentBytes: 65_536,
  rowsMax: 1_000,
  windowBytesMax: 1_000_000,
  ageMsMax: 1,
  windowsMax: 2,
}

let dataDir: string
const undo: (() => Promise<unknown>)[] = []
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'error-ingestor-test-'))
  undo.push(() => rm(dataDir, { recursive: true, force: true }))
})
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
})

const folder = () => join(dataDir, 'spool')

/** A running server's spool, as far as the folder is concerned. */
async function running(store: MemoryStore, more: Parameters<typeof deliveryTo>[1] = {}) {
  const delivery = deliveryTo(store, more)
  const spool = await openFolderSpool(folder(), delivery, LIMITS)
  const stopping = new AbortController()
  const drained = spool.drain(stopping.signal, 0)
  let isOpen = true
  const stop = async () => {
    if (!isOpen) return
    isOpen = false
    stopping.abort()
    await drained
    await spool.close()
  }
  undo.push(stop)
  return {
    spool,
    delivery,
    stop,
    append: (occurrences: readonly Occurrence[]) =>
      spool.append({ batch: encodeRows(occurrences, aGrouping), rows: [...occurrences] }),
  }
}

function away(): MemoryStore {
  const store = memoryStore()
  store.fail = () => 'before'
  return store
}

async function cli(...args: string[]) {
  let [output, errors] = ['', '']
  const code = await spoolCommand(args, {
    out: (text) => Promise.resolve(((output += text), true)),
    err: (text) => (errors += text),
    dataDir: () => dataDir,
  })
  return { code, output, errors }
}

const json = async (...args: string[]): Promise<unknown> =>
  JSON.parse((await cli(...args, '--json')).output)

const events = (count: number) => Array.from({ length: count }, () => anOccurrence())

async function segments(): Promise<string[]> {
  return (await readdir(folder())).filter((name) => name.startsWith('segment-')).sort()
}

async function flipByte(name: string, at: number): Promise<void> {
  const file = await open(join(folder(), name), 'r+')
  const byte = Buffer.alloc(1)
  await file.read(byte, 0, 1, at)
  byte[0] = (byte[0] ?? 0) ^ 0xff
  await file.write(byte, 0, 1, at)
  await file.close()
}

/** What every file of the folder holds. */
async function fingerprint(): Promise<string> {
  const hash = createHash('sha256')
  const names = (await readdir(folder(), { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
  for (const name of names.sort()) hash.update(name).update(await readFile(name))
  return hash.digest('hex')
}

describe('beside the server that owns the folder', () => {
  test('status counts what waits, verify finds nothing wrong, export writes it, and nothing changes', async () => {
    const waiting = events(7)
    const { append } = await running(away())
    await append(waiting.slice(0, 5))
    await append(waiting.slice(5))
    const before = await fingerprint()
    expect(await json('status')).toMatchObject({
      inUse: true,
      ...{ events: 7, segments: 1, damagedEvents: 0, undeliverable: 0 },
    })
    expect((await cli('status')).output).toMatch(
      /In use +by a running server\nWaiting +7 events, in/,
    )
    expect(await cli('verify')).toMatchObject({
      code: 0,
      output: '1 segments, 2 frames, 7 events were read: nothing is wrong.\n',
    })
    const { code, output } = await cli('export')
    expect(code).toBe(0)
    const lines = output.trimEnd().split('\n')
    expect(lines.map((line) => parsed(line)['id'])).toEqual(waiting.map(({ id }) => id))
    expect(await fingerprint()).toBe(before)
  })

  test('what is delivered is not exported any more', async () => {
    const store = memoryStore()
    const { append, spool } = await running(store)
    await append(events(3))
    await spool.settle(10_000)
    await vi.waitUntil(() => spool.status().rows === 0)
    store.fail = () => 'before'
    const late = events(2)
    await append(late)
    const { output } = await cli('export')
    expect(
      output
        .trimEnd()
        .split('\n')
        .map((line) => parsed(line)['id']),
    ).toEqual(late.map(({ id }) => id))
    expect(await json('status')).toMatchObject({ events: 2 })
  })

  test('an undeliverable event can be sent again, and is stored', async () => {
    const store = away()
    const { append, spool } = await running(store, { isContentRefusal: () => true })
    const [event = anOccurrence()] = events(1)
    await append([event])
    await vi.waitUntil(() => spool.status().undeliverable === 1, { timeout: 5_000 })
    store.fail = () => 'no'
    expect(await cli('undeliverable', 'retry', event.id)).toEqual({
      ...{ code: 0, errors: '' },
      output: '1 events will be sent again within a second.\n',
    })
    await vi.waitUntil(() => store.counts().get(event.id) === 1, { timeout: 5_000 })
    expect((await cli('undeliverable', 'list')).output).toBe('There is none.\n')
  })
})

describe('without a server', () => {
  /** Accepted by a process that ended before it delivered anything. */
  async function left(...batches: Occurrence[][]): Promise<void> {
    const spool = await openFolderSpool(folder(), deliveryTo(away()), LIMITS)
    for (const rows of batches) await spool.append({ batch: encodeRows(rows, aGrouping), rows })
    await spool.close()
  }

  test('status says that nobody delivers', async () => {
    await left(events(2))
    expect(await json('status')).toMatchObject({ inUse: false, events: 2 })
    expect((await cli('status')).output).toContain('by nobody')
  })

  test('an exported event is one that the ingest API takes', async () => {
    const event = anOccurrence({ metadata: { a: [1, null] }, tags: { t: 'x' }, userId: 'u' })
    await left([event])
    const line = parsed((await cli('export')).output)
    expect(NativeBatch.parse({ events: [line] })).toBeTruthy()
    expect(line).toMatchObject({
      ...{ id: event.id, metadata: event.metadata, tags: event.tags, userId: 'u' },
      timestamp: new Date(event.timestampMs).toISOString(),
    })
  })

  test('verify names a damaged frame and how many events are missing; export leaves them out, and says so', async () => {
    const [first, third] = [events(2), events(1)]
    const second = Array.from({ length: 3 }, () => anOccurrence({ message: 'to be damaged' }))
    await left(first, second, third)
    const [name = ''] = await segments()
    const bytes = await readFile(join(folder(), name))
    await flipByte(name, bytes.indexOf('to be damaged'))
    const verified = await cli('verify')
    expect(verified.code).toBe(1)
    expect(verified.output).toMatch(
      /^WRONG {2}segment-\d+\.log at byte \d+, \d+ bytes: a frame whose/,
    )
    expect(verified.output).toContain('WRONG  3 accepted events are missing, from number 2 on\n')
    expect(verified.output).toContain('2 things are wrong.')
    const exported = await cli('export')
    expect(exported.code).toBe(1)
    expect(exported.errors).toContain('left out: 3 accepted events are missing')
    expect(
      exported.output
        .trimEnd()
        .split('\n')
        .map((line) => parsed(line)['id']),
    ).toEqual([...first, ...third].map(({ id }) => id))
  })

  test('verify knows a cut that lost accepted events from a tail that nobody was promised', async () => {
    await left(events(2), events(3))
    const [name = ''] = await segments()
    await appendFile(join(folder(), name), 'half a frame')
    const tail = await cli('verify')
    expect(tail).toMatchObject({ code: 0 })
    expect(tail.output).toMatch(/^note {3}the end of segment-\d+\.log \(12 bytes\) was not written/)
    const { size } = await stat(join(folder(), name))
    await truncate(join(folder(), name), size - 100)
    const cut = await cli('verify')
    expect(cut.code).toBe(1)
    expect(cut.output).toContain('3 accepted events are missing, from number 2 on')
  })

  test('verify finds a file that is gone, one that is no segment, and one of a newer version', async () => {
    for (let i = 0; i < 3; i += 1) await left(events(10))
    const [, name = ''] = await segments()
    const path = join(folder(), name)
    const good = await readFile(path)
    await rm(path)
    expect((await cli('verify')).output).toContain('10 accepted events are missing, from number 10')
    await writeFile(path, 'x'.repeat(5_000))
    expect((await cli('verify')).output).toContain(`${name} at byte 0, 5000 bytes: a file without`)
    const newer = Buffer.from(good)
    newer.writeUInt8(2, 7)
    newer.writeUInt32LE(crc32(newer.subarray(0, 28)), 28)
    await writeFile(path, newer)
    const verified = await cli('verify')
    expect(verified.code).toBe(1)
    expect(verified.output).toContain('written by a newer version (segment format 2)')
    expect(verified.output).toContain('1 things are wrong')
    await writeFile(path, good)
    expect((await cli('verify')).code).toBe(0)
  })

  test('damage that a server has counted is a note, and stands in status', async () => {
    await left(events(4), events(1))
    const [name = ''] = await segments()
    await flipByte(name, 200)
    expect((await cli('verify')).code).toBe(1)
    const again = await running(away())
    await vi.waitUntil(() => again.spool.status().damagedRows === 4, { timeout: 5_000 })
    await again.stop()
    expect(await json('status')).toMatchObject({ damagedEvents: 4 })
    const { output } = await cli('verify')
    expect(output).toContain('note   4 events are missing, which was counted as damage before')
  })
})

describe('undeliverable events', () => {
  const NASTY = 'red\u001b[31m \u009b2J\u202Etxt\u0007\r\nnext'

  async function refuse(...refused: Occurrence[]): Promise<void> {
    const { append, spool, stop } = await running(away(), { isContentRefusal: () => true })
    await append(refused)
    await vi.waitUntil(() => spool.status().undeliverable === refused.length, { timeout: 5_000 })
    await stop()
  }

  test('are listed and shown without anything that a terminal would obey, and whole as JSON', async () => {
    const event = anOccurrence({ code: NASTY, message: NASTY })
    await refuse(event)
    for (const args of [['list'], ['show', event.id]]) {
      const { code, output } = await cli('undeliverable', ...args)
      expect(code).toBe(0)
      expect(output).toContain(event.id)
      expect(output).toContain('ClickHouse is away.')
      expect(output).not.toMatch(/[\0-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]/)
    }
    expect(await json('undeliverable', 'show', event.id)).toMatchObject({
      event: { code: NASTY, message: NASTY },
    })
    expect(await json('undeliverable', 'list')).toMatchObject({
      undeliverable: [{ id: event.id, code: NASTY, willBeRetried: false }],
    })
  })

  test('retry without a server marks them for the next one', async () => {
    const [event, other] = [anOccurrence(), anOccurrence()]
    await refuse(event, other)
    expect((await cli('undeliverable', 'retry', event.id)).output).toContain('once a server runs')
    expect((await cli('undeliverable', 'list')).output).toMatch(
      new RegExp(`${event.id} .*will be sent again`),
    )
    const store = memoryStore()
    await running(store)
    await vi.waitUntil(() => store.counts().get(event.id) === 1, { timeout: 5_000 })
    expect(store.counts().has(other.id)).toBe(false)
  })

  test('drop deletes only with --yes, and only what was named', async () => {
    const [event, other] = [anOccurrence(), anOccurrence()]
    await refuse(event, other)
    await expect(cli('undeliverable', 'drop', event.id)).rejects.toThrow(/--yes/)
    expect(await json('status')).toMatchObject({ undeliverable: 2 })
    await cli('undeliverable', 'drop', event.id, '--yes')
    expect(await json('undeliverable', 'list')).toMatchObject({ undeliverable: [{ id: other.id }] })
    await cli('undeliverable', 'drop', '--all', '--yes')
    expect(await json('status')).toMatchObject({ undeliverable: 0 })
  })

  test('an id of two apps asks for the file, and an unknown one is told', async () => {
    const event = anOccurrence()
    await refuse(event, { ...event, appId: 'other-app' })
    await expect(cli('undeliverable', 'show', event.id)).rejects.toThrow(
      /name the file: \S+\.json,/,
    )
    const listed = await cli('undeliverable', 'list', '--json')
    const file = /"file":"([^"]+)"/.exec(listed.output)?.[1] ?? ''
    expect((await cli('undeliverable', 'show', file)).output).toContain(file)
    await expect(cli('undeliverable', 'retry', '../../x')).rejects.toThrow(/No undeliverable event/)
  })

  test('a file that cannot be read is listed as such, and can be dropped', async () => {
    const event = anOccurrence()
    await refuse(event)
    const [name = ''] = await readdir(join(folder(), 'undeliverable'))
    await writeFile(join(folder(), 'undeliverable', name), '{"half')
    expect((await cli('undeliverable', 'list')).output).toContain('(cannot be read)')
    expect((await cli('undeliverable', 'drop', event.id, '--yes')).code).toBe(0)
  })
})

describe('what is not understood', () => {
  test.each([
    [['nix'], 'There is no command spool nix.'],
    [['status', 'now'], 'takes no argument'],
    [['undeliverable', 'eat'], 'There is no command spool undeliverable eat.'],
    [['undeliverable', 'show'], 'show takes one ID.'],
    [['undeliverable', 'list', 'x'], 'list takes no argument.'],
    [['undeliverable', 'list', '--all'], '--all belongs to'],
    [['undeliverable', 'retry'], 'one ID or more, or --all'],
    [['undeliverable', 'retry', 'x', '--all'], 'one ID or more, or --all'],
    [['undeliverable', 'retry', 'x', '--yes'], '--yes belongs to drop.'],
  ])('%j is told', async (args, words) => {
    const failed = cli(...args)
    await expect(failed).rejects.toThrow(words)
    await expect(failed).rejects.toBeInstanceOf(UsageError)
  })

  test('a folder without a spool is told by its place', async () => {
    await expect(cli('status')).rejects.toThrow(`There is no spool in ${folder()}`)
    await expect(cli('undeliverable', 'list')).rejects.toThrow('There is no spool in')
  })

  test.each([[[]], [['--help']], [['verify', '--help']], [['undeliverable']]])(
    'help needs no spool: %j',
    async (args) => {
      const { code, output } = await cli(...args)
      expect(code).toBe(0)
      expect(output).toContain('Usage: error-ingestor spool')
    },
  )
})

/** A line of JSON as an object. */
function parsed(line: string): Record<string, unknown> {
  const value: unknown = JSON.parse(line)
  if (typeof value !== 'object' || value === null) throw new Error(`No object: ${line}`)
  return Object.fromEntries(Object.entries(value))
}

import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest'
import { nodeClickHouse } from '../../src/node/clickhouse.ts'
import { startEmbedded } from '../../src/node/embedded.ts'
import type { Insert } from '../../src/store/clickhouse.ts'

// Vitest types its matchers as `any`.
const DIGITS: unknown = expect.stringMatching(/^\d+$/)
const database = `clickhouse_test_${process.pid}`
const connect = (url = inject('clickhouseUrl'), timeoutMs = 30_000) =>
  nodeClickHouse({ url, user: 'default', password: '', database, timeoutMs })
const clickhouse = connect()

/** One row of (id UInt64, text String) in RowBinary; the text is at most 127 bytes. */
function row(id: number, text: string): Uint8Array {
  const bytes = Buffer.alloc(9 + Buffer.byteLength(text))
  bytes.writeBigUInt64LE(BigInt(id))
  bytes.writeUInt8(Buffer.byteLength(text), 8)
  bytes.write(text, 9)
  return bytes
}

beforeAll(async () => {
  await clickhouse.command(`CREATE DATABASE ${database}`)
  await clickhouse.command(
    'CREATE TABLE rows (id UInt64, text String) ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 100',
  )
})
afterAll(async () => {
  await clickhouse.command(`DROP DATABASE ${database}`)
  await clickhouse.close()
})

const insert = (body: Insert['body'], table = 'rows', settings = {}) =>
  clickhouse.insert({ table, columns: ['id', 'text'], body, settings })
const count = async (where: string) =>
  (await clickhouse.query(`SELECT toUInt32(count()) AS n FROM rows WHERE ${where}`, {}))[0]

describe('an insert', () => {
  test('stores rows given in pieces of any size, in the configured database', async () => {
    const text = 'x'.repeat(100)
    const pieces = Array.from({ length: 30_000 }, (_, i) => row(1_000 + i, text))
    const large = Buffer.concat(pieces)
    const halves = [large.subarray(0, 1_234_567), large.subarray(1_234_567)]
    const more = Array.from({ length: 100 }, (_, i) => row(40_000 + i, ''))
    await insert([...halves, new Uint8Array(), ...more])
    expect(await count('id >= 1000')).toEqual({ n: 30_100 })
    expect(
      await clickhouse.query(
        'SELECT count() AS n, max(text) AS text FROM rows WHERE id < 31000',
        {},
      ),
    ).toMatchObject([{ text }])
  })

  test('of no rows is no error', async () => {
    await insert([])
  })

  test('sent again with its token is stored once', async () => {
    const settings = { insert_deduplication_token: 'once' }
    await insert([row(1, 'a')], 'rows', settings)
    await insert([row(1, 'a')], 'rows', settings)
    expect(await count('id = 1')).toEqual({ n: 1 })
  })

  test("of 40 MB that is refused at once rejects with ClickHouse's own code", async () => {
    const pieces = Array.from({ length: 40 }, () => Buffer.alloc(1024 ** 2))
    await expect(insert(pieces, 'nowhere')).rejects.toMatchObject({ code: '60' })
  })

  test("of 40 MB whose first row is bad rejects with ClickHouse's own code", async () => {
    // 0xff… as the length of a string: more than ClickHouse takes.
    const pieces = Array.from({ length: 40 }, () => Buffer.alloc(1024 ** 2, 0xff))
    await expect(insert(pieces)).rejects.toMatchObject({ code: DIGITS })
  })

  test('that ends inside a row stores nothing of it', async () => {
    await expect(insert([row(50, 'a'), row(51, 'b').subarray(0, 5)])).rejects.toMatchObject({
      code: DIGITS,
    })
    expect(await count('id IN (50, 51)')).toEqual({ n: 0 })
  })

  test('whose rows cannot all be read stores nothing of them, and rejects', async () => {
    async function* pieces() {
      for (let id = 0; id < 50_000; id += 1) yield row(100_000 + id, 'a'.repeat(100))
      await Promise.resolve()
      throw new Error('The disk is damaged.')
    }
    await expect(insert(pieces())).rejects.toThrow()
    await insert([row(99_999, 'a')])
    expect(await count('id >= 99999')).toEqual({ n: 1 })
  })
})

describe('a question', () => {
  test('binds its parameters and answers plain objects', async () => {
    const hostile = "'; DROP TABLE rows; -- {id: String} \\ \n\t\0 é"
    expect(await clickhouse.query('SELECT {text: String} AS text', { text: hostile })).toEqual([
      { text: hostile },
    ])
  })

  test('that fails after its first rows rejects, and gives no half answer', async () => {
    const sql = 'SELECT throwIf(number = 900000) AS a FROM numbers(1000000)'
    await expect(clickhouse.query(sql, {})).rejects.toMatchObject({ code: '395' })
  })

  test('that is aborted rejects with the reason and ends on the server too', async () => {
    const stop = new AbortController()
    const asked = clickhouse.query(
      'SELECT sleepEachRow(1) FROM numbers(25)',
      {},
      { signal: stop.signal, settings: { max_block_size: 1 } },
    )
    const running = async () => {
      const sql = "SELECT 1 FROM system.processes WHERE startsWith(query, 'SELECT sleepEachRow')"
      return (await clickhouse.query(sql, {})).length
    }
    await vi.waitUntil(async () => (await running()) === 1, { timeout: 5_000 })
    stop.abort(new Error('enough'))
    await expect(asked).rejects.toThrow('enough')
    await vi.waitUntil(async () => (await running()) === 0, { timeout: 5_000 })
  })

  test('whose signal is aborted already is not asked', async () => {
    const signal = AbortSignal.abort(new Error('too late'))
    await expect(clickhouse.query('SELECT 1', {}, { signal })).rejects.toThrow('too late')
  })
})

test('a command that is aborted ends on the server too', async () => {
  const stop = new AbortController()
  const asked = clickhouse.command(
    'INSERT INTO rows SELECT 900 + sleepEachRow(1), toString(number) FROM numbers(25) SETTINGS max_block_size = 1',
    {},
    { signal: stop.signal },
  )
  const running = async () =>
    (await clickhouse.query("SELECT 1 FROM system.processes WHERE query_kind = 'Insert'", {}))
      .length
  await vi.waitUntil(async () => (await running()) > 0, { timeout: 5_000 })
  stop.abort(new Error('enough'))
  await expect(asked).rejects.toThrow('enough')
  await vi.waitUntil(async () => (await running()) === 0, { timeout: 5_000 })
})

test('a refused statement says why with a code, and a wrong password too', async () => {
  await expect(clickhouse.command('CREATE')).rejects.toMatchObject({ code: '62' })
  const stranger = nodeClickHouse({
    url: inject('clickhouseUrl'),
    user: 'nobody',
    password: 'x',
    timeoutMs: 5_000,
  })
  await expect(stranger.query('SELECT 1', {})).rejects.toMatchObject({ code: DIGITS })
  await stranger.close()
})

test('a login in the URL is used', async () => {
  const url = new URL(inject('clickhouseUrl'))
  url.username = 'no%40body'
  const stranger = connect(url.href)
  await expect(stranger.query('SELECT 1', {})).rejects.toThrow('no@body')
  await stranger.close()
})

describe('a server that takes the connection and says nothing', () => {
  const sockets = new Set<Socket>()
  const silent = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket))
  })
  let url = ''
  beforeAll(async () => {
    await new Promise<void>((listening) => silent.listen(0, '127.0.0.1', listening))
    const address = silent.address()
    url = typeof address === 'object' ? `http://127.0.0.1:${address?.port}` : ''
  })
  afterAll(() => {
    for (const socket of sockets) socket.destroy()
    silent.close()
  })

  test('costs each statement its time-out and no more, however many wait', async () => {
    const hung = connect(url, 1_000)
    const startedMs = performance.now()
    const large = Array.from({ length: 16 }, () => Buffer.alloc(1024 ** 2))
    const all = await Promise.allSettled([
      hung.insert({ table: 'rows', columns: ['id'], body: large, settings: {} }),
      hung.command('SELECT 1'),
      // More than there are connections: those that wait for one have the same deadline.
      ...Array.from({ length: 100 }, () => hung.query('SELECT 1', {})),
    ])
    expect(performance.now() - startedMs).toBeLessThan(3_000)
    for (const one of all) {
      expect(one).toMatchObject({ status: 'rejected', reason: { code: 'ETIMEDOUT' } })
    }
    await hung.close()
  })

  test('is not pinged successfully, and that is known in time', async () => {
    const hung = connect(url, 1_000)
    const startedMs = performance.now()
    expect(await hung.ping()).toBe(false)
    expect(performance.now() - startedMs).toBeLessThan(3_000)
    await hung.close()
  })
})

test('nobody there: statements reject, ping says no', async () => {
  const nobody = connect('http://127.0.0.1:1')
  await expect(nobody.query('SELECT 1', {})).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  expect(await nobody.ping()).toBe(false)
  await nobody.close()
})

describe('a real server', () => {
  test('that hangs (SIGSTOP) while it answers is given up in time, and serves again afterwards', async () => {
    await using server = await ownServer()
    const client = nodeClickHouse({ ...server.login, timeoutMs: 1_500 })
    await client.query('SELECT 1', {})
    process.kill(server.pid(), 'SIGSTOP')
    const startedMs = performance.now()
    await expect(client.query('SELECT 1', {})).rejects.toMatchObject({ code: 'ETIMEDOUT' })
    expect(await client.ping()).toBe(false)
    expect(performance.now() - startedMs).toBeLessThan(4_000)
    process.kill(server.pid(), 'SIGCONT')
    await vi.waitUntil(() => client.ping(), { timeout: 5_000 })
    expect(await client.query('SELECT 1 AS one', {})).toEqual([{ one: 1 }])
    await client.close()
  })

  test('that was killed and came back answers the first questions on old connections', async () => {
    await using server = await ownServer()
    const client = nodeClickHouse({ ...server.login, timeoutMs: 5_000 })
    const ask = () => Promise.all(Array.from({ length: 8 }, () => client.query('SELECT 1', {})))
    await ask()
    const before = server.pid()
    process.kill(before, 'SIGKILL')
    await vi.waitUntil(async () => server.pid() !== before && (await client.ping()), {
      timeout: 10_000,
    })
    expect(await ask()).toHaveLength(8)
    expect(await client.ping()).toBe(true)
    await client.close()
  })
})

async function ownServer() {
  const dataDir = await mkdtemp(join(tmpdir(), 'error-ingestor-test-'))
  const engine = await startEmbedded({ dataDir, say: () => undefined })
  return {
    login: { url: engine.url, user: 'default', password: '' },
    pid: () => engine.pid() ?? 0,
    async [Symbol.asyncDispose]() {
      await engine.close()
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}

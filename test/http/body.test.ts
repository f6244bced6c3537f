import { once } from 'node:events'
import { connect } from 'node:net'
import { PassThrough } from 'node:stream'
import zlib from 'node:zlib'
import { createAdaptorServer } from '@hono/node-server'
import { afterEach, describe, expect, test } from 'vitest'
import { createByteBudget } from '../../src/http/budget.ts'
import { readIncoming } from '../../src/http/incoming.ts'
import { anEvent, anIntake, BYTES_MAX, KEY } from './support/intake.ts'

const PACK = {
  gzip: (data: Uint8Array) => zlib.gzipSync(data),
  deflate: (data: Uint8Array) => zlib.deflateSync(data),
  br: (data: Uint8Array) => zlib.brotliCompressSync(data),
  zstd: (data: Uint8Array) => zlib.zstdCompressSync(data),
}
const ENCODINGS = Object.entries(PACK)

/** A valid batch of exactly `bytes` bytes. */
function batchOf(bytes: number): Uint8Array<ArrayBuffer> {
  const body = (pad: string) => JSON.stringify({ events: [anEvent()], pad })
  const text = body('')
  return new TextEncoder().encode(body('x'.repeat(bytes - text.length)))
}

describe.each(ENCODINGS)('a body in %s', (encoding, pack) => {
  const packed = (data: Uint8Array) => new Uint8Array(pack(data))
  const headers = { 'Content-Encoding': encoding }

  test('of the limit after inflating is taken, one byte more is not, and what follows is', async () => {
    const { post, stored, budget } = anIntake()
    expect((await post(packed(batchOf(BYTES_MAX)), headers)).status).toBe(200)
    const no = await post(packed(batchOf(BYTES_MAX + 1)), headers)
    expect([no.status, no.headers.get('x-error-code')]).toEqual([413, 'too_large'])
    expect((await post(packed(batchOf(1_000)), headers)).status).toBe(200)
    expect([stored.length, budget.used()]).toEqual([2, 0])
  })

  test('that is a bomb is stopped early', async () => {
    const { post, budget } = anIntake()
    const bomb = packed(new Uint8Array(64 * 1024 * 1024))
    const before = process.memoryUsage().arrayBuffers
    expect((await post(bomb, headers)).status).toBe(413)
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(32 * 1024 * 1024)
    expect(budget.used()).toBe(0)
  })

  test("that is broken or torn is the client's fault", async () => {
    const { post, bugs } = anIntake()
    const whole = packed(batchOf(5_000))
    for (const bad of [
      new TextEncoder().encode('{"events": []}'),
      whole.slice(0, whole.length / 2),
    ]) {
      const response = await post(bad, headers)
      expect([response.status, response.headers.get('x-error-code')]).toEqual([400, 'malformed'])
    }
    expect(bugs).toEqual([])
  })
})

test.each(['snappy', 'gzip, br', 'constructor', '__proto__'])(
  'the encoding %s is refused, with those that would do',
  async (encoding) => {
    const { post } = anIntake()
    const response = await post('x', { 'Content-Encoding': encoding })
    expect(response.status).toBe(415)
    expect(response.headers.get('accept-encoding')).toBe('gzip, deflate, br, zstd')
  },
)

test('the encoding identity is none', async () => {
  const { post } = anIntake()
  expect((await post(batchOf(1_000), { 'Content-Encoding': 'identity' })).status).toBe(200)
})

describe('over a socket', () => {
  const closing: (() => Promise<unknown>)[] = []
  afterEach(() => Promise.all(closing.splice(0).map((close) => close())))

  async function listen(intake: ReturnType<typeof anIntake>) {
    const server = createAdaptorServer({ fetch: (request, env) => intake.fetch(request, env) })
    let requests = 0
    server.on('request', () => requests++)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    closing.push(async () => {
      server.close()
      if ('closeAllConnections' in server) server.closeAllConnections()
      await once(server, 'close')
    })
    const address = server.address()
    const port = typeof address === 'object' ? (address?.port ?? 0) : 0
    const url = `http://127.0.0.1:${port}/api/v1/ingest`
    const post = (
      body: Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array<ArrayBuffer>>,
      headers: Record<string, string> = {},
    ) =>
      fetch(url, {
        method: 'POST',
        headers: { 'X-API-Key': KEY, ...headers },
        body,
        duplex: 'half',
      })
    const raw = () => connect(port, '127.0.0.1')
    return { post, raw, requests: () => requests }
  }

  function chunked(bytes: Uint8Array<ArrayBuffer>): ReadableStream<Uint8Array<ArrayBuffer>> {
    let at = 0
    return new ReadableStream({
      pull(controller) {
        if (at >= bytes.length) controller.close()
        else controller.enqueue(bytes.slice(at, (at += 10_000)))
      },
    })
  }

  test('the limit is taken and one byte more is not, with a length and in chunks', async () => {
    const intake = anIntake()
    const { post } = await listen(intake)
    const [fits, exceeds] = [batchOf(BYTES_MAX), batchOf(BYTES_MAX + 1)]
    expect((await post(fits)).status).toBe(200)
    expect((await post(chunked(fits))).status).toBe(200)
    expect((await post(exceeds)).status).toBe(413)
    expect((await post(chunked(exceeds))).status).toBe(413)
    expect((await post(batchOf(500))).status).toBe(200)
    expect([intake.stored.length, intake.budget.used()]).toEqual([3, 0])
  })

  test('10 MB are refused before they are read', async () => {
    const intake = anIntake()
    const { raw } = await listen(intake)
    const socket = raw()
    socket.write(
      `POST /api/v1/ingest HTTP/1.1\r\nHost: x\r\nX-API-Key: ${KEY}\r\nContent-Length: 10000000\r\n\r\n{`,
    )
    const answer: unknown[] = await once(socket, 'data')
    expect(String(answer[0])).toMatch(/^HTTP\/1.1 413 /)
    socket.destroy()
  })

  test('a compressed body arrives', async () => {
    const intake = anIntake()
    const { post } = await listen(intake)
    const body = new Uint8Array(zlib.gzipSync(batchOf(50_000)))
    expect((await post(body, { 'Content-Encoding': 'gzip' })).status).toBe(200)
  })

  test.each(['', 'Content-Encoding: gzip\r\n'])(
    'a client that goes away in the middle is no bug, and gives its bytes back (%j)',
    async (header) => {
      const intake = anIntake()
      const { post, raw, requests } = await listen(intake)
      const socket = raw()
      const part = header === '' ? Buffer.from('{"events":') : zlib.gzipSync('x').subarray(0, 12)
      socket.write(
        `POST /api/v1/ingest HTTP/1.1\r\nHost: x\r\nX-API-Key: ${KEY}\r\n${header}Content-Length: 5000\r\n\r\n`,
      )
      socket.write(part)
      await expect.poll(requests).toBe(1)
      socket.destroy()
      await expect.poll(() => intake.lines.length).toBe(1)
      expect(intake.lines[0]).toMatchObject({ status: 408, code: 'timeout' })
      expect([intake.bugs, intake.budget.used()]).toEqual([[], 0])
      expect((await post(batchOf(500))).status).toBe(200)
    },
  )

  test('a long body waits in its socket while those that were begun wait for the disk', async () => {
    const open: (() => void)[] = []
    const intake = anIntake({
      inFlightMax: 5 * BYTES_MAX,
      beginMsMax: 60_000,
      accept: () => new Promise((resolve) => open.push(resolve)),
    })
    const { post } = await listen(intake)
    const first = post(batchOf(90_000))
    await expect.poll(() => open.length).toBe(1)
    const second = post(batchOf(90_000))
    const short = post(batchOf(500))
    await expect.poll(() => open.length).toBe(2)
    // The short one came through; of the long one nothing is read.
    expect(intake.budget.used()).toBeLessThan(2 * 90_000)
    open[1]?.()
    expect((await short).status).toBe(200)
    open[0]?.()
    expect((await first).status).toBe(200)
    await expect.poll(() => open.length).toBe(3)
    open[2]?.()
    expect((await second).status).toBe(200)
  })

  test('the pieces of a body are let go of as they are copied, and what shares their memory stays', async () => {
    const incoming = new PassThrough()
    const lease = createByteBudget(BYTES_MAX).lease()
    const reading = readIncoming(incoming, { bytesMax: BYTES_MAX, lease, length: 3_000 })
    const own = Buffer.from(new Uint8Array(1_000).fill(1).buffer)
    const shared = Buffer.from(new Uint8Array(5_000).fill(2).buffer, 0, 2_000)
    incoming.write(own)
    incoming.end(shared)
    expect([...new Set(await reading)]).toEqual([1, 2])
    expect([own.byteLength, shared.byteLength]).toEqual([0, 2_000])
  })

  test('slow senders do not take the room of others before their bytes come', async () => {
    const intake = anIntake({ inFlightMax: BYTES_MAX })
    const { post, raw } = await listen(intake)
    const slow = Array.from({ length: 20 }, () => {
      const socket = raw()
      socket.write(
        `POST /api/v1/ingest HTTP/1.1\r\nHost: x\r\nX-API-Key: ${KEY}\r\nContent-Length: ${BYTES_MAX}\r\n\r\n{`,
      )
      return socket
    })
    await expect.poll(() => intake.budget.used()).toBe(20)
    expect((await post(batchOf(50_000))).status).toBe(200)
    for (const socket of slow) socket.destroy()
    await expect.poll(() => intake.budget.used()).toBe(0)
  })

  test('bytes beyond what may be held at once wait, then get 503 with Retry-After', async () => {
    const open: (() => void)[] = []
    const intake = anIntake({
      inFlightMax: BYTES_MAX,
      accept: () => new Promise((resolve) => open.push(resolve)),
    })
    const { post } = await listen(intake)
    const held = post(batchOf(90_000))
    await expect.poll(() => open.length).toBe(1)
    const refused = await post(batchOf(90_000))
    expect(refused.status).toBe(503)
    expect(refused.headers.get('retry-after')).toBe('2')
    open[0]?.()
    expect((await held).status).toBe(200)
    await expect.poll(() => intake.budget.used()).toBe(0)
  })
})

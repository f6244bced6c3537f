import { randomBytes } from 'node:crypto'
import {
  brotliCompressSync,
  constants,
  deflateRawSync,
  deflateSync,
  gzipSync,
  zstdCompressSync,
} from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { inflate } from '../../src/node/inflate.ts'

const COMPRESS = [
  ['gzip', gzipSync],
  ['deflate', deflateSync],
  ['deflate', deflateRawSync],
  [
    'br',
    (bytes: Uint8Array) =>
      brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } }),
  ],
  ['zstd', zstdCompressSync],
] as const

/** A body that comes in pieces, and tells what was taken of it. */
function body(bytes: Uint8Array, pieceBytes = 10_000) {
  const seen = { bytes: 0, cancelled: false }
  const stream = new ReadableStream<Uint8Array>({
    pull(controller) {
      const piece = bytes.subarray(seen.bytes, seen.bytes + pieceBytes)
      seen.bytes += piece.length
      if (piece.length === 0) controller.close()
      else controller.enqueue(new Uint8Array(piece))
    },
    cancel() {
      seen.cancelled = true
    },
  })
  return { stream, seen }
}

async function all(stream: ReadableStream<Uint8Array> | undefined): Promise<Buffer> {
  return Buffer.from(await new Response(stream ?? null).arrayBuffer())
}

describe.each(COMPRESS)('%s (%#)', (encoding, compress) => {
  test('comes out as it went in, whatever the pieces', async () => {
    const bytes = Buffer.concat([randomBytes(100_000), Buffer.alloc(300_000, 'abc')])
    const packed = compress(bytes)
    for (const pieceBytes of [999, packed.length]) {
      expect((await all(inflate(encoding, body(packed, pieceBytes).stream))).equals(bytes)).toBe(
        true,
      )
    }
  })

  test('nothing comes out as nothing', async () => {
    expect(await all(inflate(encoding, body(compress(Buffer.alloc(0))).stream))).toHaveLength(0)
  })

  test('cut input rejects', async () => {
    const packed = compress(randomBytes(50_000))
    const cut = body(packed.subarray(0, packed.length - 20_000)).stream
    await expect(all(inflate(encoding, cut))).rejects.toThrow()
  })

  test('a bomb is inflated only as far as it is read', async () => {
    const bomb = compress(Buffer.alloc(200 * 1024 * 1024))
    const { stream, seen } = body(bomb, 512)
    const before = process.memoryUsage().external
    const reader = inflate(encoding, stream)?.getReader()
    let bytes = 0
    while (reader !== undefined && bytes < 1024 * 1024) {
      const { value } = await reader.read()
      expect(value?.length).toBeLessThanOrEqual(64 * 1024)
      bytes += value?.length ?? 0
    }
    await reader?.cancel()
    expect(process.memoryUsage().external - before).toBeLessThan(64 * 1024 * 1024)
    // Brotli and zstd say 200 MB in so few bytes that all of them may have been taken.
    if (bomb.length > 100_000) expect(seen.bytes).toBeLessThan(bomb.length / 2)
    if (seen.bytes < bomb.length) expect(seen.cancelled).toBe(true)
  })

  test('a body that fails while it is sent rejects the read', async () => {
    const packed = compress(randomBytes(100_000))
    const broken = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(new Uint8Array(packed.subarray(0, 5_000))),
      pull: () => Promise.reject(new Error('the client left')),
    })
    await expect(all(inflate(encoding, broken))).rejects.toThrow()
  })
})

test.each(['gzip', 'br', 'zstd', 'deflate'] as const)('%s: garbage rejects', async (encoding) => {
  const garbage = Buffer.from('{"events": []} is not compressed at all, whatever the header says')
  await expect(all(inflate(encoding, body(garbage).stream))).rejects.toThrow()
})

test('zstd that asks for a window over 8 MiB rejects', async () => {
  const wide = zstdCompressSync(randomBytes(20 * 1024 * 1024), {
    params: { [constants.ZSTD_c_windowLog]: 24 },
  })
  await expect(all(inflate('zstd', body(wide).stream))).rejects.toThrow()
})

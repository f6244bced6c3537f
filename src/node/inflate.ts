import { pipeline, Readable, type Transform } from 'node:stream'
import {
  constants,
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createInflateRaw,
  createZstdDecompress,
} from 'node:zlib'
import type { Inflate } from '../host.ts'

const CHUNK_BYTES = 64 * 1024
// 8 MiB, as RFC 8878 recommends: a frame may ask for 128 MiB before it holds a single byte.
const ZSTD_WINDOW_LOG_MAX = 23

/**
 * Inflates with node:zlib, a piece of at most 64 KiB at a time and only as the result is read, so
 * that who stops reading stops a bomb. Bad or cut input rejects the read. `deflate` means zlib's
 * format, or raw deflate, which some clients send under that name.
 */
export const inflate: Inflate = (encoding, body) => {
  const input = body.getReader()
  let output: ReadableStreamDefaultReader<Uint8Array> | undefined
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        output ??= await inflated(encoding, input)
        const { done, value } = await output.read()
        if (done) controller.close()
        else controller.enqueue(value)
      },
      async cancel(reason) {
        await Promise.all([input.cancel(reason), output?.cancel(reason)])
      },
    },
    { highWaterMark: 0 },
  )
}

async function inflated(
  encoding: Parameters<Inflate>[0],
  input: ReadableStreamDefaultReader<Uint8Array>,
): Promise<ReadableStreamDefaultReader<Uint8Array>> {
  const first = await input.read()
  const inflating = decoder(encoding, first.value?.[0])
  // A failure of either side destroys the other, and reaches the reader through `inflating`.
  pipeline(Readable.from(pieces(first, input)), inflating, () => undefined)
  const output: ReadableStream<Uint8Array> = Readable.toWeb(inflating, {
    strategy: { highWaterMark: 1, size: () => 1 },
  })
  return output.getReader()
}

async function* pieces(
  first: Awaited<ReturnType<ReadableStreamDefaultReader<Uint8Array>['read']>>,
  input: ReadableStreamDefaultReader<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  try {
    for (let piece = first; !piece.done; piece = await input.read()) yield piece.value
  } finally {
    // Bad input ends the decoder before its source; after the source's end this does nothing.
    await input.cancel()
  }
}

function decoder(encoding: Parameters<Inflate>[0], firstByte: number | undefined): Transform {
  const options = { chunkSize: CHUNK_BYTES }
  switch (encoding) {
    case 'gzip':
      return createGunzip(options)
    case 'br':
      return createBrotliDecompress(options)
    case 'zstd':
      return createZstdDecompress({
        ...options,
        params: { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG_MAX },
      })
    case 'deflate':
      // zlib's header names the method (8) in its low half; raw deflate cannot begin like that.
      return ((firstByte ?? 8) & 0x0f) === 8 ? createInflate(options) : createInflateRaw(options)
  }
}

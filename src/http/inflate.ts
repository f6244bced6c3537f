import { Decompress, Gunzip } from 'fflate'
import type { Inflate } from '../host.ts'

// Deflate makes at most 1,032 bytes of one, and a piece is inflated whole.
const PIECE_BYTES_MAX = 8 * 1024

/**
 * Inflates with what runtimes of the web have, gzip and deflate, a small piece at a time, only as the
 * result is read. Bad or cut input fails the read.
 */
export const webInflate: Inflate = (encoding, body) => {
  if (encoding !== 'gzip' && encoding !== 'deflate') return undefined
  const pieces = body.pipeThrough(inSmallPieces())
  // Vercel's edge has none.
  if (!('DecompressionStream' in globalThis)) return pieces.pipeThrough(scripted(encoding))
  return pieces.pipeThrough(new DecompressionStream(encoding))
}

type Bytes = Uint8Array<ArrayBuffer>

function scripted(encoding: 'gzip' | 'deflate'): TransformStream<Bytes, Bytes> {
  const inflating = encoding === 'gzip' ? new Gunzip() : new Decompress()
  let push: (bytes: Bytes, isLast: boolean) => void
  return new TransformStream({
    start(controller) {
      inflating.ondata = (bytes) => controller.enqueue(new Uint8Array(bytes))
      push = (bytes, isLast) => inflating.push(bytes, isLast)
    },
    transform: (bytes) => push(bytes, false),
    flush: () => push(new Uint8Array(0), true),
  })
}

/** Small, so that a bomb goes off a little at a time; copies, as native code takes no memory that might be shared. */
function inSmallPieces(): TransformStream<Uint8Array, Bytes> {
  return new TransformStream({
    transform(given, controller) {
      for (let at = 0; at < given.byteLength; at += PIECE_BYTES_MAX) {
        controller.enqueue(new Uint8Array(given.subarray(at, at + PIECE_BYTES_MAX)))
      }
    },
  })
}

import type { Inflate } from '../host.ts'

/** Inflates with what runtimes of the web have: gzip and deflate. */
export const webInflate: Inflate = (encoding, body) => {
  if (encoding !== 'gzip' && encoding !== 'deflate') return undefined
  return body.pipeThrough(owned()).pipeThrough(new DecompressionStream(encoding))
}

/** Copies each piece: DecompressionStream takes no memory that might be shared. */
function owned(): TransformStream<Uint8Array, Uint8Array<ArrayBuffer>> {
  return new TransformStream({
    transform: (piece, controller) => controller.enqueue(new Uint8Array(piece)),
  })
}

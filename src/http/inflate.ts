import type { Inflate } from '../host.ts'

/** Inflates with what runtimes of the web have: gzip and deflate. */
export const webInflate: Inflate = (encoding, body) => {
  if (encoding !== 'gzip' && encoding !== 'deflate') return undefined
  return body.pipeThrough(new DecompressionStream(encoding))
}

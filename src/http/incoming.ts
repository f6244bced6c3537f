import { Refusal } from '../refusal.ts'
import type { ByteLease } from './budget.ts'

/** Bounds of one request. */
export interface Bounds {
  readonly bytesMax: number
  readonly lease: ByteLease
  /** How long the body is, where that is known. */
  readonly length?: number | undefined
}

/** What we use of Node's IncomingMessage, which @hono/node-server puts into `c.env.incoming`. */
interface Incoming {
  readonly destroyed: boolean
  readonly readableEnded: boolean
  readonly readableDidRead: boolean
  readonly on: (event: string, listener: (value: unknown) => void) => unknown
  readonly off: (event: string, listener: (value: unknown) => void) => unknown
  readonly pause: () => unknown
  readonly resume: () => unknown
}

/** Node's own request where there is one that nobody has read from, so that its bytes are ours. */
export function incomingOf(env: unknown): Incoming | undefined {
  if (typeof env !== 'object' || env === null || !('incoming' in env)) return undefined
  const { incoming } = env
  if (!isIncoming(incoming) || incoming.destroyed || incoming.readableDidRead) return undefined
  return incoming
}

/**
 * Collects the chunks as they come. The listeners go and the stream stays whole when it is given up,
 * so that the server can read the rest away and the client its answer.
 * @throws Refusal `too_large` or `overloaded`, and whatever error ended the connection.
 */
export function readIncoming(
  incoming: Incoming,
  { bytesMax, lease, length }: Bounds,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = []
    let total = 0
    /** Filled as it comes, so that no chunk is kept: those of a body that comes slowly would grow old. */
    let whole: Uint8Array | undefined
    let isWaiting = false
    let hasEnded = false
    const stop = (): void => {
      incoming.off('data', onData)
      incoming.off('end', onEnd)
      incoming.off('error', fail)
      incoming.off('close', onClose)
    }
    const fail = (error: unknown): void => {
      stop()
      incoming.pause()
      reject(error instanceof Error ? error : new Error('The connection was closed.'))
    }
    const finish = (): void => {
      stop()
      resolve(whole?.subarray(0, total) ?? joined(chunks, total, lease))
    }
    const onEnd = (): void => {
      hasEnded = true
      if (!isWaiting) finish()
    }
    const onClose = (): void => {
      if (!hasEnded) fail(undefined)
    }
    const onRoom = (): void => {
      isWaiting = false
      if (hasEnded) finish()
      else incoming.resume()
    }
    const onData = (chunk: unknown): void => {
      if (!(chunk instanceof Uint8Array)) return
      total += chunk.byteLength
      if (total > Math.min(bytesMax, length ?? bytesMax)) {
        fail(tooLarge(bytesMax))
        return
      }
      const room = lease.grow(chunk.byteLength)
      if (length !== undefined && chunk.byteLength < length) {
        whole ??= lease.memory(length)
        whole.set(chunk, total - chunk.byteLength)
        free(chunk)
      } else chunks.push(chunk)
      if (room === undefined) return
      isWaiting = true
      incoming.pause()
      room.then(onRoom, fail)
    }
    incoming.on('data', onData)
    incoming.on('end', onEnd)
    incoming.on('error', fail)
    incoming.on('close', onClose)
  })
}

/**
 * Frees the memory of bytes that were copied, at once: the collection of garbage comes late for what has waited in
 * its socket, 64 KB of each request under overload. Only where nothing else can lie in the same memory.
 */
function free({ buffer, byteLength }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0)
}

/** One array of all chunks; a single chunk is handed on without a copy. */
export function joined(
  chunks: readonly Uint8Array[],
  total: number,
  lease: Pick<ByteLease, 'memory'>,
): Uint8Array {
  const only = chunks[0]
  if (chunks.length === 1 && only !== undefined) return only
  const whole = lease.memory(total)
  let at = 0
  for (const chunk of chunks) {
    whole.set(chunk, at)
    at += chunk.byteLength
  }
  return whole
}

/** Said when a body is longer than it may be. */
export function tooLarge(bytesMax: number): Refusal {
  return new Refusal(
    'too_large',
    `The body must not be larger than ${bytesMax} bytes, before and after decompression; send fewer events at once.`,
  )
}

function isIncoming(value: unknown): value is Incoming {
  if (typeof value !== 'object' || value === null) return false
  return 'readableDidRead' in value && 'destroyed' in value && 'on' in value && 'pause' in value
}

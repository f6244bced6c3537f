import type { Inflate } from '../host.ts'
import { Refusal } from '../refusal.ts'
import type { ByteBudget } from './budget.ts'
import { incomingOf, joined, readIncoming, tooLarge, type Bounds } from './incoming.ts'

/** What `readBody` is bounded by. */
export interface BodyOptions {
  /** Most bytes, on the wire and, counted anew, after inflating. */
  readonly bytesMax: number
  readonly inflate: Inflate
  readonly budget: ByteBudget
}

/** A body that is held in memory. */
export interface Body {
  readonly bytes: Uint8Array
  /**
   * Its bytes are not read any more. They stay counted: what was made of them waits for the disk instead,
   * and is as large.
   */
  readonly spend: () => void
  /** Gives its bytes back to the budget; to be called once the request has ended. */
  readonly release: () => void
}

type Encoding = Parameters<Inflate>[0]

/** Longer bodies come in several pieces. */
const LONG_BYTES = 64 * 1024

/**
 * Reads the whole body of a request, inflated. `env` is Hono's `c.env`: under Node it holds the raw
 * request, from which bytes come several times cheaper than from a web stream.
 * @throws Refusal `too_large` beyond the limit (before reading, where the length is known),
 * `unsupported_encoding`, `malformed` for broken compression, `timeout` when the client went away
 * in the middle, `overloaded` when too many bytes are being held by others.
 */
export async function readBody(
  request: Request,
  { bytesMax, inflate, budget }: BodyOptions,
  env?: unknown,
): Promise<Body> {
  const encoding = encodingOf(request.headers.get('content-encoding'))
  const length = lengthOf(request.headers.get('content-length'))
  if (length !== undefined && length > bytesMax) throw tooLarge(bytesMax)
  const lease = budget.lease()
  try {
    // A short one comes with its headers: it is there already.
    const room = length === undefined || length < LONG_BYTES ? undefined : lease.begin(length)
    if (room !== undefined) await room
    const bytes =
      encoding === undefined
        ? await readPlain(request, { bytesMax, lease, length }, env)
        : await readInflated(request, { bytesMax, lease, inflate, encoding })
    return { bytes, spend: lease.spend, release: lease.release }
  } catch (error) {
    lease.release()
    throw error
  }
}

function lengthOf(header: string | null): number | undefined {
  const length = Number(header ?? Number.NaN)
  return Number.isSafeInteger(length) && length > 0 ? length : undefined
}

async function readPlain(request: Request, bounds: Bounds, env: unknown): Promise<Uint8Array> {
  const incoming = incomingOf(env)
  try {
    if (incoming !== undefined) return await readIncoming(incoming, bounds)
    return await readStream(request.body, bounds)
  } catch (error) {
    throw error instanceof Refusal ? error : interrupted(error)
  }
}

async function readInflated(
  request: Request,
  given: Bounds & { readonly inflate: Inflate; readonly encoding: Encoding },
): Promise<Uint8Array> {
  const { bytesMax, lease, inflate, encoding } = given
  const wire = boundWire(request.body ?? new Blob([]).stream(), bytesMax)
  const inflated = inflate(encoding, wire.stream)
  if (inflated === undefined) throw unsupported(encoding, 'gzip, deflate or none')
  try {
    return await readStream(inflated, { bytesMax, lease })
  } catch (error) {
    // The wire's own trouble passes through the decompressor and may come out as anything.
    const failure = wire.failure()
    if (failure !== undefined) throw failure
    if (error instanceof Refusal) throw error
    const message = `The body is not valid ${encoding}, which its Content-Encoding says it is.`
    throw new Refusal('malformed', message, { cause: error })
  }
}

async function readStream(
  stream: ReadableStream<Uint8Array> | null,
  { bytesMax, lease }: Bounds,
): Promise<Uint8Array> {
  if (stream === null) return new Uint8Array(0)
  const reader = stream.getReader()
  const chunks: Uint8Array[] = []
  let total = 0
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return joined(chunks, total, lease)
      total += value.byteLength
      if (total > bytesMax) throw tooLarge(bytesMax)
      const room = lease.grow(value.byteLength)
      if (room !== undefined) await room
      chunks.push(value)
    }
  } catch (error) {
    // A stream that has failed fails to be cancelled with the same error, which is already known.
    reader.cancel().catch(() => undefined)
    throw error
  }
}

/** The same stream, failing beyond `bytesMax`, and remembering why it failed. */
function boundWire(source: ReadableStream<Uint8Array>, bytesMax: number) {
  const reader = source.getReader()
  let failure: Refusal | undefined
  let total = 0
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done, value } = await reader.read()
        if (done) {
          controller.close()
          return
        }
        total += value.byteLength
        if (total > bytesMax) throw tooLarge(bytesMax)
        controller.enqueue(value)
      } catch (error) {
        failure ??= error instanceof Refusal ? error : interrupted(error)
        controller.error(failure)
      }
    },
    // The source is not cancelled: under Node that would cut the connection before the answer.
  })
  return { stream, failure: () => failure }
}

function interrupted(cause: unknown): Refusal {
  return new Refusal('timeout', 'The body did not arrive completely; send it again.', { cause })
}

function unsupported(encoding: string, use = 'gzip, deflate, br, zstd or none'): Refusal {
  const message = `The Content-Encoding ${encoding} is not supported; use ${use}.`
  return new Refusal('unsupported_encoding', message)
}

const ENCODINGS: Readonly<Record<string, Encoding>> = {
  gzip: 'gzip',
  'x-gzip': 'gzip',
  deflate: 'deflate',
  br: 'br',
  zstd: 'zstd',
}

/** @throws Refusal `unsupported_encoding` for an unknown coding, and for several. */
function encodingOf(header: string | null): Encoding | undefined {
  if (header === null) return undefined
  const codings = header
    .toLowerCase()
    .split(',')
    .map((coding) => coding.trim())
    .filter((coding) => coding !== '' && coding !== 'identity')
  const [coding] = codings
  if (coding === undefined) return undefined
  const encoding = Object.hasOwn(ENCODINGS, coding) ? ENCODINGS[coding] : undefined
  if (codings.length > 1 || encoding === undefined) {
    throw unsupported(header.replace(/[^\w, -]/g, '').slice(0, 60))
  }
  return encoding
}

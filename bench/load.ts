import { connect, type Socket } from 'node:net'

/** How a load went. */
export interface LoadResult {
  readonly requests: number
  readonly seconds: number
  /** Requests by status. */
  readonly statuses: Readonly<Record<number, number>>
  /** Milliseconds from sending to the whole answer, ascending. */
  readonly latenciesMs: readonly number[]
}

/** What to send, and how. */
export interface Load {
  readonly port: number
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  /** Sent in turn, each once; or what a connection sends next, which it may use again after its answer. */
  readonly bodies: readonly Buffer[] | ((connection: number) => Buffer)
  readonly connections: number
  /** Requests per second over all connections; as fast as answers come where absent. */
  readonly perSecond?: number
  /** After so many nothing more is sent. */
  readonly requestsMax?: number
  /** After this nothing more is sent. */
  readonly secondsMax?: number
}

/**
 * Posts each body once over keep-alive connections. Plain sockets: an HTTP client costs several times
 * more than the server it would measure, on the same two cores.
 */
export async function post(load: Load): Promise<LoadResult> {
  const head = Object.entries(load.headers)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('')
  let next = 0
  const statuses: Record<number, number> = {}
  const latenciesMs: number[] = []
  const startedMs = performance.now()

  const { bodies } = load
  const bodyOf = typeof bodies === 'function' ? bodies : (_: number, index: number) => bodies[index]

  async function worker(connection: number): Promise<void> {
    const client = await openClient(load.port)
    for (;;) {
      const index = next++
      if (index >= (load.requestsMax ?? Infinity)) break
      if (performance.now() - startedMs > (load.secondsMax ?? Infinity) * 1_000) break
      const body = bodyOf(connection, index)
      if (body === undefined) break
      let sentMs = performance.now()
      if (load.perSecond !== undefined) {
        // From when it should have been sent, so that a stalled server is not flattered.
        const dueMs = startedMs + (index * 1000) / load.perSecond
        if (dueMs > sentMs) await new Promise((resolve) => setTimeout(resolve, dueMs - sentMs))
        sentMs = dueMs
      }
      const status = await client.send(
        `POST ${load.path} HTTP/1.1\r\nHost: localhost\r\n${head}Content-Length: ${body.length}\r\n\r\n`,
        body,
      )
      latenciesMs.push(performance.now() - sentMs)
      statuses[status] = (statuses[status] ?? 0) + 1
    }
    client.close()
  }

  await Promise.all(Array.from({ length: load.connections }, (_, i) => worker(i)))
  const seconds = (performance.now() - startedMs) / 1000
  latenciesMs.sort((a, b) => a - b)
  return { requests: latenciesMs.length, seconds, statuses, latenciesMs }
}

async function openClient(port: number) {
  const socket: Socket = connect({ port, host: '127.0.0.1', noDelay: true })
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve)
    socket.once('error', reject)
  })
  let received = ''
  let waiting: { resolve: (status: number) => void; reject: (error: Error) => void } | undefined
  socket.setEncoding('latin1')
  socket.on('data', (data: string) => {
    received += data
    const headEnd = received.indexOf('\r\n\r\n')
    if (headEnd < 0) return
    const length = /content-length: (\d+)/i.exec(received)?.[1]
    if (length === undefined)
      throw new Error(`An answer without a length: ${received.slice(0, 200)}`)
    if (received.length < headEnd + 4 + Number(length)) return
    const status = Number(received.slice(9, 12))
    received = ''
    waiting?.resolve(status)
    waiting = undefined
  })
  const fail = (error: Error) => waiting?.reject(error)
  socket.on('error', fail)
  socket.on('close', () => fail(new Error('The connection was closed.')))
  return {
    send: (head: string, body: Buffer) =>
      new Promise<number>((resolve, reject) => {
        waiting = { resolve, reject }
        socket.cork()
        socket.write(head, 'latin1')
        socket.write(body)
        socket.uncork()
      }),
    close: () => socket.destroy(),
  }
}

/** The smallest of the sorted values that a share of them does not exceed: of 20 and 0.95 the nineteenth. */
export function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0
}

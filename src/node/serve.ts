import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, ServerResponse, type Server } from 'node:http'
import type { Duplex } from 'node:stream'
import { getRequestListener } from '@hono/node-server'

/** Of a request that waits to be read: Node then takes one piece of 64 KiB from the socket, not two. */
const UNREAD_BYTES_MAX = 16 * 1024
const HEADER_BYTES_MAX = 16 * 1024
// Longer than the 60 s that load balancers keep a connection: the side that closes should be theirs.
const KEEP_ALIVE_MS = 65_000
// Node's own default of 30 s would let a slow sender stay for half a minute too long.
const CHECK_EVERY_MS_MAX = 1_000
const CLOSE_IDLE_EVERY_MS = 50
// Beside the time for the request: what an answer may take, and how long its reader may stand still.
const STALL_MS = 30_000
const CONNECTIONS_MAX = 10_000

/** Answers one request. The second argument holds Node's own request, for the peer's address. */
export type Fetch = (request: Request, env: object) => Response | Promise<Response>

/** Where to listen and how patient to be. */
export interface ServeOptions {
  /** `::` means all addresses, also where there is no IPv6. */
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  /** Longest a request may take to arrive completely. */
  readonly timeoutMs: number
  /** Most open connections: what comes beyond is closed at once. */
  readonly connectionsMax?: number
  /** Longest a connection may be without a byte in either direction while a request is open. */
  readonly stallMs?: number
  /** Name of the setting that holds `port`, for the sentence that says it is taken. */
  readonly portSetting?: string
  /** Is told of whatever `fetch` throws; the client gets a 500 that says nothing. */
  readonly bug: (error: unknown) => void
}

/** A listener that is open. */
export interface Listening {
  /** As a link: `http://localhost:3000` where it listens on all addresses or on loopback. */
  readonly url: string
  readonly port: number
  /** Open connections now, and those refused so far because there were too many. */
  readonly connections: () => { readonly open: number; readonly refused: number }
  /** From now on each answer is the last of its connection, so that few are open when it closes. */
  readonly retire: () => void
  /** Stops accepting, waits up to `graceMs` for open requests, then cuts what is left. */
  readonly close: (graceMs: number) => Promise<void>
}

/** The port cannot be listened on; `message` is a sentence for the person who starts. */
export class ListenError extends Error {
  override readonly name = 'ListenError'
}

/**
 * Serves `fetch` over HTTP/1.1 and resolves once it listens. Replaces the global Request and
 * Response by @hono/node-server's lighter ones, which build the real ones only when they are needed.
 * @throws ListenError when the port cannot be had.
 */
export async function serve(fetch: Fetch, options: ServeOptions): Promise<Listening> {
  const listener = getRequestListener((request, env) => fetch(request, env), {
    errorHandler: (error) => failed(error, options.bug),
  })
  let isRetiring = false
  const server = createServer(
    {
      maxHeaderSize: HEADER_BYTES_MAX,
      highWaterMark: UNREAD_BYTES_MAX,
      requestTimeout: options.timeoutMs,
      headersTimeout: options.timeoutMs,
      connectionsCheckingInterval: Math.min(CHECK_EVERY_MS_MAX, Math.ceil(options.timeoutMs / 4)),
      keepAliveTimeout: KEEP_ALIVE_MS,
      noDelay: true,
    },
    // It answers every failure itself.
    (incoming, outgoing) => {
      // What a client sends just when its idle connection is closed has no answer and looks lost.
      if (isRetiring) outgoing.shouldKeepAlive = false
      void listener(incoming, outgoing)
    },
  )
  server.maxConnections = options.connectionsMax ?? CONNECTIONS_MAX
  // A reader that stands still would hold its answer in memory for ever.
  server.timeout = options.stallMs ?? options.timeoutMs + STALL_MS
  server.on('clientError', refuseBadClient)
  const connections = countConnections(server)
  await listening(server, options)
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : options.port
  return {
    url: `http://${shownHost(options.host)}:${port}`,
    port,
    connections,
    retire: () => {
      isRetiring = true
    },
    close: (graceMs) => {
      isRetiring = true
      return close(server, graceMs)
    },
  }
}

function countConnections(server: Server): Listening['connections'] {
  let [open, refused] = [0, 0]
  server.on('connection', (socket) => {
    open += 1
    socket.once('close', () => (open -= 1))
  })
  server.on('drop', () => (refused += 1))
  return () => ({ open, refused })
}

async function close(server: Server, graceMs: number): Promise<void> {
  const closed = once(server, 'close')
  // A connection that was busy when closing began is kept alive after its answer by Node.
  const idle = setInterval(() => server.closeIdleConnections(), CLOSE_IDLE_EVERY_MS)
  const grace = setTimeout(() => server.closeAllConnections(), graceMs)
  server.close()
  await closed
  clearInterval(idle)
  clearTimeout(grace)
}

async function listening(server: Server, options: ServeOptions): Promise<void> {
  try {
    await listen(server, options.host, options.port)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    const noIpv6 = code === 'EAFNOSUPPORT' || code === 'EADDRNOTAVAIL'
    if (options.host === '::' && noIpv6) {
      await listening(server, { ...options, host: '0.0.0.0' })
      return
    }
    const setting = options.portSetting ?? 'PORT'
    const why =
      code === 'EADDRINUSE'
        ? `Port ${options.port} is in use by another program: stop that, or set ${setting} to another port.`
        : `Cannot listen on ${options.host}, port ${options.port} (${setting}): ${String(error)}`
    throw new ListenError(why, { cause: error })
  }
}

async function listen(server: Server, host: string, port: number): Promise<void> {
  server.listen({ host, port, backlog: 1024 })
  await once(server, 'listening')
}

function shownHost(host: string): string {
  if (['::', '0.0.0.0', '127.0.0.1', '::1'].includes(host)) return 'localhost'
  return host.includes(':') ? `[${host}]` : host
}

function failed(error: unknown, bug: (error: unknown) => void): Response {
  // What cannot be made a Request never reached the app: a bad URL or Host header.
  if (error instanceof Error && error.name === 'RequestError') {
    return Response.json(
      { success: false, error: 'The URL or the Host header of the request is not valid.' },
      { status: 400, headers: { 'X-Error-Code': 'malformed', 'X-Request-Id': randomUUID() } },
    )
  }
  bug(error)
  return Response.json(
    { success: false, error: 'Something went wrong on our side.' },
    { status: 500, headers: { 'X-Request-Id': randomUUID() } },
  )
}

const BAD_CLIENT = {
  ERR_HTTP_REQUEST_TIMEOUT: {
    status: '408 Request Timeout',
    code: 'timeout',
    error: 'The request did not arrive completely in time.',
  },
  HPE_HEADER_OVERFLOW: {
    status: '431 Request Header Fields Too Large',
    code: 'too_large',
    error: `The headers of the request must be under ${HEADER_BYTES_MAX} bytes.`,
  },
  other: { status: '400 Bad Request', code: 'malformed', error: 'This is not HTTP/1.1.' },
} as const

/** What Node's parser refuses never becomes a request, so it is answered here, by hand. */
function refuseBadClient(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (!socket.writable || error.code === 'ECONNRESET' || hasBegunToAnswer(socket)) {
    socket.destroy()
    return
  }
  const timeout = error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
  const overflow = error.code === 'HPE_HEADER_OVERFLOW'
  const answer =
    BAD_CLIENT[timeout ? 'ERR_HTTP_REQUEST_TIMEOUT' : overflow ? 'HPE_HEADER_OVERFLOW' : 'other']
  const body = JSON.stringify({ success: false, error: answer.error })
  const head = [
    `HTTP/1.1 ${answer.status}`,
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    `X-Error-Code: ${answer.code}`,
    `X-Request-Id: ${randomUUID()}`,
    'Connection: close',
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy())
}

/** Half an answer must not be followed by another. Node keeps the open one in a private field. */
function hasBegunToAnswer(socket: Duplex): boolean {
  const open: unknown = Reflect.get(socket, '_httpMessage')
  return open instanceof ServerResponse && open.headersSent
}

import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { inject } from 'vitest'

/** What stands between the server and ClickHouse, and may do it harm. */
export interface Proxy {
  readonly url: string
  fault: Fault
  /** More time for each insert. */
  slowMs: number
  readonly close: () => void
}
/** What it may do to each request. */
export const FAULTS = ['none', 'refuse', 'cut', 'lose the answer', 'hang'] as const
type Fault = (typeof FAULTS)[number]

/** An event that says this is refused by ClickHouse for ever, as far as the server can see. */
export const POISON = 'a pill of poison'

/** One in front of the run's ClickHouse; at first it passes everything on but poison. */
export async function aProxy(): Promise<Proxy> {
  const proxy: Proxy = { url: '', fault: 'none', slowMs: 0, close: () => server.close() }
  const server = createServer((request, response) => {
    void pass(request, response, proxy).catch(() => response.destroy())
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return Object.assign(proxy, { url: `http://127.0.0.1:${port}` })
}

async function pass(
  request: IncomingMessage,
  response: ServerResponse,
  proxy: Proxy,
): Promise<void> {
  const pieces: Uint8Array[] = []
  for await (const piece of request) pieces.push(Buffer.from(piece))
  const now = proxy.fault
  if (now === 'hang') return
  if (now === 'cut') {
    response.destroy()
    return
  }
  if (now === 'refuse') {
    response.writeHead(500, { 'X-ClickHouse-Exception-Code': '252' })
    response.end('Code: 252. DB::Exception: Too many parts. (TOO_MANY_PARTS)')
    return
  }
  if (Buffer.concat(pieces).includes(POISON)) {
    response.writeHead(400, { 'X-ClickHouse-Exception-Code': '117' })
    response.end('Code: 117. DB::Exception: Incorrect data. (INCORRECT_DATA)')
    return
  }
  if (proxy.slowMs > 0 && request.url?.includes('INSERT') === true) await sleep(proxy.slowMs)
  const headers = new Headers()
  for (const [name, value] of Object.entries(request.headers)) {
    const isOurs = ['host', 'connection', 'content-length', 'transfer-encoding'].includes(name)
    if (!isOurs && typeof value === 'string') headers.set(name, value)
  }
  const answer = await fetch(`${inject('clickhouseUrl')}${request.url ?? '/'}`, {
    method: request.method ?? 'GET',
    headers,
    ...(pieces.length > 0 && { body: Buffer.concat(pieces) }),
  })
  const body = Buffer.from(await answer.arrayBuffer())
  if (now === 'lose the answer') {
    response.destroy()
    return
  }
  const kept = [...answer.headers].filter(([name]) => /^(content-type|x-clickhouse)/.test(name))
  response.writeHead(answer.status, Object.fromEntries(kept))
  response.end(body)
}

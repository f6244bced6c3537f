import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { brotliDecompressSync, gunzipSync, inflateSync, zstdDecompressSync } from 'node:zlib'
import { expect, inject } from 'vitest'
import { aSite, KEY } from '../flows/support.ts'
import { eventsOf, send, type Client } from './support.ts'

/**
 * Runs a client while ClickHouse is away. It is told yes, nothing is refused, and once ClickHouse is back there
 * are exactly `count` events, each once.
 */
export async function keptWithoutStore(
  client: Client,
  count: number,
): Promise<Awaited<ReturnType<typeof eventsOf>>> {
  const wire = await cuttable(new URL(inject('clickhouseUrl')))
  const site = await aSite({ CLICKHOUSE_HOST: `http://127.0.0.1:${wire.port}` })
  try {
    wire.cut()
    await expect
      .poll(async () => (await site.call('/health')).body)
      .toMatchObject({ services: { clickhouse: 'down' } })
    await send(site, client)
    expect(await site.metric('error_ingestor_events_total', { outcome: 'refused' })).toBe(0)
    wire.mend()
    const events = await eventsOf(site, count)
    expect(events).toHaveLength(count)
    return events
  } finally {
    await site.close()
    await wire.close()
  }
}

/**
 * Runs a client that sends three errors, waiting for each, and then a transaction, where one request is all
 * that its key may send: the second error hears 429 with both headers, the third is not even tried, and the
 * transaction, which is of another category, is.
 */
export async function goesQuiet(client: Client): Promise<void> {
  const site = await aSite({ LIMIT_REQUESTS_PER_SECOND: '0.01', LIMIT_BURST_SECONDS: '100' })
  const spy = await spying(site.url)
  try {
    const dsn = `http://${KEY}@127.0.0.1:${spy.port}/1`
    await send(site, { ...client, env: { ...client.env, SENTRY_DSN: dsn } })
    const errors = spy.seen.filter(({ types }) => types.includes('event'))
    expect(errors.map(({ status }) => status)).toEqual([200, 429])
    const limited = errors[1]?.headers
    expect(Number(limited?.get('retry-after'))).toBeGreaterThan(1)
    expect(limited?.get('x-sentry-rate-limits')).toMatch(/^\d+:[a-z_;]*error[a-z_;]*:key:/)
    // Some clients send a transaction as its spans.
    const types = spy.seen.flatMap((envelope) => envelope.types)
    expect(types.filter((type) => /^(?:transaction|span)$/.test(type))).not.toEqual([])
    const [kept, ...more] = await eventsOf(site, 1)
    expect([kept?.message, more]).toEqual([expect.stringContaining('first'), []])
  } finally {
    await spy.close()
    await site.close()
  }
}

const INFLATE: Readonly<Record<string, (body: Buffer) => Buffer>> = {
  gzip: (body) => gunzipSync(body),
  deflate: (body) => inflateSync(body),
  br: (body) => brotliDecompressSync(body),
  zstd: (body) => zstdDecompressSync(body),
}

/** Of one connection, so not passed on. */
const OF_THE_HOP = new Set(['host', 'connection', 'transfer-encoding', 'keep-alive', 'expect'])

/** Passes requests on, and notes of each envelope what its items are and what it heard. */
async function spying(target: string) {
  const seen: { readonly types: readonly string[]; status: number; headers: Headers }[] = []
  const server = createHttpServer((request, response) => {
    void (async () => {
      const body = await buffer(request)
      const headers = Object.entries(request.headers).filter(([name]) => !OF_THE_HOP.has(name))
      const answer = await fetch(target + (request.url ?? '/'), {
        method: request.method ?? 'POST',
        headers: headers.map(([name, value]): [string, string] => [name, String(value)]),
        body,
      })
      const encoding = request.headers['content-encoding'] ?? ''
      const text = (INFLATE[encoding] ?? ((same) => same))(body).toString()
      seen.push({ types: typesOf(text), status: answer.status, headers: answer.headers })
      const told = [...answer.headers].filter(
        ([name]) => !/^(?:content|connection|date)/.test(name),
      )
      response.writeHead(answer.status, Object.fromEntries(told))
      response.end(await answer.text())
    })()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: portOf(server),
    seen,
    close: async (): Promise<void> => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

/** The types that an envelope's item headers name: short lines of JSON that are no payload. */
function typesOf(envelope: string): readonly string[] {
  return envelope
    .split('\n')
    .slice(1)
    .flatMap((line) => /^\{[^{}]{0,300}\}$/.exec(line)?.[0] ?? [])
    .flatMap((line) => /"type": ?"(\w+)"/.exec(line)?.[1] ?? [])
}

function portOf(server: Server): number {
  const address = server.address()
  return isAddress(address) ? address.port : 0
}

function isAddress(address: AddressInfo | string | null): address is AddressInfo {
  return typeof address === 'object' && address !== null
}

/** A way to ClickHouse that can be cut. */
async function cuttable(target: URL) {
  const sockets = new Set<Socket>()
  let isCut = false
  const server: Server = createServer((socket) => {
    if (isCut) {
      socket.destroy()
      return
    }
    const onward = connect(Number(target.port), target.hostname)
    for (const end of [socket, onward]) {
      sockets.add(end)
      end.on('error', () => undefined).on('close', () => sockets.delete(end))
    }
    socket.pipe(onward).pipe(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: portOf(server),
    cut: (): void => {
      isCut = true
      for (const socket of sockets) socket.destroy()
    },
    mend: (): void => {
      isCut = false
    },
    close: async (): Promise<void> => {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

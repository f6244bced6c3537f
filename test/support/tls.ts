import { once } from 'node:events'
import { connect } from 'node:net'
import { createServer } from 'node:tls'
import { generate } from 'selfsigned'

/** A proxy that speaks TLS to its clients and plain TCP to one port of loopback. */
export interface TlsProxy {
  readonly port: number
  /** PEM of the certificate that vouches for it. */
  readonly ca: string
  readonly close: () => Promise<void>
}

/** Starts one with a certificate of its own for `localhost`, which nobody else vouches for. */
export async function startTlsProxy(toPort: number): Promise<TlsProxy> {
  const pair = await generate([{ name: 'commonName', value: 'localhost' }], {
    extensions: [
      { name: 'basicConstraints', cA: true },
      { name: 'subjectAltName', altNames: [{ type: 2, value: 'localhost' }] },
    ],
  })
  const server = createServer({ key: pair.private, cert: pair.cert }, (socket) => {
    const behind = connect(toPort, '127.0.0.1')
    // Either side may leave at any time, and then the other does too.
    socket.on('error', () => behind.destroy()).on('close', () => behind.destroy())
    behind.on('error', () => socket.destroy()).on('close', () => socket.destroy())
    socket.pipe(behind).pipe(socket)
  })
  server.on('tlsClientError', () => undefined)
  server.listen(0, 'localhost')
  await once(server, 'listening')
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    ca: pair.cert,
    async close() {
      const closed = once(server, 'close')
      server.close()
      await closed
    },
  }
}

import { once } from 'node:events'
import { connect } from 'node:net'
import { createServer } from 'node:tls'
import { generate } from 'selfsigned'

/** A proxy that speaks TLS to its clients and plain TCP to one port of loopback. */
export interface TlsProxy {
  readonly port: number
  /** PEM of the certificate that vouches for it. */
  readonly ca: string
  /** Takes another certificate, which nobody vouches for, for the connections to come. */
  readonly renew: (days: number) => Promise<void>
  readonly close: () => Promise<void>
}

const DAY_MS = 86_400_000

function aPair(days: number) {
  return generate([{ name: 'commonName', value: 'localhost' }], {
    notAfterDate: new Date(Date.now() + days * DAY_MS),
    extensions: [
      { name: 'basicConstraints', cA: true },
      { name: 'subjectAltName', altNames: [{ type: 2, value: 'localhost' }] },
    ],
  })
}

/** Starts one with a certificate of its own for `localhost`, which nobody else vouches for. */
export async function startTlsProxy(toPort: number, days = 365): Promise<TlsProxy> {
  const pair = await aPair(days)
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
    async renew(days) {
      const { private: key, cert } = await aPair(days)
      server.setSecureContext({ key, cert })
    },
    async close() {
      const closed = once(server, 'close')
      server.close()
      await closed
    },
  }
}

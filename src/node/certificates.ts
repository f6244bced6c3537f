import { X509Certificate } from 'node:crypto'
import { connect } from 'node:tls'

/** When certificates end that ClickHouse needs to be reached. */
export interface Certificates {
  /** Of the first that ends, in milliseconds since the Unix epoch; undefined where none is known. */
  readonly expireAtMs: () => number | undefined
  readonly end: () => void
}

/** A handshake costs a millisecond, and a new certificate is known a minute later. */
const LOOK_EVERY_MS = 60_000
const HANDSHAKE_MS_MAX = 5_000
const PEM = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

/**
 * Looks at the certificate of an `https://` ClickHouse every minute, and at those that vouch for it (PEM).
 * While it does not answer, what was seen last counts.
 */
export function watchCertificates(url: string, ca: Buffer | undefined): Certificates {
  const { protocol, hostname, port } = new URL(url)
  if (protocol !== 'https:') return { expireAtMs: () => undefined, end: () => undefined }
  const given = [...(ca?.toString('latin1') ?? '').matchAll(PEM)]
  const givenMs = given.map(([pem]) => Date.parse(new X509Certificate(pem).validTo))
  let seenMs: number | undefined

  function look(): void {
    // Only its dates are read, so who vouches for it is no matter: an expired one is told too.
    const socket = connect({
      ...{ host: hostname, port: Number(port || 443), servername: hostname },
      ...{ rejectUnauthorized: false, timeout: HANDSHAKE_MS_MAX },
    })
    socket.once('secureConnect', () => {
      const endMs = Date.parse(socket.getPeerCertificate().valid_to)
      if (!Number.isNaN(endMs)) seenMs = endMs
      socket.destroy()
    })
    socket.once('timeout', () => socket.destroy())
    socket.on('error', () => socket.destroy()) // That it is away is told by what has to reach it.
  }

  look()
  const timer = setInterval(look, LOOK_EVERY_MS).unref()
  return {
    expireAtMs() {
      const all = seenMs === undefined ? givenMs : [...givenMs, seenMs]
      return all.length === 0 ? undefined : Math.min(...all)
    },
    end: () => clearInterval(timer),
  }
}

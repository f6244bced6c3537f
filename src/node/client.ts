import { BlockList, isIP } from 'node:net'
import type { Host } from '../host.ts'

/** Longest way through proxies that is followed; a client may write as many as it likes. */
const HOPS_MAX = 32
const HOST = /^(?:[\w.-]+|\[[\da-f:.]+\])(?::\d{1,5})?$/i

/**
 * Finds out where a request comes from. `X-Forwarded-For`, `-Proto` and `-Host` count only where the
 * connection comes from one of the `trusted` ranges (CIDR): the client is then the last address that
 * is none of theirs, so what a client itself writes in front of it changes nothing.
 */
export function createClientOf(trusted: readonly string[]): Host['clientOf'] {
  const proxies = new BlockList()
  for (const range of trusted) {
    const [address = '', prefix] = range.split('/')
    proxies.addSubnet(address, Number(prefix), familyOf(address))
  }
  const isProxy = (address: string) => proxies.check(address, familyOf(address))
  return (request, env) => {
    const peer = peerOf(env)
    const url = new URL(request.url)
    if (peer === undefined || !isProxy(peer)) {
      return { address: peer, origin: url.origin, viaProxy: false }
    }
    const { headers } = request
    const first = (name: string) => headers.get(name)?.split(',')[0]?.trim().toLowerCase() ?? ''
    const scheme = /^https?$/.test(first('x-forwarded-proto')) ? first('x-forwarded-proto') : 'http'
    const host = HOST.test(first('x-forwarded-host')) ? first('x-forwarded-host') : url.host
    const address = clientBehind(headers.get('x-forwarded-for') ?? '', peer, isProxy)
    return { address, origin: `${scheme}://${host}`, viaProxy: true }
  }
}

/** From the last hop back to the first that is no proxy of ours. */
function clientBehind(forwardedFor: string, peer: string, isProxy: (a: string) => boolean): string {
  let last = peer
  for (const hop of forwardedFor.split(',').slice(-HOPS_MAX).reverse()) {
    const address = plain(hop.trim())
    // What is no address was written by somebody who is not to be believed, nor is what stands before.
    if (address === undefined) return last
    last = address
    if (!isProxy(address)) return last
  }
  return last
}

/** @hono/node-server passes Node's own request with each. */
function peerOf(env: unknown): string | undefined {
  const incoming: unknown = isObject(env) ? Reflect.get(env, 'incoming') : undefined
  const socket: unknown = isObject(incoming) ? Reflect.get(incoming, 'socket') : undefined
  const address: unknown = isObject(socket) ? Reflect.get(socket, 'remoteAddress') : undefined
  return typeof address === 'string' ? plain(address) : undefined
}

/** An address without port, brackets and zone; IPv4 as such also where it came over an IPv6 socket. */
function plain(text: string): string | undefined {
  const address = text
    .replace(/^\[([^\]]+)\](?::\d+)?$/, '$1')
    .replace(/^(\d+\.\d+\.\d+\.\d+):\d+$/, '$1')
    .replace(/%.*$/, '')
    .replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, '')
  return isIP(address) === 0 ? undefined : address
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return address.includes(':') ? 'ipv6' : 'ipv4'
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

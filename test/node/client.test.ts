import { describe, expect, test } from 'vitest'
import { readConfig } from '../../src/config.ts'
import { createClientOf } from '../../src/node/client.ts'

const TRUSTED = ['10.0.0.0/8', 'fd00::/8', '127.0.0.1/32']

function clientOf(peer: string, headers: Record<string, string>, trusted = TRUSTED) {
  const request = new Request('http://errors.internal:3000/a?b', { headers })
  return createClientOf(trusted)(request, { incoming: { socket: { remoteAddress: peer } } })
}

const SPOOFED = {
  'X-Forwarded-For': '1.1.1.1',
  'X-Forwarded-Proto': 'https',
  'X-Forwarded-Host': 'evil.example',
}

describe('X-Forwarded-*', () => {
  test.each(['203.0.113.9', '2001:db8::9', '::ffff:203.0.113.9', '11.0.0.1'])(
    'says nothing where it comes from %s, which is no proxy of ours',
    (peer) => {
      expect(clientOf(peer, SPOOFED)).toEqual({
        address: peer.replace('::ffff:', ''),
        origin: 'http://errors.internal:3000',
        viaProxy: false,
      })
    },
  )

  test('says nothing at all where no proxy is configured', () => {
    expect(clientOf('127.0.0.1', SPOOFED, [])).toMatchObject({
      address: '127.0.0.1',
      viaProxy: false,
    })
  })

  test.each(['10.1.2.3', 'fd00::1', '::ffff:10.1.2.3'])('is believed from %s', (peer) => {
    expect(clientOf(peer, { ...SPOOFED, 'X-Forwarded-Host': 'errors.example.com' })).toEqual({
      address: '1.1.1.1',
      origin: 'https://errors.example.com',
      viaProxy: true,
    })
  })

  test.each([
    ['6.6.6.6, 1.2.3.4', '1.2.3.4', 'what the client wrote before it'],
    ['6.6.6.6, 1.2.3.4, 10.9.9.9', '1.2.3.4', 'behind two proxies of ours'],
    ['10.9.9.9', '10.9.9.9', 'a client that is inside our ranges'],
    ['1.2.3.4, unknown, 10.9.9.9', '10.9.9.9', 'nothing beyond what is no address'],
    ['', '10.0.0.1', 'an empty header'],
    ['[2001:db8::7]:4711', '2001:db8::7', 'brackets and port'],
    ['1.2.3.4:5678', '1.2.3.4', 'a port'],
    [`${'6.6.6.6,'.repeat(1_000)}1.2.3.4`, '1.2.3.4', 'a very long way'],
  ])('takes of "%.40s" the address %s: %s', (forwarded, address) => {
    expect(clientOf('10.0.0.1', { 'X-Forwarded-For': forwarded }).address).toBe(address)
  })

  test.each(['javascript:', 'a b', 'a/b', 'a@b', '<x>'])(
    'with the host %j is not taken into links',
    (host) => {
      expect(clientOf('10.0.0.1', { 'X-Forwarded-Host': host }).origin).toBe(
        'http://errors.internal:3000',
      )
    },
  )
})

test('a runtime that tells no address has none', () => {
  const request = new Request('http://a/')
  expect(createClientOf(TRUSTED)(request, undefined)).toEqual({
    address: undefined,
    origin: 'http://a',
    viaProxy: false,
  })
})

test('TRUSTED_PROXIES takes ranges, and neither everybody nor what is none', () => {
  const read = (text: string) => readConfig({ TRUSTED_PROXIES: text }).http.trustedProxies
  expect(read(' 10.0.0.0/8 ,fd00::/8')).toEqual(['10.0.0.0/8', 'fd00::/8'])
  for (const bad of ['0.0.0.0/0', '::/0', '10.0.0.0', 'proxy.example.com', '10.0.0.0/33']) {
    expect(() => read(bad), bad).toThrow(/TRUSTED_PROXIES/)
  }
})

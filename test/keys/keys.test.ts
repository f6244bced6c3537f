import { describe, expect, test } from 'vitest'
import type { AppSetting } from '../../src/app-setting.ts'
import { DEVELOPMENT_KEY, readConfig } from '../../src/config.ts'
import { apiKeyOf, createKeys } from '../../src/keys/keys.ts'
import { SCOPES, type Scope } from '../../src/keys/records.ts'
import { createRegistrations, REGISTRATIONS_MAX } from '../../src/keys/registrations.ts'
import { isMistyped, makeKey, projectIdOf } from '../../src/keys/token.ts'

const NOW = Date.UTC(2026, 0, 15)
const OWN = 'ei_live_0123456789abcdef'
type Setting = AppSetting['keys'][number]

function aKey(given: Partial<Setting> = {}): Setting {
  return { key: OWN, scopes: ['ingest'], revoked: false, ...given }
}

function keysOf(keys: readonly Setting[], rest: Partial<Parameters<typeof createKeys>[0]> = {}) {
  const apps = [{ id: 'shop', name: 'Shop', keys: [...keys] }]
  return createKeys({
    apps,
    developmentMode: false,
    developmentKey: DEVELOPMENT_KEY,
    nowMs: () => NOW,
    ...rest,
  })
}

const refusal = (code: string): unknown => expect.objectContaining({ name: 'Refusal', code })

describe('admit', () => {
  test('a key opens exactly its scopes', () => {
    const sets: readonly (readonly Scope[])[] = [...SCOPES.map((scope) => [scope]), [...SCOPES]]
    for (const scopes of sets) {
      const keys = keysOf([aKey({ scopes: [...scopes] })])
      for (const scope of SCOPES) {
        const admit = () => keys.admit(OWN, scope)
        if (scopes.includes(scope)) expect(admit().app?.id).toBe('shop')
        else expect(admit).toThrow(refusal('forbidden'))
      }
    }
  })

  test('one of several scopes is enough, and none of them is not', () => {
    const keys = keysOf([aKey()])
    expect(keys.admit(OWN, ['sourcemaps', 'ingest']).app?.name).toBe('Shop')
    expect(() => keys.admit(OWN, ['sourcemaps', 'read'])).toThrow(
      'This API key lacks the scope sourcemaps or read.',
    )
  })

  test.each([
    undefined,
    '',
    'ei_live_0123456789abcdeg',
    OWN.slice(0, -1),
    `${OWN}0`,
    OWN.toUpperCase(),
  ])('a missing or unknown key is unauthenticated: %j', (key) => {
    expect(() => keysOf([aKey()]).admit(key, 'ingest')).toThrow(refusal('unauthenticated'))
  })

  test('a key of a megabyte, NUL bytes or lone surrogates is unknown, not an error', () => {
    const keys = keysOf([aKey()])
    for (const key of ['a'.repeat(2 ** 20), '\0\0', '\ud800', '__proto__', 'constructor']) {
      expect(() => keys.admit(key, 'ingest')).toThrow(refusal('unauthenticated'))
    }
  })

  test('a key whose checksum does not fit is called mistyped', () => {
    const key = makeKey('ingest')
    const keys = keysOf([aKey({ key })])
    expect(keys.admit(key, 'ingest').app?.id).toBe('shop')
    expect(() => keys.admit(key.slice(0, -1), 'ingest')).toThrow(/mistyped/)
    expect(() => keys.admit(makeKey('ingest'), 'ingest')).toThrow('This API key is not known.')
  })

  test('a revoked key is forbidden', () => {
    const admit = () => keysOf([aKey({ revoked: true })]).admit(OWN, 'ingest')
    expect(admit).toThrow(refusal('forbidden'))
    expect(admit).toThrow(/revoked/)
  })

  test('a key works until the millisecond before it expires', () => {
    const expiresAt = new Date(NOW).toISOString()
    let now = NOW - 1
    const keys = keysOf([aKey({ expiresAt })], { nowMs: () => now })
    expect(keys.admit(OWN, 'ingest').app?.id).toBe('shop')
    now = NOW
    expect(() => keys.admit(OWN, 'ingest')).toThrow(refusal('forbidden'))
  })

  test('a refusal never repeats the key', () => {
    for (const keys of [keysOf([]), keysOf([aKey({ revoked: true })]), keysOf([aKey()])]) {
      try {
        keys.admit(OWN, 'admin')
        expect.unreachable()
      } catch (error) {
        expect(String(error)).not.toContain('0123456789')
      }
    }
  })
})

describe('development mode', () => {
  const development = keysOf([aKey()], { developmentMode: true })

  test('has the key of the test application with all scopes', () => {
    for (const scope of SCOPES) {
      const { app } = development.admit(DEVELOPMENT_KEY, scope)
      expect(app).toMatchObject({ id: 'test-app', name: 'Test Application' })
    }
  })

  test('needs no key to read, but a key that is shown must be good', () => {
    expect(development.admitRead(undefined, 'shop').app).toBeUndefined()
    expect(() => development.admitRead('nonsense', 'shop')).toThrow(refusal('unauthenticated'))
    expect(() => development.admitRead(DEVELOPMENT_KEY, 'shop')).toThrow(refusal('forbidden'))
    expect(() => development.admit(undefined, 'ingest')).toThrow(refusal('unauthenticated'))
  })

  test('refuses a configuration that gives the development key to another app', () => {
    const keys = [aKey({ key: DEVELOPMENT_KEY })]
    expect(() => keysOf(keys, { developmentMode: true })).toThrow(/belongs to test-app only/)
  })
})

describe('production', () => {
  test('does not know the development key, and every read needs a key', () => {
    const keys = keysOf([aKey({ scopes: ['read'] })])
    expect(() => keys.admit(DEVELOPMENT_KEY, 'ingest')).toThrow(refusal('unauthenticated'))
    expect(() => keys.admitRead(undefined, 'shop')).toThrow(refusal('unauthenticated'))
    expect(keys.app('test-app')).toBeUndefined()
    expect(keys.admitRead(OWN, 'shop').app?.id).toBe('shop')
    expect(keys.admitRead(OWN).app?.id).toBe('shop')
    expect(() => keys.admitRead(OWN, 'other')).toThrow(refusal('forbidden'))
  })

  test('an ingest key never reads', () => {
    expect(() => keysOf([aKey()]).admitRead(OWN, 'shop')).toThrow(refusal('forbidden'))
  })
})

describe('web pages', () => {
  const keyOf = (origins: string[] | undefined) =>
    keysOf([], {
      apps: [{ id: 'shop', name: 'Shop', keys: [aKey()], ...(origins && { origins }) }],
    })
  const list = ['https://shop.example.com', 'https://*.example.org', 'http://localhost:*']

  test.each([
    'https://shop.example.com',
    'HTTPS://Shop.Example.com',
    'https://a.example.org',
    'https://a.b.example.org',
    'http://localhost:8080',
  ])('%s may send where the list says so', (origin) => {
    expect(keyOf(list).admitIngest(OWN, origin).app?.id).toBe('shop')
  })

  test.each([
    'http://shop.example.com',
    'https://shop.example.com.evil.example',
    'https://shop.example.com:444',
    'https://example.org',
    'https://evil.example/.example.org',
    'https://evilexample.org',
    'null',
    '',
  ])('%j may not', (origin) => {
    expect(() => keyOf(list).admitIngest(OWN, origin)).toThrow(refusal('forbidden'))
  })

  test('all may where there is no list, and what is no page may always', () => {
    expect(keyOf(undefined).admitIngest(OWN, 'https://evil.example').app?.id).toBe('shop')
    expect(keyOf([]).admitIngest(OWN, 'null').app?.id).toBe('shop')
    expect(keyOf(list).admitIngest(OWN, null).app?.id).toBe('shop')
    expect(() => keyOf(list).admitIngest(undefined, list[0] ?? '')).toThrow(
      refusal('unauthenticated'),
    )
  })
})

describe('apps', () => {
  test('the DSN key is the newest live one that can do nothing but ingest', () => {
    const keys = keysOf([
      aKey({ key: 'ei_live_oldoldoldold' }),
      aKey({ key: 'ei_live_newnewnewnew' }),
      aKey({ key: 'ei_live_revokedrevoked', revoked: true }),
      aKey({ key: 'ei_live_expiredexpired', expiresAt: '2020-01-01T00:00:00Z' }),
      aKey({ key: 'ei_live_readreadread', scopes: ['ingest', 'read'] }),
    ])
    expect(keys.app('shop')?.ingestKey).toBe('ei_live_newnewnewnew')
    expect(keysOf([aKey({ scopes: ['read'] })]).app('shop')?.ingestKey).toBeUndefined()
  })

  test('a project number is stable, positive and below 2^31', () => {
    expect(projectIdOf('test-app')).toBe(1_683_323_941)
    for (let i = 0; i < 1_000; i += 1) {
      const id = projectIdOf(`app-${i}`)
      expect(Number.isInteger(id) && id > 0 && id < 2 ** 31).toBe(true)
    }
  })

  test('two configured apps of one project number are told at the start', () => {
    const app = (id: string) => ({ id, name: id, keys: [] })
    expect(projectIdOf('app-953')).toBe(projectIdOf('app-24635'))
    expect(() => keysOf([], { apps: [app('app-953'), app('app-24635')] })).toThrow(
      /app-24635 and app-953 have the same project number/,
    )
    expect(() => keysOf([], { apps: [app('app-953'), app('app-24636')] })).not.toThrow()
  })
})

test('what is set of an app comes with its key, and nothing comes where nothing is set', () => {
  const options = {
    limits: { eventsPerSecond: 5, spikeGuard: { eventsPerMinute: 100 } },
    origins: ['https://shop.example.com'],
    retentionDays: 7,
    scrub: { globs: ['*_ssn'], truncateIp: true },
  }
  const { apps } = readConfig({
    NODE_ENV: 'production',
    APPS: JSON.stringify([{ id: 'shop', name: 'Shop', keys: [{ key: OWN }], ...options }]),
  })
  expect(keysOf([], { apps }).admit(OWN, 'ingest').app).toMatchObject(options)
  const bare = keysOf([aKey()]).admit(OWN, 'ingest').app
  expect([bare?.limits, bare?.origins, bare?.retentionDays, bare?.scrub]).toEqual(
    Array(4).fill(undefined),
  )
})

test.each([
  { limits: { eventsPerSecond: 0 } },
  { limits: { eventsPerFortnight: 1 } },
  { origins: ['shop.example.com/path'] },
  { retentionDays: 0.5 },
  { scrub: { globs: [''] } },
])('%j cannot be set of an app', (options) => {
  const APPS = JSON.stringify([{ id: 'shop', name: 'Shop', ...options }])
  expect(() => readConfig({ APPS })).toThrow(/^The configuration cannot be used:\n {2}APPS/)
})

describe('register', () => {
  test('gives a new ingest key that works at once, and a second one beside it', () => {
    const keys = keysOf([])
    const { apiKey } = keys.register('com.example.app', 'My Application')
    const second = keys.register('com.example.app', 'My Application').apiKey
    expect(apiKey).toMatch(/^ei_ingest_[0-9A-Za-z]{36}$/)
    expect(second).not.toBe(apiKey)
    for (const key of [apiKey, second]) {
      expect(keys.admit(key, 'ingest').app).toMatchObject({
        name: 'My Application',
        ingestKey: second,
      })
      expect(() => keys.admit(key, 'read')).toThrow(refusal('forbidden'))
    }
    expect(keys.apps().map(({ id }) => id)).toEqual(['shop', 'com.example.app'])
  })

  test('an app registered elsewhere is known, whether before or after the start', () => {
    const registrations = createRegistrations(() => NOW)
    const before = registrations.register('before', 'Before').apiKey
    const keys = keysOf([], { registrations })
    const after = registrations.register('after', 'After').apiKey
    expect(keys.admit(before, 'ingest').app?.id).toBe('before')
    expect(keys.admit(after, 'ingest').app?.id).toBe('after')
  })

  test.each([
    ['', 'Name'],
    ['a'.repeat(201), 'Name'],
    ['app', ''],
    ['app', 'n'.repeat(201)],
  ])('refuses empty and too long names: %#', (id, name) => {
    expect(() => keysOf([]).register(id, name)).toThrow(RangeError)
    expect(() => keysOf([]).register('a'.repeat(200), 'n'.repeat(200))).not.toThrow()
  })

  test('refuses an app that shares its project number, configured or registered', () => {
    const keys = keysOf([], { apps: [{ id: 'app-953', name: 'One', keys: [] }] })
    expect(() => keys.register('app-24635', 'Two')).toThrow(/same project number/)
    const registrations = createRegistrations(() => NOW)
    registrations.register('app-953', 'One')
    expect(() => registrations.register('app-24635', 'Two')).toThrow(/same project number/)
  })

  test('stops at its limit', () => {
    const registrations = createRegistrations(() => NOW)
    for (let i = 0; i < REGISTRATIONS_MAX; i += 1) registrations.register('app', 'App')
    expect(() => registrations.register('app', 'App')).toThrow(RangeError)
  })
})

describe('makeKey', () => {
  test('no two keys are alike, and one wrong digit breaks the checksum', () => {
    const made = new Set(Array.from({ length: 1_000 }, () => makeKey('read')))
    expect(made.size).toBe(1_000)
    for (const key of made) {
      expect(isMistyped(key)).toBe(false)
      const at = 8 + Math.floor(Math.random() * 36)
      const other = key[at] === 'a' ? 'b' : 'a'
      expect(isMistyped(key.slice(0, at) + other + key.slice(at + 1))).toBe(true)
    }
  })

  test('the checksum is the CRC-32 of what stands before it, in base62', async () => {
    const { crc32 } = await import('node:zlib')
    const digits = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
    const key = makeKey('ingest')
    const value = Array.from(key.slice(-6)).reduce(
      (sum, digit) => sum * 62 + digits.indexOf(digit),
      0,
    )
    expect(value).toBe(crc32(key.slice(0, -6)))
  })
})

describe('apiKeyOf', () => {
  const request = (headers: Record<string, string>) => new Request('http://localhost/', { headers })

  test.each([
    [{ 'X-API-Key': 'ei_a' }, 'ei_a'],
    [{ Authorization: 'Bearer ei_b' }, 'ei_b'],
    [{ Authorization: 'bearer  ei_b ' }, 'ei_b'],
    [{ 'X-API-Key': 'ei_a', Authorization: 'Bearer ei_b' }, 'ei_a'],
    [{ 'X-API-Key': '', Authorization: 'Bearer ei_b' }, 'ei_b'],
    [{ Authorization: 'Basic ei_b' }, undefined],
    [{ Authorization: 'Bearer' }, undefined],
    [{}, undefined],
  ])('%j → %s', (headers, key) => {
    expect(apiKeyOf(request(headers))).toBe(key)
  })
})

import { expect, test } from 'vitest'
import { createKeyFiles, type KeyFile } from '../../src/keys/files.ts'
import { createDigest } from '../../src/keys/records.ts'
import { makeKey } from '../../src/keys/token.ts'

const T = Date.UTC(2026, 0, 15)
const digest = createDigest('a pepper of a test')
const [A, B, C] = [makeKey('ingest'), makeKey('ingest'), makeKey('admin')]

const folder = (production = true) =>
  createKeyFiles({ digest, nowMs: () => T, forbidden: ['ei_test_key_12345'], production })
const app = (id: string, key: string, more: object = {}) => ({
  id,
  name: id,
  keys: [{ key }],
  ...more,
})
const file = (name: string, content: unknown): KeyFile => ({ name, content })

test('apps, keys, scopes, origins, limits, retention and scrubbing are declared', () => {
  const options = {
    origins: ['https://shop.example.com'],
    limits: { eventsPerDay: 5 },
    retentionDays: 3,
    scrub: { globs: ['*_ssn'], truncateIp: true },
  }
  const expiresAt = new Date(T).toISOString()
  const { declared, bad } = folder().take([
    file('a.json', [
      { ...app('shop', A, options), keys: [{ key: A, scopes: ['ingest', 'read'], expiresAt }] },
    ]),
    file('b.yaml', { apps: [app('web', B)], keys: [{ key: C }] }),
  ])
  expect(bad).toEqual([])
  expect(declared.apps).toMatchObject([
    { id: 'shop', options },
    { id: 'web', options: {} },
  ])
  expect(declared.keys).toMatchObject([
    { digest: digest(A), appId: 'shop', expiresAtMs: T, readable: undefined },
    { digest: digest(B), appId: 'web', readable: B, revokedAtMs: undefined },
    { digest: digest(C), appId: undefined, readable: undefined, scopes: new Set(['admin']) },
  ])
  expect([...(declared.keys[0]?.scopes ?? [])]).toEqual(['ingest', 'read'])
})

test('a bad file goes on as it was, and its neighbours go on changing', () => {
  const files = folder()
  files.take([file('a.json', [app('shop', A)]), file('b.json', [])])
  const { declared, bad } = files.take([
    { name: 'a.json', problem: 'The file is not JSON.' },
    file('b.json', [app('web', B)]),
  ])
  expect(declared.apps.map(({ id }) => id)).toEqual(['shop', 'web'])
  expect(bad).toEqual([{ name: 'a.json', problem: 'The file is not JSON.', hasLastGood: true }])
  const mended = files.take([file('a.json', [app('shop2', A)]), file('b.json', [])])
  expect(mended.bad).toEqual([])
  expect(mended.declared.apps.map(({ id }) => id)).toEqual(['shop2'])
})

test('a file that was never good has nothing to go on with; one that is gone is gone', () => {
  const files = folder()
  const { declared, bad } = files.take([file('a.json', 5), file('b.json', [app('web', B)])])
  expect(declared.apps.map(({ id }) => id)).toEqual(['web'])
  expect(bad).toMatchObject([{ name: 'a.json', hasLastGood: false }])
  expect(files.take([]).declared).toEqual({ apps: [], keys: [] })
})

test('an app keeps the time at which it was seen first', () => {
  let now = T
  const files = createKeyFiles({ digest, nowMs: () => now, forbidden: [], production: true })
  files.take([file('a.json', [app('shop', A)])])
  now += 5_000
  const { declared } = files.take([file('a.json', [app('shop', B)])])
  expect(declared.apps[0]?.createdAtMs).toBe(T)
})

test.each([
  ['a typo in a name', [{ ...app('shop', A), kyes: [] }], /names that are not known: kyes/],
  ['a typo in a key', [{ ...app('shop', A), keys: [{ key: A, revokd: true }] }], /revokd/],
  ['an unknown scope', [{ ...app('shop', A), keys: [{ key: A, scopes: ['all'] }] }], /scopes/],
  ['a key of no app that ingests', { keys: [{ key: C, scopes: ['ingest'] }] }, /read or admin/],
  ['a path among origins', [app('shop', A, { origins: ['https://a.example/x'] })], /origin/],
  ['a short key', [app('shop', 'ei_short_1')], /at least 16 characters/],
  ['the development key', [app('shop', 'ei_test_key_12345')], /public knowledge/],
  ['an app twice', [app('shop', A), app('shop', B)], /The app shop is declared twice/],
  ['a key twice', [app('shop', A), app('web', A)], /Key 1 of the app web is declared twice/],
])('%s is told, without the key', (_what, content, words) => {
  const { declared, bad } = folder().take([file('a.json', content)])
  expect(declared.keys).toEqual([])
  expect(bad[0]?.problem).toMatch(words)
  expect(bad[0]?.problem).not.toContain(A)
})

test('development mode takes short keys', () => {
  expect(folder(false).take([file('a.json', [app('shop', 'ei_short_1')])]).bad).toEqual([])
})

test('of two files that declare one key or app the second by name is bad', () => {
  const { declared, bad } = folder().take([
    file('b.json', [app('shop', B)]),
    file('a.json', [app('shop', A)]),
    file('c.json', [app('web', A)]),
  ])
  expect(declared.keys.map((key) => key.digest)).toEqual([digest(A)])
  expect(bad.map(({ name }) => name)).toEqual(['b.json', 'c.json'])
})

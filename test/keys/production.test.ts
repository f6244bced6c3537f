import { describe, expect, test } from 'vitest'
import { DEVELOPMENT_KEY, readConfig, requireSomeKey } from '../../src/config.ts'
import { createKeys } from '../../src/keys/keys.ts'
import { makeKey } from '../../src/keys/token.ts'

const ADMIN_KEY = makeKey('admin')
const KEY_PEPPER = '5d41402abc4b2a76b9719d911017c592aa11bb22cc33dd44'
const ADMIN_PASSWORD = 'correct horse battery'
const SESSION_SECRET = '0123456789abcdef0123456789abcdef'
const APPS = JSON.stringify([{ id: 'shop', name: 'Shop', keys: [{ key: makeKey('ingest') }] }])
const start = (env: Record<string, string>) => () =>
  requireSomeKey(readConfig({ NODE_ENV: 'production', ...env }))

describe('production mode refuses to start', () => {
  test.each([
    ['without a way in', {}, /ADMIN_KEY.*KEYS_DIR.*KEY_PEPPER.*APPS/],
    ['with a secret of sessions that nobody can begin', { SESSION_SECRET }, /KEYS_DIR/],
    ['with a password that is easy to guess', { ADMIN_PASSWORD: 'aaaa', SESSION_SECRET }, /guess/],
    ['with an app that has no key', { APPS: '[{"id": "shop", "name": "Shop"}]' }, /KEYS_DIR/],
    ['with the development key', { ADMIN_KEY: DEVELOPMENT_KEY, KEY_PEPPER }, /ADMIN_KEY: .*public/],
    ['with a short admin key', { ADMIN_KEY: 'ei_admin_short_1', KEY_PEPPER }, /ADMIN_KEY: .*weak/],
    ['with a short pepper', { APPS, KEY_PEPPER: 'pepper' }, /KEY_PEPPER: .*weak.*openssl rand/],
    [
      'with a pepper of few characters',
      { APPS, KEY_PEPPER: 'ab'.repeat(30) },
      /KEY_PEPPER: .*weak/,
    ],
    ['with the development pepper', { APPS, KEY_PEPPER: 'error-ingestor development' }, /public/],
    ['with an admin key and no pepper', { ADMIN_KEY }, /KEY_PEPPER: .*same on every pod/],
    ['with one secret for both', { ADMIN_KEY, KEY_PEPPER: ADMIN_KEY }, /another secret/],
    [
      'with the admin key among APPS',
      { ADMIN_KEY, KEY_PEPPER, APPS: APPS.replace(/ei_\w+/, ADMIN_KEY) },
      /ADMIN_KEY: stands in APPS/,
    ],
  ])('%s', (_what, env, words) => {
    expect(start(env)).toThrow(words)
    for (const secret of Object.values(env)) {
      if (secret.length > 20) expect(start(env)).not.toThrow(secret)
    }
  })
})

describe('production mode starts', () => {
  test.each([
    ['with APPS alone', { APPS }],
    ['with KEYS_DIR alone', { KEYS_DIR: '/etc/error-ingestor/keys' }],
    ['with an admin key and a pepper', { ADMIN_KEY, KEY_PEPPER }],
    ['with the password of an administrator', { ADMIN_PASSWORD, SESSION_SECRET }],
  ])('%s', (_what, env) => {
    expect(start(env)).not.toThrow()
  })
})

test('development mode needs none of it', () => {
  expect(start({ NODE_ENV: 'development' })).not.toThrow()
  expect(
    start({ NODE_ENV: 'development', KEY_PEPPER: 'weak', ADMIN_KEY: 'ei_easy_1' }),
  ).not.toThrow()
})

test('the admin key administers and reads all apps, and does nothing else', () => {
  const keys = createKeys({
    apps: [{ id: 'shop', name: 'Shop', keys: [] }],
    developmentMode: false,
    developmentKey: DEVELOPMENT_KEY,
    adminKey: ADMIN_KEY,
    nowMs: () => 0,
  })
  expect(keys.admitAdmin(ADMIN_KEY).app).toBeUndefined()
  expect(keys.admitAdmin(ADMIN_KEY).shown).toMatch(/^ei_admin_..….{4}$/)
  expect(keys.admitRead(ADMIN_KEY, 'shop').app).toBeUndefined()
  for (const scope of ['ingest', 'sourcemaps'] as const) {
    expect(() => keys.admit(ADMIN_KEY, scope)).toThrow(/lacks the scope/)
  }
})

import { describe, expect, test } from 'vitest'
import { readConfig } from '../../src/config.ts'

const RULES = '[{"domain": "example.com"}]'
const OIDC = {
  OIDC_ISSUER: 'https://login.example.com',
  OIDC_CLIENT_ID: 'x',
  PUBLIC_URL: 'https://errors.example.com',
  SIGN_IN_RULES: RULES,
  SESSION_SECRET: 'yG8pN2vK4cT7wX1zQ5mJ9rL3hB6dF0sA',
}
const PROXY = { SIGN_IN_PROXY: 'true', TRUSTED_PROXIES: '10.0.0.0/8', SIGN_IN_RULES: RULES }
const PASSWORD = { ADMIN_PASSWORD: 'correct horse battery', SESSION_SECRET: OIDC.SESSION_SECRET }
const APPS = '[{"id":"a","name":"a","keys":[{"key":"ei_0123456789abcdef"}]}]'
const read = (env: Record<string, string>) => readConfig({ NODE_ENV: 'production', APPS, ...env })

describe('in production', () => {
  test.each([
    ['nothing', {}],
    ['a password', PASSWORD],
    ['OpenID Connect', OIDC],
    ['a provider on loopback', { ...OIDC, OIDC_ISSUER: 'http://localhost:8080/realms/a' }],
    ['a proxy', PROXY],
    ['all of them', { ...PASSWORD, ...OIDC, ...PROXY }],
  ])('sign-in with %s can start', (_, env) => {
    expect(() => read(env)).not.toThrow()
  })

  test.each<[string, Record<string, string>, RegExp]>([
    [
      'a password without a secret',
      { ...PASSWORD, SESSION_SECRET: '' },
      /SESSION_SECRET: sign-in needs one.*openssl/,
    ],
    [
      'a short secret',
      { ...PASSWORD, SESSION_SECRET: 'yG8pN2vK4cT7wX1zQ5mJ9rL3hB6dF0s' },
      /SESSION_SECRET: is weak/,
    ],
    [
      'a secret of one letter',
      { ...PASSWORD, SESSION_SECRET: 'a'.repeat(64) },
      /SESSION_SECRET: is weak/,
    ],
    [
      'a weak second secret',
      { ...PASSWORD, SESSION_SECRET: `${OIDC.SESSION_SECRET},old` },
      /SESSION_SECRET: is weak/,
    ],
    ['a short password', { ...PASSWORD, ADMIN_PASSWORD: 'short' }, /ADMIN_PASSWORD: is too easy/],
    [
      'a password of few letters',
      { ...PASSWORD, ADMIN_PASSWORD: 'abababababababab' },
      /ADMIN_PASSWORD: is too easy/,
    ],
    [
      'OpenID Connect without rules: open',
      { ...OIDC, SIGN_IN_RULES: '' },
      /OIDC_ISSUER: say in SIGN_IN_RULES who gets in/,
    ],
    [
      'OpenID Connect without a way back',
      { ...OIDC, PUBLIC_URL: '' },
      /OIDC_ISSUER: set PUBLIC_URL/,
    ],
    [
      'OpenID Connect without TLS',
      { ...OIDC, OIDC_ISSUER: 'http://login.example.com' },
      /must begin with https/,
    ],
    [
      'OpenID Connect without a client',
      { ...OIDC, OIDC_CLIENT_ID: '' },
      /OIDC_ISSUER: set OIDC_CLIENT_ID/,
    ],
    [
      'a proxy of any address: open',
      { ...PROXY, TRUSTED_PROXIES: '' },
      /SIGN_IN_PROXY: the dashboard would be open.*TRUSTED_PROXIES/,
    ],
    [
      'a proxy that is everybody: open',
      { ...PROXY, TRUSTED_PROXIES: '0.0.0.0/0' },
      /TRUSTED_PROXIES.*everybody/,
    ],
    [
      'a proxy without rules: open',
      { ...PROXY, SIGN_IN_RULES: '' },
      /SIGN_IN_PROXY: say in SIGN_IN_RULES/,
    ],
    [
      'a rule about nobody',
      { ...PROXY, SIGN_IN_RULES: '[{"role":"admin"}]' },
      /exactly one of email, domain and group/,
    ],
    ['a rule about everybody', { ...PROXY, SIGN_IN_RULES: '[{"domain":""}]' }, /SIGN_IN_RULES/],
    [
      'a role that is none',
      { ...PROXY, SIGN_IN_RULES: '[{"group":"a","role":"root"}]' },
      /SIGN_IN_RULES/,
    ],
    [
      'a misspelt rule',
      { ...PROXY, SIGN_IN_RULES: '[{"group":"a","app":["b"]}]' },
      /SIGN_IN_RULES/,
    ],
  ])('%s refuses to start, and says what to set', (_, env, words) => {
    expect(() => read(env)).toThrow(words)
  })
})

test('a refusal names settings and never their values', () => {
  const secret = 'zyxwvut'
  try {
    read({ ADMIN_PASSWORD: secret, SESSION_SECRET: secret })
    expect.unreachable()
  } catch (error) {
    expect(String(error)).toContain('ADMIN_PASSWORD')
    expect(String(error)).not.toContain(secret)
  }
})

import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { makeKey } from '../../src/keys/token.ts'
import type { Site } from '../flows/support.ts'
import { BY_PASSWORD, KEYS, PASSWORD, aGuardedSite, cookiesOf, form } from './support.ts'

const ADMIN_KEY = makeKey('admin')

let site: Site
beforeAll(async () => {
  const KEY_PEPPER = 'c0ffee1234567890aabbccddeeff55667788'
  site = await aGuardedSite({ ...BY_PASSWORD, ADMIN_KEY, KEY_PEPPER })
})
afterAll(() => site.close())

const Audit = z.object({
  entries: z.array(
    z.object({
      actor: z.string(),
      action: z.string(),
      address: z.string(),
      requestId: z.string(),
      appId: z.null(),
      detail: z.record(z.string(), z.unknown()),
    }),
  ),
})
const entries = async () => {
  const headers = { 'X-API-Key': ADMIN_KEY }
  const { body } = await site.call('/api/v1/admin/audit', { headers })
  return Audit.parse(body).entries.toReversed()
}

test('who signed in, who could not and who signed out is in the audit log, without the password', async () => {
  const wrong = 'not the right password'
  await site.call('/sign-in', form(site, { password: wrong }))
  const signedIn = await site.call('/sign-in', form(site, { password: PASSWORD }))
  const cookie = cookiesOf(signedIn)
  await site.call('/sign-out', form(site, {}, { cookie }))
  const again = cookiesOf(await site.call('/sign-in', form(site, { password: PASSWORD })))
  await site.call('/sign-out', form(site, { everywhere: '1' }, { cookie: again }))
  // Of a page of another site, and of nobody: no more than refusals.
  await site.call('/sign-out', form(site, {}, { cookie }))
  const evil = { Origin: 'https://evil.example', 'Sec-Fetch-Site': 'cross-site' }
  await site.call('/sign-in', form(site, { password: PASSWORD }, evil))

  const found = await entries()
  expect(found.map(({ action, detail }) => [action, detail])).toEqual([
    ['session.refuse', { way: 'password', reason: 'wrong password' }],
    ['session.begin', { way: 'password' }],
    ['session.end', {}],
    ['session.begin', { way: 'password' }],
    ['session.end_all', {}],
  ])
  expect(found[1]?.requestId).toBe(signedIn.headers.get('x-request-id'))
  for (const { actor, address } of found) {
    expect([actor, address]).toEqual(['password:admin', '127.0.0.1'])
  }
  const rows = await site.clickhouse.query('SELECT * FROM audit', {})
  for (const secret of [wrong, PASSWORD, cookie.slice('ei_session='.length)]) {
    expect(JSON.stringify(rows)).not.toContain(secret)
  }
})

test('an administrator of one app does not see who signs in', async () => {
  const headers = { 'X-API-Key': KEYS.shop }
  expect((await site.call('/api/v1/admin/audit', { headers })).status).toBe(403)
})

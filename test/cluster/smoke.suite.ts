import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { restarts, SERVER } from './pods.ts'
import { namespace, type Space } from './support.ts'
import { EMBEDDED, EXTERNAL, say } from './values.ts'

// What a platform gives a pod that is not to choose: any user, of group 0 (OpenShift does so).
const ANY_USER = [
  'podSecurityContext.runAsUser=1000680000',
  'podSecurityContext.runAsGroup=0',
  'podSecurityContext.fsGroup=1000680000',
]

describe('embedded, from nothing', () => {
  let space: Space
  beforeAll(async () => {
    space = await namespace('ei-embedded')
  })
  afterAll(() => space.leave())

  test('is ready within 60 s under any user, and helm test reads back what it sent', async () => {
    const tookMs = await space.install([...EMBEDDED, ...ANY_USER], '--wait')
    say('embedded install --wait, ms', Math.round(tookMs))
    expect(tookMs).toBeLessThan(60_000)
    expect(await space.helm('test', 'errors', '--logs')).toContain('the round trip works')
    expect(Math.max(...(await restarts(space)))).toBe(0)
  })

  test('shows the dashboard to who has the password that was made for the trial', async () => {
    const secret = await space.kubectl(
      ...['get', 'secret', 'errors-error-ingestor-trial'],
      '--output=jsonpath={.data.admin-password}',
    )
    const password = Buffer.from(secret, 'base64').toString()
    const pages = await Promise.all([page(space, password), page(space, `${password}x`)])
    expect(pages[0]).toContain('Sent by helm test')
    expect(pages[1]).not.toContain('Sent by helm test')
    expect(pages[1]).toContain('Sign in')
  })

  test('refuses an upgrade after which nobody would see the events, and changes nothing', async () => {
    await expect(space.install(EXTERNAL)).rejects.toThrow(/nobody would see them any more/)
    await expect(space.install([...EMBEDDED, 'persistence.size=20Gi'])).rejects.toThrow(
      /kubectl -n ei-embedded patch pvc data-errors-error-ingestor-0/,
    )
    expect(await space.helm('history', 'errors', '--output=json')).not.toContain('"revision":2')
  })

  test('leaves after an uninstall what is said, and nothing else', async () => {
    await space.helm('uninstall', 'errors', '--wait')
    await space.wait('--for=delete', 'pod', '--selector', SERVER)
    const all = await space.kubectl(
      'get',
      'all,pvc,secret,configmap,serviceaccount,networkpolicy,poddisruptionbudget',
      '--output=name',
    )
    expect(all.split('\n').sort()).toEqual([
      'configmap/kube-root-ca.crt',
      'persistentvolumeclaim/data-errors-error-ingestor-0',
      'pod/errors-error-ingestor-round-trip',
      'secret/errors-error-ingestor-trial',
      'serviceaccount/default',
    ])
  })
})

describe('values that cannot work', () => {
  let space: Space
  beforeAll(async () => {
    space = await namespace('ei-refused')
  })
  afterAll(() => space.leave())

  test.each([
    ['a Secret that is missing', ['appsExistingSecret.name=none'], 'there is no Secret none in'],
    ['a key that is too short', ['apps[0].keys[0].key=ei_tooshort'], 'is not 16 to 200 letters'],
    ['two pods around one ClickHouse', [...EMBEDDED, 'replicaCount=2'], 'lives in one pod'],
  ])('%s fails the install with what to do', async (_, values, sentence) => {
    const base = values[0] === 'appsExistingSecret.name=none' ? EXTERNAL.slice(0, 5) : EXTERNAL
    await expect(space.install([...base, ...values])).rejects.toThrow(sentence)
    expect(await space.kubectl('get', 'statefulset', '--output=name')).toBe('')
  })
})

/** The first page of the dashboard, after an attempt to sign in with the password. */
function page(space: Space, password: string): Promise<string> {
  return space.node(
    'errors-error-ingestor-0',
    `const base = 'http://localhost:3000'
     const signIn = {
       method: 'POST',
       redirect: 'manual',
       headers: { origin: base },
       body: new URLSearchParams({ to: '/', password: ${JSON.stringify(password)} }),
     }
     const cookie = (await fetch(base + '/sign-in', signIn)).headers.get('set-cookie')?.split(';')[0] ?? ''
     console.log(await (await fetch(base + '/', { headers: { cookie, accept: 'text/html' } })).text())`,
  )
}

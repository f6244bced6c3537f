import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually, namespace, type Space } from './support.ts'
import { EMBEDDED, say } from './values.ts'

const POD = 'errors-error-ingestor-0'
const [FIRST, SECOND] = ['ei_1111111111abcdef1111111111', 'ei_2222222222abcdef2222222222']

let space: Space
beforeAll(async () => {
  space = await namespace('ei-keys')
  await space.apply(secretWith(FIRST))
  await space.install([...EMBEDDED, 'keys.secrets[0].name=team'], '--wait')
})
afterAll(() => space.leave())

test('keys in a Secret are taken, and taken anew when it changes, without a restart', async () => {
  const before = await identity()
  expect([await send(FIRST), await send(SECOND)]).toEqual([200, 401])
  await space.apply(secretWith(SECOND))
  const fromMs = Date.now()
  // The kubelet brings a changed Secret to the pod once a minute, or later.
  await eventually(async () => {
    expect([await send(FIRST), await send(SECOND)]).toEqual([401, 200])
  })
  say('a changed Secret counts after ms', Date.now() - fromMs)
  expect(await identity()).toBe(before)
  expect(await space.helm('test', 'errors', '--logs')).toContain('the round trip works')
})

/** Which pod it is and how often its container began. */
function identity(): Promise<string> {
  const path = '{.metadata.uid} {.status.containerStatuses[0].restartCount}'
  return space.kubectl('get', 'pod', POD, `--output=jsonpath=${path}`)
}

/** Status of an event sent with the key. */
async function send(key: string): Promise<number> {
  const event = {
    ...{ id: randomUUID(), code: 'keys/suite', message: 'Of a key.', appId: 'shop' },
    ...{ appVersion: '1', platform: 'node', platformVersion: '24' },
    timestamp: new Date().toISOString(),
  }
  const request = {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-api-key': key },
    body: JSON.stringify({ events: [event] }),
  }
  const script = `console.log((await fetch('http://localhost:3000/api/v1/ingest', ${JSON.stringify(request)})).status)`
  return Number(await space.node(POD, script))
}

function secretWith(key: string): string {
  const apps = [{ id: 'shop', name: 'Shop', keys: [{ key, scopes: ['ingest', 'read'] }] }]
  return JSON.stringify({
    ...{ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'team' } },
    stringData: { 'apps.json': JSON.stringify(apps) },
  })
}

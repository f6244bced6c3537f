// Sends one error through the Service and reads it back through the dashboard API.
import { randomUUID } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'

const GIVE_UP_AFTER_MS = 90_000
const base = process.env.BASE_URL
const may = (scope) => (key) =>
  !key.revoked &&
  !(Date.parse(key.expiresAt) < Date.now()) &&
  (key.scopes ?? ['ingest']).some((has) => has === scope || has === 'admin')
const app = (await apps()).find(({ keys = [] }) => keys.some(may('ingest')) && keys.some(may('read')))
if (app === undefined) {
  console.error('No app has a key that may ingest and one that may read: give one both scopes, or set tests.enabled=false.')
  process.exit(1)
}
const keyFor = (scope) => app.keys.find(may(scope)).key

const id = randomUUID()
const until = Date.now() + GIVE_UP_AFTER_MS
await again('send', async () => {
  const answer = await ask('/api/v1/ingest', 'ingest', {
    method: 'POST',
    body: JSON.stringify({
      events: [
        {
          id,
          code: 'helm-test/round-trip',
          message: 'Sent by helm test; nothing is wrong.',
          appId: app.id,
          appVersion: '',
          platform: 'other',
          platformVersion: '',
          level: 'debug',
          environment: 'helm-test',
          timestamp: new Date().toISOString(),
        },
      ],
    }),
  })
  return answer.accepted === 1
})
console.log(`sent ${id} to ${app.id} at ${base}`)
await again('read back', async () => {
  const answer = await ask(`/dashboard/api/errors/${id}?appId=${encodeURIComponent(app.id)}`, 'read')
  return answer.error?.id === id
})
console.log('read it back: the round trip works')

// As the server reads them: each file is a list of apps, or has one under `apps`.
async function apps() {
  const names = (await readdir('/keys')).filter((name) => /[.](json|ya?ml)$/.test(name))
  const files = names.map(async (name) => {
    const text = await readFile(`/keys/${name}`, 'utf8')
    const content = name.endsWith('.json') ? JSON.parse(text) : (await import('yaml')).parse(text)
    return Array.isArray(content) ? content : (content.apps ?? [])
  })
  return (await Promise.all(files)).flat()
}

async function ask(path, scope, request = {}) {
  const answer = await fetch(base + path, {
    ...request,
    headers: { 'content-type': 'application/json', 'x-api-key': keyFor(scope) },
    signal: AbortSignal.timeout(10_000),
  })
  const body = await answer.text()
  if (!answer.ok) throw new Error(`${answer.status} ${body.slice(0, 300)}`)
  return JSON.parse(body)
}

async function health() {
  try {
    return (await (await fetch(`${base}/health`, { signal: AbortSignal.timeout(10_000) })).text()).slice(0, 600)
  } catch (error) {
    return `nothing (${error.cause?.message || error.message})`
  }
}

async function again(what, attempt) {
  for (let last = 'an unexpected answer'; ; await sleep(1_000)) {
    try {
      if (await attempt()) return
    } catch (error) {
      last = [error.message, error.cause?.message].filter(Boolean).join(': ')
    }
    if (Date.now() > until) {
      console.error(`Could not ${what} within ${GIVE_UP_AFTER_MS / 1_000} s: ${last}`)
      console.error(`The server says of itself: ${await health()}`)
      console.error(`What it lacks, and what to do: ${process.env.DOCTOR}`)
      process.exit(1)
    }
  }
}

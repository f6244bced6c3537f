import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, readdir, rename, rm, truncate, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeAll, expect, inject, test, vi } from 'vitest'
import { nodeClickHouse } from '../../../src/node/clickhouse.ts'

// What `npm start` runs. `npm test` builds it first; so must whoever runs this file alone.
const MAIN = fileURLToPath(new URL('../../../dist/main.js', import.meta.url))
const KEY = 'ei_test_key_12345'
const SOON = { timeout: 20_000, interval: 50 }

beforeAll(() => {
  if (!existsSync(MAIN)) throw new Error('dist/main.js is missing: run `npm run build` first.')
})

const undo: (() => unknown)[] = []
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
})

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'error-ingestor-test-'))
  undo.push(() => rm(path, { recursive: true, force: true }))
  return path
}

/** A database of the test's own, and what stands in it. */
function database() {
  const name = `spool_${randomUUID().replaceAll('-', '')}`
  const url = inject('clickhouseUrl')
  const client = nodeClickHouse({
    url,
    user: 'default',
    password: '',
    database: name,
    timeoutMs: 20_000,
  })
  undo.push(async () => {
    await client.command(`DROP DATABASE IF EXISTS ${name}`)
    await client.close()
  })
  return {
    env: { CLICKHOUSE_HOST: url, CLICKHOUSE_DATABASE: name },
    client,
    /** Raw rows: how many, and of how many ids. */
    async rows(): Promise<string> {
      try {
        const [row] = await client.query(
          'SELECT count() AS n, uniqExact(id) AS ids FROM occurrences',
          {},
        )
        return JSON.stringify(row)
      } catch (error) {
        return String(error) // The schema is still being made.
      }
    },
  }
}

function start(dataDir: string, env: Record<string, string>) {
  const { PATH, HOME } = process.env
  const child = spawn(process.execPath, [MAIN], {
    env: { PATH, HOME, PORT: '0', DATA_DIR: dataDir, SHUTDOWN_GRACE_MS: '1000', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (output += text))
  }
  const ended = once(child, 'close')
  undo.push(async () => {
    child.kill('SIGKILL')
    await ended
  })
  return {
    child,
    output: () => output,
    async url(): Promise<string> {
      const find = () => /http:\/\/localhost:\d+(?=["\s])/.exec(output)?.[0]
      await vi.waitUntil(() => find() ?? child.exitCode !== null, SOON)
      const url = find()
      if (url === undefined) throw new Error(`It ended: ${output}`)
      return url
    },
    /** Tells it to end, and gives back its exit code and how long that took. */
    async stop() {
      const startedMs = performance.now()
      child.kill('SIGTERM')
      await ended
      return { code: child.exitCode, tookMs: performance.now() - startedMs }
    },
  }
}

function anEvent(more: object = {}) {
  return {
    ...{ id: randomUUID(), code: 'test/failure', message: 'It failed.', stackTrace: '' },
    ...{ appId: 'test-app', appVersion: '1', platform: 'web', platformVersion: '' },
    timestamp: new Date().toISOString(),
    ...more,
  }
}

function post(url: string, events: readonly object[]) {
  return fetch(`${url}/api/v1/ingest`, {
    method: 'POST',
    headers: { 'X-API-Key': KEY, 'Content-Type': 'application/json' },
    body: JSON.stringify({ events }),
  })
}

async function metric(url: string, name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text()
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1])
}

const AWAY = { CLICKHOUSE_HOST: 'http://127.0.0.1:1' }

test('a second process on the folder waits for the first, then says why it cannot start', async () => {
  const dataDir = await folder()
  const first = start(dataDir, AWAY)
  await first.url()
  const startedMs = performance.now()
  const second = start(dataDir, AWAY)
  await once(second.child, 'close')
  expect(performance.now() - startedMs).toBeGreaterThan(9_000)
  expect(second.child.exitCode).toBe(1)
  expect(second.output()).toContain(
    `The spool in ${join(dataDir, 'spool')} belongs to another running error-ingestor. Stop that one, or give this one its own DATA_DIR.`,
  )
  expect((await post(await first.url(), [anEvent()])).status).toBe(200)
})

test('what ClickHouse could not take before the end waits on disk, and the end is in time and orderly', async () => {
  const dataDir = await folder()
  const first = start(dataDir, AWAY)
  const url = await first.url()
  for (let i = 0; i < 5; i += 1) {
    expect(
      (
        await post(
          url,
          Array.from({ length: 20 }, () => anEvent()),
        )
      ).status,
    ).toBe(200)
  }
  const { code, tookMs } = await first.stop()
  expect(code).toBe(0)
  expect(tookMs).toBeLessThan(5_000)
  const db = database()
  await start(dataDir, db.env).url()
  await vi.waitUntil(async () => /"n":"?100"?,"ids":"?100"?/.test(await db.rows()), SOON)
})

test('a ClickHouse that hangs costs no answer and no orderly end', async () => {
  const silent = createServer(() => undefined).listen(0, '127.0.0.1')
  await once(silent, 'listening')
  undo.push(() => silent.close())
  const address = silent.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const env = { CLICKHOUSE_HOST: `http://127.0.0.1:${port}`, CLICKHOUSE_TIMEOUT_MS: '1000' }
  const server = start(await folder(), env)
  const url = await server.url()
  const startedMs = performance.now()
  for (let i = 0; i < 10; i += 1) expect((await post(url, [anEvent()])).status).toBe(200)
  expect(performance.now() - startedMs).toBeLessThan(3_000)
  expect((await fetch(`${url}/health/live`)).status).toBe(200)
  expect(await metric(url, 'error_ingestor_spool_events')).toBe(10)
  expect(await server.stop()).toMatchObject({ code: 0 })
})

test('a folder that cannot be used is a 503 that says so, until it can', async () => {
  const dataDir = await folder()
  await writeFile(join(dataDir, 'spool'), 'in the way')
  const server = start(dataDir, AWAY)
  const url = await server.url()
  const answer = await post(url, [anEvent()])
  expect(answer.status).toBe(503)
  expect(answer.headers.get('retry-after')).toBe('5')
  expect(await answer.json()).toMatchObject({
    error:
      'Events cannot be kept safe now: the spool folder cannot be used (EEXIST). Send them again later.',
  })
  expect((await fetch(`${url}/health/ready`)).status).toBe(503)
  await rm(join(dataDir, 'spool'))
  await vi.waitUntil(async () => (await post(url, [anEvent()])).status === 200, SOON)
  expect(server.output()).not.toContain('A bug')
})

test('garbage in the folder, however large, is set aside within seconds', async () => {
  const dataDir = await folder()
  const first = start(dataDir, AWAY)
  expect((await post(await first.url(), [anEvent()])).status).toBe(200)
  await first.stop()
  // A hole reads as zeros: as much work as real garbage, and no room taken.
  for (const name of ['segment-0000000009.log', 'seals-0000000009.log', 'end.bak', 'core.1234']) {
    await writeFile(join(dataDir, 'spool', name), 'garbage')
    await truncate(join(dataDir, 'spool', name), 64 * 1024 * 1024)
  }
  const db = database()
  const server = start(dataDir, db.env)
  const url = await server.url()
  expect((await post(url, [anEvent()])).status).toBe(200)
  await vi.waitUntil(async () => /"n":"?2"?,/.test(await db.rows()), SOON)
  expect(await readdir(join(dataDir, 'spool', 'damaged'))).toContain('segment-0000000009.log')
  expect(await readdir(join(dataDir, 'spool'))).toContain('core.1234')
})

test('events that ClickHouse refuses by a constraint are kept aside alone, and sent again when asked', async () => {
  const db = database()
  const dataDir = await folder()
  const server = start(dataDir, db.env)
  const url = await server.url()
  await vi.waitUntil(async () => (await fetch(`${url}/health/ready`)).ok, SOON)
  await db.client.command(`ALTER TABLE occurrences ADD CONSTRAINT no_poison CHECK code != 'poison'`)
  const events = Array.from({ length: 60 }, (_, i) =>
    anEvent(i % 20 === 7 ? { code: 'poison' } : {}),
  )
  expect((await post(url, events)).status).toBe(200)
  await vi.waitUntil(async () => /"n":"?57"?,"ids":"?57"?/.test(await db.rows()), SOON)
  await vi.waitUntil(
    async () => (await metric(url, 'error_ingestor_undeliverable_events')) === 3,
    SOON,
  )

  const aside = join(dataDir, 'spool', 'undeliverable')
  const names = await readdir(aside)
  expect(names).toHaveLength(3)
  expect(readFileSync(join(aside, names[0] ?? ''), 'utf8')).toContain('no_poison')
  await db.client.command('ALTER TABLE occurrences DROP CONSTRAINT no_poison')
  for (const name of names) await rename(join(aside, name), join(aside, `${name}.retry`))
  await vi.waitUntil(async () => /"n":"?60"?,"ids":"?60"?/.test(await db.rows()), SOON)
  expect(await readdir(aside)).toEqual([])
})

test('the server stays small while ClickHouse is away, whatever waits', async () => {
  const server = start(await folder(), { ...AWAY, LOG_LEVEL: 'error' })
  const url = await server.url()
  const stackTrace = 'at f (app.js:1:1)\n'.repeat(200)
  for (let i = 0; i < 60; i += 1) {
    const answers = await Promise.all(
      Array.from({ length: 4 }, () =>
        post(
          url,
          Array.from({ length: 250 }, () => anEvent({ stackTrace })),
        ),
      ),
    )
    for (const { status } of answers) expect(status).toBe(200)
  }
  expect(await metric(url, 'error_ingestor_spool_events')).toBe(60_000)
  expect(await metric(url, 'error_ingestor_spool_bytes')).toBeGreaterThan(200e6)
  const status = readFileSync(`/proc/${server.child.pid ?? 0}/status`, 'utf8')
  expect(Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1])).toBeLessThan(300_000)
}, 60_000)

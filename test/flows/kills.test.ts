import { existsSync, readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, expect, test, vi } from 'vitest'
import { aProcess, type Process } from './process.ts'
import { anEvent, errorsOf, settings, type Answer } from './support.ts'

const KEY = 'ei_test_key_12345'

const undo: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
})

/** The server as a process of its own, which ends with the test. */
async function started(env: Readonly<Record<string, string>>): Promise<Process> {
  const one = await aProcess(env)
  undo.push(one.kill)
  return one
}

async function aFolder(): Promise<Record<string, string>> {
  const env = await settings()
  // An engine outlives its killed parent by a moment, and writes.
  const once = { recursive: true, force: true, maxRetries: 20, retryDelay: 250 }
  undo.push(() => rm(env['DATA_DIR'] ?? '', once))
  return { ...env, LOG_LEVEL: 'error' }
}

async function call(url: string, path: string, init?: RequestInit): Promise<Answer> {
  const response = await fetch(url + path, init)
  const text = await response.text()
  const body: unknown = JSON.parse(text)
  return { status: response.status, headers: response.headers, text, body }
}

function ingest(url: string, events: readonly object[]): Promise<Answer> {
  const headers = { 'X-API-Key': KEY, 'Content-Type': 'application/json' }
  const body = JSON.stringify({ events })
  return call(url, '/api/v1/ingest', { method: 'POST', headers, body })
}

/** Sends batches on several connections until told to stop; collects what was said yes to. */
function aLoad(url: string) {
  const acknowledged = new Set<string>()
  const answers: Answer[] = []
  let stopped = false
  const one = async () => {
    while (!stopped) {
      const events = Array.from({ length: 20 }, () => anEvent())
      try {
        const answer = await ingest(url, events)
        answers.push(answer)
        if (answer.status === 200) for (const { id } of events) acknowledged.add(id)
      } catch {
        // The server was killed: what was not answered may be stored or not.
        return
      }
    }
  }
  const running = Promise.all(Array.from({ length: 4 }, one))
  return {
    acknowledged,
    answers,
    async stop() {
      stopped = true
      await running
    },
  }
}

/** Every id that the server answers, page by page, as often as it does. */
async function allIds(url: string): Promise<readonly string[]> {
  const ids: string[] = []
  for (let cursor: unknown = ''; typeof cursor === 'string';) {
    const query = `appId=test-app&limit=1000&cursor=${cursor}`
    const page = await call(url, `/dashboard/api/errors?${query}`)
    ids.push(...errorsOf(page).map(({ id }) => String(id)))
    cursor = Reflect.get(Object(page.body), 'nextCursor')
  }
  return ids
}

/** Process id of the embedded engine; 0 while there is none. */
function enginePid(folder: string): number {
  const status = join(folder, 'clickhouse', 'status')
  if (!existsSync(status)) return 0
  return Number(/PID: (\d+)/.exec(readFileSync(status, 'utf8'))?.[1] ?? 0)
}

async function expectAllOnce(url: string, acknowledged: ReadonlySet<string>): Promise<void> {
  const spooled = async () =>
    /^error_ingestor_spool_events (\d+)$/m.exec(await (await fetch(`${url}/metrics`)).text())?.[1]
  await vi.waitUntil(async () => (await spooled()) === '0', { timeout: 30_000, interval: 100 })
  const ids = await allIds(url)
  const found = new Set(ids)
  expect(ids.length).toBe(found.size)
  expect([...acknowledged].filter((id) => !found.has(id))).toEqual([])
  const { body } = await call(url, '/dashboard/api/codes?appId=test-app')
  expect(body).toEqual({
    success: true,
    codes: [{ code: 'network/request-failed', count: found.size }],
  })
}

test('the server killed under load, thrice, has everything it acknowledged, each once', async () => {
  const env = await aFolder()
  const acknowledged = new Set<string>()
  for (let round = 0; round < 3; round += 1) {
    const server = await started(env)
    const load = aLoad(server.url)
    const enough = 2_000 * (round + 1)
    await vi.waitUntil(() => acknowledged.size + load.acknowledged.size > enough, {
      timeout: 20_000,
      interval: 5,
    })
    server.child.kill('SIGKILL')
    await server.ended
    await load.stop()
    for (const id of load.acknowledged) acknowledged.add(id)
  }
  const { url } = await started(env)
  await expectAllOnce(url, acknowledged)
}, 120_000)

test('the embedded ClickHouse killed under load, twice: no 500, and everything is there, each once', async () => {
  const env: Record<string, string> = { ...(await aFolder()), CLICKHOUSE_HOST: 'embedded' }
  const { DATA_DIR: folder = '' } = env
  const server = await started(env)
  const load = aLoad(server.url)
  const reads: Answer[] = []
  for (let round = 0; round < 2; round += 1) {
    const before = load.acknowledged.size
    await vi.waitUntil(() => load.acknowledged.size > before + 1_000, { timeout: 20_000 })
    const pid = enginePid(folder)
    process.kill(pid, 'SIGKILL')
    const read = async () => {
      const answer = await call(server.url, '/dashboard/api/codes?appId=test-app')
      reads.push(answer)
      return answer.status
    }
    const isBack = async () => (await read()) === 200 && ![0, pid].includes(enginePid(folder))
    await vi.waitUntil(isBack, { timeout: 30_000, interval: 20 })
  }
  await load.stop()
  for (const { status, headers, text } of [...load.answers, ...reads]) {
    expect([200, 503]).toContain(status)
    if (status === 503) expect(Number(headers.get('retry-after'))).toBeGreaterThan(0)
    expect(text).not.toMatch(/ECONN|127\.0\.0\.1|socket/)
  }
  expect(load.answers.every(({ status }) => status === 200)).toBe(true)
  await expectAllOnce(server.url, load.acknowledged)
  const metrics = await (await fetch(`${server.url}/metrics`)).text()
  expect(metrics).toContain('error_ingestor_bugs_total 0')
  server.child.kill('SIGTERM')
  await server.ended
  expect(server.child.exitCode).toBe(0)
}, 120_000)

test('told to stop under load, the server says yes to nothing that is not there afterwards', async () => {
  const env = await aFolder()
  const server = await started(env)
  const load = aLoad(server.url)
  await vi.waitUntil(() => load.acknowledged.size > 1_000, { timeout: 20_000, interval: 5 })
  server.child.kill('SIGTERM')
  await server.ended
  expect(server.child.exitCode).toBe(0)
  await load.stop()
  for (const { status } of load.answers) expect([200, 503]).toContain(status)
  await expectAllOnce((await started(env)).url, load.acknowledged)
}, 120_000)

import { spawn, type ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Control } from '../../bench/chaos/preload.ts'
import { freePort } from '../support/prometheus.ts'
import { podName } from './rules.ts'

/** The key of development mode. */
export const KEY = 'ei_test_key_12345'

/** A valid event of the development app, of now. */
export const anEvent = (message = 'Failed to fetch user data') => ({
  ...{ id: randomUUID(), code: 'network/request-failed', message, stackTrace: '' },
  ...{ appId: 'test-app', appVersion: '1.0.0', platform: 'web', platformVersion: '' },
  timestamp: new Date().toISOString(),
})

/** A server of its own process that is scraped as a pod, and to which anything may be done. */
export interface Pod {
  readonly name: string
  readonly url: string
  readonly folder: string
  /** Sends events of the development app; 0 where nobody answers. */
  readonly send: (events?: readonly object[]) => Promise<number>
  /** What its disk does from now on; see bench/chaos/preload.ts. */
  readonly disk: (control: Partial<Control>) => Promise<void>
  /** Whether it meets a bug when it is asked who it is; and the asking. */
  readonly bug: (isThere: boolean) => Promise<number>
  /** Events that its scrapes tell too many, as if they were forgotten. */
  forgotten: number
  readonly kill: () => Promise<void>
  readonly start: () => Promise<void>
  readonly close: () => Promise<void>
}

/** Where Prometheus finds it. */
export type Target = { readonly targets: readonly string[]; readonly labels: object }

/** Of one that shares its machine with much else. */
const START_MS_MAX = 150_000
let pods = 0

/** Starts one with a database and a small spool of its own. */
export async function aPod(
  clickhouse: string,
  env: Readonly<Record<string, string>> = {},
): Promise<Pod & { readonly target: Target }> {
  const folder = await mkdtemp(join(tmpdir(), 'error-ingestor-alert-'))
  const [controlFile, bugFile] = [join(folder, 'control.json'), join(folder, 'bug')]
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const name = podName(pods++)
  const preloads = ['../../bench/chaos/preload.ts', './preload.ts'].map(
    (path) => `--import=${new URL(path, import.meta.url).href}`,
  )
  const all = {
    ...{ PATH: process.env['PATH'], PORT: String(port), LOG_LEVEL: 'warn', DATA_DIR: folder },
    ...{ CLICKHOUSE_HOST: clickhouse, CLICKHOUSE_DATABASE: `alert_${randomUUID().slice(0, 8)}` },
    ...{ SPOOL_BYTES_MAX: '1048576', SPOOL_SEGMENT_BYTES: '65536', DELIVERY_AGE_MS_MAX: '100' },
    ...{ NODE_OPTIONS: preloads.join(' '), CHAOS_CONTROL: controlFile, ALERTS_BUG: bugFile },
    ...env,
  }
  let child: ChildProcess | undefined
  let log = ''
  const call = async (path: string, init?: RequestInit) => {
    try {
      const answer = await fetch(url + path, { ...init, signal: AbortSignal.timeout(20_000) })
      await answer.arrayBuffer()
      return answer.status
    } catch {
      return 0 // Nobody answers.
    }
  }
  const pod: Pod = {
    ...{ name, url, folder, forgotten: 0 },
    send: (events = [anEvent()]) =>
      call('/api/v1/ingest', {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', 'X-API-Key': KEY },
        body: JSON.stringify({ events }),
      }),
    disk: (control) =>
      writeFile(
        controlFile,
        JSON.stringify({ clockOffsetMs: 0, slowMs: 0, failShare: 0, ...control }),
      ),
    async bug(isThere) {
      await (isThere ? writeFile(bugFile, '') : rm(bugFile, { force: true }))
      return call('/api/v1/ingest/test', { headers: { 'X-API-Key': KEY } })
    },
    async kill() {
      if (child?.exitCode !== null || child.signalCode !== null) return
      const ended = once(child, 'exit')
      child.kill('SIGKILL')
      await ended
    },
    async start() {
      child = spawn(process.execPath, ['dist/main.js'], { env: all, stdio: 'pipe' })
      for (const out of [child.stdout, child.stderr]) {
        out?.on('data', (text: Buffer) => (log += text.toString()))
      }
      const untilMs = performance.now() + START_MS_MAX
      while ((await call('/health/live')) !== 200) {
        if (child.exitCode !== null || performance.now() > untilMs) {
          throw new Error(`${name} does not start: ${log}`)
        }
        await sleep(50)
      }
    },
    async close() {
      await pod.kill()
      scraped.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
  const scraped = await scrapedThrough(pod)
  await pod.disk({})
  try {
    await pod.start()
  } catch (error) {
    await pod.close()
    throw error
  }
  const labels = { namespace: 'errors', pod: name }
  return Object.assign(pod, { target: { targets: [addressOf(scraped)], labels } })
}

/** Bytes of a segment of the spool, changed on the disk as only a broken one does it. */
export async function spoil(folder: string, name: string): Promise<void> {
  const path = join(folder, 'spool', name)
  const bytes = await readFile(path)
  const at = Math.floor(bytes.length / 2)
  bytes[at] = (bytes[at] ?? 0) ^ 1
  await writeFile(path, bytes)
}

/** What Prometheus scrapes: the pod's own answer, but for what it is made to forget. */
async function scrapedThrough(pod: Pod): Promise<Server> {
  const server = createServer((request, response) => {
    const pass = async () => {
      const { accept = '' } = request.headers
      const answer = await fetch(`${pod.url}/metrics`, { headers: { accept } })
      const text = (await answer.text()).replace(
        /^(error_ingestor_recovered_events_total) (\d+)$/m,
        (_, series: string, value: string) => `${series} ${Number(value) + pod.forgotten}`,
      )
      response.writeHead(200, { 'content-type': answer.headers.get('content-type') ?? '' })
      response.end(text)
    }
    pass().catch(() => response.destroy())
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

function addressOf(server: Server): string {
  const address = server.address()
  return `127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`
}

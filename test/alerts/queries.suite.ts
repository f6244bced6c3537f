import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest'
import { z } from 'zod'
import { startTlsProxy, type TlsProxy } from '../support/tls.ts'
import { aPod, KEY, type Pod } from './pods.ts'
import { chartRules } from './rules.ts'
import { openWatch, type Watch } from './watch.ts'

const Dashboard = z.object({
  panels: z.array(
    z.object({ title: z.string(), targets: z.array(z.object({ expr: z.string() })) }),
  ),
})

let folder = ''
let proxy: TlsProxy
let pod: Pod
let watch: Watch
// A server to which everything has happened that a metric tells: a certificate and a key that end, a
// quota, refusals of each kind, a disk that failed, pages that were read.
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'error-ingestor-queries-'))
  proxy = await startTlsProxy(Number(new URL(inject('clickhouseUrl')).port))
  await writeFile(join(folder, 'ca.pem'), proxy.ca)
  const expiresAt = new Date(Date.now() + 86_400_000).toISOString()
  const app = { id: 'shop', name: 'Shop', keys: [{ key: 'ei_shop_key_0000001', expiresAt }] }
  await writeFile(join(folder, 'shop.json'), JSON.stringify([app]))
  const started = await aPod(`https://localhost:${proxy.port}`, {
    ...{ CLICKHOUSE_CA_FILE: join(folder, 'ca.pem'), KEYS_DIR: folder, LIMIT_EVENTS_PER_DAY: '90' },
  })
  pod = started
  watch = await openWatch(await chartRules())
  await watch.add(started.target)
  await everything()
})
afterAll(async () => {
  await watch.stop()
  await pod.close()
  await proxy.close()
  await rm(folder, { recursive: true })
})

async function everything(): Promise<void> {
  const headers = { 'Content-Type': 'text/plain', 'X-Sentry-Auth': `Sentry sentry_key=${KEY}` }
  const report =
    '{"discarded_events":[{"reason":"queue_overflow","category":"error","quantity":2}]}'
  await fetch(`${pod.url}/api/1/envelope/`, {
    ...{ method: 'POST', headers, body: `{}\n{"type":"client_report"}\n${report}` },
  })
  for (let n = 0; n < 100; n += 1) await pod.send()
  await pod.disk({ failShare: 1 })
  await vi.waitUntil(async () => (await sendLog()) === 503, { timeout: 10_000 })
  await pod.disk({})
  for (const path of ['/', '/dashboard/api/errors?appId=test-app']) {
    expect((await fetch(pod.url + path)).status).toBe(200)
  }
}

/** One that is an error, of an app whose quota is not used up. */
async function sendLog(): Promise<number> {
  const log = { severityNumber: 17, body: { stringValue: 'failed' } }
  const logs = { resourceLogs: [{ scopeLogs: [{ logRecords: [log] }] }] }
  const answer = await fetch(`${pod.url}/v1/logs`, {
    ...{ method: 'POST', body: JSON.stringify(logs) },
    headers: { 'Content-Type': 'application/json', 'X-API-Key': 'ei_shop_key_0000001' },
  })
  return answer.status
}

/** The series that an expression selects, each as an expression of its own. */
function selectorsOf(expr: string): readonly string[] {
  const found = [...expr.matchAll(/[a-z_:][\w:]*\{[^}]*\}|(?<=\()\{[^}]*\}/gi)].map(([all]) => all)
  if (found.length === 0) throw new Error(`${expr} selects nothing.`)
  return found
}

/** Waits until each gives at least one series. */
async function exist(expressions: ReadonlySet<string>): Promise<void> {
  for (const expression of expressions) {
    await vi
      .waitUntil(async () => (await watch.query(expression)).length > 0, { timeout: 30_000 })
      .catch((cause: unknown) => {
        throw new Error(`There are no series ${expression}.`, { cause })
      })
  }
}

test('every rule is an expression that Prometheus takes, over series that there are', async () => {
  const rules = await chartRules()
  expect(rules.length).toBeGreaterThan(15)
  await exist(new Set(rules.flatMap(({ expr }) => selectorsOf(expr))))
  for (const { expr } of rules) await watch.query(expr)
  await expect(watch.query('rate(error_ingestor_bugs_total)')).rejects.toThrow(/range vector/)
})

test('every panel of the dashboard shows something', async () => {
  const text = await readFile('charts/error-ingestor/files/dashboard.json', 'utf8')
  const { panels } = Dashboard.parse(JSON.parse(text))
  expect(panels.length).toBeGreaterThan(20)
  const asked = panels.flatMap(({ targets }) =>
    targets.map(({ expr }) =>
      expr
        .replaceAll('$namespace', 'errors')
        .replaceAll('$pod', '.+')
        .replaceAll('$__rate_interval', '5m'),
    ),
  )
  expect(asked.filter((expr) => expr.includes('$'))).toEqual([])
  await exist(new Set(asked.flatMap(selectorsOf)))
  // A rate is of two scrapes.
  await exist(new Set(asked))
})

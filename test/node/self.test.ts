import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { openSelfReports } from '../../src/node/self.ts'
import { aSite, anEvent, errorsOf, KEY } from '../flows/support.ts'

const SOON = { timeout: 10_000 }
const undo: (() => unknown)[] = []
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
})

async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'error-ingestor-self-'))
  undo.push(() => rm(made, { recursive: true, force: true }))
  return made
}

const Event = z.looseObject({
  level: z.string(),
  exception: z
    .object({ values: z.array(z.looseObject({ type: z.string(), value: z.string() })) })
    .optional(),
  logentry: z.object({ formatted: z.string() }).optional(),
})

/** Somebody else's server, that takes Sentry's envelopes, with the events that it got. */
async function aReceiver(status = 200) {
  const events: z.infer<typeof Event>[] = []
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      events.push(Event.parse(JSON.parse(body.split('\n')[2] ?? '')))
      response.writeHead(status).end()
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  undo.push(() => server.close())
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return { dsn: `http://a_key_of_the_test@127.0.0.1:${port}/base/7`, events }
}

async function reports(dsn: string | undefined) {
  const told: string[] = []
  const self = openSelfReports(dsn, {
    ...{ version: '1.2.3', production: true, dataDir: await folder() },
    told: (result) => told.push(result),
  })
  undo.push(self.close)
  return { self, told }
}

test('an error of ours is an event in this same server, with type, words and stack', async () => {
  const site = await aSite()
  undo.push(site.close)
  const dsn = `http://${KEY}@${new URL(site.url).host}/1`
  const { self, told } = await reports(dsn)
  self.crashed(new TypeError('the wheel came off, password=hunter2hunter2'))
  await vi.waitUntil(() => told.length > 0, SOON)
  expect(told).toEqual(['sent'])
  const [event] = errorsOf(await site.call('/dashboard/api/errors?appId=test-app'))
  expect(event).toMatchObject({ level: 'error' })
  expect(event?.['appVersion']).toMatch(/1\.2\.3/)
  expect(JSON.stringify(event)).toMatch(/TypeError.*the wheel came off/)
  expect(JSON.stringify(event)).toMatch(/self\.test\.ts/)
  expect(JSON.stringify(event)).not.toMatch(/hunter2/)
})

test('one error is sent once in an hour, ten kinds in a minute, and each is counted', async () => {
  const { dsn, events } = await aReceiver()
  const { self, told } = await reports(dsn)
  const same = new Error('again')
  for (let i = 0; i < 5; i += 1) self.crashed(same)
  for (let i = 0; i < 20; i += 1) self.failed(`/route/${i}`, 503, 'overloaded')
  await vi.waitUntil(() => told.filter((one) => one === 'sent').length === 10, SOON)
  const count = (result: string) => told.filter((one) => one === result).length
  expect([count('repeated'), count('limited'), count('failed')]).toEqual([4, 11, 0])
  expect(events).toHaveLength(10)
})

test('a receiver that refuses or is away is counted, and nobody waits for it', async () => {
  const { dsn } = await aReceiver(500)
  const refused = await reports(dsn)
  refused.self.crashed(new Error('x'))
  await vi.waitUntil(() => refused.told.length > 0, SOON)
  const away = await reports('http://key_of_the_test@127.0.0.1:9/1')
  away.self.crashed('not even an error')
  await vi.waitUntil(() => away.told.length > 0, SOON)
  expect([refused.told, away.told]).toEqual([['failed'], ['failed']])
  const none = await reports(undefined)
  none.self.crashed(new Error('x'))
  expect(none.told).toEqual([])
})

test('a server that reports to itself and cannot take it in does not go round in circles', async () => {
  const dataDir = await folder()
  // No folder can be made there, so everything is answered with 503: events of clients and reports.
  await writeFile(join(dataDir, 'spool'), '')
  const { port } = await freePort()
  const site = await aSite({
    ...{ PORT: String(port), DATA_DIR: dataDir },
    SELF_DSN: `http://${KEY}@127.0.0.1:${port}/1`,
  })
  undo.push(site.close)
  for (let i = 0; i < 20; i += 1) expect((await site.ingest([anEvent()])).status).toBe(503)
  const reported = (result: string) => site.metric('error_ingestor_self_reports_total', { result })
  await vi.waitUntil(async () => (await reported('failed')) === 1, SOON)
  // The report was refused itself, and that made no other.
  expect(
    await site.metric('error_ingestor_http_requests_total', { route: '/api', status: '503' }),
  ).toBe(1)
  expect([await reported('failed'), await reported('sent'), await reported('repeated')]).toEqual([
    1, 0, 19,
  ])
})

test('what ends the process is written down and sent by the next one, once', async () => {
  const { dsn, events } = await aReceiver()
  const dataDir = await folder()
  const module = new URL('../../src/node/self.ts', import.meta.url).href
  const script = `
    import { openSelfReports } from ${JSON.stringify(module)}
    const rest = { version: '1', production: true, dataDir: ${JSON.stringify(dataDir)}, told: () => undefined }
    openSelfReports(${JSON.stringify(dsn)}, rest)
    setTimeout(() => { throw new RangeError('the end') }, 1)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'ignore' })
  await once(child, 'exit')
  expect(child.exitCode).toBe(1)
  expect(existsSync(join(dataDir, 'crash.json'))).toBe(true)
  expect(events).toEqual([])
  const told: string[] = []
  const rest = { version: '1', production: true, dataDir, told: (one: string) => told.push(one) }
  const next = openSelfReports(dsn, rest)
  undo.push(next.close)
  await next.sendLastCrash()
  await next.sendLastCrash()
  expect(told).toEqual(['sent'])
  expect(events).toMatchObject([
    { level: 'fatal', exception: { values: [{ type: 'RangeError', value: 'the end' }] } },
  ])
  expect(existsSync(join(dataDir, 'crash.json'))).toBe(false)
})

async function freePort(): Promise<{ readonly port: number }> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const address = probe.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  await new Promise((closed) => probe.close(closed))
  return { port }
}

import { execFile, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeAll, describe, expect, inject, test, vi } from 'vitest'

// What `npm start` runs. `npm test` builds it first; so must whoever runs this file alone.
const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url))
const SOON = { timeout: 10_000 }
const KEY = 'ei_test_key_12345'

beforeAll(() => {
  if (!existsSync(MAIN)) throw new Error('dist/main.js is missing: run `npm run build` first.')
})

const undo: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
})

async function folder(): Promise<string> {
  const cwd = await mkdtemp(join(tmpdir(), 'error-ingestor-test-'))
  undo.push(() => rm(cwd, { recursive: true, force: true }))
  return cwd
}

/** A run of the command in `cwd` with nothing of our environment but what is needed. */
function run(cwd: string, args: readonly string[] = [], env: Record<string, string> = {}) {
  const { PATH, HOME } = process.env
  const child = spawn(process.execPath, [MAIN, ...args], {
    cwd,
    env: { PATH, HOME, PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  let errors = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text))
  const ended = once(child, 'close').then(() => ({ code: child.exitCode, by: child.signalCode }))
  undo.push(async () => {
    child.kill('SIGKILL')
    await ended
  })
  return {
    child,
    ended,
    output: () => output,
    errors: () => errors,
    async done() {
      return { ...(await ended), output, errors }
    },
    /** The address, once it listens. */
    async url(): Promise<string> {
      const find = () => /http:\/\/localhost:\d+(?=["\s])/.exec(output)?.[0]
      await vi.waitUntil(() => find() !== undefined || child.exitCode !== null, { timeout: 20_000 })
      const url = find()
      if (url === undefined) throw new Error(`It ended: ${errors}`)
      return url
    },
  }
}

const sh = (command: string) =>
  new Promise<string>((done, fail) => {
    execFile('sh', ['-c', command], (error, stdout) => {
      if (error === null) done(stdout)
      else fail(new Error(command, { cause: error }))
    })
  })

async function stored(url: string): Promise<unknown> {
  const answer = await fetch(`${url}/dashboard/api/errors?appId=test-app`)
  const body: unknown = await answer.json()
  return typeof body === 'object' && body !== null && 'errors' in body ? body.errors : body
}

/** A ClickHouse of the run with a database of the test's own. */
const remote = () => ({
  CLICKHOUSE_HOST: inject('clickhouseUrl'),
  CLICKHOUSE_DATABASE: `main_${randomUUID().replaceAll('-', '')}`,
})

describe('the command', () => {
  test('says its version and its commands', async () => {
    const cwd = await folder()
    expect((await run(cwd, ['--version']).done()).output).toMatch(/^\d+\.\d+\.\d+\n$/)
    const help = await run(cwd, ['--help']).done()
    expect(help).toMatchObject({ code: 0, errors: '' })
    expect(help.output).toContain('migrate [--plan] [--wait SECONDS]')
    expect(help.output).toContain('spool status|verify|export|undeliverable')
  })

  test.each([
    [['sevre'], 'There is no command sevre.'],
    [['serve', 'now'], 'serve takes no argument (now).'],
    [['--frobnicate'], "Unknown option '--frobnicate'"],
    [['--plan'], '--plan belongs to migrate.'],
    [['--wait', '1'], '--wait belongs to migrate.'],
    [['migrate', '--wait', 'soon'], '--wait takes seconds, 0 to 86400.'],
    [['spool', 'nix'], 'There is no command spool nix.'],
    [['spool', 'status', '--frobnicate'], "Unknown option '--frobnicate'"],
    [['constructor'], 'There is no command constructor.'],
  ])('that is not understood (%j) ends with 2 and a hint', async (args, words) => {
    const ended = await run(await folder(), args).done()
    expect(ended).toMatchObject({ code: 2, output: '' })
    expect(ended.errors).toContain(words)
    expect(ended.errors).toContain('--help lists the commands')
    expect(ended.errors).not.toMatch(/^\s+at /m)
  })

  test('looks at the spool beside the server that owns it, and stops writing when nobody reads', async () => {
    const cwd = await folder()
    expect((await run(cwd, ['spool', 'status']).done()).errors).toBe(
      `error-ingestor spool: There is no spool in ${join(cwd, 'data/spool')}; DATA_DIR says where it lies.\n`,
    )
    const url = await run(cwd, [], { CLICKHOUSE_HOST: 'http://127.0.0.1:1' }).url()
    expect(await send(url, 3)).toEqual({ success: true, accepted: 3 })
    const status = await run(cwd, ['spool', 'status', '--json']).done()
    expect(JSON.parse(status.output)).toMatchObject({ inUse: true, events: 3 })
    expect((await run(cwd, ['spool', 'verify']).done()).output).toContain('nothing is wrong')
    expect((await run(cwd, ['spool', 'export']).done()).output.split('\n')).toHaveLength(4)
    const main = `'${process.execPath}' '${MAIN}'`
    expect(await sh(`cd '${cwd}' && ${main} spool export | head -c 7`)).toBe('{"id":"')
  })

  test('that cannot start says which settings are wrong, without a stack, and ends with 1', async () => {
    const ended = await run(await folder(), [], { PORT: 'no', RETENTION_DAYS: '-1' }).done()
    expect(ended.code).toBe(1)
    expect(ended.errors).toMatch(/^error-ingestor cannot serve: .*PORT.*RETENTION_DAYS/s)
    expect(ended.errors).not.toMatch(/^\s+at /m)
  })

  test('reads .env in development mode only', async () => {
    const cwd = await folder()
    await writeFile(join(cwd, '.env'), 'RETENTION_DAYS=from-the-file\n')
    expect((await run(cwd).done()).errors).toContain('RETENTION_DAYS')
    const APPS = '[{"id": "shop", "name": "Shop", "keys": [{"key": "ei_of_a_test_0123456789"}]}]'
    const production = run(cwd, [], { NODE_ENV: 'production', APPS, ...remote() })
    await production.url()
    production.child.kill('SIGTERM')
    expect(await production.ended).toEqual({ code: 0, by: null })
  })
})

describe('the server in development mode with the embedded ClickHouse', () => {
  const embedded = { CLICKHOUSE_HOST: 'embedded' }

  test('says where it is, which ClickHouse, the key, and a curl that works when pasted, twice', async () => {
    const cwd = await folder()
    const server = run(cwd, [], embedded)
    const url = await server.url()
    await vi.waitUntil(() => server.output().includes('\ncurl '), SOON)
    expect(server.output()).toContain(`data in ${join(cwd, 'data', 'clickhouse')}`)
    expect(server.output()).toContain(KEY)
    const curl = /^curl .*$/m.exec(server.output())?.[0] ?? ''
    for (let pasted = 0; pasted < 2; pasted++) {
      expect(JSON.parse(await sh(`${curl} -s`))).toEqual({ success: true, accepted: 1 })
    }
    await vi.waitUntil(
      async () => JSON.stringify(await stored(url)).includes('card was declined'),
      SOON,
    )
    expect(await stored(url)).toMatchObject([
      { stackTrace: 'Error: The card was declined\n    at pay (checkout.js:42:7)' },
    ])
    const engine = Number(
      /PID: (\d+)/.exec(readFileSync(join(cwd, 'data/clickhouse/status'), 'utf8'))?.[1],
    )
    server.child.kill('SIGTERM')
    expect(await server.ended).toEqual({ code: 0, by: null })
    expect(existsSync(`/proc/${engine}`)).toBe(false)
  })

  test('started a second time in the same folder waits, then says why it cannot', async () => {
    const cwd = await folder()
    await run(cwd, [], embedded).url()
    const startedMs = performance.now()
    const second = await run(cwd, [], embedded).done()
    expect(performance.now() - startedMs).toBeGreaterThan(9_000)
    expect(second.code).toBe(1)
    expect(second.errors).toContain(
      `${join(cwd, 'data', 'clickhouse')} is in use by another process (pid `,
    )
    expect(second.errors.trim().split('\n')).toHaveLength(1)
  })

  test('killed and started again at once has what it had accepted', async () => {
    const cwd = await folder()
    const first = run(cwd, [], embedded)
    await first.url()
    await vi.waitUntil(() => first.output().includes('\ncurl '), SOON)
    const curl = /^curl .*$/m.exec(first.output())?.[0] ?? ''
    expect(JSON.parse(await sh(`${curl} -s`))).toMatchObject({ accepted: 1 })
    first.child.kill('SIGKILL')
    const url = await run(cwd, [], embedded).url()
    await vi.waitUntil(
      async () => JSON.stringify(await stored(url)).includes('card was declined'),
      SOON,
    )
    expect(await stored(url)).toHaveLength(1)
  })

  test('whose port is taken says so, and leaves no engine behind', async () => {
    const cwd = await folder()
    const PORT = new URL(await run(await folder(), [], remote()).url()).port
    const second = await run(cwd, [], { ...embedded, PORT }).done()
    expect(second).toMatchObject({ code: 1 })
    expect(second.errors).toContain(`Port ${PORT} is in use by another program`)
    // An orderly end removes it.
    expect(existsSync(join(cwd, 'data/clickhouse/status'))).toBe(false)
  })
})

describe('the server with a ClickHouse that is up', () => {
  test('is ready soon, and idle under 120 MB resident', async () => {
    const startedMs = performance.now()
    const server = run(await folder(), [], remote())
    const url = await server.url()
    expect((await fetch(`${url}/health/ready`)).status).toBe(200)
    // The promise is 1.5 s on an idle machine; other tests run beside this one.
    expect(performance.now() - startedMs).toBeLessThan(6_000)
    for (let i = 0; i < 20; i++) await (await fetch(`${url}/health`)).text()
    const status = readFileSync(`/proc/${server.child.pid ?? 0}/status`, 'utf8')
    expect(Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1])).toBeLessThan(120_000)
  })

  test('ends with 0 after SIGINT too', async () => {
    const server = run(await folder(), [], remote())
    await server.url()
    server.child.kill('SIGINT')
    expect(await server.ended).toEqual({ code: 0, by: null })
  })

  test('waits for an open request; a second signal ends it at once', async () => {
    const server = run(await folder(), [], remote())
    const { port } = new URL(await server.url())
    const slow = connect(Number(port), '127.0.0.1').on('error', () => undefined)
    slow.write(
      `POST /api/v1/ingest HTTP/1.1\r\nHost: localhost\r\nX-API-Key: ${KEY}\r\nContent-Length: 1000\r\n\r\n{`,
    )
    // It has been read when a later request has been answered.
    await (await fetch(`http://127.0.0.1:${port}/health/live`)).text()
    server.child.kill('SIGTERM')
    await vi.waitUntil(async () =>
      fetch(`http://127.0.0.1:${port}/health/live`).then(
        () => false,
        () => true,
      ),
    )
    expect(server.child.exitCode).toBeNull()
    server.child.kill('SIGTERM')
    expect(await server.ended).toEqual({ code: 143, by: null })
    slow.destroy()
  })

  test('serves its metrics on their own port too', async () => {
    const free = run(await folder(), [], remote())
    const METRICS_PORT = new URL(await free.url()).port
    free.child.kill('SIGTERM')
    await free.ended
    await run(await folder(), [], { ...remote(), METRICS_PORT }).url()
    const metrics = await fetch(`http://127.0.0.1:${METRICS_PORT}/metrics`)
    expect(await metrics.text()).toContain('error_ingestor_build_info{')
    expect((await fetch(`http://127.0.0.1:${METRICS_PORT}/health`)).status).toBe(404)
  })
})

test('the server starts while its ClickHouse is away, and accepts', async () => {
  const url = await run(await folder(), [], { CLICKHOUSE_HOST: 'http://127.0.0.1:1' }).url()
  expect(await send(url, 1)).toEqual({ success: true, accepted: 1 })
})

/** Sends events to a server, and gives back its answer. */
async function send(url: string, count: number): Promise<unknown> {
  const event = {
    ...{ code: 'a', message: 'b', stackTrace: '', appId: 'test-app', appVersion: '' },
    ...{ platform: 'web', platformVersion: '', timestamp: new Date().toISOString() },
  }
  const events = Array.from({ length: count }, () => ({ id: randomUUID(), ...event }))
  const answer = await fetch(`${url}/api/v1/ingest`, {
    method: 'POST',
    headers: { 'X-API-Key': KEY, 'Content-Type': 'application/json' },
    body: JSON.stringify({ events }),
  })
  return answer.json()
}

describe('the log', () => {
  const lines = (output: string) =>
    output
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line): unknown => JSON.parse(line))

  test('tells each request but no probe, when it begins to stop, and when it has', async () => {
    const server = run(await folder(), [], remote())
    const url = await server.url()
    for (const path of ['/health', '/health/ready', '/health/live', '/metrics', '/healthy']) {
      await (await fetch(`${url}${path}`)).text()
    }
    await send(url, 1)
    server.child.kill('SIGTERM')
    await server.ended
    const told = lines(server.output())
    const requests = told.filter((line) => JSON.stringify(line).includes('"msg":"request"'))
    expect(requests).toMatchObject([
      { path: '/healthy', status: 404 },
      { path: '/api/v1/ingest', status: 200, level: 'info' },
    ])
    expect(JSON.stringify(requests)).not.toContain('hasHeaders')
    expect(told.at(-1)).toMatchObject({ level: 'info', msg: 'stopped' })
    expect(JSON.stringify(told)).toContain('"graceMs":10000,"msg":"stopping: ')
  })

  test('tells probes at debug', async () => {
    const server = run(await folder(), [], { ...remote(), LOG_LEVEL: 'debug' })
    await (await fetch(`${await server.url()}/health/live`)).text()
    server.child.kill('SIGTERM')
    await server.ended
    expect(lines(server.output())).toContainEqual(
      expect.objectContaining({ level: 'debug', msg: 'request', path: '/health/live' }),
    )
  })
})

test('migrate says what it would do, does it, and has nothing to do the next time', async () => {
  const cwd = await folder()
  const where = remote()
  const planned = await run(cwd, ['migrate', '--plan'], where).done()
  expect(planned.output).toContain(`Making the database ${where.CLICKHOUSE_DATABASE}.`)
  // A plan changes nothing: it says the same again.
  expect((await run(cwd, ['migrate', '--plan'], where).done()).output).toBe(planned.output)
  const done = await run(cwd, ['migrate'], where).done()
  expect(done).toMatchObject({ code: 0, errors: '' })
  expect((await run(cwd, ['migrate', '--plan'], where).done()).output).toBe(
    'There is nothing to do.\n',
  )
  expect((await run(cwd, ['migrate'], where).done()).output).toMatch(
    /^The schema is at version \d+, as it was/,
  )
})

test('migrate without a ClickHouse says where it looked, and ends with 1', async () => {
  const ended = await run(await folder(), ['migrate', '--wait', '1'], {
    CLICKHOUSE_HOST: 'http://127.0.0.1:1',
  }).done()
  expect(ended.code).toBe(1)
  expect(ended.output).toMatch(/^Waiting up to 1 s for ClickHouse .* does not answer: .*\n$/)
  expect(ended.errors).toMatch(
    /^error-ingestor cannot migrate: ClickHouse \(http:\/\/127\.0\.0\.1:1, .*ECONNREFUSED/,
  )
})

test('migrate waits for a ClickHouse that comes up', async () => {
  const { hostname, port } = new URL(inject('clickhouseUrl'))
  // A port that was free a moment ago.
  const late = createServer((client) => {
    const server = connect(Number(port), hostname)
    client.on('error', () => server.destroy()).pipe(server)
    server.on('error', () => client.destroy()).pipe(client)
  })
  await once(late.listen(0, '127.0.0.1'), 'listening')
  const address = late.address()
  if (address === null || typeof address === 'string') throw new Error('It has no port.')
  await new Promise((closed) => late.close(closed))
  const migrating = run(await folder(), ['migrate', '--wait', '20'], {
    ...remote(),
    CLICKHOUSE_HOST: `http://127.0.0.1:${address.port}`,
  })
  await vi.waitUntil(() => migrating.output().includes('Waiting up to 20 s'), SOON)
  await once(late.listen(address.port, '127.0.0.1'), 'listening')
  undo.push(() => new Promise((closed) => late.close(closed)))
  const ended = await migrating.done()
  expect(ended).toMatchObject({ code: 0, errors: '' })
  expect(ended.output).toContain('The schema is at version')
})

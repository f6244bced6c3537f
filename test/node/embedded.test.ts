import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, readdirSync } from 'node:fs'
import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { getPriority, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { startEmbedded, type Embedded, type EmbeddedOptions } from '../../src/node/embedded.ts'
import { engineConfig, engineMemoryBytesMax } from '../../src/node/engine-config.ts'
import { findEngineLibrary, thisPlatform } from '../../src/node/engine-library.ts'

const undo: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
})

async function folder(): Promise<string> {
  const dataDir = await mkdtemp(join(tmpdir(), 'error-ingestor-test-'))
  undo.push(() => rm(dataDir, { recursive: true, force: true }))
  return dataDir
}

async function start(options: Partial<EmbeddedOptions> = {}): Promise<Embedded> {
  const dataDir = options.dataDir ?? (await folder())
  const engine = await startEmbedded({ say: () => undefined, ...options, dataDir })
  undo.push(() => engine.close())
  return engine
}

async function ask(engine: { readonly url: string }, sql: string): Promise<string> {
  const answer = await fetch(engine.url, { method: 'POST', body: sql })
  const text = await answer.text()
  if (!answer.ok) throw new Error(text)
  return text.trim()
}

/** A process that nobody has buried yet is not alive. */
function isAlive(pid: number | undefined): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid ?? 0}/stat`, 'utf8'))
  } catch {
    return false
  }
}

/** The priorities of a process's threads of that name, as numbers of which the higher gives way. */
function nicesOf(pid: number | undefined, name: string): number[] {
  const tasks = `/proc/${pid ?? 0}/task`
  const lines = readdirSync(tasks).map((task) => readFileSync(`${tasks}/${task}/stat`, 'utf8'))
  const named = lines.filter((line) => line.includes(`(${name})`))
  // The 19th of the line, of which two were the number and the name.
  return named.map((line) => Number(line.split(') ')[1]?.split(' ')[16]))
}

/** A process of its own that starts an engine, says what became of it, and stays. */
async function parent(dataDir: string): Promise<{ child: ChildProcess; url: string; pid: number }> {
  const module = new URL('../../src/node/embedded.ts', import.meta.url).href
  const program = `
    import { startEmbedded } from '${module}'
    const engine = await startEmbedded({ dataDir: process.argv[1], say() {} })
    console.log(JSON.stringify({ url: engine.url, pid: engine.pid() }))`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program, dataDir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  undo.push(async () => {
    if (child.exitCode === null && child.signalCode === null && child.kill('SIGKILL'))
      await once(child, 'exit')
  })
  let text = ''
  for await (const piece of child.stdout) {
    text += String(piece)
    if (text.includes('\n')) break
  }
  const said: unknown = JSON.parse(text)
  if (typeof said !== 'object' || said === null || !('url' in said) || !('pid' in said))
    throw new Error(text)
  return { child, url: String(said.url), pid: Number(said.pid) }
}

describe('an embedded ClickHouse', () => {
  test('answers on loopback, within its memory, and keeps its data over a restart', async () => {
    const dataDir = await folder()
    const first = await start({ dataDir })
    expect(first.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
    expect(await ask(first, 'SELECT version()')).toBe(first.version)
    const limit = "SELECT value FROM system.server_settings WHERE name = 'max_server_memory_usage'"
    expect(Number(await ask(first, limit))).toBe(engineMemoryBytesMax())
    await ask(first, 'CREATE TABLE kept (a Int8) ENGINE = MergeTree ORDER BY a')
    await ask(first, 'INSERT INTO kept VALUES (42)')
    await first.close()
    expect(await ask(await start({ dataDir }), 'SELECT a FROM kept')).toBe('42')
  })

  test('ends when it is closed, after the question in flight', async () => {
    const engine = await start()
    const pid = engine.pid()
    const asked = ask(engine, 'SELECT sleep(0.5), 7')
    await vi.waitUntil(
      async () =>
        (await ask(
          engine,
          "SELECT count() FROM system.processes WHERE query LIKE 'SELECT sleep%'",
        )) === '1',
    )
    await engine.close()
    expect(await asked).toBe('0\t7')
    expect(isAlive(pid)).toBe(false)
  })

  test('ends with its parent when that is killed, and the folder is free at once', async () => {
    const dataDir = await folder()
    const { child, pid } = await parent(dataDir)
    expect(isAlive(pid)).toBe(true)
    child.kill('SIGKILL')
    await once(child, 'exit')
    const engine = await start({ dataDir })
    expect(await ask(engine, 'SELECT 1')).toBe('1')
    await vi.waitUntil(() => !isAlive(pid))
  })

  test('that is killed comes back on the same address with its data, again and again', async () => {
    const said: string[] = []
    const engine = await start({ say: (level, text) => said.push(`${level}: ${text}`) })
    await ask(engine, 'CREATE TABLE kept (a Int8) ENGINE = MergeTree ORDER BY a')
    await ask(engine, 'INSERT INTO kept VALUES (42)')
    for (let round = 0; round < 2; round++) {
      const pid = engine.pid()
      process.kill(pid ?? 0, 'SIGKILL')
      await vi.waitUntil(() => engine.pid() !== pid && engine.pid() !== undefined, {
        timeout: 10_000,
      })
      expect(await ask(engine, 'SELECT a FROM kept')).toBe('42')
    }
    expect(said).toContain(
      'warn: The embedded ClickHouse was killed (SIGKILL); starting it again in 100 ms.',
    )
    expect(said.filter((line) => line === 'info: The embedded ClickHouse is back.')).toHaveLength(2)
  })

  test('merges at a lower priority than it does all else, also after it came back', async () => {
    const engine = await start()
    const usual = getPriority()
    await ask(engine, 'CREATE TABLE a (a Int8) ENGINE = MergeTree ORDER BY a')
    const merges = () => nicesOf(engine.pid(), 'MergeMutate')
    await expect.poll(merges, { timeout: 10_000 }).toEqual([usual + 10, usual + 10])
    process.kill(engine.pid() ?? 0, 'SIGKILL')
    const again = { isUp: true, restarts: 1 }
    await expect.poll(() => engine.status(), { timeout: 20_000 }).toEqual(again)
    await expect.poll(merges, { timeout: 10_000 }).toEqual([usual + 10, usual + 10])
    expect(new Set(nicesOf(engine.pid(), 'HTTPHandler'))).toEqual(new Set([usual]))
  })

  test('can be closed while it waits to come back', async () => {
    const said: string[] = []
    const engine = await start({ say: (_level, text) => said.push(text) })
    process.kill(engine.pid() ?? 0, 'SIGKILL')
    await vi.waitUntil(() => said.some((text) => text.includes('starting it again')))
    await engine.close()
    await expect(ask(engine, 'SELECT 1')).rejects.toThrow()
  })
})

describe('a start that cannot be', () => {
  test('in a folder that another engine holds waits, then says which folder and which process', async () => {
    const dataDir = await folder()
    const { child, pid } = await parent(dataDir)
    const said: string[] = []
    const startedMs = performance.now()
    const second = start({ dataDir, lockWaitMs: 1_000, say: (_level, text) => said.push(text) })
    await expect(second).rejects.toThrow(
      `${dataDir} is in use by another process (pid ${pid} of the server ${child.pid ?? 0}): stop that first, or set DATA_DIR to another folder.`,
    )
    expect(performance.now() - startedMs).toBeGreaterThan(1_000)
    expect(said).toContain(
      `Waiting for another process (pid ${pid} of the server ${child.pid ?? 0}) to leave ${dataDir}.`,
    )
  })

  test('in a folder whose owner goes while it waits is one that can', async () => {
    const dataDir = await folder()
    const first = await start({ dataDir })
    const said: string[] = []
    const second = start({ dataDir, say: (_level, text) => said.push(text) })
    await vi.waitUntil(() => said.some((text) => text.startsWith('Waiting for ')), {
      timeout: 5_000,
    })
    await first.close()
    expect(await ask(await second, 'SELECT 1')).toBe('1')
  })

  test('on a port that is taken says so', async () => {
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    undo.push(async () => other[Symbol.asyncDispose]())
    const address = other.address()
    const port = typeof address === 'object' ? address?.port : undefined
    await expect(start({ port })).rejects.toThrow(
      `Port ${port ?? 0} of the embedded ClickHouse cannot be used: listen EADDRINUSE`,
    )
  })

  test("says the engine's own words", async () => {
    const dataDir = await folder()
    // Where ClickHouse wants to write its own state.
    await mkdir(join(dataDir, 'status'))
    await expect(start({ dataDir })).rejects.toThrow(
      /^The embedded ClickHouse cannot start in .*: .*Exception/s,
    )
  })

  test('in a folder that cannot be made says which', async () => {
    const file = join(await folder(), 'file')
    await writeFile(file, '')
    await expect(start({ dataDir: join(file, 'data') })).rejects.toThrow(
      `The folder ${join(file, 'data')} cannot be used: ENOTDIR`,
    )
  })

  test('is given up when told to', async () => {
    const dataDir = await folder()
    await start({ dataDir })
    const stop = new AbortController()
    const second = start({ dataDir, signal: stop.signal, say: () => stop.abort() })
    await expect(second).rejects.toThrow('The start was given up.')
  })
})

describe('the engine of a platform', () => {
  const missing = () => {
    throw new Error('MODULE_NOT_FOUND')
  }

  test('is found on this one', async () => {
    expect((await stat(findEngineLibrary(thisPlatform()))).size).toBeGreaterThan(100_000_000)
  })

  test.each([
    ['win32', 'x64', true, 'There is no embedded ClickHouse for win32 on x64.'],
    ['linux', 'x64', false, 'There is no embedded ClickHouse for linux on x64 with musl.'],
    ['linux', 'riscv64', true, 'There is no embedded ClickHouse for linux on riscv64.'],
  ])('that has none (%s %s) is told how to run ClickHouse beside it', (os, arch, glibc, words) => {
    const find = () => findEngineLibrary({ os, arch, glibc, resolve: missing })
    expect(find).toThrow(words)
    expect(find).toThrow('docker run -d --name clickhouse -p 127.0.0.1:8123:8123')
    expect(find).toThrow('CLICKHOUSE_HOST=http://localhost:8123')
  })

  test.each([
    ['darwin', 'arm64', '@chdb/lib-darwin-arm64'],
    ['darwin', 'x64', '@chdb/lib-darwin-x64'],
    ['linux', 'arm64', '@chdb/lib-linux-arm64-gnu'],
    ['linux', 'x64', '@chdb/lib-linux-x64-gnu'],
  ])('that is not installed (%s %s) is told the one command that adds it', (os, arch, name) => {
    expect(() => findEngineLibrary({ os, arch, glibc: true, resolve: missing })).toThrow(
      `npm install --no-save ${name} ffi-rs`,
    )
  })
})

test('a folder with markup in its name is written as text', () => {
  expect(engineConfig('/a <b> & c', '/x.xml', 1)).toContain(
    '<log>/a &lt;b&gt; &amp; c/engine.log</log>',
  )
})

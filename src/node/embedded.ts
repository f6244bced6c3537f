import { spawn, type ChildProcess } from 'node:child_process'
import { rmSync, writeFileSync } from 'node:fs'
import { mkdir, readFile, realpath } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { engineConfig, engineMemoryBytesMax, MERGES_AT_ONCE } from './engine-config.ts'
import { cannotStart, isLocked, isPortTaken, lockedBy, ownerOf } from './engine-words.ts'
import { letMergesGiveWay } from './engine-priority.ts'
import { findEngineLibrary, thisPlatform } from './engine-library.ts'

const LOCK_WAIT_MS = 10_000
const LOCK_RETRY_MS = 400
const START_MS_MAX = 60_000
const PROGRESS_AFTER_MS = 1_000
const PROGRESS_EVERY_MS = 5_000
const PING_EVERY_MS = 25
const STOP_MS_MAX = 15_000
const LOOK_FOR_MERGES_MS = 1_000
const BACKOFF_MS = { first: 100, max: 10_000 } as const
// An engine that ran this long was well: the next death starts again with a short wait.
const HEALTHY_AFTER_MS = 30_000
const PORT_TRIES_MAX = 5
const WORDS_CHARS_MAX = 4_096

/** How to start an embedded ClickHouse. */
export interface EmbeddedOptions {
  /** Its folder; made when absent. One engine per folder. */
  readonly dataDir: string
  /** Port on 127.0.0.1; absent takes a free one. The same for all restarts. */
  readonly port?: number | undefined
  readonly say: (level: 'error' | 'warn' | 'info', text: string, fields?: object) => void
  /** Gives the start up. */
  readonly signal?: AbortSignal | undefined
  /** How long to wait for a dying owner of the folder; 10 s where absent. */
  readonly lockWaitMs?: number | undefined
}

/** A running ClickHouse server, brought back whenever it dies, until closed. */
export interface Embedded {
  /** `http://127.0.0.1:<port>`, the same over restarts. */
  readonly url: string
  readonly version: string
  /** Absolute. */
  readonly dataDir: string
  /** Of the running child; changes with a restart, undefined between two. */
  readonly pid: () => number | undefined
  /** Whether it runs now, and how often it was started again after it had died. */
  readonly status: () => { readonly isUp: boolean; readonly restarts: number }
  /** Ends it after the queries in flight; kills it when that takes over 15 s. */
  readonly close: () => Promise<void>
}

/** The engine could not start; `message` is a sentence for the person who started it. */
export class EmbeddedError extends Error {
  override readonly name = 'EmbeddedError'
}

/**
 * Starts ClickHouse as a child process on a loopback port and resolves when it answers. It ends with
 * this process, whatever ends that, since its standard input closes then. When it dies alone it is
 * started again on the same port, with a growing pause, for ever.
 * @throws EmbeddedError in the engine's own words; NoEngineError where there is none to start.
 */
export async function startEmbedded(options: EmbeddedOptions): Promise<Embedded> {
  const dataDir = resolve(options.dataDir)
  const library = findEngineLibrary(thisPlatform())
  const configFile = prepareFolder(await made(dataDir))
  const launch = (port: number) => launchEngine([library, configFile, dataDir, String(port)])
  const first = await firstStart(launch, { ...options, dataDir })
  const { port } = first
  let engine: Engine | undefined = first.engine
  void prioritize(engine, options.say)
  writeFileSync(addressFile(dataDir), urlOf(port))
  const closing = new AbortController()
  const kept = keepAlive()

  let restarts = 0
  return {
    url: urlOf(port),
    version: first.version,
    dataDir,
    pid: () => engine?.child.pid,
    status: () => ({ isUp: engine !== undefined, restarts }),
    close,
  }

  async function keepAlive(): Promise<void> {
    let waitMs: number = BACKOFF_MS.first
    while (engine !== undefined) {
      const startedMs = performance.now()
      const death = await engine.ended
      engine = undefined
      if (performance.now() - startedMs > HEALTHY_AFTER_MS) waitMs = BACKOFF_MS.first
      while (engine === undefined) {
        if (closing.signal.aborted) return
        options.say('warn', `The embedded ClickHouse ${death}; starting it again in ${waitMs} ms.`)
        await sleep(waitMs, undefined, { signal: closing.signal }).catch(aborted)
        waitMs = Math.min(waitMs * 2, BACKOFF_MS.max)
        if (isAborted(closing.signal)) return
        engine = await again()
      }
    }
  }

  async function again(): Promise<Engine | undefined> {
    const candidate = launch(port)
    const version = await answering(candidate, port, closing.signal)
    if (version !== undefined) {
      restarts += 1
      void prioritize(candidate, options.say)
      options.say('info', 'The embedded ClickHouse is back.', { pid: candidate.child.pid })
      return candidate
    }
    await stop(candidate)
    if (!closing.signal.aborted) options.say('error', cannotStart(dataDir, candidate.words()))
    return undefined
  }

  async function close(): Promise<void> {
    closing.abort()
    if (engine !== undefined) await stop(engine)
    await kept
    rmSync(addressFile(dataDir), { force: true })
  }
}

/** Where a running engine says its address, for other processes of ours. */
const addressFile = (dataDir: string) => join(dataDir, 'engine.url')

/**
 * The address of the engine that runs on this folder, whoever started it; undefined where none does.
 * What an engine that was killed left behind may by now be the address of another one.
 */
export async function findEmbedded(dataDir: string): Promise<string | undefined> {
  try {
    const url = await readFile(addressFile(dataDir), 'utf8')
    const sql = "SELECT path FROM system.disks WHERE name = 'default'"
    const path = await ask(url, sql)
    return path !== undefined && (await realpath(path)) === (await realpath(dataDir))
      ? url
      : undefined
  } catch {
    // No folder, no file, or not ours: none is found.
    return undefined
  }
}

interface Engine {
  readonly child: ChildProcess
  /** How it ended, as the end of a sentence. */
  readonly ended: Promise<string>
  readonly hasEnded: () => boolean
  /** The last it wrote to its standard error. */
  readonly words: () => string
}

interface Started {
  readonly engine: Engine
  readonly version: string
  readonly port: number
}

async function firstStart(
  launch: (port: number) => Engine,
  options: EmbeddedOptions,
): Promise<Started> {
  const { dataDir, signal, say } = options
  const lockUntilMs = performance.now() + (options.lockWaitMs ?? LOCK_WAIT_MS)
  let saidWaiting = false
  for (let portTries = 1; ;) {
    const port = await freePort(options.port)
    const engine = launch(port)
    const stopProgress = progress(dataDir, say)
    const version = await answering(engine, port, signal).finally(stopProgress)
    if (version !== undefined) return { engine, version, port }
    await stop(engine)
    const words = engine.words()
    if (signal?.aborted === true) throw new EmbeddedError('The start was given up.')
    if (isPortTaken(words) && options.port === undefined && portTries < PORT_TRIES_MAX) portTries++
    else if (!isLocked(words)) throw new EmbeddedError(cannotStart(dataDir, words))
    else if (performance.now() > lockUntilMs) throw new EmbeddedError(lockedBy(dataDir))
    else {
      if (!saidWaiting) say('info', `Waiting for ${ownerOf(dataDir)} to leave ${dataDir}.`)
      saidWaiting = true
      await sleep(LOCK_RETRY_MS)
    }
  }
}

function launchEngine(args: readonly string[]): Engine {
  // Built, this file is part of dist/*.js; run from source it is src/node/embedded.ts.
  const file = import.meta.url.endsWith('.ts') ? './engine.ts' : './node/engine.js'
  const entry = fileURLToPath(new URL(file, import.meta.url))
  const child = spawn(process.execPath, [entry, ...args], {
    stdio: ['pipe', 'ignore', 'pipe'],
    // Its own process group: Ctrl-C must reach the server first, which still has rows to deliver.
    detached: true,
    env: engineEnvironment(),
  })
  let words = ''
  let hasEnded = false
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    words = (words + text).slice(-WORDS_CHARS_MAX)
  })
  // The pipe breaks when the engine dies; that it died is told by `close`.
  child.stdin.on('error', () => undefined)
  const ended = new Promise<string>((tell) => {
    const end = (how: string) => {
      hasEnded = true
      tell(how)
    }
    child.once('error', (error) => {
      words += error.message
      end(`could not be run (${error.message})`)
    })
    child.once('close', (code, by) => {
      end(by === null ? `ended with exit code ${code ?? 'unknown'}` : `was killed (${by})`)
    })
  })
  return { child, ended, hasEnded: () => hasEnded, words: () => words.trim() }
}

/**
 * Its allocator keeps what was freed for half a minute: by default it gives memory back to the system
 * between two inserts and takes it again, which is a tenth of what they cost.
 */
const MALLOC = 'dirty_decay_ms:30000,muzzy_decay_ms:30000'

/** Nothing of ours leaks into the engine: neither secrets nor options meant for this process. */
function engineEnvironment(): NodeJS.ProcessEnv {
  const { PATH, HOME, LANG, TMPDIR, LD_LIBRARY_PATH } = process.env
  return { PATH, HOME, LANG, TMPDIR, LD_LIBRARY_PATH, TZ: 'UTC', JE_MALLOC_CONF: MALLOC }
}

/** The version, once it answers; undefined when it ended, was given up or took over 60 s. */
async function answering(
  engine: Engine,
  port: number,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const untilMs = performance.now() + START_MS_MAX
  while (!engine.hasEnded() && signal?.aborted !== true && performance.now() < untilMs) {
    const version = await askVersion(port)
    // Somebody else may have taken the port and answer in its place: then ours has ended.
    if (version !== undefined && !engine.hasEnded()) return version
    await Promise.race([engine.ended, sleep(PING_EVERY_MS)])
  }
  return undefined
}

const askVersion = (port: number) => ask(urlOf(port), 'SELECT version()')

async function ask(url: string, sql: string): Promise<string | undefined> {
  try {
    const answer = await fetch(`${url}/?${new URLSearchParams({ query: sql }).toString()}`, {
      signal: AbortSignal.timeout(2_000),
      headers: { connection: 'close' },
    })
    const text = (await answer.text()).trim()
    return answer.ok ? text : undefined
  } catch {
    // Not listening yet.
    return undefined
  }
}

/** Merges have their threads from the engine's first table on. Resolves when all give way, or it has ended. */
async function prioritize(engine: Engine, say: EmbeddedOptions['say']): Promise<void> {
  const { pid } = engine.child
  if (process.platform !== 'linux' || pid === undefined) return
  try {
    while (!engine.hasEnded() && (await letMergesGiveWay(pid)) < MERGES_AT_ONCE) {
      await Promise.race([engine.ended, sleep(LOOK_FOR_MERGES_MS, undefined, { ref: false })])
    }
  } catch (error) {
    if (engine.hasEnded()) return
    const why = error instanceof Error ? error.message : String(error)
    say('warn', `The embedded ClickHouse merges with the priority of questions: ${why}`)
  }
}

async function stop(engine: Engine): Promise<void> {
  engine.child.stdin?.end()
  const tooLong = setTimeout(() => engine.child.kill('SIGKILL'), STOP_MS_MAX)
  await engine.ended
  clearTimeout(tooLong)
}

function progress(dataDir: string, say: EmbeddedOptions['say']): () => void {
  let timer = setTimeout(tell, PROGRESS_AFTER_MS, 1)
  return () => clearTimeout(timer)
  function tell(seconds: number): void {
    say('info', `The embedded ClickHouse is starting in ${dataDir} (${seconds} s).`)
    timer = setTimeout(tell, PROGRESS_EVERY_MS, seconds + PROGRESS_EVERY_MS / 1_000)
  }
}

async function made(dataDir: string): Promise<string> {
  try {
    await mkdir(dataDir, { recursive: true })
    return dataDir
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new EmbeddedError(`The folder ${dataDir} cannot be used: ${why}`, { cause })
  }
}

/** Writes the engine's configuration; a running engine's folder keeps the same bytes. */
function prepareFolder(dataDir: string): string {
  const configFile = join(dataDir, 'engine.xml')
  try {
    writeFileSync(configFile, engineConfig(dataDir, configFile, engineMemoryBytesMax()))
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new EmbeddedError(`The folder ${dataDir} cannot be written: ${why}`, { cause })
  }
  return configFile
}

/** @throws EmbeddedError when `wanted` is taken. */
async function freePort(wanted: number | undefined): Promise<number> {
  const probe = createServer()
  return new Promise((found, fail) => {
    probe.once('error', (cause) => {
      const text = `Port ${wanted ?? 'any'} of the embedded ClickHouse cannot be used: ${cause.message}`
      fail(new EmbeddedError(text, { cause }))
    })
    probe.listen(wanted ?? 0, '127.0.0.1', () => {
      const address = probe.address()
      const port = typeof address === 'object' && address !== null ? address.port : 0
      probe.close(() => found(port))
    })
  })
}

const urlOf = (port: number) => `http://127.0.0.1:${port}`
// A function, because the compiler believes that a flag it saw false stays false over an await.
const isAborted = (signal: AbortSignal) => signal.aborted
const aborted = () => undefined

import { exec, execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { cpSync, mkdirSync, openSync, closeSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { startEmbedded, type Embedded } from '../../src/node/embedded.ts'
import { APPS } from './events.ts'
import type { Control } from './preload.ts'

/** The database of the run. */
export const DATABASE = 'chaos'
/** Short, so that a hung ClickHouse outlasts it often. */
const CLICKHOUSE_TIMEOUT_MS = 2_000
/** Of one that shares its machine with much else. */
const START_MS_MAX = 90_000
const DRAIN_MS_MAX = 180_000
const SMALL_DISK = '96m'

/** A server process that is brought back after each death. */
export interface Server {
  readonly name: string
  readonly url: string
  readonly dataDir: string
  readonly spoolDir: string
  /** Started, and not known to be dead. */
  readonly isUp: () => boolean
  readonly signal: (signal: NodeJS.Signals) => void
  /** Resolves once the process that runs now has ended. */
  readonly ended: () => Promise<{ readonly code: number | null; readonly by: string | null }>
  /** Starts a process; the one before must have ended. */
  readonly start: () => void
  /** Resolves once it answers. */
  readonly answers: () => Promise<void>
  readonly control: (change: Partial<Control>) => void
  /** A value of /metrics. */
  readonly metric: (name: string) => Promise<number>
  /** A second process on the same folder. */
  readonly second: () => ChildProcess
}

/** All processes of a run. */
export interface World {
  readonly engine: Pick<Embedded, 'url' | 'pid' | 'close'>
  /** Hurts a ClickHouse that runs elsewhere; does nothing where `engine` is a process of ours. */
  readonly hurt: () => Promise<void>
  readonly servers: readonly [Server, Server]
  /** Stops ClickHouse in its tracks until as many have released it as held it. */
  readonly hold: () => void
  readonly release: () => void
  /** Broken promises that are seen while it runs. */
  readonly violations: string[]
  readonly close: () => Promise<void>
}

/** What a world is made of. */
export interface WorldOptions {
  readonly folder: string
  /** Where the second server keeps its data: a small file system, where there is one. */
  readonly smallDisk: string | undefined
  /** Settings of both servers, beside those of every run or in their place. */
  readonly settings?: Readonly<Record<string, string>>
  /** A ClickHouse that runs elsewhere, without the database of the run; else an embedded one is started. */
  readonly outside?: Outside | undefined
}

interface Outside {
  readonly url: string
  /** A shell command that kills one of its servers, and has it come back. */
  readonly hurt: string | undefined
}

/** Starts ClickHouse, makes the schema, and two servers with a folder each. */
export async function openWorld(options: WorldOptions): Promise<World> {
  const { folder, smallDisk, outside, settings = {} } = options
  const program = ownProgram(folder)
  const violations: string[] = []
  const engine =
    outside === undefined
      ? await startEmbedded({ dataDir: join(folder, 'clickhouse'), say: () => undefined })
      : await elsewhere(outside.url)
  const common = { folder, program, violations, settings, clickhouse: engine.url }
  await migrate(common)
  const a = await openServer({ ...common, name: 'a', dataDir: join(folder, 'a'), production: true })
  const b = await openServer({
    ...common,
    name: 'b',
    dataDir: smallDisk ?? join(folder, 'b'),
    production: false,
  })
  for (const server of [a, b]) server.start()
  await Promise.all([a.answers(), b.answers()])
  let holders = 0
  const signal = (name: NodeJS.Signals) => {
    const pid = engine.pid()
    if (pid !== undefined) process.kill(pid, name)
  }
  return {
    engine,
    hurt: () => (outside?.hurt === undefined ? Promise.resolve() : run(outside.hurt, violations)),
    servers: [a, b],
    hold() {
      holders += 1
      signal('SIGSTOP')
    },
    release() {
      holders -= 1
      if (holders === 0) signal('SIGCONT')
    },
    violations,
    async close() {
      for (const server of [a, b]) if (server.isUp()) server.signal('SIGKILL')
      await engine.close()
    },
  }
}

/** A copy, so that a build during the run does not change the program under test. */
function ownProgram(folder: string): string {
  cpSync('dist', join(folder, 'program', 'dist'), { recursive: true })
  cpSync('package.json', join(folder, 'program', 'package.json'))
  symlinkSync(resolve('node_modules'), join(folder, 'program', 'node_modules'))
  return join(folder, 'program', 'dist', 'main.js')
}

interface Common {
  readonly folder: string
  readonly program: string
  readonly violations: string[]
  readonly settings: Readonly<Record<string, string>>
  readonly clickhouse: string
}

async function elsewhere(url: string): Promise<World['engine']> {
  const answer = await fetch(url, { method: 'POST', body: `EXISTS DATABASE ${DATABASE}` })
  const text = (await answer.text()).trim()
  if (text === '0') return { url, pid: () => undefined, close: () => Promise.resolve() }
  throw new Error(`The database ${DATABASE} of an earlier run is there, or cannot be: ${text}`)
}

async function run(command: string, violations: string[]): Promise<void> {
  try {
    await promisify(exec)(command)
  } catch (error) {
    violations.push(`--hurt failed: ${String(error)}`)
  }
}

async function migrate({ program, clickhouse, settings }: Common): Promise<void> {
  const child = spawn(process.execPath, [program, 'migrate'], {
    env: {
      ...process.env,
      ...{ ...settings, CLICKHOUSE_HOST: clickhouse, CLICKHOUSE_DATABASE: DATABASE },
    },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const { code } = await endOf(child)
  if (code !== 0) throw new Error('The schema could not be made.')
}

interface ServerOptions extends Common {
  readonly name: string
  readonly dataDir: string
  readonly production: boolean
}

async function openServer(options: ServerOptions): Promise<Server> {
  const { name, dataDir, folder } = options
  mkdirSync(dataDir, { recursive: true })
  const controlFile = join(folder, `${name}.control.json`)
  let control: Control = { clockOffsetMs: 0, slowMs: 0, failShare: 0 }
  const write = () => writeFileSync(controlFile, JSON.stringify(control))
  write()
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  let child: ChildProcess | undefined
  let end: ReturnType<typeof endOf> = Promise.resolve({ code: 0, by: null })

  const launch = (onPort: number) => {
    const log = openSync(join(folder, `${name}.log`), 'a')
    const launched = spawn(process.execPath, [options.program], {
      env: environment(options, onPort, controlFile),
      stdio: ['ignore', log, log],
    })
    closeSync(log)
    return launched
  }

  return {
    name,
    url,
    dataDir,
    spoolDir: join(dataDir, 'spool'),
    isUp: () => child !== undefined && child.exitCode === null && child.signalCode === null,
    signal: (signal) => child?.kill(signal),
    ended: () => end,
    start() {
      child = launch(port)
      end = endOf(child)
    },
    async answers() {
      const untilMs = performance.now() + START_MS_MAX
      while (performance.now() < untilMs) {
        if (child?.exitCode !== null) break
        try {
          if ((await fetch(`${url}/health/live`, { signal: AbortSignal.timeout(2_000) })).ok) return
        } catch {
          // Not yet.
        }
        await sleep(25)
      }
      options.violations.push(
        `server ${name} did not come back (exit ${child?.exitCode ?? 'none'})`,
      )
      throw new Error(`Server ${name} did not come back: see ${join(folder, `${name}.log`)}`)
    },
    control(change) {
      control = { ...control, ...change }
      write()
    },
    metric: (metric) => metricOf(url, metric),
    second: () => launch(0),
  }
}

function environment(options: ServerOptions, port: number, controlFile: string) {
  const { PATH, HOME } = process.env
  return {
    ...{ PATH, HOME, PORT: String(port), HOST: '127.0.0.1', LOG_LEVEL: 'warn' },
    NODE_ENV: options.production ? 'production' : 'development',
    NODE_OPTIONS: `--import=${new URL('preload.ts', import.meta.url).href}`,
    CHAOS_CONTROL: controlFile,
    CLICKHOUSE_HOST: options.clickhouse,
    CLICKHOUSE_DATABASE: DATABASE,
    CLICKHOUSE_TIMEOUT_MS: String(CLICKHOUSE_TIMEOUT_MS),
    DATA_DIR: options.dataDir,
    APPS: JSON.stringify(APPS),
    // Small, so that a run passes through many segments and windows, and fills the spool at times.
    SPOOL_SEGMENT_BYTES: String(1024 * 1024),
    SPOOL_BYTES_MAX: String(48 * 1024 * 1024),
    DELIVERY_ROWS_MAX: '5000',
    DELIVERY_AGE_MS_MAX: '300',
    SHUTDOWN_GRACE_MS: '3000',
    ...options.settings,
  }
}

/** Waits until all servers have delivered all they had accepted. @returns seconds */
export async function drained(world: World): Promise<number> {
  const startedMs = performance.now()
  for (const server of world.servers) {
    while ((await server.metric('error_ingestor_spool_events')) > 0) {
      if (performance.now() - startedMs > DRAIN_MS_MAX) {
        world.violations.push(`server ${server.name} did not deliver all in ${DRAIN_MS_MAX} ms`)
        break
      }
      await sleep(100)
    }
  }
  return (performance.now() - startedMs) / 1_000
}

/** A file system of a few megabytes in `folder`, so that it can be filled; undefined where none can be mounted. */
export function mountSmallDisk(folder: string): string | undefined {
  const path = join(folder, 'small')
  mkdirSync(path)
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${SMALL_DISK}`, 'tmpfs', path], {
      stdio: 'ignore',
    })
    return path
  } catch {
    return undefined
  }
}

async function metricOf(url: string, name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(10_000) })).text()
  const value = new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]
  if (value === undefined) throw new Error(`There is no metric ${name}.`)
  return Number(value)
}

/** How a process ended. */
export function endOf(child: ChildProcess) {
  return new Promise<{ readonly code: number | null; readonly by: string | null }>((resolve) => {
    child.once('exit', (code, by) => resolve({ code, by }))
  })
}

function freePort(): Promise<number> {
  const probe = createServer()
  return new Promise((found, fail) => {
    probe.once('error', fail)
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address()
      const port = typeof address === 'object' && address !== null ? address.port : 0
      probe.close(() => found(port))
    })
  })
}

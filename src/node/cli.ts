import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { constants } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { ClickHouseError } from '@clickhouse/client'
import { DEVELOPMENT_KEY, readConfig } from '../config.ts'
import { chooseClickHouse } from './choose.ts'
import { startServer, type RunningServer } from './server.ts'
import { letHeapGrow } from './heap.ts'
import { withSecretFiles } from './secrets.ts'
import { UsageError } from './spool-io.ts'
import { ClusterError } from '../store/cluster.ts'
import { migrate, plan } from '../store/migrate.ts'
import { VERSION } from '../version.ts'

const HELP = `error-ingestor takes the errors of your apps, keeps them safe, and shows them.

Usage: error-ingestor [command]

  serve             Run the server (this is what no command means).
  migrate [--plan] [--wait SECONDS]
                    Bring the schema of ClickHouse up to date; --plan only says what it would do.
                    A ClickHouse that does not answer is waited for, 10 seconds if nothing is said.
  spool status|verify|export|undeliverable
                    Look at the events that are accepted and not delivered yet: spool --help.

  doctor            Look at everything the server stands on, and say what to do: doctor --help.

  apps list|create  Look at apps, make one: apps --help.
  keys list|create|rotate|revoke
                    The same for their keys: keys --help.

  --help            Say this.
  --version         Say the version.

Settings are environment variables (PORT, DATA_DIR, CLICKHOUSE_HOST …), all with defaults that work;
in development mode a .env file in the current folder is read too. They are listed in the README.
`
const WAIT_SECONDS = 10
const WAIT_SECONDS_MAX = 86_400
const TRY_AGAIN_MS = 500
const USAGE_EXIT_CODE = 2
const SIGNAL_EXIT_CODE = 128

const COMMANDS = {
  serve: runServer,
  migrate: runMigrations,
  spool: runSpool,
  doctor: runDoctor,
  apps: (asked: Asked) => runKeys('apps', asked),
  keys: (asked: Asked) => runKeys('keys', asked),
  help: () => print(HELP),
  version: () => print(`${VERSION}\n`),
} as const

/**
 * Does what the arguments of the process ask for, and sets its exit code: 0 done, 1 failed, 2 not
 * understood. Resolves when nothing is left to do.
 */
export async function main(): Promise<void> {
  // Whoever read our output has gone; that is no reason to stop.
  process.stdout.on('error', () => undefined)
  process.stderr.on('error', () => undefined)
  let command = 'start'
  try {
    const asked = readArguments(process.argv.slice(2))
    command = asked.command
    const code: unknown = await COMMANDS[asked.command](asked)
    process.exitCode = typeof code === 'number' ? code : 0
  } catch (error) {
    process.exitCode = isUsageError(error) ? USAGE_EXIT_CODE : 1
    const cannot = ['spool', 'doctor'].includes(command) ? command : `cannot ${command}`
    process.stderr.write(
      isUsageError(error)
        ? `${error.message}\nerror-ingestor --help lists the commands.\n`
        : `error-ingestor ${cannot}: ${sentenceOf(error)}\n`,
    )
  }
}

interface Asked {
  readonly command: keyof typeof COMMANDS
  readonly planOnly: boolean
  readonly waitSeconds: number
  /** Of those of {@link OWN_ARGUMENTS}. */
  readonly rest: readonly string[]
}

/** Commands that read their arguments themselves. */
const OWN_ARGUMENTS = ['spool', 'doctor', 'apps', 'keys'] as const

/** @throws UsageError, or parseArgs's own, saying what is wrong with the arguments. */
function readArguments(args: string[]): Asked {
  const [first, ...rest] = args
  const own = OWN_ARGUMENTS.find((name) => name === first)
  if (own !== undefined) return { command: own, planOnly: false, waitSeconds: 0, rest }
  const flag = { type: 'boolean', default: false } as const
  const { values, positionals } = parseArgs({
    args,
    options: { help: flag, version: flag, plan: flag, wait: { type: 'string' } },
    allowPositionals: true,
  })
  const [name = 'serve', ...more] = positionals
  const command = values.help ? 'help' : values.version ? 'version' : name
  if (!isCommand(command)) throw new UsageError(`There is no command ${command}.`)
  if (more.length > 0) throw new UsageError(`${command} takes no argument (${more.join(' ')}).`)
  const isMigrate = command === 'migrate' || command === 'help'
  if (values.plan && !isMigrate) throw new UsageError('--plan belongs to migrate.')
  if (values.wait !== undefined && !isMigrate) throw new UsageError('--wait belongs to migrate.')
  const waitSeconds = Number(values.wait ?? WAIT_SECONDS)
  if (!(waitSeconds >= 0 && waitSeconds <= WAIT_SECONDS_MAX) || values.wait === '') {
    throw new UsageError(`--wait takes seconds, 0 to ${WAIT_SECONDS_MAX}.`)
  }
  return { command, planOnly: values.plan, waitSeconds, rest: [] }
}

/** Not understood, as opposed to failed. */
function isUsageError(error: unknown): error is Error {
  if (!(error instanceof Error)) return false
  const code = 'code' in error ? String(error.code) : ''
  return error instanceof UsageError || code.startsWith('ERR_PARSE_ARGS')
}

function isCommand(name: string): name is keyof typeof COMMANDS {
  return Object.hasOwn(COMMANDS, name)
}

function readEnvironment(): NodeJS.ProcessEnv {
  if (process.env['NODE_ENV'] !== 'production' && existsSync('.env')) process.loadEnvFile()
  return process.env
}

async function runServer(): Promise<void> {
  const stop = stopSignal()
  let server: RunningServer
  try {
    server = await startServer(readEnvironment(), undefined, stop)
  } catch (error) {
    // Told to stop while starting: then it has.
    if (stop.aborted) return
    throw error
  }
  letHeapGrow()
  if (!server.config.production) process.stdout.write(welcome(server))
  await aborted(stop)
  await server.stop()
}

/** Aborts at the first SIGTERM or SIGINT; the second one ends the process at once. */
function stopSignal(): AbortSignal {
  const stop = new AbortController()
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (stop.signal.aborted) process.exit(SIGNAL_EXIT_CODE + constants.signals[signal])
      stop.abort()
    })
  }
  return stop.signal
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  await new Promise((done) => {
    signal.addEventListener('abort', done, { once: true })
  })
}

function print(text: string): void {
  process.stdout.write(text)
}

/** Loaded only when asked for: the server has no use for it. */
async function runSpool({ rest }: Asked): Promise<number> {
  const { spoolCommand } = await import('./spool-cli.ts')
  return spoolCommand(rest, {
    out: written,
    err: (text) => process.stderr.write(text),
    dataDir: () => readConfig(readEnvironment()).dataDir,
  })
}

/** Resolves when the text is taken, false once nobody reads any more. */
function written(text: string): Promise<boolean> {
  return new Promise((resolve) => {
    // Called for a reader that has gone, too.
    process.stdout.write(text, (error) => resolve(error === null || error === undefined))
  })
}

/** Loaded only when asked for. */
async function runDoctor({ rest }: Asked): Promise<number> {
  const { doctorCommand } = await import('./doctor-cli.ts')
  return doctorCommand(rest, { out: written, environment: readEnvironment })
}

/** Loaded only when asked for. Asks the server of the options, of the environment, or of this machine. */
async function runKeys(noun: 'apps' | 'keys', { rest }: Asked): Promise<number> {
  const { keysCommand } = await import('./keys-cli.ts')
  return keysCommand(noun, rest, {
    out: print,
    async ask(to, path, init) {
      const env = withSecretFiles(readEnvironment())
      const { http, keys, production } = readConfig(env)
      const url = to.url ?? env['ERROR_INGESTOR_URL'] ?? `http://127.0.0.1:${http.port}`
      const own = to.key ?? env['ERROR_INGESTOR_KEY'] ?? keys.adminKey
      const key = own ?? (production ? undefined : DEVELOPMENT_KEY)
      if (key === undefined) {
        throw new Error('An admin key is needed: --key, ERROR_INGESTOR_KEY or ADMIN_KEY.')
      }
      try {
        const headers = { 'X-API-Key': key, 'Content-Type': 'application/json' }
        return await fetch(new URL(path, `${url.replace(/\/+$/, '')}/`), { ...init, headers })
      } catch (cause) {
        throw new Error(`No server answers at ${url}; start it, or name another by --url.`, {
          cause,
        })
      }
    },
  })
}

/** What a person needs who has just started this: where, which, the key, and something to paste. */
function welcome({ url, clickhouse }: RunningServer): string {
  // Made now: it shows among the latest on the page, and pasting it twice still stores it once.
  const event = {
    id: randomUUID(),
    code: 'checkout/payment-failed',
    message: 'The card was declined',
    stackTrace: 'Error: The card was declined\n    at pay (checkout.js:42:7)',
    appId: 'test-app',
    appVersion: '1.0.0',
    platform: 'web',
    platformVersion: '',
    timestamp: new Date().toISOString(),
  }
  return `
  error-ingestor ${VERSION}   ${url}
  ClickHouse        ${clickhouse}
  Development key   ${DEVELOPMENT_KEY} (app test-app)

  Send an error and see it on the page:

curl -X POST ${url}/api/v1/ingest -H 'Content-Type: application/json' -H 'X-API-Key: ${DEVELOPMENT_KEY}' -d '${JSON.stringify({ events: [event] })}'

`
}

async function runMigrations({ planOnly, waitSeconds }: Asked): Promise<void> {
  const config = readConfig(withSecretFiles(readEnvironment()))
  const say = (sentence: string) => print(`${sentence}\n`)
  const chosen = await chooseClickHouse(config, { say: (_level, text) => say(text) })
  const { retentionDays, retentionDaysOfApps } = config
  const { database, cluster } = config.clickhouse
  const options = { database, cluster, retentionDays, retentionDaysOfApps }
  try {
    // Every step may be repeated, so the whole of it is what is tried again.
    await whileAway(waitSeconds, chosen.where, async () => {
      if (planOnly) {
        const { steps } = await plan(chosen.migrator, options)
        for (const { title } of steps) say(title)
        if (steps.length === 0) say('There is nothing to do.')
        return
      }
      const { from, to } = await migrate(chosen.migrator, { ...options, say })
      say(`The schema is at version ${to}${from === to ? ', as it was' : ''} (${chosen.where}).`)
    })
  } catch (error) {
    throw new Error(`ClickHouse (${chosen.where}) says: ${sentenceOf(error)}`, { cause: error })
  } finally {
    await chosen.close()
  }
}

/** Tries until ClickHouse answers, whatever it says, or the time is over. */
async function whileAway(
  waitSeconds: number,
  where: string,
  run: () => Promise<void>,
): Promise<void> {
  const until = performance.now() + waitSeconds * 1_000
  for (let tries = 1; ; tries += 1) {
    try {
      await run()
      return
    } catch (error) {
      const isAnswer = error instanceof ClickHouseError || error instanceof ClusterError
      if (isAnswer || performance.now() >= until) throw error
      if (tries === 1) {
        const why = sentenceOf(error)
        print(
          `Waiting up to ${waitSeconds} s for ClickHouse (${where}), which does not answer: ${why}\n`,
        )
      }
      await sleep(TRY_AGAIN_MS)
    }
  }
}

/** One sentence and no stack, except for what nobody expected. */
function sentenceOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const isBug = ['TypeError', 'ReferenceError', 'RangeError', 'AssertionError'].includes(error.name)
  if (isBug && error.stack !== undefined) return error.stack
  // A connection that failed on two addresses has no message of its own, only a code.
  return error.message || ('code' in error ? String(error.code) : error.name)
}

import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { constants } from 'node:os'
import { parseArgs } from 'node:util'
import { DEVELOPMENT_KEY, readConfig } from '../config.ts'
import { chooseClickHouse } from './choose.ts'
import { startServer, type RunningServer } from './server.ts'
import { letHeapGrow } from './heap.ts'
import { migrate, plan } from '../store/migrate.ts'
import { VERSION } from '../version.ts'

const HELP = `error-ingestor takes the errors of your apps, keeps them safe, and shows them.

Usage: error-ingestor [command]

  serve             Run the server (this is what no command means).
  migrate [--plan]  Bring the schema of ClickHouse up to date; --plan only says what it would do.

  --help            Say this.
  --version         Say the version.

Settings are environment variables (PORT, DATA_DIR, CLICKHOUSE_HOST …), all with defaults that work;
in development mode a .env file in the current folder is read too.
`
const USAGE_EXIT_CODE = 2
const SIGNAL_EXIT_CODE = 128

const COMMANDS = {
  serve: runServer,
  migrate: runMigrations,
  help: () => process.stdout.write(HELP),
  version: () => process.stdout.write(`${VERSION}\n`),
} as const

/**
 * Does what the arguments of the process ask for, and sets its exit code: 0 done, 1 failed, 2 not
 * understood. Resolves when nothing is left to do.
 */
export async function main(): Promise<void> {
  // Whoever read our output has gone; that is no reason to stop.
  process.stdout.on('error', () => undefined)
  process.stderr.on('error', () => undefined)
  const asked = readArguments()
  if (typeof asked === 'string') {
    process.stderr.write(`${asked}\nerror-ingestor --help lists the commands.\n`)
    process.exitCode = USAGE_EXIT_CODE
    return
  }
  try {
    await COMMANDS[asked.command](asked)
  } catch (error) {
    process.stderr.write(`error-ingestor cannot ${asked.command}: ${sentenceOf(error)}\n`)
    process.exitCode = 1
  }
}

interface Asked {
  readonly command: keyof typeof COMMANDS
  readonly planOnly: boolean
}

/** What was asked for, or what is wrong with it in a sentence. */
function readArguments(): Asked | string {
  const flag = { type: 'boolean', default: false } as const
  try {
    const { values, positionals } = parseArgs({
      options: { help: flag, version: flag, plan: flag },
      allowPositionals: true,
    })
    const [name = 'serve', ...rest] = positionals
    const command = values.help ? 'help' : values.version ? 'version' : name
    if (!isCommand(command)) return `There is no command ${command}.`
    if (rest.length > 0) return `${command} takes no argument (${rest.join(' ')}).`
    if (values.plan && command !== 'migrate') return '--plan belongs to migrate.'
    return { command, planOnly: values.plan }
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
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

async function runMigrations({ planOnly }: Asked): Promise<void> {
  const config = readConfig(readEnvironment())
  const say = (sentence: string) => process.stdout.write(`${sentence}\n`)
  const chosen = await chooseClickHouse(config, { say: (_level, text) => say(text) })
  try {
    const { retentionDays } = config
    const options = { database: config.clickhouse.database, retentionDays }
    if (planOnly) {
      const { steps } = await plan(chosen.clickhouse, options)
      for (const { title } of steps) say(title)
      if (steps.length === 0) say('There is nothing to do.')
      return
    }
    const { from, to } = await migrate(chosen.clickhouse, { ...options, say })
    say(`The schema is at version ${to}${from === to ? ', as it was' : ''} (${chosen.where}).`)
  } catch (error) {
    throw new Error(`ClickHouse (${chosen.where}) says: ${sentenceOf(error)}`, { cause: error })
  } finally {
    await chosen.close()
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

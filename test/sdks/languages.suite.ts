import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { aSite, type Site } from '../flows/support.ts'
import { goesQuiet, keptWithoutStore } from './hardship.ts'
import {
  CLIENTS,
  eventsOf,
  expectOtlp,
  expectSentry,
  run,
  send,
  SHOP,
  type Client,
} from './support.ts'

// Kept between runs; a version that changes gets a folder of its own.
const cache = join(
  process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'),
  'error-ingestor-ci/sdks',
)
// Go is often installed beside the path.
process.env['PATH'] = [process.env['PATH'], '/usr/local/go/bin'].join(delimiter)

let site: Site
beforeEach(async () => {
  site = await aSite()
})
afterEach(() => site.close())

/** Tests of clients in one language, where its tools are; elsewhere they are skipped, and the run says so. */
const where = (tool: string) => describe.skipIf(spawnSync(tool, ['--version']).error !== undefined)

/** Makes a folder once: what `make` leaves half done is not taken for done. */
async function once(name: string, make: (folder: string) => Promise<void>): Promise<string> {
  const folder = join(cache, name)
  const done = join(folder, 'done')
  if (!existsSync(done)) {
    mkdirSync(folder, { recursive: true })
    await make(folder)
    writeFileSync(done, '')
  }
  return folder
}

where('python3')('Python', () => {
  const PYTHON = { ...SHOP, platform: 'python', cause: 'JSONDecodeError', inApp: 'charge_card' }
  const [sentry, otel] = ['sentry-sdk==2.75.0', '1.45.2']
  let python: string
  beforeAll(async () => {
    const folder = await once(`python-${sentry}-${otel}`, async (folder) => {
      await run('python3', ['-m', 'venv', folder])
      const packages = [
        sentry,
        `opentelemetry-sdk==${otel}`,
        `opentelemetry-exporter-otlp-proto-http==${otel}`,
      ]
      const quiet = ['--quiet', '--disable-pip-version-check']
      await run(join(folder, 'bin/pip'), ['install', ...quiet, ...packages])
    })
    python = join(folder, 'bin/python')
  })

  test('sentry-sdk', async () => {
    await send(site, { command: python, args: ['sentry_python.py'] })
    const events = await eventsOf(site, 4)
    expectSentry(events, PYTHON)
    expect(events.filter(({ code }) => code === 'log')).toHaveLength(1)
  })

  test('sentry-sdk with ClickHouse away: told yes, and afterwards all is there, once', async () => {
    const events = await keptWithoutStore({ command: python, args: ['sentry_python.py'] }, 4)
    expectSentry(events, PYTHON)
  })

  test('sentry-sdk over its limit: one no, and quiet about errors, not about the rest', () =>
    goesQuiet({ command: python, args: ['sentry_limited.py'] }))

  test.each(['none', 'gzip'])('OpenTelemetry in protobuf, compression %s', async (compression) => {
    const env = { OTEL_EXPORTER_OTLP_COMPRESSION: compression }
    await send(site, { command: python, args: ['otel_python.py'], env })
    // The exception comes as span event and as log record, and is one.
    const events = await eventsOf(site, 2)
    expect(events).toHaveLength(2)
    expectOtlp(events, { type: 'PaymentError', platform: 'python', inApp: 'charge_card' })
  })
})

where('go')('Go', () => {
  const GO = {
    ...SHOP,
    platform: 'go',
    code: '*main.PaymentError',
    cause: '*json.SyntaxError',
    inApp: 'main.capture',
  }
  const modules = {
    sentry_go: ['github.com/getsentry/sentry-go@v0.50.0'],
    sentry_limited: ['github.com/getsentry/sentry-go@v0.50.0'],
    otel_go: [
      'go.opentelemetry.io/otel@v1.47.0',
      'go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp@v1.47.0',
    ],
  }
  const programs: Record<string, string> = {}
  beforeAll(async () => {
    for (const [name, wanted] of Object.entries(modules)) {
      const folder = await once(
        `${name}+${wanted.join('+')}`.replaceAll('/', '_'),
        async (folder) => {
          copyFileSync(join(CLIENTS, `${name}.go`), join(folder, 'main.go'))
          const env = { GOFLAGS: '-mod=mod', CGO_ENABLED: '0' }
          await run('go', ['mod', 'init', 'shop'], { cwd: folder, env })
          await run('go', ['get', ...wanted], { cwd: folder, env })
          await run('go', ['mod', 'tidy'], { cwd: folder, env })
          await run('go', ['build', '-o', 'client', '.'], { cwd: folder, env })
        },
      )
      programs[name] = join(folder, 'client')
    }
  })
  const program = (name: string): Client => ({ command: programs[name] ?? '', args: [] })

  test('sentry-go', async () => {
    await send(site, program('sentry_go'))
    expectSentry(await eventsOf(site, 4), GO)
  })

  test('sentry-go with ClickHouse away: told yes, and afterwards all is there, once', async () => {
    expectSentry(await keptWithoutStore(program('sentry_go'), 4), GO)
  })

  test('sentry-go over its limit: one no, and quiet about errors, not about the rest', () =>
    goesQuiet(program('sentry_limited')))

  test('OpenTelemetry in protobuf with gzip', async () => {
    await send(site, program('otel_go'))
    const events = await eventsOf(site, 3)
    expect(events).toHaveLength(3)
    expectOtlp(events, { type: '*main.PaymentError', platform: 'go', inApp: 'main.chargeCard' })
  })
})

where('mvn')('Java', () => {
  const JAVA = {
    ...SHOP,
    platform: 'java',
    code: 'SentryJava$PaymentException',
    cause: 'java.lang.NumberFormatException',
    inApp: 'SentryJava.chargeCard',
  }
  let classpath: string
  beforeAll(async () => {
    const folder = await once('java-8.62.0-1.68.0-limited', async (folder) => {
      writeFileSync(join(folder, 'pom.xml'), POM)
      await run('mvn', ['--batch-mode', '--quiet', 'dependency:copy-dependencies'], { cwd: folder })
      const jars = join(folder, 'target/dependency/*')
      const sources = ['SentryJava.java', 'SentryLimited.java', 'OtelJava.java'].map((name) =>
        join(CLIENTS, name),
      )
      await run('javac', ['-cp', jars, '-d', join(folder, 'out'), ...sources])
    })
    classpath = [join(folder, 'out'), join(folder, 'target/dependency/*')].join(delimiter)
  })
  const program = (name: string): Client => ({ command: 'java', args: ['-cp', classpath, name] })

  test('io.sentry', async () => {
    await send(site, program('SentryJava'))
    expectSentry(await eventsOf(site, 3), JAVA)
  })

  test('io.sentry with ClickHouse away: told yes, and afterwards all is there, once', async () => {
    expectSentry(await keptWithoutStore(program('SentryJava'), 3), JAVA)
  })

  test('io.sentry over its limit: one no, and quiet about errors, not about the rest', () =>
    goesQuiet(program('SentryLimited')))

  test('OpenTelemetry in protobuf with gzip', async () => {
    await send(site, program('OtelJava'))
    expectOtlp(await eventsOf(site, 3), {
      type: 'PaymentException',
      platform: 'java',
      inApp: 'OtelJava.chargeCard',
    })
  })
})

where('cargo')('Rust', () => {
  const RUST = { ...SHOP, platform: 'rust', cause: 'ParseIntError', inApp: 'shop::main' }
  let folder: string
  beforeAll(async () => {
    folder = await once('rust-0.49.5-limited', async (folder) => {
      mkdirSync(join(folder, 'src/bin'), { recursive: true })
      writeFileSync(join(folder, 'Cargo.toml'), CARGO)
      copyFileSync(join(CLIENTS, 'sentry_rust.rs'), join(folder, 'src/main.rs'))
      copyFileSync(join(CLIENTS, 'sentry_limited.rs'), join(folder, 'src/bin/limited.rs'))
      await run('cargo', ['build', '--quiet'], { cwd: folder })
    })
  })
  const program = (name: string): Client => ({
    command: join(folder, 'target/debug', name),
    args: [],
  })

  test('sentry', async () => {
    await send(site, program('shop'))
    expectSentry(await eventsOf(site, 3), RUST)
  })

  test('sentry with ClickHouse away: told yes, and afterwards all is there, once', async () => {
    expectSentry(await keptWithoutStore(program('shop'), 3), RUST)
  })

  test('sentry over its limit: one no, and quiet about errors, not about the rest', () =>
    goesQuiet(program('limited')))
})

const POM = `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>shop</groupId><artifactId>shop</artifactId><version>1</version><dependencies>
${[
  ['io.sentry', 'sentry', '8.62.0'],
  ['io.opentelemetry', 'opentelemetry-sdk', '1.68.0'],
  ['io.opentelemetry', 'opentelemetry-exporter-otlp', '1.68.0'],
]
  .map(
    ([group = '', name = '', version = '']) =>
      `<dependency><groupId>${group}</groupId><artifactId>${name}</artifactId><version>${version}</version></dependency>`,
  )
  .join('\n')}
</dependencies></project>
`

const CARGO = `[package]
name = "shop"
version = "1.2.3"
edition = "2021"

[dependencies.sentry]
version = "=0.49.5"
default-features = false
features = ["backtrace", "contexts", "debug-images", "panic", "ureq"]
`

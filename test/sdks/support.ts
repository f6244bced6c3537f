import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { expect, vi } from 'vitest'
import { z } from 'zod'
import { errorsOf, KEY, type Site } from '../flows/support.ts'

/** The folder of the clients' programs. */
export const CLIENTS = join(import.meta.dirname, '../fixtures/record/clients')

/** A program that sends events, run against a server. */
export interface Client {
  readonly command: string
  readonly args: readonly string[]
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
}

/** What a person who reads the dashboard must find of a Sentry client's events. */
export interface Expected {
  readonly platform: string
  readonly code: string
  readonly message: string
  readonly cause: string
  /** Function of the app that an in-app frame and the text must name. */
  readonly inApp: string
  readonly note: string
  readonly user: string
  readonly release: string
  readonly region: string
  readonly fingerprint: readonly string[]
}

/** What all programs in the languages of servers send. */
export const SHOP = {
  code: 'PaymentError',
  message: 'card was declined',
  note: 'disk almost full',
  user: 'user-7',
  release: 'shop@1.2.3',
  region: 'eu',
  fingerprint: ['payment', '{{ default }}'],
} as const

const Apps = z.object({ apps: z.array(z.object({ id: z.string(), dsn: z.string() })) })

/** The DSN that the dashboard shows for the development app. */
async function dsnOf(site: Site): Promise<string> {
  const { apps } = Apps.parse((await site.call('/dashboard/api/apps')).body)
  const dsn = apps.find(({ id }) => id === 'test-app')?.dsn
  if (dsn === undefined) throw new Error('The development app has no DSN.')
  return dsn
}

/** Runs a client to its end; it exits with 0 only where its own flush said that all was sent. */
export async function send(site: Site, client: Client): Promise<void> {
  const env = {
    SENTRY_DSN: await dsnOf(site),
    OTEL_EXPORTER_OTLP_ENDPOINT: site.url,
    OTEL_EXPORTER_OTLP_HEADERS: `x-api-key=${KEY}`,
    ...client.env,
  }
  await run(client.command, client.args, { cwd: client.cwd ?? CLIENTS, env })
}

/** Runs a program; throws with all that it printed where it does not exit with 0. */
export async function run(
  command: string,
  args: readonly string[],
  {
    cwd,
    env = {},
  }: { readonly cwd?: string; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<void> {
  const child = spawn(command, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output += text))
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  if (code !== 0) throw new Error(`${command} ${args.join(' ')}: exit ${String(code)}\n${output}`)
}

const Stack = z.object({
  frames: z.array(z.looseObject({ functionName: z.string().nullable(), inApp: z.boolean() })),
})
const Event = z.looseObject({
  id: z.string(),
  code: z.string(),
  message: z.string(),
  stackTrace: z.string(),
  parsedStack: Stack.nullable(),
  userId: z.string().nullable(),
  metadata: z.record(z.string(), z.unknown()),
  breadcrumbs: z.array(z.unknown()),
})
type Event = z.infer<typeof Event>

/** All events of the development app, once there are as many as expected. */
export async function eventsOf(site: Site, count: number): Promise<readonly Event[]> {
  let events: readonly Event[] = []
  await vi.waitUntil(
    async () => {
      const answer = await site.call('/dashboard/api/errors?appId=test-app&limit=100')
      if (answer.status !== 200) return false
      events = errorsOf(answer).map((event) => Event.parse(event))
      return events.length >= count
    },
    { timeout: 20_000, interval: 200 },
  )
  expect(new Set(events.map(({ id }) => id)).size).toBe(events.length)
  return events
}

/** The three events that every Sentry program sends are readable with all that they carry. */
export function expectSentry(events: readonly Event[], expected: Expected): void {
  const errors = events.filter(({ code }) => code === expected.code)
  expect(errors).toHaveLength(2)
  for (const error of errors) {
    expect(error).toMatchObject({
      message: expected.message,
      platform: expected.platform,
      appVersion: expected.release,
      environment: 'staging',
    })
    expect(error.stackTrace).toContain(`${expected.code}: ${expected.message}`)
    expect(error.stackTrace).toContain(`Caused by: ${expected.cause}`)
    expect(error.stackTrace).toContain(expected.inApp)
    expect(inApp(error)).toContain(expected.inApp)
  }
  const notes = events.filter(({ message }) => message === expected.note)
  expect(notes).toMatchObject([{ code: 'message', appVersion: expected.release }])
  const [full, ...others] = errors.filter(({ userId }) => userId !== null)
  expect(others).toEqual([])
  expect(full).toMatchObject({
    userId: expected.user,
    tags: { region: expected.region },
    fingerprint: expected.fingerprint,
  })
  expect(full?.breadcrumbs.length).toBeGreaterThan(0)
  expect(JSON.stringify(full?.metadata)).toContain('"cart"')
}

/** The exception of a span, the log record of an error and the exception in a log record are readable. */
export function expectOtlp(
  events: readonly Event[],
  expected: { readonly type: string; readonly platform: string; readonly inApp: string },
): void {
  const errors = events.filter(({ message }) => message === 'card was declined')
  expect(errors.length).toBeGreaterThan(0)
  const [thrown] = errors.filter(({ metadata }) => metadata['span'] === 'POST /pay')
  expect(thrown).toMatchObject({
    platform: expected.platform,
    appVersion: '1.2.3',
    environment: 'staging',
    tags: { 'service.name': 'shop' },
  })
  expect(thrown?.code).toContain(expected.type)
  expect(thrown?.stackTrace).toContain(expected.inApp)
  expect(thrown === undefined ? [] : inApp(thrown)).toContain(expected.inApp)
  expect(events.filter(({ message }) => message === 'inventory is unreachable')).toHaveLength(1)
  // What is no error was not kept.
  expect(events.filter(({ message }) => /opened|slow/.test(message))).toEqual([])
}

function inApp({ parsedStack }: Event): readonly (string | null)[] {
  const own = parsedStack?.frames.filter((frame) => frame.inApp) ?? []
  return own.map(({ functionName }) => functionName)
}

import { AsyncLocalStorage } from 'node:async_hooks'
import { randomUUID } from 'node:crypto'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join, resolve } from 'node:path'
import { scrubbedLog } from './doctor/masked.ts'

/** Sends errors of our own to a DSN, of this or another server. */
export interface SelfReports {
  /** Something was thrown that nobody expected. Returns at once and never throws. */
  readonly crashed: (error: unknown) => void
  /** A request was answered with 5xx, and not because of a bug, which is told by `crashed`. */
  readonly failed: (route: string, status: number, code: string | undefined) => void
  /** Answers a request; where it brings a report of ours, whatever goes wrong meanwhile makes none. */
  readonly answering: <T>(request: Request, answer: () => T) => T
  /** Sends what ended the process before this one, if something did. */
  readonly sendLastCrash: () => Promise<void>
  readonly close: () => void
}

interface SelfDeps {
  readonly dsn: string
  readonly version: string
  readonly production: boolean
  readonly dataDir: string
  readonly told: (result: 'sent' | 'failed' | 'repeated' | 'limited') => void
}

/** Reports in a minute; an error that comes again within an hour is one. */
const REPORTS_PER_MINUTE = 10
const MINUTE_MS = 60_000
const AGAIN_MS = 3_600_000
const KINDS_MAX = 1_000
const SEND_MS_MAX = 5_000
const TEXT_CHARS_MAX = 4_000
const FRAMES_MAX = 50
/** By it a server knows a report of a server, also of another one. */
const CLIENT = 'error-ingestor-self'

const NOTHING: SelfReports = {
  crashed: () => undefined,
  failed: () => undefined,
  answering: (_request, answer) => answer(),
  sendLastCrash: () => Promise.resolve(),
  close: () => undefined,
}

/** The same without a DSN: nothing is sent, and nothing costs anything. */
export function openSelfReports(dsn: string | undefined, rest: Omit<SelfDeps, 'dsn'>): SelfReports {
  return dsn === undefined ? NOTHING : selfReports({ dsn, ...rest })
}

/**
 * Reports as Sentry events: one envelope and one fetch, beside which Sentry's own core would take 26 MB
 * of memory and 18 MB of disk. It cannot loop: what goes wrong while a report is taken in makes none, in
 * whatever server of ours that is; and an error that a stored report causes later is the same error, which
 * is sent once in an hour. An error that ends the process is written down, and sent by the next.
 */
function selfReports({ dsn, version, production, dataDir, told }: SelfDeps): SelfReports {
  const { origin, username, pathname } = new URL(dsn)
  const [, base = '', project = ''] = /^(.*)\/(\d+)$/.exec(pathname) ?? []
  const url = `${origin}${base}/api/${project}/envelope/`
  const auth = `Sentry sentry_version=7, sentry_client=${CLIENT}/${version}, sentry_key=${username}`
  const quiet = new AsyncLocalStorage<true>()
  const crashFile = join(resolve(dataDir), 'crash.json')
  const seen = new Map<string, number>()
  let minute = { sinceMs: -Infinity, reports: 0 }

  /** Whether a report of this kind may go now. */
  function may(kind: string): boolean {
    const now = performance.now()
    if (now - (seen.get(kind) ?? -Infinity) < AGAIN_MS) {
      told('repeated')
      return false
    }
    if (now - minute.sinceMs >= MINUTE_MS) minute = { sinceMs: now, reports: 0 }
    if (minute.reports >= REPORTS_PER_MINUTE) {
      told('limited')
      return false
    }
    minute.reports += 1
    if (seen.size >= KINDS_MAX) seen.clear()
    seen.set(kind, now)
    return true
  }

  function eventOf(level: 'error' | 'fatal', what: object): object {
    return {
      event_id: randomUUID().replaceAll('-', ''),
      timestamp: Date.now() / 1_000,
      ...{ platform: 'node', level, logger: 'error-ingestor', server_name: hostname() },
      release: `error-ingestor@${version}`,
      environment: production ? 'production' : 'development',
      ...what,
    }
  }

  async function send(event: object): Promise<boolean> {
    try {
      const body = [{ sent_at: new Date().toISOString() }, { type: 'event' }, event]
      const answer = await fetch(url, {
        method: 'POST',
        headers: { 'Content-Type': 'application/x-sentry-envelope', 'X-Sentry-Auth': auth },
        body: body.map((part) => JSON.stringify(part)).join('\n'),
        signal: AbortSignal.timeout(SEND_MS_MAX),
      })
      await answer.body?.cancel()
      told(answer.ok ? 'sent' : 'failed')
      return answer.ok
    } catch {
      // It is in the log and in the metrics; to say more of it here would be to go round in circles.
      told('failed')
      return false
    }
  }

  /** Only observes: the process ends as it would have. */
  function remember(error: unknown): void {
    try {
      const text = JSON.stringify(eventOf('fatal', { exception: exceptionOf(error) }))
      writeFileSync(crashFile, text, { mode: 0o600 })
    } catch {
      // A full disk must not change how the process ends.
    }
  }
  process.on('uncaughtExceptionMonitor', remember)

  return {
    crashed(error) {
      const exception = exceptionOf(error)
      if (quiet.getStore() !== true && may(kindOf(exception))) {
        void send(eventOf('error', { exception }))
      }
    },
    failed(route, status, code) {
      const text = `${route} answers ${status}${code === undefined ? '' : ` (${code})`}`
      if (quiet.getStore() !== true && may(text)) {
        void send(eventOf('error', { logentry: { formatted: text } }))
      }
    },
    answering(request, answer) {
      const isOwn = request.headers.get('x-sentry-auth')?.includes(`sentry_client=${CLIENT}/`)
      return isOwn === true ? quiet.run(true, answer) : answer()
    },
    async sendLastCrash() {
      const event = readCrash(crashFile)
      if (event !== undefined && (await send(event))) rmSync(crashFile, { force: true })
    },
    close: () => process.off('uncaughtExceptionMonitor', remember),
  }
}

type Exception = ReturnType<typeof exceptionOf>

/** An error as Sentry has them, without what may be a secret in its words. */
function exceptionOf(error: unknown) {
  const known = error instanceof Error ? error : new Error(String(error))
  const value = scrubbedLog(known.message.slice(0, TEXT_CHARS_MAX))
  return { values: [{ type: known.name, value, stacktrace: { frames: framesOf(known.stack) } }] }
}

/** What makes two errors one: the type and where it was thrown, since words may vary. */
function kindOf({ values }: Exception): string {
  const [{ type, value, stacktrace }] = [
    values[0] ?? { type: '', value: '', stacktrace: undefined },
  ]
  const last = stacktrace?.frames.at(-1)
  return last === undefined
    ? `${type}: ${value}`
    : `${type} ${last.filename}:${last.lineno}:${last.colno}`
}

/** V8's lines `at f (file:1:2)`, oldest first as Sentry wants them. */
function framesOf(stack: string | undefined) {
  const lines = [...(stack ?? '').matchAll(/^ +at (?:(.*?) \()?(.*?):(\d+):(\d+)\)?$/gm)]
  return lines
    .slice(0, FRAMES_MAX)
    .map(([, name, file = '', line, column]) => ({
      function: name ?? '<anonymous>',
      filename: file.replace(/^.*\/(?=(?:src|dist|node_modules)\/)/, ''),
      lineno: Number(line),
      colno: Number(column),
      in_app: !/^node:|node_modules/.test(file),
    }))
    .reverse()
}

/** Undefined where there is none that can be read. */
function readCrash(file: string): object | undefined {
  try {
    const event: unknown = JSON.parse(readFileSync(file, 'utf8'))
    return typeof event === 'object' && event !== null ? event : undefined
  } catch {
    return undefined // The process before ended as it should.
  }
}

import { createRequire } from 'node:module'
import pino, { type DestinationStream, type Logger } from 'pino'

const FLUSH_EVERY_MS = 200
const BUFFER_BYTES = 16 * 1024 - 1

/** How to log. */
export interface LoggerOptions {
  readonly level: 'error' | 'warn' | 'info' | 'debug' | 'silent'
  /** For people instead of machines, where pino-pretty is installed. */
  readonly pretty: boolean
  /** Standard output where absent. */
  readonly destination?: DestinationStream
}

/**
 * A pino logger: one JSON object per line with `level` as a word, `time` in ISO 8601 and `msg`.
 * Lines are written together, at most 200 ms late; `flush` and the end of the process write the rest.
 */
export async function openLogger(options: LoggerOptions): Promise<Logger> {
  const destination =
    options.destination ?? (options.pretty ? await prettyOutput() : undefined) ?? plainOutput()
  return pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  )
}

function plainOutput(): DestinationStream {
  const output = pino.destination({
    dest: 1,
    sync: false,
    minLength: BUFFER_BYTES,
    periodicFlush: FLUSH_EVERY_MS,
  })
  // Whoever read our output has gone; that is no reason to stop serving.
  output.on('error', () => undefined)
  return output
}

async function prettyOutput(): Promise<DestinationStream | undefined> {
  try {
    createRequire(import.meta.url).resolve('pino-pretty')
  } catch {
    // A development dependency: absent from an installed package.
    return undefined
  }
  const { default: pretty } = await import('pino-pretty')
  return pretty({ sync: true, translateTime: 'SYS:HH:MM:ss.l', ignore: 'pid,hostname' })
}

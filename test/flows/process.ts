import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { vi } from 'vitest'

// What `npm start` runs. `npm test` builds it first; so must whoever runs such a test alone.
const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url))

/** The server as a process of its own. */
export interface Process {
  readonly child: ChildProcess
  readonly url: string
  readonly ended: Promise<unknown>
  /** Kills it, where it still runs. */
  readonly kill: () => Promise<void>
}

/** Starts one and resolves once it listens. @throws Error with its output where it ends instead. */
export async function aProcess(env: Readonly<Record<string, string>>): Promise<Process> {
  const { PATH, HOME } = process.env
  const child = spawn(process.execPath, [MAIN], {
    cwd: env['DATA_DIR'],
    env: { PATH, HOME, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output += text))
  const ended = once(child, 'close')
  const kill = async () => {
    child.kill('SIGKILL')
    await ended
  }
  const find = () => /http:\/\/localhost:(\d+)\s/.exec(output)?.[1]
  try {
    await vi.waitUntil(() => find() !== undefined || child.exitCode !== null, { timeout: 60_000 })
  } catch (error) {
    await kill()
    throw error
  }
  const port = find()
  if (port === undefined) throw new Error(`It ended: ${output}`)
  return { child, url: `http://127.0.0.1:${port}`, ended, kill }
}

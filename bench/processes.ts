import { spawn, type ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

const TICKS_PER_SECOND = 100

/** CPU seconds that a process has used, all its threads together. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}

/** Resident memory in MB: now, and at its highest. */
export function memoryMb(pid: number): { readonly now: number; readonly peak: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const kb = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0)
  return { now: kb('VmRSS') / 1024, peak: kb('VmHWM') / 1024 }
}

/** Starts a Node program; its output is kept for when it fails. */
export async function startProgram(
  file: string,
  env: Readonly<Record<string, string>>,
  args: readonly string[] = [],
): Promise<{
  readonly process: ChildProcess
  readonly pid: number
  readonly output: () => string
}> {
  const child = spawn(process.execPath, [file, ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  child.stdout.on('data', (data: Buffer) => (output += data.toString()))
  child.stderr.on('data', (data: Buffer) => (output += data.toString()))
  if (child.pid === undefined) throw new Error(`${file} did not start.`)
  await sleep(0)
  return { process: child, pid: child.pid, output: () => output }
}

/** Resolves once `url` answers 200. */
export async function ready(
  url: string,
  child: { readonly output: () => string; readonly process: ChildProcess },
) {
  for (let tries = 0; tries < 300; tries += 1) {
    if (child.process.exitCode !== null) throw new Error(`It ended: ${child.output()}`)
    try {
      if ((await fetch(url)).ok) return
    } catch {
      // Not yet.
    }
    await sleep(50)
  }
  throw new Error(`${url} does not answer: ${child.output()}`)
}

/** Ends a program with SIGTERM and resolves with its exit code. */
export async function stopProgram(child: ChildProcess): Promise<number | null> {
  child.kill('SIGTERM')
  return ended(child)
}

/** Resolves with the exit code once a program has ended. */
export function ended(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null) return Promise.resolve(child.exitCode)
  return new Promise((resolve) => child.once('exit', resolve))
}

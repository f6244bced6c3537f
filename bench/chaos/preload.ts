// Loaded into the servers before their own code: shifts their clock and makes their disk slow or
// faulty, as the file CHAOS_CONTROL says. libfaketime would do the first for Debian only.
import fs, { readFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { setTimeout as sleep } from 'node:timers/promises'

/** What the harness asks of a server's surroundings. */
export interface Control {
  readonly clockOffsetMs: number
  /** Longest extra time of a write to the disk. */
  readonly slowMs: number
  /** Share of writes that fail with EIO. */
  readonly failShare: number
}

const POLL_MS = 50
const control = process.env['CHAOS_CONTROL']
let now: Control = { clockOffsetMs: 0, slowMs: 0, failShare: 0 }

function read(): void {
  if (control === undefined) return
  try {
    const said: unknown = JSON.parse(readFileSync(control, 'utf8'))
    if (typeof said !== 'object' || said === null) return
    now = { ...now, ...said }
  } catch {
    // It is being written: the next look finds it whole.
  }
}

const realNow = Date.now.bind(Date)
Date.now = () => realNow() + now.clockOffsetMs
globalThis.Date = new Proxy(Date, {
  construct(target, args, newTarget) {
    const made: unknown = Reflect.construct(
      target,
      args.length === 0 ? [Date.now()] : args,
      newTarget,
    )
    if (typeof made !== 'object' || made === null) throw new TypeError('A date is an object.')
    return made
  },
})

const handle = await open(process.execPath, 'r')
const prototype: unknown = Object.getPrototypeOf(handle)
await handle.close()
if (typeof prototype !== 'object' || prototype === null) throw new TypeError('No FileHandle.')
for (const name of ['write', 'writev', 'datasync', 'sync']) {
  const real = methodOf(prototype, name)
  Reflect.set(prototype, name, async function (this: unknown, ...args: unknown[]) {
    await disturb(name)
    const result: unknown = await Reflect.apply(real, this, args)
    return result
  })
}
// What the spool writes its segments with: it calls back.
const writev = methodOf(fs, 'writev')
Reflect.set(fs, 'writev', (...args: unknown[]) => {
  const done = args.at(-1)
  if (typeof done !== 'function') throw new TypeError('fs.writev has no callback.')
  disturb('writev').then(
    () => void Reflect.apply(writev, fs, args),
    (error: unknown) => void Reflect.apply(done, undefined, [error]),
  )
})
syncBuiltinESMExports()

function methodOf(of: object, name: string) {
  const found: unknown = Reflect.get(of, name)
  if (typeof found !== 'function') throw new TypeError(`There is no ${name}.`)
  return found
}

/** Waits, or fails, as the file says. */
async function disturb(syscall: string): Promise<void> {
  if (now.slowMs > 0) await sleep(Math.random() * now.slowMs)
  if (now.failShare > 0 && Math.random() < now.failShare) {
    const words = { code: 'EIO', errno: -5, syscall }
    throw Object.assign(new Error(`EIO: i/o error, ${syscall}`), words)
  }
}

read()
setInterval(read, POLL_MS).unref()

// Loaded into the servers before their own code: shifts their clock and makes their disk slow or
// faulty, as the file CHAOS_CONTROL says. libfaketime would do the first for Debian only.
import { readFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
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
  const real: unknown = Reflect.get(prototype, name)
  if (typeof real !== 'function') throw new TypeError(`FileHandle has no ${name}.`)
  Reflect.set(prototype, name, async function (this: unknown, ...args: unknown[]) {
    if (now.slowMs > 0) await sleep(Math.random() * now.slowMs)
    if (now.failShare > 0 && Math.random() < now.failShare) {
      const words = { code: 'EIO', errno: -5, syscall: name }
      throw Object.assign(new Error(`EIO: i/o error, ${name}`), words)
    }
    const result: unknown = await Reflect.apply(real, this, args)
    return result
  })
}

read()
setInterval(read, POLL_MS).unref()

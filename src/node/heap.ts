import { PerformanceObserver } from 'node:perf_hooks'
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** What V8 may take for its young generation: more saves no time here, and is never given back. */
const YOUNG_BYTES_MAX = 32 * 1024 * 1024
/** V8 would let what lived a second or two pile up to more before it looks, and then stop for all of it. */
const OLD_BYTES_MAX = 48 * 1024 * 1024
/**
 * How much of the room that it gives itself V8 lets fill before it begins to look for garbage, in steps and
 * beside the work, in percent. By default it begins so late that it has to stop for 30 to 50 ms.
 */
const LOOK_AT_PERCENT = { soft: 25, hard: 45 } as const
/** Buffers that grew old, as those of requests that wait, are freed only with what is old. */
const BUFFER_BYTES_MAX = 48 * 1024 * 1024
const LOOK_EVERY_MS = 100
/** Memory outside of the heap that is let go of between two collections of what is young. */
const LET_GO_BYTES_MAX = 8 * 1024 * 1024

let collectYoung = (): void => undefined
let letGoBytes = 0

/**
 * Tells that so much memory outside of the heap has become garbage. V8 frees it with the next collection,
 * and where little else is made, as while a backlog goes from disk to ClickHouse, none comes for 100 MB.
 */
export function letGo(bytes: number): void {
  letGoBytes += bytes
  if (letGoBytes < LET_GO_BYTES_MAX) return
  letGoBytes = 0
  collectYoung()
}

/**
 * Keeps the young generation at its first size. Loading the modules makes so much garbage that V8
 * would take 32 MB for it and never give them back: 13 of 118 MB resident in an idle server.
 */
export function keepHeapSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1')
}

/**
 * Lets the heap grow for the load to come, but not as far as V8 would: it has no setting for either
 * bound that works once it runs. Under full load 245 MB resident instead of 340, for about 2 % of the CPU.
 */
export function letHeapGrow(): void {
  setFlagsFromString('--semi-space-growth-factor=2')
  // Little survives of what a request makes: sharing that out to threads costs 4 % of the server's CPU.
  setFlagsFromString('--no-parallel-scavenge')
  const observer = new PerformanceObserver(() => {
    if (bytesOf('new_space').size < YOUNG_BYTES_MAX) return
    keepHeapSmall()
    observer.disconnect()
  })
  observer.observe({ entryTypes: ['gc'] })

  setFlagsFromString(`--incremental-marking-soft-trigger=${LOOK_AT_PERCENT.soft}`)
  setFlagsFromString(`--incremental-marking-hard-trigger=${LOOK_AT_PERCENT.hard}`)
  setFlagsFromString('--expose-gc')
  const collect: unknown = runInNewContext('gc')
  if (!isCollector(collect)) return
  collectYoung = () => {
    collect({ type: 'minor', execution: 'sync' })
  }
  const tooMuch = [bounded(oldBytes, OLD_BYTES_MAX), bounded(bufferBytes, BUFFER_BYTES_MAX)]
  setInterval(() => {
    // All are asked, since each remembers what it said.
    if (!tooMuch.map((isOver) => isOver()).includes(true)) return
    collect({ type: 'major', execution: 'sync' })
  }, LOOK_EVERY_MS).unref()
}

/** Whether there is more than `max` of it; what a collection leaves may be what is needed: then more is waited for. */
function bounded(bytesNow: () => number, max: number): () => boolean {
  let limit = max
  let hasCollected = false
  return () => {
    const bytes = bytesNow()
    if (hasCollected) limit = Math.max(max, 1.15 * bytes)
    hasCollected = bytes >= limit
    return hasCollected
  }
}

const oldBytes = () => bytesOf('old_space').used
const bufferBytes = () => process.memoryUsage().arrayBuffers

function isCollector(value: unknown): value is (options: object) => void {
  return typeof value === 'function'
}

function bytesOf(space: string): { readonly used: number; readonly size: number } {
  const found = getHeapSpaceStatistics().find(({ space_name: name }) => name === space)
  return { used: found?.space_used_size ?? 0, size: found?.space_size ?? 0 }
}

import { Refusal } from '../refusal.ts'

/** Room for the bodies of all requests together, in bytes. */
export interface ByteBudget {
  /** One per request. */
  readonly lease: () => ByteLease
  /** Bytes that are held now. */
  readonly used: () => number
}

/** The part of the budget that one request holds. */
export interface ByteLease {
  /**
   * To be awaited before a long body is read, `bytes` as its sender says. With a part of the room taken
   * bodies are read some at a time and those after them are left in their sockets: read all at once, they
   * wait for one another, and for the disk, in memory. Undefined where it may be read at once. Never
   * refuses: after some seconds it is read all the same.
   */
  readonly begin: (bytes: number) => Promise<void> | undefined
  /**
   * Takes `bytes` more. Undefined when there was room, else a promise that resolves once there is.
   * @throws Refusal `overloaded`, as a rejection, when room does not come in time.
   */
  readonly grow: (bytes: number) => Promise<void> | undefined
  /** `bytes` of memory for the whole body, to be used until the release; it may hold old content. */
  readonly memory: (bytes: number) => Uint8Array
  /** Gives the memory back, which must not be read any more; what is taken of the budget stays taken. */
  readonly spend: () => void
  /** Gives everything back; harmless when repeated. */
  readonly release: () => void
}

interface Waiter {
  readonly fits: () => boolean
  readonly grant: () => void
}

/** Part of the room that bodies may take while others wait to begin. */
const BEGUN_SHARE = 1 / 8
/** Longest that a body waits to begin: in its socket it costs nothing, and its client waits for an answer. */
const BEGIN_MS_MAX = 5_000
/** What is announced counts up to so much: a few slow senders must not keep all others waiting. */
const EXPECTED_BYTES_MAX = 1024 * 1024
/** What a slow sender announces counts for so long. */
const EXPECTED_MS_MAX = 250
/** Longest a request waits for room before it is told to come back. */
const WAIT_MS_MAX = 1_000
const RETRY_AFTER_SECONDS = 2

/**
 * Admits bytes, not requests: what is held at once stays below `bytesMax`. A request that is alone
 * is always admitted, so that none is too large for ever (its own bound is body.ts' concern).
 */
export function createByteBudget(
  bytesMax: number,
  waitMsMax: number = WAIT_MS_MAX,
  beginMsMax: number = BEGIN_MS_MAX,
): ByteBudget {
  let used = 0
  /** Announced, and still to come. */
  let expected = 0
  const pool = createPool()
  const waiters: Waiter[] = []
  const beginners: Waiter[] = []
  const mayBegin = (bytes: number) =>
    used + expected === 0 || used + expected + bytes <= bytesMax * BEGUN_SHARE
  const lease = (): ByteLease => {
    let held = 0
    /** Announced, and still to come. */
    let coming = 0
    let expecting: ReturnType<typeof setTimeout> | undefined
    let isOver = false
    let memory: Uint8Array | undefined
    const fits = (bytes: number) => used + bytes <= bytesMax || used === held
    const take = (bytes: number) => {
      used += bytes
      held += bytes
    }
    const expectNoMore = (bytes: number): void => {
      coming -= bytes
      expected -= bytes
      if (bytes > 0) admit(beginners)
    }
    const start = (bytes: number): void => {
      coming = bytes
      expected += bytes
      expecting = setTimeout(() => {
        expectNoMore(coming)
      }, EXPECTED_MS_MAX)
    }
    const spend = (): void => {
      if (memory !== undefined) pool.give(memory)
      memory = undefined
    }
    return {
      begin: (announced) => {
        const bytes = Math.min(announced, EXPECTED_BYTES_MAX)
        if (mayBegin(bytes) && beginners.length === 0) {
          start(bytes)
          return undefined
        }
        return new Promise((resolve) => {
          const grant = (): void => {
            if (!isOver) start(bytes)
            resolve()
          }
          wait(beginners, { fits: () => isOver || mayBegin(bytes), grant }, beginMsMax, grant)
        })
      },
      grow: (bytes) => {
        expectNoMore(Math.min(bytes, coming))
        if (fits(bytes) && (held > 0 || waiters.length === 0)) {
          take(bytes)
          return undefined
        }
        return new Promise((resolve, reject) => {
          const grant = (): void => {
            if (!isOver) take(bytes)
            resolve()
          }
          const late = (): void => {
            reject(tooBusy())
            admit(waiters)
          }
          const waiter = { fits: () => isOver || fits(bytes), grant }
          // Who holds a part already goes first: it gives back sooner.
          wait(waiters, waiter, waitMsMax, late, held > 0)
        })
      },
      memory: (bytes) => {
        if (memory !== undefined) throw new RangeError('A body has its memory already.')
        memory = pool.take(bytes)
        return memory.subarray(0, bytes)
      },
      spend,
      release: () => {
        spend()
        isOver = true
        clearTimeout(expecting)
        used -= held
        held = 0
        expectNoMore(coming)
        admit(waiters)
        admit(beginners)
      },
    }
  }
  return { lease, used: () => used }
}

/** Puts one into a line; `late` is called instead of its `grant` where its turn does not come within `msMax`. */
function wait(
  line: Waiter[],
  { fits, grant }: Waiter,
  msMax: number,
  late: () => void,
  goesFirst = false,
): void {
  const waiter: Waiter = {
    fits,
    grant: () => {
      clearTimeout(timer)
      grant()
    },
  }
  const timer = setTimeout(() => {
    line.splice(line.indexOf(waiter), 1)
    late()
  }, msMax)
  if (goesFirst) line.unshift(waiter)
  else line.push(waiter)
}

function admit(waiters: Waiter[]): void {
  for (let first = waiters[0]; first?.fits() === true; first = waiters[0]) {
    waiters.shift()
    first.grant()
  }
}

/** Sizes that are used again: from what a few events take to what a large batch does. */
const POOLED_BYTES = { step: 64 * 1024, max: 1024 * 1024 } as const
const POOLED_BYTES_TOTAL_MAX = 8 * 1024 * 1024

/** Memory that is used again and again: to make and collect it for each body costs more than reading it. */
function createPool() {
  const free = new Map<number, Uint8Array[]>()
  let freeBytes = 0
  return {
    take(bytes: number): Uint8Array {
      if (bytes > POOLED_BYTES.max) return new Uint8Array(bytes)
      const size = Math.ceil(bytes / POOLED_BYTES.step) * POOLED_BYTES.step
      const one = free.get(size)?.pop()
      if (one === undefined) return new Uint8Array(size)
      freeBytes -= size
      return one
    },
    give(memory: Uint8Array): void {
      const size = memory.byteLength
      if (size > POOLED_BYTES.max || freeBytes + size > POOLED_BYTES_TOTAL_MAX) return
      const sameSize = free.get(size)
      if (sameSize === undefined) free.set(size, [memory])
      else sameSize.push(memory)
      freeBytes += size
    },
  }
}

function tooBusy(): Refusal {
  const message = 'Too many requests are being read at the moment; send this one again shortly.'
  return new Refusal('overloaded', message, { retryAfterSeconds: RETRY_AFTER_SECONDS })
}

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
   * Takes `bytes` more. Undefined when there was room, else a promise that resolves once there is.
   * @throws Refusal `overloaded`, as a rejection, when room does not come in time.
   */
  readonly grow: (bytes: number) => Promise<void> | undefined
  /** Gives everything back; harmless when repeated. */
  readonly release: () => void
}

interface Waiter {
  readonly fits: () => boolean
  readonly grant: () => void
}

/** Longest a request waits for room before it is told to come back. */
const WAIT_MS_MAX = 1_000
const RETRY_AFTER_SECONDS = 2

/**
 * Admits bytes, not requests: what is held at once stays below `bytesMax`. A request that is alone
 * is always admitted, so that none is too large for ever (its own bound is body.ts' concern).
 */
export function createByteBudget(bytesMax: number, waitMsMax: number = WAIT_MS_MAX): ByteBudget {
  let used = 0
  const waiters: Waiter[] = []
  const admitWaiters = (): void => {
    for (let first = waiters[0]; first?.fits() === true; first = waiters[0]) {
      waiters.shift()
      first.grant()
    }
  }
  const lease = (): ByteLease => {
    let held = 0
    let isOver = false
    const fits = (bytes: number) => used + bytes <= bytesMax || used === held
    const take = (bytes: number) => {
      used += bytes
      held += bytes
    }
    return {
      grow: (bytes) => {
        if (fits(bytes) && (held > 0 || waiters.length === 0)) {
          take(bytes)
          return undefined
        }
        return new Promise((resolve, reject) => {
          const waiter: Waiter = {
            fits: () => isOver || fits(bytes),
            grant: () => {
              clearTimeout(timer)
              if (!isOver) take(bytes)
              resolve()
            },
          }
          const timer = setTimeout(() => {
            waiters.splice(waiters.indexOf(waiter), 1)
            reject(tooBusy())
            admitWaiters()
          }, waitMsMax)
          // Who holds a part already goes first: it gives back sooner.
          if (held > 0) waiters.unshift(waiter)
          else waiters.push(waiter)
        })
      },
      release: () => {
        isOver = true
        used -= held
        held = 0
        if (waiters.length > 0) admitWaiters()
      },
    }
  }
  return { lease, used: () => used }
}

function tooBusy(): Refusal {
  const message = 'Too many requests are being read at the moment; send this one again shortly.'
  return new Refusal('overloaded', message, { retryAfterSeconds: RETRY_AFTER_SECONDS })
}

import { Refusal } from '../refusal.ts'

/** What `createAsk` stands on. */
export interface AskDeps {
  /** Longest a client waits for the store, in milliseconds. */
  readonly timeoutMs: number
  /** Told why the store did not answer: the client never learns it. */
  readonly storeFailed: (error: unknown) => void
}

/**
 * Puts a question of `request` to the store. The signal ends the question when the client goes
 * away or the time is up.
 * @throws Refusal `overloaded` when the store is away, fails or is too slow; `timeout` when the
 * client has gone, which nobody reads.
 */
export type Ask = <Answer>(
  request: Request,
  question: (signal: AbortSignal) => Promise<Answer>,
) => Promise<Answer>

/** Seconds after which a client may ask again: a store that restarts is back by then. */
const RETRY_AFTER_SECONDS = 5

/** How the faces question the store, so that each of its failures becomes the same plain no. */
export function createAsk({ timeoutMs, storeFailed }: AskDeps): Ask {
  return async (request, question) => {
    // By hand, because Vercel's edge has no AbortSignal.any.
    const over = new AbortController()
    const time = { isUp: false }
    const timeout = setTimeout(() => {
      time.isUp = true
      over.abort(new Error('Too slow.'))
    }, timeoutMs)
    const leave = () => over.abort(request.signal.reason)
    if (request.signal.aborted) leave()
    else request.signal.addEventListener('abort', leave, { once: true })
    const { signal } = over
    try {
      // The race ends the wait even where a client of the store does not listen to the signal.
      return await Promise.race([question(signal), aborted(signal)])
    } catch (error) {
      if (error instanceof Refusal) throw error
      if (request.signal.aborted) {
        throw new Refusal('timeout', 'The client went away before the answer.', { cause: error })
      }
      storeFailed(error)
      const retry = { retryAfterSeconds: RETRY_AFTER_SECONDS, cause: error }
      throw time.isUp
        ? new Refusal('overloaded', tooSlow(timeoutMs), retry)
        : new Refusal('overloaded', NOT_AVAILABLE, retry)
    } finally {
      clearTimeout(timeout)
      request.signal.removeEventListener('abort', leave)
    }
  }
}

const NOT_AVAILABLE =
  'The event store is not available at the moment; nothing is lost, please try again shortly.'

function tooSlow(timeoutMs: number): string {
  return `The event store did not answer within ${timeoutMs / 1000} s; try again, or ask for less at once.`
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const give = () =>
      reject(signal.reason instanceof Error ? signal.reason : new Error('Aborted.'))
    if (signal.aborted) give()
    else signal.addEventListener('abort', give, { once: true })
  })
}

import type { Spool } from './spool.ts'

/** Longest a question waits for what was accepted just before it. */
const SETTLE_MS_MAX = 1_000

/**
 * Asks so that the answer holds what was accepted before, where that takes no longer than a moment. In a stream that
 * goes on the first answer will do, if there is one: who asks for one event may know that it was accepted. Only
 * whether it does go on is not known before, so where it has just ended the question is asked again.
 * A question changes nothing, and answers undefined where nothing was found.
 */
export function createSettled(
  spool: Pick<Spool, 'settle' | 'streams'>,
): <Answer>(question: () => Promise<Answer>) => Promise<Answer> {
  return async (question) => {
    const streams = spool.streams()
    if (streams !== undefined) {
      const [answer, goesOn] = await Promise.all([question(), streams])
      if (goesOn && answer !== undefined) return answer
    }
    await spool.settle(SETTLE_MS_MAX)
    return question()
  }
}

import type { SessionEnding } from '../administration.ts'
import { Refusal } from '../refusal.ts'

/** Where endings are kept, for all processes. Both reject while it is away. */
export interface EndingsStore {
  readonly list: () => Promise<readonly SessionEnding[]>
  readonly add: (endings: readonly SessionEnding[]) => Promise<void>
}

/** The sessions that were ended before their time, by whichever process. */
export interface EndedSessions {
  /**
   * Whether a session was ended. What another process ended is known here after {@link FRESH_MS}.
   * @throws Refusal `overloaded` where the list could never be read: then nobody knows.
   */
  readonly has: (session: {
    readonly id: string
    readonly person: { readonly id: string }
    readonly beganMs: number
  }) => Promise<boolean>
  /** Ends sessions: here at once; for the others once the store has it, which is tried until it does. */
  readonly end: (ending: SessionEnding) => Promise<void>
}

/** How long the list of all processes is taken as known. */
const FRESH_MS = 5_000
const RETRY_AFTER_SECONDS = 5

/** Asks the store only while somebody is signed in, and for all requests at once. */
export function createEndedSessions({
  store,
  nowMs,
  failed,
}: {
  readonly store: EndingsStore
  readonly nowMs: () => number
  /** Told that the store did not answer. */
  readonly failed: (error: unknown) => void
}): EndedSessions {
  let listed: ReadonlyMap<string, number> | undefined
  let askedMs = -Infinity
  let asking: Promise<void> | undefined
  // Ended here and not yet stored.
  const pending = new Map<string, number>()

  async function ask(): Promise<void> {
    try {
      await storePending()
      listed = new Map((await store.list()).map(({ subject, beforeMs }) => [subject, beforeMs]))
    } catch (error) {
      // The last list goes on: whoever was ended before stays so.
      failed(error)
    }
    askedMs = nowMs()
    asking = undefined
  }

  async function storePending(): Promise<void> {
    if (pending.size === 0) return
    const endings = [...pending].map(([subject, beforeMs]) => ({ subject, beforeMs }))
    await store.add(endings)
    for (const { subject, beforeMs } of endings) {
      if (pending.get(subject) === beforeMs) pending.delete(subject)
    }
  }

  const isOver = (subject: string, beganMs: number) =>
    Math.max(pending.get(subject) ?? 0, listed?.get(subject) ?? 0) > beganMs

  return {
    async has({ id, person, beganMs }) {
      if (nowMs() - askedMs >= FRESH_MS) await (asking ??= ask())
      if (listed === undefined) {
        throw new Refusal(
          'overloaded',
          'Whether you are still signed in cannot be judged while the store is away; try again shortly.',
          { retryAfterSeconds: RETRY_AFTER_SECONDS },
        )
      }
      return [`session:${id}`, `person:${person.id}`, 'everybody'].some((subject) =>
        isOver(subject, beganMs),
      )
    },
    async end({ subject, beforeMs }) {
      pending.set(subject, Math.max(beforeMs, pending.get(subject) ?? 0))
      // The next question comes after it is stored, so that the list is never older than what was ended.
      askedMs = -Infinity
      await asking
      await (asking ??= ask())
    },
  }
}

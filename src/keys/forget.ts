import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'
import type { Forget } from '../administration.ts'
import { waited } from './sync.ts'

/** What `createForgetting` stands on. */
export interface ForgettingDeps {
  readonly forgets: {
    readonly put: (forget: Forget) => Promise<void>
    readonly open: (sinceMs: number) => Promise<readonly Forget[]>
    readonly remove: (forget: Forget) => Promise<void>
    readonly remains: (
      forget: Forget,
    ) => Promise<{ readonly events: number; readonly isDeleting: boolean }>
  }
  /** Delivers what this process has accepted, within a moment. */
  readonly settle: () => Promise<void>
  readonly say: (level: 'warn', text: string, fields: object) => void
  readonly nowMs: () => number
}

/** Removes the events of users, and those that come late from a spool. */
export interface Forgetting {
  /** Begins: what this process holds is delivered first, so that it goes with the rest. */
  readonly begin: (appId: string, userId: string) => Promise<Forget>
  /** Goes on with everything that is open or lately done, again and again, until told to stop. */
  readonly run: (stopping: AbortSignal) => Promise<void>
  /** Goes on with one, and says where it stands. */
  readonly look: (forget: Forget) => Promise<Forget>
}

// A pod that was away may bring events that it accepted before the request.
const WATCHED_MS = 30 * 24 * 3_600_000
/** Running pods deliver within seconds; a request is not called done before they had that time. */
const SETTLED_MS = 15_000
/** Each round reads the users of the apps that it is about. */
const SWEEP_MS = 60_000

/** See {@link Forgetting}. */
export function createForgetting({ forgets, settle, say, nowMs }: ForgettingDeps): Forgetting {
  const look = async (forget: Forget): Promise<Forget> => {
    const { events, isDeleting } = await forgets.remains(forget)
    if (events > 0 && !isDeleting) await forgets.remove(forget)
    const isDone = events === 0 && !isDeleting && nowMs() - forget.requestedAtMs >= SETTLED_MS
    if (!isDone || forget.doneAtMs !== undefined) return forget
    const done = { ...forget, doneAtMs: nowMs() }
    await forgets.put(done)
    return done
  }
  return {
    async begin(appId, userId) {
      await settle()
      const id = crypto.randomUUID()
      // With an id of its own as salt, so that two requests do not show that they mean one user.
      const userHash = bytesToHex(sha256(utf8ToBytes(id + userId)))
      const forget = { id, appId, userHash, requestedAtMs: nowMs(), doneAtMs: undefined }
      await forgets.put(forget)
      await forgets.remove(forget)
      return forget
    },
    async run(stopping) {
      while (await waited(SWEEP_MS, stopping)) {
        try {
          for (const forget of await forgets.open(nowMs() - WATCHED_MS)) await look(forget)
        } catch (error) {
          say('warn', 'users who are to be forgotten cannot be looked after, trying again', {
            error: String(error),
          })
        }
      }
    },
    look,
  }
}

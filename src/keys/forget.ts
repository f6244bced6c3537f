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
  /** Deletes the events that ClickHouse refused and this process kept, where they fit. */
  readonly dropAside: (
    fits: (event: {
      readonly appId: string
      readonly userId: string | null
      readonly receivedAtMs: number
    }) => boolean,
  ) => Promise<number>
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
/** Between two rounds, of which each asks which requests there are, and looks into what was kept aside. */
const ROUND_MS = 10_000
/** One round of so many also looks for what came late for requests that are done: that reads their apps' users. */
const SWEEP_ROUNDS = 6

/** See {@link Forgetting}. */
export function createForgetting(deps: ForgettingDeps): Forgetting {
  const { forgets, settle, dropAside, say, nowMs } = deps
  const dropAll = (open: readonly Forget[]) =>
    open.length === 0
      ? Promise.resolve(0)
      : dropAside((event) => open.some((forget) => isAbout(forget, event)))
  const look = async (forget: Forget): Promise<Forget> => {
    await dropAll([forget])
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
      const userHash = hashOf(id, userId)
      const forget = { id, appId, userHash, requestedAtMs: nowMs(), doneAtMs: undefined }
      await forgets.put(forget)
      await forgets.remove(forget)
      return forget
    },
    async run(stopping) {
      for (let round = 1; await waited(ROUND_MS, stopping); round += 1) {
        try {
          const open = await forgets.open(nowMs() - WATCHED_MS)
          await dropAll(open)
          const isSweep = round % SWEEP_ROUNDS === 0
          for (const forget of open) {
            if (isSweep || forget.doneAtMs === undefined) await look(forget)
          }
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

function isAbout(
  { id, appId, userHash, requestedAtMs }: Forget,
  event: { readonly appId: string; readonly userId: string | null; readonly receivedAtMs: number },
): boolean {
  if (event.appId !== appId || event.userId === null) return false
  return event.receivedAtMs <= requestedAtMs && hashOf(id, event.userId) === userHash
}

function hashOf(id: string, userId: string): string {
  return bytesToHex(sha256(utf8ToBytes(id + userId)))
}

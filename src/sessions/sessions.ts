import { z } from 'zod'
import type { EndedSessions } from './ended.ts'
import type { Person } from './person.ts'
import { createSeal } from './seal.ts'

/** Somebody who is signed in, in one browser. */
export interface Session {
  readonly id: string
  readonly person: Person
  /** When they signed in: a renewed session is no younger for it. */
  readonly beganMs: number
}

/** What `openSessions` stands on. */
export interface SessionsDeps {
  /** Newest first. */
  readonly secrets: readonly string[]
  /** Longest from signing in to having to do it again. */
  readonly lifeMs: number
  readonly ended: EndedSessions
  readonly nowMs: () => number
}

/** Sessions, which live in the browsers: every process with the same secret knows them all. */
export interface Sessions {
  /** Begins one; the text is for the cookie. */
  readonly begin: (person: Person) => Promise<string>
  /**
   * The session of a cookie, and the text that is to replace it once it is some time old; undefined
   * for one that is over, was ended, or was never ours.
   * @throws Refusal `overloaded` while it is not known which were ended.
   */
  readonly read: (
    text: string | undefined,
  ) => Promise<{ readonly session: Session; readonly renewed: string | undefined } | undefined>
}

/** A session that nobody uses is over after this time. */
const IDLE_MS_MAX = 4 * 3_600_000
/** A used one gets a new text after this time, so that a copied one does not last. */
const RENEW_AFTER_MS = 15 * 60_000

const Content = z.object({
  id: z.string(),
  person: z.object({
    id: z.string(),
    name: z.string(),
    email: z.string().optional(),
    groups: z.array(z.string()),
  }),
  beganMs: z.number(),
})
const NAME_CHARS_MAX = 200
const GROUPS_MAX = 50

/** Opens the sessions of all processes that have the same secrets. */
export async function openSessions(deps: SessionsDeps): Promise<Sessions> {
  const { nowMs, lifeMs, ended } = deps
  const seal = await createSeal(deps, 'session', Content)
  const sealed = (session: z.output<typeof Content>) =>
    seal.seal(session, Math.min(IDLE_MS_MAX, session.beganMs + lifeMs - nowMs()))
  return {
    begin: ({ id, name, email, groups }) => {
      const person = {
        id,
        name: name.slice(0, NAME_CHARS_MAX),
        groups: groups.slice(0, GROUPS_MAX),
        ...(email !== undefined && { email }),
      }
      return sealed({ id: crypto.randomUUID(), person, beganMs: nowMs() })
    },
    async read(text) {
      const opened = await seal.open(text)
      if (opened === undefined) return undefined
      const { content, sealedMs } = opened
      const { person } = content
      const session = { ...content, person: { ...person, email: person.email } }
      if (nowMs() >= session.beganMs + lifeMs || (await ended.has(session))) return undefined
      const isOld = nowMs() - sealedMs >= RENEW_AFTER_MS
      return { session, renewed: isOld ? await sealed(content) : undefined }
    },
  }
}

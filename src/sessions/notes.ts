import type { AuditEntry, Client } from '../administration.ts'

/** A client, and the request by which it came. */
export interface Visitor extends Client {
  readonly requestId: string
}

/** What people do at the door: each is an action of the audit log. */
export type DoorAction = 'session.begin' | 'session.refuse' | 'session.end' | 'session.end_all'

/** Notes who came and went. */
export interface DoorNotes {
  /**
   * Resolves once it is in the audit log, or the log does not answer; then it is kept here and
   * {@link DoorNotes.flush} tries again. Never rejects: nobody is kept out for the sake of a note.
   */
  readonly note: (
    action: DoorAction,
    what: { readonly who: string; readonly visitor: Visitor; readonly detail: object },
  ) => Promise<void>
  /** Stores what could not be stored yet; never rejects. */
  readonly flush: () => Promise<void>
}

/** What `createDoorNotes` stands on. */
export interface DoorNotesDeps {
  /** Rejects where the log is away. */
  readonly put: (entries: readonly AuditEntry[]) => Promise<void>
  readonly say: (level: 'warn' | 'error', text: string, fields: object) => void
  readonly nowMs: () => number
}

/** Entries that wait for the log; beyond that the oldest are lost, and the server's own log says so. */
const WAITING_MAX = 1_000
/** A person is sent on after so long, noted or not. */
const WAIT_MS_MAX = 2_000

/** See {@link DoorNotes}. What comes while entries are being stored goes along with the next insert. */
export function createDoorNotes({ put, say, nowMs }: DoorNotesDeps): DoorNotes {
  let waiting: AuditEntry[] = []
  let storing: Promise<void> | undefined

  async function store(): Promise<void> {
    const entries = waiting
    if (entries.length === 0) return
    try {
      await put(entries)
      const stored = new Set(entries)
      waiting = waiting.filter((entry) => !stored.has(entry))
    } catch (error) {
      say('warn', 'sign-ins cannot be noted in the audit log, trying again', {
        waiting: waiting.length,
        error: error instanceof Error ? error.message : String(error),
      })
    }
  }

  async function flush(): Promise<void> {
    // One that is under way may have begun before the newest entry.
    await storing
    storing ??= store().finally(() => {
      storing = undefined
    })
    await storing
  }

  return {
    async note(action, { who, visitor, detail }) {
      const { address = '', requestId } = visitor
      waiting = [
        ...waiting,
        {
          ...{ id: crypto.randomUUID(), atMs: nowMs(), actor: who, address, requestId, action },
          ...{ appId: '', target: '', detail },
        },
      ]
      if (waiting.length > WAITING_MAX) {
        const lost = waiting.length - WAITING_MAX
        waiting = waiting.slice(lost)
        say('error', 'sign-ins were not noted in the audit log: too many wait for it', { lost })
      }
      let timer: ReturnType<typeof setTimeout> | undefined
      const late = new Promise((resolve) => (timer = setTimeout(resolve, WAIT_MS_MAX)))
      await Promise.race([flush(), late])
      clearTimeout(timer)
    },
    flush,
  }
}

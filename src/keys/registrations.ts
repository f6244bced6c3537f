import { makeKey, projectIdOf } from './token.ts'

/** Apps that one process may register: each costs memory for as long as it runs. */
export const REGISTRATIONS_MAX = 10_000
const NAME_CHARS_MAX = 200

/** An app that code registered, with the ingest key it was given. */
interface Registration {
  readonly appId: string
  readonly name: string
  readonly apiKey: string
  readonly createdAtMs: number
}

/** Apps registered by code while the process runs; forgotten when it ends. */
export interface Registrations {
  /** In the order they were made; it only grows. */
  readonly list: () => readonly Registration[]
  /**
   * Makes an app, or one more key for the app of that id, and gives back its new ingest key.
   * @throws RangeError for an empty or too long id or name, for more than {@link REGISTRATIONS_MAX},
   * and for an id that shares its project number with another app.
   */
  readonly register: (appId: string, name: string) => { readonly apiKey: string }
}

/** An empty list of registrations; `nowMs` dates them. */
export function createRegistrations(nowMs: () => number): Registrations {
  const made: Registration[] = []
  const owners = new Map<number, string>()
  return {
    list: () => made,
    register: (appId, name) => {
      requireText('appId', appId)
      requireText('name', name)
      if (made.length >= REGISTRATIONS_MAX) {
        throw new RangeError(`At most ${REGISTRATIONS_MAX} apps can be registered in one process.`)
      }
      const projectId = projectIdOf(appId)
      const owner = owners.get(projectId) ?? appId
      if (owner !== appId) throw new RangeError(sameProjectId(appId, owner))
      owners.set(projectId, appId)
      const apiKey = makeKey('ingest')
      made.push({ appId, name, apiKey, createdAtMs: nowMs() })
      return { apiKey }
    },
  }
}

/** The sentence for two app ids that cannot be told apart by their numbers. */
export function sameProjectId(appId: string, other: string): string {
  return `The app ids ${appId} and ${other} have the same project number; rename one of them.`
}

function requireText(what: string, text: string): void {
  if (text.length < 1 || text.length > NAME_CHARS_MAX) {
    throw new RangeError(`${what} must have 1 to ${NAME_CHARS_MAX} characters.`)
  }
}

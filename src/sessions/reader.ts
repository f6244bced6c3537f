import type { Role } from '../sign-in-setting.ts'
import { requireRole, type Gate } from './gate.ts'

/** Who reads, and which apps. */
export interface Reader<App> {
  /** Undefined for a reader of all apps, and where `apps` says which. */
  readonly app: App | undefined
  /** Those of somebody who is signed in. */
  readonly apps?: readonly App[]
  /** Somebody who is signed in, to be shown. */
  readonly person?: {
    readonly name: string
    readonly email: string | undefined
    readonly role: Role | undefined
    /** The proxy in front keeps the session, and ends it. */
    readonly isByProxy: boolean
  }
  /** The `Set-Cookie` that a page's answer should carry. */
  readonly cookie?: string | undefined
}

/** What `createReaders` stands on. */
export interface ReadersDeps<App> {
  readonly whoIs: Gate['whoIs']
  readonly keyOf: (request: Request) => string | undefined
  /** @throws Refusal */
  readonly admitKey: (key: string | undefined, appId?: string) => { readonly app: App | undefined }
  readonly apps: () => readonly App[]
  readonly clientOf: (request: Request, env: unknown) => Parameters<Gate['whoIs']>[1]
}

/**
 * Lets readers in: by the key that the request shows, else by who is signed in, else as somebody
 * without a key, which is enough in development mode.
 * The result throws Refusal `unauthenticated`, `forbidden` or `overloaded`.
 */
export function createReaders<App extends { readonly id: string }>(deps: ReadersDeps<App>) {
  return async (
    request: Request,
    appId: string | undefined,
    env: unknown,
  ): Promise<Reader<App>> => {
    const key = deps.keyOf(request)
    const client = deps.clientOf(request, env)
    const found = key === undefined ? await deps.whoIs(request, client) : undefined
    if (found === undefined) return { app: deps.admitKey(key, appId).app }
    const { person, grants, cookie, session } = found
    requireRole(grants, appId)
    const apps = deps.apps().filter(({ id }) => grants.roleFor(id) !== undefined)
    // Where no app is asked for, the first is shown.
    const shown = appId ?? apps[0]?.id
    const role = shown === undefined ? undefined : grants.roleFor(shown)
    const { name, email } = person
    const isByProxy = session === undefined
    return { app: undefined, apps, person: { name, email, role, isByProxy }, cookie }
  }
}

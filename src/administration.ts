/** Where a request comes from, as far as that can be believed. */
export interface Client {
  /** IP address of the client; undefined where the runtime does not tell. */
  readonly address: string | undefined
  /** Origin by which the client reached us: `https://errors.example.com`, without a path. */
  readonly origin: string
  /** It came through one of TRUSTED_PROXIES: what that says of its user may be believed. */
  readonly viaProxy: boolean
}

/** An app as it is stored; `options` are for the reader to check. */
export interface StoredApp {
  readonly id: string
  readonly name: string
  readonly createdAtMs: number
  readonly options: unknown
}

/** A key as it is stored: what it may do, and never the key itself unless that is public. */
export interface StoredKey {
  /** SHA-256 in hex. */
  readonly digest: string
  /** Empty: all apps. */
  readonly appId: string
  readonly name: string
  readonly prefix: string
  readonly lastFour: string
  readonly scopes: readonly string[]
  /** The key itself; empty where it can do more than ingest. */
  readonly readable: string
  readonly createdAtMs: number
  readonly expiresAtMs: number | undefined
  readonly revokedAtMs: number | undefined
}

/** One thing that somebody did. */
export interface AuditEntry {
  readonly id: string
  readonly atMs: number
  /** Kind and name, as `key:ei_admin_Ab…wxyz` or `oidc:jo`. */
  readonly actor: string
  /** Of the network peer, or as a trusted proxy tells it; empty where there is none. */
  readonly address: string
  readonly requestId: string
  /** What was done, as `key.revoke`. */
  readonly action: string
  /** Empty where it belongs to no app. */
  readonly appId: string
  readonly target: string
  readonly detail: object
}

/** Which entries of the audit log; newest first, `before` the last one of the page before. */
export interface AuditQuery {
  /** Undefined: all, also what belongs to no app. */
  readonly appId: string | undefined
  readonly before: { readonly atMs: number; readonly id: string } | undefined
  readonly limit: number
}

/** A user whose events are to go: those that were received up to the request. */
export interface Forget {
  readonly id: string
  readonly appId: string
  /** SHA-256 of the id above and the user's id, in hex: the user's id itself is kept nowhere. */
  readonly userHash: string
  readonly requestedAtMs: number
  /** When nothing was left of them; undefined while they are being removed. */
  readonly doneAtMs: number | undefined
}

/** Sessions of `subject` that began before `beforeMs` are over. */
export interface SessionEnding {
  /** `session:<id>`, `person:<id>` or `everybody`. */
  readonly subject: string
  readonly beforeMs: number
}

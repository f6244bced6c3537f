/** What a key may be used for. */
export const SCOPES = ['ingest', 'read', 'sourcemaps', 'admin'] as const
/** One of {@link SCOPES}. */
export type Scope = (typeof SCOPES)[number]

/** An app that sends events. */
export interface App {
  readonly id: string
  readonly name: string
  /** ISO 8601. */
  readonly createdAt: string
  /** Numeric alias, for DSNs. */
  readonly projectId: number
  /** Public by nature; for the DSN. */
  readonly ingestKey: string | undefined
}

/** Who is asking: the bearer of a key that is known, live and has the scope. */
export interface Caller {
  /** Absent for an `admin` key of all apps, and for a dashboard reader in development mode. */
  readonly app: App | undefined
  readonly scopes: ReadonlySet<Scope>
}

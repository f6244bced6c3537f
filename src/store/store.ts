import type { Frame, JsonObject, Json, Level, ParsedStack, Platform } from '../occurrence.ts'

/** An event as the dashboard API answers it: the names of the ingest table, and what we added. */
export interface StoredEvent {
  readonly id: string
  readonly code: string
  readonly message: string
  readonly stackTrace: string
  readonly parsedStack: (Omit<ParsedStack, 'frames'> & { readonly frames: readonly Frame[] }) | null
  readonly appId: string
  readonly appVersion: string
  readonly platform: Platform
  readonly platformVersion: string
  readonly environment: string
  readonly level: Level
  readonly userId: string | null
  /** ISO 8601 with milliseconds and `Z`. */
  readonly timestamp: string
  readonly receivedAt: string
  readonly originalTimestamp: string | null
  readonly metadata: JsonObject
  readonly tags: Readonly<Record<string, string>>
  readonly fingerprint: readonly string[]
  readonly breadcrumbs: readonly Json[]
  readonly traceId: string
  readonly spanId: string
  readonly marks: readonly string[]
  /** The issue it belongs to: `v1:` and 32 hex digits. */
  readonly issue: string
}

/** Both ends belong to the range, in milliseconds since the Unix epoch. */
export interface TimeRange {
  readonly startMs: number
  readonly endMs: number
}

/** Which events; absent means any. */
export interface EventFilter {
  readonly appId: string
  readonly range: TimeRange
  readonly code?: string | undefined
  readonly userId?: string | undefined
  readonly platform?: string | undefined
  readonly appVersion?: string | undefined
  readonly environment?: string | undefined
  readonly level?: string | undefined
  readonly issue?: string | undefined
  /** Text in message or code. */
  readonly q?: string | undefined
}

/** Which page: by number, or after the last event of the page before. */
export type PageAt =
  | { readonly offset: number }
  | { readonly after: { readonly timestampMs: number; readonly id: string } | undefined }

/** One page of events, newest first, ties by id. */
export interface EventPage {
  readonly events: readonly StoredEvent[]
  /** Exact: whether at least one more event follows. */
  readonly hasMore: boolean
}

/** One bucket of the trend, `time` being its start in UTC as ISO 8601. */
export interface TrendBucket {
  readonly time: string
  readonly count: number
  readonly uniqueCodes: number
  readonly affectedUsers: number
}

/** One issue in a range: the code is that of its newest event. */
export interface IssueCount {
  /** `v1:` and 32 hex digits. */
  readonly issue: string
  readonly code: string
  readonly count: number
  /** First and last event in the range, ISO 8601. */
  readonly firstSeen: string
  readonly lastSeen: string
}

/** Events that ended alike in one hour or day, `time` being its start in UTC as ISO 8601. */
export interface LedgerEntry {
  readonly time: string
  readonly protocol: string
  /** As in outcome.ts; `unsent` is what clients say they never sent, and no event of ours. */
  readonly outcome: string
  readonly reason: string
  readonly count: number
}

/** A stored source map, without its content. */
export interface SourceMapEntry {
  readonly fileName: string
  readonly appVersion: string
  readonly createdAt: string
}

/**
 * Every question we ask ClickHouse, and nothing else speaks SQL. Counts are exact: one per event id.
 * All reject with what the client rejects with; the faces turn that into 503.
 */
export interface Store {
  readonly events: (
    filter: EventFilter,
    page: PageAt & { readonly limit: number },
    signal?: AbortSignal,
  ) => Promise<EventPage>
  readonly event: (
    appId: string,
    id: string,
    signal?: AbortSignal,
  ) => Promise<StoredEvent | undefined>
  readonly trends: (
    filter: EventFilter,
    granularity: 'hour' | 'day',
    signal?: AbortSignal,
  ) => Promise<readonly TrendBucket[]>
  readonly codes: (
    appId: string,
    range: TimeRange | undefined,
    signal?: AbortSignal,
  ) => Promise<readonly { readonly code: string; readonly count: number }[]>
  /** Most events first. */
  readonly issues: (
    appId: string,
    range: TimeRange,
    limit: number,
    signal?: AbortSignal,
  ) => Promise<readonly IssueCount[]>
  /** How events ended; of all apps and of nobody's where `appId` is undefined. */
  readonly ledger: (
    appId: string | undefined,
    range: TimeRange,
    granularity: 'hour' | 'day',
    signal?: AbortSignal,
  ) => Promise<readonly LedgerEntry[]>
  readonly sourceMaps: {
    readonly put: (
      appId: string,
      appVersion: string,
      maps: readonly { readonly fileName: string; readonly sourceMap: string }[],
    ) => Promise<void>
    readonly list: (
      appId: string,
      appVersion: string | undefined,
    ) => Promise<readonly SourceMapEntry[]>
    readonly remove: (appId: string, appVersion: string) => Promise<void>
  }
  /** Sessions that were ended before their time; see sessions/ended.ts. */
  readonly sessionEnds: {
    readonly list: () => Promise<readonly { readonly subject: string; readonly beforeMs: number }[]>
    readonly add: (
      endings: readonly { readonly subject: string; readonly beforeMs: number }[],
    ) => Promise<void>
  }
  /** Applied schema version; 0 where the schema is missing. Rejects where ClickHouse is away. */
  readonly schemaVersion: () => Promise<number>
  readonly ping: () => Promise<boolean>
}

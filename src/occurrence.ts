/** A value as JSON has them. */
export type Json = string | number | boolean | null | readonly Json[] | JsonObject
/** A JSON object. */
export interface JsonObject {
  readonly [name: string]: Json
}

/** Where the error happened, as the client says it. */
export const PLATFORMS = [
  'ios',
  'android',
  'web',
  'node',
  'python',
  'go',
  'java',
  'rust',
  'ruby',
  'php',
  'dotnet',
  'elixir',
  'native',
  'other',
] as const
/** One of {@link PLATFORMS}. */
export type Platform = (typeof PLATFORMS)[number]

/** How bad it was, worst first. */
export const LEVELS = ['fatal', 'error', 'warning', 'info', 'debug'] as const
/** One of {@link LEVELS}. */
export type Level = (typeof LEVELS)[number]

/** Which parser of the client made the frames. */
export const STACK_PARSERS = ['browser', 'react-native', 'node', 'unknown'] as const

/** One call of a stack, in the names of the native wire format. Lines and columns are 1-based. */
export interface Frame {
  readonly functionName: string | null
  readonly fileName: string | null
  readonly lineNumber: number | null
  readonly columnNumber: number | null
  readonly inApp: boolean
  readonly raw: string
  readonly originalFileName?: string | null
  readonly originalLineNumber?: number | null
  readonly originalColumnNumber?: number | null
  readonly originalFunctionName?: string | null
  readonly resolved?: boolean
  /** The source line itself, where the client sent it. */
  readonly contextLine?: string
}

/** A stack as the client parsed it, newest call first. */
export interface ParsedStack {
  readonly frames: readonly Frame[]
  readonly raw: string
  readonly parser: (typeof STACK_PARSERS)[number]
}

/** One error that happened once, in our own words. Protocols make these; everything after reads them. */
export interface Occurrence {
  /** A UUID in lower case with dashes: the idempotency key within the app. */
  readonly id: string
  readonly appId: string
  /** Name of the protocol it came in by; a metric label, so from a closed set. */
  readonly protocol: string
  readonly code: string
  readonly message: string
  /** As text, newest call first; may be empty. */
  readonly stackTrace: string
  readonly parsedStack: ParsedStack | undefined
  readonly appVersion: string
  readonly platform: Platform
  readonly platformVersion: string
  readonly environment: string
  readonly level: Level
  readonly userId: string | null
  /** Milliseconds since the Unix epoch, at or after 1970, never over one hour ahead of the receipt. */
  readonly timestampMs: number
  /** What the client had said, where it was over one hour ahead and the receipt's time stands instead. */
  readonly originalTimestampMs: number | undefined
  /** Milliseconds since the Unix epoch, our clock. */
  readonly receivedAtMs: number
  readonly metadata: JsonObject
  readonly tags: Readonly<Record<string, string>>
  /** The client's own grouping key; empty where it sent none. */
  readonly fingerprint: readonly string[]
  /** Oldest first. */
  readonly breadcrumbs: readonly Json[]
  /** W3C trace context, lower-case hex; empty where there was none. */
  readonly traceId: string
  readonly spanId: string
  /** What we changed, as `field:cut` or `field:scrubbed`, each once. */
  readonly marks: readonly string[]
}

/** What one occurrence may hold. What is longer is cut and marked, never refused. */
export const LIMITS = {
  codeCharsMax: 200,
  messageBytesMax: 8 * 1024,
  stackTraceBytesMax: 64 * 1024,
  framesMax: 250,
  metadataBytesMax: 64 * 1024,
  metadataDepthMax: 16,
  tagsMax: 100,
  tagNameBytesMax: 200,
  tagValueBytesMax: 8 * 1024,
  breadcrumbsMax: 100,
  breadcrumbsBytesMax: 64 * 1024,
  fingerprintPartsMax: 32,
  fingerprintPartBytesMax: 1024,
  /** `appVersion`, `platformVersion`, `environment`, `userId`: labels, not texts. */
  labelBytesMax: 1024,
  frameTextBytesMax: 4 * 1024,
  clockAheadMsMax: 3_600_000,
} as const

/** What grouping says of one occurrence: which issue it belongs to, and why. */
export interface Grouping {
  /** `v1:` and 32 lower-case hex digits: the issue. */
  readonly fingerprint: string
  /** The same over all frames, not only the app's own, so that issues can be linked again later. */
  readonly secondary: string
  /** What the fingerprint was made of. */
  readonly basis: 'client' | 'stack' | 'message'
  /** The parts that were hashed, for a person who asks why. */
  readonly components: readonly string[]
}

/** Why we say no. The code is public API: clients branch on it, dashboards count it. */
export type RefusalCode =
  | 'malformed'
  | 'unauthenticated'
  | 'forbidden'
  | 'not_found'
  | 'method_not_allowed'
  | 'conflict'
  | 'timeout'
  | 'too_large'
  | 'unsupported_encoding'
  | 'rate_limited'
  | 'quota'
  | 'overloaded'

/** Which limit was reached, for the headers that say so. */
export interface ReachedLimit {
  readonly policy: 'requests' | 'events' | 'quota'
  /** What may come in one window. */
  readonly quota: number
  readonly windowSeconds: number
}

/** An expected no: the client's fault or our limit, never a bug. `message` is public. */
export class Refusal extends Error {
  override readonly name = 'Refusal'
  readonly code: RefusalCode
  /** Whole seconds after which a retry may succeed; absent when a retry cannot help. */
  readonly retryAfterSeconds: number | undefined
  readonly limit: ReachedLimit | undefined

  constructor(
    code: RefusalCode,
    message: string,
    options: { retryAfterSeconds?: number; cause?: unknown; limit?: ReachedLimit } = {},
  ) {
    super(message, { cause: options.cause })
    this.code = code
    this.retryAfterSeconds = options.retryAfterSeconds
    this.limit = options.limit
  }
}

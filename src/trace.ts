/** Names a span of a trace, for work that comes later to point at. */
export interface SpanLink {
  readonly traceId: string
  readonly spanId: string
}

/** What a span says of itself: never content, never a key. */
export type SpanFacts = Readonly<Record<string, string | number>>

/** A stretch of work that is begun in one place and ends in another. */
export interface OpenSpan {
  /** Runs a part of it: what happens in there belongs to it. */
  readonly run: <T>(work: () => T) => T
  /** `error` is what it failed with. */
  readonly end: (error?: unknown) => void
}

/** All that the core knows of tracing; NO_TRACER where it is off. */
export interface Tracer {
  /** The span that runs now; undefined where none is recorded. */
  readonly here: () => SpanLink | undefined
  /** Begins a span of a trace of its own, for the work of many requests. Recorded where one of those is. */
  readonly open: (name: string, facts: SpanFacts, links: readonly SpanLink[]) => OpenSpan
  /** Runs `work` as a span below the one that runs now; without one, just so. */
  readonly span: <T>(name: string, facts: SpanFacts, work: () => Promise<T>) => Promise<T>
  /** Answers a request as a span below the one that its `traceparent` names. */
  readonly request: (request: Request, answer: () => Promise<Response>) => Promise<Response>
}

const NO_SPAN: OpenSpan = { run: (work) => work(), end: () => undefined }

/** Does the work, and nothing else. */
export const NO_TRACER: Tracer = {
  here: () => undefined,
  open: () => NO_SPAN,
  span: (_name, _facts, work) => work(),
  request: (_request, answer) => answer(),
}

import type { Config } from '../config.ts'
import { NO_TRACER, type SpanFacts, type Tracer } from '../trace.ts'

/** Tracing of a Node process. */
export interface Tracing extends Tracer {
  /** Says more of the span that runs now. */
  readonly note: (facts: SpanFacts) => void
  /** A stage that ends now and took `elapsedMs`, as a span below the one that runs now. */
  readonly stage: (name: string, elapsedMs: number, count: number) => void
  /** Records an error of ours in the span that runs now. */
  readonly error: (error: unknown) => void
  /** W3C `traceparent` for a request to somebody else; undefined where nothing is recorded. */
  readonly traceparent: () => string | undefined
  /** Sends what is left, for a moment. */
  readonly close: () => Promise<void>
}

const OFF: Tracing = {
  ...NO_TRACER,
  note: () => undefined,
  stage: () => undefined,
  error: () => undefined,
  traceparent: () => undefined,
  close: () => Promise.resolve(),
}

/**
 * Spans over OTLP to the configured endpoint, or nothing. The SDK is loaded only where it is on, so
 * that nobody else pays for it in memory and in the time of the start.
 */
export async function openTracing(
  { tracing }: Pick<Config, 'tracing'>,
  version: string,
): Promise<Tracing> {
  if (tracing.endpoint === undefined) return OFF
  const { otlpTracing } = await import('./otlp.ts')
  return otlpTracing(tracing.endpoint, tracing.sampleRatio, version)
}

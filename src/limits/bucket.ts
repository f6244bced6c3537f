/** A token bucket: fills at a steady rate up to its capacity, and may be overdrawn once. */
export interface Bucket {
  tokens: number
  filledAtMs: number
}

/** A bucket that is full at `nowMs`. */
export function fullBucket(capacity: number, nowMs: number): Bucket {
  return { tokens: capacity, filledAtMs: nowMs }
}

/**
 * Fills the bucket up to now. What it holds afterwards: at least 1 means that something may be taken.
 * A clock that was set back neither fills nor empties it.
 */
export function fill(bucket: Bucket, perSecond: number, capacity: number, nowMs: number): number {
  const elapsedMs = nowMs - bucket.filledAtMs
  bucket.filledAtMs = nowMs
  const filled = bucket.tokens + (elapsedMs > 0 ? (elapsedMs * perSecond) / 1_000 : 0)
  bucket.tokens = filled < capacity ? filled : capacity
  return bucket.tokens
}

/** Whole seconds, at least one, until a bucket that was just filled holds a token. */
export function secondsUntilOne({ tokens }: Bucket, perSecond: number): number {
  return Math.max(1, Math.ceil((1 - tokens) / perSecond))
}

import type { TimeRange, TrendBucket } from '../../store/store.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
// More bars than this are thinner than a pixel on a phone.
const BUCKETS_MAX = 200

/** A trend without gaps, ready to be drawn. */
export interface Series {
  /** Length of one bucket in milliseconds: whole hours or whole days. */
  readonly stepMs: number
  readonly points: readonly Point[]
}

/** One bucket of a {@link Series}. */
interface Point {
  readonly startMs: number
  readonly count: number
  /** Distinct users; undefined where several buckets were put together, for users do not add up. */
  readonly users: number | undefined
}

/** In which buckets to ask the store for a range. */
export function granularityOf(range: TimeRange): 'hour' | 'day' {
  return range.endMs - range.startMs <= 8 * DAY_MS ? 'hour' : 'day'
}

/**
 * Fills the gaps between the store's buckets. Ranges of years are narrowed to where there are events,
 * then put together, so that there are never more than 200 points.
 */
export function fill(
  trends: readonly Pick<TrendBucket, 'time' | 'count' | 'affectedUsers'>[],
  range: TimeRange,
  granularity: 'hour' | 'day',
): Series {
  const unitMs = granularity === 'hour' ? HOUR_MS : DAY_MS
  const times = trends.map(({ time }) => Date.parse(time))
  const isLong = (range.endMs - range.startMs) / unitMs >= BUCKETS_MAX
  const first = isLong ? Math.min(range.endMs, ...times) : range.startMs
  const last = isLong ? Math.max(first, ...times) : range.endMs
  const startMs = Math.floor(first / unitMs) * unitMs
  const units = Math.floor((last - startMs) / unitMs) + 1
  const unitsPerPoint = Math.ceil(units / BUCKETS_MAX)
  const stepMs = unitMs * unitsPerPoint
  const points = Array.from({ length: Math.ceil(units / unitsPerPoint) }, (_, i) => ({
    startMs: startMs + i * stepMs,
    count: 0,
    users: unitsPerPoint === 1 ? 0 : undefined,
  }))
  trends.forEach(({ count, affectedUsers }, i) => {
    const point = points[Math.floor(((times[i] ?? 0) - startMs) / stepMs)]
    if (point === undefined) return
    point.count += count
    if (point.users !== undefined) point.users = affectedUsers
  })
  return { stepMs, points }
}

/** How a bucket's start reads: with the hour where buckets are hours. */
export function bucketLabel(startMs: number, stepMs: number): string {
  const iso = new Date(startMs).toISOString()
  return stepMs < DAY_MS ? `${iso.slice(0, 10)} ${iso.slice(11, 16)}` : iso.slice(0, 10)
}

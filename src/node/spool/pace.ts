/** Holds clients to the speed of delivery while they outrun it. All times are of `performance.now()`. */
export interface Pace {
  /** So many rows of one request became durable. */
  readonly kept: (rows: number) => void
  /** The store has so many rows more. */
  readonly delivered: (rows: number) => void
  /** Milliseconds that the next request has to wait before it is read, where so many rows wait for delivery. */
  readonly waitMs: (rowsWaiting: number) => number
}

/** The speed of delivery is that of about its last so many milliseconds. */
const MEMORY_MS = 3_000
/** No delivery for so long: the store is away, and the spool is there for just that. */
const AWAY_MS = 3_000
/** The longest that one request waits: after that it is safer in the spool than with its client. */
const WAIT_MS_MAX = 250
/** However much waits, clients may fill the spool at this part of the speed at which it is emptied. */
const SHARE_MIN = 0.5

/**
 * Accepting an event and delivering it share one CPU, and clients that wait for their answers take all of it:
 * then the spool grows at full speed, what it holds is not remembered any more and has to be read again,
 * and less is delivered than could be. With more than `rowsMax` rows waiting each request waits its turn,
 * so that no more comes than goes. Bursts, an outage and what waits after it are not held up.
 */
export function createPace(rowsMax: number, nowMs = () => performance.now()): Pace {
  let lastMs = -Infinity
  let [sumRows, sumMs] = [0, 0]
  let rowsPerRequest = 1
  let turnMs = 0

  return {
    kept(rows) {
      rowsPerRequest += (rows - rowsPerRequest) / 16
    },
    delivered(rows) {
      const now = nowMs()
      const elapsedMs = now - lastMs
      lastMs = now
      if (elapsedMs > AWAY_MS) {
        sumRows = 0
        sumMs = 0
        return
      }
      const left = Math.exp(-elapsedMs / MEMORY_MS)
      sumRows = sumRows * left + rows
      sumMs = sumMs * left + elapsedMs
    },
    waitMs(rowsWaiting) {
      const now = nowMs()
      if (rowsWaiting <= rowsMax || now - lastMs > AWAY_MS || sumMs === 0) return 0
      const share = Math.max(SHARE_MIN, Math.min(1, 2 - rowsWaiting / rowsMax))
      const perMs = (share * sumRows) / sumMs
      const atMs = Math.max(now, turnMs)
      turnMs = Math.min(atMs + rowsPerRequest / perMs, now + WAIT_MS_MAX)
      return Math.min(atMs - now, WAIT_MS_MAX)
    },
  }
}

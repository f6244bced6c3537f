/** Tells whether rows come in a stream. All times are of `performance.now()`. */
export interface Stream {
  /** So many rows of one request became durable. */
  readonly kept: (rows: number) => void
  /**
   * Where they have been coming for seconds, whether they still do: resolves with the next ones, or once
   * none came. Undefined where there was no stream.
   */
  readonly goesOn: () => Promise<boolean> | undefined
}

/** So many rows in each of so many seconds are a stream. */
const ROWS_MIN = 500
const SECONDS_MIN = 2
/** Longest between two requests of a stream: at 5,000 events/s in batches of 100 there are 20 ms. */
const PAUSE_MS_MAX = 50

/** See {@link Stream}. */
export function createStream(nowMs = () => performance.now()): Stream {
  let [second, rowsInSecond, seconds] = [0, 0, 0]
  let waiting: (() => void)[] = []

  return {
    kept(rows) {
      const now = Math.floor(nowMs() / 1_000)
      if (now !== second) {
        seconds = now === second + 1 && rowsInSecond >= ROWS_MIN ? seconds + 1 : 0
        second = now
        rowsInSecond = 0
      }
      rowsInSecond += rows
      for (const tell of waiting) tell()
      waiting = []
    },
    goesOn() {
      const hasPaused = nowMs() / 1_000 > second + 2
      if (seconds < SECONDS_MIN || hasPaused) return undefined
      return new Promise((resolve) => {
        const timer = setTimeout(() => {
          resolve(false)
        }, PAUSE_MS_MAX)
        waiting.push(() => {
          clearTimeout(timer)
          resolve(true)
        })
      })
    },
  }
}

/** Writes a line of the log. */
type Say = (level: 'error' | 'warn' | 'info' | 'debug', text: string, fields?: object) => void

/** Lines of one text that are written in {@link WINDOW_MS}; what comes beyond is counted. */
const LINES_MAX = 10
const REQUEST_LINES_MAX = 100
const WINDOW_MS = 10_000
/** Texts told apart at once: more can only come from texts that hold something variable. */
const TEXTS_MAX = 500

/** A log that counts repetitions instead of writing them. */
export interface QuietLog {
  readonly say: Say
  /** Says what was counted and not yet told. */
  readonly flush: () => void
}

/**
 * At most {@link LINES_MAX} lines of the same level and text in ten seconds, and 100 of answered
 * requests; then one that says how many there were. What fails is told by its first lines, and a flood
 * of them would only push the cause out of the log, and cost as much as the work.
 */
export function quietLog(
  say: Say,
  nowMs: () => number,
  suppressed: (count: number) => void,
): QuietLog {
  const seen = new Map<string, { sinceMs: number; lines: number; beyond: number }>()
  return {
    say(level, text, fields) {
      if (level === 'debug') {
        say(level, text, fields)
        return
      }
      const key = `${level} ${text}`
      const now = nowMs()
      let one = seen.get(key)
      // A clock that was set back begins anew too.
      if (one === undefined || Math.abs(now - one.sinceMs) >= WINDOW_MS) {
        if (one !== undefined) tell(level, text, one.beyond)
        if (one === undefined && seen.size >= TEXTS_MAX) seen.clear()
        one = { sinceMs: now, lines: 0, beyond: 0 }
        seen.set(key, one)
      }
      if (one.lines < (text === REQUEST ? REQUEST_LINES_MAX : LINES_MAX)) {
        one.lines += 1
        say(level, text, fields)
        return
      }
      one.beyond += 1
      suppressed(1)
    },
    flush() {
      const now = nowMs()
      for (const [key, { sinceMs, beyond }] of seen) {
        if (Math.abs(now - sinceMs) < WINDOW_MS) continue
        const space = key.indexOf(' ')
        const level = key.slice(0, space)
        if (level === 'error' || level === 'warn' || level === 'info') {
          tell(level, key.slice(space + 1), beyond)
        }
        seen.delete(key)
      }
    },
  }

  function tell(level: 'error' | 'warn' | 'info', text: string, beyond: number): void {
    if (beyond > 0)
      say(level, `suppressed ${beyond.toLocaleString('en')} like this: ${text}`, {
        suppressed: beyond,
      })
  }
}

/** The text of the line that each answered request has. */
export const REQUEST = 'request'

import { readFileSync } from 'node:fs'
import { join } from 'node:path'

// The codes are ClickHouse's own, as it prints them: CANNOT_OPEN_FILE and NETWORK_ERROR.
/** Whether the engine says that its folder has an owner. */
export const isLocked = (words: string) => /Code: 76\b.*Cannot lock file/s.test(words)
/** Whether the engine says that its port is taken. */
export const isPortTaken = (words: string) => /Code: 210\b/.test(words)

/** Why it cannot start, in the engine's own words. */
export function cannotStart(dataDir: string, words: string): string {
  const said = words.replace(/^Logging \w+ to .*\n?/gm, '').trim()
  return `The embedded ClickHouse cannot start in ${dataDir}: ${said || 'it said nothing.'}`
}

/** That the folder has an owner, who that is, and what to do. */
export function lockedBy(dataDir: string): string {
  return `${dataDir} is in use by ${ownerOf(dataDir)}: stop that first, or set DATA_DIR to another folder.`
}

/** Who holds the folder: the server that started the engine where that can be known (Linux). */
export function ownerOf(dataDir: string): string {
  const pid = /PID: (\d+)/.exec(readIfThere(join(dataDir, 'status')))?.[1]
  if (pid === undefined) return 'another process'
  // The fields after the command in brackets are: state, parent.
  const parent = /\) \S (\d+)/.exec(readIfThere(`/proc/${pid}/stat`))?.[1]
  const started = parent === undefined || parent === '1' ? '' : ` of the server ${parent}`
  return `another process (pid ${pid}${started})`
}

function readIfThere(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    // Only a sentence gets poorer.
    return ''
  }
}

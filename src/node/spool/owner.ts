import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'

/** The folder belongs to another process. */
export class FolderInUse extends Error {
  override readonly name = 'FolderInUse'
}

const WAIT_MS = 10_000
const TRY_MS = 100

/**
 * Makes this process the only owner of the folder until it ends, however it ends. Waits up to 10 s
 * for a dying owner. SQLite's file lock is a kernel lock, which Node itself does not offer: unlike
 * a file with a process id it leaves nothing behind, and holds between containers too.
 * @returns what gives the folder back.
 * @throws FolderInUse
 */
export async function own(folder: string): Promise<() => void> {
  const until = performance.now() + WAIT_MS
  for (;;) {
    const database = new DatabaseSync(join(folder, 'owner.lock'))
    try {
      database.exec('PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=MEMORY; BEGIN EXCLUSIVE')
      return () => database.close()
    } catch (error) {
      database.close()
      if (!isLocked(error)) throw error
      if (performance.now() > until) {
        throw new FolderInUse(
          `The spool in ${folder} belongs to another running error-ingestor. Stop that one, or give this one its own DATA_DIR.`,
          { cause: error },
        )
      }
      await sleep(TRY_MS)
    }
  }
}

function isLocked(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && error.errcode === 5
}

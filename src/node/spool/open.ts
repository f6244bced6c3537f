import { mkdir } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Delivery } from '../../pipeline/delivery.ts'
import { Refusal } from '../../refusal.ts'
import { nodeDisk } from './disk.ts'
import { own } from './owner.ts'
import {
  NO_ACCOUNT,
  openSpool,
  type DiskSpool,
  type SpoolAccount,
  type SpoolLimits,
} from './spool.ts'

const TEND_MS = 1_000

/** Keeps its own file in the folder. */
interface FolderAccount extends SpoolAccount {
  /** Called once the folder is ours, before anything is read of it. */
  readonly open: (folder: string) => void
}

/**
 * The spool in `folder`, made where it is missing. A folder that cannot be used (no permission, a
 * full or read-only disk) is no reason to end: the server then answers 503 and says why, and the
 * folder is tried again every second.
 * @throws FolderInUse when another process owns it.
 */
export async function openFolderSpool(
  folder: string,
  delivery: Delivery,
  limits: SpoolLimits,
  account: FolderAccount = { ...NO_ACCOUNT, open: () => undefined },
): Promise<DiskSpool> {
  let disown: (() => void) | undefined
  let spool: DiskSpool | undefined
  let reason = 'the spool is being opened'
  const closed = new AbortController()

  async function open(): Promise<void> {
    const disk = nodeDisk(folder)
    await mkdir(folder, { recursive: true })
    await disk.prepare()
    if (disown === undefined) {
      const letGo = await own(folder)
      try {
        account.open(folder)
      } catch (error) {
        letGo()
        throw error
      }
      disown = letGo
    }
    spool = await openSpool(disk, delivery, limits, account)
  }

  async function tryToOpen(): Promise<void> {
    try {
      await open()
      delivery.say('info', 'the spool is open', spool?.status())
    } catch (error) {
      if (!isDiskError(error)) throw error
      const text = `the spool folder cannot be used (${error.code})`
      if (text !== reason) {
        delivery.say('error', `${text}: events are refused until it can`, {
          folder,
          error: error.message,
        })
      }
      reason = text
    }
  }

  await tryToOpen()
  const tending = (async () => {
    while (!closed.signal.aborted) {
      await sleep(TEND_MS, undefined, { signal: closed.signal, ref: false }).catch(() => undefined) // Closed.
      try {
        if (isAborted(closed.signal)) return
        await (spool === undefined ? tryToOpen() : spool.tend())
      } catch (error) {
        delivery.bug(error)
      }
    }
  })()

  return {
    append(parcel) {
      if (spool !== undefined) return spool.append(parcel)
      return Promise.reject(
        new Refusal(
          'overloaded',
          `Events cannot be kept safe now: ${reason}. Send them again later.`,
          {
            retryAfterSeconds: 5,
          },
        ),
      )
    },
    async drain(stopping, graceMs) {
      while (spool === undefined) {
        if (stopping.aborted) return
        await sleep(100)
      }
      await spool.drain(stopping, graceMs)
    },
    settle: (waitMs) => spool?.settle(waitMs) ?? Promise.resolve(),
    streams: () => spool?.streams(),
    dropAside: (fits) => spool?.dropAside(fits) ?? Promise.resolve(0),
    turn: () => spool?.turn(),
    status: () =>
      spool?.status() ?? {
        bytes: 0,
        bytesMax: limits.bytesMax,
        segments: 0,
        rows: 0,
        oldestMs: undefined,
        damagedRows: 0,
        undeliverable: 0,
        refusing: reason,
      },
    tend: () => spool?.tend() ?? Promise.resolve(),
    async close() {
      closed.abort()
      await tending
      await spool?.close()
      disown?.()
    },
  }
}

// A function, because the compiler believes that a flag it saw false stays false over an await.
const isAborted = (signal: AbortSignal) => signal.aborted

/** An error of the file system, SQLite's words for one included, as opposed to a bug. */
function isDiskError(error: unknown): error is Error & { readonly code: string } {
  return (
    error instanceof Error &&
    ('syscall' in error || 'errcode' in error) &&
    'code' in error &&
    typeof error.code === 'string'
  )
}

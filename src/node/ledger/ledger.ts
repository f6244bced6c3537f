import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import { reasonOf, type Ended, type Outcome } from '../../outcome.ts'
import type { LedgerRow } from '../../store/ledger.ts'
import { openJournal, type Journal } from './journal.ts'

/** How events ended, by hour and app, until ClickHouse has it. */
export interface Ledger {
  /** Counts events that end now; in the journal once {@link noted} says so. */
  readonly count: (appId: string, protocol: string, outcome: Outcome, count: number) => void
  /** Counts events that a client says it never sent. */
  readonly unsent: (appId: string, protocol: string, reason: string, count: number) => void
  /**
   * Resolves when what was counted until now is in the journal, and would survive the death of the process;
   * undefined where it is already. All that is counted in one turn of the process shares one write.
   */
  readonly noted: () => Promise<void> | undefined
  /** As SpoolAccount's: what ends before `ordinal` is counted once, however often it is told. */
  readonly delivered: (ordinal: number, ends: readonly Ended[]) => Promise<void>
  /** As SpoolAccount's. */
  readonly opened: (from: number, end: number) => void
  /** Goes on in a folder that is ours, where an earlier process stopped. @throws the error of the file system. */
  readonly open: (folder: string) => void
  /** Writes what is new to ClickHouse; rejects where it does not take it, and may be called again. */
  readonly flush: () => Promise<void>
  /** Counts not yet in ClickHouse. */
  readonly waiting: () => number
  readonly close: () => Promise<void>
}

interface LedgerDeps {
  /** Stores rows; the same row again, or one with a smaller count, changes nothing. */
  readonly write: (rows: readonly LedgerRow[]) => Promise<void>
  readonly say: (level: 'error' | 'warn' | 'info', text: string, fields?: object) => void
  readonly nowMs: () => number
}

const HOUR_SECONDS = 3_600
/** Counts held at once: of the apps beyond it those of one hour are summed. */
const COUNTS_MAX = 50_000
/** The outcome, in the ledger, of what a client says it never sent: no event of ours. */
const UNSENT = 'unsent'
/** Stands for apps beyond the bound. */
const OTHER_APPS = '*'

/** One sum, which only grows. */
interface Sum {
  readonly name: Name
  count: number
  /** What of it ClickHouse has. */
  sent: number
}
/** Epoch, hour in seconds since the Unix epoch, app, protocol, outcome, reason. */
type Name = readonly [number, number, string, string, string, string]

const Added = z.tuple([
  z.tuple([z.number(), z.number(), z.string(), z.string(), z.string(), z.string()]),
  z.number(),
])
/** A line of the journal: what it says is added to, or takes the place of, what came before. */
const Line = z.object({
  source: z.string().optional(),
  epoch: z.number().optional(),
  droppedHour: z.number().optional(),
  ordinal: z.number().optional(),
  add: z.array(Added).optional(),
})

/**
 * The ledger of one folder. Sums are totals that only grow, each under the name of the folder, so
 * that writing them once more is harmless, and none is forgotten before ClickHouse has it. The
 * journal takes each change before anyone hears of it: it survives `kill -9`.
 */
export function createLedger({ write, say, nowMs }: LedgerDeps): Ledger {
  const sums = new Map<string, Sum>()
  /** Of `sums`, what the journal does not have yet. */
  let pending = new Map<string, number>()
  let journal: Journal | undefined
  let source: string = randomUUID()
  let epoch = 0
  /** Sums up to this hour are gone from here. */
  let droppedHour = 0
  let ordinal = 0
  /** The write that what is pending waits for. */
  let noting: Promise<void> | undefined
  let isFailing = false
  let flushing: Promise<void> = Promise.resolve()

  function add(appId: string, protocol: string, kind: string, reason: string, by: number): void {
    const hour = Math.floor(nowMs() / 1_000 / HOUR_SECONDS) * HOUR_SECONDS
    // The clock was set back: sums of that hour begin anew, and must not be taken for the old ones.
    if (hour <= droppedHour) {
      epoch += 1
      droppedHour = 0
    }
    let key = `${epoch}\0${hour}\0${appId}\0${protocol}\0${kind}\0${reason}`
    let app = appId
    if (sums.size >= COUNTS_MAX && !sums.has(key)) {
      app = OTHER_APPS
      key = `${epoch}\0${hour}\0${app}\0${protocol}\0${kind}\0${reason}`
    }
    addTo(key, [epoch, hour, app, protocol, kind, reason], by)
    pending.set(key, (pending.get(key) ?? 0) + by)
    noting ??= new Promise((resolve) => {
      setImmediate(() => {
        note()
        noting = undefined
        resolve()
      })
    })
  }

  function addTo(key: string, name: Name, by: number): void {
    const sum = sums.get(key)
    if (sum === undefined) sums.set(key, { name, count: by, sent: 0 })
    else sum.count += by
  }

  /** Puts what is pending into the journal; what it does not take now is tried with the next. */
  function note(): void {
    if (journal === undefined || pending.size === 0) return
    const added = [...pending].flatMap(([key, by]) => {
      const sum = sums.get(key)
      return sum === undefined ? [] : [[sum.name, by]]
    })
    try {
      if (!(journal.isFull() && begunAnew(journal))) journal.add({ epoch, ordinal, add: added })
      pending = new Map()
      isFailing = false
    } catch (error) {
      if (!isFailing) say('error', 'the ledger cannot be noted on disk', { error: String(error) })
      isFailing = true
    }
  }

  /** A disk without room for a new file has kept some in the one there is. */
  function begunAnew(of: Journal): boolean {
    try {
      of.restart(snapshot())
      return true
    } catch (error) {
      if (!of.isBegun()) throw error
      return false
    }
  }

  function snapshot(): object[] {
    dropOld()
    const all = [...sums.values()].map(({ name, count }) => [name, count])
    const lines: object[] = [{ source, epoch, droppedHour, ordinal }]
    for (let at = 0; at < all.length; at += 1_000) lines.push({ add: all.slice(at, at + 1_000) })
    return lines
  }

  /** What ClickHouse has of hours that are over need not be kept. */
  function dropOld(): void {
    const before = Math.floor(nowMs() / 1_000 / HOUR_SECONDS) * HOUR_SECONDS - HOUR_SECONDS
    for (const [key, { name, count, sent }] of sums) {
      if (name[1] >= before || sent < count || pending.has(key)) continue
      sums.delete(key)
      droppedHour = Math.max(droppedHour, name[1])
    }
  }

  function takeOver(records: readonly unknown[]): void {
    for (const record of records) {
      const line = Line.parse(record)
      source = line.source ?? source
      epoch = line.epoch ?? epoch
      droppedHour = line.droppedHour ?? droppedHour
      ordinal = line.ordinal ?? ordinal
      for (const [name, by] of line.add ?? []) addTo(name.join('\0'), name, by)
    }
  }

  async function flushNow(): Promise<void> {
    if (journal === undefined) return
    note()
    const rows: LedgerRow[] = []
    const taken: { readonly sum: Sum; readonly count: number }[] = []
    for (const [key, sum] of sums) {
      // Only what the journal took: else a kill leaves less here than ClickHouse has, and what comes then is lost in it.
      const count = sum.count - (pending.get(key) ?? 0)
      if (sum.sent >= count) continue
      const [of, hour, appId, protocol, outcome, reason] = sum.name
      rows.push({
        hour,
        appId,
        protocol,
        outcome,
        reason,
        source: `${source}:${of}`,
        count,
      })
      taken.push({ sum, count })
    }
    if (rows.length === 0) return
    // The same holds for a power cut.
    await journal.sync()
    await write(rows)
    for (const { sum, count } of taken) sum.sent = count
    dropOld()
  }

  return {
    count: (appId, protocol, outcome, by) =>
      add(appId, protocol, outcome.kind, reasonOf(outcome), by),
    unsent: (appId, protocol, reason, by) => add(appId, protocol, UNSENT, reason, by),

    noted: () => noting,

    async delivered(to, ends) {
      if (to <= ordinal) return
      ordinal = to
      for (const { appId, protocol, outcome, count } of ends) {
        add(appId, protocol, outcome.kind, reasonOf(outcome), count)
      }
      note()
      try {
        await journal?.sync()
      } catch (error) {
        say('error', 'the ledger cannot be synced to the disk', { error: String(error) })
      }
    },

    opened(from, end) {
      // The spool begins anew: somebody emptied the folder, but for this journal.
      if (ordinal > end) ordinal = from
    },

    open(folder) {
      const opened = openJournal(folder)
      // With no file before it, nothing is taken over that a second try would take over again.
      takeOver(opened.records)
      const isAnew = begunAnew(opened.journal)
      journal = opened.journal
      // What was counted before there was a folder stands in the snapshot.
      if (isAnew) pending = new Map()
      else note()
    },

    flush() {
      flushing = flushing.catch(() => undefined).then(flushNow)
      return flushing
    },
    waiting: () => [...sums.values()].filter(({ count, sent }) => sent < count).length,
    async close() {
      note()
      await journal?.close()
      journal = undefined
    },
  }
}

import { setTimeout as sleep } from 'node:timers/promises'
import type { Ended } from '../../outcome.ts'
import type { Delivery } from '../../pipeline/delivery.ts'
import { UnreadableRows, type Spool } from '../../pipeline/spool.ts'
import { Refusal } from '../../refusal.ts'
import { openDamage, type Damage } from './damage.ts'
import type { Disk } from './disk.ts'
import { createDrain, type Drain, type DrainStop } from './drain.ts'
import { frameBytes, SEGMENT_HEADER_BYTES } from './frame.ts'
import { recover, type Segment } from './recover.ts'
import { createPace, type Pace } from './pace.ts'
import { openReserve, type Reserve } from './reserve.ts'
import { openSealLog, readSealLog, type Frontier, type SealLog } from './seals.ts'
import { segmentName } from './segment.ts'
import { createSource } from './source.ts'
import { createStream } from './stream.ts'
import { dropFitting, retryMarked, setAside } from './undeliverable.ts'
import { openWriter, type Writer } from './writer.ts'

/** How large the spool may grow and how it is delivered. */
export interface SpoolLimits {
  readonly bytesMax: number
  readonly segmentBytes: number
  readonly rowsMax: number
  readonly windowBytesMax: number
  readonly ageMsMax: number
  readonly windowsMax: number
}

/** Who keeps count of what goes through the spool. */
export interface SpoolAccount {
  /** Rows wait from `from` to `end`; behind it new ones are numbered. */
  readonly opened: (from: number, end: number) => void
  /** So many rows are the spool's that no request of this process brought: an earlier one did, or none that got a yes. */
  readonly recovered: (count: number) => void
  /**
   * How the rows before `ordinal` ended, since the call before; the same rows may be told again after
   * a crash. Resolves when it would survive a power cut.
   */
  readonly delivered: (ordinal: number, ends: readonly Ended[]) => Promise<void>
}

/** For a spool that nobody keeps account of. */
export const NO_ACCOUNT: SpoolAccount = {
  opened: () => undefined,
  recovered: () => undefined,
  delivered: () => Promise.resolve(),
}

const RESTART_MS = 1_000
/** Full windows that may wait before clients are held to the pace of delivery. */
const WINDOWS_WAITING_MAX = 3
const FREE_BYTES_MIN = 32 * 1024 * 1024
/** So long after the last refusal for want of room the spool counts as full to what was refused. */
const MISSING_SECONDS = 30

/** A spool on disk, whose owner can close it. */
export interface DiskSpool extends Spool {
  /** Lets go of all files; what is not delivered waits for the next process. */
  readonly close: () => Promise<void>
  /** Tries what failed before: to be called about once a second. */
  readonly tend: () => Promise<void>
}

/**
 * Opens the spool in a folder that is already ours: cuts a torn tail, counts what is damaged, and
 * finds what is still to be delivered.
 */
export async function openSpool(
  disk: Disk,
  delivery: Delivery,
  limits: SpoolLimits,
  account: SpoolAccount = NO_ACCOUNT,
): Promise<DiskSpool> {
  const damage = await openDamage(disk, delivery.say)
  const log = await readSealLog(disk, damage)
  if (log.damaged) delivery.say('error', 'the log of what is delivered is damaged')
  const found = await recover(disk, damage, log.frontier, delivery.say)
  const seals = await openSealLog(disk, log)
  const reserve = await openReserve(disk)
  const firstOrdinal = found.segments[0]?.ordinal ?? found.readable
  const start = log.frontier ?? { segment: 0, offset: 0, ordinal: firstOrdinal }
  const parts = assemble({ disk, delivery, limits, account, damage, seals, reserve, found, start })
  account.opened(start.ordinal, found.ordinal)
  account.recovered(Math.max(0, found.readable - start.ordinal))
  return makeSpool(parts, { disk, delivery, limits, account, damage, reserve, seals })
}

interface Parts {
  readonly writer: Writer
  readonly drain: Drain
  /** The end of what is durable. */
  readonly end: () => Frontier
  readonly segments: Map<number, Segment>
  readonly bytes: () => number
  readonly ages: Ages
  readonly undeliverable: { count: number }
  readonly pace: Pace
}

interface AssembleDeps {
  readonly disk: Disk
  readonly delivery: Delivery
  readonly limits: SpoolLimits
  readonly account: SpoolAccount
  readonly damage: Damage
  readonly seals: SealLog
  readonly reserve: Reserve
  readonly found: Awaited<ReturnType<typeof recover>>
  readonly start: Frontier
}

/** Joins writer, source and drain over the list of segments. */
function assemble(deps: AssembleDeps): Parts {
  const { disk, delivery, limits, found } = deps
  const segments = new Map(found.segments.map((segment) => [segment.number, segment]))
  const ages = rememberAges()
  for (const { ordinal, createdAtMs } of found.segments) {
    if (createdAtMs > 0) ages.note(ordinal, createdAtMs)
  }
  const undeliverable = { count: 0 }
  const pace = createPace(WINDOWS_WAITING_MAX * limits.rowsMax)
  /** Rows that an earlier process had said yes to and that are not there: told as lost when passed. */
  let missing = found.ordinal - found.readable

  const writer = openWriter({
    disk,
    segmentBytes: limits.segmentBytes,
    nowMs: delivery.nowMs,
    next: { segment: found.lastNumber, ordinal: found.ordinal },
    opened(number, ordinal) {
      const createdAtMs = delivery.nowMs()
      segments.set(number, { number, bytes: SEGMENT_HEADER_BYTES, ordinal, createdAtMs })
    },
    committed(frames) {
      const last = frames.at(-1)
      const segment = last === undefined ? undefined : segments.get(last.segment)
      if (last === undefined || segment === undefined) return
      segments.set(segment.number, { ...segment, bytes: last.end })
      ages.note(last.ordinal, delivery.nowMs())
      // The first row of ours stands behind them, so that from now on they are rows that wait.
      if (missing > 0) deps.account.recovered(missing)
      missing = 0
      source.offer(frames)
      drain.wake()
    },
    // Their requests end as refused, and they themselves once more, as rows that nobody brought.
    unanswered: deps.account.recovered,
    say: delivery.say,
  })
  const end = () => {
    const end = writer.end()
    if (end.offset > 0) return end
    // Before the first write of this process, the end is that of the newest file there is.
    const newest = [...segments.values()].at(-1)
    return newest === undefined
      ? { ...end, ordinal: found.readable }
      : { segment: newest.number, offset: newest.bytes, ordinal: found.readable }
  }
  const source = createSource({
    disk,
    delivery,
    damage: deps.damage,
    rowsMax: limits.rowsMax,
    bytesMax: limits.windowBytesMax,
    segments: () => [...segments.values()],
    lost: (number) => segments.delete(number),
  })
  const drain = createDrain({
    delivery,
    source,
    start: deps.start,
    seals: deps.seals,
    rowsMax: limits.rowsMax,
    bytesMax: limits.windowBytesMax,
    ageMsMax: limits.ageMsMax,
    windowsMax: limits.windowsMax,
    end,
    async forget(frontier) {
      ages.forget(frontier.ordinal)
      const current = writer.end().segment
      for (const { number, bytes } of [...segments.values()]) {
        const passed = number < frontier.segment
        const finished = number === frontier.segment && frontier.offset >= bytes
        if (!passed && !(finished && number !== current)) continue
        await disk.remove(segmentName(number))
        segments.delete(number)
      }
    },
    async setAside(rows, read) {
      await setAside(disk, rows, read, delivery)
      undeliverable.count += rows.length
    },
    makeRoom: deps.reserve.release,
    delivered(ordinal, ends) {
      pace.delivered(ends.reduce((sum, { count }) => sum + count, 0))
      return deps.account.delivered(ordinal, ends)
    },
  })
  const bytes = () => [...segments.values()].reduce((sum, segment) => sum + segment.bytes, 0)
  return { writer, drain, end, segments, bytes, ages, undeliverable, pace }
}

interface SpoolDeps {
  readonly disk: Disk
  readonly delivery: Delivery
  readonly limits: SpoolLimits
  readonly account: SpoolAccount
  readonly damage: Damage
  readonly reserve: Reserve
  readonly seals: SealLog
}

function makeSpool(parts: Parts, deps: SpoolDeps): DiskSpool {
  const { writer, drain, segments, ages, undeliverable, pace } = parts
  const { limits, delivery } = deps
  const stream = createStream()
  let waitingBytes = 0
  let stopping = false
  /** Of a request that found no room of late: smaller ones may still find it, and yet events are refused. */
  let missing = { bytes: 0, seconds: 0 }
  let free: { readonly bytes: number; readonly bytesTotal: number } | undefined

  function refusing(more = 0): string | undefined {
    if (stopping) return 'the server is stopping'
    const failure = writer.failure()
    if (failure !== undefined) return failure
    const bytes = parts.bytes() + waitingBytes
    if (bytes + more >= limits.bytesMax)
      return `the spool is full (${bytes} of ${limits.bytesMax} bytes)`
    // Before the disk is really full: delivery needs room to seal, and others may use the disk too.
    if (free !== undefined && free.bytes < Math.min(FREE_BYTES_MIN, free.bytesTotal / 10)) {
      return 'the disk is full'
    }
    return undefined
  }

  async function runUntilStopped(stop: DrainStop): Promise<void> {
    while (!stop.now.aborted) {
      try {
        await drain.run(deps.seals.open, stop)
        return
      } catch (error) {
        if (isAborted(stop.now)) break
        // What is sealed is sent as sealed, as far as it can be read; the rest is read again.
        if (error instanceof UnreadableRows) {
          delivery.say('warn', 'rows on their way cannot be read', { error: error.message })
          continue
        }
        delivery.bug(error) // Or a disk that cannot be read.
        await sleep(RESTART_MS)
      }
    }
    delivery.say('info', 'stopping: what is not delivered waits on disk', { rows: rowsWaiting() })
  }

  function rowsWaiting(): number {
    return Math.max(0, parts.end().ordinal - drain.frontier().ordinal)
  }

  return {
    async append(parcel) {
      const size = frameBytes(parcel.batch)
      waitingBytes += size
      try {
        const reason = refusing()
        if (reason !== undefined) {
          if (size < limits.bytesMax) missing = { bytes: size, seconds: MISSING_SECONDS }
          throw new Refusal(
            'overloaded',
            `Events cannot be kept safe now: ${reason}. Send them again later.`,
            { retryAfterSeconds: 5 },
          )
        }
        await writer.append(parcel)
        pace.kept(parcel.rows.length)
        stream.kept(parcel.rows.length)
      } finally {
        waitingBytes -= size
      }
    },

    async drain(finish, graceMs) {
      const now = new AbortController()
      let timer: NodeJS.Timeout | undefined
      const begin = () => {
        stopping = true
        timer = setTimeout(() => {
          now.abort(new Error('The time to stop is over.'))
        }, graceMs)
      }
      if (finish.aborted) begin()
      else finish.addEventListener('abort', begin, { once: true })
      try {
        await runUntilStopped({ finish, now: now.signal })
      } finally {
        clearTimeout(timer)
      }
    },

    async settle(waitMs) {
      if (rowsWaiting() > limits.rowsMax) return
      let timer: NodeJS.Timeout | undefined
      const waited = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, waitMs)
      })
      await Promise.race([drain.settle(), waited])
      clearTimeout(timer)
    },

    streams: () => stream.goesOn(),

    async dropAside(fits) {
      const dropped = await dropFitting(deps.disk, fits)
      undeliverable.count = Math.max(0, undeliverable.count - dropped)
      return dropped
    },

    turn() {
      if (stopping) return undefined
      const waitMs = pace.waitMs(rowsWaiting())
      if (waitMs < 1) return undefined
      delivery.stage('turn', waitMs, 1)
      return sleep(waitMs)
    },

    status: () => ({
      bytes: parts.bytes(),
      bytesMax: limits.bytesMax,
      segments: segments.size,
      rows: rowsWaiting(),
      oldestMs: rowsWaiting() === 0 ? undefined : ages.oldest(),
      damagedRows: deps.damage.rows(),
      undeliverable: undeliverable.count,
      refusing: refusing(missing.bytes),
    }),

    async tend() {
      missing.seconds -= 1
      if (missing.seconds <= 0) missing.bytes = 0
      free = await deps.disk.free()
      await writer.repair()
      if (refusing() !== undefined) return
      await deps.reserve.restore()
      undeliverable.count = await retryMarked(deps.disk, delivery, async (parcel) => {
        await writer.append(parcel)
        deps.account.recovered(parcel.rows.length)
      })
    },

    async close() {
      await writer.close()
      await deps.seals.close()
    },
  }
}

// A function, because the compiler believes that a flag it saw false stays false over an await.
const isAborted = (signal: AbortSignal) => signal.aborted

interface Ages {
  readonly note: (ordinal: number, atMs: number) => void
  readonly forget: (ordinal: number) => void
  readonly oldest: () => number | undefined
}

/** When rows came, to the second: for the age of the oldest one that waits. */
function rememberAges(): Ages {
  let samples: { readonly ordinal: number; readonly atMs: number }[] = []
  return {
    note(ordinal, atMs) {
      const last = samples.at(-1)
      if (last === undefined || Math.abs(atMs - last.atMs) >= 1_000) samples.push({ ordinal, atMs })
    },
    forget(ordinal) {
      // The last sample before the frontier still covers rows behind it.
      const next = samples.findIndex((sample) => sample.ordinal >= ordinal)
      samples = next < 0 ? [] : samples.slice(next)
    },
    oldest: () => samples[0]?.atMs,
  }
}

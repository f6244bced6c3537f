import type { Ended } from '../../outcome.ts'
import {
  idKey,
  type Delivery,
  type Fate,
  type ReadRows,
  type RefusedRow,
} from '../../pipeline/delivery.ts'
import { pause } from '../../pipeline/retry.ts'
import type { OpenSpan } from '../../trace.ts'
import type { Frontier, Seal, SealLog } from './seals.ts'
import type { Source, Window } from './source.ts'

interface DrainDeps {
  readonly delivery: Delivery
  readonly source: Source
  /** Up to where an earlier process had delivered everything. */
  readonly start: Frontier
  readonly seals: SealLog
  readonly rowsMax: number
  readonly bytesMax: number
  /** Longest that rows wait for their window to fill; also the least time between two windows that are not full. */
  readonly ageMsMax: number
  /** Windows that may be on their way at once. */
  readonly windowsMax: number
  /** The end of what is durable. */
  readonly end: () => Frontier
  /** Everything before it is delivered. */
  readonly forget: (frontier: Frontier) => Promise<void>
  /** Keeps rows that the store refuses for their content. Resolves when they are durable. */
  readonly setAside: (rows: readonly RefusedRow[], read: ReadRows) => Promise<void>
  /** Makes room on a full disk, so that delivery can go on and free more. */
  readonly makeRoom: () => Promise<void>
  /** How the rows before `ordinal` ended; resolves once that is noted. Never rejects. */
  readonly delivered: (ordinal: number, ends: readonly Ended[]) => Promise<void>
}

/** When to end. */
export interface DrainStop {
  /** Deliver what is there at once, then end. */
  readonly finish: AbortSignal
  /** End now; what is under way is left for the next process. */
  readonly now: AbortSignal
}

/** Takes rows from the source to the store, window by window, oldest first. */
export interface Drain {
  /** There is something new to deliver. */
  readonly wake: () => void
  /** Sends what was sealed and not finished before, then whatever comes. Rejects when `stop.now` aborts. */
  readonly run: (open: () => readonly Seal[], stop: DrainStop) => Promise<void>
  /** Resolves when everything accepted until now is delivered. */
  readonly settle: () => Promise<void>
  /** Up to where everything is delivered. */
  readonly frontier: () => Frontier
}

/** A window whose fates are on disk. */
interface Sealed {
  readonly window: Window
  readonly fates: readonly Fate[]
  readonly id: number
  readonly span: OpenSpan
  /** Of `performance.now()`; -Infinity where an earlier process judged it. */
  readonly judgedAtMs: number
}

const BACKOFF_MS_MAX = 5_000
const EMPTY_MS = 10

/** See {@link Drain}. */
export function createDrain(deps: DrainDeps): Drain {
  const { delivery, source } = deps
  let frontier = deps.start
  let nextId = 1
  // Not of the clock, which jumps: delivery would stand still until it is where it was.
  let lastWindowMs = -Infinity
  /** Rows before this ordinal are wanted at once. */
  let hurry = 0
  let wake: () => void = () => undefined
  let underWay: Promise<void>[] = []
  let settling: { readonly ordinal: number; readonly resolve: () => void }[] = []

  async function run(open: () => readonly Seal[], stop: DrainStop): Promise<void> {
    try {
      await deliver(open, stop)
    } finally {
      // The folder may soon be another process's: nothing may be noted in it behind our back.
      if (stop.now.aborted) await Promise.allSettled(underWay)
    }
  }

  async function deliver(open: () => readonly Seal[], stop: DrainStop): Promise<void> {
    // After a failure: what is still on its way must not move the frontier behind our back.
    await Promise.allSettled(underWay)
    underWay = []
    source.seek(frontier)
    const onAbort = () => wake()
    stop.finish.addEventListener('abort', onAbort)
    stop.now.addEventListener('abort', onAbort)
    for (const seal of open()) {
      nextId = Math.max(nextId, seal.id + 1)
      await resume(seal, stop)
    }
    while (await somethingToSend(stop)) {
      lastWindowMs = performance.now()
      const window = await source.take()
      if (window.rows > 0) await begin(window, stop)
      else if (await source.missed(deps.end())) {
        await Promise.all(underWay)
        const to = source.cursor()
        await deps.delivered(to.ordinal, reached(to, { parcels: [], rows: 0 }, [], []))
      } else await pause(EMPTY_MS, stop.now)
    }
    await Promise.all(underWay)
  }

  /** Sends a window again exactly as an earlier process had sealed it. */
  async function resume(seal: Seal, stop: DrainStop): Promise<void> {
    source.seek({ ...seal.from, ordinal: seal.ordinal })
    const window = await source.take({ ...seal.to, ordinal: seal.ordinal + seal.rows })
    if (window.rows !== seal.rows || seal.fates.length !== seal.rows) {
      // Frames of it are damaged, so its blocks cannot be made again: what is left is asked after anew.
      await Promise.all(underWay)
      await reclaim(seal, window, stop)
      if (window.rows > 0) await begin(window, stop, { id: seal.id, judge: delivery.judgeAgain })
      else {
        const span = openSpan(window)
        await finish({ window, fates: [], id: seal.id, judgedAtMs: 0, span }, [])
      }
      return
    }
    delivery.remember(window.parcels.flatMap(({ rows }) => rows))
    const sealed = { window, fates: seal.fates, id: seal.id, span: openSpan(window) }
    await launch({ ...sealed, judgedAtMs: -Infinity }, stop)
  }

  /** Rows whose frames are lost may have been stored all the same: then the store has to know them. */
  async function reclaim(seal: Seal, window: Window, stop: DrainStop): Promise<void> {
    const left = new Set(window.parcels.flatMap(({ rows }) => rows.map(idKey)))
    const lost = seal.keys.filter((key) => !left.has(idKey(key)))
    if (lost.length > 0) await judged(() => delivery.reclaim(lost, stop.now), stop)
  }

  async function begin(
    window: Window,
    stop: DrainStop,
    { id, judge } = { id: nextId++, judge: delivery.judge },
  ): Promise<void> {
    const judgedAtMs = performance.now()
    const span = openSpan(window)
    const { from, to, rows } = window
    const fates = await span.run(() => judged(() => judge(window.parcels, stop.now), stop))
    const keys = window.parcels.flatMap((parcel) => parcel.rows)
    const record = { id, from, to, ordinal: to.ordinal - rows, rows, fates, keys }
    const sealedAtMs = performance.now()
    await span.run(() => seal(record, stop))
    span.run(() => delivery.stage('seal', performance.now() - sealedAtMs, rows))
    await launch({ window, fates, id, judgedAtMs, span }, stop)
  }

  /** A span for all of it; where it fails, it was not this window but the disk, and the next one tells. */
  function openSpan({ parcels, rows }: Window): OpenSpan {
    const links = parcels.flatMap(({ trace }) => trace ?? [])
    return delivery.open('deliver', { 'error_ingestor.events': rows }, links)
  }

  /** Waits until there is enough for a window, or what is there has waited long enough. */
  async function somethingToSend(stop: DrainStop): Promise<boolean> {
    for (;;) {
      stop.now.throwIfAborted()
      const [end, cursor] = [deps.end(), source.cursor()]
      const behind = end.ordinal > cursor.ordinal
      if (!behind && stop.finish.aborted) return false
      const ageLeftMs = lastWindowMs + deps.ageMsMax - performance.now()
      const waits = behind && !stop.finish.aborted && cursor.ordinal >= hurry && ageLeftMs > 0
      if (behind && (!waits || isFull(cursor, end))) return true
      await new Promise<void>((resolve) => {
        const timer = behind ? setTimeout(resolve, Math.max(1, ageLeftMs)) : undefined
        wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }

  function isFull(cursor: Frontier, end: Frontier): boolean {
    const bytes = end.segment > cursor.segment ? Infinity : end.offset - cursor.offset
    return end.ordinal - cursor.ordinal >= deps.rowsMax || bytes >= deps.bytesMax
  }

  /** Decides what becomes of each row; waits for the store as long as it takes. */
  async function judged<Answer>(judge: () => Promise<Answer>, stop: DrainStop): Promise<Answer> {
    for (let tries = 1; ; tries += 1) {
      stop.now.throwIfAborted()
      try {
        return await judge()
      } catch (error) {
        stop.now.throwIfAborted()
        if (tries === 1 || tries % 20 === 0) {
          delivery.say('warn', 'ClickHouse does not answer: events wait in the spool', {
            tries,
            error: textOf(error),
          })
        }
        await pause(backoffMs(tries), stop.now)
      }
    }
  }

  /** Tries until it is on disk: what was judged must not be judged again, it would find its own ids. */
  async function seal(record: Seal, stop: DrainStop): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      stop.now.throwIfAborted()
      try {
        await deps.seals.seal(record)
        return
      } catch (error) {
        if (tries === 1) {
          delivery.say('error', 'a block cannot be sealed on disk, trying again', {
            error: textOf(error),
          })
        }
        await roomMade()
        await pause(backoffMs(tries), stop.now)
      }
    }
  }

  /** A disk that takes no seal may not give room up either; were that to end the run, the rows judged would be lost. */
  async function roomMade(): Promise<void> {
    try {
      await deps.makeRoom()
    } catch (error) {
      delivery.say('warn', 'no room could be made on the disk', { error: textOf(error) })
    }
  }

  /** Sends a sealed window; resolves when there is room for one more. */
  async function launch(sealed: Sealed, stop: DrainStop): Promise<void> {
    const before = underWay.at(-1)
    const sending = sealed.span
      .run(() => send(sealed, stop))
      .then(async (refused) => {
        await before // Windows end in their order, so that the frontier never passes one that is open.
        await finish(sealed, refused)
      })
    underWay.push(sending)
    const forgotten = () => {
      underWay = underWay.filter((other) => other !== sending)
    }
    sending.then(forgotten, () => undefined) // A failure stays in the list, for whoever waits for it.
    if (underWay.length >= deps.windowsMax) await underWay[0]
  }

  async function send(
    { window, fates, judgedAtMs }: Sealed,
    stop: DrainStop,
  ): Promise<readonly RefusedRow[]> {
    const refused: RefusedRow[] = []
    const blocks = delivery.blocks(window.parcels, fates)
    const read = await source.reader(window, blocks.length)
    for (const block of blocks) {
      refused.push(...(await delivery.send(block, judgedAtMs, read, stop.now)))
    }
    if (refused.length > 0) await deps.setAside(refused, read)
    return refused
  }

  async function finish(
    { window, fates, id, span, judgedAtMs }: Sealed,
    refused: readonly RefusedRow[],
  ): Promise<void> {
    const ends = reached(window.to, window, fates, refused)
    tell(window, ends, judgedAtMs)
    span.end()
    // Before the frontier is noted: a window that is told twice is counted once, one that is not told, never.
    await deps.delivered(window.to.ordinal, ends)
    try {
      await deps.seals.done(id, window.to)
      await deps.forget(frontier)
    } catch (error) {
      // The rows are stored. The frames stay until a later note is written; were this process to end
      // before, the next one sends the block again, and its token drops it.
      delivery.say('warn', 'a delivered block could not be noted', { error: textOf(error) })
    }
  }

  /** The canonical line of one delivery. */
  function tell({ rows }: Window, ends: readonly Ended[], judgedAtMs: number): void {
    const sum = (kind: Ended['outcome']['kind']) =>
      ends.reduce((all, { outcome, count }) => all + (outcome.kind === kind ? count : 0), 0)
    delivery.say('info', 'delivered', {
      ...{ rows, stored: sum('stored'), duplicate: sum('duplicate') },
      undeliverable: sum('undeliverable'),
      ...(judgedAtMs > 0 && { elapsedMs: Math.round(performance.now() - judgedAtMs) }),
    })
  }

  /** Moves the frontier and counts what it passed, in one go: the sum of all ends is right at every moment. */
  function reached(
    to: Frontier,
    { parcels, rows }: Pick<Window, 'parcels' | 'rows'>,
    fates: readonly Fate[],
    refused: readonly RefusedRow[],
  ): readonly Ended[] {
    const lost = Math.max(0, to.ordinal - frontier.ordinal - rows)
    frontier = to
    const ends = delivery.count(parcels, fates, refused, lost)
    for (const { ordinal, resolve } of settling) if (ordinal <= to.ordinal) resolve()
    settling = settling.filter(({ ordinal }) => ordinal > to.ordinal)
    return ends
  }

  return {
    wake: () => wake(),
    run,
    settle() {
      const { ordinal } = deps.end()
      if (ordinal <= frontier.ordinal) return Promise.resolve()
      hurry = Math.max(hurry, ordinal)
      wake()
      return new Promise((resolve) => settling.push({ ordinal, resolve }))
    },
    frontier: () => frontier,
  }
}

function backoffMs(tries: number): number {
  return Math.min(BACKOFF_MS_MAX, 50 * 2 ** tries)
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

import type { Block, BlockRow, DeliveryDeps, ReadRows, RefusedRow } from './delivery.ts'
import { idKey } from './delivery.ts'
import { UnreadableRows, type Pieces } from './spool.ts'

/** What the store took of this process, this block and others. */
export interface Taken {
  blocks: number
}

/** Sends one block; safe to repeat with the same token. */
export type Insert = (
  insert: {
    readonly format: number
    /** The rows' bytes, in order. */
    readonly body: Pieces
    readonly token: string
    readonly rows: number
  },
  signal: AbortSignal,
) => Promise<void>

const BACKOFF_MS_MIN = 100
const BACKOFF_MS_MAX = 5_000
/** After so many tries an error that we do not know may lie in the rows. */
const TRIES_BEFORE_SUSPICION = 8

/**
 * Tries to insert a block until it is stored, halving it where its content is refused. The yes to a
 * block that was tried before, here or, where `wasTried`, by an earlier process, is not believed: ClickHouse
 * notes a token before it has the rows, and one that is killed between answers with yes for ever after.
 * So it is asked for the rows, and those that are not there are sent under another token.
 * @returns the rows that are refused for their content, each alone.
 * @throws the abort's reason, UnreadableRows, and nothing else.
 */
export async function deliverRows(
  block: Block,
  read: ReadRows,
  taken: Taken,
  deps: DeliveryDeps,
  signal: AbortSignal,
  wasTried = false,
): Promise<readonly RefusedRow[]> {
  let again = 0
  /** How many blocks had been taken when this one failed first. */
  let takenBefore: number | undefined
  /** What the store took last of this block. */
  let neighbours: { readonly rows: readonly BlockRow[]; readonly token: string } | undefined

  /**
   * Tells the error that speaks against the rows, or that ClickHouse said yes, and whether an attempt before
   * may have got as far as the note of the token.
   */
  async function attempt(
    rows: readonly BlockRow[],
    token: string,
  ): Promise<{ readonly error: unknown; readonly isDoubtful: boolean }> {
    // An earlier process may have sent parts of the block and sent it again too, under the same tokens.
    let isDoubtful = wasTried
    for (let tries = 1; ; tries += 1) {
      signal.throwIfAborted()
      try {
        await insert(rows, token)
        neighbours = { rows, token }
        if (takenBefore === undefined) taken.blocks += 1
        return { error: undefined, isDoubtful }
      } catch (error) {
        signal.throwIfAborted()
        if (error instanceof UnreadableRows) throw error
        if (deps.isContentRefusal(error)) return { error, isDoubtful }
        isDoubtful ||= !isUnheard(error) && !deps.isStoreTrouble(error)
        // Other blocks were taken while this one was not: so it is not the store.
        takenBefore ??= taken.blocks
        const wereOthersTaken = taken.blocks > takenBefore
        const isSuspicious =
          tries % TRIES_BEFORE_SUSPICION === 0 && isAnswer(error) && !deps.isStoreTrouble(error)
        const isGivenUp =
          isSuspicious && (rows.length > 1 || wereOthersTaken || (await takesOthers()))
        if (isGivenUp) return { error, isDoubtful }
        if (tries === 1 || tries % 10 === 0) {
          deps.say('warn', 'insert failed, trying again', { tries, error: textOf(error) })
        }
        await pause(backoffMs(tries, deps.random), signal)
      }
    }
  }

  async function insert(rows: readonly BlockRow[], token: string): Promise<void> {
    const body = watched(read(rows))
    try {
      const { format } = block
      await deps.insert({ format, body: body.pieces, token, rows: rows.length }, signal)
    } catch (error) {
      // What the client makes of a body that ends early says less than why it did.
      throw body.failure() ?? error
    }
  }

  /**
   * A single row is given up for an unknown error only where others are taken at this very moment:
   * blocks that came meanwhile, or its neighbours: they are sent once more, which their token makes harmless.
   */
  async function takesOthers(): Promise<boolean> {
    if (neighbours === undefined) return false
    try {
      await insert(neighbours.rows, neighbours.token)
      return true
    } catch {
      return false // Then it is the store, and the row is tried again as before.
    }
  }

  async function halve(rows: readonly BlockRow[], error: unknown): Promise<RefusedRow[]> {
    // A block that was refused may have left some of its rows: those must not be sent under another token.
    const stored = await askUntilAnswered(rows)
    const rest = rows.filter((row) => !stored.has(idKey(row)))
    if (rest.length === 0) return []
    if (rest.length === 1 && rows.length === 1) {
      return rest.map((row) => ({ row, format: block.format, error: textOf(error) }))
    }
    const middle = Math.ceil(rest.length / 2)
    return [...(await deliver(rest.slice(0, middle))), ...(await deliver(rest.slice(middle)))]
  }

  async function askUntilAnswered(rows: readonly BlockRow[]): Promise<ReadonlySet<string>> {
    for (let tries = 1; ; tries += 1) {
      try {
        return await deps.storedIds(rows, signal)
      } catch {
        // Whatever it was, the block's next insert tells it again, and with its reason.
        await pause(backoffMs(tries, deps.random), signal)
      }
    }
  }

  /** Sends what a token was noted for and is not there, until all of it is. */
  async function complete(rows: readonly BlockRow[]): Promise<RefusedRow[]> {
    const stored = await askUntilAnswered(rows)
    const rest = rows.filter((row) => !stored.has(idKey(row)))
    if (rest.length === 0) return []
    deps.say('warn', 'ClickHouse took a block for stored that it had lost: sent again', {
      rows: rest.length,
    })
    again += 1
    return send(rest, deps.digest([...rest.map(idKey), `again ${again}`]))
  }

  async function send(rows: readonly BlockRow[], token: string): Promise<RefusedRow[]> {
    const { error, isDoubtful } = await attempt(rows, token)
    if (error !== undefined) return halve(rows, error)
    return isDoubtful ? complete(rows) : []
  }

  async function deliver(rows: readonly BlockRow[]): Promise<RefusedRow[]> {
    return rows.length === 0 ? [] : send(rows, deps.digest(rows.map(idKey)))
  }

  return send(block.rows, block.token)
}

/** Nobody heard of the insert: it was refused at the door. */
function isUnheard(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ECONNREFUSED'
}

/** ClickHouse answered, with one of its codes, as opposed to a network that did not. */
function isAnswer(error: unknown): boolean {
  return (
    error instanceof Error &&
    'code' in error &&
    typeof error.code === 'string' &&
    /^\d+$/.test(error.code)
  )
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message.slice(0, 1_000) : String(error)
}

function backoffMs(tries: number, random: () => number): number {
  const full = Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** (tries - 1))
  return full * (0.5 + random() / 2)
}

/** Resolves after `ms`, or rejects with the abort's reason. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer)
      reject(signal.reason instanceof Error ? signal.reason : new Error('aborted'))
    }
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', abort)
      resolve()
    }, ms)
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort, { once: true })
  })
}

/** The same pieces, and why they ended early, where they did. */
function watched(pieces: Pieces): { readonly pieces: Pieces; readonly failure: () => unknown } {
  if (Symbol.iterator in pieces) return { pieces, failure: () => undefined }
  let failure: unknown
  async function* passed() {
    try {
      yield* pieces
    } catch (error) {
      failure = error
      throw error
    }
  }
  return { pieces: passed(), failure: () => failure }
}

import type { BadFile, createKeyFiles, KeyFile } from './files.ts'
import type { Keys } from './keys.ts'
import { isLive, type Ring } from './ring.ts'
import { declaredOfStored, knownFileOf, readKnownFile, type Stored } from './stored.ts'

/** What is known of the sources, for metrics and for people. */
export interface KeysStatus {
  /** Files that do not count, or only as they were before. */
  readonly badFiles: readonly BadFile[]
  /** Why the folder as a whole cannot be read. */
  readonly folderProblem: string | undefined
  /** Milliseconds since ClickHouse was last asked and answered; undefined where it never did, or is not asked. */
  readonly storeAgeMs: number | undefined
  /** When the first app has no live key for events any more, in milliseconds since the epoch. */
  readonly ingestEndsAtMs: number | undefined
  /** Such as two apps of one project number. */
  readonly problems: readonly string[]
}

/** One reading of the folder of files. */
export interface FolderReading {
  readonly files: readonly KeyFile[]
  /** The folder cannot be read; `files` is empty then. */
  readonly problem: string | undefined
}

/** What `createKeySync` stands on; a source that is absent is not asked. */
export interface KeySyncDeps {
  readonly keys: Keys
  readonly store?:
    | {
        readonly version: (signal: AbortSignal) => Promise<string>
        readonly load: (signal: AbortSignal) => Promise<Stored>
        readonly putUses: (
          uses: readonly { readonly digest: string; readonly usedAtMs: number }[],
        ) => Promise<void>
      }
    | undefined
  /** Keeps what ClickHouse said last, for a start without it. */
  readonly known?:
    | {
        /** Undefined where there is nothing. */
        readonly read: () => Promise<string | undefined>
        readonly write: (text: string) => Promise<void>
      }
    | undefined
  /** Undefined as long as nothing has changed since the reading before. */
  readonly folder?: (() => Promise<FolderReading | undefined>) | undefined
  readonly files: ReturnType<typeof createKeyFiles>
  /** A source was read, or could not be. */
  readonly read: (source: 'files' | 'store', result: 'ok' | 'failed') => void
  readonly say: (level: 'error' | 'warn' | 'info', text: string, fields?: object) => void
  readonly nowMs: () => number
}

/** Keeps the keys in step with where they are declared. */
export interface KeySync {
  /** Reads every source once; resolves also where one is away. */
  readonly open: () => Promise<void>
  /** Asks ClickHouse now. @throws what its client rejects with. */
  readonly refresh: () => Promise<void>
  /** Looks at the sources every {@link POLL_MS} until told to stop. */
  readonly run: (stopping: AbortSignal) => Promise<void>
  readonly status: () => KeysStatus
}

/** So a change is everywhere within about three seconds. */
const POLL_MS = 2_000
/** A question for a few bytes that takes longer than this is as good as no answer. */
const ASK_MS_MAX = 3_000
/** After that long without ClickHouse a key that is not known may be a new one. */
const STALE_MS = 30_000
const USES_EVERY_MS = 60_000
const HOUR_MS = 3_600_000

/** Reads the sources of keys, again and again, and tells the keys. */
export function createKeySync(deps: KeySyncDeps): KeySync {
  const { keys, store, known, folder, files, read, say, nowMs } = deps
  let badFiles: readonly BadFile[] = []
  let folderProblem: string | undefined
  let version: string | undefined
  let loadedAtMs: number | undefined
  let isAway = false
  let saidProblems = ''
  const uses = createUses(keys, store?.putUses)
  const check = keys.digest('known-keys')
  // What is not read yet may hold any key.
  if (store !== undefined) keys.doubt('store', 'well-formed')
  if (folder !== undefined) keys.doubt('files', 'any')

  const readFolder = async () => {
    const reading = await folder?.()
    if (reading === undefined) return
    folderProblem = reading.problem
    if (folderProblem === undefined) {
      const state = files.take(reading.files)
      badFiles = state.bad
      keys.declare('files', state.declared)
      keys.doubt('files', state.bad.every(({ hasLastGood }) => hasLastGood) ? 'none' : 'any')
    }
    read('files', badFiles.length === 0 && folderProblem === undefined ? 'ok' : 'failed')
    if (folderProblem !== undefined) {
      say('error', 'the folder of apps and keys cannot be read', { problem: folderProblem })
    }
    for (const file of badFiles) say('error', 'a file of apps and keys cannot be used', file)
  }
  const load = async () => {
    if (store === undefined) return
    const signal = AbortSignal.timeout(ASK_MS_MAX)
    const now = await store.version(signal)
    if (now !== version) {
      const stored = await store.load(signal)
      keys.declare('store', declaredOfStored(stored))
      version = now
      await known?.write(knownFileOf(stored, check)).catch((error: unknown) => {
        say('warn', 'the last known keys cannot be kept on disk', { error: String(error) })
      })
    }
    loadedAtMs = nowMs()
    keys.doubt('store', 'none')
    read('store', 'ok')
    if (isAway) say('info', 'apps and keys are read from ClickHouse again')
    isAway = false
  }
  const tryLoad = async () => {
    try {
      await load()
    } catch (error) {
      read('store', 'failed')
      if (loadedAtMs !== undefined && nowMs() - loadedAtMs > STALE_MS) {
        keys.doubt('store', 'well-formed')
      }
      if (isAway) return
      isAway = true
      say('warn', 'ClickHouse does not tell apps and keys: those known last go on', {
        error: String(error),
      })
    }
  }
  const sayProblems = () => {
    const { problems } = keys.ring()
    const text = problems.join(' ')
    if (text !== saidProblems && text !== '')
      say('error', 'apps cannot be as declared', { problems })
    saidProblems = text
  }
  return {
    async open() {
      await readFolder()
      const kept = store === undefined ? undefined : await known?.read()
      const stored = kept === undefined ? undefined : readKnownFile(kept, check)
      if (stored !== undefined) keys.declare('store', declaredOfStored(stored))
      await tryLoad()
      sayProblems()
    },
    refresh: load,
    async run(stopping) {
      let usesAtMs = nowMs()
      while (await waited(POLL_MS, stopping)) {
        await readFolder()
        await tryLoad()
        sayProblems()
        if (!isAway && nowMs() - usesAtMs >= USES_EVERY_MS) {
          usesAtMs = nowMs()
          await uses.flush(say)
        }
      }
      if (!isAway) await uses.flush(say)
    },
    status: () => ({
      badFiles,
      folderProblem,
      storeAgeMs: loadedAtMs === undefined ? undefined : Math.max(0, nowMs() - loadedAtMs),
      ingestEndsAtMs: ingestEndsAtMs(keys.ring(), nowMs()),
      problems: keys.ring().problems,
    }),
  }
}

/** An app that has another key that lives longer, as while a key is replaced, does not end with the first of them. */
function ingestEndsAtMs({ apps }: Ring, nowMs: number): number | undefined {
  const ends = [...apps.values()].flatMap(({ keys }) => {
    const live = keys.filter((key) => key.scopes.has('ingest') && isLive(key, nowMs))
    return live.length === 0 ? [] : [Math.max(...live.map((key) => key.expiresAtMs ?? Infinity))]
  })
  // Over a loop, because apps may be more than a call takes arguments.
  const first = ends.reduce((least, end) => Math.min(least, end), Infinity)
  return first === Infinity ? undefined : first
}

/** Tells ClickHouse when keys were used, each at most once an hour. */
function createUses(
  keys: Keys,
  put: ((uses: readonly { digest: string; usedAtMs: number }[]) => Promise<void>) | undefined,
) {
  const told = new Map<string, number>()
  const hourOf = (ms: number) => Math.floor(ms / HOUR_MS) * HOUR_MS
  return {
    flush: async (say: KeySyncDeps['say']) => {
      const used = [...keys.ring().keys.values()]
        .map(({ digest, usedAtMs }) => ({ digest, usedAtMs: hourOf(usedAtMs) }))
        .filter(({ digest, usedAtMs }) => usedAtMs > (told.get(digest) ?? 0))
      if (put === undefined || used.length === 0) return
      try {
        await put(used)
        for (const { digest, usedAtMs } of used) told.set(digest, usedAtMs)
      } catch (error) {
        say('warn', 'when keys were used cannot be noted, trying again', { error: String(error) })
      }
    },
  }
}

/** Waits; false, and at once, when told to stop. */
export function waited(ms: number, stopping: AbortSignal): Promise<boolean> {
  if (stopping.aborted) return Promise.resolve(false)
  return new Promise((resolve) => {
    const stop = () => {
      clearTimeout(timer)
      resolve(false)
    }
    const timer = setTimeout(() => {
      stopping.removeEventListener('abort', stop)
      resolve(true)
    }, ms)
    stopping.addEventListener('abort', stop, { once: true })
  })
}

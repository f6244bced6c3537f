import { open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { eventOf, noSpool, spoolFolder, UsageError, type SpoolIo } from './spool-io.ts'
import { isMissing, lookAt, type SpoolFolder } from './spool-read.ts'
import { readUndeliverable, RETRY_SUFFIX, type Undeliverable } from './spool/undeliverable.ts'
import { columns, printable, printableJson } from './terminal.ts'

const HELP = `error-ingestor spool undeliverable: events that ClickHouse refused for their content.

Each was accepted, so it is kept in a file of its own until a person decides. The reason stands with it.

Usage: error-ingestor spool undeliverable <command>

  list [--json]           All of them: id, since when, app, code, and what ClickHouse said.
  show ID [--json]        One of them, with the whole event.
  retry ID … | --all      Send them again: a running server does within a second, else the next one
                          that starts. For after the cause is gone, such as a missing column.
  drop ID … | --all --yes Delete them for ever.

ID is the event's id, or the name of its file where two apps have the same id.
`

const ERROR_CHARS = 100

interface Kept {
  readonly name: string
  readonly id: string
  readonly isMarked: boolean
  /** Undefined where the file cannot be read, or is just being written. */
  readonly content: Undeliverable | undefined
}

interface Asked {
  readonly names: readonly string[]
  readonly all: boolean
  readonly yes: boolean
  readonly json: boolean
}

const COMMANDS = { list, show, retry, drop } as const

/** Runs `error-ingestor spool undeliverable …`; see spoolCommand. */
export async function undeliverable(args: readonly string[], io: SpoolIo): Promise<number> {
  const flag = { type: 'boolean', default: false } as const
  const { values, positionals } = parseArgs({
    args: [...args],
    options: { json: flag, help: flag, all: flag, yes: flag },
    allowPositionals: true,
  })
  const [command, ...names] = positionals
  if (values.help || command === undefined) {
    await io.out(HELP)
    return 0
  }
  if (!isCommand(command)) {
    throw new UsageError(`There is no command spool undeliverable ${command}.`)
  }
  check(command, { ...values, names })
  const folder = spoolFolder(io)
  try {
    const spool = await lookAt(folder)
    return await COMMANDS[command]({ folder, spool }, { ...values, names }, io)
  } catch (error) {
    throw isMissing(error) ? noSpool(folder, error) : error
  }
}

function isCommand(name: string): name is keyof typeof COMMANDS {
  return Object.hasOwn(COMMANDS, name)
}

function check(command: keyof typeof COMMANDS, { names, all, yes }: Asked): void {
  const changes = command === 'retry' || command === 'drop'
  if (command === 'list' && names.length > 0) throw new UsageError('list takes no argument.')
  if (command === 'show' && names.length !== 1) throw new UsageError('show takes one ID.')
  if (changes && all === names.length > 0) {
    throw new UsageError(`${command} takes one ID or more, or --all.`)
  }
  if (!changes && all) throw new UsageError('--all belongs to retry and drop.')
  if (command !== 'drop' && yes) throw new UsageError('--yes belongs to drop.')
  if (command === 'drop' && !yes) {
    throw new UsageError('drop deletes accepted events for ever; say --yes if you mean it.')
  }
}

interface Place {
  readonly folder: string
  readonly spool: SpoolFolder
}

async function list({ spool }: Place, { json }: Asked, io: SpoolIo): Promise<number> {
  const kept = await readAll(spool)
  if (json) {
    const rows = kept.map(({ name, id, isMarked, content }) => ({
      ...{ file: name, id, at: content?.at ?? null, appId: content?.occurrence.appId ?? null },
      ...{ code: content?.occurrence.code ?? null, error: content?.error ?? null },
      willBeRetried: isMarked,
    }))
    await io.out(`${printableJson({ undeliverable: rows })}\n`)
    return 0
  }
  if (kept.length === 0) {
    await io.out('There is none.\n')
    return 0
  }
  const rows = kept.map(({ id, isMarked, content }) => [
    id,
    content?.at ?? '-',
    printable(content?.occurrence.appId ?? '-'),
    printable(content?.occurrence.code ?? '-'),
    isMarked
      ? '(will be sent again)'
      : printable(content?.error ?? '(cannot be read)').slice(0, ERROR_CHARS),
  ])
  await io.out(columns([['ID', 'SINCE', 'APP', 'CODE', 'CLICKHOUSE SAID'], ...rows]))
  return 0
}

async function show({ spool }: Place, { names, json }: Asked, io: SpoolIo): Promise<number> {
  const [one] = find(await readAll(spool), names)
  if (one?.content === undefined) throw new Error(`${one?.name ?? ''} cannot be read.`)
  const { at, error, occurrence } = one.content
  const event = eventOf(occurrence)
  if (json) {
    await io.out(`${printableJson({ file: one.name, at, error, event })}\n`)
    return 0
  }
  const head = columns([
    ['File', one.name],
    ['Since', at],
    ['ClickHouse said', printable(error)],
  ])
  await io.out(`${head}\n${printableJson(event, 2)}\n`)
  return 0
}

async function retry(place: Place, asked: Asked, io: SpoolIo): Promise<number> {
  const kept = (await chosen(place, asked)).filter(({ isMarked }) => !isMarked)
  for (const { name } of kept) {
    await rename(pathOf(place, name), pathOf(place, `${name}${RETRY_SUFFIX}`))
  }
  await syncFolder(place)
  const when = place.spool.hasOwner ? 'within a second' : 'once a server runs'
  await io.out(`${kept.length} events will be sent again ${when}.\n`)
  return 0
}

async function drop(place: Place, asked: Asked, io: SpoolIo): Promise<number> {
  const kept = await chosen(place, asked)
  for (const { name, isMarked } of kept) {
    await rm(pathOf(place, isMarked ? `${name}${RETRY_SUFFIX}` : name), { force: true })
  }
  await syncFolder(place)
  await io.out(`${kept.length} events were deleted.\n`)
  return 0
}

async function chosen({ spool }: Place, { names, all }: Asked): Promise<readonly Kept[]> {
  const kept = await readAll(spool)
  return all ? kept : find(kept, names)
}

function pathOf({ folder }: Place, name: string): string {
  return join(folder, 'undeliverable', name)
}

/** A rename or removal that was told must not come undone by a power cut. */
async function syncFolder({ folder }: Place): Promise<void> {
  const handle = await open(join(folder, 'undeliverable'), 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** @throws Error where a name fits no file, or more than one. */
function find(kept: readonly Kept[], names: readonly string[]): readonly Kept[] {
  return names.map((asked) => {
    const wanted = asked.toLowerCase()
    const [one, ...more] = kept.filter(({ id, name }) => wanted === id || wanted === name)
    if (one === undefined) throw new Error(`No undeliverable event is called ${printable(asked)}.`)
    if (more.length === 0) return one
    const files = [one, ...more].map(({ name }) => name).join(', ')
    throw new Error(`Several apps have ${asked}; name the file: ${files}.`)
  })
}

async function readAll({ disk }: SpoolFolder): Promise<readonly Kept[]> {
  const names = (await disk.list('undeliverable')).toSorted()
  const kept: Kept[] = []
  for (const file of names) {
    const found = /^([0-9a-f]{8}-([0-9a-f-]{36})\.json)(\.retry)?$/.exec(file)
    if (found === null) continue
    const [, name = file, id = file, mark] = found
    const content = await read(disk, `undeliverable/${file}`)
    if (content !== 'gone') kept.push({ name, id, isMarked: mark !== undefined, content })
  }
  return kept
}

/** `gone` where a running server has just sent it again. */
async function read(
  disk: SpoolFolder['disk'],
  path: string,
): Promise<Undeliverable | 'gone' | undefined> {
  try {
    return await readUndeliverable(disk, path)
  } catch (error) {
    if (isMissing(error)) return 'gone'
    // It is no JSON, or not ours: half written, or changed by hand. Told as such, and left alone.
    if (error instanceof SyntaxError || (error instanceof Error && error.name === 'ZodError')) {
      return undefined
    }
    throw error
  }
}

import { parseArgs } from 'node:util'
import { decodeRow, identify } from '../store/rows.ts'
import { eventOf, noSpool, spoolFolder, UsageError, type SpoolIo } from './spool-io.ts'
import { isMissing, lookAt, walk, type Part } from './spool-read.ts'
import { spoolState } from './spool-state.ts'
import { columns, printableJson } from './terminal.ts'
import { undeliverable } from './undeliverable-cli.ts'

const HELP = `error-ingestor spool looks at the events that are accepted and not delivered yet.

Usage: error-ingestor spool <command> [--json]

  status    How many events wait, since when, and whether a server owns the folder.
  verify    Read every frame and check it; ends with 1 where something is wrong.
  export    Write what waits to standard output, one event a line, as the ingest API takes them.
  undeliverable list|show|retry|drop
            Events that ClickHouse refused for their content: see \`spool undeliverable --help\`.

  --json    For programs: one JSON object instead of text.

The folder is DATA_DIR/spool. None of these changes anything in it, so they work beside a running
server; what that one does meanwhile may or may not show.

  error-ingestor spool status
  error-ingestor spool verify && echo all is well
  error-ingestor spool export > waiting.ndjson
  jq -s '{events: .}' waiting.ndjson | curl -H "X-API-Key: $KEY" -H 'Content-Type: application/json' \\
    -d @- http://localhost:3000/api/v1/ingest        (up to 1,000 lines at once; twice does no harm)
`

const COMMANDS = { status, verify, export: exportWaiting } as const

/**
 * Runs `error-ingestor spool …`.
 * @returns the exit code: 0 done, 1 something is wrong.
 * @throws UsageError; any other error is a sentence for a person.
 */
export async function spoolCommand(args: readonly string[], io: SpoolIo): Promise<number> {
  const [name, ...rest] = args
  if (name === 'undeliverable') return undeliverable(rest, io)
  const flag = { type: 'boolean', default: false } as const
  const { values, positionals } = parseArgs({
    args: [...args],
    options: { json: flag, help: flag },
    allowPositionals: true,
  })
  const [command, ...more] = positionals
  if (values.help || command === undefined) {
    await io.out(HELP)
    return 0
  }
  if (!isCommand(command)) throw new UsageError(`There is no command spool ${command}.`)
  if (more.length > 0) throw new UsageError(`spool ${command} takes no argument.`)
  const folder = spoolFolder(io)
  try {
    return await COMMANDS[command](folder, values.json, io)
  } catch (error) {
    throw isMissing(error) ? noSpool(folder, error) : error
  }
}

function isCommand(name: string): name is keyof typeof COMMANDS {
  return Object.hasOwn(COMMANDS, name)
}

async function status(folder: string, json: boolean, io: SpoolIo): Promise<number> {
  const answer = { folder, ...(await spoolState(folder)) }
  if (json) {
    await io.out(`${printableJson(answer)}\n`)
    return 0
  }
  const since = answer.oldest === null ? '' : `, in files begun at ${answer.oldest} or later`
  await io.out(
    columns([
      ['Folder', folder],
      [
        'In use',
        answer.inUse ? 'by a running server' : 'by nobody: a server that starts delivers it',
      ],
      ['Waiting', `${answer.events} events${since}`],
      ['On disk', `${answer.bytes} bytes in ${answer.segments} segments`],
      ['Damaged', `${answer.damagedEvents} events could not be read back, ever`],
      ['Undeliverable', `${answer.undeliverable} events that ClickHouse refused`],
    ]),
  )
  return 0
}

async function verify(folder: string, json: boolean, io: SpoolIo): Promise<number> {
  const spool = await lookAt(folder)
  const known = new Set(await spool.disk.list('damaged'))
  const problems: string[] = []
  const notes: string[] = []
  let [segments, frames, events] = [0, 0, 0]
  for await (const part of walk(spool)) {
    if (part.kind === 'segment') segments += 1
    else if (part.kind === 'tail') notes.push(tailNote(part, spool.hasOwner))
    else if (part.kind === 'frame') {
      frames += 1
      events += part.batch.ends.length
      const wrong = rowsProblem(part.batch)
      if (wrong !== undefined) problems.push(`event number ${part.ordinal}: ${wrong}`)
    } else if (part.kind === 'missing' && known.has(`rows-${part.ordinal}-${part.rows}`)) {
      notes.push(`${part.rows} events are missing, which was counted as damage before`)
    } else problems.push(problemOf(part))
  }
  const isSound = problems.length === 0
  if (json)
    await io.out(`${printableJson({ folder, segments, frames, events, problems, notes })}\n`)
  else {
    for (const problem of problems) await io.out(`WRONG  ${problem}\n`)
    for (const note of notes) await io.out(`note   ${note}\n`)
    const verdict = isSound ? 'nothing is wrong' : `${problems.length} things are wrong`
    const read = `${segments} segments, ${frames} frames, ${events} events were read`
    await io.out(`${read}: ${verdict}.\n`)
  }
  return isSound ? 0 : 1
}

function problemOf(part: Extract<Part, { kind: 'bad' | 'missing' }>): string {
  if (part.kind === 'bad') {
    return `${part.name} at byte ${part.at}, ${part.bytes} bytes: ${part.reason}`
  }
  return `${part.rows} accepted events are missing, from number ${part.ordinal} on`
}

function tailNote(
  { name, bytes }: { readonly name: string; readonly bytes: number },
  hasOwner: boolean,
): string {
  const why = hasOwner ? 'is being written' : 'was not written whole; the next start cuts it off'
  return `the end of ${name} (${bytes} bytes) ${why}: nobody was promised it`
}

/** What keeps the rows of a sound frame from being read; undefined where nothing does. */
function rowsProblem(batch: Parameters<typeof identify>[0]): string | undefined {
  try {
    identify(batch)
    return batch.ends.at(-1) === batch.bytes.length ? undefined : 'the rows do not fill their frame'
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

async function exportWaiting(folder: string, _json: boolean, io: SpoolIo): Promise<number> {
  const spool = await lookAt(folder)
  const delivered = spool.frontier?.ordinal ?? 0
  let isWhole = true
  for await (const part of walk(spool)) {
    if (part.kind === 'bad' || part.kind === 'missing') {
      isWhole = false
      io.err(`left out: ${problemOf(part)}\n`)
    }
    if (part.kind !== 'frame') continue
    const { batch, ordinal } = part
    let lines = ''
    for (let i = Math.max(0, delivered - ordinal); i < batch.ends.length; i += 1) {
      const row = decodeRow(batch.format, batch.bytes, batch.ends[i - 1] ?? 0)
      lines += `${printableJson(eventOf(row))}\n`
    }
    if (lines !== '' && !(await io.out(lines))) break
  }
  return isWhole ? 0 : 1
}

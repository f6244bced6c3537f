import { parseArgs } from 'node:util'
import { z } from 'zod'
import { UsageError } from './spool-io.ts'

/** What the commands write to, and how they ask. */
export interface KeysIo {
  readonly out: (text: string) => void
  /** Asks the admin API of the server at `url` with `key`; both may be left out. */
  readonly ask: (
    to: { readonly url: string | undefined; readonly key: string | undefined },
    path: string,
    init: { readonly method: string; readonly body?: string },
  ) => Promise<Response>
}

const HELP = `error-ingestor apps and error-ingestor keys make and change apps and their keys.

  apps list                                     All apps, with where each is declared.
  apps create ID [--name NAME] [--retention-days N] [--origin ORIGIN]...
                                                Make an app and its first ingest key, and say its DSN.
  keys list [--app ID]                          All keys: what they may do, whether they still do it.
  keys create --app ID [--scope SCOPE]... [--name NAME] [--expires TIME]
                                                Make a key and say it, once. SCOPE is ingest (if nothing
                                                is said), read, sourcemaps or admin. Without --app: a key
                                                of all apps, with the scopes admin and read.
  keys rotate KEY_ID [--overlap SECONDS]        Make a key in the place of another, which goes on for a
                                                day if nothing is said; 0 ends it now.
  keys revoke KEY_ID                            Refuse a key from now on. It cannot be taken back.

  --json        Say the answer of the API as it is.
  --url URL     The server (ERROR_INGESTOR_URL); else the one on this machine (PORT).
  --key KEY     An admin key (ERROR_INGESTOR_KEY); else ADMIN_KEY, or the development key.

A change is on every server within 3 seconds. What is declared in APPS or in KEYS_DIR is listed, and
changed only there. Exit codes: 0 done, 1 failed or refused, 2 not understood.

  error-ingestor apps create com.example.shop --name Shop
  error-ingestor keys create --app com.example.shop --scope sourcemaps --name CI
  kubectl exec errors-0 -- node /app/dist/main.js keys list
`

const text = { type: 'string' } as const
const flag = { type: 'boolean' } as const
const texts = { type: 'string', multiple: true } as const
const OPTIONS = {
  ...{ json: flag, help: flag, url: text, key: text },
  ...{ app: text, name: text, scope: texts, expires: text, overlap: text },
  ...{ 'retention-days': text, origin: texts },
} as const

const App = z.object({
  id: z.string(),
  name: z.string(),
  source: z.string(),
  projectId: z.number(),
  dsn: z.string().nullable(),
})
const Key = z.object({
  id: z.string(),
  appId: z.string().nullable(),
  name: z.string(),
  prefix: z.string(),
  lastFour: z.string(),
  scopes: z.array(z.string()),
  status: z.string(),
  expiresAt: z.string().nullable(),
  lastUsedAt: z.string().nullable(),
})
const Made = z.object({ apiKey: z.string(), key: Key, old: Key.optional() })

/**
 * Runs `apps …` or `keys …` and answers the exit code: 0 done, 1 failed or refused.
 * @throws UsageError, or parseArgs's own, saying what is wrong with the arguments.
 */
export async function keysCommand(
  noun: 'apps' | 'keys',
  args: readonly string[],
  io: KeysIo,
): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: OPTIONS,
    allowPositionals: true,
  })
  const [verb = 'help', target, ...more] = positionals
  if (values.help === true || verb === 'help') {
    io.out(HELP)
    return 0
  }
  const command = COMMANDS[`${noun} ${verb}`]
  if (command === undefined) throw new UsageError(`There is no command ${noun} ${verb}.`)
  if (more.length > 0) throw new UsageError(`${noun} ${verb} takes one argument at most.`)
  if (command.needs !== undefined && target === undefined) {
    throw new UsageError(`${noun} ${verb} needs ${command.needs}.`)
  }
  if (command.needs === undefined && target !== undefined) {
    throw new UsageError(`${noun} ${verb} takes no argument (${target}).`)
  }
  const to = { url: values.url, key: values.key }
  const call: Call = async (method, path, body) => {
    const init = { method, ...(body !== undefined && { body: JSON.stringify(body) }) }
    const response = await io.ask(to, `api/v1/admin/${path}`, init)
    const answer: unknown = await response.json().catch(() => ({}))
    if (response.ok) return answer
    const { error } = z.object({ error: z.string().optional() }).parse(answer)
    throw new Error(error ?? `The server answers ${response.status}.`)
  }
  const { answer, words } = await command.run(call, values, target ?? '')
  io.out(values.json === true ? `${JSON.stringify(answer, null, 2)}\n` : words)
  return 0
}

type Call = (method: string, path: string, body?: object) => Promise<unknown>
type Values = ReturnType<typeof parseArgs<{ options: typeof OPTIONS }>>['values']

interface Command {
  /** What its argument is, where it takes one. */
  readonly needs?: string
  readonly run: (
    call: Call,
    values: Values,
    target: string,
  ) => Promise<{ readonly answer: unknown; readonly words: string }>
}

const COMMANDS: Readonly<Record<string, Command | undefined>> = {
  'apps list': {
    async run(call) {
      const answer = await call('GET', 'apps')
      const { apps } = z.object({ apps: z.array(App) }).parse(answer)
      const rows = apps.map(({ id, name, projectId, source }) => [id, name, `${projectId}`, source])
      return { answer, words: table(['APP', 'NAME', 'PROJECT', 'DECLARED IN'], rows) }
    },
  },
  'apps create': {
    needs: 'the id of the app, as com.example.shop',
    async run(call, values, id) {
      const retention = values['retention-days']
      await call('POST', 'apps', {
        ...{ id, name: values.name ?? id },
        ...(values.origin !== undefined && { origins: values.origin }),
        ...(retention !== undefined && { retentionDays: numberOf('--retention-days', retention) }),
      })
      const made = Made.parse(await call('POST', 'keys', { appId: id, name: 'first' }))
      const { app } = z
        .object({ app: App })
        .parse(await call('GET', `apps/${encodeURIComponent(id)}`))
      const { apiKey } = made
      const words = `App  ${clean(app.id)}\nKey  ${apiKey}\nDSN  ${app.dsn ?? ''}\n`
      return { answer: { success: true, app, key: made.key, apiKey }, words }
    },
  },
  'keys list': {
    async run(call, values) {
      const query = values.app === undefined ? '' : `?appId=${encodeURIComponent(values.app)}`
      const answer = await call('GET', `keys${query}`)
      const { keys } = z.object({ keys: z.array(Key) }).parse(answer)
      const rows = keys.map((key) => [
        ...[key.id, key.appId ?? '(all)', `${key.prefix}…${key.lastFour}`, key.scopes.join(',')],
        ...[key.status, key.expiresAt ?? '', key.lastUsedAt ?? '', key.name],
      ])
      const head = ['ID', 'APP', 'KEY', 'SCOPES', 'STATUS', 'EXPIRES', 'LAST USED', 'NAME']
      return { answer, words: table(head, rows) }
    },
  },
  'keys create': {
    async run(call, values) {
      const answer = await call('POST', 'keys', {
        scopes: values.scope ?? [values.app === undefined ? 'admin' : 'ingest'],
        ...(values.app !== undefined && { appId: values.app }),
        ...(values.name !== undefined && { name: values.name }),
        ...(values.expires !== undefined && { expiresAt: values.expires }),
      })
      const { key, apiKey } = Made.parse(answer)
      return { answer, words: `Key  ${apiKey}\nId   ${key.id}\nIt is not shown again.\n` }
    },
  },
  'keys rotate': {
    needs: 'the id of the key, as keys list says it',
    async run(call, values, id) {
      const { overlap } = values
      const body = overlap === undefined ? {} : { overlapSeconds: numberOf('--overlap', overlap) }
      const answer = await call('POST', `keys/${encodeURIComponent(id)}/rotate`, body)
      const { key, apiKey, old } = Made.parse(answer)
      const until = `The old one goes on until ${old?.expiresAt ?? 'now'}.`
      return { answer, words: `Key  ${apiKey}\nId   ${key.id}\n${until}\n` }
    },
  },
  'keys revoke': {
    needs: 'the id of the key, as keys list says it',
    async run(call, _values, id) {
      const answer = await call('DELETE', `keys/${encodeURIComponent(id)}`)
      return { answer, words: `${clean(id)} is refused from now on.\n` }
    },
  },
}

function numberOf(option: string, given: string): number {
  if (/^\d{1,10}$/.test(given)) return Number(given)
  throw new UsageError(`${option} takes a whole number.`)
}

/** Names are written by people: nothing of theirs may move the cursor. */
function clean(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, ' ')
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows.map((row) => row.map(clean))]
  const widths = head.map((_, i) => Math.max(...all.map((row) => (row[i] ?? '').length)))
  return all
    .map(
      (row) =>
        `${row
          .map((cell, i) => cell.padEnd(widths[i] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('')
}

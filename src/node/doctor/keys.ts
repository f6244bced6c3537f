import { requireSomeKey, DEVELOPMENT_KEY, type Config } from '../../config.ts'
import { findingsOf, type Finding } from '../../finding.ts'
import { createKeyFiles } from '../../keys/files.ts'
import { createDigest } from '../../keys/records.ts'
import { keyFolder } from '../key-files.ts'
import { errorText, since } from './words.ts'

const EXPIRES_WITHIN_MS = 14 * 86_400_000

/** Looks at the apps and keys of the settings and of KEYS_DIR. Never rejects. */
export async function keyFindings(config: Config, nowMs: number): Promise<readonly Finding[]> {
  const files = await fileFindings(config, nowMs)
  const apps = [...config.apps, ...files.apps]
  const keys = apps.flatMap((app) => app.keys.map((key) => ({ app: app.id, ...key })))
  return [way(config, apps.length, keys.length), ...files.found, ...expiring(keys, nowMs)]
}

function way(config: Config, apps: number, keys: number): Finding {
  const { ok, note, wrong } = findingsOf('keys-declared')
  try {
    requireSomeKey(config)
  } catch (error) {
    const text = error instanceof Error ? (error.message.split('\n')[1] ?? '').trim() : ''
    return wrong('Nobody could use the server: there is no key.', text)
  }
  if (!config.production) {
    return note(`Development mode: everybody has the key ${DEVELOPMENT_KEY}.`)
  }
  const admin = config.keys.adminKey === undefined ? '' : '; ADMIN_KEY may make more, in ClickHouse'
  return ok(`${apps} apps and ${keys} keys are declared in APPS and KEYS_DIR${admin}.`)
}

interface OneKey {
  readonly expiresAt?: string | undefined
  readonly revoked?: boolean
}
interface OneApp {
  readonly id: string
  readonly keys: readonly OneKey[]
}

async function fileFindings(
  config: Config,
  nowMs: number,
): Promise<{ readonly found: readonly Finding[]; readonly apps: readonly OneApp[] }> {
  const { dir } = config.keys
  if (dir === undefined) return { found: [], apps: [] }
  const { ok, wrong } = findingsOf('keys-folder')
  const reading = await keyFolder(dir)()
  if (reading?.problem !== undefined) {
    const text = `KEYS_DIR cannot be read: ${errorText(reading.problem)}.`
    const advice = 'Mount the folder there and let the user of the server read it.'
    return { found: [wrong(text, advice)], apps: [] }
  }
  const forbidden = config.production ? [DEVELOPMENT_KEY] : []
  const { production } = config
  // The pepper is no matter: the hashes are not kept.
  const digest = createDigest(undefined)
  const read = createKeyFiles({ digest, nowMs: () => nowMs, forbidden, production })
  const files = reading?.files ?? []
  const { declared, bad } = read.take(files)
  const found = bad.map(({ name, problem }) =>
    wrong(`The file ${name} of KEYS_DIR cannot be used. ${problem}`, 'Correct it: docs/keys.md.'),
  )
  const apps = declared.apps.map(({ id }) => ({
    id,
    keys: declared.keys
      .filter(({ appId }) => appId === id)
      .map(({ expiresAtMs, revokedAtMs }) => ({
        ...(expiresAtMs !== undefined && { expiresAt: new Date(expiresAtMs).toISOString() }),
        revoked: revokedAtMs !== undefined,
      })),
  }))
  if (found.length > 0) return { found, apps }
  return { found: [ok(`All ${files.length} files of KEYS_DIR can be used.`)], apps }
}

/** Keys that end soon, and those that have ended and are still declared. */
function expiring(keys: readonly (OneKey & { readonly app: string })[], nowMs: number): Finding[] {
  const { warning, note } = findingsOf('keys-expiry')
  return keys.flatMap(({ app, expiresAt, revoked }) => {
    if (expiresAt === undefined || revoked === true) return []
    const leftMs = Date.parse(expiresAt) - nowMs
    if (leftMs > EXPIRES_WITHIN_MS) return []
    if (leftMs <= 0)
      return [note(`A key of ${app} has expired.`, 'Take it out of its declaration.')]
    const text = `A key of ${app} expires in ${since(leftMs)}: its clients are refused then.`
    return [warning(text, 'Make a new one and roll it out: docs/keys.md.')]
  })
}

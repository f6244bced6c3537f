import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Environment, SECRET_SETTINGS } from '../../config.ts'
import { createSecretNames } from '../../pipeline/secretNames.ts'
import { scrubText } from '../../pipeline/secrets.ts'

const HIDDEN = '(hidden)'
/** Shorter ones would be found in every other word; nothing shows them anyway. */
const SECRET_CHARS_MIN = 4
/** Hold keys and names of people among what may be shown, and are not shown at all. */
const WHOLE: readonly string[] = [...SECRET_SETTINGS, 'APPS', 'SIGN_IN_RULES']
/** Variables of others that hold credentials. */
const FOREIGN = ['OTEL_EXPORTER_OTLP_HEADERS', 'OTEL_EXPORTER_OTLP_TRACES_HEADERS']

/** The settings that are set, for people: secrets by their names only, addresses without a login. */
export function shownSettings(env: NodeJS.ProcessEnv): Readonly<Record<string, string>> {
  const shown: Record<string, string> = {}
  for (const name of Object.keys(Environment.shape)) {
    const value = env[name]
    if (value === undefined || value === '') continue
    shown[name] = WHOLE.includes(name) ? HIDDEN : withoutLogin(value)
  }
  return shown
}

/**
 * What takes every secret of these settings out of a text, by its value. `env` holds the secrets of files already; `keysDir` is a folder of files with keys.
 */
export async function createMask(
  env: NodeJS.ProcessEnv,
  keysDir: string | undefined,
): Promise<(text: string) => string> {
  const secrets = [
    ...[...SECRET_SETTINGS, ...FOREIGN].flatMap((name) => partsOf(env[name] ?? '')),
    ...keysIn(env['APPS'] ?? ''),
    ...Object.keys(Environment.shape).flatMap((name) => loginIn(env[name] ?? '')),
    keyIn(env['SELF_DSN'] ?? ''),
    ...(keysDir === undefined ? [] : await keysInFolder(keysDir)),
  ].filter((secret) => secret.length >= SECRET_CHARS_MIN)
  // The longest first: one may be the beginning of another.
  const ordered = [...new Set(secrets)].sort((a, b) => b.length - a.length)
  return (text) => ordered.reduce((rest, secret) => rest.replaceAll(secret, HIDDEN), text)
}

/** A text of others, such as a log, without whatever looks like a secret. */
export function scrubbedLog(text: string): string {
  return scrubText(text, createSecretNames([]))
}

/** Several secrets may stand in one setting, with commas. */
function partsOf(value: string): string[] {
  return [value, ...value.split(',').map((part) => part.trim().replace(/^[\w-]+=/, ''))]
}

function keysIn(text: string): string[] {
  return [...text.matchAll(/["']?key["']?\s*:\s*["']?([\w-]{8,200})/g)].map(([, key = '']) => key)
}

async function keysInFolder(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => []) // The findings say why.
  const texts = await Promise.all(
    names.map((name) => readFile(join(folder, name), 'utf8').catch(() => '')), // Or a folder.
  )
  return texts.flatMap(keysIn)
}

/** The key of a DSN stands where a login's name does. */
function keyIn(dsn: string): string {
  return URL.canParse(dsn) ? new URL(dsn).username : ''
}

function loginIn(value: string): string[] {
  if (!URL.canParse(value)) return []
  const { username, password } = new URL(value)
  if (username === '' && password === '') return []
  return [password, decodeURIComponent(password)]
}

function withoutLogin(value: string): string {
  if (!/^[a-z]+:\/\//.test(value) || !URL.canParse(value)) return value
  const url = new URL(value)
  if (url.username === '' && url.password === '') return value
  url.username = ''
  url.password = ''
  return url.href
}

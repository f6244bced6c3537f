import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, vi } from 'vitest'
import { engineConfig } from '../../src/node/engine-config.ts'
import { findEngineLibrary, thisPlatform } from '../../src/node/engine-library.ts'

const GIB = 1024 ** 3

/** A ClickHouse whose users are those of an SQL script. */
export interface EngineWithUsers {
  readonly url: string
  readonly close: () => Promise<void>
}

/** The SQL of docs/security.md that makes the users, for a database and a password of the test's. */
export async function documentedUsers(database: string, password: string): Promise<string> {
  const text = await readFile('docs/security.md', 'utf8')
  const [, sql = ''] = /```sql\n(CREATE USER.*?)```/s.exec(text) ?? []
  return sql.replaceAll('error_ingestor.', `${database}.`).replaceAll(/'…'/g, `'${password}'`)
}

/**
 * Starts the embedded engine with the users of `CREATE USER` and `GRANT` statements. It reads users
 * from its configuration only, so the statements are written there word by word: grants as they are,
 * settings with their limits as a profile of the user.
 */
export async function startEngineWithUsers(sql: string): Promise<EngineWithUsers> {
  const folder = await mkdtemp(join(tmpdir(), 'error-ingestor-users-'))
  const file = join(folder, 'engine.xml')
  const { profiles, users } = usersOf(sql)
  const config = engineConfig(folder, file, 2 * GIB)
    .replace('<profiles>', `<profiles>${profiles}`)
    .replace('<users>', `<users>${users}`)
  await writeFile(file, config)
  const port = await freePort()
  const entry = new URL('../../src/node/engine.ts', import.meta.url).pathname
  const library = findEngineLibrary(thisPlatform())
  const child = spawn(process.execPath, [entry, library, file, folder, String(port)], {
    stdio: ['pipe', 'ignore', 'inherit'],
  })
  const ended = once(child, 'close')
  const url = `http://127.0.0.1:${port}`
  const ping = () =>
    fetch(`${url}/ping`).then(
      ({ ok }) => ok,
      () => false,
    )
  await vi.waitUntil(ping, { timeout: 30_000, interval: 50 })
  return {
    url,
    async close() {
      child.stdin.end()
      await ended
      await rm(folder, { recursive: true, force: true })
    },
  }
}

function usersOf(sql: string): { readonly profiles: string; readonly users: string } {
  const made = [
    ...sql.matchAll(/CREATE USER (\w+) IDENTIFIED BY '([^']*)'(?: SETTINGS ([^;]*))?;/g),
  ]
  expect(made.length).toBeGreaterThan(0)
  const profiles = made.map(([, name, , settings = '']) => profileOf(`${name}`, settings)).join('')
  const users = made.map(([, name = '', password]) => {
    const grants = [...sql.matchAll(new RegExp(`(GRANT [^;]*?) TO ${name};`, 'g'))]
    const queries = grants.map(([, grant]) => `<query>${grant}</query>`).join('')
    return `<${name}><password>${password}</password><profile>${name}</profile><quota>default</quota>
      <networks><ip>127.0.0.1</ip></networks><grants>${queries}</grants></${name}>`
  })
  return { profiles, users: users.join('') }
}

function profileOf(name: string, settings: string): string {
  const each = settings
    .split(',')
    .map((setting) => setting.trim())
    .filter((one) => one !== '')
  const parts = each.map((setting) => {
    const [, key = '', value, max] = /^(\w+) = (\d+)(?: MAX (\d+))?$/.exec(setting) ?? []
    expect(key, setting).not.toBe('')
    const limit = max === undefined ? '' : `<${key}><max>${max}</max></${key}>`
    return { value: `<${key}>${value}</${key}>`, limit }
  })
  const [values, limits] = [parts.map((p) => p.value).join(''), parts.map((p) => p.limit).join('')]
  return `<${name}>${values}<constraints>${limits}</constraints></${name}>`
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const address = probe.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  probe.close()
  return port
}

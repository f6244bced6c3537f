import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { aSite, anEvent, type Site } from './support.ts'

// `npm test` builds it first; so must whoever runs this file alone.
const MAIN = resolve('dist/main.js')
const ADMIN_KEY = 'ei_admin_key_of_runbooks'

let folder = ''
let site: Site
let env: Record<string, string> = {}
beforeAll(async () => {
  if (!existsSync(MAIN)) throw new Error('dist/main.js is missing: run `npm run build` first.')
  folder = await mkdtemp(join(tmpdir(), 'error-ingestor-runbooks-'))
  const DATA_DIR = join(folder, 'data')
  site = await aSite({ ADMIN_KEY, DATA_DIR })
  await site.ingest([anEvent(), { ...anEvent(), platform: 'toaster' }])
  const command = join(folder, 'error-ingestor')
  await writeFile(command, `#!/bin/sh\nexec "${process.execPath}" "${MAIN}" "$@"\n`)
  await chmod(command, 0o755)
  env = {
    ...{ PATH: `${folder}:${process.env['PATH'] ?? ''}`, DATA_DIR, ADMIN_KEY },
    ...{ CLICKHOUSE_HOST: inject('clickhouseUrl'), CLICKHOUSE_DATABASE: site.database },
    PORT: new URL(site.url).port,
  }
})
afterAll(async () => {
  await site.close()
  await rm(folder, { recursive: true, force: true })
})

interface Ran {
  readonly code: number
  readonly out: string
  readonly said: string
}
const run = (command: string) =>
  new Promise<Ran>((done) => {
    const given = command.replaceAll('http://localhost:3000', site.url)
    const child = execFile('sh', ['-c', given], { env, cwd: folder }, (_, out, said) =>
      done({ code: child.exitCode ?? -1, out, said }),
    )
  })

async function commandsOf(page: string): Promise<readonly string[]> {
  const text = await readFile(join('docs/runbooks', page), 'utf8')
  const blocks = [...text.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block = '']) => block)
  return blocks.flatMap((block) => block.trim().split('\n'))
}

test(
  'every command of the runbooks runs, and shows something where there is something',
  { timeout: 120_000 },
  async () => {
    const pages = await readdir('docs/runbooks')
    const commands = new Set((await Promise.all(pages.map(commandsOf))).flat())
    expect(commands.size).toBeGreaterThan(20)
    const wrong: unknown[] = []
    const silent: string[] = []
    for (const command of commands) {
      const { code, out, said } = await run(command)
      if (out.trim() === '') silent.push(command)
      // Nothing is found where there is no TLS and no quota; warnings of the doctor are no failures here.
      const isFine = code === 0 || (code === 1 && command.includes(' grep ') && out === '')
      if (!isFine || said !== '') wrong.push({ command, code, out, said })
    }
    expect(wrong).toEqual([])
    // Of a quota, a bug, and a key and a certificate that end, there is nothing here.
    expect(silent.filter((command) => !/quota|internal|expire/.test(command))).toEqual([])
    expect(silent.length).toBeLessThan(8)
    expect((await run('error-ingestor dokter')).code).toBe(2)
  },
)

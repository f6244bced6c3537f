import { execFile } from 'node:child_process'
import { access, readdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { beforeAll, describe, expect, test } from 'vitest'
import { renderDashboard } from '../docs/dashboard.ts'
import { renderMetrics, renderSettings } from '../docs/render.ts'
import manifest from '../package.json' with { type: 'json' }
import { readConfig } from '../src/config.ts'
import { aSite } from './flows/support.ts'

const documents = ['README.md', 'ARCHITECTURE.md', 'CHANGELOG.md']
let readme = ''
let code = ''

/** A text without what the formatter may change. */
const wordsOf = (text: string) => text.replaceAll(/-{3,}/g, '---').replaceAll(/\s+/g, ' ')

async function textOf(folder: string): Promise<string> {
  const names = await readdir(folder, { recursive: true })
  const texts = names
    .filter((name) => /\.tsx?$/.test(name))
    .map((name) => readFile(join(folder, name), 'utf8'))
  return (await Promise.all(texts)).join('\n')
}

beforeAll(async () => {
  for (const name of await readdir('docs', { recursive: true })) {
    if (name.endsWith('.md')) documents.push(`docs/${name}`)
  }
  readme = await readFile('README.md', 'utf8')
  code = await textOf('src')
})

describe('the README', () => {
  /** Blocks of one language that hold a text. */
  const blocks = (language: string, words: string) =>
    [...readme.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'))]
      .map(([, text = '']) => text)
      .filter((text) => text.includes(words))

  test('has the table of settings that the code has (else: npm run render)', () => {
    expect(wordsOf(readme)).toBe(wordsOf(renderSettings(readme)))
  })

  test('has a first command that works when pasted, with the answer it shows', async () => {
    const site = await aSite()
    try {
      const [command = ''] = blocks('sh', 'curl -X POST')
      const pasted = `${command.replace('http://localhost:3000', site.url).trimEnd()} -s`
      const { stdout } = await promisify(execFile)('sh', ['-c', pasted])
      const [shown = ''] = blocks('json', '')
      expect(JSON.parse(stdout)).toEqual(JSON.parse(shown))
      expect((await site.call('/dashboard/api/errors?appId=test-app')).body).toMatchObject({
        errors: [{ stackTrace: 'Error: The card was declined\n    at pay (checkout.js:42:7)' }],
      })
    } finally {
      await site.close()
    }
  })

  test('has an example of APPS that is one', () => {
    const [block = ''] = blocks('sh', 'APPS=')
    const APPS = /APPS='(.*?)'/s.exec(block)?.[1]
    expect(readConfig({ NODE_ENV: 'production', APPS }).apps).toMatchObject([
      { id: 'com.example.app', keys: [{ scopes: ['ingest', 'read'] }] },
    ])
  })

  test('names only scripts that there are', () => {
    const named = [...readme.matchAll(/npm run ([\w:]+)/g)].map(([, name = '']) => name)
    expect(named.length).toBeGreaterThan(5)
    expect(named.filter((name) => !Object.hasOwn(manifest.scripts, name))).toEqual([])
  })
})

test('every link of a document leads somewhere', async () => {
  const broken: string[] = []
  for (const document of documents) {
    const text = await readFile(document, 'utf8')
    const links = [...text.matchAll(/\]\(([^)#\s]+)|(?:src|srcset)="([^"]+)"/g)]
    for (const [, link = '', picture = ''] of links) {
      const target = link === '' ? picture : link
      if (/^https?:/.test(target)) continue
      await access(join(dirname(document), target)).catch(() => {
        broken.push(`${document}: ${target}`)
      })
    }
  }
  expect(broken).toEqual([])
})

test('docs/metrics.md has the metrics that the code has (else: npm run render)', async () => {
  const page = await readFile('docs/metrics.md', 'utf8')
  expect(wordsOf(page)).toBe(wordsOf(renderMetrics(page)))
  expect(page.match(/^\| `error_ingestor_/gm)?.length).toBeGreaterThan(15)
})

test("the chart's dashboard is what the code makes (else: npm run render)", async () => {
  expect(await readFile('charts/error-ingestor/files/dashboard.json', 'utf8')).toBe(
    renderDashboard(),
  )
})

describe('docs/runbooks', () => {
  const alerts = async () =>
    [
      ...(await readFile('charts/error-ingestor/files/rules.yaml', 'utf8')).matchAll(
        /^- alert: (\w+)$/gm,
      ),
    ].map(([, name = '']) => name)

  test('has a page for each alert and no other, with all that it has to say', async () => {
    const names = await alerts()
    expect(names.length).toBeGreaterThan(15)
    const pages = (await readdir('docs/runbooks')).filter((name) => name !== 'README.md')
    expect(pages.sort()).toEqual(names.map((name) => `${name}.md`).sort())
    for (const page of pages) {
      const text = await readFile(join('docs/runbooks', page), 'utf8')
      const parts = [...text.matchAll(/^#+ (.*)$/gm)].map(([, title]) => title)
      expect(parts).toEqual([
        page.slice(0, -'.md'.length),
        ...['What it means', 'What users feel', 'How to look', 'What to do', 'When it goes away'],
      ])
      expect(text, page).toContain('```sh\n')
    }
  })

  test('has an index that names each', async () => {
    const index = await readFile('docs/runbooks/README.md', 'utf8')
    const missing = (await alerts()).filter((name) => !index.includes(`](${name}.md)`))
    expect(missing).toEqual([])
  })
})

describe('docs/operations.md', () => {
  let operations = ''
  beforeAll(async () => {
    operations = await readFile('docs/operations.md', 'utf8')
  })

  test('explains messages that the code says', () => {
    const [, logs = ''] = operations.split('## Logs')
    const rows = [...logs.split('\n## ')[0]!.matchAll(/^\| (`.*?) \|/gm)].map(
      ([, cell = '']) => cell,
    )
    const messages = rows.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, m = '']) => m))
    expect(messages.length).toBeGreaterThan(10)
    // Where a message has a place for a name or a number, its longest part is what is looked for.
    const longest = (message: string) =>
      message.split(/…|\b[nm]\b/).reduce((a, b) => (b.length > a.length ? b : a))
    const unknown = messages.map(longest).filter((part) => !code.includes(part.trim()))
    expect(unknown).toEqual([])
  })

  test('tells the limits as they are', () => {
    const { intake, spool, retentionDays, http } = readConfig({})
    expect([intake.eventsMax, intake.bodyBytesMax, intake.bytesInFlightMax]).toEqual([
      1_000,
      8 * 1024 ** 2,
      64 * 1024 ** 2,
    ])
    expect([http.timeoutMs, spool.bytesMax, retentionDays]).toEqual([60_000, 4 * 1024 ** 3, 90])
  })
})

test('every refusal code stands in docs/api.md', async () => {
  const api = await readFile('docs/api.md', 'utf8')
  const refusal = await readFile('src/refusal.ts', 'utf8')
  const codes = [...refusal.matchAll(/^ {2}\| '(\w+)'/gm)].map(([, name = '']) => name)
  expect(codes.length).toBeGreaterThan(8)
  expect(codes.filter((name) => !api.includes(`\`${name}\``))).toEqual([])
})

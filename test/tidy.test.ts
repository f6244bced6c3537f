import { readdir, readFile } from 'node:fs/promises'
import { join, posix } from 'node:path'
import { describe, expect, test } from 'vitest'

const LINES_MAX = 400

// Folder or, for files at the top of src/, ring → what it may import, beside itself.
const RINGS: Readonly<Record<string, Ring>> = {
  words: { values: [], types: [] },
  protocols: { values: ['words'], types: [] },
  pipeline: { values: ['words'], types: [] },
  store: { values: ['words'], types: [] },
  keys: { values: ['words'], types: [] },
  limits: { values: ['words'], types: [] },
  telemetry: { values: ['words'], types: [] },
  sessions: { values: ['words'], types: [] },
  // What the core asks of its runtime: a page of types over those of others.
  host: { values: [], types: ['words', 'keys', 'pipeline', 'store', 'telemetry'] },
  http: { values: ['words'], types: ['protocols', 'host', 'keys'] },
  dashboard: { values: ['words'], types: ['store', 'keys', 'sessions'] },
}
const WORDS = [
  'administration.ts',
  'app-setting.ts',
  'clickhouse-setting.ts',
  'occurrence.ts',
  'refusal.ts',
  'sign-in-setting.ts',
  'watch-setting.ts',
  'outcome.ts',
  'finding.ts',
  'trace.ts',
  'config.ts',
  'version.ts',
  'remember.ts',
  'same-frames.ts',
  'assets.d.ts',
]
/** These know everything, and only each other may know them. */
const WIRING = ['app.ts', 'app-delivery.ts', 'app-keys.ts', 'index.ts', 'edge.ts', 'main.ts']
/** Made by a generator from a standard; see the README beside it. */
const GENERATED = 'protocols/otlp/generated/'
const NODE_ONLY = (path: string) => path === 'main.ts' || path.startsWith('node/')

interface Ring {
  readonly values: readonly string[]
  readonly types: readonly string[]
}

interface Import {
  readonly from: string
  readonly typesOnly: boolean
}

function ringOf(path: string): string {
  if (WORDS.includes(path)) return 'words'
  if (path === 'host.ts') return 'host'
  const [folder = ''] = path.split('/')
  return WIRING.includes(path) || folder === 'node' ? 'wiring' : folder
}

function importsOf(text: string): Import[] {
  const code = text.replaceAll(/^\s*(\/\/|\/?\*).*$/gm, '')
  const named = [...code.matchAll(/^(?:import|export)\s(type\s)?[^'"]*?from '([^']+)'/gm)]
  const bare = [...code.matchAll(/(?:^import |\bimport\()'([^']+)'/gm)]
  return [
    ...named.map(([, type, from = '']) => ({ from, typesOnly: type !== undefined })),
    ...bare.map(([, from = '']) => ({ from, typesOnly: false })),
  ]
}

/** What is wrong with the imports of one file, in sentences. */
function importFaults(path: string, text: string): string[] {
  return importsOf(text).flatMap(({ from, typesOnly }) => {
    if (from.startsWith('node:') && !NODE_ONLY(path)) {
      return [`${path} imports ${from}: only node/ and main.ts know Node.`]
    }
    if (!from.startsWith('.') || from.endsWith('.json')) return []
    const [own, other] = [ringOf(path), ringOf(posix.join(posix.dirname(path), from))]
    const ring = RINGS[own]
    if (own === other || ring === undefined) return []
    if (ring.values.includes(other) || (typesOnly && ring.types.includes(other))) return []
    return [`${path} (${own}) imports ${typesOnly ? 'types' : 'values'} of ${from} (${other}).`]
  })
}

/** Exports that say nothing about themselves. */
function docFaults(path: string, text: string): string[] {
  const exported =
    /^export (?:default|(?:async )?(?:function\*?|class|interface|type|const|let) (\w+))/gm
  return [...text.matchAll(exported)]
    .filter(({ index }) => !/\*\/\s*$/.test(text.slice(0, index)))
    .map(([line, name = line]) => `${path}: ${name} has no docstring.`)
}

function lengthFaults(path: string, text: string): string[] {
  const lines = text.split('\n').length - 1
  return lines > LINES_MAX ? [`${path} has ${lines} lines, more than ${LINES_MAX}.`] : []
}

async function filesOf(folder: string): Promise<(readonly [string, string])[]> {
  const names = await readdir(folder, { recursive: true })
  const paths = names.filter((name) => /\.tsx?$/.test(name) && !name.includes(GENERATED)).sort()
  return Promise.all(
    paths.map(async (name) => [name, await readFile(join(folder, name), 'utf8')] as const),
  )
}

const sources = await filesOf('src')
const tests = [...(await filesOf('test')), ...(await filesOf('bench'))]

test('folders know the words and themselves; only the wiring knows them all', () => {
  expect(sources.length).toBeGreaterThan(80)
  expect(sources.flatMap(([path, text]) => importFaults(path, text))).toEqual([])
})

test('every folder of src has its ring', () => {
  const rings = new Set(sources.map(([path]) => ringOf(path)))
  expect([...rings].filter((ring) => ring !== 'wiring' && RINGS[ring] === undefined)).toEqual([])
})

test('every export says what it means', () => {
  expect(sources.flatMap(([path, text]) => docFaults(path, text))).toEqual([])
})

test('a file is read in one sitting', () => {
  expect(sources.flatMap(([path, text]) => lengthFaults(path, text))).toEqual([])
})

test('nothing is put off, and no test is left out or alone', () => {
  const [later, left] = [
    /\b(?:TO[D]O|FIX[M]E|X[X]X)\b/,
    /\b(?:test|describe|it)\.(?:skip|only|todo|fails)\b/,
  ]
  const faults = [...sources, ...tests].flatMap(([path, text]) =>
    [later, left].flatMap((what) => what.exec(text)?.map((found) => `${path}: ${found}`) ?? []),
  )
  expect(faults).toEqual([])
})

describe('the rules themselves', () => {
  test.each([
    ['pipeline/a.ts', "import { x } from '../store/rows.ts'", 'values of ../store/rows.ts'],
    ['pipeline/a.ts', "import type { X } from '../store/rows.ts'", 'types of ../store/rows.ts'],
    ['http/a.ts', "import { type X, y } from '../protocols/index.ts'", 'values of'],
    ['http/a.ts', "export { y } from '../protocols/index.ts'", 'values of'],
    ['http/a.ts', "import {\n  x,\n  y,\n} from '../app.ts'", '../app.ts (wiring)'],
    ['store/a.ts', "await import('../keys/keys.ts')", '../keys/keys.ts (keys)'],
    ['occurrence.ts', "import { x } from './pipeline/spool.ts'", '(words)'],
    ['store/a.ts', "import { readFile } from 'node:fs'", 'only node/ and main.ts'],
  ])('%s may not: %s', (path, text, words) => {
    expect(importFaults(path, text).join()).toContain(words)
  })

  test.each([
    ['http/a.ts', "import type { X } from '../protocols/protocol.ts'"],
    ['http/a.ts', "import { x } from '../refusal.ts'"],
    ['store/a.ts', "import { x } from './rows.ts'\nimport { z } from 'zod'"],
    ['node/a.ts', "import { readFile } from 'node:fs'\nimport { x } from '../store/rows.ts'"],
    ['http/a.ts', "// import { x } from '../app.ts'"],
  ])('%s may: %s', (path, text) => {
    expect(importFaults(path, text)).toEqual([])
  })

  test('an export without a docstring, and a file that is too long, are found', () => {
    expect(docFaults('a.ts', 'const a = 1\n\nexport const b = 2\n')).toEqual([
      'a.ts: b has no docstring.',
    ])
    expect(docFaults('a.ts', '/** Two. */\nexport const b = 2\n')).toEqual([])
    expect(lengthFaults('a.ts', '\n'.repeat(LINES_MAX))).toEqual([])
    expect(lengthFaults('a.ts', '\n'.repeat(LINES_MAX + 1))).toHaveLength(1)
  })
})

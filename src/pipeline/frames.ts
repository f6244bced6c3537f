import type { Call } from './stackText.ts'

/** A call without what changes from release to release. */
export interface NormalFrame {
  readonly text: string
  /** Whether it says more than a file, so that two bugs can be told apart by it. */
  readonly isTelling: boolean
}

const CONTEXT_CHARS_MAX = 200
const NAME_CHARS_MAX = 256
const PATH_CHARS_MAX = 1024

/**
 * File and function, `pages/cart.tsx#checkout`. Lines and columns are left out: they move with every
 * release. A function whose name is none (anonymous, or made short by a minifier) gives way to the
 * source line where the client sent one, else the file stands alone.
 */
export function normaliseFrame(call: Call): NormalFrame {
  const file = fileMemo(call.fileName ?? '')
  const full = functionMemo(call.functionName ?? '')
  // A minifier renames the receiver with every build, the property it keeps: `t.render`.
  const name = isMinifiable(file) ? full.replace(/^(?:[\w$]{1,2}|_0x\w{1,16})\./, '') : full
  if (name !== '' && !(isMinifiable(file) && isMinified(name))) {
    return { text: `${file}#${name}`, isTelling: true }
  }
  const context = call.contextLine?.trim().replace(/\s+/g, ' ') ?? ''
  if (context !== '' && context.length <= CONTEXT_CHARS_MAX) {
    return { text: `${file}|${context}`, isTelling: true }
  }
  return { text: file, isTelling: false }
}

const MEMO_COUNT_MAX = 4096
const MEMO_CHARS_MAX = 256

/** The same function with a bounded memory: files and functions repeat far more than stacks do. */
function memo(compute: (text: string) => string): (text: string) => string {
  const known = new Map<string, string>()
  return (text) => {
    if (text.length > MEMO_CHARS_MAX) return compute(text)
    const found = known.get(text)
    if (found !== undefined) return found
    if (known.size >= MEMO_COUNT_MAX) known.clear()
    const computed = compute(text)
    known.set(text, computed)
    return computed
  }
}
const fileMemo = memo(normaliseFile)
const functionMemo = memo(normaliseFunction)

const isMinifiable = (file: string): boolean =>
  /(?:^|\.)(?:js|mjs|cjs|bundle|jsbundle)$/.test(file) || !file.includes('.')

/** One or two characters, or three without a vowel: `e`, `Xt`, `_0x3fa2`. */
function isMinified(name: string): boolean {
  const last = name.slice(name.lastIndexOf('.') + 1)
  return (
    last.length <= 2 || last.startsWith('_0x') || (last.length === 3 && !/[aeiouy]/i.test(last))
  )
}

/**
 * The base name, with its folder where it is a source: `orders/views.py` and `users/views.py` are two
 * files. Of bundles from the web only the base name: folders there carry releases. Without origin,
 * query, content hash and version.
 */
export function normaliseFile(fileName: string): string {
  const given = fileName.length > PATH_CHARS_MAX ? fileName.slice(-PATH_CHARS_MAX) : fileName
  if (given === '' || given.startsWith('<')) return ''
  const path = withoutTail(given).replaceAll('\\', '/')
  const scheme = path.indexOf('://')
  const isWeb = scheme !== -1 && path.startsWith('http')
  const start = scheme === -1 ? 0 : path.indexOf('/', scheme + 3)
  const parts = (start === -1 ? '' : path.slice(start))
    .split('/')
    .filter((part) => part !== '' && part !== '.')
  const base = withoutHash(parts.at(-1) ?? '').toLowerCase()
  if (parts.length < 2 || base.endsWith('bundle') || (isWeb && /\.[mc]?js$/.test(base))) return base
  const folder = folderOf(parts.at(-2) ?? '')
  return folder === '' ? base : `${folder}/${base}`
}

function withoutTail(path: string): string {
  const end = path.search(/[?#]/)
  return end === -1 ? path : path.slice(0, end)
}

/** Nothing where the folder's name is a release: a version, a hash, a number, a UUID. */
function folderOf(part: string): string {
  const name = part.replace(/[@_-]v?\d+(?:\.\d+)+.*$/, '').toLowerCase()
  if (/^(?:v?[\d._-]+|[\da-f]{7,64}|[\da-f-]{36}|\.\.|[a-z]:)$/.test(name)) return ''
  return name
}

/** `main.4f2a1b3c.chunk.js`, `index-BxY3k2_a.js`, `jquery-3.7.1.min.js`, `123.js` without what is not their name. */
function withoutHash(base: string): string {
  const dot = base.lastIndexOf('.')
  if (dot <= 0) return base
  const extension = base.slice(dot)
  let stem = base.slice(0, dot).replace(/[@_-]v?\d+(?:\.\d+)+/, '')
  if (/^\.(?:[mc]?js|css|map|bundle|jsbundle|wasm)$/.test(extension)) {
    const tail = stem.slice(-9)
    if (/^[.-][\w-]{8}$/.test(tail) && isHashLike(tail.slice(1))) stem = stem.slice(0, -9)
    stem = stem
      .split('.')
      .filter((part) => !isHash(part))
      .join('.')
    const dash = stem.lastIndexOf('-')
    if (dash > 0 && isHash(stem.slice(dash + 1))) stem = stem.slice(0, dash)
  }
  return `${stem === '' ? '*' : stem}${extension}`
}

const isHash = (part: string): boolean =>
  /^\d+$/.test(part) ||
  /^[\da-f]{8,64}$/i.test(part) ||
  (/^[\da-f]{5,7}$/i.test(part) && /\d/.test(part)) ||
  (part.length >= 20 && /\d\D*\d\D*\d/.test(part))
const isHashLike = (part: string): boolean => /\d/.test(part) || /[a-z][A-Z]/.test(part)

const NOISE: readonly (readonly [RegExp, string])[] = [
  [/^(?:async|new|get|set|bound|static) /, ''],
  // V8's alias is the name the code calls it by: `Object.e [as onClick]`.
  [/^.* \[as ([^\]]*)\]$/, '$1'],
  [/^(?:block|rescue|ensure)(?: \(\d+ levels\))? in /, ''],
  [/^[\w.+ ]*<(\w+)>d__\d+.*$/, '$1'],
  [/^.*<(\w+)>[bg]__.*$/, '$1'],
  [/::h[\da-f]{16}$/, ''],
  [/(?:::)?\{\{?closure(?:#\d+)?\}?\}/g, ''],
  [/(?:\.func\d+|\.gowrap\d+)+[\d.]*$/, ''],
  [/\$\$(?:Lambda|EnhancerBy|FastClassBy|ExternalSynthetic)[^.]*/g, ''],
  [/\$(?:lambda|access)?\$?\d+(?=$|\.)/g, ''],
  [/`\d+|\[\.\.\.\]/g, ''],
  [
    /<anonymous>|\(anonymous(?: function)?\)|^(?:anonymous|Anonymous function|global code|eval code|module code|\?)$/g,
    '',
  ],
  [/[/<]+$/, ''],
  [/^(?:Object|Module|Function|Array|exports|window|globalThis|_?this|self)\.(?=.|$)/, ''],
  [/\(.*\)$/, ''],
  [/^[.\s]+|[.\s]+$/g, ''],
]

/**
 * The function's name without the noise of its platform: async, new, closures' numbers, hashes,
 * generated parts, arguments. Empty where there is no name.
 */
export function normaliseFunction(functionName: string): string {
  let name =
    functionName.length > NAME_CHARS_MAX ? functionName.slice(0, NAME_CHARS_MAX) : functionName
  if (/^[A-Za-z_][\w]*$/.test(name)) return name === 'anonymous' ? '' : name
  for (const [pattern, replacement] of NOISE) name = name.replace(pattern, replacement)
  return name
}

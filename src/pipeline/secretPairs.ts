import type { NameKind } from './secretNames.ts'
import { isDigit, isNameChar, type Span } from './secretShapes.ts'

/** What stands where a secret was. */
export const SCRUBBED = '[scrubbed]'

/** Values that say there is no secret. */
const NOTHING = new Set('null undefined true false none nil nan'.split(' '))
/** In prose these start a sentence more often than a secret: `auth: user 42 is unknown`. */
const WEAK_IN_PROSE = new Set(
  'auth sid pass cookie cookies bearer otp csrf authentication'.split(' '),
)
/** What is made of few digits, also in prose: `ssn: 078-05-1120`. */
const NUMERIC = new Set('ssn cvv cvc cvv2 otp'.split(' '))
const SCHEMES = /^(?:bearer|basic|digest|token|negotiate|apikey|api-key)[ \t]+[^ \t]/i
const NAME_CHARS_MAX = 64
/** How far a value is read before it is decided whether it is one, so that time stays linear. */
const DECIDED_BY_CHARS = 256

const COLON = 0x3a
const EQUALS = 0x3d
const BACKSLASH = 0x5c

const isBlank = (code: number): boolean => code === 0x20 || code === 0x09
const isQuote = (code: number): boolean => code === 0x22 || code === 0x27 || code === 0x60
const isLineEnd = (code: number): boolean => code === 0x0a || code === 0x0d

/** Characters after which an unquoted value is over. */
const STOPS = new Uint8Array(128)
for (const char of ' \t\n\r\v\f&,;"\'`)]}<>|\\') STOPS[char.charCodeAt(0)] = 1

interface Name {
  readonly text: string
  readonly start: number
  readonly isQuoted: boolean
  /** Blanks between the name and its sign. */
  readonly isSpaced: boolean
}

/**
 * The value of the pair whose `=` or `:` is at `at`, where its name, which starts at or after
 * `floor`, is one of a secret: `token=…`, `"token":"…"`, `token: …`, `Cookie: …`, `'token' => …`.
 */
export function pair(
  text: string,
  at: number,
  floor: number,
  names: (name: string) => NameKind,
): Span | undefined {
  if (!canBePair(text, at)) return undefined
  const name = nameBefore(text, at, floor)
  if (name === undefined) return undefined
  const kind = names(name.text)
  if (kind === 'plain' && !isSignature(text, name)) return undefined
  const span = valueAfter(text, at, name)
  if (span === undefined || span[0] >= span[1]) return undefined
  if (kind === 'plural' && /^[\d.]*$/.test(text.slice(span[0], Math.min(span[1], span[0] + 32)))) {
    return undefined
  }
  return text.startsWith(SCRUBBED, span[0]) ? undefined : span
}

/** `the password is hunter2`, `API key is "k3y99"`, the `s` of `is` at `at`; a value as in {@link pair} after a colon. */
export function sentence(
  text: string,
  at: number,
  floor: number,
  names: (name: string) => NameKind,
): Span | undefined {
  const before = at - 2
  const blank = text.charCodeAt(at + 1) === COLON ? at + 2 : at + 1
  if (!isBlank(text.charCodeAt(before)) || !isBlank(text.charCodeAt(blank))) return undefined
  const name = nameBefore(text, before, floor)
  if (name === undefined || name.isQuoted || names(name.text) !== 'secret') return undefined
  const start = isQuote(text.charCodeAt(blank + 1)) ? blank + 2 : blank + 1
  const span = proseSpan(text, start, name, false)
  return span === undefined || text.startsWith(SCRUBBED, span[0]) ? undefined : span
}

/** The signature of a link, in its query: who has it may use the link. */
function isSignature(text: string, { text: name, start }: Name): boolean {
  const { length } = name
  if ((length !== 3 && length !== 9) || !/^sig(?:nature)?$/i.test(name)) return false
  const before = text.charCodeAt(start - 1)
  return before === 0x26 || before === 0x3f
}

function canBePair(text: string, at: number): boolean {
  const next = text.charCodeAt(at + 1)
  if (text.charCodeAt(at) === EQUALS) return next !== EQUALS
  if (next === COLON || next === EQUALS || text.charCodeAt(at - 1) === COLON) return false
  // `file.ts:12`, by far the most frequent colon: decided without looking at a name.
  return !isDigit(text, at + 1) || !endsLikeSource(text, at)
}

function endsLikeSource(text: string, at: number): boolean {
  const last = text.charCodeAt(at - 1)
  if (isDigit(text, at - 1)) return isDigit(text, at - 2) || text.charCodeAt(at - 2) === COLON
  const before = text.charCodeAt(at - 2)
  if (last === 0x73) return before === 0x6a || before === 0x74 // .js, .ts
  if (last === 0x78) return before === 0x73 // .tsx, .jsx
  return last === 0x79 && before === 0x70 // .py
}

function nameBefore(text: string, at: number, floor: number): Name | undefined {
  let end = at
  if (text.charCodeAt(end - 1) === COLON) end--
  const spacesFrom = end
  while (spacesFrom - end < 3 && isBlank(text.charCodeAt(end - 1))) end--
  const isSpaced = end < spacesFrom
  if (text.charCodeAt(end - 1) === 0x5d) end--
  const isQuoted = isQuote(text.charCodeAt(end - 1))
  if (isQuoted) end--
  for (let slashes = 0; slashes < 8 && text.charCodeAt(end - 1) === BACKSLASH; slashes++) end--
  let start = end
  const startMin = Math.max(floor, end - NAME_CHARS_MAX)
  while (start > startMin && isNameChar(text, start - 1)) start--
  if (end - start < 2) return undefined
  const own = text.slice(start, end)
  if (end - start > 4 || text.charCodeAt(start - 1) !== 0x20 || !/^(?:id|key|code)$/i.test(own)) {
    return { text: own, start, isQuoted, isSpaced }
  }
  // `session id: …`, `API key: …`, `recovery code: …`
  const word = /[a-z]{3,16}$/i.exec(text.slice(Math.max(floor, start - 18), start - 1))?.[0] ?? ''
  return { text: `${word}_${own}`, start: start - 1 - word.length, isQuoted, isSpaced }
}

function valueAfter(text: string, at: number, name: Name): Span | undefined {
  let start = at + 1
  const isArrow = text.charCodeAt(start) === 0x3e
  if (isArrow) start++
  const unspaced = start
  while (start - unspaced < 8 && isBlank(text.charCodeAt(start))) start++
  const isTight = text.charCodeAt(at) === EQUALS && !isArrow && !name.isSpaced && start === unspaced
  if (!isTight && !name.isQuoted && isAboutSyntax(text, name.start)) return undefined

  let quote = start
  while (quote - start < 8 && text.charCodeAt(quote) === BACKSLASH) quote++
  if (isQuote(text.charCodeAt(quote))) {
    const end = quotedEnd(text, quote, quote - start)
    // `Invalid token: "x"` speaks of one character; a pair that is tight or has a quoted name does not.
    return isTight || name.isQuoted || end - quote > 3 ? [quote + 1, end] : undefined
  }
  if (name.isQuoted && text.charCodeAt(start) === 0x5b) return listSpan(text, start)
  if (
    text.charCodeAt(at) === COLON &&
    !name.isQuoted &&
    /(?:cookie|authorization)$/i.test(name.text)
  ) {
    const span = headerSpan(text, start)
    if (span !== undefined) return span
  }
  if (isTight || name.isQuoted) return tightSpan(text, start)
  // `my password: …` is what somebody tells, and not what a program says of a password.
  const isTold = /\bmy $/i.test(text.slice(Math.max(0, name.start - 4), name.start))
  return proseSpan(text, start, name, isTold && text.charCodeAt(at) === COLON)
}

/** `Unexpected token: …` is what parsers say. */
function isAboutSyntax(text: string, nameStart: number): boolean {
  const before = text.slice(Math.max(0, nameStart - 12), nameStart)
  return /(?:expected|invalid|illegal|missing|bad|unknown|next) $/i.test(before)
}

/** Where the value that was opened by the quote at `quote`, behind `slashes` backslashes, ends. */
function quotedEnd(text: string, quote: number, slashes: number): number {
  const opener = text.charCodeAt(quote)
  let at = quote + 1
  while (at < text.length && !isLineEnd(text.charCodeAt(at))) {
    const code = text.charCodeAt(at)
    if (code === opener && slashes === 0) return at
    if (code !== BACKSLASH) {
      at++
      continue
    }
    const from = at
    while (text.charCodeAt(at) === BACKSLASH) at++
    const closes = text.charCodeAt(at) === opener
    if (slashes > 0 && closes && at - from <= slashes) return from
    // An odd number of backslashes escapes what follows.
    if ((at - from) % 2 === 1 || slashes > 0) at++
  }
  return Math.min(at, text.length)
}

function listSpan(text: string, start: number): Span | undefined {
  if (text.startsWith(SCRUBBED, start)) return undefined
  const end = text.indexOf(']', start)
  return [start, end === -1 ? text.length : end + 1]
}

/** The rest of a header's line: cookies and credentials hold blanks and commas. */
function headerSpan(text: string, start: number): Span | undefined {
  const seen = text.slice(start, start + DECIDED_BY_CHARS)
  const line = /^[^\n\r"'`\\]*/.exec(seen)?.[0] ?? ''
  if (line.startsWith(SCRUBBED)) return undefined
  if (!SCHEMES.test(line) && !/[\d=]/.test(line)) return undefined
  let end = start
  while (end < text.length && !isLineEnd(text.charCodeAt(end)) && !isQuote(text.charCodeAt(end))) {
    if (text.charCodeAt(end) === BACKSLASH) break
    end++
  }
  return [start, end]
}

function tightSpan(text: string, start: number): Span | undefined {
  if (isTemplate(text, start)) return undefined
  const end = runEnd(text, start, text.length)
  if (end - start > DECIDED_BY_CHARS) return [start, end]
  const run = text.slice(start, end)
  if (NOTHING.has(run.toLowerCase()) || run.endsWith('(') || /^[*.…]*$/.test(run)) return undefined
  // `auth=Bearer abc`: the scheme is no secret, what follows is.
  if (!SCHEMES.test(`${run} x`) || !isBlank(text.charCodeAt(end))) return [start, end]
  const second = runEnd(text, end + 1, text.length)
  return second > end + 1 ? [start, second] : [start, end]
}

function proseSpan(text: string, start: number, name: Name, isTold: boolean): Span | undefined {
  if (isTemplate(text, start)) return undefined
  const run = text.slice(start, runEnd(text, start, start + DECIDED_BY_CHARS))
  if (NUMERIC.has(name.text.toLowerCase()) && /^\d[\d-]{1,9}\d$/.test(run))
    return [start, start + run.length]
  if (WEAK_IN_PROSE.has(name.text.toLowerCase())) return undefined
  if (run.length < 5 || /[([]/.test(run) || /^[\d:.,TZ+-]*$/.test(run) !== /^\d{6,}$/.test(run)) {
    return undefined
  }
  // Words go on; a secret has a digit or a sign.
  if (!isTold && !/[\d!@#$%^*+~]/.test(run)) return undefined
  return [start, runEnd(text, start, text.length)]
}

/** `${TOKEN}`, `{token}`, `%s`: places for values. */
function isTemplate(text: string, start: number): boolean {
  return /^(?:\$?\{|%[sdov@])/.test(text.slice(start, start + 2))
}

function runEnd(text: string, start: number, endMax: number): number {
  let at = start
  const max = Math.min(endMax, text.length)
  while (at < max) {
    const code = text.charCodeAt(at)
    if (code < 128 && STOPS[code] === 1) break
    at++
  }
  return at
}

/** From where to where a secret lies in its text, the end not included. */
export type Span = readonly [start: number, end: number]

/** Characters by kind, as bits: see the constants beside. */
const KINDS = new Uint8Array(128)
const DIGIT = 1
const UPPER = 2
const LOWER = 4
/** `_` and `-`. */
const JOIN = 8
/** What base64 and bearer tokens have besides. */
const TOKEN_SIGN = 16
for (const char of '0123456789') KINDS[char.charCodeAt(0)] = DIGIT
for (const char of 'ABCDEFGHIJKLMNOPQRSTUVWXYZ') KINDS[char.charCodeAt(0)] = UPPER
for (const char of 'abcdefghijklmnopqrstuvwxyz') KINDS[char.charCodeAt(0)] = LOWER
for (const char of '_-') KINDS[char.charCodeAt(0)] = JOIN
for (const char of './+=~') KINDS[char.charCodeAt(0)] = TOKEN_SIGN
const ALNUM = DIGIT | UPPER | LOWER
const WORD = ALNUM | JOIN

function is(text: string, at: number, kinds: number): boolean {
  const code = text.charCodeAt(at)
  return code < 128 && ((KINDS[code] ?? 0) & kinds) !== 0
}

function runEnd(text: string, from: number, kinds: number): number {
  let at = from
  while (is(text, at, kinds)) at++
  return at
}

/** Whether the character at `at` is a digit; not past the ends. */
export function isDigit(text: string, at: number): boolean {
  return is(text, at, DIGIT)
}

/** Whether the character at `at` can be part of a name: letters, digits, `_`, `-`. */
export function isNameChar(text: string, at: number): boolean {
  return is(text, at, WORD)
}

interface Shape {
  readonly prefix: string
  /** What must follow the prefix, where its last character alone is too frequent. */
  readonly next?: string
  readonly body: number
  readonly charsMin: number
  readonly charsMax?: number
  /** Kinds of which the body must hold one each. */
  readonly needs?: readonly number[]
}

const SHAPES: readonly Shape[] = [
  ...['AKIA', 'ASIA'].map((prefix) => ({
    prefix,
    body: DIGIT | UPPER,
    charsMin: 16,
    charsMax: 16,
  })),
  { prefix: 'AIz', body: WORD, charsMin: 30 },
  ...(
    'ghp_ gho_ ghu_ ghs_ ghr_ npm_ shpat_ shpss_ shpca_ hf_ gsk_ lin_api_ sbp_ rubygems_ dop_v1_ ' +
    'doo_v1_ pscale_pw_ pscale_tkn_ phx_ r8_ vcp_ vci_ vca_ vcr_ vck_'
  )
    .split(' ')
    .map((prefix) => ({ prefix, body: ALNUM, charsMin: 20 })),
  ...(
    'github_pat_ dckr_pat_ glsa_ glc_ figd_ sntryu_ EAAA_ ntn_ xai_ nfp_ CCIPAT_ sb_secret_ ' +
    'lsv2_pt_ lsv2_sk_ tskey-auth- tskey-api- tskey-client- tvly- PMAK- sk-lf- hvs. hvb. hvr. ' +
    'dp.pt. dp.st. atlasv1.'
  )
    .split(' ')
    .map((prefix) => ({ prefix, body: WORD, charsMin: 20 })),
  { prefix: 'sntrys_', body: WORD | TOKEN_SIGN, charsMin: 20 },
  ...['sk_live_', 'sk_test_', 'rk_live_', 'rk_test_', 'whsec_'].map((prefix) => ({
    prefix,
    body: ALNUM,
    charsMin: 8,
  })),
  // Our own: `ei_<kind>_<digits>`.
  { prefix: 'ei_', body: WORD, charsMin: 10, needs: [JOIN, DIGIT] },
  ...['xoxa-', 'xoxb-', 'xoxe-', 'xoxo-', 'xoxp-', 'xoxr-', 'xoxs-', 'xapp-'].map((prefix) => ({
    prefix,
    body: WORD,
    charsMin: 10,
  })),
  ...(
    'glpat- gldt- glrt- glptt- glft- glcbt- glsoat- glimt- glagent- gloas- glffct- GOCSPX- ' +
    'sq0atp- sq0csp- pypi-'
  )
    .split(' ')
    .map((prefix) => ({ prefix, body: WORD, charsMin: 16 })),
  ...['NRAK-', 'AGE-SECRET-KEY-'].map((prefix) => ({
    prefix,
    body: DIGIT | UPPER,
    charsMin: 20,
  })),
  { prefix: 'sk-', body: WORD, charsMin: 20, needs: [DIGIT, UPPER, LOWER] },
  { prefix: 'sk-', body: DIGIT | LOWER, charsMin: 32, charsMax: 32, needs: [DIGIT, LOWER] },
  { prefix: 'sk-or-v1-', body: ALNUM, charsMin: 32 },
  // Databricks, Pulumi: as many hexadecimal digits.
  { prefix: 'dapi', body: DIGIT | LOWER, charsMin: 32, charsMax: 32, needs: [DIGIT] },
  { prefix: 'pul-', body: DIGIT | LOWER, charsMin: 40, charsMax: 40, needs: [DIGIT] },
  { prefix: 'SK', body: DIGIT | LOWER, charsMin: 32, charsMax: 32, needs: [DIGIT, LOWER] },
  { prefix: 's.', body: ALNUM, charsMin: 24, charsMax: 24, needs: [DIGIT, UPPER, LOWER] },
  { prefix: 'EAA', body: ALNUM, charsMin: 37, needs: [DIGIT, UPPER, LOWER] },
  { prefix: 'secret_', body: ALNUM, charsMin: 40, charsMax: 50, needs: [DIGIT, UPPER, LOWER] },
  { prefix: 'NRII-', body: WORD, charsMin: 30 },
  { prefix: 'LTAI', body: ALNUM, charsMin: 16, charsMax: 24, needs: [DIGIT] },
  { prefix: 'ABSK', body: ALNUM | TOKEN_SIGN, charsMin: 80 },
  { prefix: 'ops_', next: 'eyJ', body: WORD | TOKEN_SIGN, charsMin: 40 },
  { prefix: 'key-', body: DIGIT | LOWER, charsMin: 32, charsMax: 32, needs: [DIGIT] },
  { prefix: 'SG', body: WORD | TOKEN_SIGN, charsMin: 30, needs: [TOKEN_SIGN, DIGIT] },
  { prefix: 'ATA', next: 'TT3', body: WORD | TOKEN_SIGN, charsMin: 20 },
]

const TAILS = 128
/** Shapes by the last two characters of their prefix: most of what ends in `_` or `-` is none. */
const SHAPES_BY_TAIL = new Map<number, Shape[]>()
const IS_TAIL = new Uint8Array(TAILS * TAILS)
for (const shape of SHAPES) {
  const tail = tailAt(shape.prefix, shape.prefix.length - 1)
  SHAPES_BY_TAIL.set(tail, [...(SHAPES_BY_TAIL.get(tail) ?? []), shape])
  IS_TAIL[tail] = 1
}
/** The last characters of all prefixes of tokens, of a JWT's `eyJ`, and of Azure's marks: where {@link token} may find one. */
export const TOKEN_ENDS: readonly number[] = [
  ...new Set([...SHAPES_BY_TAIL.keys()].map((tail) => tail % TAILS)),
  0x4a,
  0x4f,
]

/**
 * Whether the character at `at`, one of {@link TOKEN_ENDS}, may end the prefix of a token: what is asked of
 * each of them, so it is cheap.
 */
export function endsPrefix(text: string, at: number): boolean {
  const code = text.charCodeAt(at)
  return code === 0x4a || code === 0x4f || IS_TAIL[tailAt(text, at)] === 1
}

function tailAt(text: string, at: number): number {
  return text.charCodeAt(at - 1) * TAILS + text.charCodeAt(at)
}

/** The token of a well-known shape whose prefix ends at `at`, prefix and all. */
export function token(text: string, at: number): Span | undefined {
  if (text.charCodeAt(at) === 0x4a) return jwt(text, at - 2) ?? azureKey(text, at)
  if (text.charCodeAt(at) === 0x4f) return azureKey(text, at)
  const tail = tailAt(text, at)
  if (IS_TAIL[tail] !== 1) return undefined
  for (const { prefix, next, body, charsMin, charsMax, needs } of SHAPES_BY_TAIL.get(tail) ?? []) {
    const start = at + 1 - prefix.length
    if (!text.startsWith(prefix, start) || isNameChar(text, start - 1)) continue
    if (next !== undefined && !text.startsWith(next, at + 1)) continue
    const end = runEnd(text, at + 1, body)
    const chars = end - at - 1
    if (chars < charsMin || (charsMax !== undefined && chars > charsMax)) continue
    if (needs === undefined || needs.every((kind) => holds(text, at + 1, end, kind))) {
      return [start, end]
    }
  }
  return undefined
}

function holds(text: string, start: number, end: number, kinds: number): boolean {
  for (let at = start; at < end; at++) if (is(text, at, kinds)) return true
  return false
}

/** Each part is read at most twice: once as a second part, once as a first. */
function jwt(text: string, start: number): Span | undefined {
  if (start < 0 || !text.startsWith('eyJ', start) || isNameChar(text, start - 1)) return undefined
  let end = runEnd(text, start, WORD)
  if (end - start < 8 || text.charCodeAt(end) !== 0x2e) return undefined
  const second = end + 1
  end = runEnd(text, second, WORD)
  if (end - second < 4) return undefined
  // The signature, and the two parts more of an encrypted one.
  for (let part = 0; part < 3 && text.charCodeAt(end) === 0x2e; part++) {
    end = runEnd(text, end + 1, WORD)
  }
  return [start, end]
}

/** An access token of Google, `ya29.…`, whose digits are from `start` to `end`. */
export function googleToken(text: string, start: number, end: number): Span | undefined {
  if (end - start !== 2 || text.charCodeAt(end) !== 0x2e || text.charCodeAt(start - 1) !== 0x61) {
    return undefined
  }
  if (!text.startsWith('ya29.', start - 2) || isNameChar(text, start - 3)) return undefined
  const last = runEnd(text, end + 1, WORD)
  return last - end > 20 ? [start - 2, last] : undefined
}

/** Keys of Azure hold their mark in the middle: so many characters before and behind it. */
const AZURE_MARKS = [
  { mark: 'AZDO', before: 70, after: 4 },
  { mark: 'JQQJ99', before: 50, after: 20 },
] as const
const AZURE_CHARS_MAX = 90

/** A key of Azure, whose mark ends with the `O` or begins with the `JQ` at `at`. */
function azureKey(text: string, at: number): Span | undefined {
  for (const { mark, before, after } of AZURE_MARKS) {
    const from = mark === 'AZDO' ? at - 3 : at
    if (!text.startsWith(mark, from)) continue
    let start = from
    while (from - start <= AZURE_CHARS_MAX && is(text, start - 1, ALNUM)) start--
    let end = from + mark.length
    while (end - from <= AZURE_CHARS_MAX && is(text, end, ALNUM)) end++
    const isKey = from - start >= before && end - from - mark.length >= after
    if (isKey && end - start <= AZURE_CHARS_MAX) return [start, end]
  }
  return undefined
}

/** A client secret of Microsoft's Entra ID: three characters, a digit, `Q~`, whose tilde is at `at`, and 31 to 34 more. */
export function entraSecret(text: string, at: number): Span | undefined {
  if (text.charCodeAt(at - 1) !== 0x51 || !isDigit(text, at - 2)) return undefined
  const isPart = (index: number) =>
    is(text, index, WORD) || '.~'.includes(text.charAt(index) || ' ')
  const start = at - 5
  if (start < 0 || ![start, start + 1, start + 2].every(isPart) || isPart(start - 1))
    return undefined
  let end = at + 1
  while (end - at <= 36 && isPart(end)) end++
  const chars = end - at - 1
  return chars >= 31 && chars <= 35 ? [start, end] : undefined
}

/** A refresh token of Google, `1//0…`, whose first digit is at `start`. */
export function refreshToken(text: string, start: number): Span | undefined {
  if (!text.startsWith('1//0', start) || isNameChar(text, start - 1)) return undefined
  if (text.charCodeAt(start - 1) === 0x2f) return undefined
  const end = runEnd(text, start + 4, WORD)
  return end - start >= 40 ? [start, end] : undefined
}

const BRANDS: readonly { readonly start: RegExp; readonly digits: readonly number[] }[] = [
  { start: /^4/, digits: [13, 16, 19] },
  { start: /^(?:5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720)/, digits: [16] },
  { start: /^3[47]/, digits: [15] },
  { start: /^(?:6011|64[4-9]|65)/, digits: [16, 17, 18, 19] },
  { start: /^35/, digits: [16, 17, 18, 19] },
  { start: /^3(?:0[0-5]|[689])/, digits: [14] },
  { start: /^62/, digits: [16, 17, 18, 19] },
]

/**
 * The card number that starts with the digits from `start` to `end`: of a known brand and its
 * lengths, with a true check digit, in one piece or in groups of four and more between single
 * spaces, dashes or dots.
 */
export function card(text: string, start: number, end: number): Span | undefined {
  const before = text.charCodeAt(start - 1)
  // A plus starts a phone number; a dot before means a fraction; letters mean an identifier.
  if (is(text, start - 1, ALNUM) || before === 0x2b || before === 0x2e) return undefined
  if (before === 0x20 && /\+\d{1,3} $/.test(text.slice(Math.max(0, start - 5), start)))
    return undefined
  let digits = text.slice(start, end)
  let at = end
  for (let group = 0; group < 5 && digits.length <= 19; group++) {
    if (digits.length >= 13 && endsCleanly(text, at) && isCard(digits)) return [start, at]
    const separator = text.charCodeAt(at)
    if (separator !== 0x20 && separator !== 0x2d && separator !== 0x2e) return undefined
    let next = at + 1
    while (next - at <= 20 && isDigit(text, next)) next++
    const chars = next - at - 1
    // Groups shorter than four only stand at the end, as in the 4-6-5 of American Express they never do.
    if (chars === 0 || (chars < 4 && digits.length < 12)) return undefined
    digits += text.slice(at + 1, next)
    at = next
  }
  return undefined
}

function endsCleanly(text: string, at: number): boolean {
  if (is(text, at, ALNUM)) return false
  return text.charCodeAt(at) !== 0x2e || !isDigit(text, at + 1)
}

function isCard(digits: string): boolean {
  if (!BRANDS.some((brand) => brand.digits.includes(digits.length) && brand.start.test(digits))) {
    return false
  }
  let sum = 0
  for (let at = 0; at < digits.length; at++) {
    const digit = digits.charCodeAt(digits.length - 1 - at) - 48
    const doubled = at % 2 === 0 ? digit : digit * 2
    sum += doubled > 9 ? doubled - 9 : doubled
  }
  return sum % 10 === 0
}

/** The credential after `Bearer` or `Basic` at `at`, where it is one and not the next word. */
export function scheme(text: string, at: number): Span | undefined {
  if (is(text, at - 1, ALNUM)) return undefined
  const second = text.charCodeAt(at + 1) | 0x20
  if (second !== 0x65 && second !== 0x61) return undefined
  const isBearer = second === 0x65
  const word = isBearer ? 'bearer' : 'basic'
  let start = at + word.length
  if (text.charCodeAt(start) !== 0x20 || text.slice(at, start).toLowerCase() !== word) {
    return undefined
  }
  while (start < at + 10 && text.charCodeAt(start) === 0x20) start++
  const end = runEnd(text, start, WORD | TOKEN_SIGN)
  const isSecret = isBearer ? isBearerToken(text, start, end) : isBasicPair(text, start, end)
  return isSecret ? [start, end] : undefined
}

/** A sentence goes on in lower-case words: a token is long or holds what words do not. */
function isBearerToken(text: string, start: number, end: number): boolean {
  if (end - start < 6) return false
  if (end - start >= 20 || holds(text, start, end, DIGIT)) return true
  if (holds(text, start, end - 1, TOKEN_SIGN) || text.slice(start, end).includes('_')) return true
  return holds(text, start + 1, end, UPPER) && holds(text, start + 1, end, LOWER)
}

function isBasicPair(text: string, start: number, end: number): boolean {
  if (end - start < 6 || end - start > 4096) return false
  const run = text.slice(start, end)
  if (/[^A-Za-z\d+/=]/.test(run)) return false
  if (run.endsWith('=') || holds(text, start, end, DIGIT)) return true
  return run.length % 4 === 0 && !run.includes('=') && atob(run).includes(':')
}

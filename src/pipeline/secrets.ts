import {
  botToken,
  commandOption,
  element,
  encodedPair,
  escapedPair,
  sqlPassword,
  webhook,
} from './secretForms.ts'
import type { NameKind } from './secretNames.ts'
import { pair, sentence, SCRUBBED } from './secretPairs.ts'
import {
  card,
  endsPrefix,
  entraSecret,
  googleToken,
  isDigit,
  refreshToken,
  scheme,
  token,
  TOKEN_ENDS,
  type Span,
} from './secretShapes.ts'

/** What may begin a secret at a character. */
const SIGN = 1
const DIGIT = 2
const TOKEN_END = 3
const SCHEME = 4
/** The end of an opening tag, a per cent sign, a quote: forms of their own. */
const FORM = 5
/** The end of `is`: `the password is …`. */
const SAID = 6
const TRIGGERS = new Uint8Array(128)
for (const char of '0123456789') TRIGGERS[char.charCodeAt(0)] = DIGIT
for (const code of TOKEN_ENDS) TRIGGERS[code] = TOKEN_END
for (const char of 'bB') TRIGGERS[char.charCodeAt(0)] = SCHEME
for (const char of '=:') TRIGGERS[char.charCodeAt(0)] = SIGN
TRIGGERS['s'.charCodeAt(0)] = SAID
for (const char of ">%'~") TRIGGERS[char.charCodeAt(0)] = FORM

const DASH = 0x2d

/** Replacing can bring two harmless neighbours together; more rounds than this were never needed. */
const ROUNDS_MAX = 4
const PEM_CHARS_MAX = 16 * 1024

/**
 * The text with every secret in it replaced by `[scrubbed]`; the same string where there is none.
 * Reads each character once, looks at most a fixed number of characters around those that can
 * belong to a secret, and skips what it found: the time is linear in the length for any input.
 */
export function scrubText(text: string, names: (name: string) => NameKind): string {
  let scrubbed = text
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const spans = findSecrets(scrubbed, names)
    if (spans === undefined) return scrubbed
    scrubbed = replace(scrubbed, spans)
  }
  return scrubbed
}

function replace(text: string, spans: readonly Span[]): string {
  let replaced = ''
  let from = 0
  for (const [start, end] of spans) {
    replaced += text.slice(from, start) + SCRUBBED
    from = end
  }
  return replaced + text.slice(from)
}

function findSecrets(text: string, names: (name: string) => NameKind): Span[] | undefined {
  let spans: Span[] | undefined
  let floor = 0
  const length = text.length
  for (let at = 0; at < length; at++) {
    const code = text.charCodeAt(at)
    if (code >= 128) continue
    const trigger = TRIGGERS[code]
    if (trigger === 0) continue
    if (trigger === TOKEN_END && !endsPrefix(text, at) && code !== DASH) continue
    if (trigger === SAID && text.charCodeAt(at - 1) !== 0x69) continue
    let span: Span | undefined
    if (trigger === DIGIT) {
      let end = at + 1
      while (isDigit(text, end)) end++
      // Cards start with four digits of a brand from 2 to 6.
      if (end - at >= 4 && code >= 0x32 && code <= 0x36) span = card(text, at, end)
      else if (code === 0x32) span = googleToken(text, at, end)
      else if (code === 0x31) span = refreshToken(text, at)
      if (span === undefined) at = end - 1
    } else {
      span = secretAt(text, at, floor, trigger, names)
    }
    if (span === undefined || span[0] < floor) continue
    spans ??= []
    spans.push(span)
    floor = span[1]
    at = floor - 1
  }
  return spans
}

function secretAt(
  text: string,
  at: number,
  floor: number,
  trigger: number | undefined,
  names: (name: string) => NameKind,
): Span | undefined {
  const code = text.charCodeAt(at)
  if (trigger === SIGN) {
    if (isUrl(text, at)) return userInfo(text, at + 3) ?? webhook(text, at + 3)
    return pair(text, at, floor, names) ?? botToken(text, at) ?? escapedPair(text, at, names)
  }
  if (trigger === SCHEME) return scheme(text, at)
  if (trigger === SAID) return sentence(text, at, floor, names)
  if (trigger === FORM) {
    if (code === 0x7e) return entraSecret(text, at)
    if (code === 0x25) return encodedPair(text, at, names)
    return code === 0x27 ? sqlPassword(text, at, names) : element(text, at, names)
  }
  if (code !== DASH) return token(text, at)
  if (text.charCodeAt(at + 1) === 0x2d && text.charCodeAt(at + 2) === 0x2d) return pem(text, at)
  return token(text, at) ?? commandOption(text, at, names)
}

function isUrl(text: string, at: number): boolean {
  return (
    text.charCodeAt(at) === 0x3a &&
    text.charCodeAt(at + 1) === 0x2f &&
    text.charCodeAt(at + 2) === 0x2f
  )
}

/** User and password before the `@` of the authority at `start`; a bare user only where it is long. */
function userInfo(text: string, start: number): Span | undefined {
  let colon = -1
  let sign = -1
  for (let at = start; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code < 128 && ENDS_AUTHORITY[code] === 1) break
    if (code === 0x3a && colon === -1) colon = at
    if (code === 0x40) sign = at
  }
  if (sign === -1 || text.startsWith(SCRUBBED, start)) return undefined
  if (colon !== -1 && colon < sign) return [start, sign]
  const user = text.slice(start, Math.min(sign, start + 256))
  return user.length >= 20 && /\d/.test(user) ? [start, sign] : undefined
}
const ENDS_AUTHORITY = new Uint8Array(128).fill(1, 0, 0x21)
for (const char of '/?#"\'<>`\\)') ENDS_AUTHORITY[char.charCodeAt(0)] = 1

/** A private key from `-----BEGIN` to its end, or as far as it goes in a text that was cut. */
function pem(text: string, at: number): Span | undefined {
  if (!text.startsWith('-----BEGIN ', at)) return undefined
  const head = /^-----BEGIN [A-Z\d ]{0,40}PRIVATE KEY(?: BLOCK)?-----/.exec(text.slice(at, at + 80))
  if (head === null) return undefined
  const body = at + head[0].length
  // The next dashes end the body, whatever they begin, so that no part of the text is read twice.
  let end = body
  while (end < text.length && end - body < PEM_CHARS_MAX && isPemChar(text.charCodeAt(end))) {
    if (text.startsWith('-----', end)) break
    end++
  }
  const foot = /^-----END [A-Z\d ]{0,40}PRIVATE KEY(?: BLOCK)?-----/.exec(text.slice(end, end + 80))
  if (foot !== null) return [at, end + foot[0].length]
  // Without its end the key was cut off, or a sentence speaks of one: words have blanks between them.
  let cut = body
  while (cut < end && text.charCodeAt(cut) !== 0x20) cut++
  return cut - body >= 16 ? [at, cut] : undefined
}

function isPemChar(code: number): boolean {
  // Printable except quotes, and line ends: headers such as `Proc-Type: 4,ENCRYPTED` belong to it.
  return (
    (code >= 0x20 && code < 0x7f && code !== 0x22 && code !== 0x27) || (code >= 9 && code <= 13)
  )
}

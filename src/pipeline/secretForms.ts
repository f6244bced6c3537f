import type { NameKind } from './secretNames.ts'
import { isDigit, isNameChar, type Span } from './secretShapes.ts'

/** Forms in which a name and its secret stand without `=` or `:` between them. */
type Form = (text: string, at: number, names: (name: string) => NameKind) => Span | undefined

const NAME_CHARS_MAX = 64
/** Of an element's attributes, and of a name in a command. */
const TAG_CHARS_MAX = 256
const TELEGRAM_CHARS = 33

const isBlank = (code: number): boolean => code === 0x20 || code === 0x09
const isEnd = (code: number): boolean => Number.isNaN(code) || code <= 0x20

/** `<password>…</password>`, whose opening tag ends with the `>` at `at`; with attributes too. */
export const element: Form = (text, at, names) => {
  const beforeEnd = text.charCodeAt(at - 1)
  // An arrow, an end of a comment, an empty element.
  if (beforeEnd === 0x3d || beforeEnd === 0x2d || beforeEnd === 0x2f) return undefined
  let open = at - 1
  const openMin = Math.max(0, at - TAG_CHARS_MAX)
  while (open >= openMin && !isAngle(text.charCodeAt(open))) open--
  if (open < openMin || text.charCodeAt(open) !== 0x3c) return undefined
  const tag = /^[\w:.-]{1,64}/.exec(
    text.slice(open + 1, Math.min(at, open + 1 + NAME_CHARS_MAX)),
  )?.[0]
  if (tag === undefined || names(tag) === 'plain') return undefined
  const close = text.indexOf('<', at)
  // Only what the same name closes is an element: `Map<Token>` of a program is none.
  if (close <= at + 1 || !text.startsWith(`</${tag}>`, close)) return undefined
  return plainSpan(text, at + 1, close)
}

function isAngle(code: number): boolean {
  return code === 0x3c || code === 0x3e
}

/** `token%3Dabc` and `%22token%22%3A%22abc%22`: a pair within an encoded URL, its sign at `at`. */
export const encodedPair: Form = (text, at, names) => {
  const sign = text.charCodeAt(at + 2) | 0x20
  if (text.charCodeAt(at + 1) !== 0x33 || (sign !== 0x64 && sign !== 0x61)) return undefined
  const end = text.startsWith('%22', at - 3) ? at - 3 : at
  let from = end
  while (from > end - NAME_CHARS_MAX && isNameChar(text, from - 1)) from--
  // The digits of the encoded sign before the name are none of its letters.
  if (text.charCodeAt(from - 1) === 0x25) from += 2
  if (from >= end || names(text.slice(from, end)) === 'plain') return undefined
  const start = text.startsWith('%22', at + 3) ? at + 6 : at + 3
  let stop = start
  while (!endsEncoded(text, stop)) stop++
  return plainSpan(text, start, stop)
}

/** Encoded `&`, `"`, `#`, `,`, `;`, `}` and blank, and all that no encoded text holds. */
function endsEncoded(text: string, at: number): boolean {
  const code = text.charCodeAt(at)
  if (code !== 0x25) return isEnd(code) || '&"\'<>`#)]},;\\'.includes(text.charAt(at))
  const next = text.charCodeAt(at + 1)
  const last = text.charCodeAt(at + 2) | 0x20
  if (next === 0x32) return '02367c'.includes(String.fromCharCode(last))
  return (next === 0x33 && last === 0x62) || (next === 0x37 && last === 0x64)
}

const ESCAPED_QUOTE = '\\u0022'

/** `\u0022token\u0022:\u0022abc\u0022`: JSON within JSON, as some encoders write it; the colon at `at`. */
export const escapedPair: Form = (text, at, names) => {
  if (text.charCodeAt(at - 1) !== 0x32 || !text.startsWith(ESCAPED_QUOTE, at - 6)) return undefined
  const end = at - 6
  let from = end
  while (from > end - NAME_CHARS_MAX && isNameChar(text, from - 1)) from--
  // The digits of the escaped quote before the name are none of its letters.
  if (text.startsWith(ESCAPED_QUOTE, from - 1)) from += 5
  if (from >= end || names(text.slice(from, end)) === 'plain') return undefined
  const isText = text.startsWith(ESCAPED_QUOTE, at + 1)
  const start = isText ? at + 7 : at + 1
  let stop = start
  while (!isEnd(text.charCodeAt(stop)) || isBlank(text.charCodeAt(stop))) {
    if (text.startsWith(ESCAPED_QUOTE, stop)) break
    if (!isText && ',}]'.includes(text.charAt(stop))) break
    stop++
  }
  return plainSpan(text, start, stop)
}

/** `PASSWORD '…'` and `IDENTIFIED … BY '…'` of SQL, the value's quote at `at`. */
export const sqlPassword: Form = (text, at) => {
  const last = text.charCodeAt(at - 2) | 0x20
  if (text.charCodeAt(at - 1) !== 0x20 || (last !== 0x64 && last !== 0x79 && last !== 0x3d)) {
    return undefined
  }
  const before = text.slice(Math.max(0, at - 48), at)
  if (!SQL_PASSWORD.test(before)) return undefined
  const close = text.indexOf("'", at + 1)
  return plainSpan(text, at + 1, close === -1 ? text.length : close)
}
const SQL_PASSWORD =
  /\b(?:(?:with|(?:role|user) [^\s']{1,24}) (?:encrypted )?password|identified (?:with \w{1,24} )?by(?: password)?|password for [^\s=]{1,24} =) $/i

/** `--password hunter2`, `--user name:password`, `-u name:password`; the first dash at `at`. */
export const commandOption: Form = (text, at, names) => {
  if (at > 0 && !isEnd(text.charCodeAt(at - 1)) && !'"\'[,'.includes(text.charAt(at - 1))) {
    return undefined
  }
  const nameStart = text.charCodeAt(at + 1) === 0x2d ? at + 2 : at + 1
  let nameEnd = nameStart
  while (nameEnd < nameStart + NAME_CHARS_MAX && isNameChar(text, nameEnd)) nameEnd++
  if (nameEnd === nameStart || !isBlank(text.charCodeAt(nameEnd))) return undefined
  let start = nameEnd + 1
  const quote = text.charCodeAt(start)
  if (quote === 0x22 || quote === 0x27) start++
  const first = text.charCodeAt(start)
  // The next option, a variable or a place for a value.
  if (isEnd(first) || first === 0x2d || '$<%{['.includes(text.charAt(start))) return undefined
  const name = text.slice(nameStart, nameEnd)
  if (name === 'u' || name === 'user' || name === 'proxy-user') return afterColon(text, start)
  if (nameStart === at + 1 || names(name) === 'plain') return undefined
  let end = start
  while (!isEnd(text.charCodeAt(end)) && !'"\'`'.includes(text.charAt(end))) end++
  // `--password must be set`: words go on, and a password among them has a digit or a sign.
  const value = text.slice(start, Math.min(end, start + TAG_CHARS_MAX))
  return /[\d!@#$%^*+~=]/.test(value) ? [start, end] : undefined
}

/** The password of `name:password`; a port or an address has none. */
function afterColon(text: string, start: number): Span | undefined {
  let colon = start
  while (colon < start + TAG_CHARS_MAX && isNameOrSign(text, colon)) colon++
  if (colon === start || text.charCodeAt(colon) !== 0x3a) return undefined
  let end = colon + 1
  while (!isEnd(text.charCodeAt(end)) && !'"\'`'.includes(text.charAt(end))) end++
  // A path, and the numbers of a user and a group.
  if (text.charCodeAt(colon + 1) === 0x2f || /^[\d:]{0,20}$/.test(text.slice(start, end))) {
    return undefined
  }
  return plainSpan(text, colon + 1, end)
}

function isNameOrSign(text: string, at: number): boolean {
  return isNameChar(text, at) || '.@+\\'.includes(text.charAt(at) || ' ')
}

/** The secret path of a webhook, whose host begins at `start`: who knows it may post. */
export function webhook(text: string, start: number): Span | undefined {
  const first = text.charCodeAt(start)
  if (first !== 0x68 && first !== 0x64) return undefined
  const prefix = WEBHOOKS.find((each) => text.startsWith(each, start))
  if (prefix === undefined) return undefined
  let end = start + prefix.length
  while (isNameChar(text, end) || text.charCodeAt(end) === 0x2f) end++
  return plainSpan(text, start + prefix.length, end)
}
const WEBHOOKS = [
  'hooks.slack.com/services/',
  'hooks.slack.com/workflows/',
  'discord.com/api/webhooks/',
  'discordapp.com/api/webhooks/',
]

/** A bot's token of Telegram, `<digits>:AA…`, whose colon is at `at`. */
export function botToken(text: string, at: number): Span | undefined {
  if (text.charCodeAt(at + 1) !== 0x41 || text.charCodeAt(at + 2) !== 0x41) return undefined
  let start = at
  while (at - start < 12 && isDigit(text, start - 1)) start--
  if (at - start < 8 || at - start > 10) return undefined
  let end = at + 3
  while (end < at + 4 + TELEGRAM_CHARS && isNameChar(text, end)) end++
  const chars = end - at - 1
  return chars >= TELEGRAM_CHARS && chars <= TELEGRAM_CHARS + 2 ? [start, end] : undefined
}

/** A span that holds something, and nothing that was scrubbed before. */
function plainSpan(text: string, start: number, end: number): Span | undefined {
  return start >= end || text.startsWith('[scrubbed]', start) ? undefined : [start, end]
}

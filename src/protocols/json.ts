import { Refusal } from '../refusal.ts'
import type { Json, JsonObject } from '../occurrence.ts'

/** Readers for JSON that strangers wrote: what has the wrong type counts as absent. */

/**
 * Parses UTF-8 bytes; bytes that are no UTF-8 become U+FFFD, so one bad byte costs one character, and so do
 * surrogates without a partner: no text of it has any.
 * @throws Refusal `malformed` naming `what` when it is no JSON.
 */
export function parseJson(source: Uint8Array, what: string): Json {
  const text = decoder.decode(source)
  let value: unknown
  try {
    value = JSON.parse(withoutLoneSurrogates(text))
  } catch (cause) {
    throw new Refusal('malformed', `${what} is not JSON.`, { cause })
  }
  if (!isJson(value)) throw new Refusal('malformed', `${what} is not JSON.`)
  return value
}

const decoder = new TextDecoder()

/** Every escape of a JSON text: pairs of surrogates first, then lone ones, then all others. */
const ESCAPES =
  /\\u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|\\u[dD][89a-fA-F][\da-fA-F]{2}|\\[^]/g

/**
 * The same JSON, with U+FFFD for each surrogate that has no partner. Valid UTF-8 holds none, so they
 * come only as escapes, and texts without such escapes (nearly all) are searched once and left alone.
 */
export function withoutLoneSurrogates(text: string): string {
  if (!text.includes('\\u')) return text
  if (!text.includes('\\ud') && !text.includes('\\uD')) return text
  return text.replace(ESCAPES, (escape) => (escape.length === 6 ? '\\ufffd' : escape))
}

/** A JSON object that is being made. */
export type MutableJsonObject = Record<string, Json>

/** Sets an entry, also one that is named `__proto__`, which must stay an ordinary name. */
export function put(object: MutableJsonObject, name: string, value: Json): void {
  if (name === '__proto__') {
    Object.defineProperty(object, name, {
      value,
      enumerable: true,
      configurable: true,
      writable: true,
    })
  } else object[name] = value
}

/** A JSON object, as opposed to an array, a text, a number, a boolean or nothing. */
export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The object, or undefined. */
export function objectOf(value: Json | undefined): JsonObject | undefined {
  return isObject(value) ? value : undefined
}

/** The array's elements, or none. */
export function listOf(value: Json | undefined): readonly Json[] {
  return isList(value) ? value : []
}

/** A text that is not empty; numbers and booleans count as their text. */
export function textOf(value: Json | undefined): string | undefined {
  if (typeof value === 'string') return value === '' ? undefined : value
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : undefined
}

/** A finite number, also one that was written as text. */
export function numberOf(value: Json | undefined): number | undefined {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value
  return typeof number === 'number' && Number.isFinite(number) ? number : undefined
}

/** The entries that are there: an answer never carries `undefined`. */
export function present(fields: Readonly<Record<string, Json | undefined>>): JsonObject {
  const kept: MutableJsonObject = {}
  for (const name in fields) {
    const value = fields[name]
    if (value !== undefined && value !== null) put(kept, name, value)
  }
  return kept
}

/**
 * Milliseconds since the epoch of a date text (without a zone: UTC) or of a number of seconds.
 * Undefined for what is no date of 1970 or later.
 */
export function timeOf(value: Json | undefined): number | undefined {
  const seconds = numberOf(value)
  const ms =
    seconds === undefined
      ? typeof value === 'string'
        ? Date.parse(zoned(value))
        : Number.NaN
      : seconds * 1000
  return ms >= 0 && ms <= DATE_MS_MAX ? Math.round(ms) : undefined
}

// 9999-12-31T23:59:59.999Z: what an ISO date of four digits can say.
const DATE_MS_MAX = 253_402_300_799_999

function zoned(text: string): string {
  if (text.length > 64) return ''
  return /^\d{4}-\d\d-\d\d[T ][\d:.,]+$/.test(text) ? `${text.replace(' ', 'T')}Z` : text
}

function isList(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value)
}

// JSON.parse makes nothing but JSON; the compiler is told so here, once.
function isJson(value: unknown): value is Json {
  return value !== undefined
}

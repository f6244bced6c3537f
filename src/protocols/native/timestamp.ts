/** Date, time and zone of ISO 8601, extended format; seconds and their fraction may be absent. */
const ISO =
  /^(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[Tt ]([01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:[.,]\d{1,12})?)?(?:[Zz]|[+-](?:[01]\d|2[0-3])(?::?[0-5]\d)?)$/

/**
 * Milliseconds since the Unix epoch, rounded down, or undefined when the text is no ISO 8601 date
 * and time with zone, names a day that does not exist, or lies before 1970.
 */
export function parseTimestamp(text: string): number | undefined {
  const plain = text.length === 24 ? plainMs(text) : undefined
  if (plain !== undefined) return plain
  if (!ISO.test(text)) return undefined
  if (text.charCodeAt(8) >= 51 /* 3 */ && !isDayOfMonth(text)) return undefined
  if (text.startsWith('02-29', 5) && !isDayOfMonth(text)) return undefined
  const ms = text.length === 24 ? Date.parse(text) : Date.parse(inPlainForm(text))
  return ms >= 0 ? ms : undefined
}

/**
 * The form that `toISOString` writes, which nearly all clients use, of a day that every month has; read
 * by hand, since the expression and Date.parse take four times as long.
 */
function plainMs(text: string): number | undefined {
  const [year, month, day] = [number(text, 0, 4), number(text, 5, 2), number(text, 8, 2)]
  const [hour, minute, second] = [number(text, 11, 2), number(text, 14, 2), number(text, 17, 2)]
  const ms = number(text, 20, 3)
  if (text[4] !== '-' || text[7] !== '-' || text[10] !== 'T') return undefined
  if (text[13] !== ':' || text[16] !== ':' || text[19] !== '.' || text[23] !== 'Z') return undefined
  if (!(year >= 1970 && month >= 1 && month <= 12 && day >= 1 && day <= 28)) return undefined
  if (!(hour < 24 && minute < 60 && second < 60 && ms < 1_000)) return undefined
  return Date.UTC(year, month - 1, day, hour, minute, second, ms)
}

/** Decimal digits as a number; NaN where there are others. */
function number(text: string, start: number, length: number): number {
  let value = 0
  for (let at = start; at < start + length; at += 1) {
    const digit = text.charCodeAt(at) - 48
    if (digit < 0 || digit > 9) return Number.NaN
    value = value * 10 + digit
  }
  return value
}

function isDayOfMonth(text: string): boolean {
  const [year, month, day] = [text.slice(0, 4), text.slice(5, 7), text.slice(8, 10)].map(Number)
  if (year === undefined || month === undefined || day === undefined) return false
  const date = new Date(0)
  date.setUTCFullYear(year, month - 1, day)
  return date.getUTCDate() === day
}

/** The one form that every engine's Date.parse must understand. */
function inPlainForm(text: string): string {
  return text
    .toUpperCase()
    .replace(' ', 'T')
    .replace(',', '.')
    .replace(/\.(\d{1,3})\d*/, (_, digits: string) => `.${digits.padEnd(3, '0')}`)
    .replace(/([+-]\d\d)$/, (zone) => (text.length > 10 ? `${zone}:00` : zone))
    .replace(/([+-]\d\d)(\d\d)$/, '$1:$2')
}

// Characters that a browser hides, or that turn the text around them: shown by their code point, because
// an event's text is written by whoever can reach the intake. ZWJ and ZWNJ stay, emoji and Persian need them.
const UNSEEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]/u

/** Text from an event: isolated in its direction, with invisible characters made visible. */
export function Text({ value }: { readonly value: string }) {
  const parts = value.replaceAll('\r\n', '\n').split(new RegExp(`(${UNSEEN.source})`, 'gu'))
  return (
    <bdi>
      {parts.map((part, i) => (i % 2 === 1 ? <span class="unseen">{name(part)}</span> : part))}
    </bdi>
  )
}

/** The same text for a place that takes no elements, such as a title. */
export function plain(value: string): string {
  return value.replaceAll(new RegExp(UNSEEN.source, 'gu'), name)
}

/** At most `charsMax` characters of a text, without cutting one in half, and an ellipsis where it was cut. */
export function clip(value: string, charsMax: number): string {
  if (value.length <= charsMax) return value
  return `${value.slice(0, charsMax).replace(/[\ud800-\udbff]$/, '')}…`
}

/** A whole number as people read it: `12,345`. */
export function number(value: number): string {
  return value.toLocaleString('en-US')
}

/** A count and its noun: `1 event`, `2,000 events`. */
export function counted(count: number, noun: string): string {
  return `${number(count)} ${noun}${count === 1 ? '' : 's'}`
}

/** A moment, exact to the second, in UTC: `2026-01-15 10:30:00 UTC`. */
export function exact(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19).replace('T', ' ')} UTC`
}

const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1_000],
] as const

/** How long ago a moment was, in its largest unit: `3 min ago`. */
export function ago(ms: number, nowMs: number): string {
  const passed = Math.abs(nowMs - ms)
  const unit = UNITS.find(([, length]) => passed >= length)
  if (unit === undefined) return 'just now'
  const count = `${number(Math.floor(passed / unit[1]))} ${unit[0]}`
  return ms > nowMs ? `in ${count}` : `${count} ago`
}

/** A moment of an event: relative to read, exact to hover over and for machines. */
export function Ago({ iso, nowMs }: { readonly iso: string; readonly nowMs: number }) {
  const ms = Date.parse(iso)
  if (Number.isNaN(ms)) return <Text value={iso} />
  return (
    <time datetime={iso} title={exact(ms)}>
      {ago(ms, nowMs)}
    </time>
  )
}

function name(character: string): string {
  const hex = (character.codePointAt(0) ?? 0).toString(16).toUpperCase()
  return `U+${hex.padStart(4, '0')}`
}

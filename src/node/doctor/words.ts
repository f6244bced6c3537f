/** A number of bytes for people: `1.5 GiB`. */
export function bytesText(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB']
  let [at, value] = [0, bytes]
  while (value >= 1_024 && at < units.length - 1) {
    value /= 1_024
    at += 1
  }
  return `${at === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[at] ?? ''}`
}

/** A length of time for people: `340 ms`, `12 s`, `3 h`. */
export function since(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`
  const steps = [
    [86_400_000, 'days'],
    [3_600_000, 'h'],
    [60_000, 'min'],
    [1_000, 's'],
  ] as const
  for (const [size, name] of steps) if (ms >= 2 * size) return `${Math.floor(ms / size)} ${name}`
  return `${Math.floor(ms / 1_000)} s`
}

const TEXT_CHARS_MAX = 300

/** The first line of an error, its code where it has no words, without a stop at its end. */
export function errorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause instanceof Error ? error.cause : undefined
  const code = [error, cause].map((one) => (one !== undefined && 'code' in one ? one.code : ''))
  const words = error.message === 'fetch failed' ? (cause?.message ?? '') : error.message
  const [line = ''] = (words || code.map(String).find((one) => one !== '') || error.name).split(
    '\n',
  )
  return line
    .trim()
    .slice(0, TEXT_CHARS_MAX)
    .replace(/[.\s]+$/, '')
}

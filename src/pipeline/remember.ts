interface Kept<T> {
  readonly text: string
  readonly value: T
  readonly bytes: number
}

/** A bounded memory of what is known of long texts that come again and again, such as stacks. */
export interface Memory<T> {
  /** What was kept for exactly this text. */
  readonly find: (text: string) => T | undefined
  /** Keeps `value` for `text`; `bytes` is what both take, roughly. What is too large is not kept. */
  readonly keep: (text: string, value: T, bytes: number) => void
}

/** How many texts may share one sample: stacks of two releases often differ in one digit. */
const SHARERS_MAX = 16

/**
 * A memory of at most `countMax` texts and `bytesMax` bytes. When half of either is used, the older
 * half is forgotten, except for what was found since.
 *
 * A text is found by a sample of its characters and then compared whole: hashing all of it, as a Map
 * of strings does, costs 2 µs per stack, the comparison a tenth of that. So a collision costs time only.
 */
export function createMemory<T>(limits: {
  readonly countMax: number
  readonly bytesMax: number
}): Memory<T> {
  let young = new Map<number, Kept<T>[]>()
  let old = young
  let count = 0
  let bytes = 0

  const keep = (text: string, value: T, size: number): void => {
    if (size > limits.bytesMax / 16) return
    if (count >= limits.countMax / 2 || bytes + size > limits.bytesMax / 2) {
      old = young
      young = new Map()
      count = 0
      bytes = 0
    }
    count++
    bytes += size
    const sampled = sample(text)
    const sharers = young.get(sampled)?.filter((kept) => kept.text !== text) ?? []
    if (sharers.length >= SHARERS_MAX) sharers.shift()
    sharers.push({ text, value, bytes: size })
    young.set(sampled, sharers)
  }

  const find = (text: string): T | undefined => {
    const sampled = sample(text)
    const fresh = among(young.get(sampled), text)
    if (fresh !== undefined) return fresh.value
    if (old === young) return undefined
    const found = among(old.get(sampled), text)
    if (found === undefined) return undefined
    keep(text, found.value, found.bytes)
    return found.value
  }

  return { find, keep }
}

function among<T>(sharers: readonly Kept<T>[] | undefined, text: string): Kept<T> | undefined {
  if (sharers === undefined) return undefined
  for (const kept of sharers) if (kept.text === text) return kept
  return undefined
}

function sample(text: string): number {
  const step = (text.length >> 7) + 1
  let sampled = text.length
  for (let at = text.length - 1; at >= 0; at -= step) {
    sampled = Math.imul(sampled ^ text.charCodeAt(at), 0x01000193)
  }
  return sampled | 0
}

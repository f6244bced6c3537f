interface Kept<Key, Value> {
  readonly key: Key
  readonly value: Value
  readonly bytes: number
}

/** A bounded memory of what is known of things that come again and again, such as stacks. */
export interface MemoryOf<Key, Value, Asked = Key> {
  /** What was kept for exactly this. */
  readonly find: (key: Asked) => Value | undefined
  /** Keeps `value` for `key`; `bytes` is what both take, roughly. What is too large is not kept. */
  readonly keep: (key: Key & Asked, value: Value, bytes: number) => void
}

/** A memory of texts. */
export type Memory<Value> = MemoryOf<string, Value>

interface Limits {
  readonly countMax: number
  readonly bytesMax: number
}

/** How many keys may share one sample: stacks of two releases often differ in one digit. */
const SHARERS_MAX = 16

/**
 * A memory of at most `countMax` texts and `bytesMax` bytes. When half of either is used, the older
 * half is forgotten, except for what was found since.
 */
export function createMemory<Value>(limits: Limits): Memory<Value> {
  return createMemoryOf({ sample: sampleOfText, isSame: (a: string, b: string) => a === b }, limits)
}

/**
 * The same for keys of any kind: each is found by a sample of it, a number, and then compared whole.
 * Hashing all of a long text, as a Map of strings does, costs 2 µs per stack, the comparison a tenth
 * of that. So a collision costs time only.
 */
export function createMemoryOf<Key, Value, Asked = Key>(
  { sample, isSame }: Sampling<Key, Asked>,
  limits: Limits,
): MemoryOf<Key, Value, Asked> {
  let young = new Map<number, Kept<Key, Value>[]>()
  let old = young
  let count = 0
  let bytes = 0

  const add = (sampled: number, kept: Kept<Key, Value>, sharers: Kept<Key, Value>[]): void => {
    if (kept.bytes > limits.bytesMax / 16) return
    if (count >= limits.countMax / 2 || bytes + kept.bytes > limits.bytesMax / 2) {
      old = young
      young = new Map()
      count = 0
      bytes = 0
    }
    count++
    bytes += kept.bytes
    if (sharers.length >= SHARERS_MAX) sharers.shift()
    sharers.push(kept)
    young.set(sampled, sharers)
  }

  const among = (sharers: readonly Kept<Key, Value>[] | undefined, key: Asked) => {
    if (sharers === undefined) return undefined
    for (const kept of sharers) if (isSame(kept.key, key)) return kept
    return undefined
  }

  return {
    find(key) {
      const sampled = sample(key)
      const fresh = among(young.get(sampled), key)
      if (fresh !== undefined) return fresh.value
      if (old === young) return undefined
      const found = among(old.get(sampled), key)
      if (found === undefined) return undefined
      add(sampled, found, young.get(sampled) ?? [])
      return found.value
    },
    keep(key, value, size) {
      const sampled = sample(key)
      const sharers = young.get(sampled)?.filter((kept) => !isSame(kept.key, key)) ?? []
      add(sampled, { key, value, bytes: size }, sharers)
    },
  }
}

/** How many samples {@link createSeen} knows at most. */
const SEEN_MAX = 8192

/**
 * Tells what came before by its sample, as far as that was lately: for things that are worth remembering only
 * when they come again. A collision makes it say yes too early.
 */
export function createSeen(): (sample: number) => boolean {
  const seen = new Int32Array(SEEN_MAX)
  return (sample) => {
    const slot = (sample ^ (sample >>> 13)) & (SEEN_MAX - 1)
    if (seen[slot] === sample) return true
    seen[slot] = sample
    return false
  }
}

/** How keys are told from one another. */
export interface Sampling<Key, Asked = Key> {
  /** The same for the same keys; rarely the same for others. */
  readonly sample: (key: Asked) => number
  readonly isSame: (kept: Key, key: Asked) => boolean
}

function sampleOfText(text: string): number {
  const step = (text.length >> 7) + 1
  let sampled = text.length
  for (let at = text.length - 1; at >= 0; at -= step) {
    sampled = Math.imul(sampled ^ text.charCodeAt(at), 0x01000193)
  }
  return sampled | 0
}

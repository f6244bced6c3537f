import { sha256 } from '@noble/hashes/sha2.js'
import { utf8ToBytes } from '@noble/hashes/utils.js'
import { Refusal } from '../refusal.ts'

/** Wrong passwords that one address may send within {@link WINDOW_MS}. */
const WRONG_MAX = 10
const WINDOW_MS = 10 * 60_000
/** Addresses that are remembered; beyond that the one that erred first is forgotten. */
const ADDRESSES_MAX = 10_000

/**
 * Compares passwords with the one of the settings, in a time that tells nothing of it, and counts the
 * wrong ones by address. IPv6 counts by /64, since one household has that many.
 */
export function createPasswordCheck(password: string, nowMs: () => number) {
  const digest = sha256(utf8ToBytes(password))
  const wrong = new Map<string, { count: number; readonly sinceMs: number }>()
  /** @throws Refusal `rate_limited` after too many wrong ones, whether this one is right or not. */
  return (given: string, address: string | undefined): boolean => {
    const from = bucketOf(address)
    const known = wrong.get(from)
    const isRecent = known !== undefined && nowMs() - known.sinceMs < WINDOW_MS
    if (isRecent && known.count >= WRONG_MAX) {
      const retryAfterSeconds = (known.sinceMs + WINDOW_MS - nowMs()) / 1_000
      throw new Refusal('rate_limited', 'Too many wrong passwords; wait a few minutes.', {
        retryAfterSeconds,
      })
    }
    if (isSame(sha256(utf8ToBytes(given)), digest)) return true
    if (isRecent) known.count += 1
    else {
      wrong.delete(from)
      wrong.set(from, { count: 1, sinceMs: nowMs() })
    }
    const [oldest] = wrong.keys()
    if (wrong.size > ADDRESSES_MAX && oldest !== undefined) wrong.delete(oldest)
    return false
  }
}

function bucketOf(address: string | undefined): string {
  if (address?.includes(':') !== true) return address ?? 'unknown'
  const [head = '', tail = ''] = address.split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === '' ? [] : tail.split(':')
  const zeros = Array.from({ length: Math.max(0, 8 - left.length - right.length) }, () => '0')
  return [...left, ...zeros, ...right].slice(0, 4).join(':')
}

/** Every byte, whatever the first ones say. */
function isSame(a: Uint8Array, b: Uint8Array): boolean {
  let difference = a.length ^ b.length
  for (let i = 0; i < a.length; i += 1) difference |= (a[i] ?? 0) ^ (b[i] ?? 0)
  return difference === 0
}

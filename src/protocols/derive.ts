import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'

/**
 * A UUID (version 8) that is a function of what it names: the same text gives the same id, so that what is sent
 * again is recognised.
 */
export function derivedId(identity: string): string {
  const bytes = sha256(utf8ToBytes(identity)).slice(0, 16)
  const [version, variant] = [bytes[6] ?? 0, bytes[8] ?? 0]
  bytes[6] = 0x80 | (version & 0x0f)
  bytes[8] = 0x80 | (variant & 0x3f)
  return dashed(bytesToHex(bytes))
}

/** A UUID in our form, of 32 hex digits with or without dashes. Undefined for anything else, and for all zeros. */
export function uuidOf(text: string | undefined): string | undefined {
  const hex = text?.replaceAll('-', '').toLowerCase()
  if (hex === undefined || !/^[0-9a-f]{32}$/.test(hex) || /^0+$/.test(hex)) return undefined
  return dashed(hex)
}

/** An id of so many hex digits in lower case; empty for anything else, and for all zeros. */
export function hexOf(text: string | undefined, digits: number): string {
  const hex = text?.toLowerCase() ?? ''
  return hex.length === digits && /^[0-9a-f]+$/.test(hex) && !/^0+$/.test(hex) ? hex : ''
}

/** Counts equal things, so that the second of them gets another id than the first. */
export function ordinals(): (key: string) => number {
  const seen = new Map<string, number>()
  return (key) => {
    const before = seen.get(key) ?? 0
    seen.set(key, before + 1)
    return before
  }
}

function dashed(hex: string): string {
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

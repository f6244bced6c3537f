import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'

const ownDigest = (texts: readonly string[]): string =>
  bytesToHex(sha256(utf8ToBytes(texts.join('\n'))))

/**
 * A UUID (version 8) that is a function of what it names: the same text gives the same id, so that what is sent
 * again is recognised, whichever runtime makes the digest.
 */
export function derivedId(identity: string, digest = ownDigest): string {
  const hex = digest([identity])
  const variant = '89ab'.charAt(Number.parseInt(hex.charAt(16), 16) & 3)
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}

/** A UUID in our form, of 32 hex digits with or without dashes. Undefined for anything else, and for all zeros. */
export function uuidOf(text: string | undefined): string | undefined {
  const hex = (text?.length === 32 ? text : text?.replaceAll('-', ''))?.toLowerCase()
  if (hex?.length !== 32 || !NO_ZEROS.test(hex)) return undefined
  return dashed(hex)
}

/** Digits that are not all zeros. */
const NO_ZEROS = /^0*[1-9a-f][0-9a-f]*$/

/** An id of so many hex digits in lower case; empty for anything else, and for all zeros. */
export function hexOf(text: string | undefined, digits: number): string {
  const hex = text?.toLowerCase() ?? ''
  return hex.length === digits && NO_ZEROS.test(hex) ? hex : ''
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

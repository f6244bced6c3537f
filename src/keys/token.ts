import { sha256 } from '@noble/hashes/sha2.js'
import { utf8ToBytes } from '@noble/hashes/utils.js'

const DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const SECRET_DIGITS = 30
const CHECKSUM_DIGITS = 6
// The largest multiple of 62 in a byte: beyond it some digits would be likelier than others.
const FAIR_BELOW = 248

/**
 * A new API key `ei_<kind>_<30 base62 digits><6 base62 digits>`: 178 random bits, then the CRC-32 of
 * everything before it, so that a scanner for leaked secrets can tell a key without asking us.
 * `kind` is what the key may do, in lower-case letters.
 */
export function makeKey(kind: string): string {
  const unsigned = `ei_${kind}_${randomDigits(SECRET_DIGITS)}`
  return unsigned + checksum(unsigned)
}

/** Whether the text has the form of our keys but not their checksum: cut off or mistyped. */
export function isMistyped(key: string): boolean {
  return /^ei_[a-z]+_[0-9A-Za-z]+$/.test(key) && !hasChecksum(key)
}

/** Whether the text could be a key of {@link makeKey}: its form and its checksum. */
export function isWellFormed(key: string): boolean {
  return WELL_FORMED.test(key) && hasChecksum(key)
}

const WELL_FORMED = new RegExp(`^ei_[a-z]+_[0-9A-Za-z]{${SECRET_DIGITS + CHECKSUM_DIGITS}}$`)

function hasChecksum(key: string): boolean {
  const unsigned = key.slice(0, -CHECKSUM_DIGITS)
  return unsigned + checksum(unsigned) === key
}

/**
 * The number that stands for an app in a DSN: 1 to 2^31 - 1, the same for the same app id for ever
 * and in every process. Two app ids may share one; whoever adds an app has to check.
 */
export function projectIdOf(appId: string): number {
  const digest = sha256(utf8ToBytes(`project:${appId}`))
  const number = new DataView(digest.buffer, digest.byteOffset).getUint32(0) & 0x7fff_ffff
  return number === 0 ? 1 : number
}

function randomDigits(count: number): string {
  let digits = ''
  while (digits.length < count) {
    for (const byte of crypto.getRandomValues(new Uint8Array(count))) {
      if (byte < FAIR_BELOW && digits.length < count) digits += DIGITS.charAt(byte % 62)
    }
  }
  return digits
}

function checksum(text: string): string {
  let rest = crc32(utf8ToBytes(text))
  let digits = ''
  for (let i = 0; i < CHECKSUM_DIGITS; i += 1) {
    digits = DIGITS.charAt(rest % 62) + digits
    rest = Math.floor(rest / 62)
  }
  return digits
}

/** CRC-32 as in gzip. Keys are short and rarely made, so it goes bit by bit, without a table. */
function crc32(bytes: Uint8Array): number {
  let crc = 0xffff_ffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb8_8320 : 0)
  }
  return (crc ^ 0xffff_ffff) >>> 0
}

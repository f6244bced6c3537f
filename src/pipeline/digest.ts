import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'

/** SHA-256 of texts in their order, as hex: the name of a block, for ClickHouse to know it again. */
export function digest(texts: readonly string[]): string {
  return bytesToHex(sha256(utf8ToBytes(texts.join('\n'))))
}

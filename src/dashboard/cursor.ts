import { sha256 } from '@noble/hashes/sha2.js'
import { utf8ToBytes } from '@noble/hashes/utils.js'

/** The last event of a page: where the next one begins. */
export interface CursorPosition {
  readonly timestampMs: number
  /** A UUID in lower case with dashes. */
  readonly id: string
}

const CHECK_BYTES = 8
const VERSION = 1
const UUID = /^([0-9a-f]{8})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{12})$/

/**
 * An opaque text for a position in the events of one app: base64url of version, time, id and a
 * checksum over these and the app. The checksum finds accidents and cursors of another app; it is
 * no signature, because a position gives no right: every page checks the key and the filter anew.
 */
export function writeCursor(appId: string, { timestampMs, id }: CursorPosition): string {
  const bytes = new Uint8Array(1 + 8 + 16 + CHECK_BYTES)
  const view = new DataView(bytes.buffer)
  view.setUint8(0, VERSION)
  view.setFloat64(1, timestampMs)
  const hex = id.replaceAll('-', '')
  for (let i = 0; i < 16; i += 1) bytes[9 + i] = parseInt(hex.slice(2 * i, 2 * i + 2), 16)
  bytes.set(check(appId, bytes.subarray(0, 25)), 25)
  return btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
}

/** The position of a text that `writeCursor` made for the same app; undefined for any other text. */
export function readCursor(appId: string, text: string): CursorPosition | undefined {
  if (!/^[\w-]{44}$/.test(text)) return undefined
  const bytes = Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (char) =>
    char.charCodeAt(0),
  )
  const hex = Array.from(bytes.subarray(9, 25), (byte) => byte.toString(16).padStart(2, '0')).join(
    '',
  )
  const id = hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
  const position = { timestampMs: new DataView(bytes.buffer).getFloat64(1), id }
  if (!Number.isSafeInteger(position.timestampMs) || !UUID.test(id)) return undefined
  return writeCursor(appId, position) === text ? position : undefined
}

function check(appId: string, bytes: Uint8Array): Uint8Array {
  const app = utf8ToBytes(appId)
  const all = new Uint8Array(bytes.length + app.length)
  all.set(bytes)
  all.set(app, bytes.length)
  return sha256(all).subarray(0, CHECK_BYTES)
}

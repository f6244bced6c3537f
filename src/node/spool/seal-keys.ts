import type { RowId } from '../../pipeline/delivery.ts'

/** A body is a record of the log, which takes no more than a million bytes. */
const BODY_BYTES_MAX = 900_000
/** Bytes of a UUID. */
export const ID_BYTES = 16
const HEAD_BYTES = 6
const RUN_HEAD_BYTES = 6

/** Bodies of records: the seal's number, then runs of an app's name, a count, and so many ids. */
export function encodeKeys(seal: number, keys: readonly RowId[]): Buffer[] {
  const head = Buffer.alloc(HEAD_BYTES)
  head.writeUIntLE(seal, 0, HEAD_BYTES)
  const bodies: Buffer[] = []
  let pieces: Buffer[] = []
  let bytes = 0
  for (const run of runsOf(keys)) {
    const encoded = encodeRun(run)
    if (bytes + encoded.length > BODY_BYTES_MAX) {
      bodies.push(Buffer.concat([head, ...pieces]))
      pieces = []
      bytes = 0
    }
    pieces.push(encoded)
    bytes += encoded.length
  }
  if (bytes > 0) bodies.push(Buffer.concat([head, ...pieces]))
  return bodies
}

interface Run {
  readonly appId: string
  ids: string
  count: number
}

const RUN_KEYS_MAX = 25_000

function runsOf(keys: readonly RowId[]): Run[] {
  const runs: Run[] = []
  let run: Run | undefined
  for (const { appId, id } of keys) {
    if (run?.appId !== appId || run.count >= RUN_KEYS_MAX) {
      run = { appId, ids: '', count: 0 }
      runs.push(run)
    }
    run.ids += id
    run.count += 1
  }
  return runs
}

function encodeRun({ appId, ids, count }: Run): Buffer {
  const name = Buffer.from(appId)
  const head = Buffer.alloc(RUN_HEAD_BYTES)
  head.writeUInt16LE(name.length, 0)
  head.writeUInt32LE(count, 2)
  return Buffer.concat([head, name, idBytes(ids)])
}

/** The inverse of one body of {@link encodeKeys}; what is no run any more is left out. */
export function decodeKeys(body: Buffer): RowId[] {
  const keys: RowId[] = []
  for (let at = HEAD_BYTES; at + RUN_HEAD_BYTES <= body.length;) {
    const nameBytes = body.readUInt16LE(at)
    const count = body.readUInt32LE(at + 2)
    const idsAt = at + RUN_HEAD_BYTES + nameBytes
    if (idsAt + count * ID_BYTES > body.length) break
    const appId = body.toString('utf8', at + RUN_HEAD_BYTES, idsAt)
    for (let i = 0; i < count; i += 1) keys.push({ appId, id: uuidAt(body, idsAt + i * ID_BYTES) })
    at = idsAt + count * ID_BYTES
  }
  return keys
}

/** UUIDs that stand behind one another in a text, as their bytes. */
export function idBytes(ids: string): Buffer {
  return Buffer.from(ids.replaceAll('-', ''), 'hex')
}

/** The UUID whose bytes begin at `at`, in lower case with dashes. */
export function uuidAt(bytes: Buffer, at: number): string {
  const hex = bytes.toString('hex', at, at + ID_BYTES)
  const [a, b, c] = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16)]
  return `${a}-${b}-${c}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

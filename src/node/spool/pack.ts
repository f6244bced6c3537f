import type { Row } from '../../pipeline/spool.ts'
import { idBytes, uuidAt, ID_BYTES } from './seal-keys.ts'

/** Rows of one request in 24 bytes each; as objects they take eight times that. */
export interface Packed {
  readonly appId: string
  readonly protocol: string
  readonly ids: Buffer
  readonly times: Float64Array
}

/** The same rows in little memory; undefined where they are not all of one app and protocol. */
export function pack(rows: readonly Row[]): Packed | undefined {
  const [first] = rows
  if (first === undefined) return undefined
  const { appId, protocol } = first
  const times = new Float64Array(rows.length)
  for (const [i, row] of rows.entries()) {
    if (row.appId !== appId || row.protocol !== protocol) return undefined
    times[i] = row.timestampMs
  }
  return { appId, protocol, ids: idBytes(rows.map(({ id }) => id).join('')), times }
}

/** The rows that were packed. */
export function unpack({ appId, protocol, ids, times }: Packed): readonly Row[] {
  return Array.from(times, (timestampMs, i) => ({
    ...{ appId, protocol, timestampMs },
    id: uuidAt(ids, i * ID_BYTES),
  }))
}

import { join, resolve } from 'node:path'
import type { Occurrence } from '../occurrence.ts'

/** What the commands write to, and where they look. */
export interface SpoolIo {
  /** Resolves when the text is taken, false once nobody reads any more. */
  readonly out: (text: string) => Promise<boolean>
  readonly err: (text: string) => void
  /** `DATA_DIR`; read only when a command needs it, because a bad setting is no reason to give no help. */
  readonly dataDir: () => string
}

/** Something asked for that cannot be understood: ends with 2 and a hint. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** Where the spool of this configuration lies. */
export function spoolFolder({ dataDir }: SpoolIo): string {
  return join(resolve(dataDir()), 'spool')
}

/** Says so where nothing is at the place. */
export function noSpool(folder: string, cause: unknown): Error {
  return new Error(`There is no spool in ${folder}; DATA_DIR says where it lies.`, { cause })
}

/** An occurrence in the names of the ingest API, which takes it again as it is. */
export function eventOf(occurrence: Occurrence): object {
  const { timestampMs, originalTimestampMs, receivedAtMs, ...rest } = occurrence
  return {
    ...rest,
    timestamp: new Date(timestampMs).toISOString(),
    ...(originalTimestampMs !== undefined && {
      originalTimestamp: new Date(originalTimestampMs).toISOString(),
    }),
    receivedAt: new Date(receivedAtMs).toISOString(),
  }
}

import { z } from 'zod'
import type { SessionEnding } from '../administration.ts'
import type { ClickHouse } from './clickhouse.ts'

const MS_MAX = 2_000
const ENDINGS_MAX = 100_000
const Row = z.object({ subject: z.string(), before_ms: z.coerce.number() })

/** Where endings of sessions are kept for all processes. Both reject where ClickHouse takes over 2 s. */
export function createSessionEnds({
  clickhouse,
  database,
}: {
  readonly clickhouse: ClickHouse
  readonly database: string
}) {
  const bounded = () => ({ signal: AbortSignal.timeout(MS_MAX) })
  return {
    async list(): Promise<readonly SessionEnding[]> {
      const rows = await clickhouse.query(
        `/* error-ingestor:session-ends */
        SELECT subject, toUnixTimestamp64Milli(max(before)) AS before_ms
        FROM {database: Identifier}.session_ends GROUP BY subject
        ORDER BY before_ms DESC LIMIT {limit: UInt32}`,
        { database, limit: ENDINGS_MAX },
        bounded(),
      )
      return z
        .array(Row)
        .parse(rows)
        .map(({ subject, before_ms }) => ({ subject, beforeMs: before_ms }))
    },

    async add(endings: readonly SessionEnding[]): Promise<void> {
      await clickhouse.command(
        `INSERT INTO {database: Identifier}.session_ends (subject, before)
        SELECT tupleElement(one, 1), fromUnixTimestamp64Milli(tupleElement(one, 2), 'UTC')
        FROM (SELECT arrayJoin(arrayZip({subjects: Array(String)}, {befores: Array(Int64)})) AS one)`,
        {
          database,
          subjects: endings.map(({ subject }) => subject),
          befores: endings.map(({ beforeMs }) => beforeMs),
        },
        bounded(),
      )
    },
  }
}

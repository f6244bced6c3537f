import { z } from 'zod'
import type { ClickHouse } from './clickhouse.ts'
import { localDatabase } from './cluster.ts'

/** How the table of events lies on ClickHouse's disk. */
export interface Parts {
  readonly active: number
  /** Of the month that has most: what ClickHouse refuses inserts by, when they become too many. */
  readonly mostOfMonth: number
  /** Merges that run now. */
  readonly merges: number
}

const Row = z.object({
  active: z.coerce.number(),
  most: z.coerce.number(),
  merges: z.coerce.number(),
})

/** Looks now. @throws what the client rejects with, also where the user may not see these tables. */
export async function partsOf(
  clickhouse: ClickHouse,
  database: string,
): Promise<Parts | undefined> {
  const rows = await clickhouse.query(
    `/* error-ingestor:parts */
    SELECT sum(parts) AS active, max(parts) AS most,
      (SELECT count() FROM system.merges
        WHERE database IN ({database: String}, {local: String}) AND table = 'occurrences') AS merges
    FROM (
      SELECT count() AS parts FROM system.parts
      WHERE active AND database IN ({database: String}, {local: String}) AND table = 'occurrences'
      GROUP BY partition_id)`,
    // Where several servers share the events, the tables of each are in a database of their own.
    { database, local: localDatabase(database) },
    { settings: { max_execution_time: 5 } },
  )
  const [row] = z.array(Row).parse(rows)
  return row && { active: row.active, mostOfMonth: row.most, merges: row.merges }
}

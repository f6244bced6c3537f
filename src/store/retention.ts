import { z } from 'zod'
import type { ClickHouse } from './clickhouse.ts'
import { beginWriting, writeCount, writeString, written } from './rowbinary.ts'

/** Days by app; 0 where it keeps its events as long as the server's own setting says. */
export type RetentionDays = ReadonlyMap<string, number>

const Told = z.array(z.object({ app_id: z.string(), days: z.coerce.number().int() }))

/**
 * What processes told last of their apps' retentions.
 * @throws what the client rejects with, also where the schema is older than this.
 */
export async function toldRetentions(
  clickhouse: ClickHouse,
  database: string,
): Promise<RetentionDays> {
  const rows = await clickhouse.query(
    `/* error-ingestor:retentions */
    SELECT app_id, days FROM {database: Identifier}.retentions FINAL ORDER BY app_id`,
    { database },
    { settings: { max_execution_time: 10 } },
  )
  return new Map(Told.parse(rows).map(({ app_id, days }) => [app_id, days]))
}

/** Tells how long these apps keep their events; what deletes them is set by migrate.ts. */
export async function tellRetentions(
  clickhouse: ClickHouse,
  database: string,
  retentions: RetentionDays,
): Promise<void> {
  if (retentions.size === 0) return
  beginWriting()
  for (const [appId, days] of retentions) {
    writeString(appId)
    writeCount(days)
  }
  await clickhouse.insert({
    table: `${database}.retentions`,
    columns: ['app_id', 'days'],
    body: [written()],
    settings: { insert_deduplicate: 0 },
  })
}

import { z } from 'zod'
import type { ClickHouse, RunOptions } from './clickhouse.ts'

interface AppUsage {
  readonly appId: string
  readonly events: number
}

/** What processes tell each other of the events that apps have had. See limits/quota.ts. */
export interface UsageTable {
  readonly write: (day: number, usage: readonly AppUsage[], signal?: AbortSignal) => Promise<void>
  readonly others: (day: number, signal?: AbortSignal) => Promise<readonly AppUsage[]>
}

/** Apps in one statement: their ids travel in its URL. */
const APPS_PER_INSERT = 200
const APPS_MAX = 100_000

const Rows = z.array(
  z
    .object({ app_id: z.string(), events: z.coerce.number() })
    .transform(({ app_id: appId, events }) => ({ appId, events })),
)

/** The usage table as the process `source` sees it. Days are counted from the Unix epoch, in UTC. */
export function createUsageTable({
  clickhouse,
  database,
  source,
}: {
  readonly clickhouse: ClickHouse
  readonly database: string
  readonly source: string
}): UsageTable {
  return {
    async write(day, usage, signal) {
      for (let at = 0; at < usage.length; at += APPS_PER_INSERT) {
        const some = usage.slice(at, at + APPS_PER_INSERT)
        const rows = JSON.stringify(some.map(({ appId, events }) => [appId, events]))
        await clickhouse.command(
          `INSERT INTO {database: Identifier}.app_usage (day, app_id, source, events)
          SELECT toDate({day: UInt16}), row.1, {source: String}, row.2
          FROM (SELECT arrayJoin(JSONExtract({rows: String}, 'Array(Tuple(String, UInt64))')) AS row)`,
          { database, day, source, rows },
          within(signal),
        )
      }
    },

    async others(day, signal) {
      const rows = await clickhouse.query(
        `/* error-ingestor:app-usage */
        SELECT app_id, sum(most) AS events FROM (
          SELECT app_id, source, max(events) AS most FROM {database: Identifier}.app_usage
          WHERE day = toDate({day: UInt16}) AND source != {source: String}
          GROUP BY app_id, source)
        GROUP BY app_id LIMIT {appsMax: UInt32}`,
        { database, day, source, appsMax: APPS_MAX },
        within(signal),
      )
      return Rows.parse(rows)
    },
  }
}

const SETTINGS = { max_execution_time: 10, max_threads: 1 }

function within(signal: AbortSignal | undefined): RunOptions {
  return signal === undefined ? { settings: SETTINGS } : { settings: SETTINGS, signal }
}

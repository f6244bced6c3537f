import { z } from 'zod'
import type { ClickHouse } from './clickhouse.ts'
import { limitsOf } from './limits.ts'
import { beginWriting, giveBack, writeCount, writeString, writeTime, written } from './rowbinary.ts'
import type { LedgerEntry, Store } from './store.ts'

/** A sum that only grows, of one source: the largest row of a name is the one that counts. */
export interface LedgerRow {
  /** Its start, in seconds since the Unix epoch. */
  readonly hour: number
  readonly appId: string
  readonly protocol: string
  readonly outcome: string
  readonly reason: string
  /** Who counts: sums of different sources add up. */
  readonly source: string
  readonly count: number
}

const COLUMNS = ['hour', 'app_id', 'protocol', 'outcome', 'reason', 'source', 'count']
const ENTRIES_MAX = 100_000

interface LedgerDeps {
  readonly clickhouse: ClickHouse
  readonly database: string
}

/** Writes sums. Again, late or in any order: it changes nothing, or only for the larger. */
export async function writeLedger(
  { clickhouse, database }: LedgerDeps,
  rows: readonly LedgerRow[],
): Promise<void> {
  if (rows.length === 0) return
  beginWriting()
  for (const { hour, appId, protocol, outcome, reason, source, count } of rows) {
    writeTime(hour * 1_000)
    for (const text of [appId, protocol, outcome, reason, source]) writeString(text)
    writeCount(count)
  }
  const shared = written()
  // A copy, because a client that gives up may still hold it when the memory of rows is used again.
  const own = shared.slice()
  giveBack(shared)
  await clickhouse.insert({
    table: `${database}.ledger`,
    columns: COLUMNS,
    body: [own],
    settings: {},
  })
}

const Entry = z.object({
  seconds: z.coerce.number(),
  protocol: z.string(),
  outcome: z.string(),
  reason: z.string(),
  count: z.coerce.number(),
})

/** How events ended, oldest first; of one app, or of all and of nobody's. */
export async function readLedger(
  { clickhouse, database }: LedgerDeps,
  ...[appId, { startMs, endMs }, granularity, signal]: Parameters<Store['ledger']>
): Promise<readonly LedgerEntry[]> {
  const seconds = granularity === 'hour' ? 3_600 : 86_400
  const rows = await clickhouse.query(
    `/* error-ingestor:ledger */
    SELECT intDiv(toUnixTimestamp(hour), {seconds: UInt32}) * {seconds: UInt32} AS seconds,
      protocol, outcome, reason, sum(most) AS count
    FROM (
      SELECT app_id, hour, protocol, outcome, reason, source, max(count) AS most
      FROM {database: Identifier}.ledger
      WHERE ({all: Bool} OR app_id = {appId: String})
        AND hour > fromUnixTimestamp64Milli({startMs: Int64} - 3600000)
        AND hour <= fromUnixTimestamp64Milli({endMs: Int64})
      GROUP BY app_id, hour, protocol, outcome, reason, source)
    GROUP BY seconds, protocol, outcome, reason
    ORDER BY seconds, protocol, outcome, reason LIMIT {rows: UInt32}`,
    {
      ...{ database, seconds, all: appId === undefined, appId: appId ?? '', rows: ENTRIES_MAX },
      ...{ startMs: Math.max(0, startMs), endMs: Math.max(0, endMs) },
    },
    { settings: limitsOf('ledger'), ...(signal !== undefined && { signal }) },
  )
  return z
    .array(Entry)
    .parse(rows)
    .map(({ seconds: at, ...entry }) => ({ time: new Date(at * 1_000).toISOString(), ...entry }))
}

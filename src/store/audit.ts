import { z } from 'zod'
import type { AuditEntry, AuditQuery } from '../administration.ts'
import type { ClickHouse } from './clickhouse.ts'
import { beginWriting, writeString, writeTime, writeUuid, written } from './rowbinary.ts'

/** The log of admin actions: it only grows, until ClickHouse deletes what is three years old. */
export interface Audit {
  /** Adds entries, all or none; one that is there already by its id is listed once all the same. */
  readonly put: (entries: readonly AuditEntry[], signal?: AbortSignal) => Promise<void>
  readonly list: (query: AuditQuery) => Promise<readonly AuditEntry[]>
}

const COLUMNS = ['id', 'at', 'actor', 'address', 'request_id', 'action', 'app_id', 'target']

const Row = z
  .object({
    id: z.string(),
    at_ms: z.coerce.number(),
    actor: z.string(),
    address: z.string(),
    request_id: z.string(),
    action: z.string(),
    app_id: z.string(),
    target: z.string(),
    detail: z.string(),
  })
  .transform((row): AuditEntry => ({
    id: row.id,
    atMs: row.at_ms,
    actor: row.actor,
    address: row.address,
    requestId: row.request_id,
    action: row.action,
    appId: row.app_id,
    target: row.target,
    detail: z.record(z.string(), z.unknown()).parse(JSON.parse(row.detail)),
  }))

/** The audit table of `database`. Both reject with what the client rejects with. */
export function createAudit({
  clickhouse,
  database,
}: {
  readonly clickhouse: ClickHouse
  readonly database: string
}): Audit {
  return {
    async put(entries, signal) {
      if (entries.length === 0) return
      beginWriting()
      for (const entry of entries) writeEntry(entry)
      const columns = [...COLUMNS, 'detail']
      await clickhouse.insert(
        { table: `${database}.audit`, columns, body: [written()], settings: {} },
        signal === undefined ? {} : { signal },
      )
    },
    async list({ appId, before, limit }) {
      const rows = await clickhouse.query(
        LIST,
        {
          ...{ database, limit, all: appId === undefined, appId: appId ?? '' },
          ...{ first: before === undefined, beforeMs: before?.atMs ?? 0 },
          beforeId: before?.id ?? '00000000-0000-0000-0000-000000000000',
        },
        { settings: { max_execution_time: 10 } },
      )
      return z.array(Row).parse(rows)
    },
  }
}

function writeEntry({ id, atMs, detail, ...entry }: AuditEntry): void {
  writeUuid(id)
  writeTime(atMs)
  const { actor, address, requestId, action, appId, target } = entry
  for (const text of [actor, address, requestId, action, appId, target]) writeString(text)
  writeString(JSON.stringify(detail))
}

// Newest first; ties by id, so that a page boundary neither repeats nor skips an entry.
const LIST = `
  /* error-ingestor:audit */
  SELECT toString(id) AS id, toUnixTimestamp64Milli(at) AS at_ms, actor, address, request_id, action,
    app_id, target, detail
  FROM {database: Identifier}.audit
  WHERE ({all: Bool} OR app_id = {appId: String})
    AND ({first: Bool} OR (at, toString(id)) < (fromUnixTimestamp64Milli({beforeMs: Int64}, 'UTC'), {beforeId: String}))
  ORDER BY at DESC, toString(id) DESC
  LIMIT 1 BY id
  LIMIT {limit: UInt32}`

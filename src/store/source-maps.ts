import { z } from 'zod'
import type { ClickHouse } from './clickhouse.ts'
import { limitsOf } from './limits.ts'
import { beginWriting, writeString, written } from './rowbinary.ts'
import { SOURCE_MAP_COLUMNS } from './rows.ts'
import type { Store } from './store.ts'

const Entry = z
  .object({ file_name: z.string(), app_version: z.string(), created_at_ms: z.coerce.number() })
  .transform((row) => ({
    fileName: row.file_name,
    appVersion: row.app_version,
    createdAt: new Date(row.created_at_ms).toISOString(),
  }))

/** Source maps by app, version and file; the newest upload of a file is the one that counts. */
export function createSourceMaps({
  clickhouse,
  database,
}: {
  readonly clickhouse: ClickHouse
  readonly database: string
}): Store['sourceMaps'] {
  return {
    async put(appId, appVersion, maps) {
      if (maps.length === 0) return
      // Rows of one insert share their time, so of one file only the last may be among them.
      const last = new Map(maps.map(({ fileName, sourceMap }) => [fileName, sourceMap]))
      beginWriting()
      for (const [fileName, sourceMap] of last) {
        for (const text of [appId, appVersion, fileName, sourceMap]) writeString(text)
      }
      // The same content again, after a delete, is no repetition of the first upload.
      const settings = { insert_deduplicate: 0 }
      await clickhouse.insert({
        table: `${database}.source_maps`,
        columns: SOURCE_MAP_COLUMNS.map(({ name }) => name),
        body: [written()],
        settings,
      })
    },

    async list(appId, appVersion) {
      const rows = await clickhouse.query(
        `/* error-ingestor:source-maps */
        SELECT file_name, app_version, toUnixTimestamp64Milli(toDateTime64(created_at, 3)) AS created_at_ms
        FROM {database: Identifier}.source_maps FINAL
        WHERE app_id = {appId: String} AND ({all: Bool} OR app_version = {appVersion: String})
        ORDER BY app_version, file_name`,
        { database, appId, appVersion: appVersion ?? '', all: appVersion === undefined },
        { settings: limitsOf('source-maps') },
      )
      return z.array(Entry).parse(rows)
    },

    async remove(appId, appVersion) {
      await clickhouse.command(
        `DELETE FROM {database: Identifier}.source_maps
        WHERE app_id = {appId: String} AND app_version = {appVersion: String}`,
        { database, appId, appVersion },
      )
    },
  }
}

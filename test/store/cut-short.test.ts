import { afterAll, beforeAll, expect, test } from 'vitest'
import { knownIds, storedIds } from '../../src/store/known.ts'
import { createStore } from '../../src/store/queries.ts'
import { blockTarget, encodeRows } from '../../src/store/rows.ts'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { aGrouping, anOccurrence } from '../support/occurrence.ts'

let db: TestDatabase
beforeAll(async () => {
  db = await createDatabase()
})
afterAll(() => db.drop())

test.each([
  ['the table alone', ['seen', 'arrivals']],
  ['the table and one of its views', ['arrivals']],
  ['the table and not in the counts', ['arrivals', 'hourly', 'hourly_users']],
])(
  'events that a crash left in %s are known and counted once after they were looked for',
  async (_, lost) => {
    const { clickhouse, database } = db
    const appId = lost.join()
    const occurrences = [anOccurrence({ appId }), anOccurrence({ appId })]
    const other = anOccurrence({ appId })
    const { bytes, format } = encodeRows(occurrences, aGrouping)
    const insert = () =>
      clickhouse.insert({
        ...blockTarget(format),
        body: [bytes],
        settings: { insert_deduplicate: 0 },
      })
    await insert()
    // As after a crash between the table and its views.
    for (const table of lost) await clickhouse.command(`TRUNCATE TABLE ${table}`)

    const stored = await storedIds(clickhouse, database, [...occurrences, other])
    const keys = new Set(occurrences.map(({ appId, id }) => `${appId}\0${id}`))
    expect(stored).toEqual(keys)
    expect(await knownIds(clickhouse, database, [...occurrences, other])).toEqual(keys)
    // Another process stores them too: each counts once all the same.
    await insert()
    const codes = await createStore(db).codes(appId, undefined)
    expect(codes).toEqual([{ code: 'test/failure', count: 2 }])
  },
)

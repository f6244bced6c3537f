import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Grouping, Occurrence } from '../../src/occurrence.ts'
import { conditionsOf } from '../../src/store/matching.ts'
import { createStore } from '../../src/store/queries.ts'
import { blockTarget, encodeRows } from '../../src/store/rows.ts'
import { createDatabase } from '../support/database.ts'
import type { TestDatabase } from '../support/database.ts'
import { anOccurrence } from '../support/occurrence.ts'

const HOUR = 3_600_000
const base = Math.floor(Date.now() / HOUR) * HOUR - 48 * HOUR
const range = { startMs: base - HOUR, endMs: base + HOUR }
const appId = 'pages'
const grouping: Grouping = {
  fingerprint: `v1:${'0'.repeat(32)}`,
  secondary: `v1:${'1'.repeat(32)}`,
  basis: 'stack',
  components: ['app.js#fetchUser'],
}

let made: TestDatabase
beforeAll(async () => {
  made = await createDatabase()
})
afterAll(() => made.drop())

async function insert(occurrences: readonly Occurrence[]): Promise<void> {
  const body = [encodeRows(occurrences, () => grouping).bytes]
  const settings = { insert_deduplication_token: crypto.randomUUID() }
  await made.clickhouse.insert({ ...blockTarget(1), body, settings })
}

test('a page may end within a millisecond, with any filter and with ids stored twice', async () => {
  // Seven of a millisecond; a third has the word in the message, a third in the code, some in both.
  const all = Array.from({ length: 36 }, (_, i) =>
    anOccurrence({
      appId,
      timestampMs: base + Math.floor(i / 7),
      receivedAtMs: base + 100,
      message: i % 3 === 0 ? 'a needle' : 'hay',
      code: i % 3 === 1 || i % 6 === 0 ? 'needle/found' : 'hay/found',
      userId: i % 2 === 0 ? 'user-1' : 'user-2',
    }),
  )
  await insert(all)
  await insert(all.filter((_, i) => i % 5 === 0))
  const sorted = all.toSorted((a, b) => b.timestampMs - a.timestampMs || (a.id < b.id ? 1 : -1))
  const filters = [
    { asked: {}, expected: sorted },
    {
      asked: { q: 'needle' },
      expected: sorted.filter(({ message, code }) => `${message} ${code}`.includes('needle')),
    },
    { asked: { userId: 'user-2' }, expected: sorted.filter(({ userId }) => userId === 'user-2') },
    { asked: { userId: 'nobody' }, expected: [] },
  ]
  const store = createStore(made)
  for (const { asked, expected } of filters) {
    for (const limit of [2, 5]) {
      let after: { timestampMs: number; id: string } | undefined
      for (let offset = 0; offset <= expected.length; offset += limit) {
        const wanted = {
          ids: expected.slice(offset, offset + limit).map(({ id }) => id),
          hasMore: offset + limit < expected.length,
        }
        for (const place of [{ offset }, { after }]) {
          const page = await store.events({ appId, range, ...asked }, { ...place, limit })
          expect({ ids: page.events.map(({ id }) => id), hasMore: page.hasMore }).toEqual(wanted)
        }
        const last = expected[offset + limit - 1]
        if (last === undefined) break
        after = last
      }
    }
  }
})

test("a filter by user reads the places of the index of users, and nobody's has none", async () => {
  await insert([anOccurrence({ appId: 'users', timestampMs: base, userId: 'somebody' })])
  const granulesOf = async (userId: string) => {
    const { where, params } = conditionsOf({ appId: 'users', range, userId })
    const plan = await made.clickhouse.query(
      `EXPLAIN indexes = 1 SELECT id FROM occurrences WHERE ${where} SETTINGS use_skip_indexes_on_data_read = 0`,
      params,
    )
    return /by_user.*?Granules: (\d+\/\d+)/.exec(JSON.stringify(plan))?.[1]
  }
  expect(await granulesOf('somebody')).toBe('1/1')
  expect(await granulesOf('nobody')).toBe('0/1')
})

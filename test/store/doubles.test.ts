import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createAskOnce, type Ask, type Asking } from '../../src/store/doubles.ts'
import { createStore } from '../../src/store/queries.ts'
import { blockTarget, encodeRows } from '../../src/store/rows.ts'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { anOccurrence } from '../support/occurrence.ts'

describe('a question that counts each id once', () => {
  const HOUR_MS = 3_600_000

  /** A store whose app has doubles or not, and what became of what it was asked. */
  function asked(doubles: () => Promise<readonly unknown[]>) {
    const told: string[] = []
    const clock = { ms: 0 }
    const ask: Ask = (name) => {
      told.push(name)
      return name === 'doubles' ? doubles() : Promise.resolve([])
    }
    const once = createAskOnce(ask, () => clock.ms)
    const question = async ({ ask, withDoubles }: Asking) => {
      await ask(withDoubles ? 'with a look' : 'as if none', '', {})
      return withDoubles
    }
    return { told, clock, answer: () => once('app', undefined, question) }
  }

  test('is asked while doubles are looked for, and once where there are none', async () => {
    const look = Promise.withResolvers<unknown[]>()
    const { told, answer } = asked(() => look.promise)
    const answered = answer()
    expect(told.toSorted()).toEqual(['as if none', 'doubles'])
    look.resolve([])
    expect(await answered).toBe(false)
  })

  test('is asked again with a look for doubles where there are some, at once for an hour', async () => {
    const { told, clock, answer } = asked(() => Promise.resolve([1]))
    expect(await answer()).toBe(true)
    expect(told).toEqual(['as if none', 'doubles', 'with a look'])
    expect([await answer(), told.splice(0).at(-1)]).toEqual([true, 'with a look'])
    clock.ms += HOUR_MS
    expect(await answer()).toBe(true)
    expect(told).toContain('doubles')
  })

  test('fails where nobody knows whether there are any', async () => {
    const { answer } = asked(() => Promise.reject(new Error('away')))
    await expect(answer()).rejects.toThrow('away')
  })

  test('fails as it does itself', async () => {
    const once = createAskOnce(() => Promise.resolve([]))
    const failing = once('app', undefined, () => Promise.reject(new Error('too much')))
    await expect(failing).rejects.toThrow('too much')
  })
})

describe('doubles that nobody found yet', () => {
  let db: TestDatabase
  beforeAll(async () => {
    db = await createDatabase()
  })
  afterAll(() => db.drop())

  async function countOf(ids: readonly string[]): Promise<number | undefined> {
    const appId = `app-${crypto.randomUUID()}`
    for (const [i, id] of ids.entries()) {
      const occurrence = anOccurrence({ appId, id })
      const grouping = {
        fingerprint: 'v1:one',
        secondary: '',
        basis: 'message',
        components: [],
      } as const
      const { bytes, format } = encodeRows([occurrence], () => grouping)
      const settings = { insert_deduplication_token: `${appId} ${i}` }
      await db.clickhouse.insert({ ...blockTarget(format), body: [bytes], settings })
    }
    return (await createStore(db).codes(appId, undefined))[0]?.count
  }

  test('count once, and ids that are alike in a half are not taken for them', async () => {
    const half = '0194c0de-0000-7000-8'
    const [one, other] = [`${half}000-000000000001`, `${half}000-000000000002`]
    const [left, right] = [
      `0194c0de-0000-7000-8000-000000000003`,
      `0194c0de-0000-7001-8000-000000000003`,
    ]
    expect(await countOf([one, other, one])).toBe(2)
    expect(await countOf([one, other])).toBe(2)
    expect(await countOf([left, right])).toBe(2)
    expect(await countOf([one, one, one])).toBe(1)
  })
})

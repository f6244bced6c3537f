import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createAskOnce, type Ask, type Asking } from '../../src/store/doubles.ts'
import { createInsert, type InsertBlock } from '../../src/store/insert-block.ts'
import { createStore } from '../../src/store/queries.ts'
import { blockTarget, encodeRows } from '../../src/store/rows.ts'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { aGrouping, anOccurrence } from '../support/occurrence.ts'

describe('a question that counts each id once', () => {
  const HOUR_MS = 3_600_000

  const [ONE, ANOTHER, NOBODY] = [{ source: 'one' }, { source: 'another' }, { source: '' }]

  /** A store whose app has doubles or not, by whom its latest rows were stored, and what became of what it was asked. */
  function asked(
    doubles: () => Promise<readonly unknown[]>,
    sources: readonly unknown[] = [ONE, ANOTHER],
  ) {
    const told: string[] = []
    const clock = { ms: 0 }
    const ask: Ask = (name) => {
      told.push(name)
      if (name === 'sources') return Promise.resolve(sources)
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
    await expect.poll(() => told).toEqual(['as if none', 'sources', 'doubles'])
    look.resolve([])
    expect(await answered).toBe(false)
  })

  test.each([
    ['nobody', []],
    ['one who stores no id twice', [ONE]],
  ])('is not looked for doubles where %s stored anything lately', async (_, sources) => {
    const { told, answer } = asked(() => Promise.resolve([1]), sources)
    expect(await answer()).toBe(false)
    expect(told).toEqual(['as if none', 'sources'])
  })

  test.each([
    ['two did', [ONE, ANOTHER]],
    ['somebody without a name did', [NOBODY]],
    ['somebody without a name did beside one', [NOBODY, ONE]],
  ])('is looked for doubles where %s', async (_, sources) => {
    expect(await asked(() => Promise.resolve([1]), sources).answer()).toBe(true)
  })

  test('is asked again with a look for doubles where there are some, at once for an hour', async () => {
    const { told, clock, answer } = asked(() => Promise.resolve([1]))
    expect(await answer()).toBe(true)
    expect(told).toEqual(['as if none', 'sources', 'doubles', 'with a look'])
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

  const never = new AbortController().signal
  /** Who stores blocks: a process of ours, or one that cannot say that it stores no id twice. */
  const someone = (storesOnce = true) =>
    createInsert({ clickhouse: db.clickhouse, inserted: () => undefined, storesOnce })
  const blockOf = (appId: string, id: string) => {
    const { bytes, format } = encodeRows([anOccurrence({ appId, id })], aGrouping)
    return { format, body: [Uint8Array.from(bytes)], token: crypto.randomUUID(), rows: 1 }
  }
  const countOf = async (appId: string) => (await createStore(db).codes(appId, undefined))[0]?.count

  test('count once, and ids that are alike in a half are not taken for them', async () => {
    const storedBy = async (insert: InsertBlock, ids: readonly string[]) => {
      const appId = `app-${crypto.randomUUID()}`
      for (const id of ids) await insert(blockOf(appId, id), never)
      return countOf(appId)
    }
    const half = '0194c0de-0000-7000-8'
    const [one, other] = [`${half}000-000000000001`, `${half}000-000000000002`]
    const [left, right] = [
      `0194c0de-0000-7000-8000-000000000003`,
      `0194c0de-0000-7001-8000-000000000003`,
    ]
    const anybody = someone(false)
    expect(await storedBy(anybody, [one, other, one])).toBe(2)
    expect(await storedBy(anybody, [one, other])).toBe(2)
    expect(await storedBy(anybody, [left, right])).toBe(2)
    expect(await storedBy(anybody, [one, one, one])).toBe(1)
  })

  /** An id that is stored twice, how often it counts before the view has looked for it, and after. */
  async function twice(first: InsertBlock, second: InsertBlock) {
    const [appId, id] = [`app-${crypto.randomUUID()}`, crypto.randomUUID()]
    await first(blockOf(appId, id), never).catch(() => undefined)
    await second(blockOf(appId, id), never)
    const before = await countOf(appId)
    // Twice: one that runs already is not begun anew.
    for (let run = 0; run < 2; run += 1) {
      await db.clickhouse.command('SYSTEM REFRESH VIEW doubles_view')
      await db.clickhouse.command('SYSTEM WAIT VIEW doubles_view')
    }
    const found = await db.clickhouse.query(
      'SELECT id FROM doubles FINAL WHERE app_id = {appId: String}',
      { appId },
    )
    return { before, after: await countOf(appId), found: found.length }
  }
  const once = { before: 1, after: 1, found: 1 }

  test('of two processes count once', async () => {
    expect(await twice(someone(), someone())).toEqual(once)
  })

  test('of a process and of whoever does not say who they are count once', async () => {
    expect(await twice(someone(), someone(false))).toEqual(once)
    expect(await twice(someone(false), someone())).toEqual(once)
    const byHand: InsertBlock = ({ format, body, token }) =>
      db.clickhouse.insert({
        ...blockTarget(format),
        body,
        settings: { insert_deduplication_token: token, log_comment: 'by hand' },
      })
    expect(await twice(byHand, byHand)).toEqual(once)
  })

  test('of one process count once where it does not know how an insert ended', async () => {
    const { clickhouse } = db
    let isCut = true
    const cut = createInsert({
      clickhouse: {
        ...clickhouse,
        async insert(rows, run) {
          await clickhouse.insert(rows, run)
          if (isCut) throw new Error('socket hang up')
        },
      },
      inserted: () => undefined,
      storesOnce: true,
    })
    const whole: InsertBlock = (block, signal) => {
      isCut = false
      return cut(block, signal)
    }
    expect(await twice(cut, whole)).toEqual(once)
  })

  test('are not looked for among the rows of one that stores no id twice', async () => {
    const one = someone()
    expect(await twice(one, one)).toEqual({ before: 2, after: 2, found: 0 })
  })
})

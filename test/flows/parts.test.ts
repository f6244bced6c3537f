import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, expect, test } from 'vitest'
import { z } from 'zod'
import { aSite, anEvent, type Site } from './support.ts'

let site: Site | undefined
afterEach(async () => {
  await site?.close()
})

const Parts = z.array(z.object({ parts: z.coerce.number(), rows: z.coerce.number() }))
/** Parts of the table of events that were not merged. */
async function parts({ clickhouse, database }: Site) {
  const rows = await clickhouse.query(
    `SELECT count() AS parts, sum(rows) AS rows FROM system.parts
    WHERE active AND level = 0 AND database = {database: String} AND table = 'occurrences'`,
    { database },
  )
  return Parts.parse(rows)[0] ?? { parts: 0, rows: 0 }
}
const events = (count: number) => Array.from({ length: count }, () => anEvent())
const delivered = (one: Site) =>
  expect
    .poll(() => one.metric('error_ingestor_spool_events'), { timeout: 60_000, interval: 50 })
    .toBe(0)

test('a steady stream makes one part a second at most, of whatever came in it', async () => {
  site = await aSite()
  await site.clickhouse.command('SYSTEM STOP MERGES occurrences')
  const startedMs = performance.now()
  let sent = 0
  while (performance.now() - startedMs < 6_000) {
    expect((await site.ingest(events(10))).status).toBe(200)
    sent += 10
    await sleep(20)
  }
  const seconds = (performance.now() - startedMs) / 1_000
  await delivered(site)
  const { parts: made, rows } = await parts(site)
  const seen = () => site?.metric('error_ingestor_store_parts')
  await expect.poll(seen, { timeout: 20_000 }).toBe(made)
  expect(await site.metric('error_ingestor_store_parts_of_month')).toBe(made)
  expect(rows).toBe(sent)
  // One more for what came first, which did not wait, and one for the end.
  expect(made).toBeLessThanOrEqual(Math.ceil(seconds) + 2)
  expect(made).toBeGreaterThan(2)
}, 60_000)

test('a table with too many parts gets the same block again, later and later, until it takes it', async () => {
  site = await aSite({ DELIVERY_AGE_MS_MAX: '50' })
  const { clickhouse } = site
  await clickhouse.command('SYSTEM STOP MERGES occurrences')
  await clickhouse.command(
    `ALTER TABLE occurrences MODIFY SETTING parts_to_delay_insert = 2, parts_to_throw_insert = 3,
    max_delay_to_insert = 1`,
  )
  const tries = () =>
    site?.metric('error_ingestor_insert_duration_seconds_count', { result: 'failed' })
  let sent = 0
  while ((await tries()) === 0) {
    expect((await site.ingest(events(5))).status).toBe(200)
    sent += 5
    await sleep(30)
  }
  // While it lasts events are accepted, and wait.
  for (let n = 0; n < 10; n += 1) {
    expect((await site.ingest(events(5))).status).toBe(200)
    sent += 5
  }
  const before = { ...(await parts(site)), tries: await tries() }
  expect(before.parts).toBeLessThanOrEqual(4)
  await expect.poll(tries, { timeout: 30_000 }).toBeGreaterThan((before.tries ?? 0) + 3)
  const startedMs = performance.now()
  const triesBefore = (await tries()) ?? 0
  await sleep(3_000)
  const triedPerSecond =
    (((await tries()) ?? 0) - triesBefore) / ((performance.now() - startedMs) / 1e3)
  // Two windows are on their way, and each waits longer with every try.
  expect(triedPerSecond).toBeLessThan(6)
  expect((await parts(site)).rows).toBe(before.rows)
  expect(await site.metric('error_ingestor_spool_events')).toBeGreaterThan(0)
  expect(await site.metric('error_ingestor_undeliverable_events')).toBe(0)

  await clickhouse.command('SYSTEM START MERGES occurrences')
  await clickhouse.command('OPTIMIZE TABLE occurrences FINAL')
  // So few parts are left alone by merges: what remains would meet the bound again.
  await clickhouse.command(
    'ALTER TABLE occurrences RESET SETTING parts_to_delay_insert, parts_to_throw_insert',
  )
  await delivered(site)
  const { body } = await site.call('/dashboard/api/codes?appId=test-app')
  expect(body).toMatchObject({ codes: [{ count: sent }] })
  const rows = await clickhouse.query('SELECT toUInt32(count()) AS rows FROM occurrences', {})
  expect(rows).toEqual([{ rows: sent }])
}, 120_000)

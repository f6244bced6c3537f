import { afterEach, describe, expect, test, vi } from 'vitest'
import { METRIC_NAMES } from '../../src/node/metrics.ts'
import { aSite, anEvent, KEY, post, type Site } from '../flows/support.ts'

const undo: (() => unknown)[] = []
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
})

const APPS_MAX = 10_000
const SCRAPE_BYTES_MAX = 200 * 1024

const keyOf = (i: number) => `ei_key_of_app_number_${i}`
const apps = (count: number) =>
  JSON.stringify(
    Array.from({ length: count }, (_, i) => ({
      id: `app-${i}`,
      name: `App ${i}`,
      keys: [{ key: keyOf(i) }],
    })),
  )

/** One event of each app, some at once. */
async function sendFromEach(site: Site, count: number): Promise<void> {
  let next = 0
  const sender = async () => {
    for (let i = next++; i < count; i = next++) {
      const body = { events: [anEvent({ appId: `app-${i}` })] }
      const answer = await fetch(`${site.url}/api/v1/ingest`, post(body, { 'X-API-Key': keyOf(i) }))
      expect(answer.status).toBe(200)
      await answer.text()
    }
  }
  await Promise.all(Array.from({ length: 32 }, sender))
}

const delivered = (site: Site) =>
  vi.waitUntil(async () => (await site.metric('error_ingestor_spool_events')) === 0, {
    timeout: 60_000,
  })

test.each([
  ['', 0],
  ['200', 200],
])(
  '10,000 apps make a scrape no longer than 200 KB (METRICS_APPS_MAX=%s)',
  async (appsMax, shown) => {
    const site = await aSite({ APPS: apps(APPS_MAX), METRICS_APPS_MAX: appsMax })
    undo.push(site.close)
    await sendFromEach(site, APPS_MAX)
    await delivered(site)
    const { text } = await site.call('/metrics')
    expect(Buffer.byteLength(text)).toBeLessThan(SCRAPE_BYTES_MAX)
    const ofApps = new Set([...text.matchAll(/\bapp="(app-\d+)"/g)].map(([, id]) => id))
    expect(ofApps.size).toBe(shown)
    const own = await site.metric('error_ingestor_app_events_total', { outcome: 'stored' })
    expect(own).toBe(shown === 0 ? 0 : APPS_MAX)
    expect(await site.metric('error_ingestor_apps')).toBe(APPS_MAX + 1) // And that of development.
  },
  120_000,
)

describe('what the process holds and meets', () => {
  test('retries, duplicates by who knew them, keys and bytes in flight', async () => {
    const site = await aSite({ DELIVERY_AGE_MS_MAX: '20', INTAKE_BYTES_IN_FLIGHT_MAX: '1000000' })
    undo.push(site.close)
    const [event, other] = [anEvent(), anEvent()]
    await site.ingest([event])
    await delivered(site)
    await site.ingest([event, other])
    await delivered(site)
    const hits = (by: string) => site.metric('error_ingestor_dedup_hits_total', { by })
    expect([await hits('memory'), await hits('store')]).toEqual([1, 0])
    expect(await site.metric('error_ingestor_intake_bytes')).toBe(0)
    expect(await site.metric('error_ingestor_intake_bytes_max')).toBe(1_000_000)
    await site.ingest([anEvent()], { 'X-API-Key': 'ei_nobody_has_this' })
    const lookups = (result: string) => site.metric('error_ingestor_key_lookups_total', { result })
    expect([await lookups('known'), await lookups('unknown')]).toEqual([2, 1])
    expect(await site.metric('error_ingestor_keys')).toBe(1)
    expect(await site.metric('error_ingestor_insert_retries_total')).toBe(0)
    await site.clickhouse.command(
      `RENAME TABLE ${site.database}.occurrences TO ${site.database}.away`,
    )
    await site.ingest([anEvent()])
    await vi.waitUntil(async () => (await site.metric('error_ingestor_insert_retries_total')) > 0, {
      timeout: 20_000,
    })
    await site.clickhouse.command(
      `RENAME TABLE ${site.database}.away TO ${site.database}.occurrences`,
    )
    await delivered(site)
  })

  test('every metric that is shown is documented, and each documented label is the only one', async () => {
    const site = await aSite({ METRICS_APPS_MAX: '5', SELF_DSN: `http://${KEY}@127.0.0.1:9/1` })
    undo.push(site.close)
    await site.ingest([anEvent()])
    await delivered(site)
    const { text } = await site.call('/metrics')
    const shown = [...text.matchAll(/^# TYPE (error_ingestor_\w+) /gm)].map(([, name]) => name)
    expect(shown.filter((name) => !METRIC_NAMES.some((known) => known === name))).toEqual([])
    const missing = METRIC_NAMES.filter((name) => !shown.includes(name))
    // Of an embedded ClickHouse, which a test's server has not.
    expect(missing.filter((name) => !name.startsWith('error_ingestor_engine_'))).toEqual([])
  })
})

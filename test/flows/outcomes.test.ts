import fc from 'fast-check'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { aProxy, FAULTS, POISON, type Proxy } from '../support/proxy.ts'
import { aSite, anEvent, errorsOf, type Site } from './support.ts'

let proxy: Proxy
let site: Site
beforeAll(async () => {
  proxy = await aProxy()
  site = await aSite({
    ...{ CLICKHOUSE_HOST: proxy.url, CLICKHOUSE_TIMEOUT_MS: '1000' },
    ...{ DELIVERY_AGE_MS_MAX: '50', INTAKE_BODY_BYTES_MAX: '20000' },
  })
})
afterAll(async () => {
  proxy.fault = 'none'
  await site.close()
  proxy.close()
})

const OLD = '2001-02-03T04:05:06Z'
/** One event of a request. The same `again` is the same id, over all requests of a run. */
const anItem = fc.record({
  kind: fc.constantFrom('good', 'good', 'good', 'invalid', 'expired', 'poison'),
  again: fc.option(fc.nat(20), { nil: undefined }),
})
const aRequest = fc.oneof(
  { weight: 6, arbitrary: fc.record({ items: fc.array(anItem, { minLength: 1, maxLength: 25 }) }) },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom('no json', 'no key', 'too large', 'of another app')
      .map((bad) => ({ bad })),
  },
)
type Request = typeof aRequest extends fc.Arbitrary<infer Value> ? Value : never
const aStep = fc.oneof(
  { weight: 5, arbitrary: fc.record({ send: fc.array(aRequest, { minLength: 1, maxLength: 6 }) }) },
  { weight: 2, arbitrary: fc.record({ fault: fc.constantFrom(...FAULTS) }) },
)

async function refusedAs(bad: string): Promise<number> {
  if (bad === 'no json')
    await site.call('/api/v1/ingest', {
      method: 'POST',
      headers: { 'X-API-Key': 'ei_test_key_12345' },
      body: '{',
    })
  if (bad === 'no key') await site.ingest([anEvent()], { 'X-API-Key': 'nobody' })
  if (bad === 'too large') await site.ingest([anEvent({ message: 'x'.repeat(20_000) })])
  // Each of its events is refused, since they could be read.
  if (bad === 'of another app') await site.ingest([anEvent(), anEvent({ appId: 'other' })])
  return bad === 'of another app' ? 2 : 1
}

/** No new run begins after so long. */
const RUNS_MS = 30_000

const total = (counts: Readonly<Record<string, number>>) =>
  Object.values(counts).reduce((sum, count) => sum + count, 0)

/** How many events were received, however they ended, and all that is said of their ends. */
async function ends() {
  const sum = (labels: Record<string, string>) => site.metric('error_ingestor_events_total', labels)
  return {
    refused: await sum({ outcome: 'refused' }),
    expired: await sum({ reason: 'expired' }),
    duplicate: await sum({ outcome: 'duplicate' }),
    stored: await sum({ outcome: 'stored' }),
    undeliverable: await sum({ outcome: 'undeliverable' }),
    spooled: await site.metric('error_ingestor_spool_events'),
  }
}

/** What one scrape says of the law: both sides of it. */
async function scrape(): Promise<{ readonly came: number; readonly are: number }> {
  const { text } = await site.call('/metrics')
  const sum = (name: string) =>
    [...text.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, 'gm'))].reduce(
      (all, [, value]) => all + Number(value),
      0,
    )
  const [received, recovered, ended, spooled] = [
    'received_events_total',
    'recovered_events_total',
    'events_total',
    'spool_events',
  ].map((name) => sum(`error_ingestor_${name}`))
  return {
    came: (received ?? NaN) + (recovered ?? NaN),
    are: (ended ?? NaN) + (spooled ?? NaN),
  }
}

const Ledger = z.object({
  totals: z.record(z.string(), z.number()),
  ledger: z.array(z.object({ outcome: z.string(), reason: z.string(), count: z.number() })),
})

/** The ledger of all apps, by outcome and reason. */
async function ledgerSums(): Promise<Record<string, number>> {
  const { body } = await site.call('/dashboard/api/ledger')
  const { totals, ledger } = Ledger.parse(body)
  const sums: Record<string, number> = {}
  for (const { outcome, reason, count } of ledger) {
    const name = `${outcome} ${reason}`
    sums[name] = (sums[name] ?? 0) + count
  }
  expect(totals['received']).toBe(total(sums))
  return sums
}

/** The counter of how events ended, by outcome and reason. */
async function metricSums(): Promise<Record<string, number>> {
  const { text } = await site.call('/metrics')
  const sums: Record<string, number> = {}
  const series =
    /^error_ingestor_events_total\{protocol="\w+",outcome="(\w+)",reason="(\w*)"\} (\d+)$/gm
  for (const [, outcome = '', reason = '', count] of text.matchAll(series)) {
    const name = `${outcome} ${reason}`
    sums[name] = (sums[name] ?? 0) + Number(count)
  }
  return sums
}

// Not tried twice: what an earlier try left in the spool would be counted with the next one.
test(
  'every event has one outcome, at every scrape and in the ledger, whatever happens',
  { retry: 0, timeout: 180_000 },
  async () => {
    const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 31)
    console.log(`The seed of the outcome law is ${seed}.`)
    const scrapes: { readonly came: number; readonly are: number }[] = []
    const over = new AbortController()
    const scraping = (async () => {
      while (!over.signal.aborted) scrapes.push(await scrape())
    })()
    const untilMs = performance.now() + RUNS_MS
    const runs = fc.asyncProperty(
      fc.array(aStep, { minLength: 3, maxLength: 12 }),
      async (steps) => {
        // Not fast-check's limit, which goes on while a run still sends.
        if (performance.now() > untilMs) return
        const run = crypto.randomUUID()
        const code = `law/${run}`
        const before = await ends()
        const ids = new Set<string>()
        let [received, expired, poisoned] = [0, 0, 0]
        const send = async (request: Request) => {
          if ('bad' in request) {
            const refused = await refusedAs(request.bad)
            received += refused
            return
          }
          const events = request.items.map(({ kind, again }) => {
            const event = anEvent({
              code,
              ...(kind === 'invalid' && { platform: 'toaster' }),
              ...(kind === 'expired' && { timestamp: OLD }),
              ...(kind === 'poison' && { message: POISON }),
            })
            return again === undefined || kind === 'poison'
              ? event
              : { ...event, id: `${run.slice(0, 24)}${again.toString(16).padStart(12, '0')}` }
          })
          received += events.length
          const answer = await site.ingest(events)
          expect([200, 400]).toContain(answer.status)
          for (const [i, { kind }] of request.items.entries()) {
            const id = events[i]?.id ?? ''
            if (kind === 'good') ids.add(id)
            if (kind === 'expired') expired += 1
            if (kind === 'poison') poisoned += 1
          }
        }
        for (const [at, step] of steps.entries()) {
          if ('fault' in step) proxy.fault = step.fault
          else await Promise.all(step.send.map(send))
          // The law holds at every moment, but for the moment in which an event moves on.
          await vi
            .waitUntil(
              async () => {
                return total(await ends()) === total(before) + received
              },
              { timeout: 10_000 },
            )
            .catch((cause: unknown) => {
              throw new Error(`step ${at} (${proxy.fault})`, { cause })
            })
        }
        proxy.fault = 'none'
        // Many events that are refused one by one take many inserts, which take long on a busy machine.
        await vi.waitUntil(async () => (await ends()).spooled === 0, {
          timeout: 60_000,
          interval: 50,
        })
        const after = await ends()
        expect(after.stored - before.stored).toBe(ids.size)
        expect(after.expired - before.expired).toBe(expired)
        expect(after.undeliverable - before.undeliverable).toBe(poisoned)
        const found = await site.call(
          `/dashboard/api/errors?appId=test-app&limit=1000&code=${code}`,
        )
        expect(new Set(errorsOf(found).map(({ id }) => id))).toEqual(ids)
        const rows = await site.clickhouse.query(
          'SELECT count() AS rows FROM occurrences WHERE code = {code: String}',
          { code },
        )
        expect(rows).toEqual([{ rows: ids.size }])
        expect(await site.metric('error_ingestor_bugs_total')).toBe(0)
      },
    )
    try {
      await fc.assert(runs, { seed, numRuns: 10, endOnFailure: true })
    } finally {
      over.abort()
      await scraping
    }
    expect(scrapes.length).toBeGreaterThan(20)
    expect(scrapes.filter(({ came, are }) => came !== are)).toEqual([])
    expect(await ledgerSums()).toEqual(await metricSums())
  },
)

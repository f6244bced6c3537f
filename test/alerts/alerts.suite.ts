import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest'
import { aProxy, POISON } from '../support/proxy.ts'
import { startTlsProxy } from '../support/tls.ts'
import { anEvent, aPod, spoil, type Pod, type Target } from './pods.ts'
import { chartRules, spedUp, type Rule } from './rules.ts'
import { openWatch, type Watch } from './watch.ts'

/** The alerts that have fired and resolved in this run. */
const seen = new Set<string>()
let rules: readonly Rule[] = []
let watch: Watch
beforeAll(async () => {
  rules = await chartRules()
  watch = await openWatch(spedUp(rules))
  return watch.stop
})

const pods: Pod[] = []
afterAll(async () => {
  for (const pod of pods) await pod.close()
})

/** A pod that is scraped, once Prometheus has seen it and is quiet about it. */
async function watched(env: Record<string, string> = {}, clickhouse = inject('clickhouseUrl')) {
  const pod = await aPod(clickhouse, env)
  pods.push(pod)
  expect(await pod.send()).toBe(200)
  await watch.add(pod.target)
  await vi.waitUntil(
    async () => (await watch.query(`error_ingestor_build_info{pod="${pod.name}"}`)).length > 0,
    { timeout: 60_000 },
  )
  return pod
}

/** Does something again and again until the end of `during`. */
async function meanwhile<T>(
  act: () => Promise<unknown>,
  everyMs: number,
  during: () => Promise<T>,
) {
  const over = new AbortController()
  const acting = (async () => {
    while (!over.signal.aborted) {
      await act()
      await sleep(everyMs)
    }
  })()
  try {
    return await during()
  } finally {
    over.abort()
    await acting
  }
}

async function fires(alert: string, pod?: Pod): Promise<void> {
  const said = await watch.fires(alert, pod?.name)
  expect(said['summary']).toMatch(/\S/)
  expect(said['runbook_url']).toBe(`docs/runbooks/${alert}.md`)
}

async function resolves(alert: string, pod?: Pod): Promise<void> {
  await watch.resolved(alert, pod?.name)
  seen.add(alert)
}

async function gone(pod: Pod & { readonly target: Target }): Promise<void> {
  await watch.remove(pod.target)
  await pod.close()
}

describe.concurrent('each alert fires when it is so, and is quiet again when it is over', () => {
  test('ClickHouse away under load: StoreDown, DeliveryLags, SpoolFullSoon, SpoolFills, RefusesEvents, RequestsFail', async () => {
    const alerts = [
      'StoreDown',
      'DeliveryLags',
      'SpoolFullSoon',
      'SpoolFills',
      'RefusesEvents',
    ].map((name) => `ErrorIngestor${name}`)
    const proxy = await aProxy()
    const pod = await watched({}, proxy.url)
    for (const alert of alerts) expect(await watch.isQuiet(alert, pod.name)).toBe(true)
    const some = () => pod.send(Array.from({ length: 4 }, () => anEvent('x'.repeat(900))))
    await meanwhile(some, 100, async () => {
      proxy.fault = 'cut'
      await Promise.all([...alerts, 'ErrorIngestorRequestsFail'].map((alert) => fires(alert, pod)))
      proxy.fault = 'none'
      await Promise.all(
        [...alerts, 'ErrorIngestorRequestsFail'].map((alert) => resolves(alert, pod)),
      )
    })
    await gone(pod)
    proxy.close()
  })

  test('ErrorIngestorRefusesEvents: a disk that fails', async () => {
    const pod = await watched()
    await pod.disk({ failShare: 1 })
    await vi.waitUntil(async () => (await pod.send()) === 503, { timeout: 10_000 })
    await fires('ErrorIngestorRefusesEvents', pod)
    await pod.disk({})
    await resolves('ErrorIngestorRefusesEvents', pod)
    expect(await pod.send()).toBe(200)
    await gone(pod)
  })

  test('ErrorIngestorPodDown: kill -9', async () => {
    const pod = await watched()
    await pod.kill()
    await fires('ErrorIngestorPodDown', pod)
    await pod.start()
    await resolves('ErrorIngestorPodDown', pod)
    await gone(pod)
  })

  test('ErrorIngestorUndeliverable: ClickHouse refuses what is in an event', async () => {
    const proxy = await aProxy()
    const pod = await watched({}, proxy.url)
    expect(await pod.send([anEvent(), anEvent(POISON)])).toBe(200)
    await fires('ErrorIngestorUndeliverable', pod)
    await resolves('ErrorIngestorUndeliverable', pod)
    await gone(pod)
    proxy.close()
  })

  test('ErrorIngestorSpoolDamaged: a bit of a segment is flipped', async () => {
    const proxy = await aProxy()
    const pod = await watched({}, proxy.url)
    proxy.fault = 'cut'
    for (let n = 0; n < 10; n += 1) expect(await pod.send()).toBe(200)
    await pod.kill()
    const names = await readdir(join(pod.folder, 'spool'))
    await spoil(
      pod.folder,
      names
        .filter((name) => name.startsWith('segment-'))
        .sort()
        .at(-1) ?? '',
    )
    await pod.start()
    await fires('ErrorIngestorSpoolDamaged', pod)
    proxy.fault = 'none'
    await resolves('ErrorIngestorSpoolDamaged', pod)
    await gone(pod)
    proxy.close()
  })

  test('ErrorIngestorIntakeSlow: a disk that takes seconds for each write', async () => {
    const pod = await watched()
    await meanwhile(pod.send, 50, async () => {
      await pod.disk({ slowMs: 4_000 })
      await meanwhile(pod.send, 50, () => fires('ErrorIngestorIntakeSlow', pod))
      await pod.disk({})
      await resolves('ErrorIngestorIntakeSlow', pod)
    })
    await gone(pod)
  })

  test('ErrorIngestorBugs: something is thrown that nobody expected', async () => {
    const pod = await watched()
    expect(await pod.bug(false)).toBe(200)
    expect(await pod.bug(true)).toBe(500)
    await fires('ErrorIngestorBugs', pod)
    expect(await pod.bug(false)).toBe(200)
    await resolves('ErrorIngestorBugs', pod)
    await gone(pod)
  })

  test('ErrorIngestorStoreSlow: inserts take six seconds', async () => {
    const proxy = await aProxy()
    const pod = await watched({}, proxy.url)
    await meanwhile(pod.send, 100, async () => {
      proxy.slowMs = 6_000
      await fires('ErrorIngestorStoreSlow', pod)
      proxy.slowMs = 0
      await resolves('ErrorIngestorStoreSlow', pod)
    })
    await gone(pod)
    proxy.close()
  })

  test('ErrorIngestorOutcomesDoNotAddUp: three events are forgotten', async () => {
    const pod = await watched()
    pod.forgotten = 3
    await fires('ErrorIngestorOutcomesDoNotAddUp', pod)
    pod.forgotten = 0
    await resolves('ErrorIngestorOutcomesDoNotAddUp', pod)
    await gone(pod)
  })

  test('ErrorIngestorQuotaRefuses: an app sends more than its day', async () => {
    const pod = await watched({ LIMIT_EVENTS_PER_DAY: '3' })
    await meanwhile(pod.send, 200, () => fires('ErrorIngestorQuotaRefuses', pod))
    await resolves('ErrorIngestorQuotaRefuses', pod)
    await gone(pod)
  })

  test('ErrorIngestorKeyExpires: the last key of an app has three days left, until there is another', async () => {
    const keysDir = await mkdtemp(join(tmpdir(), 'error-ingestor-keys-'))
    const inDays = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString()
    const put = (...expiries: readonly string[]) => {
      const keys = expiries.map((expiresAt, n) => ({ key: `ei_shop_key_000000${n}`, expiresAt }))
      const app = { id: 'shop', name: 'Shop', keys }
      return writeFile(join(keysDir, 'shop.json'), JSON.stringify([app]))
    }
    await put(inDays(30))
    const pod = await watched({ KEYS_DIR: keysDir })
    expect(await watch.isQuiet('ErrorIngestorKeyExpires')).toBe(true)
    await put(inDays(3))
    await fires('ErrorIngestorKeyExpires')
    await put(inDays(3), inDays(300))
    await resolves('ErrorIngestorKeyExpires')
    await gone(pod)
    await rm(keysDir, { recursive: true })
  })

  test('ErrorIngestorCertificateExpires: that of ClickHouse has five days left, until it is renewed', async () => {
    const proxy = await startTlsProxy(Number(new URL(inject('clickhouseUrl')).port), 5)
    const pod = await watched({}, `https://localhost:${proxy.port}`)
    await fires('ErrorIngestorCertificateExpires')
    await proxy.renew(365)
    await resolves('ErrorIngestorCertificateExpires')
    await gone(pod)
    await proxy.close()
  })
})

test('ErrorIngestorAbsent: no pod gives metrics', async () => {
  await fires('ErrorIngestorAbsent')
  const pod = await watched()
  await resolves('ErrorIngestorAbsent')
  await gone(pod)
})

test('every alert of the chart has fired here', () => {
  expect([...seen].sort()).toEqual(rules.map(({ alert }) => alert).sort())
})

import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  OF_STORY,
  deletePod,
  departure,
  drainIsHeld,
  hang,
  kill9,
  restarts,
  restartsOf,
  settled,
} from './pods.ts'
import { startPrometheus } from './prometheus.ts'
import { clickhouseManifest, eventually, namespace, type Space } from './support.ts'
import { EMBEDDED, EXTERNAL, IMAGE, KEY, say, STANDALONE } from './values.ts'

/** An act during which no request may fail. */
function never(act: () => Promise<unknown>): () => Promise<undefined> {
  return async () => {
    await act()
    return undefined
  }
}

describe('embedded', () => {
  let space: Space
  beforeAll(async () => {
    space = await namespace('ei-embedded-faults')
    await space.install(EMBEDDED, '--wait')
  })
  afterAll(() => space.leave())

  test('loses nothing and counts nothing twice over a kill -9 and a deleted pod under load', async () => {
    const secret = await space.kubectl(
      ...['get', 'secret', 'errors-error-ingestor-trial'],
      '--output=jsonpath={.data.key}',
    )
    await space.startLoad(STANDALONE, Buffer.from(secret, 'base64').toString(), 'trial')
    await space.goesOn(1_000)
    const downtimes: number[] = []
    for (const disturb of [kill9, deletePod]) {
      const fromMs = Date.now()
      await disturb(space, 'errors-error-ingestor-0')
      await settled(space, 1)
      await space.goesOn(1_000)
      const { failures } = await space.load('/')
      const times = failures.map(({ atMs }) => atMs).filter((atMs) => atMs > fromMs)
      downtimes.push(Math.max(...times) - Math.min(...times))
    }
    const report = await space.load('/reconcile')
    say('embedded: refused for ms after kill -9, after a deleted pod', downtimes)
    say('embedded load', { ...report, failures: report.failures.length })
    expect(report).toMatchObject({ lost: 0, doubled: 0, counted: report.acknowledged })
    expect(report.acknowledged).toBe(report.sent)
  })
})

describe('external', () => {
  let space: Space
  beforeAll(async () => {
    space = await namespace('ei-external')
  })
  afterAll(() => space.leave())

  test('installs with --wait while ClickHouse comes 60 s late, and delivers what came meanwhile', async () => {
    const tookMs = await space.install([...EXTERNAL, 'replicaCount=3'], '--wait')
    say('external install --wait without ClickHouse, ms', Math.round(tookMs))
    await space.startLoad(IMAGE, KEY, 'shop')
    await sleep(60_000)
    await space.apply(await clickhouseManifest())
    await space.wait('--for=condition=Complete', 'job', '--all')
    expect(await space.helm('test', 'errors', '--logs')).toContain('the round trip works')
    expect((await restarts(space)).every((count) => count === 0)).toBe(true)
    const report = await space.load('/reconcile')
    say('late ClickHouse', { ...report, failures: report.failures.length })
    expect(report).toMatchObject({ failures: [], lost: 0, doubled: 0, counted: report.sent })
    await space.kubectl('delete', 'pod/load', 'configmap/load', '--now')
  })

  test('loses nothing, counts nothing twice and fails no request, whatever is done to its pods', async () => {
    await space.startLoad(IMAGE, KEY, 'shop')
    // Upgraded once; from then on nothing else changes than the number of pods.
    const values = [...EXTERNAL, `podLabels.${OF_STORY}=${space.name}`, 'replicaCount=3']
    // Each resolves to until when a request may fail, where any may.
    const story: Record<string, () => Promise<number | undefined>> = {
      'rolling upgrade': never(() => space.install(values, '--wait')),
      'scale in to 1': never(() => space.install([...values, 'replicaCount=1'], '--wait')),
      'scale out to 3': never(() => space.install(values, '--wait')),
      'delete a pod': never(() => deletePod(space, 'errors-error-ingestor-1')),
      'drain of the only node': never(() => drainIsHeld(space)),
      'delete ClickHouse': never(() => deletePod(space, 'clickhouse-0')),
      'kill -9': async () => (await kill9(space, 'errors-error-ingestor-2')) + 5_000,
    }
    const figures: Record<string, unknown> = {}
    const forbidden: unknown[] = []
    for (const [name, act] of Object.entries(story)) {
      const fromMs = Date.now()
      const allowedUntilMs = (await act()) ?? 0
      await settled(space, name === 'scale in to 1' ? 1 : 3)
      await space.goesOn(1_000)
      const failures = (await space.load('/')).failures.filter(({ atMs }) => atMs >= fromMs)
      figures[name] = { seconds: Math.round((Date.now() - fromMs) / 1_000), failed: failures }
      forbidden.push(
        ...failures.filter(({ atMs }) => atMs > allowedUntilMs).map((f) => ({ name, ...f })),
      )
    }
    const report = await space.load('/reconcile')
    say('disturbances', figures)
    say('external load', { ...report, failures: report.failures.length })
    expect(report).toMatchObject({ lost: 0, doubled: 0, counted: report.acknowledged })
    expect(report.acknowledged).toBe(report.sent)
    expect(forbidden).toEqual([])
  })

  test('is restarted by the kubelet when its event loop hangs', async () => {
    const pod = 'errors-error-ingestor-1'
    const before = await restartsOf(space, pod)
    const fromMs = Date.now()
    await hang(space, pod)
    await eventually(async () => {
      expect(await restartsOf(space, pod)).toBe(before + 1)
    })
    say('hung event loop, ms until the restart', Date.now() - fromMs)
    await settled(space, 3)
    const events = await space.kubectl('get', 'events', '--field-selector=reason=Unhealthy')
    expect(events).toContain('Liveness probe failed')
  })

  test('leaves the endpoints on SIGTERM before it closes its listener', async () => {
    const pod = 'errors-error-ingestor-2'
    const { leftAtMs, unreadyAtMs, answeredAtMs } = await departure(space, pod)
    say('SIGTERM: ms of answers after leaving the endpoints', answeredAtMs - leftAtMs)
    // Out of the endpoints, and still answering: those who have not heard yet are served.
    expect(unreadyAtMs).toBeGreaterThan(0)
    expect(answeredAtMs - unreadyAtMs).toBeGreaterThan(4_000)
    expect(answeredAtMs).toBeGreaterThan(leftAtMs)
    await settled(space, 3)
  })

  test('is scraped by Prometheus through what the ServiceMonitor says', async () => {
    const rendered = await space.helm(
      ...['template', 'errors', 'charts/error-ingestor', '--set', EXTERNAL.join(',')],
      ...['--set', 'metrics.serviceMonitor.enabled=true', '--show-only=templates/monitors.yaml'],
    )
    const prometheus = await startPrometheus(rendered, space.name)
    try {
      await eventually(async () => {
        const found = await prometheus.query('count by (job) (error_ingestor_build_info)')
        expect(found).toEqual([{ labels: { job: 'errors-error-ingestor-pods' }, value: 3 }])
      })
      const pods = await prometheus.query('error_ingestor_spool_accepting == 1')
      expect(pods.map(({ labels }) => [labels['namespace'], labels['pod']]).sort()).toEqual(
        [0, 1, 2].map((n) => [space.name, `errors-error-ingestor-${n}`]),
      )
    } finally {
      await prometheus.stop()
    }
  })

  test('drains the backlog on the claim of a pod that is gone', async () => {
    // ClickHouse goes; three pods keep what comes; two of them go as well, with what they keep.
    await space.kubectl('scale', 'statefulset/clickhouse', '--replicas=0')
    await space.wait('--for=delete', 'pod/clickhouse-0')
    await space.kubectl('delete', 'pod/load', 'configmap/load', '--now')
    await space.startLoad(IMAGE, KEY, 'shop')
    await space.goesOn(3_000)
    const values = [...EXTERNAL, `podLabels.${OF_STORY}=${space.name}`, 'replicaCount=1']
    // Without its hook the upgrade does not wait for ClickHouse.
    await space.install([...values, 'schemaJob.enabled=false'], '--wait')
    // Until they have ended they would deliver what they keep themselves.
    const gone = [1, 2].map((number) => `pod/errors-error-ingestor-${number}`)
    await space.wait('--for=delete', ...gone)
    await space.kubectl('scale', 'statefulset/clickhouse', '--replicas=1')
    await space.wait('--for=create', 'pod/clickhouse-0')
    await space.wait('--for=condition=Ready', 'pod/clickhouse-0')
    const claims = 'drain.claims={data-errors-error-ingestor-1,data-errors-error-ingestor-2}'
    await space.install([...values, claims], '--wait')
    const left: number[] = []
    for (const number of [1, 2]) {
      const job = `job/errors-error-ingestor-drain-${number}`
      await space.wait('--for=condition=Complete', job)
      const log = await space.kubectl('logs', job, '--container=drain')
      left.push(Number(/(\d+) stored/.exec(log)?.[1]))
      expect(log).toContain('The spool is empty')
    }
    const report = await space.load('/reconcile')
    say('drained claims, events each', left)
    say('drain load', report)
    expect(left.every((events) => events > 0)).toBe(true)
    expect(report).toMatchObject({ failures: [], lost: 0, doubled: 0, counted: report.sent })
  })
})

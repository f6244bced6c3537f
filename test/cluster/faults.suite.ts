import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  deletePod,
  drainIsHeld,
  hang,
  kill9,
  readyPods,
  restarts,
  restartsOf,
  settled,
} from './pods.ts'
import { startPrometheus } from './prometheus.ts'
import { clickhouseManifest, command, eventually, namespace, type Space } from './support.ts'
import { EMBEDDED, EXTERNAL, IMAGE, KEY, say, STANDALONE } from './values.ts'

describe('embedded', () => {
  let space: Space
  beforeAll(async () => {
    space = await namespace('ei-embedded-faults')
    await space.install(EMBEDDED, '--wait', '--timeout=120s')
  })
  afterAll(() => space.remove())

  test('loses nothing and counts nothing twice over a kill -9 and a deleted pod under load', async () => {
    const secret = await space.kubectl(
      ...['get', 'secret', 'errors-error-ingestor-trial'],
      '--output=jsonpath={.data.key}',
    )
    await space.startLoad(STANDALONE, Buffer.from(secret, 'base64').toString(), 'trial')
    await sleep(5_000)
    const downtimes: number[] = []
    for (const disturb of [kill9, deletePod]) {
      const fromMs = Date.now()
      await disturb(space, 'errors-error-ingestor-0')
      await settled(space, 1)
      await sleep(8_000)
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
  afterAll(() => space.remove())

  test('installs with --wait while ClickHouse comes 60 s late, and delivers what came meanwhile', async () => {
    const tookMs = await space.install(
      [...EXTERNAL, 'replicaCount=3'],
      ...['--wait', '--timeout=50s'],
    )
    say('external install --wait without ClickHouse, ms', Math.round(tookMs))
    await space.startLoad(IMAGE, KEY, 'shop')
    await sleep(60_000)
    await space.apply(await clickhouseManifest())
    await space.kubectl('wait', '--for=condition=Complete', 'job', '--all', '--timeout=120s')
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
    const values = [...EXTERNAL, 'podAnnotations.turn=second', 'replicaCount=3']
    const story: Record<string, () => Promise<unknown>> = {
      'rolling upgrade': () => space.install(values, '--wait'),
      'scale in to 1': () => space.install([...values, 'replicaCount=1'], '--wait'),
      'scale out to 3': () => space.install(values, '--wait'),
      'delete a pod': () => deletePod(space, 'errors-error-ingestor-1'),
      'drain of the only node': () => drainIsHeld(space),
      'delete ClickHouse': () => deletePod(space, 'clickhouse-0'),
      'kill -9': () => kill9(space, 'errors-error-ingestor-2'),
    }
    const figures: Record<string, unknown> = {}
    const forbidden: unknown[] = []
    for (const [name, act] of Object.entries(story)) {
      const fromMs = Date.now()
      await act()
      await settled(space, name === 'scale in to 1' ? 1 : 3)
      await sleep(7_000)
      const failures = (await space.load('/')).failures.filter(({ atMs }) => atMs >= fromMs)
      figures[name] = { seconds: Math.round((Date.now() - fromMs) / 1_000), failed: failures }
      const allowedUntilMs = name === 'kill -9' ? fromMs + 5_000 : 0
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
    await eventually(90_000, async () => {
      expect(await restartsOf(space, pod)).toBe(before + 1)
    })
    say('hung event loop, ms until the restart', Date.now() - fromMs)
    await settled(space, 3)
    const events = await space.kubectl('get', 'events', '--field-selector=reason=Unhealthy')
    expect(events).toContain('Liveness probe failed')
  })

  test('leaves the endpoints on SIGTERM before it closes its listener', async () => {
    const pod = 'errors-error-ingestor-2'
    const direct = `/api/v1/namespaces/${space.name}/pods/${pod}:3000/proxy/health`
    await space.kubectl('delete', 'pod', pod, '--wait=false')
    await eventually(3_000, async () => {
      expect(await readyPods(space)).not.toContain(pod)
    })
    // Out of the endpoints, and still answering: those who have not heard yet are served.
    expect(await command('kubectl', 'get', '--raw', `${direct}/live`)).toContain('ok')
    await expect(command('kubectl', 'get', '--raw', `${direct}/ready`)).rejects.toThrow()
    await space.kubectl('wait', '--for=delete', `pod/${pod}`, '--timeout=40s').catch(() => '')
    await settled(space, 3)
  })

  test('is scraped by Prometheus through what the ServiceMonitor says', async () => {
    const rendered = await space.helm(
      ...['template', 'errors', 'charts/error-ingestor', '--set', EXTERNAL.join(',')],
      ...['--set', 'metrics.serviceMonitor.enabled=true', '--show-only=templates/monitors.yaml'],
    )
    const prometheus = await startPrometheus(rendered, space.name)
    try {
      await eventually(60_000, async () => {
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
    await space.kubectl('wait', '--for=delete', 'pod/clickhouse-0', '--timeout=60s')
    await space.kubectl('delete', 'pod/load', 'configmap/load', '--now')
    await space.startLoad(IMAGE, KEY, 'shop')
    await eventually(60_000, async () => {
      expect((await space.load('/')).acknowledged).toBeGreaterThan(3_000)
    })
    const values = [...EXTERNAL, 'replicaCount=1', 'podAnnotations.turn=second']
    // Without its hook the upgrade does not wait for ClickHouse.
    await space.install([...values, 'schemaJob.enabled=false'], '--wait')
    await space.kubectl('scale', 'statefulset/clickhouse', '--replicas=1')
    await space.kubectl('wait', '--for=create', 'pod/clickhouse-0', '--timeout=60s')
    await space.kubectl('wait', '--for=condition=Ready', 'pod/clickhouse-0', '--timeout=120s')
    const claims = 'drain.claims={data-errors-error-ingestor-1,data-errors-error-ingestor-2}'
    await space.install([...values, claims], '--wait')
    const left: number[] = []
    for (const number of [1, 2]) {
      const job = `job/errors-error-ingestor-drain-${number}`
      await space.kubectl('wait', '--for=condition=Complete', job, '--timeout=90s')
      const log = await space.kubectl('logs', job, '--container=drain')
      left.push(Number(/(\d+) stored/.exec(log)?.[1]))
      expect(log).toContain('The spool is empty')
    }
    const report = await space.load('/reconcile')
    say('drained claims, events each', left)
    say('drain load', { ...report, failures: report.failures.length })
    expect(left.every((events) => events > 0)).toBe(true)
    expect(report).toMatchObject({ lost: 0, doubled: 0, counted: report.acknowledged })
  })
})

import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { startPrometheus } from './prometheus.ts'
import { clickhouseManifest, command, eventually, namespace } from './support.ts'

const SERVER = 'app.kubernetes.io/component=server'
const IMAGE = 'error-ingestor:suite'
const EMBEDDED = ['clickhouse.mode=embedded', 'image.tag=suite-standalone']
const KEY = 'ei_0123456789abcdef0123456789abcdef'
const EXTERNAL = [
  'image.tag=suite',
  'clickhouse.external.url=http://clickhouse:8123',
  'persistence.size=1Gi',
  'spoolBytesMax=536870912',
  'resources.requests.cpu=50m',
  'apps[0].id=shop',
  'apps[0].name=Shop',
  `apps[0].keys[0].key=${KEY}`,
  'apps[0].keys[0].scopes={ingest,read}',
]
type Space = Awaited<ReturnType<typeof namespace>>

const say = (what: string, value: unknown) => console.log(`${what}: ${JSON.stringify(value)}`)

describe('embedded, from nothing', () => {
  let space: Space
  beforeAll(async () => {
    space = await namespace('ei-embedded')
  })
  afterAll(() => space.remove())

  test('is ready within 60 s, and helm test reads back what it sent', async () => {
    const tookMs = await space.install(EMBEDDED, '--wait', '--timeout=120s')
    say('embedded install --wait, ms', Math.round(tookMs))
    expect(tookMs).toBeLessThan(60_000)
    expect(await space.helm('test', 'errors', '--logs')).toContain('the round trip works')
  })

  test('loses nothing and counts nothing twice over a kill -9 and a deleted pod under load', async () => {
    const secret = await space.kubectl(
      ...['get', 'secret', 'errors-error-ingestor-trial'],
      '--output=jsonpath={.data.key}',
    )
    await space.startLoad(IMAGE, Buffer.from(secret, 'base64').toString(), 'trial')
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

  test('leaves after an uninstall what is said, and nothing else', async () => {
    await space.kubectl('delete', 'pod', 'load', '--now')
    await space.kubectl('delete', 'configmap', 'load')
    await space.helm('uninstall', 'errors', '--wait')
    await space.kubectl('wait', '--for=delete', 'pod', '--selector', SERVER, '--timeout=90s')
    const all = await space.kubectl(
      'get',
      'all,pvc,secret,configmap,serviceaccount,networkpolicy,poddisruptionbudget',
      '--output=name',
    )
    expect(all.split('\n').sort()).toEqual([
      'configmap/kube-root-ca.crt',
      'persistentvolumeclaim/data-errors-error-ingestor-0',
      'pod/errors-error-ingestor-round-trip',
      'secret/errors-error-ingestor-trial',
      'serviceaccount/default',
    ])
  })
})

describe('values that cannot work', () => {
  let space: Space
  beforeAll(async () => {
    space = await namespace('ei-refused')
  })
  afterAll(() => space.remove())

  test.each([
    ['a Secret that is missing', ['appsExistingSecret.name=none'], 'there is no Secret none in'],
    ['a key that is too short', ['apps[0].keys[0].key=short'], 'is not 16 to 200 letters'],
    ['an operator that is missing', ['clickhouse.mode=altinity'], 'install the operator first'],
    ['two pods around one ClickHouse', [...EMBEDDED, 'replicaCount=2'], 'lives in one pod'],
  ])('%s fails the install with what to do', async (_, values, sentence) => {
    const base = values[0] === 'appsExistingSecret.name=none' ? EXTERNAL.slice(0, 5) : EXTERNAL
    await expect(space.install([...base, ...values])).rejects.toThrow(sentence)
    expect(await space.kubectl('get', 'statefulset', '--output=name')).toBe('')
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
    const pods = await space.pods('app.kubernetes.io/instance=errors')
    const restarts = pods.flatMap((pod) => pod.status.containerStatuses).map((c) => c.restartCount)
    expect(restarts.every((count) => count === 0)).toBe(true)
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
    const [before] = await statuses(space, pod)
    await hang(space, pod)
    await eventually(90_000, async () => {
      const [after] = await statuses(space, pod)
      expect(after?.restartCount).toBe((before?.restartCount ?? 0) + 1)
    })
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

  test('drains the claim of a pod that is gone', async () => {
    const values = [...EXTERNAL, 'replicaCount=1', 'drain.claims={data-errors-error-ingestor-2}']
    await space.install(values, '--wait')
    await space.kubectl(
      ...['wait', '--for=condition=Complete', 'job/errors-error-ingestor-drain-2'],
      '--timeout=90s',
    )
    const log = await space.kubectl('logs', 'job/errors-error-ingestor-drain-2')
    expect(log).toContain('The spool is empty')
  })
})

async function settled(space: Space, count: number): Promise<void> {
  await eventually(120_000, async () => {
    const pods = await space.pods(SERVER)
    expect(pods.map((pod) => pod.status.containerStatuses.every((c) => c.ready))).toEqual(
      Array.from({ length: count }, () => true),
    )
    expect((await readyPods(space)).length).toBe(count)
  })
}

/** Names of the pods that the Service sends to. */
async function readyPods(space: Space): Promise<string[]> {
  const Slices = z.object({
    items: z.array(
      z.object({
        endpoints: z
          .array(
            z.object({
              conditions: z.object({ ready: z.boolean().optional() }),
              targetRef: z.object({ name: z.string() }),
            }),
          )
          .nullish(),
      }),
    ),
  })
  const text = await space.kubectl(
    ...['get', 'endpointslices', '--output=json'],
    '--selector=kubernetes.io/service-name=errors-error-ingestor',
  )
  return Slices.parse(JSON.parse(text)).items.flatMap(({ endpoints }) =>
    (endpoints ?? []).filter((e) => e.conditions.ready === true).map((e) => e.targetRef.name),
  )
}

async function statuses(space: Space, pod: string) {
  const pods = await space.pods(SERVER)
  return pods.find(({ metadata }) => metadata.name === pod)?.status.containerStatuses ?? []
}

/** Kills the process as a power cut would: with no chance to say or write anything. */
async function kill9(space: Space, pod: string): Promise<void> {
  // Process 1 cannot be killed from inside; its container's runtime can.
  const id = await space.kubectl('get', 'pod', pod, '--output=jsonpath={.metadata.uid}')
  const [before] = await statuses(space, pod)
  await command('sh', '-c', `${process.env['KILL_POD'] ?? 'test/cluster/kill-pod'} "$0"`, id)
  await eventually(30_000, async () => {
    const [after] = await statuses(space, pod)
    expect(after?.restartCount).toBe((before?.restartCount ?? 0) + 1)
  })
}

async function deletePod(space: Space, pod: string): Promise<void> {
  await space.kubectl('delete', 'pod', pod)
  await space.kubectl('wait', '--for=create', `pod/${pod}`, '--timeout=60s')
  await space.kubectl('wait', '--for=condition=Ready', `pod/${pod}`, '--timeout=120s')
}

/** Of three pods on the only node one may go; it finds no other node, so the budget holds the rest. */
async function drainIsHeld(space: Space): Promise<void> {
  const node = await command(
    'kubectl',
    'get',
    'nodes',
    '--output=jsonpath={.items[0].metadata.name}',
  )
  try {
    const drained = command(
      ...(['kubectl', 'drain', node, '--ignore-daemonsets', '--timeout=30s'] as const),
      `--pod-selector=${SERVER}`,
    )
    await expect(drained).rejects.toThrow(/violate the pod's disruption budget/)
    expect((await readyPods(space)).length).toBe(2)
  } finally {
    await command('kubectl', 'uncordon', node)
  }
}

/** Has process 1 open its inspector, and through it run a loop without an end. */
async function hang(space: Space, pod: string): Promise<void> {
  await space.node(
    pod,
    `import { setTimeout as sleep } from 'node:timers/promises'
     process.kill(1, 'SIGUSR1')
     let targets
     while (targets === undefined) {
       await sleep(200)
       targets = await fetch('http://127.0.0.1:9229/json').then((a) => a.json(), () => undefined)
     }
     const socket = new WebSocket(targets[0].webSocketDebuggerUrl)
     socket.onopen = () => {
       socket.send(JSON.stringify({ id: 1, method: 'Runtime.evaluate', params: { expression: 'for (;;);' } }))
       setTimeout(() => process.exit(0), 500)
     }`,
  )
}

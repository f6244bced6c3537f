import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { expect } from 'vitest'
import { z } from 'zod'
import { command, eventually, type Space } from './support.ts'

/** Label of the server's pods. */
export const SERVER = 'app.kubernetes.io/component=server'

/** Label of pods, with the name of their namespace, by which a drain finds no others. */
export const OF_STORY = 'story'

const ENDPOINTS = '--selector=kubernetes.io/service-name=errors-error-ingestor'

const Asked = z.object({ unreadyAtMs: z.number(), answeredAtMs: z.number() })

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

/** Resolves when that many server pods run, are ready, and get requests from the Service. */
export async function settled(space: Space, count: number): Promise<void> {
  await eventually(async () => {
    const pods = await space.pods(SERVER)
    expect(pods.map((pod) => pod.status.containerStatuses.every((c) => c.ready))).toEqual(
      Array.from({ length: count }, () => true),
    )
    expect((await readyPods(space)).length).toBe(count)
  })
}

/** Names of the pods that the Service sends to. */
async function readyPods(space: Space): Promise<string[]> {
  const text = await space.kubectl(...['get', 'endpointslices', '--output=json'], ENDPOINTS)
  return Slices.parse(JSON.parse(text)).items.flatMap(({ endpoints }) =>
    (endpoints ?? []).filter((e) => e.conditions.ready === true).map((e) => e.targetRef.name),
  )
}

/** Restarts of each container of all server pods. */
export async function restarts(space: Space): Promise<number[]> {
  const pods = await space.pods('app.kubernetes.io/instance=errors')
  return pods.flatMap((pod) => pod.status.containerStatuses).map((c) => c.restartCount)
}

/** How often the pod's container was started again. */
export async function restartsOf(space: Space, pod: string): Promise<number> {
  const pods = await space.pods(SERVER)
  const found = pods.find(({ metadata }) => metadata.name === pod)
  return found?.status.containerStatuses[0]?.restartCount ?? 0
}

/** Kills the process as a power cut would: with no chance to say or write anything. Resolves to the moment, in ms. */
export async function kill9(space: Space, pod: string): Promise<number> {
  // Process 1 cannot be killed from inside; its container's runtime can.
  const id = await space.kubectl('get', 'pod', pod, '--output=jsonpath={.metadata.uid}')
  const before = await restartsOf(space, pod)
  await command('sh', '-c', `${process.env['KILL_POD'] ?? 'test/cluster/kill-pod'} "$0"`, id)
  const killedAtMs = Date.now()
  await eventually(async () => {
    expect(await restartsOf(space, pod)).toBe(before + 1)
  })
  return killedAtMs
}

/** Deletes the pod and resolves when its successor is ready. */
export async function deletePod(space: Space, pod: string): Promise<void> {
  await space.kubectl('delete', 'pod', pod)
  await space.wait('--for=create', `pod/${pod}`)
  await space.wait('--for=condition=Ready', `pod/${pod}`)
}

/**
 * Of three pods on the only node one may go; it finds no other node, so the budget holds the rest. Pods of other stories
 * are let be, but for new ones, which wait until the node is open again.
 */
export async function drainIsHeld(space: Space): Promise<void> {
  const names = '--output=jsonpath={.items[0].metadata.name}'
  const node = await command('kubectl', 'get', 'nodes', names)
  try {
    const drained = command(
      ...(['kubectl', 'drain', node, '--ignore-daemonsets', '--timeout=20s'] as const),
      `--pod-selector=${SERVER},${OF_STORY}=${space.name}`,
    )
    await expect(drained).rejects.toThrow(/violate the pod's disruption budget/)
    expect((await readyPods(space)).length).toBe(2)
  } finally {
    await command('kubectl', 'uncordon', node)
  }
}

/** Has process 1 open its inspector, and through it run a loop without an end. */
export async function hang(space: Space, pod: string): Promise<void> {
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

/**
 * Deletes the pod and says when it left the Service's endpoints, when it was unready, and when it last answered, all in ms:
 * kubectl is told of the first by the API server, and the load's pod asks the server itself, again and again.
 */
export async function departure(space: Space, pod: string) {
  const address = await space.kubectl('get', 'pod', pod, '--output=jsonpath={.status.podIP}')
  const asking = space.node(
    'load',
    `import { setTimeout as sleep } from 'node:timers/promises'
     const ask = (path) => fetch('http://${address}:3000/health/' + path).then((answer) => answer.ok, () => undefined)
     let [unreadyAtMs, answeredAtMs] = [0, 0]
     for (let ready; (ready = await ask('ready')) !== undefined; await sleep(20)) {
       if (!ready) unreadyAtMs ||= Date.now()
       if (await ask('live')) answeredAtMs = Date.now()
     }
     console.log(JSON.stringify({ unreadyAtMs, answeredAtMs }))`,
  )
  const names = '{range .endpoints[?(@.conditions.ready==true)]}{.targetRef.name} {end}{"\\n"}'
  const watching = spawn(
    'kubectl',
    [
      ...['--namespace', space.name, 'get', 'endpointslices', '--watch'],
      ...[ENDPOINTS, `--output=jsonpath=${names}`],
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  try {
    let deleted: Promise<unknown> | undefined
    for await (const line of createInterface(watching.stdout)) {
      if (!line.split(' ').includes(pod)) break
      deleted ??= space.kubectl('delete', 'pod', pod, '--wait=false')
    }
    const leftAtMs = Date.now()
    await deleted
    return { leftAtMs, ...Asked.parse(JSON.parse(await asking)) }
  } finally {
    watching.kill()
  }
}

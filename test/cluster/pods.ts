import { expect } from 'vitest'
import { z } from 'zod'
import { command, eventually, type Space } from './support.ts'

/** Label of the server's pods. */
export const SERVER = 'app.kubernetes.io/component=server'

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
  await eventually(120_000, async () => {
    const pods = await space.pods(SERVER)
    expect(pods.map((pod) => pod.status.containerStatuses.every((c) => c.ready))).toEqual(
      Array.from({ length: count }, () => true),
    )
    expect((await readyPods(space)).length).toBe(count)
  })
}

/** Names of the pods that the Service sends to. */
export async function readyPods(space: Space): Promise<string[]> {
  const text = await space.kubectl(
    ...['get', 'endpointslices', '--output=json'],
    '--selector=kubernetes.io/service-name=errors-error-ingestor',
  )
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

/** Kills the process as a power cut would: with no chance to say or write anything. */
export async function kill9(space: Space, pod: string): Promise<void> {
  // Process 1 cannot be killed from inside; its container's runtime can.
  const id = await space.kubectl('get', 'pod', pod, '--output=jsonpath={.metadata.uid}')
  const before = await restartsOf(space, pod)
  await command('sh', '-c', `${process.env['KILL_POD'] ?? 'test/cluster/kill-pod'} "$0"`, id)
  await eventually(30_000, async () => {
    expect(await restartsOf(space, pod)).toBe(before + 1)
  })
}

/** Deletes the pod and resolves when its successor is ready. */
export async function deletePod(space: Space, pod: string): Promise<void> {
  await space.kubectl('delete', 'pod', pod)
  await space.kubectl('wait', '--for=create', `pod/${pod}`, '--timeout=60s')
  await space.kubectl('wait', '--for=condition=Ready', `pod/${pod}`, '--timeout=120s')
}

/** Of three pods on the only node one may go; it finds no other node, so the budget holds the rest. */
export async function drainIsHeld(space: Space): Promise<void> {
  const names = '--output=jsonpath={.items[0].metadata.name}'
  const node = await command('kubectl', 'get', 'nodes', names)
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

import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { z } from 'zod'
import type { LoadReport } from './load.ts'

const CHART = 'charts/error-ingestor'
const run = promisify(execFile)

/** What the load says; see {@link LoadReport}. */
const Report = z.object({
  sent: z.number(),
  acknowledged: z.number(),
  failures: z.array(z.object({ atMs: z.number(), why: z.string() })),
  slowestMs: z.number(),
  lost: z.number().optional(),
  doubled: z.number().optional(),
  counted: z.number().optional(),
}) satisfies z.ZodType<LoadReport>

const Pods = z.object({
  items: z.array(
    z.object({
      metadata: z.object({ name: z.string(), uid: z.string() }),
      status: z.object({
        phase: z.string(),
        containerStatuses: z
          .array(z.object({ restartCount: z.number(), ready: z.boolean() }))
          .default([]),
      }),
    }),
  ),
})

// Ends what will never come. It promises nothing: what has to be quick is measured, on a machine that may be busy.
const PATIENCE_S = 600

/** {@link PATIENCE_S} in the words of kubectl and helm. */
export const PATIENCE = `--timeout=${PATIENCE_S}s`

/** Asks again until it holds; the last failure is thrown. */
export async function eventually(holds: () => Promise<void>): Promise<void> {
  const untilMs = performance.now() + PATIENCE_S * 1_000
  for (;;) {
    try {
      await holds()
      return
    } catch (error) {
      if (performance.now() > untilMs) throw error
      await sleep(250)
    }
  }
}

/** A {@link namespace} of its own for a story. */
export type Space = Awaited<ReturnType<typeof namespace>>

/** A namespace with enforced restricted Pod Security, and the tools on it. */
export async function namespace(name: string) {
  const kubectl = (...args: readonly string[]) => command('kubectl', '--namespace', name, ...args)
  const helm = (...args: readonly string[]) => command('helm', '--namespace', name, ...args)
  await remove(name, PATIENCE)
  await command('kubectl', 'create', 'namespace', name)
  const enforced = 'pod-security.kubernetes.io/enforce=restricted'
  await command('kubectl', 'label', 'namespace', name, enforced)
  const pods = async (selector: string) =>
    Pods.parse(JSON.parse(await kubectl('get', 'pods', '--selector', selector, '--output=json')))
      .items
  return {
    name,
    kubectl,
    helm,
    pods,
    /** Leaves it to the cluster to end it. */
    leave: () => remove(name, '--wait=false'),
    /** Waits for `--for=…` of what the other arguments name. */
    wait: (...args: readonly string[]) => kubectl('wait', PATIENCE, ...args),
    /** Installs or upgrades release `errors`; resolves to the milliseconds it took. */
    install: (values: readonly string[], ...flags: readonly string[]) =>
      installed(helm, CHART, values, flags),
    /** The same with another chart than this tree's. */
    installFrom: (chart: string, values: readonly string[], ...flags: readonly string[]) =>
      installed(helm, chart, values, flags),
    /** What kubectl says to it, on both of its outputs. */
    async apply(manifest: string, ...flags: readonly string[]): Promise<string> {
      const child = run('kubectl', ['--namespace', name, 'apply', '--filename=-', ...flags])
      child.child.stdin?.end(manifest)
      const { stdout, stderr } = await child
      return `${stdout}\n${stderr}`
    },
    /** Runs a script in the pod's Node and resolves to what it prints. */
    node: (pod: string, script: string) =>
      kubectl('exec', pod, '--', 'node', '--input-type=module', '--eval', script),
    async startLoad(image: string, key: string, app: string): Promise<void> {
      await kubectl('create', 'configmap', 'load', '--from-file=test/cluster/load.ts')
      await this.apply(loadPod(image, key, app))
      await this.wait('--for=condition=Ready', 'pod/load')
    },
    /** Resolves when the load has so many more events acknowledged than now. */
    async goesOn(events: number): Promise<void> {
      const { acknowledged } = await this.load('/')
      await eventually(async () => {
        const now = await this.load('/')
        if (now.acknowledged < acknowledged + events) throw new Error(JSON.stringify(now))
      })
    },
    async load(path: '/' | '/reconcile'): Promise<LoadReport> {
      const script = `console.log(await (await fetch('http://localhost:9000${path}')).text())`
      return Report.parse(JSON.parse(await this.node('load', script)))
    },
  }
}

async function installed(
  helm: (...args: readonly string[]) => Promise<string>,
  chart: string,
  values: readonly string[],
  flags: readonly string[],
): Promise<number> {
  const startedMs = performance.now()
  const set = values.flatMap((value) => ['--set', value])
  await helm('upgrade', '--install', 'errors', chart, PATIENCE, ...set, ...flags)
  return performance.now() - startedMs
}

async function remove(name: string, wait: string): Promise<void> {
  await command('kubectl', 'delete', 'namespace', name, '--ignore-not-found', wait)
}

/** Standard output of the command; what it says on standard error is in what is thrown. */
export async function command(name: string, ...args: readonly string[]): Promise<string> {
  const { stdout } = await run(name, args, { maxBuffer: 64 * 1024 ** 2 })
  return stdout.trim()
}

/** A ClickHouse in the namespace, apart from the release. */
export async function clickhouseManifest(): Promise<string> {
  return readFile('test/cluster/clickhouse.yaml', 'utf8')
}

function loadPod(image: string, key: string, app: string): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'load' },
    spec: {
      restartPolicy: 'Never',
      automountServiceAccountToken: false,
      securityContext: {
        runAsNonRoot: true,
        runAsUser: 12345,
        seccompProfile: { type: 'RuntimeDefault' },
      },
      containers: [
        {
          name: 'load',
          image,
          imagePullPolicy: 'IfNotPresent',
          command: ['node', '/load/load.ts'],
          env: [
            { name: 'BASE_URL', value: 'http://errors-error-ingestor' },
            { name: 'API_KEY', value: key },
            { name: 'APP_ID', value: app },
          ],
          securityContext: {
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            capabilities: { drop: ['ALL'] },
          },
          readinessProbe: { httpGet: { path: '/', port: 9000 }, periodSeconds: 1 },
          volumeMounts: [{ name: 'load', mountPath: '/load' }],
        },
      ],
      volumes: [{ name: 'load', configMap: { name: 'load' } }],
    },
  })
}

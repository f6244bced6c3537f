import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { command } from './support.ts'

const Answer = z.object({
  data: z.object({
    result: z.array(
      z.object({
        metric: z.record(z.string(), z.string()),
        value: z.tuple([z.number(), z.string()]),
      }),
    ),
  }),
})

const SERVICE = 'kubernetes.io/service-name'
const Slices = z.object({
  items: z.array(
    z.object({
      metadata: z.object({ labels: z.record(z.string(), z.string()) }),
      ports: z.array(z.object({ name: z.string(), port: z.number() })),
      endpoints: z.array(
        z.object({ addresses: z.array(z.string()), targetRef: z.object({ name: z.string() }) }),
      ),
    }),
  ),
})

/**
 * Prometheus on this machine, told what the Prometheus operator makes of a rendered ServiceMonitor:
 * endpoints of the Services with its labels, on its port. Pods have to be reachable from here.
 */
export async function startPrometheus(serviceMonitor: string, namespace: string) {
  const folder = await mkdtemp(join(tmpdir(), 'prometheus-'))
  await writeFile(
    join(folder, 'prometheus.yml'),
    JSON.stringify(await configOf(serviceMonitor, namespace)),
  )
  const port = await freePort()
  const child = spawn(
    'prometheus',
    [
      `--config.file=${join(folder, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  let log = ''
  child.stderr.setEncoding('utf8').on('data', (part: string) => {
    log += part
  })
  const ended = once(child, 'exit')
  return {
    async query(expression: string) {
      const asked = `http://127.0.0.1:${port}/api/v1/query?query=${encodeURIComponent(expression)}`
      if (child.exitCode !== null) throw new Error(`Prometheus has ended:\n${log}`)
      const { data } = Answer.parse(await (await fetch(asked)).json())
      return data.result.map(({ metric, value }) => ({
        labels: Object.fromEntries(Object.entries(metric).filter(([name]) => name !== '__name__')),
        value: Number(value[1]),
      }))
    },
    async stop(): Promise<void> {
      child.kill('SIGTERM')
      await ended
      await rm(folder, { recursive: true })
    },
  }
}

/** Debian's Prometheus cannot ask Kubernetes, so its targets are looked up here, as the operator's would be. */
async function configOf(serviceMonitor: string, namespace: string) {
  const selector = /matchLabels:\n((?: {6}.*\n)+)/.exec(serviceMonitor)?.[1] ?? ''
  const labels = [...selector.matchAll(/^ {6}([a-z][\w./-]*): (.+)$/gm)]
  const wanted = labels.map(([, name = '', value = '']) => `${name}=${value}`)
  const port = /- port: (.*)/.exec(serviceMonitor)?.[1]
  const path = /path: (.*)/.exec(serviceMonitor)?.[1]
  if (wanted.length < 4 || port === undefined) throw new Error(`What is this?\n${serviceMonitor}`)
  // Slices carry the labels of their Service.
  const slices = Slices.parse(
    JSON.parse(
      await command(
        ...([
          'kubectl',
          '--namespace',
          namespace,
          'get',
          'endpointslices',
          '--output=json',
        ] as const),
        `--selector=${wanted.join(',')}`,
      ),
    ),
  )
  const targets = slices.items.flatMap(({ metadata, endpoints, ports }) =>
    ports
      .filter(({ name }) => name === port)
      .flatMap((found) =>
        endpoints.map(({ addresses, targetRef }) => ({
          targets: addresses.map((address) => `${address}:${found.port}`),
          labels: { namespace, pod: targetRef.name, job: metadata.labels[SERVICE] ?? '' },
        })),
      ),
  )
  const scraped = { job_name: 'serviceMonitor', metrics_path: path, static_configs: targets }
  return { global: { scrape_interval: '2s' }, scrape_configs: [scraped] }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('No port is free.')
  return address.port
}

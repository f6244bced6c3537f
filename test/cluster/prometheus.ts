import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'

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

/**
 * Prometheus on this machine, told what the Prometheus operator makes of a rendered ServiceMonitor:
 * endpoints of the Services with its labels, on its port. Pods have to be reachable from here.
 */
export async function startPrometheus(serviceMonitor: string, namespace: string) {
  const folder = await mkdtemp(join(tmpdir(), 'prometheus-'))
  await writeFile(
    join(folder, 'prometheus.yml'),
    JSON.stringify(configOf(serviceMonitor, namespace)),
  )
  const port = await freePort()
  const child = spawn(
    'prometheus',
    [
      `--config.file=${join(folder, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    { stdio: 'ignore' },
  )
  return {
    async query(expression: string) {
      const asked = `http://127.0.0.1:${port}/api/v1/query?query=${encodeURIComponent(expression)}`
      const { data } = Answer.parse(await (await fetch(asked)).json())
      return data.result.map(({ metric, value }) => ({
        labels: Object.fromEntries(Object.entries(metric).filter(([name]) => name !== '__name__')),
        value: Number(value[1]),
      }))
    },
    async stop(): Promise<void> {
      child.kill('SIGTERM')
      await once(child, 'exit')
      await rm(folder, { recursive: true })
    },
  }
}

function configOf(serviceMonitor: string, namespace: string) {
  const selector = /matchLabels:\n((?: {6}.*\n)+)/.exec(serviceMonitor)?.[1] ?? ''
  const labels = [...selector.matchAll(/^ {6}([a-z][\w./-]*): (.+)$/gm)].map((m) => [m[1], m[2]])
  const port = /- port: (.*)/.exec(serviceMonitor)?.[1]
  const path = /path: (.*)/.exec(serviceMonitor)?.[1]
  if (labels.length < 4 || port === undefined) throw new Error(`What is this?\n${serviceMonitor}`)
  const meta = '__meta_kubernetes_'
  const keep = (source: string, regex: string | undefined) => ({
    action: 'keep',
    source_labels: [meta + source],
    regex,
  })
  const label = (source: string, target: string) => ({
    source_labels: [meta + source],
    target_label: target,
  })
  return {
    global: { scrape_interval: '2s' },
    scrape_configs: [
      {
        job_name: 'serviceMonitor',
        metrics_path: path,
        kubernetes_sd_configs: [
          {
            role: 'endpointslice',
            kubeconfig_file: process.env['KUBECONFIG'],
            namespaces: { names: [namespace] },
          },
        ],
        relabel_configs: [
          ...labels.map(([name = '', value]) =>
            keep(`service_label_${name.replaceAll(/[^a-zA-Z0-9]/g, '_')}`, value),
          ),
          keep('endpointslice_port_name', port),
          label('namespace', 'namespace'),
          label('pod_name', 'pod'),
          label('service_name', 'job'),
        ],
      },
    ],
  }
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

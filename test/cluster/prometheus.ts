import { z } from 'zod'
import { openPrometheus } from '../support/prometheus.ts'
import { command } from './support.ts'

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
  return openPrometheus(await configOf(serviceMonitor, namespace))
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

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'

const Labels = z.record(z.string(), z.string())
const Answer = z.object({
  status: z.literal('success'),
  data: z.object({
    result: z.array(z.object({ metric: Labels, value: z.tuple([z.number(), z.string()]) })),
  }),
})
const Alerts = z.object({
  data: z.object({
    alerts: z.array(
      z.object({ labels: Labels, annotations: Labels, state: z.enum(['pending', 'firing']) }),
    ),
  }),
})

/** A Prometheus of the machine (`prometheus` on the PATH) that runs. */
export interface Prometheus {
  /** An instant query now. @throws what Prometheus says of one that is none. */
  readonly query: (
    expression: string,
  ) => Promise<
    readonly { readonly labels: Readonly<Record<string, string>>; readonly value: number }[]
  >
  readonly alerts: () => Promise<z.infer<typeof Alerts>['data']['alerts']>
  /** Writes a file beside its configuration; those of `file_sd_configs` are read again at once. */
  readonly put: (name: string, content: object) => Promise<void>
  readonly stop: () => Promise<void>
}

const START_MS_MAX = 30_000

/** Starts one with a configuration, whose paths are relative to it, and files beside it. */
export async function openPrometheus(
  config: object,
  files: Readonly<Record<string, object>> = {},
): Promise<Prometheus> {
  const folder = await mkdtemp(join(tmpdir(), 'prometheus-'))
  const put = (name: string, content: object) =>
    writeFile(join(folder, name), JSON.stringify(content))
  for (const [name, content] of Object.entries(files)) await put(name, content)
  await put('prometheus.yml', config)
  const url = `http://127.0.0.1:${await freePort()}`
  const child = spawn(
    'prometheus',
    [
      `--config.file=${join(folder, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=${url.slice('http://'.length)}`,
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  let log = ''
  child.stderr.setEncoding('utf8').on('data', (part: string) => {
    log += part
  })
  const ended = once(child, 'exit')
  const ask = async (path: string): Promise<unknown> => {
    if (child.exitCode !== null) throw new Error(`Prometheus has ended:\n${log}`)
    return (await fetch(url + path)).json()
  }
  const untilMs = performance.now() + START_MS_MAX
  while (!(await ask('/api/v1/query?query=1').then(Boolean, () => false))) {
    if (child.exitCode !== null || performance.now() > untilMs) {
      throw new Error(`Prometheus does not start:\n${log}`)
    }
    await sleep(100)
  }
  return {
    async query(expression) {
      const answer = await ask(`/api/v1/query?query=${encodeURIComponent(expression)}`)
      const parsed = Answer.safeParse(answer)
      if (!parsed.success) throw new Error(`${expression}: ${JSON.stringify(answer)}`)
      return parsed.data.data.result.map(({ metric, value }) => ({
        labels: Object.fromEntries(Object.entries(metric).filter(([name]) => name !== '__name__')),
        value: Number(value[1]),
      }))
    },
    alerts: async () => Alerts.parse(await ask('/api/v1/alerts')).data.alerts,
    put,
    async stop() {
      child.kill('SIGTERM')
      await ended
      await rm(folder, { recursive: true })
    },
  }
}

/** A port of loopback that nobody has at the moment. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('No port is free.')
  return address.port
}

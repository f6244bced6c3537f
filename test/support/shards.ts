import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { vi } from 'vitest'
import { engineConfig } from '../../src/node/engine-config.ts'
import { findEngineLibrary, thisPlatform } from '../../src/node/engine-library.ts'

const GIB = 1024 ** 3

/** Real ClickHouse servers that know each other as the shards of a cluster, over TCP and without a Keeper. */
export interface Shards {
  /** As in `system.clusters`. */
  readonly name: string
  /** Their HTTP addresses, in the order of the shards. */
  readonly urls: readonly string[]
  /** Settings of a server of ours that uses them. */
  readonly settings: Readonly<Record<string, string>>
  /** Kills one at once, in the middle of whatever it does. */
  readonly kill: (index: number) => Promise<void>
  /** Stops one in its tracks, and lets it go on. */
  readonly signal: (index: number, signal: 'SIGSTOP' | 'SIGCONT') => void
  /** Starts a killed one on its folder and ports, and waits until it answers. */
  readonly start: (index: number) => Promise<void>
  readonly close: () => Promise<void>
}

/** Starts `count` shards of one server each. */
export async function startShards(count = 2): Promise<Shards> {
  const folder = await mkdtemp(join(tmpdir(), 'error-ingestor-shards-'))
  const ports = await Promise.all(
    Array.from({ length: count }, async () => ({ http: await freePort(), tcp: await freePort() })),
  )
  const name = 'shards'
  const replica = ({ tcp }: { readonly tcp: number }) =>
    `<shard><replica><host>127.0.0.1</host><port>${tcp}</port></replica></shard>`
  const cluster = `<remote_servers><${name}>${ports.map(replica).join('')}</${name}></remote_servers>`
  const urls = ports.map(({ http }) => `http://127.0.0.1:${http}`)
  const children: (ChildProcess | undefined)[] = []

  async function start(index: number): Promise<void> {
    const { http = 0, tcp = 0 } = ports[index] ?? {}
    const dataDir = join(folder, String(index))
    await mkdir(dataDir, { recursive: true })
    const file = join(dataDir, 'engine.xml')
    const own = `${cluster}<tcp_port>${tcp}</tcp_port></clickhouse>`
    await writeFile(file, engineConfig(dataDir, file, GIB).replace('</clickhouse>', own))
    const entry = new URL('../../src/node/engine.ts', import.meta.url).pathname
    const library = findEngineLibrary(thisPlatform())
    const launch = (): void => {
      const child = spawn(process.execPath, [entry, library, file, dataDir, String(http), 'tcp'], {
        stdio: ['pipe', 'ignore', 'inherit'],
      })
      children[index] = child
      // Embedded, ClickHouse ends when a peer resets a connection, which a server survives: so it is
      // started again, as whoever runs a cluster would have it.
      child.once('close', () => {
        if (children[index] === child) launch()
      })
    }
    launch()
    const ping = () =>
      fetch(`${urls[index] ?? ''}/ping`).then(
        ({ ok }) => ok,
        () => false,
      )
    await vi.waitUntil(ping, { timeout: 30_000, interval: 50 })
  }

  async function kill(index: number): Promise<void> {
    const child = children[index]
    if (child === undefined) return
    children[index] = undefined
    const ended = once(child, 'close')
    child.kill('SIGKILL')
    await ended
  }

  for (const index of ports.keys()) await start(index)
  return {
    name,
    urls,
    settings: {
      CLICKHOUSE_HOST: urls[0] ?? '',
      CLICKHOUSE_CLUSTER: name,
      CLICKHOUSE_CLUSTER_HOSTS: urls.join(','),
    },
    kill,
    signal: (index, signal) => children[index]?.kill(signal),
    start,
    async close() {
      await Promise.all([...children.keys()].map(kill))
      await rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 250 })
    },
  }
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const address = probe.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  probe.close()
  return port
}

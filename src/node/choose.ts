import { join, resolve } from 'node:path'
import type { Config } from '../config.ts'
import type { ClickHouse } from '../store/clickhouse.ts'
import { nodeClickHouse } from './clickhouse.ts'
import { startEmbedded } from './embedded.ts'

const DEFAULT_URL = 'http://localhost:8123'
const LOOK_MS_MAX = 1_000

/** The ClickHouse of this process, and how it was chosen. */
export interface ChosenClickHouse {
  readonly clickhouse: ClickHouse
  readonly embedded: boolean
  readonly url: string
  /** For people: which one it is and where its data lies. */
  readonly where: string
  /** Closes the connections, and ends the embedded one. */
  readonly close: () => Promise<void>
}

/** What {@link chooseClickHouse} stands on. */
export interface ChooseDeps {
  readonly say: (level: 'error' | 'warn' | 'info', text: string, fields?: object) => void
  /** Gives the start of an embedded one up. */
  readonly signal?: AbortSignal | undefined
  /** Where to look when nothing was configured; ClickHouse's own default address where absent. */
  readonly defaultUrl?: string
}

/**
 * The configured ClickHouse; `embedded` starts one in `<DATA_DIR>/clickhouse`. Where nothing is
 * configured: what answers at the default address, else in development mode the embedded one.
 * An address that was configured is not tried: events are accepted while nobody answers there.
 * @throws EmbeddedError or NoEngineError when the embedded one cannot start.
 */
export async function chooseClickHouse(
  config: Config,
  { say, signal, defaultUrl = DEFAULT_URL }: ChooseDeps,
): Promise<ChosenClickHouse> {
  const { host } = config.clickhouse
  if (host === 'embedded') return embedded(config, say, signal)
  if (host !== undefined) return remote(config, host)
  if (config.production || (await answers(defaultUrl))) return remote(config, defaultUrl)
  return embedded(config, say, signal)
}

function remote(config: Config, url: string): ChosenClickHouse {
  const clickhouse = nodeClickHouse({ ...config.clickhouse, url })
  const { database } = config.clickhouse
  // Without what may stand before the @: nobody wants a password on the screen.
  const where = `${new URL(url).origin}, database ${database}`
  return { clickhouse, embedded: false, url, where, close: clickhouse.close }
}

async function embedded(
  config: Config,
  say: ChooseDeps['say'],
  signal: AbortSignal | undefined,
): Promise<ChosenClickHouse> {
  const engine = await startEmbedded({
    dataDir: join(resolve(config.dataDir), 'clickhouse'),
    say,
    signal,
  })
  const { url, version, dataDir } = engine
  // Its one user has no password; the configured one is for a server elsewhere.
  const login = { ...config.clickhouse, url, user: 'default', password: '' }
  const clickhouse = nodeClickHouse(login)
  return {
    clickhouse,
    embedded: true,
    url,
    where: `embedded, version ${version} on ${url}, data in ${dataDir}`,
    async close() {
      await clickhouse.close()
      await engine.close()
    },
  }
}

async function answers(url: string): Promise<boolean> {
  try {
    const answer = await fetch(`${url}/ping`, { signal: AbortSignal.timeout(LOOK_MS_MAX) })
    return answer.ok && (await answer.text()) === 'Ok.\n'
  } catch {
    // Nobody is there, or somebody who is not ClickHouse.
    return false
  }
}

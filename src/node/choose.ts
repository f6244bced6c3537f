import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { ConfigError, type Config } from '../config.ts'
import type { ClickHouse } from '../store/clickhouse.ts'
import { placed } from '../store/cluster.ts'
import { nodeClickHouse } from './clickhouse.ts'
import { startEmbedded, type Embedded } from './embedded.ts'

const DEFAULT_URL = 'http://localhost:8123'
const LOOK_MS_MAX = 1_000

/** The ClickHouse of this process, and how it was chosen. */
export interface ChosenClickHouse {
  /** Logged in as the user that writes. */
  readonly clickhouse: ClickHouse
  /** As the user that asks the questions of dashboard and API, and as the one that makes the schema. */
  readonly reader: ClickHouse
  readonly migrator: ClickHouse
  readonly embedded: boolean
  /** The embedded one, for metrics. */
  readonly engine?: Pick<Embedded, 'pid' | 'status'>
  readonly url: string
  /** Certificates (PEM) that vouch for it, where they were given. */
  readonly ca?: Buffer | undefined
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
  /** As nodeClickHouse's. */
  readonly traceparent?: (() => string | undefined) | undefined
  /** Where to look when nothing was configured; ClickHouse's own default address where absent. */
  readonly defaultUrl?: string
}

/**
 * The configured ClickHouse; `embedded` starts one in `<DATA_DIR>/clickhouse`. Where nothing is
 * configured: what answers at the default address, else in development mode the embedded one.
 * An address that was configured is not tried: events are accepted while nobody answers there.
 * @throws EmbeddedError or NoEngineError when the embedded one cannot start, ConfigError when the
 * file of CLICKHOUSE_CA_FILE cannot be read.
 */
export async function chooseClickHouse(
  config: Config,
  { say, signal, traceparent, defaultUrl = DEFAULT_URL }: ChooseDeps,
): Promise<ChosenClickHouse> {
  const { host } = config.clickhouse
  const own = () => embedded(config, { say, signal, traceparent })
  if (host === 'embedded') return own()
  if (host !== undefined) return remote(config, host, traceparent)
  if (config.production || (await answers(defaultUrl))) {
    return remote(config, defaultUrl, traceparent)
  }
  return own()
}

function remote(
  config: Config,
  url: string,
  traceparent: ChooseDeps['traceparent'],
): ChosenClickHouse {
  const { user, password, reader, migrator, database, timeoutMs, caFile, cluster } =
    config.clickhouse
  const ca = caFile === undefined ? undefined : readCa(caFile)
  const place = { url, database, timeoutMs, ca, traceparent }
  const opened: ReturnType<typeof nodeClickHouse>[] = []
  const open = (options: typeof place & NonNullable<typeof reader>) => {
    const client = nodeClickHouse(options)
    opened.push(client)
    return client
  }
  const connect = (options: Parameters<typeof open>[0]) =>
    placed(open(options), { url, database, cluster }, (host) => open({ ...options, url: host }))
  const asWriter = connect({ ...place, user, password })
  // Connections of their own: what one user may do must not depend on who was here before.
  const as = (login: typeof reader) =>
    login === undefined ? asWriter : connect({ ...place, url: withoutLogin(url), ...login })
  const [asReader, asMigrator] = [as(reader), as(migrator)]
  // Without what may stand before the @: nobody wants a password on the screen.
  const at = cluster === undefined ? '' : `, cluster ${cluster.name}`
  const where = `${new URL(url).origin}${at}, database ${database}`
  return {
    clickhouse: asWriter,
    reader: asReader,
    migrator: asMigrator,
    embedded: false,
    ...{ url, ca },
    where,
    async close() {
      for (const client of opened) await client.close()
    },
  }
}

/** The login in an address is the writer's. */
function withoutLogin(url: string): string {
  const address = new URL(url)
  address.username = ''
  address.password = ''
  return address.href
}

function readCa(file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error)
    throw new ConfigError([`CLICKHOUSE_CA_FILE: the file cannot be read (${code}).`])
  }
}

async function embedded(
  config: Config,
  { say, signal, traceparent }: ChooseDeps,
): Promise<ChosenClickHouse> {
  const engine = await startEmbedded({
    dataDir: join(resolve(config.dataDir), 'clickhouse'),
    say,
    signal,
  })
  const { url, version, dataDir } = engine
  // Its one user has no password; the configured ones are for a server elsewhere.
  const { database, timeoutMs } = config.clickhouse
  const clickhouse = nodeClickHouse({
    ...{ url, database, timeoutMs, traceparent },
    ...{ user: 'default', password: '' },
  })
  return {
    clickhouse,
    reader: clickhouse,
    migrator: clickhouse,
    embedded: true,
    engine,
    url,
    where: `embedded, version ${version} on ${url}, data in ${dataDir}`,
    async close() {
      await clickhouse.close()
      await engine.close()
    },
  }
}

/** Whether a ClickHouse answers at the address, the default one where none is said. Never rejects. */
export async function answers(url: string = DEFAULT_URL): Promise<boolean> {
  try {
    const answer = await fetch(`${url}/ping`, { signal: AbortSignal.timeout(LOOK_MS_MAX) })
    return answer.ok && (await answer.text()) === 'Ok.\n'
  } catch {
    // Nobody is there, or somebody who is not ClickHouse.
    return false
  }
}

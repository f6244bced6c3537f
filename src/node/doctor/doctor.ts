import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { ConfigError, readConfig, type Config } from '../../config.ts'
import { findingsOf, type Finding } from '../../finding.ts'
import { VERSION } from '../../version.ts'
import { answers, chooseClickHouse, type ChosenClickHouse } from '../choose.ts'
import { findEmbedded } from '../embedded.ts'
import { findEngineLibrary, thisPlatform } from '../engine-library.ts'
import { withSecretFiles } from '../secrets.ts'
import { clickHouseFindings } from './clickhouse.ts'
import { folderFindings } from './folder.ts'
import { keyFindings } from './keys.ts'
import { createMask, shownSettings } from './masked.ts'
import { askServer, reachFindings, serverFindings, type RunningAnswer } from './reach.ts'
import { errorText } from './words.ts'

/** What was found. */
export interface Report {
  readonly version: string
  /** ISO 8601. */
  readonly at: string
  readonly findings: readonly Finding[]
}

/** A report, with what a bundle holds beside it. */
export interface Examined {
  readonly report: Report
  /** Settings that are set, without their secrets. */
  readonly settings: Readonly<Record<string, string>>
  /** The server that runs on this machine, where one does. */
  readonly running: RunningAnswer | undefined
  /** Absolute; undefined where the settings cannot be read. */
  readonly dataDir: string | undefined
  /** Takes the secrets of these settings out of a text. */
  readonly mask: (text: string) => string
}

/** Longest that one question to ClickHouse may take here. */
const STATEMENT_MS_MAX = 5_000

/**
 * Looks at everything that the service stands on, beside a running server or without one, and changes
 * nothing but a file that it writes to measure the disk and removes. An embedded ClickHouse that has
 * data and does not run is started for it, and ended again. Never rejects for what it finds.
 */
export async function examine(given: NodeJS.ProcessEnv): Promise<Examined> {
  const at = new Date().toISOString()
  const settings = shownSettings(given)
  try {
    const env = withSecretFiles(given)
    const config = readConfig(env)
    const mask = await createMask(env, config.keys.dir)
    const { findings, running } = await look(config, settings)
    const masked = findings.map((finding) => ({
      ...finding,
      text: mask(finding.text),
      ...(finding.advice !== undefined && { advice: mask(finding.advice) }),
    }))
    const report = { version: VERSION, at, findings: masked }
    return { report, settings, running, dataDir: resolve(config.dataDir), mask }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    const { wrong, note } = findingsOf('settings-valid')
    const problems = error.message.split('\n').slice(1)
    const findings = [
      ...problems.map((problem) =>
        wrong(problem.trim(), 'Correct it: the README has every setting.'),
      ),
      note('Nothing else is looked at until all settings can be read.'),
    ]
    const mask = await createMask(given, undefined)
    const report = { version: VERSION, at, findings }
    return { report, settings, running: undefined, dataDir: undefined, mask }
  }
}

async function look(config: Config, settings: Examined['settings']) {
  const running = await askServer(config)
  const [store, reach] = await Promise.all([storeFindings(config), reachFindings(config)])
  // Last, because what else goes on at the same time would show in the speed of the disk.
  const folder = await folderFindings(config)
  const mode = config.production ? 'Production' : 'Development'
  const count = Object.keys(settings).length
  const findings: readonly Finding[] = [
    findingsOf('settings-valid').ok(
      `${mode} mode; ${count} settings are set, and all can be read.`,
    ),
    ...serverFindings(config, running),
    ...folder,
    ...store,
    ...(await keyFindings(config, Date.now())),
    ...reach,
  ]
  return { findings, running }
}

async function storeFindings(config: Config): Promise<readonly Finding[]> {
  let chosen: ChosenClickHouse | undefined
  try {
    chosen = await visit(config)
    if (chosen !== undefined) return await clickHouseFindings(config, chosen)
    const text = 'The embedded ClickHouse has no data yet; the first start of the server makes it.'
    return [findingsOf('clickhouse-reach').note(text)]
  } catch (error) {
    // What cannot be started or read says itself what to do.
    const text = errorText(error)
    const advice = error instanceof Error ? error.message.split('\n').slice(1).join(' ') : ''
    const fallback = 'See the words of ClickHouse, and its log in DATA_DIR/clickhouse/engine.log.'
    return [findingsOf('clickhouse-reach').wrong(`${text}.`, advice.trim() || fallback)]
  } finally {
    await chosen?.close()
  }
}

/** The ClickHouse that a server of these settings uses; undefined for an embedded one without data. */
async function visit(config: Config): Promise<ChosenClickHouse | undefined> {
  const { clickhouse } = config
  const patient = {
    ...clickhouse,
    timeoutMs: Math.min(clickhouse.timeoutMs, STATEMENT_MS_MAX),
    // One that is always there: ours may be what is missing.
    database: 'system',
  }
  const quiet = { say: () => undefined }
  const folder = join(resolve(config.dataDir), 'clickhouse')
  const isOwn =
    clickhouse.host === 'embedded' ||
    (clickhouse.host === undefined && !config.production && !(await answers()))
  const url = isOwn ? await findEmbedded(folder) : undefined
  if (url !== undefined) {
    const login = { user: 'default', password: '', reader: undefined, migrator: undefined }
    const there = { ...config, clickhouse: { ...patient, ...login, host: url, caFile: undefined } }
    return { ...(await chooseClickHouse(there, quiet)), embedded: true }
  }
  if (isOwn && !existsSync(folder)) {
    findEngineLibrary(thisPlatform())
    return undefined
  }
  return chooseClickHouse({ ...config, clickhouse: patient }, quiet)
}

import type { Config } from '../../config.ts'
import { findingsOf, schemaFinding, type Finding } from '../../finding.ts'
import type { ClickHouse } from '../../store/clickhouse.ts'
import {
  disksOf,
  grantsOf,
  partsOf,
  replicasOf,
  serverFacts,
  settingsOf,
  tablesOf,
  troublesOf,
  tryRight,
  type ServerFacts,
} from '../../store/condition.ts'
import { localDatabase } from '../../store/cluster.ts'
import { appliedVersion, plan, SCHEMA_VERSION } from '../../store/migrate.ts'
import type { ChosenClickHouse } from '../choose.ts'
import { bytesText, errorText, since } from './words.ts'

/** The migrations use what came with it: an index of texts. */
const VERSION_MIN = [26, 2] as const
// A resend is known by ids of the last day, and events ahead of the clock are pulled back to it.
const SKEW_MS = { warning: 5_000, wrong: 300_000 } as const
const FREE_SHARE = { warning: 0.15, wrong: 0.05 } as const
const REPLICA_DELAY_SECONDS_MAX = 300
const DEDUPLICATION_WINDOW_MIN = 1_000
const HALF = 0.5

/** Looks at a ClickHouse that was found, as each of its users. Never rejects. */
export async function clickHouseFindings(
  config: Config,
  chosen: ChosenClickHouse,
): Promise<readonly Finding[]> {
  const { database, cluster } = config.clickhouse
  // Of a cluster, the tables of the server that is asked.
  const own = cluster === undefined ? database : localDatabase(database)
  const place = `${chosen.embedded ? 'embedded, ' : ''}${new URL(chosen.url).origin}, database ${database}`
  const facts = await reached(chosen, place)
  if (!('version' in facts)) return [facts]
  const version = await appliedVersion(chosen.clickhouse, database).catch(() => 0)
  const found: Finding[] = [...serverFindings(place, facts)]
  found.push(...(await schemaFindings(config, chosen)))
  found.push(...(await each('clickhouse-settings', () => settingFindings(chosen, own))))
  // Without tables there is nothing to have rights on.
  if (version > 0) found.push(...(await rightFindings(config, chosen)))
  found.push(...(await each('clickhouse-disk', () => diskFindings(chosen.clickhouse))))
  found.push(...(await each('clickhouse-parts', () => partFindings(chosen.clickhouse, own))))
  found.push(...(await each('clickhouse-replicas', () => replicas(chosen.clickhouse, own))))
  found.push(...(await each('clickhouse-work', () => workFindings(chosen.clickhouse, own))))
  return found
}

interface Reached extends ServerFacts {
  readonly tookMs: number
  readonly skewMs: number
}

async function reached(
  { clickhouse }: ChosenClickHouse,
  place: string,
): Promise<Reached | Finding> {
  const { wrong } = findingsOf('clickhouse-reach')
  try {
    // The first one makes the connection, which is no measure of the clock.
    await serverFacts(clickhouse)
    const begun = Date.now()
    const facts = await serverFacts(clickhouse)
    const tookMs = Date.now() - begun
    return { ...facts, tookMs, skewMs: facts.nowMs - (begun + tookMs / 2) }
  } catch (error) {
    return wrong(`ClickHouse (${place}) does not let us in: ${errorText(error)}.`, adviceFor(error))
  }
}

const ADVICE: readonly (readonly [RegExp, string])[] = [
  [/ENOTFOUND|EAI_AGAIN/, 'The name is not known here: correct the host in CLICKHOUSE_HOST.'],
  [
    /ECONNREFUSED/,
    'Nothing listens there: start ClickHouse, or correct CLICKHOUSE_HOST (its HTTP port, 8123 or 8443).',
  ],
  [
    /ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|did not answer/,
    'No answer comes back: look at firewalls and network policies between here and there.',
  ],
  [
    /\b516\b|Authentication failed/,
    'Correct CLICKHOUSE_USER and CLICKHOUSE_PASSWORD (or CLICKHOUSE_PASSWORD_FILE).',
  ],
  [
    /certificate|CERT|TLS|SSL/i,
    'Say in CLICKHOUSE_CA_FILE which certificates vouch for it, or correct http:// and https://.',
  ],
]

function adviceFor(error: unknown): string {
  const text = errorText(error)
  const found = ADVICE.find(([pattern]) => pattern.test(text))
  return found?.[1] ?? 'See the log of ClickHouse; events wait in the spool meanwhile.'
}

function serverFindings(place: string, facts: Reached): Finding[] {
  const { version, tookMs, skewMs, uptimeSeconds } = facts
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const isNewEnough =
    major > VERSION_MIN[0] || (major === VERSION_MIN[0] && minor >= VERSION_MIN[1])
  const versions = findingsOf('clickhouse-version')
  const clock = findingsOf('clickhouse-clock')
  const skew = `The clocks of ClickHouse and of this machine are ${since(Math.abs(skewMs))} apart`
  const setClocks = 'Let both take their time from the same NTP servers.'
  const size = Math.abs(skewMs)
  return [
    findingsOf('clickhouse-reach').ok(
      `ClickHouse answers in ${tookMs} ms (${place}), up for ${since(Math.max(1, uptimeSeconds) * 1_000)}.`,
    ),
    isNewEnough
      ? versions.ok(`Its version is ${version}.`)
      : versions.wrong(
          `Its version is ${version}, and ${VERSION_MIN.join('.')} or newer is needed.`,
          'Upgrade ClickHouse: events wait in the spool meanwhile.',
        ),
    size >= SKEW_MS.wrong
      ? clock.wrong(`${skew}: resends may count twice, and times are wrong.`, setClocks)
      : size >= SKEW_MS.warning
        ? clock.warning(`${skew}.`, setClocks)
        : clock.ok('Its clock agrees with ours.'),
  ]
}

async function schemaFindings(config: Config, { migrator }: ChosenClickHouse): Promise<Finding[]> {
  const { warning, wrong } = findingsOf('schema-version')
  const { database, cluster } = config.clickhouse
  const { retentionDays, retentionDaysOfApps } = config
  try {
    const options = { database, cluster, retentionDays, retentionDaysOfApps }
    const { from, steps } = await plan(migrator, options)
    const [step] = steps
    if (step === undefined || from < SCHEMA_VERSION) return [schemaFinding(from, SCHEMA_VERSION)]
    const text = `The schema is not as the settings say: ${step.title}`
    return [warning(text, 'Run `error-ingestor migrate`.')]
  } catch (error) {
    const text = `The schema cannot be read as the user that makes it: ${errorText(error)}.`
    return [wrong(text, adviceFor(error))]
  }
}

/** Settings of the user that writes, without which events would be lost or count twice. */
const NEEDED: Readonly<Record<string, readonly [value: string, else_: string]>> = {
  insert_deduplicate: ['1', 'a retried insert would be stored twice'],
  deduplicate_blocks_in_dependent_materialized_views: ['1', 'counts per hour would be wrong'],
  materialized_views_ignore_errors: ['0', 'counts per hour would be wrong in silence'],
}

async function settingFindings(
  { clickhouse }: ChosenClickHouse,
  database: string,
): Promise<Finding[]> {
  const { ok, wrong } = findingsOf('clickhouse-settings')
  const settings = await settingsOf(clickhouse, Object.keys(NEEDED))
  const found: Finding[] = []
  for (const [name, [needed, or]] of Object.entries(NEEDED)) {
    const value = settings.get(name) ?? needed
    if (value === needed) continue
    const text = `The setting ${name} is ${value} for the user that writes: ${or}.`
    found.push(wrong(text, `Set ${name} = ${needed} in that user's profile.`))
  }
  for (const { name, engine, engineFull } of await tablesOf(clickhouse, database)) {
    if (name !== 'occurrences') continue
    const window = /replicated_deduplication_window = (\d+)/.exec(engineFull)?.[1]
    const isEnough = window !== undefined && Number(window) >= DEDUPLICATION_WINDOW_MIN
    if (!isEnough && (window !== undefined || !engine.startsWith('Replicated'))) {
      const text = `The table ${name} keeps ${window ?? 'no'} deduplication tokens: a retried insert may be stored twice.`
      found.push(wrong(text, 'Somebody changed the table: set the window as docs/storage.md says.'))
    }
  }
  return found.length > 0 ? found : [ok('The settings that its promises need are as they should.')]
}

/** What each user does; the tables stand for all of their kind. */
const NEEDS = {
  writer: [
    ['SELECT', 'occurrences'],
    ['INSERT', 'occurrences'],
    ['INSERT', 'ledger'],
  ],
  reader: [
    ['SELECT', 'occurrences'],
    ['SELECT', 'hourly'],
  ],
  migrator: [
    ['SELECT', 'schema_migrations'],
    ['INSERT', 'schema_migrations'],
    ['CREATE TABLE', 'schema_migrations'],
  ],
} as const

async function rightFindings(config: Config, chosen: ChosenClickHouse): Promise<Finding[]> {
  const { database } = config.clickhouse
  const users = [
    ['writer', chosen.clickhouse, 'The server', 'CLICKHOUSE_USER'],
    ['reader', chosen.reader, 'The dashboard', 'CLICKHOUSE_READER_USER'],
    ['migrator', chosen.migrator, '`migrate`', 'CLICKHOUSE_MIGRATOR_USER'],
  ] as const
  const found: Finding[] = []
  for (const [role, clickhouse, who, setting] of users) {
    if (role !== 'writer' && clickhouse === chosen.clickhouse) continue
    const { ok, wrong } = findingsOf(`clickhouse-rights-${role}`)
    const missing: string[] = []
    for (const [right, table] of NEEDS[role]) {
      const refusal = await refused(() => tryRight(clickhouse, right, { database, table }))
      if (refusal !== undefined) missing.push(`${right} on ${database}.${table} (${refusal})`)
    }
    found.push(
      missing.length === 0
        ? ok(`${who} may do what it needs to.`)
        : wrong(
            `${who} (${setting}) may not: ${missing.join('; ')}.`,
            'docs/security.md has the users and their grants.',
          ),
    )
  }
  found.push(...(await each('clickhouse-rights-delete', () => deleteFindings(chosen, database))))
  return found
}

/** Forgetting a user asks for a right that the server does not need otherwise. */
async function deleteFindings(
  { clickhouse }: ChosenClickHouse,
  database: string,
): Promise<Finding[]> {
  const { ok, note } = findingsOf('clickhouse-rights-delete')
  const may = (await grantsOf(clickhouse)).some((grant) => {
    const [, rights = '', on = ''] = /^GRANT (.*) ON (\S+)/.exec(grant) ?? []
    const covers = ['*.*', `${database}.*`, `${database}.occurrences`].includes(
      on.replaceAll('`', ''),
    )
    return covers && /(?:^|, )(?:ALL|ALTER|ALTER TABLE|ALTER DELETE)(?:,|$)/.test(rights)
  })
  if (may) return [ok('Users can be forgotten (ALTER DELETE).')]
  return [
    note(
      'Users cannot be forgotten over the admin API: the right ALTER DELETE is missing.',
      'Where that is wanted, grant it on occurrences and hourly_users (docs/security.md).',
    ),
  ]
}

async function diskFindings(clickhouse: ClickHouse): Promise<Finding[]> {
  const { ok, warning, wrong } = findingsOf('clickhouse-disk')
  return (await disksOf(clickhouse)).map(({ name, free, total }) => {
    const text = `Its disk ${name} has ${bytesText(free)} of ${bytesText(total)} free`
    const make = 'Give it a larger disk, or keep events for fewer days (RETENTION_DAYS).'
    if (free / total < FREE_SHARE.wrong)
      return wrong(`${text}: soon it takes no more events.`, make)
    if (free / total < FREE_SHARE.warning) return warning(`${text}.`, make)
    return ok(`${text}.`)
  })
}

async function partFindings(clickhouse: ClickHouse, database: string): Promise<Finding[]> {
  const { ok, warning, wrong } = findingsOf('clickhouse-parts')
  const [worst] = await partsOf(clickhouse, database)
  if (worst === undefined) return [ok('There are no parts yet.')]
  const { table, parts, delay, refuse } = worst
  const text = `A partition of ${table} has ${parts} parts; inserts wait from ${delay} on and are refused from ${refuse} on`
  const make =
    'Merges do not keep up: look at the disk and the CPU of ClickHouse, and raise DELIVERY_AGE_MS_MAX.'
  if (parts >= refuse) return [wrong(`${text}.`, make)]
  if (parts >= delay * HALF) return [warning(`${text}.`, make)]
  return [ok(`${text}.`)]
}

async function replicas(clickhouse: ClickHouse, database: string): Promise<Finding[]> {
  const { ok, note, warning, wrong } = findingsOf('clickhouse-replicas')
  const all = await replicasOf(clickhouse, database)
  const [first] = all
  if (first === undefined) return [note('The tables are on this one ClickHouse only.')]
  const found: Finding[] = []
  const readonly = all.filter(({ isReadonly }) => isReadonly === 1).map(({ table }) => table)
  if (readonly.length > 0) {
    const text = `Tables are read-only, so nothing can be stored: ${readonly.join(', ')}.`
    found.push(wrong(text, 'ClickHouse has lost its Keeper: look at that first.'))
  }
  const alone = all.filter(({ active, total }) => active < total)
  if (alone.length > 0) {
    const [{ active, total }] = [alone[0] ?? first]
    const text = `Only ${active} of ${total} replicas answer.`
    found.push(warning(text, 'Bring the others back: a second loss would stop the delivery.'))
  }
  const late = Math.max(...all.map(({ delaySeconds }) => delaySeconds))
  if (late > REPLICA_DELAY_SECONDS_MAX) {
    const text = `This replica is ${since(late * 1_000)} behind the others.`
    found.push(warning(text, 'Look at system.replication_queue of this replica.'))
  }
  return found.length > 0 ? found : [ok(`All ${first.total} replicas answer and are up to date.`)]
}

const WORK = {
  mutation: 'A mutation fails again and again',
  view: 'A refreshed view fails',
  part: 'A part was set aside as broken',
} as const

async function workFindings(clickhouse: ClickHouse, database: string): Promise<Finding[]> {
  const { ok, warning } = findingsOf('clickhouse-work')
  const troubles = await troublesOf(clickhouse, database)
  if (troubles.length === 0) return [ok('No mutation, view or part is in trouble.')]
  return troubles.map(({ what, name }) =>
    warning(
      `${WORK[what]}: ${name}.`,
      'See the log of ClickHouse, and system.mutations, system.view_refreshes, system.detached_parts.',
    ),
  )
}

/** What the user may not see is no fault of the server. */
async function each(check: string, look: () => Promise<Finding[]>): Promise<readonly Finding[]> {
  try {
    return await look()
  } catch (error) {
    const text = `This could not be looked at: ${errorText(error)}.`
    return [
      findingsOf(check).note(
        text,
        'Ask again as a user who may read the system tables, if it matters.',
      ),
    ]
  }
}

async function refused(attempt: () => Promise<void>): Promise<string | undefined> {
  try {
    await attempt()
    return undefined
  } catch (error) {
    return errorText(error)
  }
}

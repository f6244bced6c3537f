import { z } from 'zod'

const urls = z
  .string()
  .transform((text) => text.split(',').map((url) => url.trim()))
  .pipe(z.array(z.url({ protocol: /^https?$/ })).min(1))

/** The settings of a ClickHouse of several servers; part of those in config.ts. */
export const clusterSettings = {
  CLICKHOUSE_CLUSTER: z
    .string()
    .regex(/^[A-Za-z_][\w-]{0,63}$/, 'must be the name of a cluster')
    .optional()
    .describe(
      'Cluster (as in `system.clusters`) whose shards and replicas hold the tables; else one server does, or ClickHouse Cloud.',
    ),
  CLICKHOUSE_CLUSTER_HOSTS: urls
    .optional()
    .describe(
      'HTTP addresses of all servers of a cluster without a Keeper, separated by commas; with one, leave it out.',
    ),
}

interface ClickHouseEnvironment {
  readonly CLICKHOUSE_HOST?: string | undefined
  readonly CLICKHOUSE_CLUSTER?: string | undefined
  readonly CLICKHOUSE_CLUSTER_HOSTS?: readonly string[] | undefined
  readonly CLICKHOUSE_READER_USER?: string | undefined
  readonly CLICKHOUSE_READER_PASSWORD: string
  readonly CLICKHOUSE_MIGRATOR_USER?: string | undefined
  readonly CLICKHOUSE_MIGRATOR_PASSWORD: string
  readonly CLICKHOUSE_CA_FILE?: string | undefined
}

/** The cluster that the settings name; undefined for one server. */
export function clusterOf(e: ClickHouseEnvironment) {
  const { CLICKHOUSE_CLUSTER: name, CLICKHOUSE_CLUSTER_HOSTS: hosts } = e
  return name === undefined ? undefined : { name, hosts }
}

/** What is wrong with the settings of ClickHouse, beside what each says alone. */
export function clickhouseProblems(e: ClickHouseEnvironment): string[] {
  const problems: string[] = []
  for (const role of ['READER', 'MIGRATOR'] as const) {
    if (e[`CLICKHOUSE_${role}_PASSWORD`] !== '' && e[`CLICKHOUSE_${role}_USER`] === undefined) {
      problems.push(`CLICKHOUSE_${role}_PASSWORD: set CLICKHOUSE_${role}_USER too.`)
    }
  }
  if (e.CLICKHOUSE_CA_FILE !== undefined && e.CLICKHOUSE_HOST?.startsWith('https:') !== true) {
    problems.push('CLICKHOUSE_CA_FILE: is for a CLICKHOUSE_HOST that begins with https://.')
  }
  if (e.CLICKHOUSE_CLUSTER === undefined && e.CLICKHOUSE_CLUSTER_HOSTS !== undefined) {
    problems.push('CLICKHOUSE_CLUSTER_HOSTS: set CLICKHOUSE_CLUSTER too.')
  }
  const isAlone = e.CLICKHOUSE_HOST === undefined || e.CLICKHOUSE_HOST === 'embedded'
  if (e.CLICKHOUSE_CLUSTER !== undefined && isAlone) {
    problems.push(
      'CLICKHOUSE_CLUSTER: set CLICKHOUSE_HOST too, to one of its servers or what stands before them; the embedded ClickHouse is alone.',
    )
  }
  return problems
}

/** The image that the suites build of this tree; see images. */
export const IMAGE = 'error-ingestor:suite'

/** The same with a ClickHouse inside. */
export const STANDALONE = 'error-ingestor:suite-standalone'

/** A trial: one pod with its ClickHouse. */
export const EMBEDDED = ['clickhouse.mode=embedded', 'image.tag=suite-standalone']

/** Key of app `shop` in {@link EXTERNAL}. */
export const KEY = 'ei_0123456789abcdef0123456789abcdef'

/** Servers beside the ClickHouse of clickhouse.yaml. */
export const EXTERNAL = [
  'image.tag=suite',
  'clickhouse.external.url=http://clickhouse:8123',
  'persistence.size=1Gi',
  'spoolBytesMax=536870912',
  'resources.requests.cpu=50m',
  'apps[0].id=shop',
  'apps[0].name=Shop',
  `apps[0].keys[0].key=${KEY}`,
  'apps[0].keys[0].scopes={ingest,read}',
]

/** Shows a figure of the run, for docs/kubernetes.md. */
export function say(what: string, value: unknown): void {
  console.log(`${what}: ${JSON.stringify(value)}`)
}

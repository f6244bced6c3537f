import { METRIC_NAMES } from '../src/node/metrics.ts'

/** One panel: what it shows, and the expressions, each with the text of its legend. */
interface Panel {
  readonly title: string
  /** For whoever looks at it during an outage. */
  readonly about: string
  readonly type: 'timeseries' | 'stat'
  readonly unit: 'cps' | 'reqps' | 'percentunit' | 's' | 'short' | 'bytes' | 'Bps'
  readonly queries: readonly (readonly [expression: string, legend: string])[]
}

/** In the place of labels: those of the pods that were chosen above the panels. */
const PODS = 'namespace="$namespace", pod=~"$pod"'
/** Grafana's word for a range that always holds some scrapes. */
const RATE = '$__rate_interval'

const rate = (metric: string, labels = '') =>
  `rate(error_ingestor_${metric}{${PODS}${labels}}[${RATE}])`
const quantile = (share: number, metric: string, { by = '', labels = '' } = {}) =>
  `histogram_quantile(${share}, sum by (le${by}) (${rate(`${metric}_bucket`, labels)}))`
const gauge = (metric: string) => `error_ingestor_${metric}{${PODS}}`
const INTAKE = ', route="/api/v1/ingest"'

const STATS: readonly Panel[] = [
  {
    title: 'Pods that refuse',
    about: 'Their spool is full or cannot be written: clients get 503.',
    ...{ type: 'stat', unit: 'short' },
    queries: [[`sum(1 - ${gauge('spool_accepting')})`, 'pods']],
  },
  {
    title: 'Pods without ClickHouse',
    about: 'Events wait in the spool.',
    ...{ type: 'stat', unit: 'short' },
    queries: [[`sum(1 - ${gauge('store_up')})`, 'pods']],
  },
  {
    title: 'Events that do not add up',
    about: 'Received and recovered, less outcomes and spooled: always 0.',
    ...{ type: 'stat', unit: 'short' },
    queries: [
      [
        `sum({__name__=~"error_ingestor_(received|recovered)_events_total", ${PODS}}) - sum({__name__=~"error_ingestor_(events_total|spool_events)", ${PODS}})`,
        'events',
      ],
    ],
  },
  {
    title: 'Kept aside',
    about: 'Events that ClickHouse refuses for their content.',
    ...{ type: 'stat', unit: 'short' },
    queries: [[`sum(${gauge('undeliverable_events')})`, 'events']],
  },
  {
    title: 'Damaged',
    about: 'Events that could not be read back from a disk.',
    ...{ type: 'stat', unit: 'short' },
    queries: [[`sum(${gauge('spool_damaged_events')})`, 'events']],
  },
  {
    title: 'Bugs in a day',
    about: 'Each has a line in the log.',
    ...{ type: 'stat', unit: 'short' },
    queries: [[`sum(increase(error_ingestor_bugs_total{${PODS}}[1d]))`, 'bugs']],
  },
]

const SERIES: readonly Panel[] = [
  {
    title: 'Events received',
    about: 'By protocol; a request that cannot be decoded is one.',
    ...{ type: 'timeseries', unit: 'cps' },
    queries: [[`sum by (protocol) (${rate('received_events_total')})`, '{{protocol}}']],
  },
  {
    title: 'Events by how they ended',
    about:
      'received = refused + dropped + duplicate + stored + undeliverable + lost + still spooled',
    ...{ type: 'timeseries', unit: 'cps' },
    queries: [[`sum by (outcome) (${rate('events_total')})`, '{{outcome}}']],
  },
  {
    title: 'Events refused and dropped',
    about: 'By reason: the codes of docs/api.md. Which app it is, the ledger says.',
    ...{ type: 'timeseries', unit: 'cps' },
    queries: [
      [
        `sum by (outcome, reason) (${rate('events_total', ', reason!=""')})`,
        '{{outcome}} {{reason}}',
      ],
    ],
  },
  {
    title: 'What clients never sent',
    about: 'By their own reports (Sentry), and parts of requests that are no errors.',
    ...{ type: 'timeseries', unit: 'cps' },
    queries: [[`sum by (by, reason) (${rate('discarded_total')})`, '{{by}}: {{reason}}']],
  },
  {
    title: 'Requests by status',
    about: '',
    ...{ type: 'timeseries', unit: 'reqps' },
    queries: [[`sum by (route, status) (${rate('http_requests_total')})`, '{{route}} {{status}}']],
  },
  {
    title: 'Intake: 50th and 99th percentile',
    about: 'From the request to its answer, the disk included.',
    ...{ type: 'timeseries', unit: 's' },
    queries: [
      [quantile(0.5, 'http_request_duration_seconds', { labels: INTAKE }), 'p50'],
      [quantile(0.99, 'http_request_duration_seconds', { labels: INTAKE }), 'p99'],
    ],
  },
  {
    title: 'Bytes received',
    about: 'Bodies of requests with events, after inflating.',
    ...{ type: 'timeseries', unit: 'Bps' },
    queries: [[`sum by (protocol) (${rate('received_bytes_total')})`, '{{protocol}}']],
  },
  {
    title: 'Spool used',
    about: 'At 100 % events are refused.',
    ...{ type: 'timeseries', unit: 'percentunit' },
    queries: [[`${gauge('spool_bytes')} / ${gauge('spool_bytes_max')}`, '{{pod}}']],
  },
  {
    title: 'Events not yet delivered',
    about: '',
    ...{ type: 'timeseries', unit: 'short' },
    queries: [[gauge('spool_events'), '{{pod}}']],
  },
  {
    title: 'Age of the oldest undelivered event',
    about: 'A second or two while ClickHouse takes what comes.',
    ...{ type: 'timeseries', unit: 's' },
    queries: [[gauge('delivery_lag_seconds'), '{{pod}}']],
  },
  {
    title: 'Inserts: 50th and 95th percentile',
    about: 'Of one block, as ClickHouse takes it.',
    ...{ type: 'timeseries', unit: 's' },
    queries: [
      [quantile(0.5, 'insert_duration_seconds'), 'p50'],
      [quantile(0.95, 'insert_duration_seconds'), 'p95'],
    ],
  },
  {
    title: 'Inserts by result',
    about: 'What failed is tried again.',
    ...{ type: 'timeseries', unit: 'cps' },
    queries: [[`sum by (result) (${rate('insert_duration_seconds_count')})`, '{{result}}']],
  },
  {
    title: 'Rows stored',
    about: '',
    ...{ type: 'timeseries', unit: 'cps' },
    queries: [[`sum by (pod) (${rate('insert_rows_sum')})`, '{{pod}}']],
  },
  {
    title: 'Questions to ClickHouse: 95th percentile',
    about: 'By statement, as the query log names it.',
    ...{ type: 'timeseries', unit: 's' },
    queries: [[quantile(0.95, 'query_duration_seconds', { by: ', statement' }), '{{statement}}']],
  },
  {
    title: 'Time in each stage',
    about: 'Seconds of work per second.',
    ...{ type: 'timeseries', unit: 's' },
    queries: [[`sum by (stage) (${rate('stage_duration_seconds_sum')})`, '{{stage}}']],
  },
  {
    title: 'CPU of the processes',
    about: 'Cores.',
    ...{ type: 'timeseries', unit: 'short' },
    queries: [[`rate(process_cpu_seconds_total{${PODS}}[${RATE}])`, '{{pod}}']],
  },
  {
    title: 'Memory of the processes',
    about: '',
    ...{ type: 'timeseries', unit: 'bytes' },
    queries: [[`process_resident_memory_bytes{${PODS}}`, '{{pod}}']],
  },
  {
    title: 'Event loop: 99th percentile of its delay',
    about: 'What everything else waits for.',
    ...{ type: 'timeseries', unit: 's' },
    queries: [[`nodejs_eventloop_lag_p99_seconds{${PODS}}`, '{{pod}}']],
  },
  {
    title: 'Collecting garbage',
    about: 'Seconds per second.',
    ...{ type: 'timeseries', unit: 's' },
    queries: [
      [`sum by (kind) (rate(nodejs_gc_duration_seconds_sum{${PODS}}[${RATE}]))`, '{{kind}}'],
    ],
  },
  {
    title: 'Connections',
    about: 'Open, and closed at once beyond the bound since the start.',
    ...{ type: 'timeseries', unit: 'short' },
    queries: [
      [gauge('connections'), '{{pod}} open'],
      [gauge('connections_refused'), '{{pod}} refused'],
    ],
  },
  {
    title: 'Counts that wait for the ledger',
    about: 'They are on the disk; ClickHouse has them seconds later.',
    ...{ type: 'timeseries', unit: 'short' },
    queries: [[gauge('ledger_waiting'), '{{pod}}']],
  },
  {
    title: 'Left until the last key of an app, or a certificate, ends',
    about: 'Absent where none ends.',
    ...{ type: 'timeseries', unit: 's' },
    queries: [
      [`min(${gauge('keys_expire_timestamp_seconds')}) - time()`, 'key'],
      [`min(${gauge('certificates_expire_timestamp_seconds')}) - time()`, 'certificate'],
    ],
  },
]

const DATASOURCE = { type: 'prometheus', uid: '$datasource' }
const [WIDTH, STAT_HEIGHT, HEIGHT] = [24, 4, 8]

/**
 * The chart's dashboard for Grafana (JSON), with variables for the data source, the namespace and the pods.
 * @throws Error naming a metric of ours that there is not.
 */
export function renderDashboard(): string {
  const stats = STATS.map((panel, at) =>
    place(panel, at, {
      x: at * (WIDTH / STATS.length),
      y: 0,
      w: WIDTH / STATS.length,
      h: STAT_HEIGHT,
    }),
  )
  const series = SERIES.map((panel, at) =>
    place(panel, STATS.length + at, {
      ...{ x: (at % 2) * (WIDTH / 2), y: STAT_HEIGHT + Math.floor(at / 2) * HEIGHT },
      ...{ w: WIDTH / 2, h: HEIGHT },
    }),
  )
  const dashboard = {
    ...{ title: 'error-ingestor', uid: 'error-ingestor', tags: ['error-ingestor'] },
    ...{ timezone: 'browser', schemaVersion: 39, version: 2, refresh: '30s' },
    time: { from: 'now-6h', to: 'now' },
    templating: { list: variables() },
    panels: [...stats, ...series],
  }
  return `${JSON.stringify(dashboard, null, 2)}\n`
}

function variables(): object[] {
  const queried = { type: 'query', datasource: DATASOURCE, refresh: 2 }
  const pods = 'label_values(error_ingestor_build_info{namespace="$namespace"}, pod)'
  return [
    { name: 'datasource', type: 'datasource', query: 'prometheus' },
    {
      ...{ name: 'namespace', ...queried },
      query: 'label_values(error_ingestor_build_info, namespace)',
    },
    { name: 'pod', ...queried, query: pods, includeAll: true, multi: true, allValue: '.+' },
  ]
}

function place(
  { title, about, type, unit, queries }: Panel,
  at: number,
  gridPos: Readonly<Record<'x' | 'y' | 'w' | 'h', number>>,
): object {
  for (const [expr] of queries) requireKnown(expr)
  return {
    ...{ id: at + 1, type, title, description: about, datasource: DATASOURCE, gridPos },
    fieldConfig: { defaults: { unit, min: 0 }, overrides: [] },
    options: {},
    targets: queries.map(([expr, legendFormat], n) => ({
      ...{ refId: String.fromCodePoint(65 + n), expr, legendFormat },
    })),
  }
}

function requireKnown(expr: string): void {
  for (const [name] of expr.matchAll(/\berror_ingestor_\w+(?=\{)/g)) {
    const metric = name.replace(/_(bucket|sum|count)$/, '')
    if (METRIC_NAMES.some((known) => known === name || known === metric)) continue
    throw new Error(`There is no metric ${name}.`)
  }
}

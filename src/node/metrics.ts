/** What a metric is: the registry is filled from these, and docs/metrics.md is rendered from them. */
interface Definition {
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  /** Each label with its closed set of values. */
  readonly labels?: Readonly<Record<string, string>>
  readonly buckets?: readonly number[]
  /** When an operator should look. */
  readonly look?: string
}

const PROTOCOL = '`native`, `sentry`, `otlp`; empty where nobody knows'
const STAGE_SECONDS = [
  0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
]
const REQUEST_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]

const INSERT_SECONDS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
const INSERT_ROWS = [1, 10, 100, 1_000, 5_000, 10_000, 20_000, 50_000]
const INSERT_BYTES = [1e3, 1e4, 1e5, 1e6, 5e6, 1e7, 2.5e7, 5e7]

/** Every metric of ours. Names stand here and nowhere else. */
const METRICS = {
  error_ingestor_received_events_total: {
    type: 'counter',
    help: 'Events that came in, counted when they are spooled or refused; a request that cannot be decoded is one.',
    labels: { protocol: PROTOCOL },
  },
  error_ingestor_recovered_events_total: {
    type: 'counter',
    help: 'Events of the spool that no request brought: an earlier process had accepted them, they were set aside and are tried again, or they are on disk although their request was refused.',
  },
  error_ingestor_events_total: {
    type: 'counter',
    help: 'Events by how they ended.',
    labels: {
      protocol: PROTOCOL,
      outcome: '`stored`, `duplicate`, `dropped`, `refused`, `undeliverable`, `lost`',
      reason:
        'of `refused`: the codes of docs/api.md and `internal`; of `dropped`: `expired`, `spike`; else empty',
    },
    look: '`refused` grows; `lost` is not 0',
  },
  error_ingestor_accepting_events: {
    type: 'gauge',
    help: 'Events that are being made durable now: not yet counted as received.',
  },
  error_ingestor_spool_events: {
    type: 'gauge',
    help: 'Events accepted and not yet delivered.',
    look: 'it only grows',
  },
  error_ingestor_received_bytes_total: {
    type: 'counter',
    help: 'Bytes of request bodies with events, after inflating.',
    labels: { protocol: PROTOCOL },
  },
  error_ingestor_discarded_total: {
    type: 'counter',
    help: 'Parts of requests that are no errors, and what clients say they never sent; not events.',
    labels: {
      protocol: PROTOCOL,
      by: '`server`, `client`',
      category: "the protocol's",
      reason: "the protocol's",
    },
  },
  error_ingestor_http_requests_total: {
    type: 'counter',
    help: 'HTTP requests that were answered.',
    labels: {
      method: 'the common ones, else `other`',
      route: 'a prefix of ours, else `other`',
      status: 'three digits',
    },
    look: '5xx grow',
  },
  error_ingestor_http_request_duration_seconds: {
    type: 'histogram',
    help: 'Time from the request to its answer.',
    labels: { route: 'a prefix of ours, else `other`' },
    buckets: REQUEST_SECONDS,
  },
  error_ingestor_stage_duration_seconds: {
    type: 'histogram',
    help: 'Time that one run of a stage took, over all occurrences it was given.',
    labels: {
      stage:
        '`turn` (what a request waits where clients outrun delivery), `stages`, `spool` before the answer; `known`, `seal`, `insert` after it',
    },
    buckets: STAGE_SECONDS,
  },
  error_ingestor_stage_occurrences_total: {
    type: 'counter',
    help: 'Occurrences that a stage was given.',
    labels: { stage: 'as above' },
  },
  error_ingestor_insert_duration_seconds: {
    type: 'histogram',
    help: 'Time of one try to insert a block of events into ClickHouse.',
    labels: { result: '`stored`, `failed`' },
    buckets: INSERT_SECONDS,
    look: '`failed` grows',
  },
  error_ingestor_insert_rows: {
    type: 'histogram',
    help: 'Rows of a block that was stored.',
    buckets: INSERT_ROWS,
  },
  error_ingestor_insert_bytes: {
    type: 'histogram',
    help: 'Bytes of a block that was stored.',
    buckets: INSERT_BYTES,
  },
  error_ingestor_insert_retries_total: {
    type: 'counter',
    help: 'Tries to insert a block that had failed before.',
    look: 'it grows: ClickHouse does not take them',
  },
  error_ingestor_dedup_hits_total: {
    type: 'counter',
    help: 'Events found to be duplicates when they were judged, by who knew their ids.',
    labels: { by: '`memory` of this process, `store`' },
  },
  error_ingestor_query_duration_seconds: {
    type: 'histogram',
    help: 'Time of one statement in ClickHouse, inserts of events aside.',
    labels: { statement: 'its name, as in the query log', result: '`ok`, `failed`' },
    buckets: INSERT_SECONDS,
  },
  error_ingestor_store_up: {
    type: 'gauge',
    help: '1 while ClickHouse took or answered the last thing it was asked, else 0.',
    look: 'it is 0: events wait in the spool',
  },
  error_ingestor_store_parts: {
    type: 'gauge',
    help: 'Parts of the table of events in ClickHouse, looked at every 15 s.',
  },
  error_ingestor_store_parts_of_month: {
    type: 'gauge',
    help: 'The same of the month that has most.',
    look: 'over 1,000: merges do not follow; at 3,000 ClickHouse refuses inserts, and events wait in the spool',
  },
  error_ingestor_store_merges: {
    type: 'gauge',
    help: 'Merges of the table of events that run now.',
  },
  error_ingestor_spool_accepting: {
    type: 'gauge',
    help: '1 while events can be kept safe, else 0.',
    look: 'it is 0: clients get 503',
  },
  error_ingestor_spool_bytes: {
    type: 'gauge',
    help: 'Bytes of the spool on disk.',
    look: 'over half of the bound',
  },
  error_ingestor_spool_bytes_max: { type: 'gauge', help: 'Bytes that the spool may take.' },
  error_ingestor_spool_segments: { type: 'gauge', help: 'Segment files of the spool.' },
  error_ingestor_delivery_lag_seconds: {
    type: 'gauge',
    help: 'Age of the oldest event that is not yet delivered.',
    look: 'over a minute',
  },
  error_ingestor_spool_damaged_events: {
    type: 'gauge',
    help: 'Events that could not be read back from the spool, over the life of its folder.',
    look: 'it grows: a disk fails',
  },
  error_ingestor_undeliverable_events: {
    type: 'gauge',
    help: 'Events kept aside because ClickHouse refuses their content.',
    look: 'it is not 0',
  },
  error_ingestor_ledger_waiting: {
    type: 'gauge',
    help: 'Sums of the ledger that ClickHouse does not have yet.',
  },
  error_ingestor_intake_bytes: {
    type: 'gauge',
    help: 'Bytes of request bodies that are held now.',
    look: 'over half of the bound',
  },
  error_ingestor_intake_bytes_max: {
    type: 'gauge',
    help: 'Bytes of request bodies that may be held at once: `INTAKE_BYTES_IN_FLIGHT_MAX`.',
  },
  error_ingestor_limited_keys: {
    type: 'gauge',
    help: 'Keys with a limit that sent lately, and whose buckets are remembered.',
  },
  error_ingestor_connections: { type: 'gauge', help: 'Connections that are open.' },
  error_ingestor_connections_refused: {
    type: 'gauge',
    help: 'Connections closed at once beyond `CONNECTIONS_MAX`, since the start.',
    look: 'it grows',
  },
  error_ingestor_key_files_bad: {
    type: 'gauge',
    help: 'Files of `KEYS_DIR` that cannot be used; the last good state of each goes on; 1 too where the whole folder cannot be read.',
    look: 'it is not 0: read the log',
  },
  error_ingestor_apps: { type: 'gauge', help: 'Apps that are declared.' },
  error_ingestor_keys: { type: 'gauge', help: 'Keys that are held in memory, revoked ones too.' },
  error_ingestor_key_lookups_total: {
    type: 'counter',
    help: 'Keys that were shown, by whether they are known. All are answered from memory.',
    labels: { result: '`known`, `unknown`' },
    look: '`unknown` grows: somebody guesses, or was given a wrong key',
  },
  error_ingestor_key_reads_total: {
    type: 'counter',
    help: 'Readings of apps and keys.',
    labels: { source: '`files`, `store`', result: '`ok`, `failed`' },
    look: '`failed` grows',
  },
  error_ingestor_keys_age_seconds: {
    type: 'gauge',
    help: 'Time since ClickHouse last said that apps and keys are as we know them.',
    look: 'over a minute',
  },
  error_ingestor_keys_expire_timestamp_seconds: {
    type: 'gauge',
    help: 'When the first app that has a live key for events has none any more, in Unix time; absent where none of them ends.',
    look: 'it is near: its clients are refused from then on',
  },
  error_ingestor_certificates_expire_timestamp_seconds: {
    type: 'gauge',
    help: "When the first of ClickHouse's certificate and those of `CLICKHOUSE_CA_FILE` expires, in Unix time; absent without `https://`.",
    look: 'it is near: nothing is stored from then on',
  },
  error_ingestor_quota_exchange_age_seconds: {
    type: 'gauge',
    help: 'Since when processes have not told each other what apps with a quota have had; absent without one.',
    look: 'over some minutes: each process counts alone',
  },
  error_ingestor_retention_due_apps: {
    type: 'gauge',
    help: 'Apps whose retention the tables do not keep yet.',
    look: 'it is not 0 for a minute: run `error-ingestor migrate`, or let the server do it (security.md)',
  },
  error_ingestor_engine_up: {
    type: 'gauge',
    help: '1 while the embedded ClickHouse runs, else 0; absent without one, as are the next two.',
    look: 'it is 0',
  },
  error_ingestor_engine_restarts_total: {
    type: 'counter',
    help: 'Times that the embedded ClickHouse had died and was started again.',
    look: 'it grows: its log is in `DATA_DIR/clickhouse`',
  },
  error_ingestor_engine_memory_bytes: {
    type: 'gauge',
    help: 'Memory of the embedded ClickHouse (resident; on Linux).',
  },
  error_ingestor_app_events_total: {
    type: 'counter',
    help: 'Events by app and how they ended; only with `METRICS_APPS_MAX`.',
    labels: {
      app: 'the first apps that sent, at most `METRICS_APPS_MAX`; beyond them `other`; empty where it is not known',
      outcome: 'as of `error_ingestor_events_total`',
    },
  },
  error_ingestor_self_reports_total: {
    type: 'counter',
    help: 'Errors of our own that were to be sent to `SELF_DSN`.',
    labels: { result: '`sent`, `failed`, `repeated`, `limited`' },
    look: '`failed` grows',
  },
  error_ingestor_bugs_total: {
    type: 'counter',
    help: 'Things thrown that nobody expected; each has a log line.',
    look: 'it is not 0: read the log',
  },
  error_ingestor_log_lines_suppressed_total: {
    type: 'counter',
    help: 'Log lines that were counted instead of written.',
  },
  error_ingestor_build_info: {
    type: 'gauge',
    help: 'Always 1; the labels say what runs.',
    labels: { version: 'ours', node: "Node's" },
  },
} as const satisfies Readonly<Record<string, Definition>>

/** The name of a metric of ours. */
export type MetricName = keyof typeof METRICS

/** All of them, in the order of the documentation. */
export const METRIC_NAMES = Object.keys(METRICS).filter((name) => isMetricName(name))

function isMetricName(name: string): name is MetricName {
  return Object.hasOwn(METRICS, name)
}

/** The definition of one, without what only literals know. */
export function definitionOf(name: MetricName): Definition {
  return METRICS[name]
}

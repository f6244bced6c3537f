-- The events themselves. One row is one occurrence; two processes that take the same event at the
-- same moment may leave two rows of one id, so every question counts ids, never rows.
--
-- Settings: the deduplication window makes a retry of the same block (same token) a no-op; the two
-- fsync settings make an answered insert survive a power cut, because the spool forgets it then.
-- Sort key: see docs and the measurements in the commit: an app's newest events are one range.
-- Texts in ZSTD(1): a tenth of their size, and higher levels bought nothing.
CREATE TABLE IF NOT EXISTS {database: Identifier}.occurrences
(
    `id` UUID,
    `app_id` LowCardinality(String),
    `timestamp` DateTime64(3) CODEC(Delta, ZSTD(1)),
    `received_at` DateTime64(3) CODEC(Delta, ZSTD(1)),
    `original_timestamp` Nullable(DateTime64(3)) COMMENT 'What the client said, where its clock ran ahead.',
    `protocol` LowCardinality(String),
    `code` LowCardinality(String),
    `message` String CODEC(ZSTD(1)),
    `stack_trace` String CODEC(ZSTD(1)),
    `parsed_stack` String COMMENT 'JSON; empty: none; without raw: as stack_trace.' CODEC(ZSTD(1)),
    `app_version` LowCardinality(String),
    `platform` LowCardinality(String),
    `platform_version` LowCardinality(String),
    `environment` LowCardinality(String),
    `level` LowCardinality(String),
    `user_id` Nullable(String) CODEC(ZSTD(1)),
    `metadata` String COMMENT 'JSON object.' CODEC(ZSTD(1)),
    `tags` Map(String, String) CODEC(ZSTD(1)),
    `client_fingerprint` Array(String) CODEC(ZSTD(1)),
    `breadcrumbs` String COMMENT 'JSON array, oldest first.' CODEC(ZSTD(1)),
    `trace_id` String CODEC(ZSTD(1)),
    `span_id` String CODEC(ZSTD(1)),
    `marks` Array(LowCardinality(String)) COMMENT 'What was changed before storing, as field:cut.',
    `fingerprint` LowCardinality(String) COMMENT 'The issue.',
    `fingerprint_secondary` LowCardinality(String),
    `fingerprint_basis` LowCardinality(String),
    `fingerprint_components` Array(String) CODEC(ZSTD(1)),
    INDEX by_id id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(timestamp, 'UTC')
ORDER BY (app_id, timestamp, id)
SETTINGS
    non_replicated_deduplication_window = 10000,
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    materialize_ttl_recalculate_only = 1;

-- Which ids were stored in the last day, by any process: asked once per block before it is sent, so
-- that a resend is not stored again. It is exact (the ids themselves, no hashes of them).
CREATE TABLE IF NOT EXISTS {database: Identifier}.seen
(
    `id` UUID CODEC(NONE),
    `app_id` LowCardinality(String),
    `stored_at` DateTime('UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toStartOfInterval(stored_at, INTERVAL 12 HOUR, 'UTC')
ORDER BY id
TTL stored_at + INTERVAL 26 HOUR
SETTINGS
    index_granularity = 256,
    ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    fsync_after_insert = 1,
    fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database: Identifier}.seen_of_occurrences
TO {database: Identifier}.seen
AS SELECT id, app_id, now('UTC') AS stored_at
FROM {database: Identifier}.occurrences;

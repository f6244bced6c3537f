-- Making the database error_ingestor.

CREATE DATABASE IF NOT EXISTS error_ingestor ON CLUSTER 'main';

CREATE OR REPLACE TABLE error_ingestor.mutations ON CLUSTER 'main'
(database String, table String, command String, is_done UInt8)
ENGINE = Distributed('main', 'system', 'mutations');

CREATE DATABASE IF NOT EXISTS error_ingestor_local ON CLUSTER 'main';

CREATE TABLE IF NOT EXISTS error_ingestor_local.schema_migrations ON CLUSTER 'main'
(
    version UInt32,
    name String,
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/main/{shard}/{database}/{table}', '{replica}')
ORDER BY version
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE OR REPLACE TABLE error_ingestor.schema_migrations ON CLUSTER 'main'
AS error_ingestor_local.schema_migrations
ENGINE = Distributed('main', 'error_ingestor_local', 'schema_migrations', 0);

-- Schema version 1: occurrences.

-- The events themselves. One row is one occurrence; two processes that take the same event at the
-- same moment may leave two rows of one id, so every question counts ids, never rows.
--
-- Settings: the deduplication window makes a retry of the same block (same token) a no-op; the two
-- fsync settings make an answered insert survive a power cut, because the spool forgets it then.
-- Sort key: an app's newest events are one range, read backwards for a page. With the hour and the
-- code before the time a row took 10 % less disk (148 bytes for 166, 2 million rows of 20 apps).
-- Texts in ZSTD(1): higher levels bought nothing.
CREATE TABLE IF NOT EXISTS error_ingestor_local.occurrences ON CLUSTER 'main'
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
    INDEX by_id id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/main/{shard}/{database}/{table}', '{replica}')
PARTITION BY toYYYYMM(timestamp, 'UTC')
ORDER BY (app_id, timestamp, id)
SETTINGS
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 31536000,
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    materialize_ttl_recalculate_only = 1,
    index_granularity = 1024;

-- Which ids were stored in the last day, by any process: asked once per block before it is sent, so
-- that a resend is not stored again. The question has many ids and no order, so it reads the hash
-- columns as a whole: two of 16 bits, whose sets are plain bitmaps, leave little for the third. Of
-- what is left the ids themselves are compared, so that no collision can drop an event.
CREATE TABLE IF NOT EXISTS error_ingestor_local.seen ON CLUSTER 'main'
(
    `h0` UInt16,
    `h1` UInt16 CODEC(NONE),
    `h2` UInt32 CODEC(NONE),
    `id` UUID CODEC(NONE),
    `app_id` LowCardinality(String),
    `stored_at` DateTime('UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/main/{shard}/{database}/{table}', '{replica}')
PARTITION BY toStartOfInterval(stored_at, INTERVAL 12 HOUR, 'UTC')
ORDER BY (h0, h1)
TTL stored_at + INTERVAL 26 HOUR
SETTINGS
    index_granularity = 1024,
    ttl_only_drop_parts = 1,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 31536000,
    fsync_after_insert = 1,
    fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS error_ingestor_local.seen_view ON CLUSTER 'main'
TO error_ingestor_local.seen
AS
WITH cityHash64(app_id, UUIDToNum(id)) AS hash
SELECT
    toUInt16(hash) AS h0,
    toUInt16(bitShiftRight(hash, 16)) AS h1,
    toUInt32(bitShiftRight(hash, 32)) AS h2,
    id,
    app_id,
    now('UTC') AS stored_at
FROM error_ingestor_local.occurrences;

-- The same ids in the order they were stored, to find those that two processes stored at once.
CREATE TABLE IF NOT EXISTS error_ingestor_local.arrivals ON CLUSTER 'main'
(
    `stored_at` DateTime('UTC') CODEC(Delta, ZSTD(1)),
    `app_id` LowCardinality(String),
    `id` UUID CODEC(NONE)
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/main/{shard}/{database}/{table}', '{replica}')
PARTITION BY toStartOfInterval(stored_at, INTERVAL 6 HOUR, 'UTC')
ORDER BY stored_at
TTL stored_at + INTERVAL 26 HOUR
SETTINGS
    ttl_only_drop_parts = 1,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 31536000,
    fsync_after_insert = 1,
    fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS error_ingestor_local.arrivals_view ON CLUSTER 'main'
TO error_ingestor_local.arrivals
AS SELECT now('UTC') AS stored_at, app_id, id
FROM error_ingestor_local.occurrences;

-- Ids of which there is more than one row. Questions count these apart, by their first row, and all
-- others row by row, which is several times faster than making every row unique. The row without an
-- app says up to when arrivals were searched: what came later is searched by the question itself, so
-- that exactness never waits for this view.
CREATE TABLE IF NOT EXISTS error_ingestor_local.doubles ON CLUSTER 'main'
(
    `app_id` LowCardinality(String),
    `id` UUID,
    `found_at` DateTime('UTC')
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/main/{shard}/{database}/{table}', '{replica}', found_at)
ORDER BY (app_id, id)
SETTINGS
    fsync_after_insert = 1,
    fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS error_ingestor_local.doubles_view ON CLUSTER 'main'
REFRESH EVERY 20 SECOND APPEND
TO error_ingestor_local.doubles
AS
SELECT app_id, id, now('UTC') AS found_at
FROM error_ingestor_local.arrivals
WHERE stored_at >= (
    -- An insert becomes visible some time after its now(); a minute is twice the longest.
    SELECT greatest(max(found_at), toDateTime(60, 'UTC')) - INTERVAL 1 MINUTE
    FROM error_ingestor_local.doubles
    WHERE app_id = ''
)
GROUP BY app_id, id
HAVING count() > 1
UNION ALL
SELECT '' AS app_id, toUUID('00000000-0000-0000-0000-000000000000') AS id, now('UTC') AS found_at;

CREATE OR REPLACE TABLE error_ingestor.occurrences ON CLUSTER 'main'
AS error_ingestor_local.occurrences
ENGINE = Distributed('main', 'error_ingestor_local', 'occurrences', sipHash64(app_id, id));

CREATE OR REPLACE TABLE error_ingestor.seen ON CLUSTER 'main'
AS error_ingestor_local.seen
ENGINE = Distributed('main', 'error_ingestor_local', 'seen', sipHash64(app_id, id));

CREATE OR REPLACE TABLE error_ingestor.arrivals ON CLUSTER 'main'
AS error_ingestor_local.arrivals
ENGINE = Distributed('main', 'error_ingestor_local', 'arrivals', sipHash64(app_id, id));

CREATE OR REPLACE TABLE error_ingestor.doubles ON CLUSTER 'main'
AS error_ingestor_local.doubles
ENGINE = Distributed('main', 'error_ingestor_local', 'doubles', sipHash64(app_id, id));

INSERT INTO {database: Identifier}.schema_migrations (version, name)
VALUES (1, 'occurrences');

-- Schema version 2: source_maps.

-- Source maps by app, version and file. An upload of the same file replaces: the newest row counts,
-- in the queries at once and on disk after a merge.
CREATE TABLE IF NOT EXISTS error_ingestor_local.source_maps ON CLUSTER 'main'
(
    `app_id` String,
    `app_version` String,
    `file_name` String,
    `content` String CODEC(ZSTD(3)),
    `created_at` DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/main/{shard}/{database}/{table}', '{replica}', created_at)
ORDER BY (app_id, app_version, file_name)
SETTINGS
    index_granularity = 64,
    fsync_after_insert = 1,
    fsync_part_directory = 1;

CREATE OR REPLACE TABLE error_ingestor.source_maps ON CLUSTER 'main'
AS error_ingestor_local.source_maps
ENGINE = Distributed('main', 'error_ingestor_local', 'source_maps', 0);

INSERT INTO {database: Identifier}.schema_migrations (version, name)
VALUES (2, 'source_maps');

-- Schema version 3: keys.

-- Apps that were made over the admin API; those of settings and files never come here. The newest row
-- of an id is the app.
CREATE TABLE IF NOT EXISTS error_ingestor_local.apps ON CLUSTER 'main'
(
    `id` String,
    `name` String,
    `created_at` DateTime64(3, 'UTC'),
    `options` String COMMENT 'JSON: limits, origins, retentionDays, scrub.',
    `retention_days` UInt32 MATERIALIZED JSONExtractUInt(options, 'retentionDays') COMMENT '0: that of the server.',
    `changed_at` DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/main/{shard}/{database}/{table}', '{replica}', changed_at)
ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Keys by their digest; never the key itself, except where it is public by nature. Expiry and
-- revocation only ever come earlier, so that changes made at once by several processes merge without
-- one undoing the other: what is revoked anywhere stays revoked.
CREATE TABLE IF NOT EXISTS error_ingestor_local.keys ON CLUSTER 'main'
(
    `digest` String COMMENT 'SHA-256 of pepper and key, in hex.',
    `app_id` SimpleAggregateFunction(any, String) COMMENT 'Empty: all apps.',
    `name` SimpleAggregateFunction(any, String),
    `prefix` SimpleAggregateFunction(any, String),
    `last_four` SimpleAggregateFunction(any, String),
    `scopes` SimpleAggregateFunction(any, Array(String)),
    `readable` SimpleAggregateFunction(any, String) COMMENT 'The key where it can only ingest, for the DSN.',
    `created_at` SimpleAggregateFunction(any, DateTime64(3, 'UTC')),
    `expires_at` SimpleAggregateFunction(min, Nullable(DateTime64(3, 'UTC'))),
    `revoked_at` SimpleAggregateFunction(min, Nullable(DateTime64(3, 'UTC')))
)
ENGINE = ReplicatedAggregatingMergeTree('/clickhouse/tables/main/{shard}/{database}/{table}', '{replica}')
ORDER BY digest
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- When a key was used last, to the hour.
CREATE TABLE IF NOT EXISTS error_ingestor_local.key_uses ON CLUSTER 'main'
(
    `digest` String,
    `used_at` SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
)
ENGINE = ReplicatedAggregatingMergeTree('/clickhouse/tables/main/{shard}/{database}/{table}', '{replica}')
ORDER BY digest;

-- Who changed what, when and from where. Rows are only ever added.
CREATE TABLE IF NOT EXISTS error_ingestor_local.audit ON CLUSTER 'main'
(
    `id` UUID,
    `at` DateTime64(3, 'UTC'),
    `actor` String COMMENT 'Kind and name of who asked, as key:ei_admin_Ab…wxyz.',
    `address` String,
    `request_id` String,
    `action` LowCardinality(String),
    `app_id` String,
    `target` String,
    `detail` String COMMENT 'JSON object.'
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/main/{shard}/{database}/{table}', '{replica}')
PARTITION BY toYear(at)
ORDER BY (at, id)
TTL toDateTime(at) + INTERVAL 3 YEAR
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Users whose events are to go. Their ids stand here only as a hash with a salt of its own, so that
-- the request to forget somebody is not what remembers them.
CREATE TABLE IF NOT EXISTS error_ingestor_local.forgets ON CLUSTER 'main'
(
    `id` UUID,
    `app_id` SimpleAggregateFunction(any, String),
    `user_hash` SimpleAggregateFunction(any, String) COMMENT 'SHA-256 of the id of this row and the user id, in hex.',
    `requested_at` SimpleAggregateFunction(any, DateTime64(3, 'UTC')),
    `done_at` SimpleAggregateFunction(max, Nullable(DateTime64(3, 'UTC')))
)
ENGINE = ReplicatedAggregatingMergeTree('/clickhouse/tables/main/{shard}/{database}/{table}', '{replica}')
ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE OR REPLACE TABLE error_ingestor.apps ON CLUSTER 'main'
AS error_ingestor_local.apps
ENGINE = Distributed('main', 'error_ingestor_local', 'apps', 0);

CREATE OR REPLACE TABLE error_ingestor.keys ON CLUSTER 'main'
AS error_ingestor_local.keys
ENGINE = Distributed('main', 'error_ingestor_local', 'keys', 0);

CREATE OR REPLACE TABLE error_ingestor.key_uses ON CLUSTER 'main'
AS error_ingestor_local.key_uses
ENGINE = Distributed('main', 'error_ingestor_local', 'key_uses', 0);

CREATE OR REPLACE TABLE error_ingestor.audit ON CLUSTER 'main'
AS error_ingestor_local.audit
ENGINE = Distributed('main', 'error_ingestor_local', 'audit', 0);

CREATE OR REPLACE TABLE error_ingestor.forgets ON CLUSTER 'main'
AS error_ingestor_local.forgets
ENGINE = Distributed('main', 'error_ingestor_local', 'forgets', 0);

INSERT INTO {database: Identifier}.schema_migrations (version, name)
VALUES (3, 'keys');

-- Schema version 4: ledger.

-- How events ended, by hour. Each row is a sum that only grows, under the name of the spool folder
-- that counts it: the largest of a name counts, so that writing it again, late or in another order is
-- harmless. A question takes max(count) of each name and adds those up. An empty app is nobody's:
-- the key was missing or unknown.
CREATE TABLE IF NOT EXISTS error_ingestor_local.ledger ON CLUSTER 'main'
(
    `hour` DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    `app_id` LowCardinality(String),
    `protocol` LowCardinality(String),
    `outcome` LowCardinality(String),
    `reason` LowCardinality(String),
    `source` LowCardinality(String),
    `count` UInt64
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/main/{shard}/{database}/{table}', '{replica}', count)
PARTITION BY toYYYYMM(hour)
ORDER BY (app_id, hour, protocol, outcome, reason, source)
TTL toDateTime(hour) + INTERVAL 400 DAY
SETTINGS
    fsync_after_insert = 1,
    fsync_part_directory = 1;

CREATE OR REPLACE TABLE error_ingestor.ledger ON CLUSTER 'main'
AS error_ingestor_local.ledger
ENGINE = Distributed('main', 'error_ingestor_local', 'ledger', 0);

INSERT INTO {database: Identifier}.schema_migrations (version, name)
VALUES (4, 'ledger');

-- Schema version 5: rollups.

-- Counts per hour, so that a question about months reads hours and not events. Each is exact only
-- where every row of its hour was told of by its view and no id has two rows; the questions take the
-- hours of `touched`, and those with a row of an id in `doubles`, from the events themselves.
--
-- Cost, of an insert of 20,000 rows of 140 apps with 500 issues each (227 ms of CPU, and 210 ms in
-- merges): +14 ms and +10 ms, since this view leaves 7,000 rows of them. One table for codes and
-- issues together, because a second view would cost as much again, and issues have one code each.
CREATE TABLE IF NOT EXISTS error_ingestor_local.hourly ON CLUSTER 'main'
(
    `app_id` LowCardinality(String),
    `hour` DateTime('UTC') CODEC(Delta, ZSTD(1)),
    `code` LowCardinality(String),
    `fingerprint` LowCardinality(String),
    `events` SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    `first_at` SimpleAggregateFunction(min, DateTime64(3)) CODEC(ZSTD(1)),
    `last_at` SimpleAggregateFunction(max, DateTime64(3)) CODEC(ZSTD(1))
)
ENGINE = ReplicatedAggregatingMergeTree('/clickhouse/tables/main/{shard}/{database}/{table}', '{replica}')
PARTITION BY toYYYYMM(hour, 'UTC')
ORDER BY (app_id, hour, code, fingerprint)
SETTINGS
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 31536000,
    fsync_after_insert = 1,
    fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS error_ingestor_local.hourly_view ON CLUSTER 'main'
TO error_ingestor_local.hourly
AS SELECT
    app_id,
    toStartOfHour(toDateTime(timestamp, 'UTC')) AS hour,
    code,
    fingerprint,
    count() AS events,
    min(timestamp) AS first_at,
    max(timestamp) AS last_at
FROM error_ingestor_local.occurrences
GROUP BY app_id, hour, code, fingerprint;

-- Who was hit in an hour: hashes of 64 bits, of which a million have no two alike but once in thirty
-- million times. Cost: +5 ms and +5 ms, 8 bytes per user and hour.
CREATE TABLE IF NOT EXISTS error_ingestor_local.hourly_users ON CLUSTER 'main'
(
    `app_id` LowCardinality(String),
    `hour` DateTime('UTC') CODEC(Delta, ZSTD(1)),
    `user` UInt64 CODEC(NONE)
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/main/{shard}/{database}/{table}', '{replica}')
PARTITION BY toYYYYMM(hour, 'UTC')
ORDER BY (app_id, hour, user)
SETTINGS
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 31536000,
    fsync_after_insert = 1,
    fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS error_ingestor_local.hourly_users_view ON CLUSTER 'main'
TO error_ingestor_local.hourly_users
AS SELECT
    app_id,
    toStartOfHour(toDateTime(timestamp, 'UTC')) AS hour,
    sipHash64(assumeNotNull(user_id)) AS user
FROM error_ingestor_local.occurrences
WHERE user_id IS NOT NULL;

-- Hours of which the two tables above do not tell the truth.
CREATE TABLE IF NOT EXISTS error_ingestor_local.touched ON CLUSTER 'main'
(
    `app_id` LowCardinality(String),
    `hour` DateTime('UTC')
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/main/{shard}/{database}/{table}', '{replica}')
ORDER BY (app_id, hour)
SETTINGS
    fsync_after_insert = 1,
    fsync_part_directory = 1;

CREATE OR REPLACE TABLE error_ingestor.hourly ON CLUSTER 'main'
AS error_ingestor_local.hourly
ENGINE = Distributed('main', 'error_ingestor_local', 'hourly', 0);

CREATE OR REPLACE TABLE error_ingestor.hourly_users ON CLUSTER 'main'
AS error_ingestor_local.hourly_users
ENGINE = Distributed('main', 'error_ingestor_local', 'hourly_users', 0);

CREATE OR REPLACE TABLE error_ingestor.touched ON CLUSTER 'main'
AS error_ingestor_local.touched
ENGINE = Distributed('main', 'error_ingestor_local', 'touched', 0);

INSERT INTO {database: Identifier}.schema_migrations (version, name)
VALUES (5, 'rollups');

-- Schema version 6: search.

-- Which words stand in which rows: a search of months finds a word, or a part of one, without reading
-- every message. Of the message in lower case, and not through the index's own preprocessor, so that
-- a part with the index and one without it give the same answer: the condition names the same
-- expression. Parts that were written before get it with their next merge.
-- Cost, of an insert of 20,000 rows (227 ms of CPU, and 210 ms in merges): +9 ms and +11 ms. With
-- three-letter pieces for words it was +20 ms and +6 ms. It needs ClickHouse 26.2.
ALTER TABLE error_ingestor_local.occurrences ON CLUSTER 'main'
ADD INDEX IF NOT EXISTS by_message lower(message) TYPE text(tokenizer = splitByNonAlpha);

CREATE OR REPLACE TABLE error_ingestor.occurrences ON CLUSTER 'main'
AS error_ingestor_local.occurrences
ENGINE = Distributed('main', 'error_ingestor_local', 'occurrences', sipHash64(app_id, id));

INSERT INTO {database: Identifier}.schema_migrations (version, name)
VALUES (6, 'search');

-- Schema version 9: app_usage.

-- Events that apps with a quota have had, by day (UTC) and process. Each process tells its own
-- number again and again; the largest counts, so telling twice, or late, is never wrong.
CREATE TABLE IF NOT EXISTS error_ingestor_local.app_usage ON CLUSTER 'main'
(
    `day` Date,
    `app_id` String,
    `source` String,
    `events` SimpleAggregateFunction(max, UInt64)
)
ENGINE = ReplicatedAggregatingMergeTree('/clickhouse/tables/main/{shard}/{database}/{table}', '{replica}')
ORDER BY (day, app_id, source)
TTL day + INTERVAL 40 DAY;

CREATE OR REPLACE TABLE error_ingestor.app_usage ON CLUSTER 'main'
AS error_ingestor_local.app_usage
ENGINE = Distributed('main', 'error_ingestor_local', 'app_usage', 0);

INSERT INTO {database: Identifier}.schema_migrations (version, name)
VALUES (9, 'app_usage');

-- Schema version 10: session_ends.

-- Sessions of the dashboard that were ended before their time, by whichever process. A row can go when
-- no session is old enough to be meant by it: they last 30 days at most.
CREATE TABLE IF NOT EXISTS error_ingestor_local.session_ends ON CLUSTER 'main'
(
    subject String,
    before DateTime64(3, 'UTC')
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/main/{shard}/{database}/{table}', '{replica}')
ORDER BY subject
TTL toDateTime(before) + INTERVAL 31 DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE OR REPLACE TABLE error_ingestor.session_ends ON CLUSTER 'main'
AS error_ingestor_local.session_ends
ENGINE = Distributed('main', 'error_ingestor_local', 'session_ends', 0);

INSERT INTO {database: Identifier}.schema_migrations (version, name)
VALUES (10, 'session_ends');

-- Keeping events for 30 days, those of shop for 7.

INSERT INTO {database: Identifier}.retentions (app_id, days) VALUES ('shop', 7);

ALTER TABLE error_ingestor_local.doubles ON CLUSTER 'main'
MODIFY TTL least(toDateTime64(found_at, 3) + toIntervalDay(transform(app_id, ['shop'], [7], 30)), toDateTime64('2106-01-01 00:00:00', 3, 'UTC'))
SETTINGS alter_sync = 0;

ALTER TABLE error_ingestor_local.touched ON CLUSTER 'main'
MODIFY TTL least(toDateTime64(hour, 3) + toIntervalDay(transform(app_id, ['shop'], [7], 30)), toDateTime64('2106-01-01 00:00:00', 3, 'UTC'))
SETTINGS alter_sync = 0;

ALTER TABLE error_ingestor_local.hourly ON CLUSTER 'main'
MODIFY TTL least(toDateTime64(hour, 3) + toIntervalDay(transform(app_id, ['shop'], [7], 30)), toDateTime64('2106-01-01 00:00:00', 3, 'UTC'))
SETTINGS alter_sync = 0;

ALTER TABLE error_ingestor_local.hourly_users ON CLUSTER 'main'
MODIFY TTL least(toDateTime64(hour, 3) + toIntervalDay(transform(app_id, ['shop'], [7], 30)), toDateTime64('2106-01-01 00:00:00', 3, 'UTC'))
SETTINGS alter_sync = 0;

ALTER TABLE error_ingestor_local.occurrences ON CLUSTER 'main'
MODIFY TTL least(toDateTime64(timestamp, 3) + toIntervalDay(transform(app_id, ['shop'], [7], 30)), toDateTime64('2106-01-01 00:00:00', 3, 'UTC'))
SETTINGS alter_sync = 0;

ALTER TABLE error_ingestor_local.occurrences ON CLUSTER 'main' MODIFY COMMENT '{"retentionDays":30,"apps":[["shop",7]],"tables":["doubles","touched","hourly","hourly_users","occurrences"]}';

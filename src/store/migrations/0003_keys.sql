-- Apps that were made over the admin API; those of settings and files never come here. The newest row
-- of an id is the app.
CREATE TABLE IF NOT EXISTS {database: Identifier}.apps
(
    `id` String,
    `name` String,
    `created_at` DateTime64(3, 'UTC'),
    `options` String COMMENT 'JSON: limits, origins, retentionDays, scrub.',
    `retention_days` UInt32 MATERIALIZED JSONExtractUInt(options, 'retentionDays') COMMENT '0: that of the server.',
    `changed_at` DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ReplacingMergeTree(changed_at)
ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Keys by their digest; never the key itself, except where it is public by nature. Expiry and
-- revocation only ever come earlier, so that changes made at once by several processes merge without
-- one undoing the other: what is revoked anywhere stays revoked.
CREATE TABLE IF NOT EXISTS {database: Identifier}.keys
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
ENGINE = AggregatingMergeTree
ORDER BY digest
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- When a key was used last, to the hour.
CREATE TABLE IF NOT EXISTS {database: Identifier}.key_uses
(
    `digest` String,
    `used_at` SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY digest;

-- Who changed what, when and from where. Rows are only ever added.
CREATE TABLE IF NOT EXISTS {database: Identifier}.audit
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
ENGINE = MergeTree
PARTITION BY toYear(at)
ORDER BY (at, id)
TTL toDateTime(at) + INTERVAL 3 YEAR
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Users whose events are to go. Their ids stand here only as a hash with a salt of its own, so that
-- the request to forget somebody is not what remembers them.
CREATE TABLE IF NOT EXISTS {database: Identifier}.forgets
(
    `id` UUID,
    `app_id` SimpleAggregateFunction(any, String),
    `user_hash` SimpleAggregateFunction(any, String) COMMENT 'SHA-256 of the id of this row and the user id, in hex.',
    `requested_at` SimpleAggregateFunction(any, DateTime64(3, 'UTC')),
    `done_at` SimpleAggregateFunction(max, Nullable(DateTime64(3, 'UTC')))
)
ENGINE = AggregatingMergeTree
ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- How events ended, by hour. Each row is a sum that only grows, under the name of the spool folder
-- that counts it: the largest of a name counts, so that writing it again, late or in another order is
-- harmless. A question takes max(count) of each name and adds those up. An empty app is nobody's:
-- the key was missing or unknown.
CREATE TABLE IF NOT EXISTS {database: Identifier}.ledger
(
    `hour` DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    `app_id` LowCardinality(String),
    `protocol` LowCardinality(String),
    `outcome` LowCardinality(String),
    `reason` LowCardinality(String),
    `source` LowCardinality(String),
    `count` UInt64
)
ENGINE = ReplacingMergeTree(count)
PARTITION BY toYYYYMM(hour)
ORDER BY (app_id, hour, protocol, outcome, reason, source)
TTL toDateTime(hour) + INTERVAL 400 DAY
SETTINGS
    fsync_after_insert = 1,
    fsync_part_directory = 1;

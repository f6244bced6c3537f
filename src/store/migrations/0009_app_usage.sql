-- Events that apps with a quota have had, by day (UTC) and process. Each process tells its own
-- number again and again; the largest counts, so telling twice, or late, is never wrong.
CREATE TABLE IF NOT EXISTS {database: Identifier}.app_usage
(
    `day` Date,
    `app_id` String,
    `source` String,
    `events` SimpleAggregateFunction(max, UInt64)
)
ENGINE = AggregatingMergeTree
ORDER BY (day, app_id, source)
TTL day + INTERVAL 40 DAY;

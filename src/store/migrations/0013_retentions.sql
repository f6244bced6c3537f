-- How many days each app keeps its events, as the processes tell that know the app from wherever it is
-- declared: who sets the tables' TTL sees neither files nor what the code of a server registers. The
-- newest row of an app counts; 0 days are those of the server. Rows stay when an app is declared no
-- more, and with them its events as long as they were promised.
CREATE TABLE IF NOT EXISTS {database: Identifier}.retentions
(
    `app_id` String,
    `days` UInt64,
    `told_at` DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ReplacingMergeTree(told_at)
ORDER BY app_id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

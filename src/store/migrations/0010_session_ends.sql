-- Sessions of the dashboard that were ended before their time, by whichever process. A row can go when
-- no session is old enough to be meant by it: they last 30 days at most.
CREATE TABLE IF NOT EXISTS {database: Identifier}.session_ends
(
    subject String,
    before DateTime64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY subject
TTL toDateTime(before) + INTERVAL 31 DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

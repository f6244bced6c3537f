-- Source maps by app, version and file. An upload of the same file replaces: the newest row counts,
-- in the queries at once and on disk after a merge.
CREATE TABLE IF NOT EXISTS {database: Identifier}.source_maps
(
    `app_id` String,
    `app_version` String,
    `file_name` String,
    `content` String CODEC(ZSTD(3)),
    `created_at` DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ReplacingMergeTree(created_at)
ORDER BY (app_id, app_version, file_name)
SETTINGS
    index_granularity = 64,
    fsync_after_insert = 1,
    fsync_part_directory = 1;

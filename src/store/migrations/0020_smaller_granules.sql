-- A page whose events lie scattered reads a whole granule for each of them, and of each column the compressed blocks
-- that the granule lies in. With granules of 5,200 rows (10 MB) and stacks in blocks of 4 MB that was 10 to 15 MB for an
-- event, nearly all of its CPU in unpacking: 720 ms for a user's 100 events among 1.5 million of an app. Measured for
-- those 100 events on merged parts, CPU of the one question for the rows, bytes per event of all apps together:
--   rows of a granule   blocks of stacks, others   CPU ms   bytes
--   5,200               4 MB, 64 KB and more       545      154.5
--   1,024               4 MB, 64 KB                380      155.4
--   1,024               1.5 MB, 64 KB              310      156.4
--   1,024               1.5 MB, 16 KB              240      156.9
--   1,024               1.5 MB, 8 KB               214      157.4
--   1,024               1 MB, 16 KB                210      162.3
--   512                 1 MB, 16 KB                204      165.1
-- With 1.5 MB and 8 KB all 30 million events take 170 bytes each with everything around them, for 176 with 1 MB, and 177 for 182
-- as they come in, before the last parts are merged. A block ends at the first mark behind its least size, so where the
-- greatest size is far above that it holds whole granules: with 1 MB for both it took 303 ms and 171.5 bytes instead of
-- 298 and 162.0 (others 64 KB).
-- To find them reads less too, because the indexes name smaller granules: a word 35 ms for 100, part of a number 70
-- for 200. Columns of few values in ZSTD for LZ4 are 3.9 bytes less. ZSTD(5) for the stacks saved 4 bytes and cost a
-- quarter more CPU in merges.
--
-- The number of rows of a granule cannot be changed for a table that is there. One that is made since 0.3.0 has 1,024 from the
-- beginning (1). In another one a merge column by column makes a granule of each block that it merges: so from 8,192
-- rows on, for 131,072, where the result has files for each column. There blocks as they are inserted keep granules of
-- 10 MB, 5,100 events; a merge hands those on that overlap with nothing, and a mutation makes them again, as the
-- deletion of a user does: rows of a page of 100 scattered events took 400 ms of CPU for 280 with one such month of four.
--
-- Cost, CPU s per 100,000 rows: inserts of 20,000 and their merges, three times each in turn, 1.74, 1.56 and 1.51 without, 1.60,
-- 1.51 and 1.62 with it; in blocks of 2,000 the merges took 2.24 and 2.33 for 2.05 and 2.12. A merge of 2.7 million
-- rows: 0.82 for 0.82. Parts that were written before get it with their next merge.
ALTER TABLE {database: Identifier}.occurrences
MODIFY SETTING
    merge_max_block_size = 1024,
    min_compress_block_size = 8192,
    vertical_merge_algorithm_min_rows_to_activate = 8192;

ALTER TABLE {database: Identifier}.occurrences
MODIFY COLUMN stack_trace String CODEC(ZSTD(3))
SETTINGS (min_compress_block_size = 1572864, max_compress_block_size = 4194304);

ALTER TABLE {database: Identifier}.occurrences
MODIFY COLUMN parsed_stack String COMMENT 'JSON; empty: none; without raw: as stack_trace.' CODEC(ZSTD(3))
SETTINGS (min_compress_block_size = 1572864, max_compress_block_size = 4194304);

ALTER TABLE {database: Identifier}.occurrences
MODIFY COLUMN `code` LowCardinality(String) CODEC(ZSTD(1)),
MODIFY COLUMN `app_version` LowCardinality(String) CODEC(ZSTD(1)),
MODIFY COLUMN `platform` LowCardinality(String) CODEC(ZSTD(1)),
MODIFY COLUMN `platform_version` LowCardinality(String) CODEC(ZSTD(1)),
MODIFY COLUMN `environment` LowCardinality(String) CODEC(ZSTD(1)),
MODIFY COLUMN `level` LowCardinality(String) CODEC(ZSTD(1)),
MODIFY COLUMN `fingerprint` LowCardinality(String) COMMENT 'The issue.' CODEC(ZSTD(1)),
MODIFY COLUMN `fingerprint_secondary` LowCardinality(String) CODEC(ZSTD(1));

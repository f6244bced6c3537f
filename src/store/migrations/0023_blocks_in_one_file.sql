-- A block that is inserted stands in one file with all columns, not in two files for each: it lies there only until it
-- is merged, and making and syncing 110 files was most of what the kernel did for it. 96 MiB is twice what a block holds
-- at most, so what comes of many of them still has files for each column. Write buffers that grow from 16 KiB, instead
-- of a megabyte at once for each column, spare touching that memory. Measured in blocks of 20,000 rows, CPU s per
-- 100,000 rows: insert 1.07 → 0.81, the merge of them as before; 75 syncs of a block for 187, 205 MB for 335.
--
-- Forty parts at once instead of twenty-four: a row is written again once by the time that there are 32 million in
-- blocks of 20,000, and most a second time before. 47 parts that were never merged cost a page 42 ms of CPU for 37 (for
-- 23 parts in files for each column: 43), a search for a word 108 for 65.
-- Over a minute at full load, beside other work, twice: 1.88 s of CPU per 100,000 events for 2.19 (1.58 million each),
-- 2.07 for 2.27 (1.44 and 1.48 million).
--
-- The nearer a month is to as many parts as it may have, the fewer ClickHouse would merge at once; from 2,710 of 3,000
-- on fewer than forty, so none, for ever. It always merges as many as there are, up to a hundred.
ALTER TABLE {database: Identifier}.occurrences
MODIFY SETTING
    min_bytes_for_wide_part = 100663296,
    min_columns_to_activate_adaptive_write_buffer = 1,
    min_parts_to_merge_at_once = 40,
    merge_selector_enable_heuristic_to_lower_max_parts_to_merge_at_once = 0;

ALTER TABLE {database: Identifier}.seen
MODIFY SETTING merge_selector_enable_heuristic_to_lower_max_parts_to_merge_at_once = 0;

ALTER TABLE {database: Identifier}.arrivals
MODIFY SETTING merge_selector_enable_heuristic_to_lower_max_parts_to_merge_at_once = 0;

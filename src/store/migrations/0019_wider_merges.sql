-- Twenty-four parts at once, also of the two tables of ids that get a part with each block: at 700,000 rows in blocks of
-- 20,000 merges took 0.28 s of CPU per 100,000 rows for 0.53 with twelve of the events alone, and 12 parts were left for 2.
ALTER TABLE {database: Identifier}.occurrences MODIFY SETTING min_parts_to_merge_at_once = 24;

ALTER TABLE {database: Identifier}.seen MODIFY SETTING min_parts_to_merge_at_once = 24;

ALTER TABLE {database: Identifier}.arrivals MODIFY SETTING min_parts_to_merge_at_once = 24;

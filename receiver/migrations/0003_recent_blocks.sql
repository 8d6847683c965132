-- Blocks: sorted runs of samples, one row for each pack of about 64 series and span of time.
--
-- Every few minutes a receiver writes what it has in memory here and, in the same transaction, says in
-- writer.flushed_seq that those batches are superseded. Partitioned by the time of the flush (bucket = two hours since
-- the Unix epoch), so that merged rows go by dropping a partition, whatever times their samples have. The format of
-- `body` is described in receiver/docs/format/block.md.
CREATE TABLE watchpost.block_recent (
    bucket    int    NOT NULL,
    pack      int    NOT NULL,
    t_min     bigint NOT NULL,
    t_max     bigint NOT NULL,
    writer    int    NOT NULL,
    seq       bigint NOT NULL,
    n_samples int    NOT NULL,
    body      bytea  NOT NULL
) PARTITION BY RANGE (bucket);
CREATE INDEX block_recent_pack_idx ON watchpost.block_recent (pack, t_min);

DO $$
BEGIN
    ALTER TABLE watchpost.block_recent ALTER COLUMN body SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported OR invalid_parameter_value THEN
    RAISE NOTICE 'this server was built without lz4; blocks are compressed with pglz';
END
$$;

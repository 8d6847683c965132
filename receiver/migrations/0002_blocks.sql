-- Blocks: sorted runs of samples, one row for each pack of about 64 series and span of time. They live in three tables,
-- from young to old; a merge writes the next table and, in the same transaction, marks in `merged` what it supersedes.
-- The format of `body` is described in receiver/docs/format/block.md.

-- What a receiver had in memory, flushed every few minutes together with writer.flushed_seq. Partitioned by the time of
-- the flush (bucket = two hours since the Unix epoch), so that merged rows go by dropping a partition, whatever times
-- their samples have.
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

-- Two hours of flushes merged into rows of a few hundred samples a series. Partitioned by the day of the samples (bucket =
-- days since the Unix epoch). `job` numbers the merges.
CREATE TABLE watchpost.block_window (
    bucket    int    NOT NULL,
    pack      int    NOT NULL,
    t_min     bigint NOT NULL,
    t_max     bigint NOT NULL,
    job       bigint NOT NULL,
    n_samples int    NOT NULL,
    body      bytea  NOT NULL
) PARTITION BY RANGE (bucket);
CREATE INDEX block_window_pack_idx ON watchpost.block_window (pack, t_min);
-- Which jobs wrote to a day of windows: asked when the day becomes final, and, under a lock, when its partition is dropped.
CREATE INDEX block_window_job_idx ON watchpost.block_window (job);

-- Whole days, for good: sorted by pack, loaded frozen, so that vacuum never has anything to do here.
CREATE TABLE watchpost.block (
    bucket    int    NOT NULL,
    pack      int    NOT NULL,
    t_min     bigint NOT NULL,
    t_max     bigint NOT NULL,
    job       bigint NOT NULL,
    n_samples int    NOT NULL,
    body      bytea  NOT NULL
) PARTITION BY RANGE (bucket);
CREATE INDEX block_pack_idx ON watchpost.block (pack, t_min);

-- What is superseded: all of a block_recent partition, or the rows of a block_window partition up to job `upto`.
CREATE TABLE watchpost.merged (
    source varchar(63) NOT NULL,
    bucket int         NOT NULL,
    upto   bigint      NOT NULL,
    CONSTRAINT merged_pkey PRIMARY KEY (source, bucket)
) WITH (fillfactor = 50);

-- Who does what only one receiver may do. Whoever holds an older term than the row's cannot commit.
CREATE TABLE watchpost.lease (
    name        varchar(63) NOT NULL CONSTRAINT lease_pkey PRIMARY KEY,
    holder      int         NOT NULL,
    term        bigint      NOT NULL,
    lease_until timestamptz NOT NULL
) WITH (fillfactor = 50);
INSERT INTO watchpost.lease (name, holder, term, lease_until) VALUES ('merge', 0, 0, '-infinity');
INSERT INTO watchpost.id_range (name, next) VALUES ('job', 1);

-- Every block that counts: what was merged is left out.
CREATE VIEW watchpost.live_block AS
    SELECT 0 AS age, b.bucket, b.pack, b.t_min, b.t_max, b.job AS ord, 0::bigint AS ord2, b.n_samples, b.body,
           0 AS writer
      FROM watchpost.block b
    UNION ALL
    SELECT 1, b.bucket, b.pack, b.t_min, b.t_max, b.job, 0, b.n_samples, b.body, 0
      FROM watchpost.block_window b
     WHERE NOT EXISTS (SELECT FROM watchpost.merged m
                        WHERE m.source = 'block_window' AND m.bucket = b.bucket AND m.upto >= b.job)
    UNION ALL
    -- Each start of a receiver is a writer with a higher number, and counts its batches from 1 again.
    SELECT 2, b.bucket, b.pack, b.t_min, b.t_max, b.bucket, (b.writer::bigint << 40) | b.seq, b.n_samples, b.body,
           b.writer
      FROM watchpost.block_recent b
     WHERE NOT EXISTS (SELECT FROM watchpost.merged m WHERE m.source = 'block_recent' AND m.bucket = b.bucket);

-- lz4 where this server has it: faster than pglz and as small on these bytes.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['block_recent', 'block_window', 'block'] LOOP
        EXECUTE format('ALTER TABLE watchpost.%I ALTER COLUMN body SET COMPRESSION lz4', name);
    END LOOP;
EXCEPTION WHEN feature_not_supported OR invalid_parameter_value THEN
    RAISE NOTICE 'this server was built without lz4; blocks are compressed with pglz';
END
$$;

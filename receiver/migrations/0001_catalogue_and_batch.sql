-- The catalogue (which series there are) and the batch log (what has been acknowledged).
--
-- Everything lives in the schema `watchpost`, so that a database can be shared with other applications, and works for
-- an ordinary role: no extension, no superuser. Migrations only go forward and never change once released.

-- A metric name, and what its exporter says about it. `type` is as in `# TYPE`: counter, gauge, histogram, ...
CREATE TABLE watchpost.metric (
    id   int  NOT NULL CONSTRAINT metric_pkey PRIMARY KEY,
    name text NOT NULL CONSTRAINT metric_name_key UNIQUE,
    type text,
    unit text,
    help text
);

-- A series: a metric name and a set of labels. `labels` holds all labels but the name, ready to be joined with other
-- tables: labels ->> 'instance'. They have no index: the metric's nearly always narrows the search enough, and a GIN
-- index would make a new series half as dear again (receiver/docs/sql.md says how to add one). `identity` is the first half of the SHA-256 of the sorted labels; a fixed-size key,
-- because label sets can be longer than an index entry may be. `pack` is the group of about 64 series whose samples lie
-- together in blocks.
CREATE TABLE watchpost.series (
    id         bigint      NOT NULL CONSTRAINT series_pkey PRIMARY KEY,
    metric_id  int         NOT NULL,
    pack       int         NOT NULL,
    identity   uuid        NOT NULL CONSTRAINT series_identity_key UNIQUE,
    labels     jsonb       NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX series_metric_id_idx ON watchpost.series (metric_id);
-- Receivers ask every few seconds for what others created lately. Many series are created at one time, so an entry takes six
-- bytes; a BRIN index would be smaller from some five thousand series on, but would have them all read what is not in it yet.
CREATE INDEX series_created_at_idx ON watchpost.series (created_at);

-- Numbers are claimed in ranges, so that no sequence is touched for each new series and numbers stay dense. (Names that are
-- short by their type spare a table of a few rows its TOAST table.)
CREATE TABLE watchpost.id_range (
    name varchar(63) NOT NULL CONSTRAINT id_range_pkey PRIMARY KEY,
    next bigint      NOT NULL
) WITH (fillfactor = 50);
INSERT INTO watchpost.id_range (name, next) VALUES ('metric', 1), ('pack', 1), ('series', 1), ('writer', 1);

-- One row for each run of a receiver. Batches up to `flushed_seq` are in blocks. `term` grows whenever somebody takes
-- the row over; whoever holds an older term can no longer commit a flush.
CREATE TABLE watchpost.writer (
    id          int         NOT NULL CONSTRAINT writer_pkey PRIMARY KEY,
    term        bigint      NOT NULL,
    lease_until timestamptz NOT NULL,
    flushed_seq bigint      NOT NULL,
    host        text        NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

-- The log. One row is one group commit: acknowledged means that its row is committed. Partitioned by arrival (bucket =
-- quarters of an hour since the Unix epoch), so that flushed rows go by dropping a partition. The format of `body` is
-- described in receiver/docs/format/batch.md; times are milliseconds since the Unix epoch.
CREATE TABLE watchpost.batch (
    bucket    int    NOT NULL,
    writer    int    NOT NULL,
    seq       bigint NOT NULL,
    n_samples int    NOT NULL,
    t_min     bigint NOT NULL,
    t_max     bigint NOT NULL,
    body      bytea  NOT NULL,
    CONSTRAINT batch_pkey PRIMARY KEY (writer, seq, bucket)
) PARTITION BY RANGE (bucket);

-- lz4 where this server has it: faster than pglz and as small on these bytes. Either way plain SQL can read them.
DO $$
BEGIN
    ALTER TABLE watchpost.batch ALTER COLUMN body SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported OR invalid_parameter_value THEN
    RAISE NOTICE 'this server was built without lz4; batches are compressed with pglz';
END
$$;

-- Deletions and thinning: what is still in rows and does not count.

-- What somebody asked to delete. It counts for every reader as soon as it is committed; the bytes go when the rows that
-- hold them are rewritten, and then `done_at` is set and the row is only a record.
--
-- What a deletion applies to is told by the order of commits, so that samples which are sent again afterwards stay: of
-- batches and recent blocks those up to `seqs[i]` of `writers[i]`, of merged blocks those up to `job`.
CREATE TABLE watchpost.deletion (
    id            bigint      NOT NULL CONSTRAINT deletion_pkey PRIMARY KEY,
    selectors     text[]      NOT NULL,
    series_ids    bigint[]    NOT NULL,
    packs         int[]       NOT NULL,
    t_from        bigint      NOT NULL,
    t_to          bigint      NOT NULL,
    job           bigint      NOT NULL,
    writers       int[]       NOT NULL,
    seqs          bigint[]    NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    -- Merged blocks are rewritten in order of table, partition and pack, a few at a time: so far up to here.
    cursor_table  text        NOT NULL DEFAULT '',
    cursor_bucket int         NOT NULL DEFAULT 0,
    cursor_pack   int         NOT NULL DEFAULT 0,
    rewritten_at  timestamptz,
    done_at       timestamptz
);
CREATE INDEX deletion_pending_idx ON watchpost.deletion (id) WHERE done_at IS NULL;
INSERT INTO watchpost.id_range (name, next) VALUES ('deletion', 1);

-- How far partitions of merged blocks were thinned by retention rules: everything up to `job` under `rules`, as of
-- `age_days`. `cursor_pack` is not null while it is being done.
CREATE TABLE watchpost.thinned (
    source      text   NOT NULL,
    bucket      int    NOT NULL,
    rules       text   NOT NULL,
    age_days    int    NOT NULL,
    job         bigint NOT NULL,
    cursor_pack int,
    CONSTRAINT thinned_pkey PRIMARY KEY (source, bucket)
);

-- Hours: what `hourly` says of samples, and rollups, which keep it of whole days.

-- Of each series and day that has samples: 24 elements, one for each hour (UTC), null where there is no value. What they
-- mean is said at `hourly`. A partition is made when its day is final, for all series, and loaded frozen; that it is there
-- means that the day is rolled up.
CREATE TABLE watchpost.rollup (
    bucket    int      NOT NULL,
    series_id bigint   NOT NULL,
    n         int[]    NOT NULL,
    sum       float8[] NOT NULL,
    min       float8[] NOT NULL,
    max       float8[] NOT NULL,
    last      float8[] NOT NULL,
    increase  float8[] NOT NULL
) PARTITION BY RANGE (bucket);
CREATE INDEX rollup_series_idx ON watchpost.rollup (series_id);
-- Small arrays that repeat themselves: compressed where they lie.
ALTER TABLE watchpost.rollup
    ALTER n SET STORAGE MAIN, ALTER sum SET STORAGE MAIN, ALTER min SET STORAGE MAIN,
    ALTER max SET STORAGE MAIN, ALTER last SET STORAGE MAIN, ALTER increase SET STORAGE MAIN;
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['n', 'sum', 'min', 'max', 'last', 'increase'] LOOP
        EXECUTE format('ALTER TABLE watchpost.rollup ALTER COLUMN %I SET COMPRESSION lz4', name);
    END LOOP;
EXCEPTION WHEN feature_not_supported OR invalid_parameter_value THEN
    RAISE NOTICE 'this server was built without lz4; rollups are compressed with pglz';
END
$$;

-- What of a rolled-up day is to be done again: samples came late, or something was deleted. Whoever flushes or
-- deletes adds rows in the same transaction, never waiting for anybody; whoever rolls up takes away those it has seen.
CREATE TABLE watchpost.rollup_stale (
    id       bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT rollup_stale_pkey PRIMARY KEY,
    bucket   int NOT NULL,
    pack     int,
    -- Of its series.
    deletion bigint,
    CONSTRAINT rollup_stale_what CHECK (num_nonnulls(pack, deletion) = 1)
);
CREATE INDEX rollup_stale_bucket_idx ON watchpost.rollup_stale (bucket, pack);

-- An array with nulls in some places.
CREATE FUNCTION watchpost.without(elements anyarray, first int, last int) RETURNS anyarray
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT array_agg(CASE WHEN u.at BETWEEN first AND last THEN NULL ELSE u.element END ORDER BY u.at)
      FROM unnest(elements) WITH ORDINALITY AS u (element, at)
$$;

-- The days that are rolled up.
CREATE VIEW watchpost.rollup_day AS
    SELECT substr(c.relname, 8)::int AS bucket
      FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = 'watchpost.rollup'::regclass AND NOT i.inhdetachpending;

-- The hours of a metric's series from their samples, of hours since the Unix epoch from `h_from` on, and up to a time.
CREATE FUNCTION watchpost.hours_of_samples(metric text, matchers jsonb, h_from bigint, "to" timestamptz)
RETURNS TABLE (series_id bigint, hour bigint, n bigint, sum float8, min float8, max float8, last float8, increase float8)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT v.series_id, v.hour, count(*), sum(v.value),
           coalesce(min(v.value) FILTER (WHERE v.value <> 'NaN'), 'NaN'),
           coalesce(max(v.value) FILTER (WHERE v.value <> 'NaN'), 'NaN'),
           (array_agg(v.value ORDER BY v.ts_ms DESC))[1],
           coalesce(sum(CASE WHEN v.before_ms < (v.hour - 1) * 3600000 OR v.value = 'NaN' OR v.before = 'NaN' THEN NULL
                             WHEN v.value >= v.before THEN v.value - v.before
                             ELSE v.value END) FILTER (WHERE v.before_ms IS NOT NULL), 0)
      FROM (SELECT u.*, floor(u.ts_ms::numeric / 3600000)::bigint AS hour,
                   lag(u.value) OVER w AS before, lag(u.ts_ms) OVER w AS before_ms
              FROM (SELECT c.series_id, unnest(c.times) AS ts_ms, unnest(c.mantissas) / c.power AS value,
                           unnest(c.bits) AS bits
                      FROM watchpost.scan(
                          hours_of_samples.metric, hours_of_samples.matchers,
                          -- No earlier time has a timestamp.
                          CASE WHEN hours_of_samples.h_from <= -58000000 THEN '-infinity'
                               ELSE to_timestamp((hours_of_samples.h_from - 1) * 3600::float8) END,
                          hours_of_samples."to") c) u
             WHERE u.bits IS DISTINCT FROM 9218868437227405314
            WINDOW w AS (PARTITION BY u.series_id ORDER BY u.ts_ms)) v
     WHERE v.hour >= hours_of_samples.h_from
     GROUP BY v.series_id, v.hour;
END;

-- Hours. `increase` is what a counter grew, with resets: between consecutive samples, in the hour of the later one; the
-- earlier one may be at most an hour older than the hour's beginning. NaNs are left out of min and max where there is a
-- number, and of increase. Staleness markers are no values. Days that are rolled up are not read sample by sample.
CREATE FUNCTION watchpost.hourly(
    metric   text,
    matchers jsonb DEFAULT '{}',
    "from"   timestamptz DEFAULT '-infinity',
    "to"     timestamptz DEFAULT 'infinity'
) RETURNS TABLE (
    series_id bigint, labels jsonb, hour timestamptz,
    n bigint, sum float8, avg float8, min float8, max float8, last float8, increase float8
)
LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH bound AS (
        SELECT greatest(floor(watchpost.to_ms(hourly."from")::numeric / 3600000)::bigint, -58000000) AS first,
               -- The hour of `to` itself may be a part only.
               least(floor(watchpost.to_ms(hourly."to")::numeric / 3600000)::bigint, 1000000000) AS last
    ), wanted AS MATERIALIZED (
        SELECT s.id, s.pack, s.labels
          FROM watchpost.series s
         WHERE s.metric_id = (SELECT m.id FROM watchpost.metric m WHERE m.name = hourly.metric)
           AND s.labels @> hourly.matchers
    ), pack AS MATERIALIZED (
        SELECT DISTINCT w.pack FROM wanted w
    ), stored AS MATERIALIZED (
        SELECT d.bucket, greatest(d.bucket * 24::bigint, b.first) AS first,
               least(d.bucket * 24::bigint + 24, b.last) AS beyond
          FROM watchpost.rollup_day d, bound b
         WHERE d.bucket * 24::bigint + 24 > b.first AND d.bucket * 24::bigint < b.last
           AND NOT EXISTS (SELECT FROM watchpost.rollup_stale t JOIN pack p ON p.pack = t.pack WHERE t.bucket = d.bucket)
           AND NOT EXISTS (SELECT FROM watchpost.rollup_stale t
                             JOIN watchpost.deletion x ON x.id = t.deletion
                             JOIN wanted w ON w.id = ANY (x.series_ids)
                            WHERE t.bucket = d.bucket)
    ), gap AS MATERIALIZED (
        SELECT coalesce(lag(s.beyond) OVER (ORDER BY s.bucket), b.first) AS first,
               to_timestamp(s.first * 3600::float8 - 0.001) AS upto, s.first AS beyond
          FROM stored s, bound b
        UNION ALL
        SELECT coalesce((SELECT max(s.beyond) FROM stored s), b.first), hourly."to", b.last + 1 FROM bound b
    ), found AS (
        SELECT h.series_id, h.hour, h.n, h.sum, h.min, h.max, h.last, h.increase
          FROM gap g
         CROSS JOIN LATERAL watchpost.hours_of_samples(hourly.metric, hourly.matchers, g.first, g.upto) h
         WHERE g.first < g.beyond
        UNION ALL
        SELECT r.series_id, r.bucket * 24::bigint + u.at - 1, u.n, u.sum, u.min, u.max, u.last, u.increase
          FROM stored s
          JOIN watchpost.rollup r ON r.bucket = s.bucket
         CROSS JOIN LATERAL ROWS FROM (
                   unnest(r.n), unnest(r.sum), unnest(r.min), unnest(r.max), unnest(r.last), unnest(r.increase)
               ) WITH ORDINALITY AS u (n, sum, min, max, last, increase, at)
         WHERE r.series_id IN (SELECT w.id FROM wanted w)
           AND u.n IS NOT NULL
           AND r.bucket * 24::bigint + u.at - 1 >= s.first AND r.bucket * 24::bigint + u.at - 1 < s.beyond
    )
    SELECT f.series_id, w.labels, to_timestamp(f.hour * 3600::float8), f.n, f.sum, f.sum / f.n, f.min, f.max, f.last,
           f.increase
      FROM found f JOIN wanted w ON w.id = f.series_id;
END;

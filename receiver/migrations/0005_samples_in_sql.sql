-- Samples for people.
--
--   SELECT * FROM watchpost.samples('node_load1', '{"instance": "db-1:9100"}', now() - interval '1 hour');

-- Milliseconds since the Unix epoch, infinities included.
CREATE FUNCTION watchpost.to_ms(t timestamptz) RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE STRICT
RETURN CASE WHEN t = 'infinity' THEN 9223372036854775807
            WHEN t = '-infinity' THEN -9223372036854775808
            ELSE round(extract(epoch FROM t) * 1000)::bigint END;

-- Everything stored of one metric: the way out that all functions for people share. In rows of up to a few hundred
-- samples of one series, each time once and in order; of two values for one time, the one that was committed first.
--
-- Nearly all blocks overlap no other of their pack, or only by moments where one ends and the next begins. Within
-- `clean_from` and `clean_to` no other block and no batch has anything, so that part is handed on as it is; only the
-- rest is sorted to find out which value counts.
CREATE FUNCTION watchpost.scan(metric text, matchers jsonb, t_from timestamptz, t_to timestamptz)
RETURNS TABLE (series_id bigint, times bigint[], mantissas float8[], power float8, bits bigint[])
LANGUAGE plpgsql STABLE PARALLEL SAFE COST 100000 ROWS 10000
AS $$
DECLARE
    wanted_metric int;
    wanted        bigint[];
    packs         int[];
    from_ms       bigint := watchpost.to_ms(t_from);
    to_ms         bigint := watchpost.to_ms(t_to);
    from_day      int := greatest(div(from_ms::numeric, 86400000) - 1, -2147483648)::int;
    hides         boolean;
    fresh_from    bigint;
BEGIN
    SELECT m.id INTO wanted_metric FROM watchpost.metric m WHERE m.name = metric;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT coalesce(array_agg(s.id ORDER BY s.id), '{}'), coalesce(array_agg(DISTINCT s.pack), '{}')
      INTO wanted, packs
      FROM watchpost.series s WHERE s.metric_id = wanted_metric AND s.labels @> matchers;
    hides := EXISTS (SELECT FROM watchpost.deletion d
                      WHERE d.done_at IS NULL AND d.t_from <= to_ms AND d.t_to >= from_ms AND d.series_ids && wanted);
    -- The first time that is in batches only.
    SELECT min(c.times[1]) INTO fresh_from
      FROM watchpost.batch b
      JOIN watchpost.writer w ON w.id = b.writer AND b.seq > w.flushed_seq,
           watchpost.batch_columns(b.body, packs, wanted, from_ms, to_ms) c
     WHERE b.t_min <= to_ms AND b.t_max >= from_ms;
    RETURN QUERY
    WITH block AS MATERIALIZED (
        SELECT l.age, l.ord, l.ord2, l.writer, l.pack, l.t_min, l.t_max, l.body,
               coalesce(max(l.t_max) OVER before + 1, -9223372036854775808) AS clean_from,
               CASE WHEN hides THEN -9223372036854775808
                    ELSE least(lead(l.t_min) OVER along - 1, fresh_from - 1, 9223372036854775807) END AS clean_to
          FROM watchpost.live_block l
         WHERE l.pack = ANY (packs) AND l.t_min <= to_ms AND l.t_max >= from_ms
           -- The partition of a day has samples of that day, and strays from before it.
           AND (l.age = 2 OR l.bucket >= from_day)
        WINDOW along AS (PARTITION BY l.pack ORDER BY l.t_min, l.t_max, l.age, l.ord, l.ord2),
               before AS (along ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
    ), member AS MATERIALIZED (
        SELECT s.pack, array_agg(s.id ORDER BY s.id) AS ids
          FROM watchpost.series s WHERE s.id = ANY (wanted) GROUP BY s.pack
    ), hidden AS MATERIALIZED (
        SELECT d.t_from, d.t_to, d.job, d.writers, d.seqs,
               ARRAY(SELECT unnest(d.series_ids) INTERSECT SELECT unnest(wanted)) AS ids
          FROM watchpost.deletion d
         WHERE hides AND d.done_at IS NULL AND d.t_from <= to_ms AND d.t_to >= from_ms AND d.series_ids && wanted
    ), crowded AS (
        SELECT b.age, b.ord, b.ord2, b.writer, b.clean_from, b.clean_to, c.*
          FROM block b JOIN member m ON m.pack = b.pack,
               watchpost.block_columns(b.body, m.ids, from_ms, to_ms) c
         WHERE greatest(b.t_min, from_ms) < b.clean_from OR least(b.t_max, to_ms) > b.clean_to
        UNION ALL
        SELECT 3, b.bucket, (b.writer::bigint << 40) | b.seq, b.writer, 0, -1, c.*
          FROM watchpost.batch b
          JOIN watchpost.writer w ON w.id = b.writer AND b.seq > w.flushed_seq,
               watchpost.batch_columns(b.body, packs, wanted, from_ms, to_ms) c
         WHERE b.t_min <= to_ms AND b.t_max >= from_ms
    )
    SELECT c.*
      FROM block b JOIN member m ON m.pack = b.pack,
           watchpost.block_columns(b.body, m.ids, greatest(from_ms, b.clean_from), least(to_ms, b.clean_to)) c
     WHERE greatest(b.t_min, from_ms, b.clean_from) <= least(b.t_max, to_ms, b.clean_to)
    UNION ALL
    SELECT u.series_id, array_agg(u.ts ORDER BY u.ts), array_agg(u.value ORDER BY u.ts), 1,
           CASE WHEN count(u.bits) > 0 THEN array_agg(u.bits ORDER BY u.ts) END
      FROM (SELECT DISTINCT ON (s.series_id, s.ts) s.series_id, s.ts, s.value, s.bits
              FROM (SELECT c.age, c.ord, c.ord2, c.writer, c.clean_from, c.clean_to, c.series_id,
                           unnest(c.times) AS ts, unnest(c.mantissas) / c.power AS value, unnest(c.bits) AS bits
                      FROM crowded c) s
             WHERE s.ts NOT BETWEEN s.clean_from AND s.clean_to
               AND NOT (hides AND EXISTS (
                   SELECT FROM hidden h
                    WHERE s.series_id = ANY (h.ids) AND s.ts BETWEEN h.t_from AND h.t_to
                      AND CASE WHEN s.age < 2 THEN s.ord <= h.job
                               -- The lower 40 bits: the batch's number.
                               ELSE (s.ord2 & 1099511627775) <= h.seqs[array_position(h.writers, s.writer)] END))
             ORDER BY s.series_id, s.ts, s.age, s.ord, s.ord2) u
     GROUP BY u.series_id;
END
$$;

-- The samples of a metric whose labels contain `matchers`, with from <= time <= to, in no particular order. Staleness
-- markers, which say that a series ended, are no values and left out; samples_raw has them.
CREATE FUNCTION watchpost.samples(
    metric   text,
    matchers jsonb DEFAULT '{}',
    "from"   timestamptz DEFAULT '-infinity',
    "to"     timestamptz DEFAULT 'infinity'
) RETURNS TABLE (series_id bigint, labels jsonb, ts timestamptz, value float8)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT d.series_id, d.labels, to_timestamp(d.ts_ms / 1000::float8), d.value
      FROM (SELECT c.series_id, (SELECT s.labels FROM watchpost.series s WHERE s.id = c.series_id) AS labels,
                   unnest(c.times) AS ts_ms, unnest(c.mantissas) / c.power AS value, unnest(c.bits) AS bits
              FROM watchpost.scan(samples.metric, samples.matchers, samples."from", samples."to") c) d
     -- 0x7ff0000000000002, the marker's bits
     WHERE d.bits IS DISTINCT FROM 9218868437227405314;
END;

-- Everything, bit for bit: milliseconds, and the 64 bits of every value. bits = 9218868437227405314 is a staleness marker.
CREATE FUNCTION watchpost.samples_raw(
    metric   text,
    matchers jsonb DEFAULT '{}',
    "from"   timestamptz DEFAULT '-infinity',
    "to"     timestamptz DEFAULT 'infinity'
) RETURNS TABLE (series_id bigint, labels jsonb, ts_ms bigint, value float8, bits bigint)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT d.series_id, d.labels, d.ts_ms, d.value, coalesce(d.bits, watchpost.float8_to_bits(d.value))
      FROM (SELECT c.series_id, (SELECT s.labels FROM watchpost.series s WHERE s.id = c.series_id) AS labels,
                   unnest(c.times) AS ts_ms, unnest(c.mantissas) / c.power AS value, unnest(c.bits) AS bits
              FROM watchpost.scan(samples_raw.metric, samples_raw.matchers, samples_raw."from", samples_raw."to") c) d;
END;

-- The newest sample of each series of a metric, unless the series ended or has been silent for longer than `lookback`.
CREATE FUNCTION watchpost.latest(
    metric   text,
    matchers jsonb DEFAULT '{}',
    lookback interval DEFAULT '5 minutes'
) RETURNS TABLE (series_id bigint, labels jsonb, ts timestamptz, value float8)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT d.series_id, s.labels, to_timestamp(d.times[d.n] / 1000::float8), d.mantissas[d.n] / d.power
      FROM (SELECT DISTINCT ON (c.series_id) c.*, cardinality(c.times) AS n
              FROM watchpost.scan(latest.metric, latest.matchers, now() - latest.lookback, 'infinity') c
             ORDER BY c.series_id, c.times[cardinality(c.times)] DESC) d
      JOIN watchpost.series s ON s.id = d.series_id
     WHERE d.bits[d.n] IS DISTINCT FROM 9218868437227405314
     ORDER BY d.series_id;
END;

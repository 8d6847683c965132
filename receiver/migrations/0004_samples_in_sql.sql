-- Samples for people.
--
--   SELECT * FROM watchpost.samples('node_load1', '{"instance": "db-1:9100"}', now() - interval '1 hour');

-- Milliseconds since the Unix epoch, infinities included.
CREATE FUNCTION watchpost.to_ms(t timestamptz) RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE STRICT
RETURN CASE WHEN t = 'infinity' THEN 9223372036854775807
            WHEN t = '-infinity' THEN -9223372036854775808
            ELSE round(extract(epoch FROM t) * 1000)::bigint END;

-- Everything stored of one metric: the way out that the functions below share. In order of series and time, each time
-- once; of two values for one time, the one that was committed first.
CREATE FUNCTION watchpost.scan(metric text, matchers jsonb, t_from timestamptz, t_to timestamptz)
RETURNS TABLE (series_id bigint, ts_ms bigint, value float8, bits bigint)
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
DECLARE
    wanted_metric int;
    wanted        bigint[];
    packs         int[];
    from_ms       bigint := watchpost.to_ms(t_from);
    to_ms         bigint := watchpost.to_ms(t_to);
BEGIN
    SELECT m.id INTO wanted_metric FROM watchpost.metric m WHERE m.name = metric;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT coalesce(array_agg(s.id ORDER BY s.id), '{}'), coalesce(array_agg(DISTINCT s.pack), '{}')
      INTO wanted, packs
      FROM watchpost.series s WHERE s.metric_id = wanted_metric AND s.labels @> matchers;
    RETURN QUERY
    SELECT DISTINCT ON (d.series_id, d.ts) d.series_id, d.ts, d.value, d.bits
      FROM (
        SELECT b.age, b.ord, b.ord2, s.*
          FROM watchpost.live_block b, watchpost.block_samples(b.body, wanted) s
         WHERE b.pack = ANY (packs) AND b.t_min <= to_ms AND b.t_max >= from_ms
        UNION ALL
        SELECT 3, b.bucket, (b.writer::bigint << 40) | b.seq, s.*
          FROM watchpost.batch b
          JOIN watchpost.writer w ON w.id = b.writer AND b.seq > w.flushed_seq,
               watchpost.batch_samples(b.body, packs, wanted) s
         WHERE b.t_min <= to_ms AND b.t_max >= from_ms
      ) d
     WHERE d.ts BETWEEN from_ms AND to_ms
     ORDER BY d.series_id, d.ts, d.age, d.ord, d.ord2;
END
$$;

-- The samples of a metric whose labels contain `matchers`, with from <= time <= to. Staleness markers, which say that a
-- series ended, are no values and left out; samples_raw has them.
CREATE FUNCTION watchpost.samples(
    metric   text,
    matchers jsonb DEFAULT '{}',
    "from"   timestamptz DEFAULT '-infinity',
    "to"     timestamptz DEFAULT 'infinity'
) RETURNS TABLE (series_id bigint, labels jsonb, ts timestamptz, value float8)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT d.series_id, s.labels, to_timestamp(d.ts_ms / 1000.0), d.value
      FROM watchpost.scan(samples.metric, samples.matchers, samples."from", samples."to") d
      JOIN watchpost.series s ON s.id = d.series_id
     -- 0x7ff0000000000002, the marker's bits
     WHERE d.bits IS DISTINCT FROM 9218868437227405314
     ORDER BY d.series_id, d.ts_ms;
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
    SELECT d.series_id, s.labels, d.ts_ms, d.value, coalesce(d.bits, watchpost.float8_to_bits(d.value))
      FROM watchpost.scan(samples_raw.metric, samples_raw.matchers, samples_raw."from", samples_raw."to") d
      JOIN watchpost.series s ON s.id = d.series_id
     ORDER BY d.series_id, d.ts_ms;
END;

-- The newest sample of each series of a metric, unless the series ended or has been silent for longer than `lookback`.
CREATE FUNCTION watchpost.latest(
    metric   text,
    matchers jsonb DEFAULT '{}',
    lookback interval DEFAULT '5 minutes'
) RETURNS TABLE (series_id bigint, labels jsonb, ts timestamptz, value float8)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT d.series_id, s.labels, to_timestamp(d.ts_ms / 1000.0), d.value
      FROM (SELECT DISTINCT ON (a.series_id) a.*
              FROM watchpost.scan(latest.metric, latest.matchers, now() - latest.lookback, 'infinity') a
             ORDER BY a.series_id, a.ts_ms DESC) d
      JOIN watchpost.series s ON s.id = d.series_id
     WHERE d.bits IS DISTINCT FROM 9218868437227405314
     ORDER BY d.series_id;
END;

-- Native histograms for people, in plain SQL. The format is described in receiver/docs/format/histograms.md.
--
--   SELECT h.ts, b.* FROM watchpost.histograms('request_seconds') h, unnest(h.lower, h.upper, h.counts) b(lower, upper, n);

-- Columns of n integers each, one after the other.
CREATE FUNCTION watchpost.decode_integers(body bytea, INOUT p int, n int, n_columns int, OUT vals bigint[])
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    b     int;
    s     int;
    v     bigint;
    kind  int;
    m     bigint;
    delta bigint;
    at    int := 0;
BEGIN
    vals := array_fill(0::bigint, ARRAY[n * n_columns]);
    FOR c IN 1..n_columns LOOP
        kind := 0;
        IF n > 1 THEN
            kind := get_byte(body, p); p := p + 1;
        END IF;
        delta := 0;
        FOR j IN 1..n LOOP
            IF j = 1 OR kind > 0 THEN
                b := get_byte(body, p); p := p + 1; v := b & 127; s := 7;
                WHILE b > 127 LOOP b := get_byte(body, p); p := p + 1; v := v | ((b & 127)::bigint << s); s := s + 7; END LOOP;
                v := ((v >> 1) & 9223372036854775807) # (-(v & 1));
                IF j = 1 THEN
                    m := v;
                ELSIF kind = 2 THEN
                    delta := delta + v;
                    m := m + delta;
                ELSE
                    m := m + v;
                END IF;
            END IF;
            at := at + 1;
            IF m <> 0 THEN
                vals[at] := m;
            END IF;
        END LOOP;
    END LOOP;
END
$$;

-- Columns of n floats each, one after the other. `bits` has those that are stored as bits.
CREATE FUNCTION watchpost.decode_floats(
    body bytea, INOUT p int, n int, n_columns int, OUT vals float8[], OUT bits bigint[]
)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT max(c.p) FILTER (WHERE c.i = 0),
           coalesce(array_agg(u.m / c.power ORDER BY c.i, u.at) FILTER (WHERE c.i > 0), '{}'),
           coalesce(array_agg(u.bits ORDER BY c.i, u.at) FILTER (WHERE c.i > 0), '{}')
      FROM watchpost.decode_chunks(
               decode_floats.body, decode_floats.p, array_fill(decode_floats.n, ARRAY[decode_floats.n_columns]),
               array_fill(1, ARRAY[decode_floats.n_columns]), array_fill(decode_floats.n, ARRAY[decode_floats.n_columns])) c
      LEFT JOIN LATERAL unnest(c.mantissas, c.bits) WITH ORDINALITY u (m, bits, at) ON true;
END;

-- Where bucket `index` of an exponential histogram ends: 2^(index * 2^-schema). The last bucket ends at the largest float.
CREATE FUNCTION watchpost.histogram_bound(schema int, index int) RETURNS float8
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
AS $$
DECLARE
    exponent float8 := index * power(2::float8, -schema);
BEGIN
    RETURN CASE WHEN exponent > 1024 THEN 'Infinity'::float8
                WHEN exponent = 1024 THEN 1.7976931348623157e308
                WHEN exponent < -1074 THEN 0
                -- Scaling by a power of two is exact; in two steps, because 2^-1074 alone is no normal number.
                WHEN exponent < -1000 THEN power(2::float8, exponent + 100) * 7.888609052210118e-31
                ELSE power(2::float8, exponent - floor(exponent)) * power(2::float8, floor(exponent)) END;
END
$$;

-- One layout at `p`: `lower` and `upper` are the bounds of all buckets from the lowest to the highest, the zero bucket of
-- exponential ones included; `cell_of` says which count of a histogram (0 its count, 1 its zero count) each of them has.
CREATE FUNCTION watchpost.decode_histogram_layout(
    body bytea, INOUT p int, OUT is_float boolean, OUT schema int, OUT zero_threshold float8,
    OUT lower float8[], OUT upper float8[], OUT cell_of int[], OUT n_cells int
)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    flags    int := get_byte(body, p);
    v        bigint;
    n        int;
    index    int;
    at       int := 0;
    raw      bigint := 0;
    indexes  int[] := '{}';
    n_positive int;
    bounds   float8[] := '{}';
BEGIN
    p := p + 1;
    is_float := flags & 1 = 1;
    SELECT d.p, watchpost.unzigzag(d.v) INTO p, schema FROM watchpost.decode_varint(body, p) d;
    zero_threshold := 0;
    IF (flags >> 4) & 3 = 1 THEN
        SELECT d.p, power(2::float8, watchpost.unzigzag(d.v)::float8) INTO p, zero_threshold FROM watchpost.decode_varint(body, p) d;
    ELSIF (flags >> 4) & 3 = 2 THEN
        FOR k IN 0..7 LOOP
            raw := raw | (get_byte(body, p + k)::bigint << (8 * k));
        END LOOP;
        p := p + 8;
        zero_threshold := watchpost.float8_from_bits(raw);
    END IF;
    -- The indexes of all positive buckets, then of all negative ones.
    FOR side IN 1..(CASE WHEN flags & 2 <> 0 THEN 2 ELSE 1 END) LOOP
        SELECT d.p, d.v INTO p, n FROM watchpost.decode_varint(body, p) d;
        index := 0;
        FOR i IN 1..n LOOP
            SELECT d.p, d.v INTO p, v FROM watchpost.decode_varint(body, p) d;
            index := index + watchpost.unzigzag(v)::int;
            SELECT d.p, d.v INTO p, v FROM watchpost.decode_varint(body, p) d;
            FOR j IN 1..v LOOP
                at := at + 1; indexes[at] := index; index := index + 1;
            END LOOP;
        END LOOP;
        IF side = 1 THEN
            n_positive := at;
        END IF;
    END LOOP;
    n_cells := at + 2;
    IF flags & 4 <> 0 THEN
        SELECT d.p, d.v INTO p, n FROM watchpost.decode_varint(body, p) d;
        SELECT d.p, d.vals INTO p, bounds FROM watchpost.decode_floats(body, p, n, 1) d;
    END IF;
    lower := '{}'; upper := '{}'; cell_of := '{}'; n := 0;
    IF schema = -53 THEN
        -- Index 0 ends at the first bound; the one behind the last bound has no end.
        FOR i IN 1..n_positive LOOP
            lower[i] := CASE WHEN indexes[i] = 0 THEN '-Infinity' ELSE coalesce(bounds[indexes[i]], 'Infinity') END;
            upper[i] := coalesce(bounds[indexes[i] + 1], 'Infinity');
            cell_of[i] := i + 1;
        END LOOP;
        RETURN;
    END IF;
    FOR i IN REVERSE at..n_positive + 1 LOOP
        n := n + 1;
        lower[n] := -watchpost.histogram_bound(schema, indexes[i]);
        upper[n] := -watchpost.histogram_bound(schema, indexes[i] - 1);
        cell_of[n] := i + 1;
    END LOOP;
    n := n + 1;
    lower[n] := -zero_threshold; upper[n] := zero_threshold; cell_of[n] := 1;
    FOR i IN 1..n_positive LOOP
        n := n + 1;
        lower[n] := watchpost.histogram_bound(schema, indexes[i] - 1);
        upper[n] := watchpost.histogram_bound(schema, indexes[i]);
        cell_of[n] := i + 1;
    END LOOP;
END
$$;

-- One chunk of n histograms at `p`; `index` counts them from 1.
CREATE FUNCTION watchpost.decode_histogram_chunk(body bytea, p int, n int)
RETURNS TABLE (
    index int, start_ts bigint, reset_hint int, schema int, zero_threshold float8, count float8, sum float8, sum_bits bigint,
    zero_count float8, lower float8[], upper float8[], counts float8[]
)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    n_layouts int;
    layouts   record;
    -- Where the layout of each number begins, and the number of each histogram's.
    layout_at int[] := '{}';
    number_of int[];
    v         bigint;
    number    int;
    at        int := 0;
    k         int;
    row_of    int;
    hints     bigint[];
    starts    bigint[];
    sums      float8[];
    sums_bits bigint[];
    integers  bigint[];
    floats    float8[];
BEGIN
    SELECT d.p, d.v INTO p, n_layouts FROM watchpost.decode_varint(body, p) d;
    FOR l IN 1..n_layouts LOOP
        layout_at[l] := p;
        SELECT d.p INTO p FROM watchpost.decode_histogram_layout(body, p) d;
    END LOOP;
    number_of := array_fill(1, ARRAY[n]);
    WHILE n_layouts > 1 AND at < n LOOP
        SELECT d.p, d.v + 1 INTO p, number FROM watchpost.decode_varint(body, p) d;
        SELECT d.p, d.v INTO p, v FROM watchpost.decode_varint(body, p) d;
        FOR i IN 1..v LOOP
            at := at + 1; number_of[at] := number;
        END LOOP;
    END LOOP;
    FOR l IN 1..n_layouts LOOP
        SELECT * INTO layouts FROM watchpost.decode_histogram_layout(body, layout_at[l]) d;
        k := cardinality(array_positions(number_of, l));
        SELECT d.p, d.vals INTO p, hints FROM watchpost.decode_integers(body, p, k, 1) d;
        SELECT d.p, d.vals INTO p, starts FROM watchpost.decode_integers(body, p, k, 1) d;
        SELECT d.p, d.vals, d.bits INTO p, sums, sums_bits FROM watchpost.decode_floats(body, p, k, 1) d;
        IF layouts.is_float THEN
            SELECT d.p, d.vals INTO p, floats FROM watchpost.decode_floats(body, p, k, layouts.n_cells) d;
        ELSE
            SELECT d.p, d.vals INTO p, integers FROM watchpost.decode_integers(body, p, k, layouts.n_cells) d;
            floats := integers::float8[];
        END IF;
        schema := layouts.schema; zero_threshold := layouts.zero_threshold;
        lower := layouts.lower; upper := layouts.upper;
        row_of := 0;
        FOR i IN 1..n LOOP
            CONTINUE WHEN number_of[i] <> l;
            row_of := row_of + 1;
            index := i;
            start_ts := nullif(starts[row_of], 0); reset_hint := hints[row_of];
            sum := sums[row_of]; sum_bits := sums_bits[row_of];
            count := floats[row_of]; zero_count := floats[k + row_of];
            counts := '{}';
            FOR b IN 1..cardinality(layouts.cell_of) LOOP
                counts[b] := floats[layouts.cell_of[b] * k + row_of];
            END LOOP;
            RETURN NEXT;
        END LOOP;
    END LOOP;
END
$$;

-- The chunks of groups of histograms that start at the given offsets.
CREATE FUNCTION watchpost.histogram_chunks(body bytea, starts int[], wanted bigint[])
RETURNS TABLE (series_id bigint, p int, vector int)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    v        bigint;
    n_chunks int;
    at       int;
    id       bigint;
    ids      bigint[];
    vectors  int[];
    lengths  int[];
BEGIN
    FOREACH at IN ARRAY starts LOOP
        SELECT d.p, d.v INTO at, n_chunks FROM watchpost.decode_varint(body, at) d;
        SELECT d.p, d.vals INTO at, ids FROM watchpost.decode_unsigned(body, at, n_chunks) d;
        SELECT d.p, d.vals INTO at, vectors FROM watchpost.decode_unsigned(body, at, n_chunks) d;
        SELECT d.p, d.vals INTO at, lengths FROM watchpost.decode_unsigned(body, at, n_chunks) d;
        id := 0;
        FOR i IN 1..n_chunks LOOP
            id := id + ids[i];
            IF wanted IS NULL OR id = ANY (wanted) THEN
                series_id := id;
                p := at;
                vector := vectors[i] + 1;
                RETURN NEXT;
            END IF;
            at := at + lengths[i];
        END LOOP;
    END LOOP;
END
$$;

-- The histograms of groups that start at the given offsets.
CREATE FUNCTION watchpost.decode_histograms(
    body bytea, starts int[],
    firsts bigint[], steps bigint[], lens int[], ends int[], irregular bigint[], wanted bigint[]
)
RETURNS TABLE (
    series_id bigint, ts bigint, start_ts bigint, reset_hint int, schema int, zero_threshold float8, count float8,
    sum float8, sum_bits bigint, zero_count float8, lower float8[], upper float8[], counts float8[]
)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT c.series_id,
           CASE WHEN decode_histograms.steps[c.vector] = 0
                THEN decode_histograms.irregular[decode_histograms.ends[c.vector] + h.index]
                ELSE decode_histograms.firsts[c.vector] + (h.index - 1) * decode_histograms.steps[c.vector] END,
           h.start_ts, h.reset_hint, h.schema, h.zero_threshold, h.count, h.sum, h.sum_bits, h.zero_count,
           h.lower, h.upper, h.counts
      FROM watchpost.histogram_chunks(decode_histograms.body, decode_histograms.starts, decode_histograms.wanted) c,
           watchpost.decode_histogram_chunk(decode_histograms.body, c.p, decode_histograms.lens[c.vector]) h;
END;

-- Where the histograms begin, behind the group of floats at `p`. Null if there are none before `group_end`.
CREATE FUNCTION watchpost.skip_floats(body bytea, p int, group_end int, lens int[]) RETURNS int
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    n_series int;
    vectors  bigint[];
BEGIN
    SELECT d.p, d.v INTO p, n_series FROM watchpost.decode_varint(body, p) d;
    SELECT d.p INTO p FROM watchpost.decode_unsigned(body, p, n_series) d;
    SELECT d.p, d.vals INTO p, vectors FROM watchpost.decode_unsigned(body, p, n_series) d;
    -- Nothing is given out of any chunk.
    SELECT c.p INTO p
      FROM watchpost.decode_chunks(body, p, ARRAY(SELECT lens[v.v + 1] FROM unnest(vectors) WITH ORDINALITY v (v, at) ORDER BY v.at),
                                   array_fill(1, ARRAY[n_series]), array_fill(0, ARRAY[n_series])) c;
    RETURN CASE WHEN p < group_end THEN p END;
END
$$;

-- The histograms of some packs in one batch.
CREATE FUNCTION watchpost.batch_histograms(batch bytea, packs int[], wanted bigint[] DEFAULT NULL)
RETURNS TABLE (
    series_id bigint, ts bigint, start_ts bigint, reset_hint int, schema int, zero_threshold float8, count float8,
    sum float8, sum_bits bigint, zero_count float8, lower float8[], upper float8[], counts float8[]
)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    -- Flat: every look into a compressed value would decompress all of it.
    body   bytea := batch || ''::bytea;
    p      int := 1;
    head   record;
    starts int[];
BEGIN
    IF get_byte(body, 0) <> 1 THEN
        RAISE EXCEPTION 'batch format % is unknown to this version of the schema', get_byte(body, 0);
    END IF;
    SELECT d.p INTO p FROM watchpost.decode_varint(body, p) d;
    SELECT * INTO head FROM watchpost.decode_vectors(body, p);
    starts := ARRAY(SELECT b.at
                      FROM (SELECT watchpost.skip_floats(body, d.group_start, d.group_end, head.lens) AS at
                              FROM watchpost.decode_directory(body, head.p, packs) d) b
                     WHERE b.at IS NOT NULL);
    RETURN QUERY SELECT * FROM watchpost.decode_histograms(
        body, starts, head.firsts, head.steps, head.lens, head.ends, head.times, wanted);
END
$$;

-- The histograms of one block.
CREATE FUNCTION watchpost.block_histograms(block bytea, wanted bigint[] DEFAULT NULL)
RETURNS TABLE (
    series_id bigint, ts bigint, start_ts bigint, reset_hint int, schema int, zero_threshold float8, count float8,
    sum float8, sum_bits bigint, zero_count float8, lower float8[], upper float8[], counts float8[]
)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    body bytea := block || ''::bytea;
    p    int;
    head record;
BEGIN
    IF get_byte(body, 0) <> 1 THEN
        RAISE EXCEPTION 'block format % is unknown to this version of the schema', get_byte(body, 0);
    END IF;
    SELECT * INTO head FROM watchpost.decode_vectors(body, 1);
    p := watchpost.skip_floats(body, head.p, length(body), head.lens);
    IF p IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY SELECT * FROM watchpost.decode_histograms(
        body, ARRAY[p], head.firsts, head.steps, head.lens, head.ends, head.times, wanted);
END
$$;

-- The native histograms of a metric whose labels contain `matchers`, with from <= time <= to, in order of series and time.
-- Bucket i holds counts[i] observations between lower[i] and upper[i]; the zero bucket is one of them. `start` is when
-- counting began, where that is known. Staleness markers are left out.
CREATE FUNCTION watchpost.histograms(
    metric   text,
    matchers jsonb DEFAULT '{}',
    "from"   timestamptz DEFAULT '-infinity',
    "to"     timestamptz DEFAULT 'infinity'
) RETURNS TABLE (
    series_id bigint, labels jsonb, ts timestamptz, count float8, sum float8, schema int, zero_threshold float8,
    zero_count float8, lower float8[], upper float8[], counts float8[], reset_hint text, start timestamptz
)
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
DECLARE
    wanted_metric int;
    wanted        bigint[];
    packs         int[];
    from_ms       bigint := watchpost.to_ms("from");
    to_ms         bigint := watchpost.to_ms("to");
BEGIN
    SELECT m.id INTO wanted_metric FROM watchpost.metric m WHERE m.name = metric;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT coalesce(array_agg(s.id ORDER BY s.id), '{}'), coalesce(array_agg(DISTINCT s.pack), '{}')
      INTO wanted, packs
      FROM watchpost.series s WHERE s.metric_id = wanted_metric AND s.labels @> matchers;
    RETURN QUERY
    SELECT o.series_id, s.labels, to_timestamp(o.ts / 1000.0), o.count, o.sum, o.schema, o.zero_threshold, o.zero_count,
           o.lower, o.upper, o.counts,
           (ARRAY['unknown', 'yes', 'no', 'gauge'])[o.reset_hint + 1], to_timestamp(o.start_ts / 1000.0)
      FROM (
        -- Of two for one time, the one that was committed first.
        SELECT DISTINCT ON (d.series_id, d.ts) d.*
          FROM (
            SELECT b.age, b.ord, b.ord2, b.writer, h.*
              FROM watchpost.live_block b, watchpost.block_histograms(b.body, wanted) h
             WHERE b.pack = ANY (packs) AND b.t_min <= to_ms AND b.t_max >= from_ms
            UNION ALL
            SELECT 3, b.bucket, (b.writer::bigint << 40) | b.seq, b.writer, h.*
              FROM watchpost.batch b
              JOIN watchpost.writer w ON w.id = b.writer AND b.seq > w.flushed_seq,
                   watchpost.batch_histograms(b.body, packs, wanted) h
             WHERE b.t_min <= to_ms AND b.t_max >= from_ms
          ) d
         WHERE d.ts BETWEEN from_ms AND to_ms
           AND NOT EXISTS (
               SELECT FROM watchpost.deletion x
                WHERE x.done_at IS NULL AND d.ts BETWEEN x.t_from AND x.t_to AND d.series_id = ANY (x.series_ids)
                  AND CASE WHEN d.age < 2 THEN d.ord <= x.job
                           -- The lower 40 bits: the batch's number.
                           ELSE (d.ord2 & 1099511627775) <= x.seqs[array_position(x.writers, d.writer)] END)
         ORDER BY d.series_id, d.ts, d.age, d.ord, d.ord2
      ) o
      JOIN watchpost.series s ON s.id = o.series_id
     -- 0x7ff0000000000002, the marker's bits
     WHERE o.sum_bits IS DISTINCT FROM 9218868437227405314
     ORDER BY o.series_id, o.ts;
END
$$;

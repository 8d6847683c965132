-- The formats in plain SQL: no extension, any stock server runs this. They are described in receiver/docs/format/.

-- The float of these 64 bits. PostgreSQL has no cast for it, and knows a single NaN.
CREATE FUNCTION watchpost.float8_from_bits(bits bigint) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
RETURN CASE
    WHEN (bits >> 52) & 2047 = 2047 THEN
        CASE WHEN bits & 4503599627370495 <> 0 THEN 'NaN'::float8
             WHEN bits < 0 THEN '-Infinity'::float8
             ELSE 'Infinity'::float8 END
    -- Subnormals and zeros; a negative zero has to be spelt out.
    WHEN (bits >> 52) & 2047 = 0 THEN
        CASE WHEN bits & 4503599627370495 = 0 AND bits < 0 THEN '-0'::float8
             ELSE sign(bits::float8 + 0.5) * (bits & 4503599627370495)::float8 * 4.9406564584124654e-324::float8 END
    -- Both factors are exact, and so is their product.
    ELSE (CASE WHEN bits < 0 THEN -1 ELSE 1 END)
         * ((bits & 4503599627370495) | 4503599627370496)::float8
         * power(2::float8, (((bits >> 52) & 2047) - 1075)::float8)
END;

-- The 64 bits of a float.
CREATE FUNCTION watchpost.float8_to_bits(value float8) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
RETURN ('x' || encode(float8send(value), 'hex'))::bit(64)::bigint;

-- Decodes groups of series that start at the given offsets of `body`. `times` holds the timestamp vectors, one after
-- the other; `time_ends` says where each ends. `wanted`: only these series, or all if null. `bits` is null where `value`
-- has them all, which is nearly always; it is set for values that are stored as bits, of which some (staleness markers)
-- are NaNs that SQL cannot tell apart.
CREATE FUNCTION watchpost.decode_groups(body bytea, starts int[], times bigint[], time_ends int[], wanted bigint[])
RETURNS TABLE (series_id bigint, ts bigint, value float8, bits bigint)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    p          int;       -- the next byte
    b          int;       -- that byte
    s          int;       -- how far it is shifted
    v          bigint;    -- a varint
    n_series   int;
    ids        bigint[];
    vectors    int[];
    id         bigint;
    t_at       int;       -- before the first timestamp of the series
    n          int;       -- its samples
    kind       int;
    keep       boolean;
    power      float8;
    mantissa   bigint;
    delta      bigint;
    n_odd      int;       -- exceptions
    odd_at     int[];
    odd_bits   bigint[];
    odd_next   int;
    raw        bigint;
    shift      int;
BEGIN
    FOREACH p IN ARRAY starts LOOP
        b := get_byte(body, p); p := p + 1; v := b & 127; s := 7;
        WHILE b > 127 LOOP b := get_byte(body, p); p := p + 1; v := v | ((b & 127)::bigint << s); s := s + 7; END LOOP;
        n_series := v;
        ids := '{}'; vectors := '{}'; id := 0;
        FOR i IN 1..n_series LOOP
            b := get_byte(body, p); p := p + 1; v := b & 127; s := 7;
            WHILE b > 127 LOOP b := get_byte(body, p); p := p + 1; v := v | ((b & 127)::bigint << s); s := s + 7; END LOOP;
            id := id + v;
            ids[i] := id;
        END LOOP;
        FOR i IN 1..n_series LOOP
            b := get_byte(body, p); p := p + 1; v := b & 127; s := 7;
            WHILE b > 127 LOOP b := get_byte(body, p); p := p + 1; v := v | ((b & 127)::bigint << s); s := s + 7; END LOOP;
            vectors[i] := v;
        END LOOP;
        FOR i IN 1..n_series LOOP
            series_id := ids[i];
            keep := wanted IS NULL OR series_id = ANY (wanted);
            t_at := CASE WHEN vectors[i] = 0 THEN 0 ELSE time_ends[vectors[i]] END;
            n := time_ends[vectors[i] + 1] - t_at;
            b := get_byte(body, p); p := p + 1;
            IF b >= 128 THEN
                -- A kind of chunk that is no float: its length follows.
                b := get_byte(body, p); p := p + 1; v := b & 127; s := 7;
                WHILE b > 127 LOOP b := get_byte(body, p); p := p + 1; v := v | ((b & 127)::bigint << s); s := s + 7; END LOOP;
                p := p + v::int;
                CONTINUE;
            END IF;
            kind := (b >> 4) & 3;
            IF kind = 3 THEN
                raw := 0;
                FOR j IN 0..7 LOOP
                    raw := raw | (get_byte(body, p + j)::bigint << (8 * j));
                END LOOP;
                p := p + 8;
                FOR j IN 1..n LOOP
                    IF j > 1 THEN
                        b := get_byte(body, p); p := p + 1;
                        shift := (b >> 4) * 8;
                        FOR k IN 1..(b & 15) LOOP
                            raw := raw # (get_byte(body, p)::bigint << shift);
                            p := p + 1; shift := shift + 8;
                        END LOOP;
                    END IF;
                    IF keep THEN
                        ts := times[t_at + j];
                        bits := raw;
                        value := watchpost.float8_from_bits(raw);
                        RETURN NEXT;
                    END IF;
                END LOOP;
                CONTINUE;
            END IF;
            power := 10::float8 ^ (b & 15);
            n_odd := 0; odd_next := 0;
            IF b & 64 <> 0 THEN
                b := get_byte(body, p); p := p + 1; v := b & 127; s := 7;
                WHILE b > 127 LOOP b := get_byte(body, p); p := p + 1; v := v | ((b & 127)::bigint << s); s := s + 7; END LOOP;
                n_odd := v; odd_at := '{}'; odd_bits := '{}'; shift := 0;
                FOR j IN 1..n_odd LOOP
                    b := get_byte(body, p); p := p + 1; v := b & 127; s := 7;
                    WHILE b > 127 LOOP b := get_byte(body, p); p := p + 1; v := v | ((b & 127)::bigint << s); s := s + 7; END LOOP;
                    shift := shift + v::int;
                    odd_at[j] := shift;
                    raw := 0;
                    FOR k IN 0..7 LOOP
                        raw := raw | (get_byte(body, p + k)::bigint << (8 * k));
                    END LOOP;
                    p := p + 8;
                    odd_bits[j] := raw;
                END LOOP;
                odd_next := 1;
            END IF;
            b := get_byte(body, p); p := p + 1; v := b & 127; s := 7;
            WHILE b > 127 LOOP b := get_byte(body, p); p := p + 1; v := v | ((b & 127)::bigint << s); s := s + 7; END LOOP;
            mantissa := ((v >> 1) & 9223372036854775807) # (-(v & 1));
            delta := 0;
            bits := NULL;
            FOR j IN 1..n LOOP
                IF j > 1 AND kind > 0 THEN
                    b := get_byte(body, p); p := p + 1; v := b & 127;
                    IF b > 127 THEN
                        s := 7;
                        WHILE b > 127 LOOP b := get_byte(body, p); p := p + 1; v := v | ((b & 127)::bigint << s); s := s + 7; END LOOP;
                    END IF;
                    v := ((v >> 1) & 9223372036854775807) # (-(v & 1));
                    IF kind = 2 THEN
                        delta := delta + v;
                        mantissa := mantissa + delta;
                    ELSE
                        mantissa := mantissa + v;
                    END IF;
                END IF;
                IF keep THEN
                    ts := times[t_at + j];
                    IF odd_next BETWEEN 1 AND n_odd AND odd_at[odd_next] = j - 1 THEN
                        bits := odd_bits[odd_next];
                        value := watchpost.float8_from_bits(bits);
                        odd_next := odd_next + 1;
                        RETURN NEXT;
                        bits := NULL;
                    ELSE
                        value := mantissa / power;
                        RETURN NEXT;
                    END IF;
                END IF;
            END LOOP;
        END LOOP;
    END LOOP;
END
$$;

-- The header that batches and blocks share, from the base timestamp at `p` on: all timestamps, where each vector ends, and
-- the offset of what follows.
CREATE FUNCTION watchpost.decode_times(
    body bytea, INOUT p int, OUT times bigint[], OUT time_ends int[]
)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    b         int;
    s         int;
    v         bigint;
    base      bigint;
    n_vectors int;
    n_times   int := 0;
    left_over int;
    t         bigint;
    step      bigint;
BEGIN
    times := '{}'; time_ends := '{}';
    b := get_byte(body, p); p := p + 1; v := b & 127; s := 7;
    WHILE b > 127 LOOP b := get_byte(body, p); p := p + 1; v := v | ((b & 127)::bigint << s); s := s + 7; END LOOP;
    base := ((v >> 1) & 9223372036854775807) # (-(v & 1));
    b := get_byte(body, p); p := p + 1; v := b & 127; s := 7;
    WHILE b > 127 LOOP b := get_byte(body, p); p := p + 1; v := v | ((b & 127)::bigint << s); s := s + 7; END LOOP;
    n_vectors := v;
    FOR i IN 1..n_vectors LOOP
        -- Length, first timestamp, then runs of (step, how often).
        b := get_byte(body, p); p := p + 1; v := b & 127; s := 7;
        WHILE b > 127 LOOP b := get_byte(body, p); p := p + 1; v := v | ((b & 127)::bigint << s); s := s + 7; END LOOP;
        left_over := v - 1;
        b := get_byte(body, p); p := p + 1; v := b & 127; s := 7;
        WHILE b > 127 LOOP b := get_byte(body, p); p := p + 1; v := v | ((b & 127)::bigint << s); s := s + 7; END LOOP;
        t := base + v;
        n_times := n_times + 1; times[n_times] := t;
        WHILE left_over > 0 LOOP
            b := get_byte(body, p); p := p + 1; v := b & 127; s := 7;
            WHILE b > 127 LOOP b := get_byte(body, p); p := p + 1; v := v | ((b & 127)::bigint << s); s := s + 7; END LOOP;
            step := v;
            b := get_byte(body, p); p := p + 1; v := b & 127; s := 7;
            WHILE b > 127 LOOP b := get_byte(body, p); p := p + 1; v := v | ((b & 127)::bigint << s); s := s + 7; END LOOP;
            left_over := left_over - v::int;
            FOR j IN 1..v LOOP
                t := t + step;
                n_times := n_times + 1; times[n_times] := t;
            END LOOP;
        END LOOP;
        time_ends[i] := n_times;
    END LOOP;
END
$$;

-- The samples of some packs in one batch.
CREATE FUNCTION watchpost.batch_samples(batch bytea, packs int[], wanted bigint[] DEFAULT NULL)
RETURNS TABLE (series_id bigint, ts bigint, value float8, bits bigint)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    -- Flat: every look into a compressed value would decompress all of it.
    body      bytea := batch || ''::bytea;
    p         int := 1;
    b         int;
    s         int;
    v         bigint;
    times     bigint[];
    time_ends int[];
    pack      int := 0;
    n_groups  int;
    at        int := 0;
    starts    int[] := '{}';
    start_of  int[] := '{}';
BEGIN
    IF get_byte(body, 0) <> 1 THEN
        RAISE EXCEPTION 'batch format % is unknown to this version of the schema', get_byte(body, 0);
    END IF;
    -- The number of samples, which is a column as well.
    WHILE get_byte(body, p) > 127 LOOP p := p + 1; END LOOP;
    p := p + 1;
    SELECT t.p, t.times, t.time_ends INTO p, times, time_ends FROM watchpost.decode_times(body, p) t;
    b := get_byte(body, p); p := p + 1; v := b & 127; s := 7;
    WHILE b > 127 LOOP b := get_byte(body, p); p := p + 1; v := v | ((b & 127)::bigint << s); s := s + 7; END LOOP;
    n_groups := v;
    FOR i IN 1..n_groups LOOP
        -- Pack (a step), length.
        b := get_byte(body, p); p := p + 1; v := b & 127; s := 7;
        WHILE b > 127 LOOP b := get_byte(body, p); p := p + 1; v := v | ((b & 127)::bigint << s); s := s + 7; END LOOP;
        pack := pack + v::int;
        b := get_byte(body, p); p := p + 1; v := b & 127; s := 7;
        WHILE b > 127 LOOP b := get_byte(body, p); p := p + 1; v := v | ((b & 127)::bigint << s); s := s + 7; END LOOP;
        IF pack = ANY (packs) THEN
            start_of := start_of || at;
        END IF;
        at := at + v::int;
    END LOOP;
    FOREACH at IN ARRAY start_of LOOP
        starts := starts || (p + at);
    END LOOP;
    RETURN QUERY SELECT * FROM watchpost.decode_groups(body, starts, times, time_ends, wanted);
END
$$;

-- The samples of one block.
CREATE FUNCTION watchpost.block_samples(block bytea, wanted bigint[] DEFAULT NULL)
RETURNS TABLE (series_id bigint, ts bigint, value float8, bits bigint)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    body      bytea := block || ''::bytea;
    p         int;
    times     bigint[];
    time_ends int[];
BEGIN
    IF get_byte(body, 0) <> 1 THEN
        RAISE EXCEPTION 'block format % is unknown to this version of the schema', get_byte(body, 0);
    END IF;
    SELECT t.p, t.times, t.time_ends INTO p, times, time_ends FROM watchpost.decode_times(body, 1) t;
    RETURN QUERY SELECT * FROM watchpost.decode_groups(body, ARRAY[p], times, time_ends, wanted);
END
$$;

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

-- An unsigned varint at `p`, and what follows it. Loops that matter read theirs without it, for speed.
CREATE FUNCTION watchpost.decode_varint(body bytea, INOUT p int, OUT v bigint)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    b int;
    s int := 7;
BEGIN
    b := get_byte(body, p); p := p + 1; v := b & 127;
    WHILE b > 127 LOOP b := get_byte(body, p); p := p + 1; v := v | ((b & 127)::bigint << s); s := s + 7; END LOOP;
END
$$;

-- A signed one.
CREATE FUNCTION watchpost.unzigzag(v bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
RETURN ((v >> 1) & 9223372036854775807) # (-(v & 1));

-- n unsigned varints.
CREATE FUNCTION watchpost.decode_unsigned(body bytea, INOUT p int, n int, OUT vals bigint[])
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    b int;
    s int;
    v bigint;
BEGIN
    vals := '{}';
    FOR i IN 1..n LOOP
        b := get_byte(body, p); p := p + 1; v := b & 127; s := 7;
        WHILE b > 127 LOOP b := get_byte(body, p); p := p + 1; v := v | ((b & 127)::bigint << s); s := s + 7; END LOOP;
        vals[i] := v;
    END LOOP;
END
$$;

-- The timestamp vectors of a batch or block, from the base timestamp at `p` on, and the offset of what follows. A vector
-- of one step is `lens[i]` times from `firsts[i]` on; others have step 0 and lie in `times` after `ends[i]`.
CREATE FUNCTION watchpost.decode_vectors(
    body bytea, INOUT p int,
    OUT firsts bigint[], OUT steps bigint[], OUT lens int[], OUT ends int[], OUT times bigint[]
)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    b         int;
    s         int;
    v         bigint;
    base      bigint;
    n_vectors int;
    n         int;
    n_times   int := 0;
    left_over int;
    t         bigint;
    step      bigint;
BEGIN
    firsts := '{}'; steps := '{}'; lens := '{}'; ends := '{}'; times := '{}';
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
        n := v; left_over := n - 1; lens[i] := n;
        b := get_byte(body, p); p := p + 1; v := b & 127; s := 7;
        WHILE b > 127 LOOP b := get_byte(body, p); p := p + 1; v := v | ((b & 127)::bigint << s); s := s + 7; END LOOP;
        t := base + v; firsts[i] := t; steps[i] := 1; ends[i] := n_times;
        WHILE left_over > 0 LOOP
            b := get_byte(body, p); p := p + 1; v := b & 127; s := 7;
            WHILE b > 127 LOOP b := get_byte(body, p); p := p + 1; v := v | ((b & 127)::bigint << s); s := s + 7; END LOOP;
            step := v;
            b := get_byte(body, p); p := p + 1; v := b & 127; s := 7;
            WHILE b > 127 LOOP b := get_byte(body, p); p := p + 1; v := v | ((b & 127)::bigint << s); s := s + 7; END LOOP;
            IF v = n - 1 THEN
                -- One step all along, as scrapes have it.
                steps[i] := step;
                EXIT;
            END IF;
            IF left_over = n - 1 THEN
                steps[i] := 0;
                n_times := n_times + 1; times[n_times] := t;
            END IF;
            left_over := left_over - v::int;
            FOR j IN 1..v LOOP
                t := t + step;
                n_times := n_times + 1; times[n_times] := t;
            END LOOP;
        END LOOP;
    END LOOP;
END
$$;

-- n packed integers at `p`: as many bits each as say how far within a window it is, and patches for what is outside of it.
-- All of them are exact as floats, and so is every sum on the way. A statement costs some 50 ns whatever it does, so the
-- loops between patches have as few as possible.
CREATE FUNCTION watchpost.decode_packed(body bytea, INOUT p int, n int, OUT vals float8[])
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    b         int;        -- the byte at p
    s         int;        -- how far it is shifted
    v         bigint;     -- a varint
    head      bigint[] := '{}';
    first     float8;
    factor    float8;
    step      float8;     -- the lower end of the window
    differing int;        -- from the first, from the one before, or from the difference before
    width     int;
    span      float8;     -- the window
    behind    int;        -- the patches
    n_patches int := 0;
    gaps      int[] := '{}';
    aways     float8[] := '{}';
    bits      varbit;
    at        int := 1;   -- the next difference
    upto      int;        -- the last one before the next patch
    value     float8;
    delta     float8 := 0;
    d         float8;
BEGIN
    FOR k IN 1..5 LOOP
        b := get_byte(body, p); p := p + 1; v := b & 127; s := 7;
        -- The fourth is a plain byte: how differences are taken, and their width.
        IF k = 4 THEN
            differing := b >> 6; width := b & 63;
            CONTINUE;
        END IF;
        WHILE b > 127 LOOP b := get_byte(body, p); p := p + 1; v := v | ((b & 127)::bigint << s); s := s + 7; END LOOP;
        head[k] := CASE WHEN k IN (1, 3) THEN ((v >> 1) & 9223372036854775807) # (-(v & 1)) ELSE v END;
    END LOOP;
    first := head[1]; factor := head[2]; step := factor * head[3]; behind := p + head[5];
    WHILE p < behind LOOP
        b := get_byte(body, p); p := p + 1; v := b & 127;
        IF b > 127 THEN
            s := 7;
            WHILE b > 127 LOOP b := get_byte(body, p); p := p + 1; v := v | ((b & 127)::bigint << s); s := s + 7; END LOOP;
        END IF;
        n_patches := n_patches + 1;
        gaps[n_patches] := v >> 2;
        v := v & 3;
        IF v = 3 THEN
            -- It is far away.
            b := get_byte(body, p); p := p + 1; v := 3 + (b & 127); s := 7;
            WHILE b > 127 LOOP b := get_byte(body, p); p := p + 1; v := v + ((b & 127)::bigint << s); s := s + 7; END LOOP;
        END IF;
        v := v + 1;
        aways[n_patches] := ((v >> 1) & 9223372036854775807) # (-(v & 1));
    END LOOP;
    span := factor * power(2::float8, width);
    bits := ('x' || encode(substr(body, p + 1, ((n - 1) * width + 7) / 8), 'hex'))::varbit;
    p := p + ((n - 1) * width + 7) / 8;
    value := first;
    IF width = 0 AND differing = 1 AND step = 0 THEN
        -- Nothing but patches ever changes.
        vals := ARRAY[first];
        FOR patch IN 1..n_patches LOOP
            IF gaps[patch] > 0 THEN
                vals := vals || array_fill(value, ARRAY[gaps[patch]]);
            END IF;
            value := value + factor * aways[patch];
            vals := vals || value;
        END LOOP;
        vals := vals || array_fill(value, ARRAY[n - cardinality(vals)]);
        RETURN;
    END IF;
    vals := array_fill(first, ARRAY[n]);
    FOR patch IN 1..n_patches + 1 LOOP
        upto := CASE WHEN patch <= n_patches THEN at + gaps[patch] - 1 ELSE n - 1 END;
        IF differing = 1 AND factor = 1 THEN
            FOR j IN at..upto LOOP
                value := value + (step + substring(bits, j * width - width + 1, width)::int);
                vals[j + 1] := value;
            END LOOP;
        ELSIF differing = 1 THEN
            FOR j IN at..upto LOOP
                value := value + (step + factor * substring(bits, j * width - width + 1, width)::int);
                vals[j + 1] := value;
            END LOOP;
        ELSIF differing = 0 THEN
            FOR j IN at..upto LOOP
                vals[j + 1] := first + (step + factor * substring(bits, j * width - width + 1, width)::int);
            END LOOP;
        ELSE
            FOR j IN at..upto LOOP
                delta := delta + (step + factor * substring(bits, j * width - width + 1, width)::int);
                value := value + delta;
                vals[j + 1] := value;
            END LOOP;
        END IF;
        EXIT WHEN patch > n_patches;
        at := upto + 2;
        d := step + factor * substring(bits, (at - 2) * width + 1, width)::int + span * aways[patch];
        CASE differing
            WHEN 0 THEN value := first + d;
            WHEN 1 THEN value := value + d;
            ELSE delta := delta + d; value := value + delta;
        END CASE;
        vals[at] := value;
    END LOOP;
END
$$;

-- Decodes value chunks that follow one another from `p` on, the one place that knows how values are stored. Chunk i has
-- ns[i] values; those from los[i] to his[i] are given out, in a row unless there are none. Value j is mantissas[j] / power:
-- one IEEE division of two exact floats. `bits` is null where values have them all, which is nearly always; its elements
-- are set for values that are stored as bits, of which some (staleness markers) are NaNs that SQL cannot tell apart. The
-- last row has no mantissas and i = 0: `p` is where the bytes behind the chunks begin.
--
-- Together with decode_packed this is where nearly all time of a query goes: there are few statements for each sample, whole
-- arrays are filled and cut by functions in C, and three tricks look odd: a table of
-- zigzag-decoded bytes, bit_count over a mask of high bits to find out whether varints are longer than a byte, and
-- unlooped code for varints of up to three bytes.
CREATE FUNCTION watchpost.decode_chunks(body bytea, INOUT p int, ns int[], los int[], his int[],
    OUT i int, OUT mantissas float8[], OUT power float8, OUT bits bigint[])
RETURNS SETOF record
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 10000 ROWS 50
AS $$
DECLARE
    high      CONSTANT varbit := repeat('10000000', 512)::varbit;
    zigzag    CONSTANT float8[] := '{0,-1,1,-2,2,-3,3,-4,4,-5,5,-6,6,-7,7,-8,8,-9,9,-10,10,-11,11,-12,12,-13,13,-14,14,-15,
        15,-16,16,-17,17,-18,18,-19,19,-20,20,-21,21,-22,22,-23,23,-24,24,-25,25,-26,26,-27,27,
        -28,28,-29,29,-30,30,-31,31,-32,32,-33,33,-34,34,-35,35,-36,36,-37,37,-38,38,-39,39,-40,
        40,-41,41,-42,42,-43,43,-44,44,-45,45,-46,46,-47,47,-48,48,-49,49,-50,50,-51,51,-52,52,
        -53,53,-54,54,-55,55,-56,56,-57,57,-58,58,-59,59,-60,60,-61,61,-62,62,-63,63,-64}';
    header    int;
    b         int;        -- the byte at p, and those after it
    c         int;
    e         int;
    s         int;        -- how far it is shifted
    v         bigint;     -- a varint
    n         int;        -- values of the chunk
    lo        int;        -- the first and the last that is asked for
    hi        int;
    keep      boolean;
    kind      int;
    left_over int;
    width     int;
    m         float8;
    d         float8;
    mantissa  bigint;
    delta     bigint;
    n_odd     int;        -- exceptions
    odd_at    int[];
    odd_bits  bigint[];
    raw       bigint;
    shift     int;
BEGIN
    FOR chunk IN 1..cardinality(ns) LOOP
        i := chunk; n := ns[chunk]; lo := los[chunk]; hi := his[chunk];
        keep := lo <= hi;
        b := get_byte(body, p); p := p + 1;
        header := b;
        kind := (b >> 4) & 3;
        bits := NULL;
        IF header > 127 THEN
            -- The chunk's length.
            b := get_byte(body, p); p := p + 1; v := b & 127; s := 7;
            WHILE b > 127 LOOP b := get_byte(body, p); p := p + 1; v := v | ((b & 127)::bigint << s); s := s + 7; END LOOP;
            IF NOT keep OR kind > 1 THEN
                -- Not wanted, or of a kind that came later.
                p := p + v::int;
                CONTINUE;
            END IF;
        ELSIF kind = 3 THEN
            raw := 0;
            FOR j IN 0..7 LOOP
                raw := raw | (get_byte(body, p + j)::bigint << (8 * j));
            END LOOP;
            p := p + 8;
            IF keep THEN
                bits := array_fill(raw, ARRAY[n]);
            END IF;
            FOR j IN 2..n LOOP
                b := get_byte(body, p); p := p + 1;
                shift := (b >> 4) * 8;
                FOR k IN 1..(b & 15) LOOP
                    raw := raw # (get_byte(body, p)::bigint << shift);
                    p := p + 1; shift := shift + 8;
                END LOOP;
                IF keep THEN
                    bits[j] := raw;
                END IF;
            END LOOP;
            IF keep THEN
                bits := bits[lo:hi];
                mantissas := ARRAY(SELECT watchpost.float8_from_bits(u.u)
                                     FROM unnest(bits) WITH ORDINALITY u (u, o) ORDER BY u.o);
                power := 1;
                RETURN NEXT;
            END IF;
            CONTINUE;
        END IF;
        power := 10::float8 ^ (header & 15);
        n_odd := 0;
        IF header & 64 <> 0 THEN
            b := get_byte(body, p); p := p + 1; v := b & 127; s := 7;
            WHILE b > 127 LOOP b := get_byte(body, p); p := p + 1; v := v | ((b & 127)::bigint << s); s := s + 7; END LOOP;
            n_odd := v; odd_at := '{}'; odd_bits := '{}'; shift := 1;
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
        END IF;
        IF header > 127 THEN
            SELECT d.p, d.vals INTO p, mantissas FROM watchpost.decode_packed(body, p, n) d;
            IF kind = 1 THEN
                -- Noisy decimals: corrections in units of the last place. A number and a little more than half a unit is
                -- rounded to the next number.
                SELECT d.p, ARRAY(SELECT x.x + x.c * ((x.x + x.x * 1.1188968e-16) - x.x)
                                    FROM (SELECT u.m / power, u.c, u.at
                                            FROM unnest(mantissas, d.vals) WITH ORDINALITY u (m, c, at)) x (x, c, at)
                                   ORDER BY x.at)
                  INTO p, mantissas FROM watchpost.decode_packed(body, p, n) d;
                power := 1;
            END IF;
        ELSE
            b := get_byte(body, p); p := p + 1; v := b & 127; s := 7;
            WHILE b > 127 LOOP b := get_byte(body, p); p := p + 1; v := v | ((b & 127)::bigint << s); s := s + 7; END LOOP;
            mantissa := ((v >> 1) & 9223372036854775807) # (-(v & 1));
        END IF;
        IF NOT keep THEN
            -- As many bytes as there are steps, and one more for each that says that more follow.
            left_over := CASE WHEN kind = 0 THEN 0 ELSE n - 1 END;
            WHILE left_over > 0 LOOP
                width := least(left_over, 512);
                left_over := left_over - width + bit_count(
                    ('x' || encode(substr(body, p + 1, width), 'hex'))::varbit & substring(high FOR width * 8))::int;
                p := p + width;
            END LOOP;
            CONTINUE;
        END IF;
        IF header < 128 THEN
            mantissas := array_fill(mantissa::float8, ARRAY[n]);
        END IF;
        IF header < 128 AND kind > 0 AND n > 1 THEN
            -- The first step is often longer than the others.
            b := get_byte(body, p); p := p + 1; v := b & 127; s := 7;
            WHILE b > 127 LOOP b := get_byte(body, p); p := p + 1; v := v | ((b & 127)::bigint << s); s := s + 7; END LOOP;
            delta := ((v >> 1) & 9223372036854775807) # (-(v & 1));
            mantissa := mantissa + delta;
            mantissas[2] := mantissa;
            IF n BETWEEN 8 AND 514 AND bit_count(
                ('x' || encode(substr(body, p + 1, n - 2), 'hex'))::varbit & substring(high FOR (n - 2) * 8)) = 0
                AND abs(delta) < 4503599627370496
            THEN
                -- Nothing but steps of one byte, and all numbers are exact as floats.
                m := mantissa; d := delta;
                IF kind = 1 THEN
                    FOR j IN 3..n LOOP
                        m := m + zigzag[get_byte(body, p) + 1]; p := p + 1;
                        mantissas[j] := m;
                    END LOOP;
                ELSE
                    FOR j IN 3..n LOOP
                        d := d + zigzag[get_byte(body, p) + 1]; p := p + 1;
                        m := m + d;
                        mantissas[j] := m;
                    END LOOP;
                END IF;
            ELSE
                FOR j IN 3..n LOOP
                    b := get_byte(body, p);
                    IF b < 128 THEN
                        p := p + 1; v := (b >> 1) # (-(b & 1));
                    ELSE
                        c := get_byte(body, p + 1);
                        IF c < 128 THEN
                            p := p + 2; v := (((b & 127) | (c << 7)) >> 1) # (-(b & 1));
                        ELSE
                            e := get_byte(body, p + 2);
                            p := p + 3; v := (b & 127) | ((c & 127) << 7) | ((e & 127) << 14); s := 21;
                            WHILE e > 127 LOOP e := get_byte(body, p); p := p + 1; v := v | ((e & 127)::bigint << s); s := s + 7; END LOOP;
                            v := ((v >> 1) & 9223372036854775807) # (-(v & 1));
                        END IF;
                    END IF;
                    IF kind = 2 THEN
                        delta := delta + v;
                        mantissa := mantissa + delta;
                    ELSE
                        mantissa := mantissa + v;
                    END IF;
                    mantissas[j] := mantissa;
                END LOOP;
            END IF;
        END IF;
        IF n_odd > 0 THEN
            bits := array_fill(NULL::bigint, ARRAY[n]);
            mantissas := ARRAY(SELECT u.u / power FROM unnest(mantissas) WITH ORDINALITY u (u, o) ORDER BY u.o);
            power := 1;
            FOR j IN 1..n_odd LOOP
                bits[odd_at[j]] := odd_bits[j];
                mantissas[odd_at[j]] := watchpost.float8_from_bits(odd_bits[j]);
            END LOOP;
            bits := bits[lo:hi];
        END IF;
        IF hi - lo + 1 < n THEN
            mantissas := mantissas[lo:hi];
        END IF;
        RETURN NEXT;
    END LOOP;
    i := 0; mantissas := NULL; power := NULL; bits := NULL;
    RETURN NEXT;
END
$$;

-- Decodes groups of series that start at the given offsets of `body`, one row for each series that has samples with
-- from_ms <= time <= to_ms. `wanted`, in order: only these series, or all if null.
CREATE FUNCTION watchpost.decode_columns(
    body bytea, starts int[],
    firsts bigint[], steps bigint[], lens int[], ends int[], irregular bigint[],
    wanted bigint[], from_ms bigint, to_ms bigint
)
RETURNS TABLE (series_id bigint, times bigint[], mantissas float8[], power float8, bits bigint[])
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 10000 ROWS 50
AS $$
DECLARE
    p         int;        -- the next byte
    n_series  int;
    ids       bigint[];
    vectors   bigint[];
    id        bigint;
    vector    int;
    at_vector int;        -- whose times these are
    vector_lo int[];      -- the first and the last of each vector's that is asked for
    vector_hi int[];
    n         int;
    ns        int[];
    los       int[];
    his       int[];
    n_chunks  int;        -- up to the last one that is asked for
    chunk     record;
BEGIN
    vector_lo := '{}'; vector_hi := '{}';
    FOR i IN 1..cardinality(lens) LOOP
        n := lens[i];
        IF steps[i] = 0 THEN
            vector_lo[i] := width_bucket(from_ms, irregular[ends[i] + 1 : ends[i] + n]);
            -- Times that are the bound itself belong to it.
            IF vector_lo[i] = 0 OR irregular[ends[i] + vector_lo[i]] < from_ms THEN
                vector_lo[i] := vector_lo[i] + 1;
            END IF;
            vector_hi[i] := width_bucket(to_ms, irregular[ends[i] + 1 : ends[i] + n]);
        ELSE
            vector_lo[i] := CASE WHEN from_ms <= firsts[i] THEN 1
                                 WHEN from_ms > firsts[i] + (n - 1) * steps[i] THEN n + 1
                                 ELSE (from_ms - firsts[i] + steps[i] - 1) / steps[i] + 1 END;
            vector_hi[i] := CASE WHEN to_ms < firsts[i] THEN 0
                                 WHEN to_ms >= firsts[i] + (n - 1) * steps[i] THEN n
                                 ELSE (to_ms - firsts[i]) / steps[i] + 1 END;
        END IF;
    END LOOP;
    FOREACH p IN ARRAY starts LOOP
        SELECT d.p, d.v INTO p, n_series FROM watchpost.decode_varint(body, p) d;
        SELECT d.p, d.vals INTO p, ids FROM watchpost.decode_unsigned(body, p, n_series) d;
        SELECT d.p, d.vals INTO p, vectors FROM watchpost.decode_unsigned(body, p, n_series) d;
        id := 0; at_vector := 0; n_chunks := 0; ns := '{}'; los := '{}'; his := '{}';
        FOR i IN 1..n_series LOOP
            id := id + ids[i];
            ids[i] := id;
            vector := vectors[i] + 1;
            ns[i] := lens[vector]; los[i] := 1; his[i] := 0;
            IF wanted IS NULL OR coalesce(wanted[width_bucket(id, wanted)] = id, false) THEN
                los[i] := vector_lo[vector]; his[i] := vector_hi[vector];
                IF los[i] <= his[i] THEN
                    n_chunks := i;
                END IF;
            END IF;
        END LOOP;
        CONTINUE WHEN n_chunks = 0;
        FOR chunk IN SELECT * FROM watchpost.decode_chunks(body, p, ns[1:n_chunks], los, his) LOOP
            EXIT WHEN chunk.i = 0;
            vector := vectors[chunk.i] + 1;
            IF vector <> at_vector THEN
                at_vector := vector;
                IF steps[vector] = 0 THEN
                    times := irregular[ends[vector] + vector_lo[vector] : ends[vector] + vector_hi[vector]];
                ELSE
                    times := ARRAY(SELECT generate_series(
                        firsts[vector] + (vector_lo[vector] - 1) * steps[vector],
                        firsts[vector] + (vector_hi[vector] - 1) * steps[vector], steps[vector]));
                END IF;
            END IF;
            series_id := ids[chunk.i];
            mantissas := chunk.mantissas; power := chunk.power; bits := chunk.bits;
            RETURN NEXT;
        END LOOP;
    END LOOP;
END
$$;

-- The groups of some packs that a batch's directory at `p` tells of: where each begins, and where it ends.
CREATE FUNCTION watchpost.decode_directory(body bytea, p int, packs int[])
RETURNS TABLE (group_start int, group_end int)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    n_groups int;
    cells    bigint[];
    pack     int := 0;
BEGIN
    SELECT d.p, d.v INTO p, n_groups FROM watchpost.decode_varint(body, p) d;
    SELECT d.p, d.vals INTO p, cells FROM watchpost.decode_unsigned(body, p, 2 * n_groups) d;
    FOR i IN 1..n_groups LOOP
        pack := pack + cells[2 * i - 1]::int;
        group_start := p;
        p := p + cells[2 * i]::int;
        group_end := p;
        IF pack = ANY (packs) THEN
            RETURN NEXT;
        END IF;
    END LOOP;
END
$$;

-- The columns of one block.
CREATE FUNCTION watchpost.block_columns(block bytea, wanted bigint[], from_ms bigint, to_ms bigint)
RETURNS TABLE (series_id bigint, times bigint[], mantissas float8[], power float8, bits bigint[])
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 10000 ROWS 50
AS $$
DECLARE
    -- Flat: every look into a compressed value would decompress all of it.
    body bytea := block || ''::bytea;
    head record;
BEGIN
    IF get_byte(body, 0) <> 1 THEN
        RAISE EXCEPTION 'block format % is unknown to this version of the schema', get_byte(body, 0);
    END IF;
    SELECT * INTO head FROM watchpost.decode_vectors(body, 1);
    RETURN QUERY SELECT * FROM watchpost.decode_columns(
        body, ARRAY[head.p], head.firsts, head.steps, head.lens, head.ends, head.times, wanted, from_ms, to_ms);
END
$$;

-- The columns of some packs in one batch.
CREATE FUNCTION watchpost.batch_columns(batch bytea, packs int[], wanted bigint[], from_ms bigint, to_ms bigint)
RETURNS TABLE (series_id bigint, times bigint[], mantissas float8[], power float8, bits bigint[])
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 10000 ROWS 50
AS $$
DECLARE
    body   bytea := batch || ''::bytea;
    head   record;
    p      int := 1;
    starts int[];
BEGIN
    IF get_byte(body, 0) <> 1 THEN
        RAISE EXCEPTION 'batch format % is unknown to this version of the schema', get_byte(body, 0);
    END IF;
    -- The number of samples, which is a column as well.
    SELECT d.p INTO p FROM watchpost.decode_varint(body, p) d;
    SELECT * INTO head FROM watchpost.decode_vectors(body, p);
    starts := ARRAY(SELECT d.group_start FROM watchpost.decode_directory(body, head.p, packs) d);
    RETURN QUERY SELECT * FROM watchpost.decode_columns(
        body, starts, head.firsts, head.steps, head.lens, head.ends, head.times, wanted, from_ms, to_ms);
END
$$;

-- The samples of one block, for curious people.
CREATE FUNCTION watchpost.block_samples(block bytea, wanted bigint[] DEFAULT NULL)
RETURNS TABLE (series_id bigint, ts bigint, value float8, bits bigint)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT c.series_id, unnest(c.times), unnest(c.mantissas) / c.power, unnest(c.bits)
      FROM watchpost.block_columns(block_samples.block, block_samples.wanted,
                                   -9223372036854775808, 9223372036854775807) c;
END;

-- The samples of some packs in one batch.
CREATE FUNCTION watchpost.batch_samples(batch bytea, packs int[], wanted bigint[] DEFAULT NULL)
RETURNS TABLE (series_id bigint, ts bigint, value float8, bits bigint)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT c.series_id, unnest(c.times), unnest(c.mantissas) / c.power, unnest(c.bits)
      FROM watchpost.batch_columns(batch_samples.batch, batch_samples.packs, batch_samples.wanted,
                                   -9223372036854775808, 9223372036854775807) c;
END;

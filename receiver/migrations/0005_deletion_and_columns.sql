-- Deletions, and the way out of SQL anew: columns instead of rows until the very end, and without a sort where nothing
-- overlaps.

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

-- Every block that counts: what was merged is left out.
CREATE OR REPLACE VIEW watchpost.live_block AS
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

DROP FUNCTION watchpost.samples, watchpost.samples_raw, watchpost.latest, watchpost.scan,
    watchpost.block_samples, watchpost.batch_samples, watchpost.decode_groups;

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

-- Decodes groups of series that start at the given offsets of `body`, one row for each series that has samples with
-- from_ms <= time <= to_ms. `wanted`, in order: only these series, or all if null. Value i is mantissas[i] / power: one
-- IEEE division of two exact floats. `bits` is null where values have them all, which is nearly always; its elements
-- are set for values that are stored as bits, of which some (staleness markers) are NaNs that SQL cannot tell apart.
--
-- This loop is where nearly all time of a query goes. A statement costs some 50 ns whatever it does, so there are as few
-- as possible for each sample, whole arrays are filled and cut by functions in C, and three tricks look odd: a table of
-- zigzag-decoded bytes, bit_count over a mask of high bits to find out whether varints are longer than a byte, and
-- unlooped code for varints of up to three bytes.
CREATE FUNCTION watchpost.decode_columns(
    body bytea, starts int[],
    firsts bigint[], steps bigint[], lens int[], ends int[], irregular bigint[],
    wanted bigint[], from_ms bigint, to_ms bigint
)
RETURNS TABLE (series_id bigint, times bigint[], mantissas float8[], power float8, bits bigint[])
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 10000 ROWS 50
AS $$
DECLARE
    high      CONSTANT varbit := repeat('10000000', 512)::varbit;
    zigzag    CONSTANT float8[] := '{0,-1,1,-2,2,-3,3,-4,4,-5,5,-6,6,-7,7,-8,8,-9,9,-10,10,-11,11,-12,12,-13,13,-14,14,-15,
        15,-16,16,-17,17,-18,18,-19,19,-20,20,-21,21,-22,22,-23,23,-24,24,-25,25,-26,26,-27,27,
        -28,28,-29,29,-30,30,-31,31,-32,32,-33,33,-34,34,-35,35,-36,36,-37,37,-38,38,-39,39,-40,
        40,-41,41,-42,42,-43,43,-44,44,-45,45,-46,46,-47,47,-48,48,-49,49,-50,50,-51,51,-52,52,
        -53,53,-54,54,-55,55,-56,56,-57,57,-58,58,-59,59,-60,60,-61,61,-62,62,-63,63,-64}';
    p         int;        -- the next byte
    b         int;        -- that byte, and those after it
    c         int;
    e         int;
    s         int;        -- how far it is shifted
    v         bigint;     -- a varint
    n_series  int;
    ids       bigint[];
    vectors   int[];
    id        bigint;
    vector    int;
    at_vector int;        -- whose times these are:
    all_times bigint[];
    n         int;        -- samples of the series
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
    FOREACH p IN ARRAY starts LOOP
        b := get_byte(body, p); p := p + 1; v := b & 127; s := 7;
        WHILE b > 127 LOOP b := get_byte(body, p); p := p + 1; v := v | ((b & 127)::bigint << s); s := s + 7; END LOOP;
        n_series := v;
        ids := '{}'; vectors := '{}'; id := 0; at_vector := 0;
        FOR i IN 1..n_series LOOP
            b := get_byte(body, p); p := p + 1; v := b & 127;
            IF b > 127 THEN
                s := 7;
                WHILE b > 127 LOOP b := get_byte(body, p); p := p + 1; v := v | ((b & 127)::bigint << s); s := s + 7; END LOOP;
            END IF;
            id := id + v;
            ids[i] := id;
        END LOOP;
        FOR i IN 1..n_series LOOP
            b := get_byte(body, p); p := p + 1; v := b & 127;
            IF b > 127 THEN
                s := 7;
                WHILE b > 127 LOOP b := get_byte(body, p); p := p + 1; v := v | ((b & 127)::bigint << s); s := s + 7; END LOOP;
            END IF;
            vectors[i] := v + 1;
        END LOOP;
        FOR i IN 1..n_series LOOP
            series_id := ids[i];
            vector := vectors[i];
            n := lens[vector];
            keep := wanted IS NULL OR coalesce(wanted[width_bucket(series_id, wanted)] = series_id, false);
            IF keep THEN
                IF vector <> at_vector THEN
                    at_vector := vector;
                    IF steps[vector] = 0 THEN
                        all_times := irregular[ends[vector] + 1 : ends[vector] + n];
                    ELSE
                        all_times := ARRAY(SELECT generate_series(
                            firsts[vector], firsts[vector] + (n - 1) * steps[vector], steps[vector]));
                    END IF;
                    lo := CASE WHEN all_times[1] >= from_ms THEN 1 ELSE width_bucket(from_ms - 1, all_times) + 1 END;
                    hi := CASE WHEN all_times[n] <= to_ms THEN n ELSE width_bucket(to_ms, all_times) END;
                    times := CASE WHEN lo = 1 AND hi = n THEN all_times ELSE all_times[lo:hi] END;
                END IF;
                keep := lo <= hi;
            END IF;
            b := get_byte(body, p); p := p + 1;
            IF b >= 128 THEN
                -- A kind of chunk that is no float: its length follows.
                b := get_byte(body, p); p := p + 1; v := b & 127; s := 7;
                WHILE b > 127 LOOP b := get_byte(body, p); p := p + 1; v := v | ((b & 127)::bigint << s); s := s + 7; END LOOP;
                p := p + v::int;
                CONTINUE;
            END IF;
            kind := (b >> 4) & 3;
            bits := NULL;
            IF kind = 3 AND b & 15 > 0 THEN
                -- Noisy decimals: n steps, then n corrections in units of the last place.
                power := 10::float8 ^ (b & 15);
                mantissas := array_fill(0::float8, ARRAY[n]);
                mantissa := 0;
                FOR j IN 1..2 * n LOOP
                    b := get_byte(body, p); p := p + 1; v := b & 127; s := 7;
                    WHILE b > 127 LOOP b := get_byte(body, p); p := p + 1; v := v | ((b & 127)::bigint << s); s := s + 7; END LOOP;
                    CONTINUE WHEN NOT keep;
                    v := ((v >> 1) & 9223372036854775807) # (-(v & 1));
                    IF j <= n THEN
                        mantissa := mantissa + v;
                        mantissas[j] := mantissa / power;
                    ELSIF v <> 0 THEN
                        mantissas[j - n] := watchpost.float8_from_bits(watchpost.float8_to_bits(mantissas[j - n]) + v);
                    END IF;
                END LOOP;
                IF keep THEN
                    mantissas := mantissas[lo:hi];
                    power := 1;
                    RETURN NEXT;
                END IF;
                CONTINUE;
            END IF;
            IF kind = 3 THEN
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
            power := 10::float8 ^ (b & 15);
            n_odd := 0;
            IF b & 64 <> 0 THEN
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
            b := get_byte(body, p); p := p + 1; v := b & 127; s := 7;
            WHILE b > 127 LOOP b := get_byte(body, p); p := p + 1; v := v | ((b & 127)::bigint << s); s := s + 7; END LOOP;
            mantissa := ((v >> 1) & 9223372036854775807) # (-(v & 1));
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
            mantissas := array_fill(mantissa::float8, ARRAY[n]);
            IF kind > 0 AND n > 1 THEN
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
    body     bytea := batch || ''::bytea;
    head     record;
    p        int := 1;
    b        int;
    s        int;
    v        bigint;
    pack     int := 0;
    n_groups int;
    at       int := 0;
    start_of int[] := '{}';
    starts   int[] := '{}';
BEGIN
    IF get_byte(body, 0) <> 1 THEN
        RAISE EXCEPTION 'batch format % is unknown to this version of the schema', get_byte(body, 0);
    END IF;
    -- The number of samples, which is a column as well.
    WHILE get_byte(body, p) > 127 LOOP p := p + 1; END LOOP;
    p := p + 1;
    SELECT * INTO head FROM watchpost.decode_vectors(body, p);
    p := head.p;
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

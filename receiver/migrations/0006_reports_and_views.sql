-- For people: what takes how much space, and views of metrics.

-- All partitions of our tables, with their sizes: heap, indexes and TOAST.
CREATE VIEW watchpost.relation_size AS
    SELECT c.relname AS part,
           CASE WHEN i.inhparent IS NULL THEN c.relname ELSE (SELECT p.relname FROM pg_class p WHERE p.oid = i.inhparent) END AS part_of,
           pg_total_relation_size(c.oid) AS bytes
      FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
     WHERE c.relnamespace = 'watchpost'::regnamespace AND c.relkind = 'r';

-- What is stored and how fast it grows. `bytes_per_day` is what final days take, by the last seven of them; nothing is
-- known before there is one. `days_left` needs a limit in bytes, of the disk or of what somebody is willing to give.
CREATE FUNCTION watchpost.storage_report(size_limit bigint DEFAULT NULL)
RETURNS TABLE (
    total_bytes bigint, final_bytes bigint, merged_bytes bigint, recent_bytes bigint, log_bytes bigint,
    catalogue_bytes bigint, rollup_bytes bigint, other_bytes bigint, series bigint, samples bigint, bytes_per_sample float8,
    oldest timestamptz, newest timestamptz, final_days bigint, bytes_per_day float8, samples_per_day float8, days_left float8
)
LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH size AS (
        SELECT coalesce(sum(bytes), 0) AS total,
               coalesce(sum(bytes) FILTER (WHERE part_of = 'block'), 0) AS final,
               coalesce(sum(bytes) FILTER (WHERE part_of = 'block_window'), 0) AS merged,
               coalesce(sum(bytes) FILTER (WHERE part_of = 'block_recent'), 0) AS recent,
               coalesce(sum(bytes) FILTER (WHERE part_of = 'batch'), 0) AS log,
               coalesce(sum(bytes) FILTER (WHERE part_of IN ('series', 'metric')), 0) AS catalogue,
               coalesce(sum(bytes) FILTER (WHERE part_of = 'rollup'), 0) AS rollup
          FROM watchpost.relation_size
    ), stored AS (
        SELECT sum(b.n_samples) AS samples, min(b.t_min) AS t_min, max(b.t_max) AS t_max FROM watchpost.live_block b
        UNION ALL
        SELECT sum(b.n_samples), min(b.t_min), max(b.t_max)
          FROM watchpost.writer w JOIN watchpost.batch b ON b.writer = w.id AND b.seq > w.flushed_seq
    ), total AS (
        SELECT coalesce(sum(samples), 0)::bigint AS samples, min(t_min) AS t_min, max(t_max) AS t_max FROM stored
    ), day AS (
        SELECT substr(r.part, 7)::int AS bucket, r.bytes FROM watchpost.relation_size r
         WHERE r.part_of = 'block' ORDER BY 1 DESC LIMIT 7
    ), growth AS (
        SELECT avg(d.bytes)::float8 AS bytes,
               avg((SELECT sum(b.n_samples) FROM watchpost.block b WHERE b.bucket = d.bucket))::float8 AS samples
          FROM day d
    )
    SELECT z.total::bigint, z.final::bigint, z.merged::bigint, z.recent::bigint, z.log::bigint, z.catalogue::bigint,
           z.rollup::bigint, (z.total - z.final - z.merged - z.recent - z.log - z.catalogue - z.rollup)::bigint,
           (SELECT count(*) FROM watchpost.series), t.samples, z.total::float8 / nullif(t.samples, 0),
           to_timestamp(t.t_min / 1000::float8), to_timestamp(t.t_max / 1000::float8),
           (SELECT count(*) FROM watchpost.relation_size r WHERE r.part_of = 'block'), g.bytes, g.samples,
           CASE WHEN g.bytes > 0 THEN greatest(storage_report.size_limit - z.total, 0) / g.bytes END
      FROM size z, total t, growth g;
END;

-- Each series' part of the blocks. The bytes of a row belong to its pack of up to 64 series together: they are divided
-- among them evenly, so `samples` and `bytes` are estimates. Batches that are not flushed yet are not in it.
CREATE FUNCTION watchpost.storage_by_series(since timestamptz DEFAULT '-infinity')
RETURNS TABLE (series_id bigint, metric_id int, samples float8, bytes float8)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT s.id, s.metric_id, p.samples / m.n, p.bytes / m.n
      FROM (SELECT b.pack, sum(b.n_samples)::float8 AS samples, sum(pg_column_size(b.body) + 60)::float8 AS bytes
              FROM watchpost.live_block b WHERE b.t_max >= watchpost.to_ms(storage_by_series.since) GROUP BY b.pack) p
      JOIN (SELECT s.pack, count(*) AS n FROM watchpost.series s GROUP BY s.pack) m ON m.pack = p.pack
      JOIN watchpost.series s ON s.pack = p.pack;
END;

-- The metrics that take most space, as estimates.
CREATE FUNCTION watchpost.storage_by_metric(top int DEFAULT 20, since timestamptz DEFAULT '-infinity')
RETURNS TABLE (metric text, series bigint, samples bigint, bytes bigint)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT m.name, count(*), round(sum(s.samples))::bigint, round(sum(s.bytes))::bigint
      FROM watchpost.storage_by_series(storage_by_metric.since) s JOIN watchpost.metric m ON m.id = s.metric_id
     GROUP BY m.name ORDER BY sum(s.bytes) DESC, m.name LIMIT storage_by_metric.top;
END;

-- The jobs that take most space, as estimates; null: series without a job.
CREATE FUNCTION watchpost.storage_by_job(top int DEFAULT 20, since timestamptz DEFAULT '-infinity')
RETURNS TABLE (job text, series bigint, samples bigint, bytes bigint)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT l.labels ->> 'job', count(*), round(sum(s.samples))::bigint, round(sum(s.bytes))::bigint
      FROM watchpost.storage_by_series(storage_by_job.since) s JOIN watchpost.series l ON l.id = s.series_id
     GROUP BY l.labels ->> 'job' ORDER BY sum(s.bytes) DESC, 1 LIMIT storage_by_job.top;
END;

-- Makes a view of a metric in the schema `metrics`: time, value, and a column for each label. Call it again when there
-- are new labels; they are added as the last columns.
--
--   SELECT watchpost.create_view('node_load1');
--   SELECT * FROM metrics.node_load1 WHERE ts > now() - interval '1 hour' AND instance = 'db-1:9100';
--
-- A condition on `ts` comes too late to spare the view any reading, so a view shows the last day only, or as much as the
-- setting says: SET watchpost.view_interval = '30 days'. For other times use watchpost.samples.
CREATE FUNCTION watchpost.create_view(metric text) RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
    wanted  int;
    -- What Postgres would make of it, but without letting two metrics share a name silently.
    view    name := metric::name;
    label   record;
    columns text := '';
    taken   name[];
BEGIN
    SELECT m.id INTO wanted FROM watchpost.metric m WHERE m.name = metric;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no metric %', quote_literal(metric);
    END IF;
    CREATE SCHEMA IF NOT EXISTS metrics;
    COMMENT ON SCHEMA metrics IS 'views made by watchpost.create_view';
    SELECT coalesce(array_agg(a.attname ORDER BY a.attnum), '{}') INTO taken
      FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
     WHERE c.relnamespace = 'metrics'::regnamespace AND c.relname = view AND a.attnum > 2 AND NOT a.attisdropped;
    IF EXISTS (SELECT FROM pg_class c
                WHERE c.relnamespace = 'metrics'::regnamespace AND c.relname = view
                  AND obj_description(c.oid, 'pg_class') IS DISTINCT FROM 'metric ' || metric) THEN
        RAISE EXCEPTION 'metrics.% exists and is of something else', quote_ident(view);
    END IF;
    -- Columns that a view has keep their places; a label that is called like one of ours gets another name.
    FOR label IN
        SELECT k.name,
               (CASE WHEN k.name IN ('ts', 'value') THEN 'label_' || k.name ELSE k.name END)::name AS column_name
          FROM (SELECT DISTINCT jsonb_object_keys(s.labels) AS name FROM watchpost.series s WHERE s.metric_id = wanted) k
         ORDER BY array_position(taken, (CASE WHEN k.name IN ('ts', 'value') THEN 'label_' || k.name ELSE k.name END)::name),
                  k.name
    LOOP
        columns := columns || format(', s.labels ->> %L AS %I', label.name, label.column_name);
    END LOOP;
    EXECUTE format(
        'CREATE OR REPLACE VIEW metrics.%I AS SELECT s.ts, s.value%s FROM watchpost.samples(%L, ''{}'', '
        'now() - coalesce(nullif(current_setting(''watchpost.view_interval'', true), '''')::interval, ''1 day'')) s',
        view, columns, metric);
    EXECUTE format('COMMENT ON VIEW metrics.%I IS %L', view, 'metric ' || metric);
    RETURN format('metrics.%I', view);
END
$$;

-- Exemplars: single observations behind a series, with labels of their own that lead to a trace. A row each, committed
-- together with the samples that came with them. Partitioned by arrival (bucket = days since the Unix epoch), so that old
-- ones go by dropping a partition, whatever times they have.
--
-- `identity` is the first half of the SHA-256 over the value's 64 bits and the sorted labels: what is sent again on the
-- day of its arrival is there already. `ts` is in milliseconds since the Unix epoch.
CREATE TABLE watchpost.exemplar (
    bucket    int    NOT NULL,
    series_id bigint NOT NULL,
    ts        bigint NOT NULL,
    value     float8 NOT NULL,
    labels    jsonb  NOT NULL,
    identity  uuid   NOT NULL,
    CONSTRAINT exemplar_pkey PRIMARY KEY (series_id, ts, identity, bucket)
) PARTITION BY RANGE (bucket);

-- The exemplars of a metric whose labels contain `matchers`, with from <= time <= to.
--
--   SELECT * FROM watchpost.exemplars('http_request_duration_seconds_bucket', '{"job": "api"}', now() - interval '1 hour');
CREATE FUNCTION watchpost.exemplars(
    metric   text,
    matchers jsonb DEFAULT '{}',
    "from"   timestamptz DEFAULT '-infinity',
    "to"     timestamptz DEFAULT 'infinity'
) RETURNS TABLE (series_id bigint, labels jsonb, ts timestamptz, value float8, exemplar_labels jsonb)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    -- What was sent again on a later day is there twice.
    SELECT DISTINCT ON (e.series_id, e.ts, e.identity)
           e.series_id, s.labels, to_timestamp(e.ts / 1000.0), e.value, e.labels
      FROM watchpost.metric m
      JOIN watchpost.series s ON s.metric_id = m.id AND s.labels @> exemplars.matchers
      JOIN watchpost.exemplar e ON e.series_id = s.id
       AND e.ts BETWEEN watchpost.to_ms(exemplars."from") AND watchpost.to_ms(exemplars."to")
     WHERE m.name = exemplars.metric
     ORDER BY e.series_id, e.ts, e.identity;
END;

-- When counters started, where their senders say so (remote write 2.0). That changes only when a counter is reset, so there
-- is a row for each change instead of a value for each sample: the samples of a series from `ts` on, up to the `ts` of its
-- next row, count from `start_ts`. Both in milliseconds since the Unix epoch. Native histograms have theirs in their samples.
CREATE TABLE watchpost.start (
    series_id bigint NOT NULL,
    ts        bigint NOT NULL,
    start_ts  bigint NOT NULL,
    CONSTRAINT start_pkey PRIMARY KEY (series_id, ts)
);

-- Since when the sample of a series at a time counts; null where nobody said. All in milliseconds.
--
--   SELECT ts_ms, value, watchpost.start_at(series_id, ts_ms) FROM watchpost.samples_raw('http_requests_total');
CREATE FUNCTION watchpost.start_at(of_series bigint, at_ms bigint) RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT s.start_ts FROM watchpost.start s
     WHERE s.series_id = of_series AND s.ts <= at_ms ORDER BY s.ts DESC LIMIT 1;
END;

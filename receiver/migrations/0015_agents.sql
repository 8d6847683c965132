-- Exporters that announced themselves: what a Prometheus scrapes without anybody editing its file, and which intervals
-- somebody wants of them.
CREATE TABLE watchpost.agent (
    -- What their series are called: two with the same name would write the same series.
    program text NOT NULL,
    instance text NOT NULL CONSTRAINT agent_instance_check CHECK (char_length(instance) BETWEEN 1 AND 300),
    job text NOT NULL,
    name text NOT NULL,
    -- Where a Prometheus reaches it.
    address text NOT NULL,
    scheme text NOT NULL CONSTRAINT agent_scheme_check CHECK (scheme IN ('http', 'https')),
    metrics_path text NOT NULL,
    version text NOT NULL,
    os text NOT NULL,
    labels jsonb NOT NULL CONSTRAINT agent_labels_check CHECK (jsonb_typeof(labels) = 'object'),
    -- It sends its series itself, so nobody has to scrape it.
    pushes boolean NOT NULL,
    -- What it does now.
    stored_interval_ms bigint NOT NULL,
    live_interval_ms bigint NOT NULL,
    -- What somebody wants it to do; NULL is what its own flags say.
    wanted_stored_ms bigint CONSTRAINT agent_stored_check CHECK (wanted_stored_ms BETWEEN 1000 AND 300000),
    wanted_live_ms bigint CONSTRAINT agent_live_check CHECK (wanted_live_ms BETWEEN 100 AND 10000),
    -- Grows with each change of what is wanted, over all agents.
    generation bigint NOT NULL DEFAULT 0,
    registered_at timestamptz NOT NULL DEFAULT now(),
    -- To within half a minute.
    seen_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT agent_pkey PRIMARY KEY (program, instance)
)
-- Noted every half minute: room for it in the same page, so that no index is touched.
WITH (fillfactor = 50);

CREATE SEQUENCE watchpost.agent_generation;

CREATE VIEW watchpost.agents AS
SELECT program, instance, job, name, scheme || '://' || address || metrics_path AS url, version, os, labels, pushes,
       stored_interval_ms * interval '1 millisecond' AS stored_interval,
       live_interval_ms * interval '1 millisecond' AS live_interval,
       registered_at, seen_at,
       seen_at > now() - interval '2 minutes' AS is_here
  FROM watchpost.agent;
COMMENT ON VIEW watchpost.agents IS 'exporters that announced themselves to a receiver of this database';

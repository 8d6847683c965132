-- Pairs of Prometheus servers that scrape the same: which of them led when, so that all receivers take the same one's samples.
--
-- A cluster is led by one replica at a time, in terms that follow each other; a sample belongs to the term in which its time
-- lies. A receiver that wants another leader adds the next term, which only one can.
CREATE TABLE watchpost.replica_term (
    cluster text NOT NULL,
    term bigint NOT NULL,
    replica text NOT NULL,
    -- From this time on; the first term holds everything before the second.
    since timestamptz NOT NULL,
    -- When any receiver last noted that the leader sends.
    seen_at timestamptz NOT NULL,
    CONSTRAINT replica_term_pkey PRIMARY KEY (cluster, term)
)
-- Noted every few seconds: room for it in the same page, so that no index is touched.
WITH (fillfactor = 50);

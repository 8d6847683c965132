//! How receivers agree on leaders: rows of `watchpost.replica_term`, looked at every few seconds and when somebody new
//! comes.
//!
//! A leader that any receiver hears is noted with its term. A receiver that does not hear the leader and hears another
//! replica adds the next term, if nobody noted the leader for the time-out, by the clock of the database; of two that try
//! the primary key lets one pass. A receiver that is cut off from the database decides nothing.

use std::{collections::HashMap, sync::atomic::Ordering, time::Duration};

use sqlx::{PgPool, Row};
use tracing::{info, warn};

use super::{
    Peer, Replicas, Snapshot,
    terms::{TERMS_MAX, Term, Terms},
};
use crate::model::now_ms;

/// How often leaders are noted and looked up while there are any: a change is known everywhere after this time.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A sender counts as there for this long after a request: a few of its usual intervals between requests.
const HEARD_MS: i64 = 15_000;
/// One look.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);

impl Replicas {
    /// Reads who leads, before the first request.
    pub(in crate::ingest) async fn load(&self, db: &PgPool) -> Result<(), sqlx::Error> {
        let terms = read(db).await?;
        self.adopt(terms);
        Ok(())
    }

    /// Keeps agreeing. `timeout` tells the one in force; inside `None` while replicas are not told apart; `None` when all
    /// is over.
    pub(in crate::ingest) async fn agree(
        self,
        db: PgPool,
        timeout: impl Fn() -> Option<Option<Duration>> + Send,
    ) {
        loop {
            let _ = tokio::time::timeout(LOOK_EVERY, self.0.news.notified()).await;
            let Some(wish) = timeout() else { return };
            let Some(timeout) = wish else { continue };
            match tokio::time::timeout(LOOK_TIMEOUT, self.look(&db, timeout)).await {
                Ok(Ok(())) => {}
                Ok(Err(err)) => warn!("agree on leaders: {}", service::error::chain(&err)),
                Err(_) => warn!("agree on leaders: the database did not answer in time"),
            }
        }
    }

    /// One look: notes the leaders that are heard, takes over where one is silent, learns what others did.
    pub(in crate::ingest) async fn look(
        &self,
        db: &PgPool,
        timeout: Duration,
    ) -> Result<(), sqlx::Error> {
        let (snapshot, now) = (self.snapshot(), now_ms());
        if snapshot.clusters.is_empty() {
            return Ok(());
        }
        let mut heard = (Vec::new(), Vec::new());
        let mut wanted = Vec::new();
        for cluster in &snapshot.clusters {
            let Some(last) = cluster.terms.last() else { continue };
            let heard_at = |peer: &Peer| snapshot.replica(*peer).heard_at.load(Ordering::Relaxed);
            let present = cluster.peers.iter().filter(|peer| now - heard_at(peer) < HEARD_MS);
            let present: Vec<Peer> = present.copied().collect();
            let leads = |peer: &&Peer| *snapshot.replica(**peer).name == *last.replica;
            if last.number != 0 && present.iter().any(|peer| leads(&peer)) {
                heard.0.push(&*cluster.name);
                heard.1.push(last.number);
            } else if let Some(peer) =
                present.iter().max_by_key(|peer| (leads(peer), heard_at(peer)))
            {
                wanted.push((&*cluster.name, last.number, &*snapshot.replica(*peer).name));
            }
        }
        if !heard.0.is_empty() {
            // In one order everywhere, or two receivers could wait for each other.
            sqlx::query(
                "UPDATE watchpost.replica_term t SET seen_at = now()
                   FROM (SELECT * FROM unnest($1::text[], $2::bigint[]) AS h (cluster, term) ORDER BY cluster) h
                  WHERE t.cluster = h.cluster AND t.term = h.term AND t.seen_at < now() - interval '2 seconds'",
            )
            .bind(&heard.0)
            .bind(&heard.1)
            .execute(db)
            .await?;
        }
        for (cluster, term, replica) in wanted {
            if take_over(db, cluster, term, replica, timeout).await? {
                info!(cluster, replica, term = term + 1, "{replica} leads {cluster}");
            }
        }
        self.adopt(read(db).await?);
        Ok(())
    }

    /// Puts in force what PostgreSQL says.
    fn adopt(&self, terms: HashMap<String, Vec<Term>>) {
        let _changing = self.0.changing.lock().expect("no holder panics");
        let mut next: Snapshot = self.snapshot().copy();
        for (cluster, terms) in terms {
            if let Some(at) = next.cluster(&cluster) {
                next.clusters[at].terms = Terms::new(terms);
            }
        }
        self.put(next);
    }
}

/// Adds the term after `term`, if that is still the last one and its leader is silent. The first of a cluster is added at
/// once.
async fn take_over(
    db: &PgPool,
    cluster: &str,
    term: i64,
    replica: &str,
    timeout: Duration,
) -> Result<bool, sqlx::Error> {
    let added = sqlx::query(
        "INSERT INTO watchpost.replica_term (cluster, term, replica, since, seen_at)
         SELECT $1::text, $2::bigint + 1, $3::text, now(), now()
          WHERE CASE WHEN $2 = 0
                     THEN NOT EXISTS (SELECT FROM watchpost.replica_term WHERE cluster = $1)
                     ELSE EXISTS (SELECT FROM watchpost.replica_term
                                   WHERE cluster = $1 AND term = $2 AND seen_at < now() - $4)
                END
         ON CONFLICT ON CONSTRAINT replica_term_pkey DO NOTHING",
    )
    .bind(cluster)
    .bind(term)
    .bind(replica)
    .bind(timeout)
    .execute(db)
    .await?;
    if added.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query("DELETE FROM watchpost.replica_term WHERE cluster = $1 AND term < $2")
        .bind(cluster)
        .bind(term + 1 - TERMS_MAX as i64)
        .execute(db)
        .await?;
    Ok(true)
}

/// Rows that are read at most: all terms of as many clusters as there may be.
const ROWS_MAX: i64 = (super::CLUSTERS_MAX * (TERMS_MAX + 1)) as i64;

async fn read(db: &PgPool) -> Result<HashMap<String, Vec<Term>>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT cluster, term, replica, (extract(epoch FROM since) * 1000)::bigint AS since
           FROM watchpost.replica_term ORDER BY cluster, term LIMIT $1",
    )
    .bind(ROWS_MAX)
    .fetch_all(db)
    .await?;
    let mut terms: HashMap<String, Vec<Term>> = HashMap::new();
    for row in &rows {
        let replica: String = row.try_get("replica")?;
        let (number, since) = (row.try_get("term")?, row.try_get("since")?);
        let term = Term { number, replica: replica.into(), since };
        terms.entry(row.try_get("cluster")?).or_default().push(term);
    }
    Ok(terms)
}

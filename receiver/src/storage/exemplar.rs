//! Exemplars: single observations behind a series, with labels of their own that lead to a trace.
//!
//! They are few, and people want to look at them one by one: so they are ordinary rows of `watchpost.exemplar`, committed in
//! one transaction with the batch that they came with. Requests without exemplars pay nothing for them.

use std::collections::{BTreeMap, HashSet};

use promql::model::Labels;
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgPool, Row, types::Json};
use uuid::Uuid;

use crate::model::SeriesId;

/// Exemplars lead to traces, which nobody keeps for years: they go after so many days, or with the samples if those go
/// earlier. Counted from their arrival.
pub const KEPT_DAYS: i32 = 90;

/// One observation.
#[derive(Clone, Debug)]
pub struct Exemplar {
    /// Milliseconds since the Unix epoch.
    pub ts: i64,
    pub value: f64,
    /// Its own labels, such as `trace_id`; not those of its series.
    pub labels: Labels,
}

/// Equality by bits.
impl PartialEq for Exemplar {
    fn eq(&self, other: &Self) -> bool {
        self.ts == other.ts
            && self.value.to_bits() == other.value.to_bits()
            && self.labels == other.labels
    }
}

impl Exemplar {
    /// What tells apart the exemplars of one series and time. Stored in databases: must never change.
    fn identity(&self) -> Uuid {
        let mut hash = Sha256::new();
        hash.update(self.value.to_bits().to_be_bytes());
        for label in &self.labels {
            hash.update(label.name.as_bytes());
            hash.update([0xff]);
            hash.update(label.value.as_bytes());
            hash.update([0xff]);
        }
        let digest: [u8; 32] = hash.finalize().into();
        Uuid::from_bytes(digest[..16].try_into().expect("sixteen of thirty-two"))
    }
}

/// An exemplar of a series that the catalogue knows.
#[derive(Clone, Debug)]
pub struct IncomingExemplar {
    pub series: SeriesId,
    pub exemplar: Exemplar,
}

/// The exemplars of one series, in order of time.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesExemplars {
    pub series: SeriesId,
    pub exemplars: Vec<Exemplar>,
}

/// Inserts exemplars; those that are there already stay as they are. `bucket` is that of their arrival.
pub(super) async fn insert(
    connection: &mut PgConnection,
    bucket: i32,
    exemplars: &[IncomingExemplar],
) -> Result<(), sqlx::Error> {
    let mut rows: Vec<(i64, i64, Uuid, &Exemplar)> = exemplars
        .iter()
        .map(|IncomingExemplar { series, exemplar }| {
            (series.0, exemplar.ts, exemplar.identity(), exemplar)
        })
        .collect();
    // In one order everywhere, or two receivers could wait for each other.
    rows.sort_unstable_by_key(|(series, ts, identity, _)| (*series, *ts, *identity));
    let labels = |exemplar: &Exemplar| -> Json<BTreeMap<String, String>> {
        let pairs = exemplar.labels.iter();
        Json(pairs.map(|label| (label.name.to_string(), label.value.to_string())).collect())
    };
    sqlx::query(
        "INSERT INTO watchpost.exemplar (bucket, series_id, ts, value, labels, identity)
         SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::float8[], $5::jsonb[], $6::uuid[])
         ON CONFLICT ON CONSTRAINT exemplar_pkey DO NOTHING",
    )
    .bind(bucket)
    .bind(rows.iter().map(|row| row.0).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.1).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.3.value).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| labels(row.3)).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.2).collect::<Vec<_>>())
    .execute(connection)
    .await
    .map(drop)
}

/// The exemplars of these series with `from <= ts <= to`, in milliseconds, by series; at most `limit` in all.
pub(super) async fn read(
    db: &PgPool,
    series: &[SeriesId],
    from: i64,
    to: i64,
    limit: usize,
) -> Result<Vec<SeriesExemplars>, sqlx::Error> {
    let rows = sqlx::query(
        // What was sent again on a later day is there twice.
        "SELECT DISTINCT ON (series_id, ts, identity) series_id, ts, value, labels
           FROM watchpost.exemplar
          WHERE series_id = ANY($1) AND ts BETWEEN $2 AND $3
          ORDER BY series_id, ts, identity
          LIMIT $4",
    )
    .bind(series.iter().map(|id| id.0).collect::<Vec<_>>())
    .bind(from)
    .bind(to)
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(db)
    .await?;
    let mut found: Vec<SeriesExemplars> = Vec::new();
    for row in rows {
        let series = SeriesId(row.try_get("series_id")?);
        let Json(pairs): Json<BTreeMap<String, String>> = row.try_get("labels")?;
        let labels = Labels::from_pairs(pairs).map_err(|err| sqlx::Error::Decode(err.into()))?;
        let exemplar = Exemplar { ts: row.try_get("ts")?, value: row.try_get("value")?, labels };
        match found.last_mut() {
            Some(last) if last.series == series => last.exemplars.push(exemplar),
            _ => found.push(SeriesExemplars { series, exemplars: vec![exemplar] }),
        }
    }
    Ok(found)
}

/// Takes out the exemplars of these series before `end`, in milliseconds: their samples are kept no longer.
pub(super) async fn expire(
    db: &PgPool,
    series: &HashSet<SeriesId>,
    end: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM watchpost.exemplar WHERE series_id = ANY($1) AND ts < $2")
        .bind(series.iter().map(|id| id.0).collect::<Vec<_>>())
        .bind(end)
        .execute(db)
        .await
        .map(drop)
}

/// Takes out the exemplars that a deletion covers: they are ordinary rows, and go at once.
pub(super) async fn delete(db: &PgPool, deletion: i64) -> Result<(), sqlx::Error> {
    sqlx::query(
        "DELETE FROM watchpost.exemplar e USING watchpost.deletion d
          WHERE d.id = $1 AND e.series_id = ANY(d.series_ids) AND e.ts BETWEEN d.t_from AND d.t_to",
    )
    .bind(deletion)
    .execute(db)
    .await
    .map(drop)
}

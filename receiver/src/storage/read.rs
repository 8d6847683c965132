//! Reading: head and blocks as if they were one.
//!
//! The head is looked at first, then the database. A batch leaves the head only after its blocks are committed, so what
//! the head no longer had is in blocks that the later look at the database sees: no holes. What both have is told apart
//! by series and time: no doubles.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use futures_util::TryStreamExt;
use sqlx::{PgPool, Row};

use super::{
    ReadError, SeriesSamples, block, catalogue::Catalogue, codec::group, head, head::Head,
};
use crate::model::{MetricId, PackId, Sample, SeriesId};

/// What to look for, and where.
#[derive(Debug, Default)]
struct Plan {
    by_metric: HashMap<MetricId, Vec<SeriesId>>,
    packs: Vec<i32>,
}

pub(super) async fn read(
    db: &PgPool,
    catalogue: &Catalogue,
    head: &Head,
    series: &[SeriesId],
    from: i64,
    to: i64,
) -> Result<Vec<SeriesSamples>, ReadError> {
    let plan = plan(catalogue, series);
    let runs = head.runs();
    let mut found = read_blocks(db, &plan, series, from, to).await?;
    let reading = tokio::task::spawn_blocking(move || {
        for (metric, wanted) in &plan.by_metric {
            head::read_runs(&runs, *metric, wanted, from, to, &mut found)?;
        }
        Ok::<_, ReadError>(found)
    });
    let mut found = match reading.await {
        Ok(found) => found?,
        Err(err) => std::panic::resume_unwind(err.into_panic()),
    };
    Ok(series
        .iter()
        .map(|id| {
            let mut samples = found.remove(id).unwrap_or_default();
            if !samples.is_sorted_by(|a, b| a.ts < b.ts) {
                // Stable: of two for one time, the one that was committed first.
                samples.sort_by_key(|sample| sample.ts);
                samples.dedup_by_key(|sample| sample.ts);
            }
            SeriesSamples { series: *id, samples }
        })
        .collect())
}

fn plan(catalogue: &Catalogue, series: &[SeriesId]) -> Plan {
    let index = catalogue.index();
    let mut plan = Plan::default();
    let mut packs: HashSet<PackId> = HashSet::new();
    for id in series {
        if let Some(position) = index.position(*id) {
            plan.by_metric.entry(index.known(position).metric).or_default().push(*id);
            packs.insert(index.pack(position));
        }
    }
    for wanted in plan.by_metric.values_mut() {
        wanted.sort_unstable();
        wanted.dedup();
    }
    plan.packs = packs.into_iter().map(|pack| pack.0).collect();
    plan
}

async fn read_blocks(
    db: &PgPool,
    plan: &Plan,
    series: &[SeriesId],
    from: i64,
    to: i64,
) -> Result<HashMap<SeriesId, Vec<Sample>>, ReadError> {
    let wanted: Arc<HashSet<SeriesId>> = Arc::new(series.iter().copied().collect());
    let mut found: HashMap<SeriesId, Vec<Sample>> = HashMap::new();
    if plan.packs.is_empty() {
        return Ok(found);
    }
    let mut rows = sqlx::query(
        "SELECT body FROM watchpost.live_block
          WHERE pack = ANY($1) AND t_min <= $3 AND t_max >= $2
          ORDER BY age, ord, ord2",
    )
    .bind(&plan.packs)
    .bind(from)
    .bind(to)
    .fetch(db);
    let mut scratch = group::Scratch::default();
    while let Some(row) = rows.try_next().await? {
        let body: &[u8] = row.try_get("body")?;
        block::read(
            body,
            &mut scratch,
            |id| wanted.contains(&id),
            |id, times, values| {
                let start = times.partition_point(|ts| *ts < from);
                let end = times.partition_point(|ts| *ts <= to);
                let samples = found.entry(id).or_default();
                samples.extend(
                    times[start..end]
                        .iter()
                        .zip(&values[start..end])
                        .map(|(ts, value)| Sample { ts: *ts, value: *value }),
                );
            },
        )?;
    }
    Ok(found)
}

//! What takes how much space: the SQL functions `watchpost.storage_…` as values.

use sqlx::{PgPool, Row, postgres::PgRow};

/// Metrics or jobs in one report.
pub const TOP_MAX: i32 = 1000;

/// See `watchpost.storage_report`. Sizes in bytes, times in seconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub total_bytes: i64,
    /// Of these: days that are final, blocks that are merged, blocks as they were flushed, batches, names and labels of
    /// series, and the rest.
    pub final_bytes: i64,
    pub merged_bytes: i64,
    pub recent_bytes: i64,
    pub log_bytes: i64,
    pub catalogue_bytes: i64,
    /// Hours, where they are kept.
    pub rollup_bytes: i64,
    pub other_bytes: i64,
    pub series: i64,
    pub samples: i64,
    /// Nothing is known before there is a sample, or a final day.
    pub bytes_per_sample: Option<f64>,
    pub oldest: Option<f64>,
    pub newest: Option<f64>,
    pub final_days: i64,
    pub bytes_per_day: Option<f64>,
    pub samples_per_day: Option<f64>,
    /// Until the limit that was given is reached.
    pub days_left: Option<f64>,
    pub by_metric: Vec<Part>,
    pub by_job: Vec<Part>,
}

/// What the series of one metric or job take: estimates, as up to 64 series share a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Empty: series without a job.
    pub name: String,
    pub series: i64,
    pub samples: i64,
    pub bytes: i64,
}

/// Reads sizes, and headers of rows, but no samples.
pub async fn report(db: &PgPool, limit: Option<i64>, top: i32) -> Result<Report, sqlx::Error> {
    let row = sqlx::query(
        "SELECT r.*, extract(epoch FROM r.oldest)::float8 AS oldest_s, extract(epoch FROM r.newest)::float8 AS newest_s
           FROM watchpost.storage_report($1) r",
    )
    .bind(limit)
    .fetch_one(db)
    .await?;
    let top = top.clamp(0, TOP_MAX);
    let by_metric = sqlx::query(
        "SELECT metric AS name, series, samples, bytes FROM watchpost.storage_by_metric($1)",
    );
    let by_job = sqlx::query(
        "SELECT coalesce(job, '') AS name, series, samples, bytes FROM watchpost.storage_by_job($1)",
    );
    let by_metric = by_metric.bind(top).fetch_all(db).await?;
    let by_job = by_job.bind(top).fetch_all(db).await?;
    Ok(Report {
        total_bytes: row.try_get("total_bytes")?,
        final_bytes: row.try_get("final_bytes")?,
        merged_bytes: row.try_get("merged_bytes")?,
        recent_bytes: row.try_get("recent_bytes")?,
        log_bytes: row.try_get("log_bytes")?,
        catalogue_bytes: row.try_get("catalogue_bytes")?,
        rollup_bytes: row.try_get("rollup_bytes")?,
        other_bytes: row.try_get("other_bytes")?,
        series: row.try_get("series")?,
        samples: row.try_get("samples")?,
        bytes_per_sample: row.try_get("bytes_per_sample")?,
        oldest: row.try_get("oldest_s")?,
        newest: row.try_get("newest_s")?,
        final_days: row.try_get("final_days")?,
        bytes_per_day: row.try_get("bytes_per_day")?,
        samples_per_day: row.try_get("samples_per_day")?,
        days_left: row.try_get("days_left")?,
        by_metric: by_metric.iter().map(part).collect::<Result<_, _>>()?,
        by_job: by_job.iter().map(part).collect::<Result<_, _>>()?,
    })
}

fn part(row: &PgRow) -> Result<Part, sqlx::Error> {
    Ok(Part {
        name: row.try_get("name")?,
        series: row.try_get("series")?,
        samples: row.try_get("samples")?,
        bytes: row.try_get("bytes")?,
    })
}

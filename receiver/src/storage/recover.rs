//! After a restart: the batches that are not in blocks yet, back into memory as they are.

use std::collections::HashSet;

use bytes::Bytes;
use futures_util::TryStreamExt;
use sqlx::{PgPool, Row};

use super::{
    batch::Batch,
    catalogue::{Catalogue, Position},
    codec::{CodecError, group},
    head::{Head, Run},
};
use crate::model::Sample;

#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    #[error("read the batch log")]
    Read {
        #[from]
        source: sqlx::Error,
    },
    #[error("batch {seq} of writer {writer}")]
    Batch {
        writer: i32,
        seq: i64,
        #[source]
        source: CodecError,
    },
}

/// What was read back.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    pub(super) batches: u64,
    pub(super) samples: u64,
}

/// Puts every batch that neither a block nor the head holds into the head; of one writer, or of all.
pub(super) async fn read_back(
    db: &PgPool,
    catalogue: &Catalogue,
    head: &Head,
    writer: Option<i32>,
) -> Result<Recovered, RecoverError> {
    let held: HashSet<(i32, i64)> = head.runs().iter().map(|run| (run.writer, run.seq)).collect();
    let mut rows = sqlx::query(
        "SELECT b.writer, b.seq, b.t_min, b.t_max, b.body
           FROM watchpost.batch b JOIN watchpost.writer w ON w.id = b.writer
          WHERE b.seq > w.flushed_seq AND ($1::int IS NULL OR w.id = $1)
          ORDER BY b.bucket, b.writer, b.seq",
    )
    .bind(writer)
    .fetch(db);
    let mut recovered = Recovered::default();
    let mut scratch = group::Scratch::default();
    while let Some(row) = rows.try_next().await? {
        let (writer, seq): (i32, i64) = (row.try_get("writer")?, row.try_get("seq")?);
        if held.contains(&(writer, seq)) {
            continue;
        }
        let body: Vec<u8> = row.try_get("body")?;
        let damaged = |source| RecoverError::Batch { writer, seq, source };
        let batch = Batch::open(Bytes::from(body)).map_err(damaged)?;
        let mut newest: Vec<(Position, Sample)> = Vec::new();
        let mut newest_histograms: Vec<(Position, i64)> = Vec::new();
        {
            let index = catalogue.index();
            batch
                .read_everything(
                    &mut scratch,
                    |_, series, times, values| {
                        if let (Some(position), Some(ts), Some(value)) =
                            (index.position(series), times.last(), values.last())
                        {
                            newest.push((position, Sample { ts: *ts, value: *value }));
                        }
                    },
                    |_, series, sample| {
                        if let Some(position) = index.position(series) {
                            newest_histograms.push((position, sample.ts));
                        }
                    },
                )
                .map_err(damaged)?;
        }
        recovered.batches += 1;
        recovered.samples += batch.n_samples();
        let run =
            Run { writer, seq, t_min: row.try_get("t_min")?, t_max: row.try_get("t_max")?, batch };
        head.push_all(run, newest.into_iter(), newest_histograms.into_iter());
    }
    Ok(recovered)
}

//! What a deletion would delete, without doing it.

use std::{
    cell::RefCell,
    collections::{BTreeSet, HashSet},
};

use bytes::Bytes;
use futures_util::TryStreamExt;
use sqlx::{PgPool, Row};

use super::{DeleteError, Known, Request, SeriesId};
use crate::{
    model::PackId,
    storage::{
        batch::Batch,
        block,
        catalogue::Catalogue,
        codec::{CodecError, group},
        delete::{Hidden, Origin},
    },
};

/// Bodies that are decoded to count exactly; of the rest the samples of whole rows are counted.
const DECODED_BYTES_MAX: usize = 1 << 30;

/// What a deletion would delete.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Preview {
    pub series: usize,
    /// Samples as stored: one that is stored twice counts twice.
    pub samples: u64,
    /// Whether the samples were counted; if not, the number is an upper bound.
    pub is_exact: bool,
    /// What the samples take on disk: an estimate, as the bytes of a row belong to its series together.
    pub bytes: u64,
}

/// Counts what a deletion made now would delete.
pub async fn preview(
    db: &PgPool,
    catalogue: &Catalogue,
    request: &Request,
) -> Result<Preview, DeleteError> {
    catalogue.refresh().await?;
    let series = request.series(catalogue);
    let packs: BTreeSet<PackId> = {
        let index = catalogue.index();
        let pack_of = |id: &SeriesId| index.position(*id).map(|position| index.pack(position));
        series.iter().filter_map(pack_of).collect()
    };
    let known = Known::default().refreshed(db).await?;
    let mut counter = Counter {
        preview: Preview { series: series.len(), is_exact: true, ..Preview::default() },
        wanted: series.into_iter().collect(),
        from: request.from,
        to: request.to,
        decoded_bytes: 0,
    };
    let mut rows = sqlx::query(
        "SELECT age, ord, ord2, writer, n_samples, pg_column_size(body)::bigint AS size, body
           FROM watchpost.live_block WHERE pack = ANY($1) AND t_min <= $3 AND t_max >= $2",
    )
    .bind(packs.iter().map(|pack| pack.0).collect::<Vec<_>>())
    .bind(request.from)
    .bind(request.to)
    .fetch(db);
    let mut scratch = group::Scratch::default();
    while let Some(row) = rows.try_next().await? {
        let body: &[u8] = row.try_get("body")?;
        let hidden = Hidden::of(&known.pending, Origin::of_block(&row)?);
        counter.row(row.try_get("n_samples")?, row.try_get("size")?, body.len(), |sink| {
            let sink = RefCell::new(sink);
            block::read_all(
                body,
                &mut scratch,
                |_| true,
                |id, times, _| {
                    hidden.visible(id, times, |range| sink.borrow_mut()(id, &times[range]));
                },
                |id, sample| {
                    if !hidden.hides(id, sample.ts) {
                        sink.borrow_mut()(id, &[sample.ts]);
                    }
                },
            )
        })?;
    }
    drop(rows);
    let mut rows = sqlx::query(
        "SELECT b.writer, b.seq, b.n_samples, pg_column_size(b.body)::bigint AS size, b.body
           FROM watchpost.batch b JOIN watchpost.writer w ON w.id = b.writer
          WHERE b.seq > w.flushed_seq AND b.t_min <= $2 AND b.t_max >= $1",
    )
    .bind(request.from)
    .bind(request.to)
    .fetch(db);
    while let Some(row) = rows.try_next().await? {
        let body: Vec<u8> = row.try_get("body")?;
        let origin = Origin::Written { writer: row.try_get("writer")?, seq: row.try_get("seq")? };
        let hidden = Hidden::of(&known.pending, origin);
        let length = body.len();
        let batch = Batch::open(Bytes::from(body))?;
        counter.row(row.try_get("n_samples")?, row.try_get("size")?, length, |sink| {
            let sink = RefCell::new(sink);
            batch.packs().collect::<BTreeSet<_>>().intersection(&packs).try_for_each(|pack| {
                batch.read_with_histograms(
                    *pack,
                    &mut scratch,
                    |_| true,
                    |id, times, _| {
                        hidden.visible(id, times, |range| sink.borrow_mut()(id, &times[range]));
                    },
                    |id, sample| {
                        if !hidden.hides(id, sample.ts) {
                            sink.borrow_mut()(id, &[sample.ts]);
                        }
                    },
                )
            })
        })?;
    }
    Ok(counter.preview)
}

struct Counter {
    preview: Preview,
    wanted: HashSet<SeriesId>,
    from: i64,
    to: i64,
    decoded_bytes: usize,
}

impl Counter {
    /// Counts a row of `size` bytes on disk, whose samples `read` hands out.
    fn row(
        &mut self,
        n_samples: i32,
        size: i64,
        length: usize,
        read: impl FnOnce(&mut dyn FnMut(SeriesId, &[i64])) -> Result<(), CodecError>,
    ) -> Result<(), CodecError> {
        let n_samples = u64::try_from(n_samples).unwrap_or(0);
        let mut found = n_samples;
        self.decoded_bytes += length;
        if self.decoded_bytes <= DECODED_BYTES_MAX {
            found = 0;
            read(&mut |id, times| {
                if self.wanted.contains(&id) {
                    let start = times.partition_point(|ts| *ts < self.from);
                    let end = times.partition_point(|ts| *ts <= self.to);
                    found += (end - start) as u64;
                }
            })?;
        } else {
            self.preview.is_exact = false;
        }
        self.preview.samples += found;
        self.preview.bytes += size as u64 * found / n_samples.max(1);
        Ok(())
    }
}

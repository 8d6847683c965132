//! Deletion by selector: hidden from every reader at once, gone from the disk later.
//!
//! A deletion is a row of `watchpost.deletion`: which series, which times, and *what was committed before it*, told by the
//! order of commits, because samples that are sent again afterwards are new data and stay. Every receiver holds the
//! pending ones in memory ([`Deletion`], in the head) and leaves out what they hide ([`Hidden`]): of the head, of blocks
//! that it reads, of what it flushes and merges. `rewrite` takes what is merged already apart and together again.
//!
//! Whoever writes blocks must know of every deletion that was committed before: [`create`](self::create()) locks the rows
//! of the writers and of the merge's lease, which flushes and merges lock as well just before they commit; then they look
//! whether there is a deletion that they did not know ([`is_news`]), and begin again.

mod count;
mod create;
mod finish;
pub(super) mod rewrite;

use std::{collections::HashMap, ops::Range, sync::Arc};

use promql::model::Matcher;
use sqlx::{PgConnection, PgPool, Row};

pub(super) use self::finish::finish;
pub use self::{
    count::{Preview, preview},
    create::create,
};
use super::codec::CodecError;
use crate::model::SeriesId;

/// Selectors of one deletion.
pub const SELECTORS_MAX: usize = 64;

/// What somebody wants to have deleted.
#[derive(Clone, Debug)]
pub struct Request {
    selectors: Vec<String>,
    matchers: Vec<Vec<Matcher>>,
    from: i64,
    to: i64,
}

/// Why a request makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error("name what to delete: at least one selector, such as {{job=\"debug\"}}")]
    NoSelector,
    #[error("more than {SELECTORS_MAX} selectors")]
    TooManySelectors,
    #[error("selector `{selector}`")]
    Selector {
        selector: String,
        #[source]
        source: promql::parse::ParseError,
    },
    #[error("the end lies before the start")]
    EndBeforeStart,
}

#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    #[error("ask the database")]
    Database {
        #[from]
        source: sqlx::Error,
    },
    #[error("stored bytes do not follow their format")]
    Codec {
        #[from]
        source: CodecError,
    },
    #[error("another receiver merges now")]
    LeaseLost,
}

impl Request {
    /// All series that one of the selectors selects, with `from <= time <= to` in milliseconds since the Unix epoch.
    pub fn new(selectors: Vec<String>, from: i64, to: i64) -> Result<Self, RequestError> {
        if selectors.is_empty() {
            return Err(RequestError::NoSelector);
        }
        if selectors.len() > SELECTORS_MAX {
            return Err(RequestError::TooManySelectors);
        }
        if to < from {
            return Err(RequestError::EndBeforeStart);
        }
        let parse = |selector: &String| {
            promql::parse::parse_selector(selector)
                .map_err(|source| RequestError::Selector { selector: selector.clone(), source })
        };
        let matchers = selectors.iter().map(parse).collect::<Result<_, _>>()?;
        Ok(Self { selectors, matchers, from, to })
    }

    /// The series that it names, in order.
    fn series(&self, catalogue: &super::catalogue::Catalogue) -> Vec<SeriesId> {
        let mut series: Vec<SeriesId> = self
            .matchers
            .iter()
            .flat_map(|matchers| catalogue.select(matchers, usize::MAX - 1))
            .collect();
        series.sort_unstable();
        series.dedup();
        series
    }
}

/// A deletion that was committed, as far as readers have to know it.
#[derive(Debug, Default)]
pub struct Deletion {
    pub id: i64,
    /// In order.
    pub series: Vec<SeriesId>,
    pub from: i64,
    pub to: i64,
    /// It applies to merged blocks up to this job, …
    pub job: i64,
    /// … and to batches and flushed blocks of these writers up to these.
    pub seqs: HashMap<i32, i64>,
}

/// Where samples come from, as far as it says whether they were committed before a deletion.
#[derive(Clone, Copy, Debug)]
pub enum Origin {
    /// A batch, or a block that was flushed.
    Written { writer: i32, seq: i64 },
    /// A block that was merged.
    Merged { job: i64 },
}

impl Origin {
    /// The origin of a row of `watchpost.live_block`, from its columns `age`, `ord`, `ord2` and `writer`.
    pub fn of_block(row: &sqlx::postgres::PgRow) -> Result<Self, sqlx::Error> {
        Ok(if row.try_get::<i32, _>("age")? < 2 {
            Self::Merged { job: row.try_get("ord")? }
        } else {
            Self::of_rank(row.try_get("ord2")?)
        })
    }

    /// The origin of what was flushed, from its rank in the order of commits: the writer above the lower 40 bits.
    pub fn of_rank(rank: i64) -> Self {
        Self::Written { writer: (rank >> 40) as i32, seq: rank & ((1 << 40) - 1) }
    }
}

impl Deletion {
    pub fn reaches(&self, origin: Origin) -> bool {
        match origin {
            Origin::Written { writer, seq } => {
                self.seqs.get(&writer).is_some_and(|upto| seq <= *upto)
            }
            Origin::Merged { job } => job <= self.job,
        }
    }
}

/// Deletions that apply to what comes from one origin.
#[derive(Clone, Debug, Default)]
pub struct Hidden(Vec<Arc<Deletion>>);

impl Hidden {
    pub fn of(deletions: &[Arc<Deletion>], origin: Origin) -> Self {
        Self(deletions.iter().filter(|deletion| deletion.reaches(origin)).cloned().collect())
    }

    /// Whether nothing is hidden.
    pub fn is_nothing(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the sample of a series at this time is hidden.
    pub fn hides(&self, series: SeriesId, ts: i64) -> bool {
        self.0.iter().any(|deletion| {
            (deletion.from..=deletion.to).contains(&ts)
                && deletion.series.binary_search(&series).is_ok()
        })
    }

    /// Hands out which of a series' samples, given by their ascending times, are left, as ranges in order.
    #[inline]
    pub fn visible(&self, series: SeriesId, times: &[i64], mut each: impl FnMut(Range<usize>)) {
        if self.0.is_empty() {
            if !times.is_empty() {
                each(0..times.len());
            }
            return;
        }
        let mut gone: Vec<Range<usize>> = self
            .0
            .iter()
            .filter(|deletion| deletion.series.binary_search(&series).is_ok())
            .map(|deletion| {
                times.partition_point(|ts| *ts < deletion.from)
                    ..times.partition_point(|ts| *ts <= deletion.to)
            })
            .filter(|range| !range.is_empty())
            .collect();
        gone.sort_unstable_by_key(|range| range.start);
        let mut at = 0;
        for range in gone {
            if at < range.start {
                each(at..range.start);
            }
            at = at.max(range.end);
        }
        if at < times.len() {
            each(at..times.len());
        }
    }
}

/// The deletions that one process knows of.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub pending: Arc<Vec<Arc<Deletion>>>,
    /// The newest that was seen, pending or done.
    pub newest: i64,
}

impl Known {
    /// What came since, and without what is done.
    pub async fn refreshed(&self, db: &PgPool) -> Result<Self, sqlx::Error> {
        let rows = sqlx::query(
            "SELECT id, t_from, t_to, job, writers, seqs,
                    CASE WHEN done_at IS NULL AND id > $1 THEN series_ids ELSE '{}' END AS series_ids
               FROM watchpost.deletion WHERE done_at IS NULL OR id > $1 ORDER BY id",
        )
        .bind(self.newest)
        .fetch_all(db)
        .await?;
        let mut refreshed = Self { pending: Arc::default(), newest: self.newest };
        let mut pending = Vec::with_capacity(rows.len());
        for row in rows {
            let id: i64 = row.try_get("id")?;
            let known = self.pending.iter().find(|deletion| deletion.id == id);
            pending.push(match known {
                Some(deletion) => Arc::clone(deletion),
                None => Arc::new(from_row(&row)?),
            });
            refreshed.newest = refreshed.newest.max(id);
        }
        pending.retain(|deletion: &Arc<Deletion>| !deletion.series.is_empty());
        refreshed.pending = Arc::new(pending);
        Ok(refreshed)
    }
}

fn from_row(row: &sqlx::postgres::PgRow) -> Result<Deletion, sqlx::Error> {
    let series: Vec<i64> = row.try_get("series_ids")?;
    let writers: Vec<i32> = row.try_get("writers")?;
    let seqs: Vec<i64> = row.try_get("seqs")?;
    Ok(Deletion {
        id: row.try_get("id")?,
        series: series.into_iter().map(SeriesId).collect(),
        from: row.try_get("t_from")?,
        to: row.try_get("t_to")?,
        job: row.try_get("job")?,
        seqs: writers.into_iter().zip(seqs).collect(),
    })
}

/// Whether there is a deletion newer than `newest`. To be asked in a transaction that writes blocks, after it locked the
/// row that a deletion locks as well.
pub(super) async fn is_news(
    transaction: &mut PgConnection,
    newest: i64,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM watchpost.deletion WHERE id > $1)")
        .bind(newest)
        .fetch_one(transaction)
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_handed_out_in_order() {
        let deletion = |series: &[i64], from, to, seq| {
            Arc::new(Deletion {
                series: series.iter().copied().map(SeriesId).collect(),
                from,
                to,
                seqs: HashMap::from([(1, seq)]),
                ..Deletion::default()
            })
        };
        let all = [
            deletion(&[3, 5], 20, 29, 10),
            deletion(&[5], 25, 40, 10),
            deletion(&[5], 70, i64::MAX, 9),
            deletion(&[4], i64::MIN, i64::MAX, 10),
        ];
        let times = [10, 20, 30, 40, 50, 60, 70];
        let check = |series, seq, expected: &[(usize, usize)]| {
            let hidden = Hidden::of(&all, Origin::Written { writer: 1, seq });
            let mut left = Vec::new();
            hidden.visible(SeriesId(series), &times, |range| left.push((range.start, range.end)));
            assert_eq!(left, expected, "series {series}, seq {seq}");
        };
        check(5, 9, &[(0, 1), (4, 6)]);
        check(5, 10, &[(0, 1), (4, 7)]);
        check(5, 11, &[(0, 7)]);
        check(3, 10, &[(0, 1), (2, 7)]);
        check(4, 10, &[]);
        check(6, 10, &[(0, 7)]);
        let other = Hidden::of(&all, Origin::Written { writer: 2, seq: 1 });
        other.visible(SeriesId(4), &times, |range| assert_eq!(range, 0..7));
    }

    #[test]
    fn requests_say_what_is_wrong_with_them() {
        let check = |selectors: &[&str], from, to, expected: &str| {
            let selectors = selectors.iter().map(|text| (*text).to_owned()).collect();
            let err = Request::new(selectors, from, to).expect_err(expected);
            assert!(service::error::chain(&err).contains(expected), "{err}");
        };
        check(&[], 0, 1, "at least one selector");
        check(&["up"], 2, 1, "before the start");
        check(&["up{"], 0, 1, "selector `up{`");
        check(&["{}"], 0, 1, "non-empty matcher");
        check(&["up"; 65], 0, 1, "more than 64");
    }
}

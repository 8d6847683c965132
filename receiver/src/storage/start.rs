//! When counters started, where their senders say so.
//!
//! A start changes only when a counter is reset, so there is a row for each change instead of a value for each sample: the
//! samples of a series from `ts` on, up to the `ts` of its next row, count from `start_ts`. Samples that say nothing about
//! their start change nothing. A counter cannot start later than at its samples, nor earlier than it did before.

use std::sync::{Arc, RwLock};

use sqlx::{PgConnection, PgPool};

use super::catalogue::Position;
use crate::model::SeriesId;

/// That the sample of a series at `ts` counts from `start_ts`; both in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IncomingStart {
    pub position: Position,
    pub series: SeriesId,
    pub ts: i64,
    pub start_ts: i64,
}

/// What this process knows to be stored: the newest row of each series. Cheap to clone.
///
/// Empty after a start of the process; the database then finds out what is new.
#[derive(Clone, Debug, Default)]
pub struct Starts(Arc<RwLock<Vec<Newest>>>);

#[derive(Clone, Copy, Debug)]
struct Newest {
    ts: i64,
    start_ts: i64,
}

/// Stands for "nothing known".
const NONE: Newest = Newest { ts: i64::MAX, start_ts: 0 };

/// What is to be done about a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It is stored already.
    Known,
    New,
    /// Earlier than it was before: counters do not do that.
    Backwards,
}

impl Starts {
    pub fn judge(&self, position: Position, ts: i64, start_ts: i64) -> Judgement {
        let known = self.0.read().expect("no holder panics");
        let newest = known.get(position.0 as usize).copied().unwrap_or(NONE);
        if ts < newest.ts || start_ts > newest.start_ts {
            Judgement::New
        } else if start_ts == newest.start_ts {
            Judgement::Known
        } else {
            Judgement::Backwards
        }
    }

    /// Takes note of what was committed.
    pub(super) fn learn(&self, committed: &[IncomingStart]) {
        if committed.is_empty() {
            return;
        }
        let mut known = self.0.write().expect("no holder panics");
        for start in committed {
            let at = start.position.0 as usize;
            if known.len() <= at {
                // Grows with the catalogue, a little ahead so that one new series does not copy everything.
                let len = (at + 1).max(known.len() + known.len() / 8);
                known.resize(len, NONE);
            }
            if known[at].ts == i64::MAX || start.ts >= known[at].ts {
                known[at] = Newest { ts: start.ts, start_ts: start.start_ts };
            }
        }
    }
}

/// Brings starts in order, and leaves out what says the same as the one before it.
pub(super) fn tidy(starts: &mut Vec<IncomingStart>) {
    starts.sort_by_key(|start| (start.series, start.ts));
    starts.dedup_by(|later, earlier| {
        later.series == earlier.series
            && (later.ts == earlier.ts || later.start_ts == earlier.start_ts)
    });
}

/// Inserts what changes something; see [`tidy`] for the order.
pub(super) async fn insert(
    connection: &mut PgConnection,
    starts: &[IncomingStart],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO watchpost.start (series_id, ts, start_ts)
         SELECT n.series_id, n.ts, n.start_ts
           FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS n (series_id, ts, start_ts)
          WHERE n.start_ts IS DISTINCT FROM watchpost.start_at(n.series_id, n.ts)
          ORDER BY n.series_id, n.ts
         ON CONFLICT ON CONSTRAINT start_pkey DO NOTHING",
    )
    .bind(starts.iter().map(|start| start.series.0).collect::<Vec<_>>())
    .bind(starts.iter().map(|start| start.ts).collect::<Vec<_>>())
    .bind(starts.iter().map(|start| start.start_ts).collect::<Vec<_>>())
    .execute(connection)
    .await
    .map(drop)
}

/// Drops what was superseded before `oldest`, in milliseconds: no sample that is kept refers to it.
pub(super) async fn drop_old(db: &PgPool, oldest: i64) -> Result<(), sqlx::Error> {
    sqlx::query(
        "DELETE FROM watchpost.start s
          WHERE s.ts < $1 AND EXISTS (SELECT FROM watchpost.start later
                                       WHERE later.series_id = s.series_id AND later.ts > s.ts AND later.ts <= $1)",
    )
    .bind(oldest)
    .execute(db)
    .await
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(series: i64, ts: i64, start_ts: i64) -> IncomingStart {
        let position = Position(series as u32);
        IncomingStart { position, series: SeriesId(series), ts, start_ts }
    }

    #[test]
    fn only_changes_are_new() {
        let starts = Starts::default();
        assert_eq!(starts.judge(Position(3), 100, 50), Judgement::New);
        starts.learn(&[start(3, 100, 50)]);
        assert_eq!(starts.judge(Position(3), 100, 50), Judgement::Known);
        assert_eq!(starts.judge(Position(3), 200, 50), Judgement::Known);
        assert_eq!(starts.judge(Position(3), 200, 150), Judgement::New);
        assert_eq!(starts.judge(Position(3), 200, 40), Judgement::Backwards);
        // Of an earlier time this process knows nothing.
        assert_eq!(starts.judge(Position(3), 99, 40), Judgement::New);
        assert_eq!(starts.judge(Position(2), 100, 50), Judgement::New);
        starts.learn(&[start(3, 99, 40)]);
        assert_eq!(starts.judge(Position(3), 200, 50), Judgement::Known);
    }

    #[test]
    fn repeated_starts_are_told_once() {
        let mut starts = vec![start(2, 20, 5), start(1, 30, 9), start(1, 10, 5), start(1, 20, 5)];
        starts.push(start(1, 30, 9));
        tidy(&mut starts);
        assert_eq!(starts, [start(1, 10, 5), start(1, 30, 9), start(2, 20, 5)]);
    }
}

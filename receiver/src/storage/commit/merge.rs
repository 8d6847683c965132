//! Several requests become the rows of one batch: sorted, each sample once.
//!
//! A sample that is there already with the same bits is a success that writes nothing: senders repeat what they got no
//! answer for. One with other bits is a conflict: what is stored stays, and its sender is told.

use super::{
    super::{
        batch::{HistogramRow, Row},
        catalogue::Position,
        head::{Head, Latest},
    },
    Incoming,
};
use crate::model::{PackId, Sample, SeriesId};

/// Conflicts that a request is told in detail; all are counted.
const CONFLICTS_TOLD_MAX: usize = 8;

/// What became of one request.
#[derive(Debug, Default, PartialEq)]
pub struct Appended {
    /// Samples that were stored, now or before.
    pub written: usize,
    /// Of these, how many are native histograms.
    pub histograms: usize,
    /// Of these, how many were there before.
    pub duplicates: usize,
    /// Samples that were refused because another value is stored for their time.
    pub conflicts: usize,
    /// The first of them.
    pub conflicting: Vec<Conflict>,
    /// Exemplars that were stored, now or before.
    pub exemplars: usize,
}

/// A sample for a time at which its series has another value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conflict {
    pub series: SeriesId,
    pub ts: i64,
}

/// The rows of one batch.
#[derive(Debug)]
pub(super) struct Merged {
    /// Sorted by pack, series and time, no two of one series and time.
    pub rows: Vec<Row>,
    /// The newest sample of each series among the rows.
    pub newest: Vec<(Position, Sample)>,
    /// Sorted by pack and series, each series once, its histograms by time, no two of one time.
    pub histograms: Vec<HistogramRow>,
    /// The time of the newest histogram of each series among them.
    pub newest_histograms: Vec<(Position, i64)>,
    pub t_min: i64,
    pub t_max: i64,
}

impl Merged {
    pub(super) fn n_samples(&self) -> usize {
        self.rows.len() + self.histograms.iter().map(|row| row.samples.len()).sum::<usize>()
    }
}

/// Where a sample stands among all requests. Sorting these instead of the samples moves 16 bytes for each, and compares
/// integers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    /// Pack, then series: the order of the batch. The catalogue takes no series whose number has more than 32 bits.
    place: u64,
    /// Request, then sample: the order of arrival.
    arrival: u64,
}

impl Key {
    fn new(incoming: &Incoming, request: usize, at: usize) -> Self {
        let (pack, series) = (incoming.known.pack.0 as u32, incoming.known.series.0 as u32);
        Self {
            place: u64::from(pack) << 32 | u64::from(series),
            arrival: (request as u64) << 32 | at as u64,
        }
    }

    fn request(self) -> usize {
        (self.arrival >> 32) as usize
    }

    fn of(self, requests: &[Vec<Incoming>]) -> &Incoming {
        &requests[self.request()][self.arrival as u32 as usize]
    }
}

/// Merges requests, leaving out what `head` or the batch in flight (`before`) has already.
pub(super) fn merge(
    requests: &[Vec<Incoming>],
    head: &Head,
    before: Option<&Merged>,
) -> (Merged, Vec<Appended>) {
    let mut appended: Vec<Appended> = requests.iter().map(|_| Appended::default()).collect();
    let mut keys: Vec<Key> = Vec::with_capacity(requests.iter().map(Vec::len).sum());
    for (request, samples) in requests.iter().enumerate() {
        keys.extend(samples.iter().enumerate().map(|(at, s)| Key::new(s, request, at)));
    }
    keys.sort_unstable();

    let mut merged = Merged {
        rows: Vec::with_capacity(keys.len()),
        newest: Vec::with_capacity(keys.len()),
        histograms: Vec::new(),
        newest_histograms: Vec::new(),
        t_min: i64::MAX,
        t_max: i64::MIN,
    };
    let mut in_flight = InFlight { rows: before.map_or(&[], |before| &before.rows), at: 0 };
    let latest = head.latest_all();
    let mut late = Vec::new();
    for series in keys.chunk_by_mut(|a, b| a.place == b.place) {
        if series.len() > 1 && !series.is_sorted_by_key(|key| key.of(requests).sample.ts) {
            // Of two values for one time the first to arrive is kept.
            series.sort_by_key(|key| key.of(requests).sample.ts);
        }
        let known = series[0].of(requests).known;
        let flying = in_flight.of(known.pack, known.series);
        let last = newest_of(&latest, known.position, flying);
        let start = merged.rows.len();
        for key in &*series {
            let sample = key.of(requests).sample;
            let row =
                Row { pack: known.pack, series: known.series, ts: sample.ts, value: sample.value };
            let stored = if let Some(previous) =
                merged.rows[start..].last().filter(|previous| previous.ts == row.ts)
            {
                Some(previous.value)
            } else if row.ts > last.ts {
                None
            } else if row.ts == last.ts {
                Some(last.value)
            } else if let Some(row) = flying.iter().find(|flying| flying.ts == row.ts) {
                Some(row.value)
            } else {
                // Older than the newest: only the head knows. Looked up below, without holding its lock.
                late.push(Late { at: merged.rows.len(), request: key.request() });
                None
            };
            let outcome = &mut appended[key.request()];
            match stored {
                None => {
                    merged.t_min = merged.t_min.min(row.ts);
                    merged.t_max = merged.t_max.max(row.ts);
                    merged.rows.push(row);
                    outcome.written += 1;
                }
                Some(value) => outcome.already(row, value),
            }
        }
        if let Some(newest) = merged.rows[start..].last() {
            merged.newest.push((known.position, Sample { ts: newest.ts, value: newest.value }));
        }
    }
    drop(latest);
    if !late.is_empty() {
        leave_out_what_head_has(&mut merged, &late, head, &mut appended);
    }
    (merged, appended)
}

/// The rows of the batch in flight, read alongside.
struct InFlight<'a> {
    rows: &'a [Row],
    at: usize,
}

impl<'a> InFlight<'a> {
    /// The rows of one series. Quick if asked in order.
    fn of(&mut self, pack: PackId, series: SeriesId) -> &'a [Row] {
        let place = (pack, series);
        let place_of = |row: &Row| (row.pack, row.series);
        if self.at > 0 && place_of(&self.rows[self.at - 1]) >= place {
            self.at = self.rows.partition_point(|row| place_of(row) < place);
        }
        while self.at < self.rows.len() && place_of(&self.rows[self.at]) < place {
            self.at += 1;
        }
        let rest = &self.rows[self.at..];
        &rest[..rest.iter().take_while(|row| row.series == series).count()]
    }
}

fn newest_of(latest: &Latest<'_>, position: Position, flying: &[Row]) -> Sample {
    let committed = latest.get(position);
    match flying.last() {
        Some(row) if row.ts >= committed.ts => Sample { ts: row.ts, value: row.value },
        _ => committed,
    }
}

/// A row older than the newest of its series.
struct Late {
    at: usize,
    request: usize,
}

/// The rare way: samples that came late are looked up in the head one by one.
fn leave_out_what_head_has(
    merged: &mut Merged,
    late: &[Late],
    head: &Head,
    appended: &mut [Appended],
) {
    let mut left_out = Vec::new();
    for Late { at, request } in late {
        let row = merged.rows[*at];
        // A head that cannot be read is a bug that reading will report; storing a sample twice is harmless.
        if let Ok(Some(value)) = head.at(row.pack, row.series, row.ts) {
            let outcome = &mut appended[*request];
            outcome.written -= 1;
            outcome.already(row, value);
            left_out.push(*at);
        }
    }
    if left_out.is_empty() {
        return;
    }
    let mut at = 0;
    merged.rows.retain(|_| {
        at += 1;
        left_out.binary_search(&(at - 1)).is_err()
    });
}

impl Appended {
    /// A sample whose time is taken by `stored`.
    fn already(&mut self, row: Row, stored: f64) {
        if row.value.to_bits() == stored.to_bits() {
            self.written += 1;
            self.duplicates += 1;
        } else {
            self.conflict(row.series, row.ts);
        }
    }

    pub(super) fn conflict(&mut self, series: SeriesId, ts: i64) {
        self.conflicts += 1;
        if self.conflicting.len() < CONFLICTS_TOLD_MAX {
            self.conflicting.push(Conflict { series, ts });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{
        batch::{Batch, Encoder},
        catalogue::Known,
        head::Run,
    };

    fn incoming(series: i64, ts: i64, value: f64) -> Incoming {
        let known =
            Known { position: Position(series as u32), pack: PackId(1), series: SeriesId(series) };
        Incoming { known, sample: Sample { ts, value } }
    }

    fn push(head: &Head, seq: i64, merged: &Merged) {
        let batch = Batch::open(Encoder::default().encode(&merged.rows).into()).unwrap();
        let run = Run { writer: 1, seq, t_min: merged.t_min, t_max: merged.t_max, batch };
        head.push(run, merged.newest.iter().copied());
    }

    fn rows(merged: &Merged) -> Vec<(i64, i64, f64)> {
        merged.rows.iter().map(|row| (row.series.0, row.ts, row.value)).collect()
    }

    #[test]
    fn duplicates_succeed_and_conflicts_are_told() {
        let head = Head::default();
        let (first, outcomes) = merge(
            &[
                vec![incoming(2, 10, 1.0), incoming(1, 10, 5.0), incoming(1, 5, 4.0)],
                vec![incoming(2, 10, 1.0), incoming(2, 10, 9.0)],
            ],
            &head,
            None,
        );
        assert_eq!(rows(&first), [(1, 5, 4.0), (1, 10, 5.0), (2, 10, 1.0)]);
        assert_eq!((outcomes[0].written, outcomes[0].duplicates), (3, 0));
        assert_eq!((outcomes[1].written, outcomes[1].duplicates, outcomes[1].conflicts), (1, 1, 1));
        assert_eq!(outcomes[1].conflicting, [Conflict { series: SeriesId(2), ts: 10 }]);

        // The same again while the first batch is in flight, and after it was committed.
        let again = [vec![
            incoming(1, 5, 4.0),
            incoming(1, 10, 5.0),
            incoming(1, 7, 6.0),
            incoming(2, 10, 2.0),
        ]];
        for committed in [false, true] {
            let before = (!committed).then_some(&first);
            if committed {
                push(&head, 1, &first);
            }
            let (merged, outcomes) = merge(&again, &head, before);
            assert_eq!(rows(&merged), [(1, 7, 6.0)], "committed: {committed}");
            assert_eq!(
                (outcomes[0].written, outcomes[0].duplicates, outcomes[0].conflicts),
                (3, 2, 1)
            );
        }
    }

    #[test]
    fn a_staleness_marker_repeated_is_a_duplicate() {
        let head = Head::default();
        let stale = f64::from_bits(0x7ff0_0000_0000_0002);
        let (merged, _) = merge(&[vec![incoming(1, 10, stale)]], &head, None);
        push(&head, 1, &merged);
        let (merged, outcomes) =
            merge(&[vec![incoming(1, 10, stale), incoming(1, 10, f64::NAN)]], &head, None);
        assert!(merged.rows.is_empty());
        assert_eq!((outcomes[0].duplicates, outcomes[0].conflicts), (1, 1));
        assert_eq!(head.latest(Position(1)).map(|s| s.ts), Some(10));
    }
}

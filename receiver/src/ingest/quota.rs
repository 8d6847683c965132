//! How many series a job may have and make: a job that explodes harms itself and nobody else.
//!
//! A series is active if it was written within the last [`WINDOW_MS`] to twice that. One that is active stays welcome;
//! one that is not is let in while its job has room, and refused with 400 otherwise. What is counted is counted after it
//! is stored, so that requests that fail and come again count once; requests that come at the same moment do not see each
//! other, and together may go a little beyond.
//!
//! Everything is in this process: a receiver that starts counts anew, and each of several counts what it takes.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, RwLock, RwLockReadGuard,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use serde::Deserialize;

use super::Reason;
use crate::storage::catalogue::Position;

/// Two of these make the time after which a series that is not written is not active: longer than any usual interval.
const WINDOW_MS: i64 = 10 * 60 * 1000;
const MINUTE_MS: i64 = 60_000;
/// Jobs that are counted each for itself; those that come after them share one account.
const JOBS_MAX: usize = 10_000;
const OTHER_JOBS: &str = "";

/// The section `limits` of the configuration file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Of each job that is not named below.
    pub active_series: Option<u64>,
    pub new_series_per_minute: Option<u64>,
    /// Of single jobs; what is not said is as above.
    pub jobs: BTreeMap<String, JobSettings>,
}

/// The limits of one job.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JobSettings {
    pub active_series: Option<u64>,
    pub new_series_per_minute: Option<u64>,
}

impl Settings {
    fn of(&self, job: &str) -> JobSettings {
        let own = self.jobs.get(job).copied().unwrap_or_default();
        JobSettings {
            active_series: own.active_series.or(self.active_series),
            new_series_per_minute: own.new_series_per_minute.or(self.new_series_per_minute),
        }
    }
}

/// See the [module](self). Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Quotas(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    written: RwLock<Written>,
    /// When the present window began, in milliseconds since the Unix epoch.
    window_began: AtomicI64,
    jobs: Mutex<HashMap<Box<str>, Job>>,
}

/// A bit for each series: whether it was written in the present window, and in the one before.
#[derive(Debug, Default)]
pub(super) struct Written {
    now: Vec<AtomicU64>,
    before: Vec<AtomicU64>,
}

#[derive(Debug, Default)]
struct Job {
    written_now: u64,
    /// And not now.
    written_before: u64,
    minute: i64,
    created: u64,
}

impl Job {
    fn active(&self) -> u64 {
        self.written_now + self.written_before
    }

    fn created_in(&self, minute: i64) -> u64 {
        if self.minute == minute { self.created } else { 0 }
    }
}

fn bit(position: Position) -> (usize, u64) {
    (position.0 as usize / 64, 1 << (position.0 % 64))
}

fn is_set(bits: &[AtomicU64], position: Position) -> bool {
    let (word, bit) = bit(position);
    bits.get(word).is_some_and(|word| word.load(Ordering::Relaxed) & bit != 0)
}

impl Written {
    /// Whether a series was written lately enough that nothing need be asked.
    #[inline]
    pub(super) fn is_counted(&self, position: Position) -> bool {
        is_set(&self.now, position)
    }

    /// `true`: it was not set before. What is beyond the end is counted another time.
    fn set(&self, position: Position) -> bool {
        let (word, bit) = bit(position);
        self.now.get(word).is_some_and(|word| word.fetch_or(bit, Ordering::Relaxed) & bit == 0)
    }
}

fn job_of<'j>(jobs: &'j mut HashMap<Box<str>, Job>, name: &str) -> &'j mut Job {
    let name = if jobs.contains_key(name) || jobs.len() < JOBS_MAX { name } else { OTHER_JOBS };
    jobs.entry(name.into()).or_default()
}

impl Quotas {
    /// Makes room for as many series and begins a new window if it is time. To be called before [`Self::written`].
    pub(super) fn prepare(&self, n_series: usize, now: i64) {
        let age = |began: i64| now.saturating_sub(began);
        let is_due = age(self.0.window_began.load(Ordering::Relaxed)) >= WINDOW_MS;
        if !is_due && self.written().now.len() * 64 >= n_series {
            return;
        }
        let mut written = self.0.written.write().expect("no holder panics");
        let began = self.0.window_began.load(Ordering::Relaxed);
        if age(began) >= WINDOW_MS {
            let mut jobs = self.0.jobs.lock().expect("no holder panics");
            written.before = std::mem::take(&mut written.now);
            for job in jobs.values_mut() {
                job.written_before = std::mem::take(&mut job.written_now);
            }
            if age(began) >= 2 * WINDOW_MS {
                written.before.clear();
                jobs.clear();
            }
            jobs.retain(|_, job| job.active() > 0);
            self.0.window_began.store(now, Ordering::Relaxed);
        }
        let n_words = n_series.div_ceil(64).max(written.now.len());
        written.now.resize_with(n_words, AtomicU64::default);
    }

    /// For many questions under one lock. Drop it before anything is awaited.
    pub(super) fn written(&self) -> RwLockReadGuard<'_, Written> {
        self.0.written.read().expect("no holder panics")
    }

    /// Lets in a series that is known, and was not written in this window.
    pub(super) fn admit(
        &self,
        settings: &Settings,
        written: &Written,
        position: Position,
        job: &str,
    ) -> Result<(), Reason> {
        let limit = settings.of(job).active_series.unwrap_or(u64::MAX);
        let mut jobs = self.0.jobs.lock().expect("no holder panics");
        let account = job_of(&mut jobs, job);
        let was_active = is_set(&written.before, position);
        if !was_active && !written.is_counted(position) && account.active() >= limit {
            return Err(Reason::TooManyActiveSeries);
        }
        if written.set(position) {
            account.written_now += 1;
            account.written_before -= u64::from(was_active).min(account.written_before);
        }
        Ok(())
    }

    /// Whether a job may have one more series, besides `pending` that are about to be made.
    pub(super) fn may_create(
        &self,
        settings: &Settings,
        job: &str,
        pending: u64,
        now: i64,
    ) -> Result<(), Reason> {
        let JobSettings { active_series, new_series_per_minute } = settings.of(job);
        let mut jobs = self.0.jobs.lock().expect("no holder panics");
        let account = job_of(&mut jobs, job);
        if account.active() + pending >= active_series.unwrap_or(u64::MAX) {
            return Err(Reason::TooManyActiveSeries);
        }
        let created = account.created_in(now.div_euclid(MINUTE_MS));
        if created + pending >= new_series_per_minute.unwrap_or(u64::MAX) {
            return Err(Reason::TooManyNewSeries);
        }
        Ok(())
    }

    /// Counts series that were made, or found in the database.
    pub(super) fn created<'j>(
        &self,
        series: impl IntoIterator<Item = (Position, &'j str)>,
        now: i64,
    ) {
        let written = self.written();
        let mut jobs = self.0.jobs.lock().expect("no holder panics");
        let minute = now.div_euclid(MINUTE_MS);
        for (position, job) in series {
            // Set already: it was known and has been let in.
            if written.set(position) {
                let account = job_of(&mut jobs, job);
                account.written_now += 1;
                account.created = account.created_in(minute) + 1;
                account.minute = minute;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(active: u64, new: u64) -> Settings {
        let big = JobSettings { active_series: Some(1000), new_series_per_minute: None };
        Settings {
            active_series: Some(active),
            new_series_per_minute: Some(new),
            jobs: BTreeMap::from([("big".to_owned(), big)]),
        }
    }

    #[test]
    fn what_is_not_written_any_more_makes_room() {
        let (quotas, settings, start) = (Quotas::default(), settings(2, 100), 1_800_000_000_000);
        let write = |position: u32, now: i64| {
            quotas.prepare(100, now);
            let written = quotas.written();
            quotas.admit(&settings, &written, Position(position), "a")
        };
        assert_eq!((write(1, start), write(2, start), write(1, start)), (Ok(()), Ok(()), Ok(())));
        assert_eq!(write(3, start), Err(Reason::TooManyActiveSeries));
        // The next window: 1 goes on, and 2 still counts.
        let next = start + WINDOW_MS;
        assert_eq!(write(1, next), Ok(()));
        assert_eq!(write(3, next), Err(Reason::TooManyActiveSeries));
        assert_eq!(write(2, next), Ok(()));
        // Then 2 has been silent for a whole window.
        let third = next + WINDOW_MS;
        assert_eq!(write(1, third), Ok(()));
        assert_eq!(write(3, third), Err(Reason::TooManyActiveSeries));
        let fourth = third + WINDOW_MS;
        assert_eq!((write(1, fourth), write(3, fourth)), (Ok(()), Ok(())));
        assert_eq!(write(2, fourth), Err(Reason::TooManyActiveSeries));
        // Nothing for long: nothing is active.
        let later = fourth + 3 * WINDOW_MS;
        assert_eq!((write(7, later), write(8, later)), (Ok(()), Ok(())));
        assert_eq!(write(9, later), Err(Reason::TooManyActiveSeries));
    }

    #[test]
    fn new_series_are_counted_by_the_minute_and_job() {
        let (quotas, settings, now) = (Quotas::default(), settings(100, 3), 1_800_000_000_000);
        quotas.prepare(100, now);
        let may = |job: &str, pending, now| quotas.may_create(&settings, job, pending, now);
        assert_eq!(may("a", 2, now), Ok(()));
        assert_eq!(may("a", 3, now), Err(Reason::TooManyNewSeries));
        quotas.created([(Position(1), "a"), (Position(2), "a"), (Position(1), "a")], now);
        assert_eq!((may("a", 0, now), may("a", 1, now)), (Ok(()), Err(Reason::TooManyNewSeries)));
        assert_eq!(may("b", 2, now), Ok(()), "another job");
        // What is not said of a job is as for all.
        assert_eq!(may("big", 3, now), Err(Reason::TooManyNewSeries));
        assert_eq!(may("a", 2, now + MINUTE_MS), Ok(()));
    }
}

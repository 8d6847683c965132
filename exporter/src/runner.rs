//! Running collectors so that a stuck one harms only itself.
//!
//! One scrape is one [`Round`]: a list of collectors that a thread works off one after the other, which costs a single
//! wake-up. When a collector takes longer than [`PATIENCE`], another thread takes over the rest of the list; when the
//! round's deadline passes, the scrape goes out with what is there. The collector that was late keeps its thread until
//! it returns and is skipped by later rounds, so that there is at most one thread for each stuck collector.

use std::{
    any::Any,
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use proto::exposition::Exposition;
use tokio::sync::Notify;
use tracing::{debug, error, info, warn};

use crate::collector::{Collector, Error};

/// How long a collector may hold up the others before another thread takes over.
const PATIENCE: Duration = Duration::from_millis(100);
/// Threads that are not stuck. One suffices for an ordinary scrape; the others are for slow collectors and for
/// scrapes that overlap.
const WORKERS_MAX: usize = 4;
/// How long a thread waits for work before it ends; the last one stays.
const IDLE_MAX: Duration = Duration::from_secs(10);
/// Collectors use little stack; glibc's 8 MiB would only be address space, but in a memory-limited cgroup without
/// overcommit it counts.
const STACK_BYTES: usize = 512 << 10;

/// How a collector fared in one round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) collector: &'static str,
    pub(crate) duration: Duration,
    /// `None` for success.
    pub(crate) failure: Option<Failure>,
}

/// Why a collector failed; the value of the label `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    NoData,
    NotBuilt,
    Permission,
    Parse,
    Timeout,
    Panic,
    Error,
}

impl Failure {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::NoData => "no_data",
            Self::NotBuilt => "not_built",
            Self::Permission => "permission",
            Self::Parse => "parse",
            Self::Timeout => "timeout",
            Self::Panic => "panic",
            Self::Error => "error",
        }
    }

    fn of(err: &Error) -> Self {
        match err {
            Error::NoData { .. } => Self::NoData,
            Error::NotBuilt { .. } => Self::NotBuilt,
            Error::Parse { .. } => Self::Parse,
            Error::Read { source, .. } | Error::System { source, .. }
                if source.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                Self::Permission
            }
            Error::Read { .. } | Error::System { .. } => Self::Error,
        }
    }
}

/// Runs rounds over a fixed set of collectors. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Runner(Arc<Handle>);

/// Tells the threads to end when the last [`Runner`] goes.
struct Handle(Arc<Shared>);

struct Shared {
    slots: Vec<Slot>,
    work: Mutex<Work>,
    wake: Condvar,
}

struct Work {
    rounds: VecDeque<Arc<Round>>,
    /// Threads that wait for a round.
    idle: usize,
    /// All threads.
    workers: usize,
    /// Threads inside a collector that is late.
    stuck: usize,
    /// No runner is left: threads end.
    closed: bool,
}

/// The home of one collector.
struct Slot {
    name: &'static str,
    state: Mutex<State>,
    freed: Condvar,
}

struct State {
    /// `None` while a thread has it.
    collector: Option<Box<dyn Collector>>,
    /// Threads of overlapping scrapes that wait for it; waking nobody would cost a system call for each collector.
    waiting: usize,
    /// The thread that has it overran a deadline.
    late: bool,
    /// The failure logged last, so that a log line is written when things change and not at each scrape.
    logged: Option<Failure>,
}

/// One scrape's worth of work.
struct Round {
    members: Vec<usize>,
    next: AtomicUsize,
    deadline: Instant,
    progress: Mutex<Progress>,
    /// Told when the last member has reported.
    done: Notify,
}

struct Progress {
    out: Exposition,
    reports: Vec<Report>,
    /// The scrape went out: whatever comes now is too late.
    closed: bool,
}

impl Runner {
    pub(crate) fn new(collectors: Vec<(&'static str, Box<dyn Collector>)>) -> Self {
        let slots = collectors
            .into_iter()
            .map(|(name, collector)| Slot {
                name,
                state: Mutex::new(State {
                    collector: Some(collector),
                    waiting: 0,
                    late: false,
                    logged: None,
                }),
                freed: Condvar::new(),
            })
            .collect();
        let work = Work { rounds: VecDeque::new(), idle: 0, workers: 0, stuck: 0, closed: false };
        let shared = Shared { slots, work: Mutex::new(work), wake: Condvar::new() };
        Self(Arc::new(Handle(Arc::new(shared))))
    }

    /// The names of the collectors; positions are what [`Self::run`] takes.
    pub(crate) fn names(&self) -> impl ExactSizeIterator<Item = &'static str> {
        self.0.0.slots.iter().map(|slot| slot.name)
    }

    /// Runs the collectors at `members` and adds what they have to `out`; returns at `deadline` at the latest.
    ///
    /// Cancel-safe: a dropped call leaves its round to end on its own.
    pub(crate) async fn run(
        &self,
        members: Vec<usize>,
        deadline: Instant,
        out: Exposition,
    ) -> (Exposition, Vec<Report>) {
        let reports = Vec::with_capacity(members.len());
        let round = Arc::new(Round {
            members,
            next: AtomicUsize::new(0),
            deadline,
            progress: Mutex::new(Progress { out, reports, closed: false }),
            done: Notify::new(),
        });
        if round.members.is_empty() {
            return round.close(&self.0.0);
        }
        let mut n_seen = 0;
        self.0.0.submit(&round);
        loop {
            let until = deadline.min(Instant::now() + PATIENCE);
            if tokio::time::timeout_at(until.into(), round.done.notified()).await.is_ok() {
                break;
            }
            if Instant::now() >= deadline {
                break;
            }
            let n_reports = lock(&round.progress).reports.len();
            if n_reports == n_seen {
                self.0.0.submit(&round);
            }
            n_seen = n_reports;
        }
        round.close(&self.0.0)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        lock(&self.0.work).closed = true;
        self.0.wake.notify_all();
    }
}

impl Shared {
    /// Hands a round to a thread, starting one if none is free.
    fn submit(self: &Arc<Self>, round: &Arc<Round>) {
        let mut work = lock(&self.work);
        work.rounds.push_back(Arc::clone(round));
        if work.idle >= work.rounds.len() {
            self.wake.notify_one();
            return;
        }
        if work.workers >= WORKERS_MAX + work.stuck {
            return;
        }
        work.workers += 1;
        drop(work);
        let shared = Arc::clone(self);
        let started = std::thread::Builder::new()
            .name("collect".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || shared.work());
        if let Err(err) = started {
            lock(&self.work).workers -= 1;
            error!("start a thread for collecting: {err}");
        }
    }

    /// The life of a thread.
    fn work(self: Arc<Self>) {
        let mut buffer = Exposition::new();
        while let Some(round) = self.next_round() {
            while let Some(member) = round.take() {
                self.run_member(&round, member, &mut buffer);
            }
        }
    }

    /// The next round to work on; `None` when this thread should end, which it has then been deducted for.
    fn next_round(&self) -> Option<Arc<Round>> {
        let mut work = lock(&self.work);
        loop {
            if work.closed || work.workers > WORKERS_MAX + work.stuck {
                work.workers -= 1;
                return None;
            }
            if let Some(round) = work.rounds.pop_front() {
                return Some(round);
            }
            work.idle += 1;
            let (woken, waited) =
                self.wake.wait_timeout(work, IDLE_MAX).expect("no holder of this lock panics");
            work = woken;
            work.idle -= 1;
            if waited.timed_out() && work.workers > 1 && work.rounds.is_empty() {
                work.workers -= 1;
                return None;
            }
        }
    }

    fn run_member(&self, round: &Round, member: usize, buffer: &mut Exposition) {
        let slot = &self.slots[member];
        let Some(mut collector) = slot.take(round.deadline) else {
            let report = Report {
                collector: slot.name,
                duration: Duration::ZERO,
                failure: Some(Failure::Timeout),
            };
            round.report(report, buffer);
            return;
        };
        let started = Instant::now();
        // Unwind-safe: what a collector keeps are caches and earlier values, each replaced at the next run.
        let outcome = catch_unwind(AssertUnwindSafe(|| collector.collect(buffer)));
        let duration = started.elapsed();
        let failure = match &outcome {
            Ok(Ok(())) => None,
            Ok(Err(err)) => Some(Failure::of(err)),
            Err(_) => {
                buffer.clear();
                Some(Failure::Panic)
            }
        };
        let was_late = slot.put_back(collector, failure, || match outcome {
            Ok(Ok(())) => String::new(),
            Ok(Err(err)) => service::error::chain(&err),
            Err(panic) => format!("panicked: {}", panic_text(panic.as_ref())),
        });
        if was_late {
            lock(&self.work).stuck -= 1;
            info!(
                collector = slot.name,
                duration_ms = duration.as_millis() as u64,
                "collector {} came back after being late",
                slot.name
            );
        }
        round.report(Report { collector: slot.name, duration, failure }, buffer);
    }
}

impl Slot {
    /// Takes the collector out; `None` when it is stuck or stays busy until `deadline`.
    fn take(&self, deadline: Instant) -> Option<Box<dyn Collector>> {
        let mut state = lock(&self.state);
        loop {
            if let Some(collector) = state.collector.take() {
                return Some(collector);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if state.late || left.is_zero() {
                return None;
            }
            // Busy in a scrape that overlaps with ours.
            state.waiting += 1;
            state = self.freed.wait_timeout(state, left).expect("no holder of this lock panics").0;
            state.waiting -= 1;
        }
    }

    /// Puts it back; says whether it had been late.
    fn put_back(
        &self,
        collector: Box<dyn Collector>,
        failure: Option<Failure>,
        explain: impl FnOnce() -> String,
    ) -> bool {
        let mut state = lock(&self.state);
        state.collector = Some(collector);
        let was_late = std::mem::take(&mut state.late);
        let changed = state.logged != failure;
        state.logged = failure;
        let is_awaited = state.waiting > 0;
        drop(state);
        if is_awaited {
            self.freed.notify_all();
        }
        let name = self.name;
        match failure {
            _ if !changed => {}
            None => info!(collector = name, "collector {name} works again"),
            // The latter was told at the start.
            Some(Failure::NoData | Failure::NotBuilt) => {
                debug!(collector = name, "collector {name}: {}", explain());
            }
            // Usual for an exporter without privileges, as it should be run.
            Some(Failure::Permission) => {
                info!(collector = name, "collector {name}: {}", explain());
            }
            Some(_) => warn!(collector = name, "collector {name}: {}", explain()),
        }
        was_late
    }
}

impl Round {
    /// The next collector to run.
    fn take(&self) -> Option<usize> {
        if Instant::now() >= self.deadline {
            return None;
        }
        self.members.get(self.next.fetch_add(1, Ordering::Relaxed)).copied()
    }

    /// Hands in what a collector wrote and how it fared.
    fn report(&self, report: Report, buffer: &mut Exposition) {
        let mut progress = lock(&self.progress);
        if progress.closed {
            buffer.clear();
            return;
        }
        progress.out.append(buffer);
        progress.reports.push(report);
        if progress.reports.len() == self.members.len() {
            self.done.notify_one();
        }
    }

    /// Takes what there is; members that have not reported are late from now on.
    fn close(&self, shared: &Shared) -> (Exposition, Vec<Report>) {
        let mut progress = lock(&self.progress);
        progress.closed = true;
        let out = std::mem::take(&mut progress.out);
        let mut reports = std::mem::take(&mut progress.reports);
        drop(progress);
        if reports.len() == self.members.len() {
            return (out, reports);
        }
        for member in &self.members {
            let slot = &shared.slots[*member];
            if reports.iter().any(|report| report.collector == slot.name) {
                continue;
            }
            reports.push(Report {
                collector: slot.name,
                duration: Duration::ZERO,
                failure: Some(Failure::Timeout),
            });
            let mut state = lock(&slot.state);
            let newly_late = state.collector.is_none() && !state.late;
            if newly_late {
                state.late = true;
                state.logged = Some(Failure::Timeout);
                // Inside the slot's lock, so that its return cannot be counted before its being late.
                lock(&shared.work).stuck += 1;
                slot.freed.notify_all();
                warn!(
                    collector = slot.name,
                    "collector {} is stuck: it is left out until it returns", slot.name
                );
            }
        }
        (out, reports)
    }
}

/// No code that holds one of our locks panics, so none is ever poisoned.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no holder of this lock panics")
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text,
        (None, None) => "without a message",
    }
}

#[cfg(test)]
mod tests;

//! Which phase a probe is in, and how long each has taken.

use std::time::Duration;

use tokio::time::Instant;

use crate::failure::Phase;

/// A stopwatch with a hand for each phase; the present phase always runs.
#[derive(Debug)]
pub(super) struct Timeline {
    past: Vec<(Phase, Duration)>,
    phase: Phase,
    since: Instant,
}

impl Default for Timeline {
    fn default() -> Self {
        Self { past: Vec::new(), phase: Phase::Setup, since: Instant::now() }
    }
}

impl Timeline {
    /// Ends the present phase and begins another.
    pub(super) fn enter(&mut self, phase: Phase) {
        self.past.push((self.phase, self.since.elapsed()));
        self.phase = phase;
        self.since = Instant::now();
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    /// The time spent in a phase; `None` where it was never entered.
    pub(super) fn time_of(&self, phase: Phase) -> Option<Duration> {
        let present = (self.phase == phase).then(|| self.since.elapsed());
        let past = self.past.iter().filter(|(past, _)| *past == phase).map(|(_, time)| *time);
        past.chain(present).reduce(|sum, time| sum + time)
    }

    /// All phases that the network took part in, in the order of their course.
    pub(super) fn all(&self) -> Vec<(&'static str, Duration)> {
        let phases = [
            Phase::Resolve,
            Phase::Connect,
            Phase::Tls,
            Phase::Request,
            Phase::Processing,
            Phase::Transfer,
        ];
        phases.into_iter().filter_map(|phase| Some((phase.name(), self.time_of(phase)?))).collect()
    }
}

//! The last probes, for the landing page and `/logs`.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use crate::{config::Module, probe::Outcome};

/// One probe that was made. Texts are made of it when somebody looks.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) id: u64,
    pub(crate) module_name: String,
    pub(crate) module: Arc<Module>,
    pub(crate) target: String,
    pub(crate) outcome: Outcome,
}

impl Entry {
    /// As `debug=true` and `/logs` show it.
    pub(crate) fn debug_text(&self) -> String {
        debug_text(&self.module, &self.outcome)
    }

    fn n_bytes(&self) -> usize {
        let outcome = &self.outcome;
        size_of::<Self>() + self.target.len() + outcome.log.len() + outcome.metrics.heap_bytes()
    }
}

pub(crate) fn debug_text(module: &Module, outcome: &Outcome) -> String {
    format!(
        "Logs for the probe:\n{}\n\n\nMetrics that would have been returned:\n{}\n\n\nModule configuration:\n{}",
        outcome.log,
        outcome.metrics.to_text(),
        module.to_yaml()
    )
}

/// Everything kept takes at most this much memory, whatever `--history.limit` says.
const KEPT_BYTES_MAX: usize = 16 << 20;

#[derive(Debug, Default)]
struct Kept {
    next_id: u64,
    recent: VecDeque<Arc<Entry>>,
    /// Failures that the newer results would have pushed out.
    failures: VecDeque<Arc<Entry>>,
    n_bytes: usize,
}

/// The newest results, and beyond them the newest failures: `limit` of each. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct History {
    limit: usize,
    kept: Arc<Mutex<Kept>>,
}

impl History {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, kept: Arc::default() }
    }

    /// Gives the entry its id and keeps it.
    pub(crate) fn add(&self, mut entry: Entry) {
        let mut kept = self.kept.lock().expect("no holder panics");
        kept.next_id += 1;
        entry.id = kept.next_id;
        kept.n_bytes += entry.n_bytes();
        kept.recent.push_back(Arc::new(entry));
        while kept.recent.len() > self.limit || kept.n_bytes > KEPT_BYTES_MAX {
            let Some(oldest) = kept.recent.pop_front() else { break };
            let still_fits = kept.n_bytes <= KEPT_BYTES_MAX;
            if !oldest.outcome.success() && still_fits && self.limit > 0 {
                kept.failures.push_back(oldest);
            } else {
                kept.n_bytes -= oldest.n_bytes();
            }
            while kept.failures.len() > self.limit || kept.n_bytes > KEPT_BYTES_MAX {
                let Some(oldest) = kept.failures.pop_front() else { break };
                kept.n_bytes -= oldest.n_bytes();
            }
        }
    }

    /// Newest first.
    pub(crate) fn all(&self) -> Vec<Arc<Entry>> {
        let kept = self.kept.lock().expect("no holder panics");
        kept.recent.iter().rev().chain(kept.failures.iter().rev()).cloned().collect()
    }

    pub(crate) fn by_id(&self, id: u64) -> Option<Arc<Entry>> {
        self.all().into_iter().find(|entry| entry.id == id)
    }

    /// The newest probe of a target, by any module or by this one.
    pub(crate) fn by_target(&self, target: &str, module: Option<&str>) -> Option<Arc<Entry>> {
        self.all().into_iter().find(|entry| {
            entry.target == target && module.is_none_or(|module| entry.module_name == module)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proto::exposition::Exposition;

    use super::*;
    use crate::{
        config::Config,
        failure::{Failure, Phase, Reason},
    };

    fn entry(target: &str, success: bool, log: &str) -> Entry {
        let failure = Failure::new(Phase::Setup, Reason::BadTarget, "No");
        let outcome = Outcome {
            metrics: Exposition::new(),
            duration: Duration::ZERO,
            failure: (!success).then_some(failure),
            log: log.to_owned(),
            phases: Vec::new(),
        };
        let module = Arc::clone(&Config::built_in().modules["http_2xx"]);
        Entry { id: 0, module_name: "m".to_owned(), module, target: target.to_owned(), outcome }
    }

    #[test]
    fn old_failures_outlive_newer_successes() {
        let history = History::new(2);
        for (target, success) in [("a", false), ("b", true), ("c", true), ("d", true), ("e", true)]
        {
            history.add(entry(target, success, "text"));
        }
        let targets: Vec<String> = history.all().into_iter().map(|e| e.target.clone()).collect();
        assert_eq!(targets, ["e", "d", "a"]);
        assert_eq!(history.by_id(1).unwrap().target, "a");
        assert!(history.by_id(2).is_none());
        assert_eq!(history.by_target("d", Some("m")).unwrap().id, 4);
        assert!(history.by_target("d", Some("other")).is_none());
    }

    #[test]
    fn text_is_bounded() {
        let history = History::new(1000);
        let long = "x".repeat(KEPT_BYTES_MAX / 4);
        for _ in 0..9 {
            history.add(entry("a", false, &long));
        }
        assert_eq!(history.all().len(), 3);
        let none = History::new(0);
        none.add(entry("a", false, "x"));
        assert!(none.all().is_empty());
    }
}

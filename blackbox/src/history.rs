//! The last probes, for the landing page and `/logs`.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

/// One probe that was made.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) id: u64,
    pub(crate) module: String,
    pub(crate) target: String,
    pub(crate) success: bool,
    /// Phase and reason of a failure.
    pub(crate) failure: Option<(&'static str, &'static str)>,
    pub(crate) duration_seconds: f64,
    /// As `debug=true` shows it.
    pub(crate) debug: Arc<str>,
}

/// All the text kept is at most this long, whatever `--history.limit` says.
const TEXT_BYTES_MAX: usize = 16 << 20;

#[derive(Debug, Default)]
struct Kept {
    next_id: u64,
    recent: VecDeque<Entry>,
    /// Failures that the newer results would have pushed out.
    failures: VecDeque<Entry>,
    text_bytes: usize,
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
        kept.text_bytes += entry.debug.len();
        kept.recent.push_back(entry);
        while kept.recent.len() > self.limit || kept.text_bytes > TEXT_BYTES_MAX {
            let Some(oldest) = kept.recent.pop_front() else { break };
            let still_fits = kept.text_bytes <= TEXT_BYTES_MAX;
            if !oldest.success && still_fits && self.limit > 0 {
                kept.failures.push_back(oldest);
            } else {
                kept.text_bytes -= oldest.debug.len();
            }
            while kept.failures.len() > self.limit || kept.text_bytes > TEXT_BYTES_MAX {
                let Some(oldest) = kept.failures.pop_front() else { break };
                kept.text_bytes -= oldest.debug.len();
            }
        }
    }

    /// Newest first.
    pub(crate) fn all(&self) -> Vec<Entry> {
        let kept = self.kept.lock().expect("no holder panics");
        kept.recent.iter().rev().chain(kept.failures.iter().rev()).cloned().collect()
    }

    pub(crate) fn by_id(&self, id: u64) -> Option<Entry> {
        self.all().into_iter().find(|entry| entry.id == id)
    }

    /// The newest probe of a target, by any module or by this one.
    pub(crate) fn by_target(&self, target: &str, module: Option<&str>) -> Option<Entry> {
        self.all().into_iter().find(|entry| {
            entry.target == target && module.is_none_or(|module| entry.module == module)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(target: &str, success: bool, debug: &str) -> Entry {
        Entry {
            id: 0,
            module: "m".to_owned(),
            target: target.to_owned(),
            success,
            failure: None,
            duration_seconds: 0.0,
            debug: debug.into(),
        }
    }

    #[test]
    fn old_failures_outlive_newer_successes() {
        let history = History::new(2);
        for (target, success) in [("a", false), ("b", true), ("c", true), ("d", true), ("e", true)]
        {
            history.add(entry(target, success, "text"));
        }
        let targets: Vec<String> = history.all().into_iter().map(|e| e.target).collect();
        assert_eq!(targets, ["e", "d", "a"]);
        assert_eq!(history.by_id(1).unwrap().target, "a");
        assert!(history.by_id(2).is_none());
        assert_eq!(history.by_target("d", Some("m")).unwrap().id, 4);
        assert!(history.by_target("d", Some("other")).is_none());
    }

    #[test]
    fn text_is_bounded() {
        let history = History::new(1000);
        let long = "x".repeat(TEXT_BYTES_MAX / 4);
        for _ in 0..9 {
            history.add(entry("a", false, &long));
        }
        assert_eq!(history.all().len(), 4);
        let none = History::new(0);
        none.add(entry("a", false, "x"));
        assert!(none.all().is_empty());
    }
}

//! Asking filesystems that may never answer: a dead NFS server, a stopped FUSE process.
//!
//! statfs cannot be cancelled, so it runs in threads that are given up when they take too long. A mount whose thread
//! has not returned is not asked again, so that each stuck mount holds one thread and no more.

use std::{
    collections::HashSet,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use tracing::warn;

use super::Space;

/// How many mounts are asked at the same time.
const THREADS: usize = 4;
/// Stuck threads from which on no new one is started.
const STUCK_MAX: usize = 64;
/// What node_exporter shows for a mount that does not answer.
const TIMEOUT: &str = "mountpoint timeout";

pub(super) struct Prober {
    timeout: Duration,
    /// Mounts that a thread is inside of.
    busy: Arc<Mutex<HashSet<PathBuf>>>,
    /// Stands for statfs in tests.
    ask: fn(&std::path::Path) -> Result<Space, String>,
}

type Answer = Result<Space, String>;

impl Prober {
    pub(super) fn new(timeout: Duration) -> Self {
        Self { timeout, busy: Arc::default(), ask: super::statfs }
    }

    /// The answer of each path, in their order; returns within the time-out.
    pub(super) fn ask(&self, paths: Vec<PathBuf>) -> Vec<Answer> {
        let mut answers: Vec<Answer> = vec![Err(TIMEOUT.to_owned()); paths.len()];
        let (waiting, n_stuck): (Vec<(usize, PathBuf)>, usize) = {
            let busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
            let free = paths.into_iter().enumerate().filter(|(_, path)| !busy.contains(path));
            (free.collect(), busy.len())
        };
        if waiting.is_empty() || n_stuck >= STUCK_MAX {
            return answers;
        }
        let deadline = Instant::now() + self.timeout;
        let n_waiting = waiting.len();
        let batch = Arc::new((waiting, AtomicUsize::new(0)));
        let (sender, receiver) = mpsc::channel();
        for _ in 0..n_waiting.min(THREADS) {
            let (batch, sender, busy, ask) =
                (Arc::clone(&batch), sender.clone(), Arc::clone(&self.busy), self.ask);
            let thread =
                std::thread::Builder::new().name("statfs".to_owned()).stack_size(128 << 10);
            let started = thread.spawn(move || {
                let (waiting, next) = &*batch;
                // After the deadline nobody listens: do not begin with another mount.
                while Instant::now() < deadline
                    && let Some((position, path)) =
                        waiting.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    busy.lock().unwrap_or_else(PoisonError::into_inner).insert(path.clone());
                    let answer = ask(path);
                    busy.lock().unwrap_or_else(PoisonError::into_inner).remove(path);
                    // Fails when the collector has gone on.
                    let _ = sender.send((*position, answer));
                }
            });
            if let Err(err) = started {
                warn!("start a thread for remote mounts: {err}");
            }
        }
        drop(sender);
        for _ in 0..n_waiting {
            let left = deadline.saturating_duration_since(Instant::now());
            match receiver.recv_timeout(left) {
                Ok((position, answer)) => answers[position] = answer,
                Err(_) => break,
            }
        }
        for (position, path) in &batch.0 {
            if matches!(&answers[*position], Err(text) if text == TIMEOUT) {
                warn!("mount {} does not answer: it is left out until it does", path.display());
            }
        }
        answers
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const SPACE: Space = Space { size: 1.0, free: 1.0, avail: 1.0, files: 1.0, files_free: 1.0 };

    #[test]
    fn a_stuck_mount_does_not_hold_up_the_others() {
        static GATE: Mutex<()> = Mutex::new(());
        let ask = |path: &Path| {
            if path == Path::new("/stuck") {
                let _gate = GATE.lock();
            }
            Ok(SPACE)
        };
        let prober = Prober { timeout: Duration::from_millis(300), busy: Arc::default(), ask };
        let closed = GATE.lock().unwrap();
        let paths = || ["/a", "/stuck", "/b", "/c", "/d", "/e"].map(PathBuf::from).to_vec();
        for _ in 0..3 {
            let answers = prober.ask(paths());
            let bad: Vec<usize> = (0..6).filter(|position| answers[*position].is_err()).collect();
            assert_eq!(bad, [1]);
            assert_eq!(prober.busy.lock().unwrap().len(), 1);
        }
        drop(closed);
        while !prober.busy.lock().unwrap().is_empty() {
            std::thread::yield_now();
        }
        assert!(prober.ask(paths()).iter().all(Result::is_ok));
    }
}

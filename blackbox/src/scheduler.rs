//! Probing by the clock, for when no Prometheus does it: each target at its own interval, spread over time, by a bounded
//! number of workers.
//!
//! ```yaml
//! targets:
//!   - module: http_2xx
//!     targets: [https://example.com/, https://example.org/]
//!     interval: 30s
//!     labels: {team: web}
//!     retries: 2
//! ```

use std::{
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    hash::{DefaultHasher, Hash, Hasher},
    num::NonZeroUsize,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::Deserialize;
use service::{Shutdown, config::ConfigError};
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tracing::{error, warn};

use crate::{
    Blackbox, Guard, Outcome, Params,
    config::{Config, GoDuration},
};

/// Targets of one plan; each costs a little memory for ever.
const TARGETS_MAX: usize = 50_000;
const INTERVAL_MIN: Duration = Duration::from_secs(1);

/// What is probed when.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    targets: Vec<Arc<Target>>,
}

/// One target of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub target: String,
    pub module: String,
    pub interval: Duration,
    pub timeout: Duration,
    /// To be put on all samples of its probes.
    pub labels: BTreeMap<String, String>,
    pub params: Params,
    /// Whether only public addresses may be called, because the target is a user's.
    pub public_only: bool,
    /// A failed probe is made again so often before it counts.
    pub retries: u32,
}

/// One probe that was made.
#[derive(Clone, Debug)]
pub struct Probed {
    pub target: Arc<Target>,
    /// When the probe began: the time of its samples.
    pub time: SystemTime,
    /// How much later than due it began.
    pub delay: Duration,
    /// Of the last try.
    pub outcome: Outcome,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default, deserialize_with = "crate::config::or_default")]
    targets: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    targets: Vec<String>,
    #[serde(default = "default_module")]
    module: String,
    #[serde(default = "default_interval")]
    interval: GoDuration,
    /// The interval where it is shorter; the module's own time-out counts where that is shorter still.
    timeout: Option<GoDuration>,
    #[serde(default, deserialize_with = "crate::config::or_default")]
    labels: BTreeMap<String, String>,
    hostname: Option<String>,
    #[serde(default)]
    public_only: bool,
    /// How often a failed probe is made again, after a second each, before the target counts as down.
    #[serde(default)]
    retries: u32,
}

fn default_module() -> String {
    "http_2xx".to_owned()
}

fn default_interval() -> GoDuration {
    GoDuration(Duration::from_secs(30))
}

/// Where a group says nothing of a time-out.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// Between a failed probe and the next try.
const RETRY_AFTER: Duration = Duration::from_secs(1);
const RETRIES_MAX: u32 = 10;

impl Plan {
    /// Reads a file of targets; all modules must be in `config`.
    pub fn load(path: &Path, config: &Config) -> Result<Self, ConfigError> {
        let file: File = service::config::load(path)?;
        Self::of(file, config).map_err(|message| ConfigError::Invalid {
            path: path.to_owned(),
            line: 1,
            column: 1,
            message,
        })
    }

    /// A plan of targets that come from elsewhere.
    pub fn new(targets: Vec<Target>) -> Self {
        Self { targets: targets.into_iter().map(Arc::new).collect() }
    }

    fn of(file: File, config: &Config) -> Result<Self, String> {
        let mut targets = Vec::new();
        let mut known = BTreeSet::new();
        for group in file.targets {
            let Some(module) = config.modules.get(&group.module) else {
                return Err(format!("there is no module `{}`", group.module));
            };
            let interval = group.interval.0;
            if interval < INTERVAL_MIN {
                return Err("an interval is at least 1s".to_owned());
            }
            let asked = group.timeout.map_or(TIMEOUT_DEFAULT, |timeout| timeout.0);
            let own = if module.timeout.0.is_zero() { asked } else { module.timeout.0 };
            let timeout = asked.min(own).min(interval);
            if group.retries > RETRIES_MAX {
                return Err(format!("there are at most {RETRIES_MAX} retries"));
            }
            let longest = timeout * (group.retries + 1) + RETRY_AFTER * group.retries;
            if group.retries > 0 && longest > interval {
                return Err(format!(
                    "{} retries of {} s each do not fit into the interval: shorten the timeout",
                    group.retries,
                    timeout.as_secs_f64()
                ));
            }
            for target in group.targets {
                if targets.len() >= TARGETS_MAX {
                    return Err(format!("there are more than {TARGETS_MAX} targets"));
                }
                // Their series would be the same ones, with values of both.
                if !known.insert((target.clone(), group.labels.clone())) {
                    return Err(format!(
                        "`{target}` is there twice with the same labels: give one of both a label of its own"
                    ));
                }
                let params = Params { hostname: group.hostname.clone(), values: BTreeMap::new() };
                targets.push(Target {
                    target,
                    module: group.module.clone(),
                    interval,
                    timeout,
                    labels: group.labels.clone(),
                    params,
                    public_only: group.public_only,
                    retries: group.retries,
                });
            }
        }
        Ok(Self::new(targets))
    }

    pub fn targets(&self) -> &[Arc<Target>] {
        &self.targets
    }
}

impl Target {
    /// The moment after `now` at which it is due. Every target has a place of its own in its interval, so that probes
    /// spread over time and restarts do not move them.
    fn next_due(&self, now: SystemTime) -> SystemTime {
        let mut hasher = DefaultHasher::new();
        (&self.module, &self.target, &self.labels).hash(&mut hasher);
        let interval = self.interval.as_nanos();
        let offset = u128::from(hasher.finish()) % interval;
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        // The first number above `since` that leaves `offset` when divided by the interval.
        let wait = (offset + interval - since % interval) % interval;
        let wait = if wait == 0 { interval } else { wait };
        now + Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX))
    }
}

/// Makes the probes of a plan.
#[derive(Clone, Debug)]
pub struct Scheduler {
    blackbox: Blackbox,
    plan: Plan,
    workers: NonZeroUsize,
}

/// A target by the time at which it is due; the soonest is the greatest.
type Due = (std::cmp::Reverse<Instant>, usize);

impl Scheduler {
    /// At most `workers` probes run at a time; where they do not suffice, probes are late, never twice at once.
    pub fn new(blackbox: Blackbox, plan: Plan, workers: NonZeroUsize) -> Self {
        Self { blackbox, plan, workers }
    }

    /// Probes until `shutdown` fires, and hands every outcome to `each`, which must not take long.
    pub async fn run(self, shutdown: Shutdown, mut each: impl FnMut(Probed)) {
        let workers = Arc::new(Semaphore::new(self.workers.get()));
        let mut heap: BinaryHeap<Due> =
            (0..self.plan.targets.len()).map(|position| (self.due(position), position)).collect();
        let mut running: JoinSet<(usize, Option<Probed>)> = JoinSet::new();
        loop {
            let next = heap.peek().map(|(due, _)| due.0);
            let has_worker = workers.available_permits() > 0;
            tokio::select! {
                () = shutdown.fired() => return,
                Some(ended) = running.join_next() => {
                    match ended {
                        Ok((position, probed)) => {
                            heap.push((self.due(position), position));
                            probed.into_iter().for_each(&mut each);
                        }
                        Err(err) => error!("a probe ended without an outcome: {err}"),
                    }
                }
                () = wait_for(next), if has_worker => {
                    let Some((due, position)) = heap.pop() else { continue };
                    let Ok(worker) = Arc::clone(&workers).try_acquire_owned() else { continue };
                    let (blackbox, target) = (self.blackbox.clone(), Arc::clone(&self.plan.targets[position]));
                    let delay = due.0.elapsed();
                    self.blackbox.delayed(delay);
                    running.spawn(async move {
                        let probed = probe(&blackbox, target, delay).await;
                        drop(worker);
                        (position, probed)
                    });
                }
            }
        }
    }

    fn due(&self, position: usize) -> std::cmp::Reverse<Instant> {
        let now = SystemTime::now();
        let due = self.plan.targets[position].next_due(now);
        std::cmp::Reverse(Instant::now() + due.duration_since(now).unwrap_or_default())
    }
}

/// Never, where nothing is due.
async fn wait_for(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

async fn probe(blackbox: &Blackbox, target: Arc<Target>, delay: Duration) -> Option<Probed> {
    let guard = if target.public_only { Guard::public() } else { Guard::Open };
    let mut tries_left = target.retries;
    loop {
        let time = SystemTime::now();
        let made = blackbox
            .probe(&target.module, &target.target, &target.params, target.timeout, &guard)
            .await;
        match made {
            Ok(outcome) if !outcome.success() && tries_left > 0 => {
                tries_left -= 1;
                tokio::time::sleep(RETRY_AFTER).await;
            }
            Ok(outcome) => return Some(Probed { target, time, delay, outcome }),
            // Only a reload that took the module away leads here.
            Err(err) => {
                warn!(module = target.module, target = target.target, "probe by the clock: {err}");
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(name: &str, interval: Duration) -> Target {
        Target {
            target: name.to_owned(),
            module: "http_2xx".to_owned(),
            interval,
            timeout: Duration::from_secs(1),
            labels: BTreeMap::new(),
            params: Params::default(),
            public_only: false,
            retries: 0,
        }
    }

    #[test]
    fn targets_have_places_of_their_own() {
        let interval = Duration::from_secs(30);
        let now = UNIX_EPOCH + Duration::from_millis(1_795_239_002_123);
        let mut places = BTreeSet::new();
        for n in 0..100 {
            let target = target(&format!("http://{n}/"), interval);
            let due = target.next_due(now);
            let wait = due.duration_since(now).unwrap();
            assert!(wait > Duration::ZERO && wait <= interval);
            assert_eq!(target.next_due(due), due + interval);
            assert_eq!(target.next_due(due - Duration::from_nanos(1)), due);
            places.insert(wait.as_secs());
        }
        assert!(places.len() > 20, "{places:?}");
    }

    #[test]
    fn files_of_targets() {
        let config = Config::built_in();
        let parse = |yaml: &str| {
            let file: File = service::config::parse(yaml, Path::new("targets.yml")).unwrap();
            Plan::of(file, &config)
        };
        let plan = parse(
            "targets:\n- targets: [a, b]\n  interval: 5s\n  labels: {x: y}\n- {targets: [c], module: tcp_connect, timeout: 2s}\n",
        )
        .unwrap();
        let all: Vec<_> = plan
            .targets()
            .iter()
            .map(|t| (t.target.as_str(), t.module.as_str(), t.timeout.as_secs()))
            .collect();
        assert_eq!(all, [("a", "http_2xx", 5), ("b", "http_2xx", 5), ("c", "tcp_connect", 2)]);
        assert!(parse("targets: [{targets: [a], module: nope}]").is_err());
        assert!(parse("targets: [{targets: [a], interval: 1ms}]").is_err());
        assert!(parse("targets: [{targets: [a], retries: 2}]").is_err(), "three times 10 s");
        let plan = parse("targets: [{targets: [a], retries: 2, timeout: 5s}]").unwrap();
        assert_eq!(plan.targets()[0].retries, 2);
        assert!(parse("targets:").unwrap().targets().is_empty());
        let twice = "targets: [{targets: [a]}, {targets: [a], module: tcp_connect}]";
        assert!(parse(twice).unwrap_err().contains("`a` is there twice"));
        let labelled =
            "targets: [{targets: [a]}, {targets: [a], module: tcp_connect, labels: {how: tcp}}]";
        assert_eq!(parse(labelled).unwrap().targets().len(), 2);
    }
}

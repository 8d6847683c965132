//! Which groups are shown, and what each has used.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use crate::procs::Stat;

/// How many groups of each scrape count as its top: by CPU, and as many by memory.
const TOP: usize = 10;
/// How long a group stays after it was last among the top.
const STAY: Duration = Duration::from_secs(15 * 60);
/// The group of all that are not shown.
pub(super) const OTHER: &str = "other";

pub(super) const STATES: [&str; 5] = ["Running", "Sleeping", "Waiting", "Zombie", "Other"];

/// What a group uses. The first four are sums since the group is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Use {
    pub(super) user_ticks: u64,
    pub(super) system_ticks: u64,
    pub(super) minor_faults: u64,
    pub(super) major_faults: u64,
    pub(super) n_processes: u64,
    pub(super) n_threads: u64,
    pub(super) resident_pages: u64,
    pub(super) virtual_bytes: u64,
    pub(super) oldest_start_ticks: Option<u64>,
    /// In the order of [`STATES`].
    pub(super) states: [u64; STATES.len()],
}

/// What a process had used when it was last seen.
#[derive(Clone, Copy)]
struct Seen {
    start_ticks: u64,
    counters: [u64; 4],
    /// The scrape that saw it.
    round: u64,
}

pub(super) struct Groups {
    max: usize,
    round: u64,
    seen: HashMap<u32, Seen>,
    /// This scrape, by command.
    now: HashMap<Box<[u8]>, Use>,
    /// Sorted by name.
    shown: BTreeMap<String, Shown>,
    other: Use,
    n_folded: usize,
}

struct Shown {
    used: Use,
    top_at: Instant,
}

impl Groups {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            round: 0,
            seen: HashMap::new(),
            now: HashMap::new(),
            shown: BTreeMap::new(),
            other: Use::default(),
            n_folded: 0,
        }
    }

    pub(super) fn begin(&mut self) {
        self.round += 1;
        self.now.clear();
    }

    /// Adds a process to its group.
    pub(super) fn see(&mut self, stat: &Stat<'_>) {
        let counters = [stat.user_ticks, stat.system_ticks, stat.minor_faults, stat.major_faults];
        let now = Seen { start_ticks: stat.start_ticks, counters, round: self.round };
        let before =
            self.seen.insert(stat.pid, now).filter(|seen| seen.start_ticks == stat.start_ticks);
        let base = match before {
            Some(before) => before.counters,
            // What was used before we started is not ours to tell.
            None if self.round == 1 => counters,
            None => [0; 4],
        };
        let grown = |position: usize| counters[position].saturating_sub(base[position]);
        let used = match self.now.get_mut(stat.command) {
            Some(used) => used,
            None => self.now.entry(stat.command.into()).or_default(),
        };
        used.user_ticks += grown(0);
        used.system_ticks += grown(1);
        used.minor_faults += grown(2);
        used.major_faults += grown(3);
        used.n_processes += 1;
        used.n_threads += stat.n_threads;
        used.resident_pages += stat.resident_pages;
        used.virtual_bytes = used.virtual_bytes.saturating_add(stat.virtual_bytes);
        let oldest = used.oldest_start_ticks.unwrap_or(u64::MAX).min(stat.start_ticks);
        used.oldest_start_ticks = Some(oldest);
        let state = match stat.state {
            b'R' => 0,
            b'S' | b'I' => 1,
            b'D' => 2,
            b'Z' => 3,
            _ => 4,
        };
        used.states[state] += 1;
    }

    /// Decides which groups are shown and adds up.
    pub(super) fn end(&mut self, now: Instant) {
        let round = self.round;
        self.seen.retain(|_, seen| seen.round == round);
        let by_memory = |used: &Use| used.resident_pages;
        let by_cpu = |used: &Use| used.user_ticks + used.system_ticks;
        self.promote(&by_memory, now);
        self.promote(&by_cpu, now);
        self.shown.retain(|_, shown| now.duration_since(shown.top_at) < STAY);
        // The present is counted anew, sums go on.
        self.other = sums(&self.other);
        for shown in self.shown.values_mut() {
            shown.used = sums(&shown.used);
        }
        self.n_folded = 0;
        for (command, used) in &self.now {
            let name = String::from_utf8_lossy(command);
            match self.shown.get_mut(&*name) {
                Some(shown) => shown.used.add(used),
                None => {
                    self.n_folded += 1;
                    self.other.add(used);
                }
            }
        }
    }

    /// Shows the groups that use most by `figure`, as far as there is room.
    fn promote(&mut self, figure: &dyn Fn(&Use) -> u64, now: Instant) {
        let mut top: Vec<(u64, &[u8])> = self
            .now
            .iter()
            .map(|(command, used)| (figure(used), &**command))
            .filter(|(amount, _)| *amount > 0)
            .collect();
        top.sort_unstable_by(|a, b| b.cmp(a));
        for (_, command) in top.into_iter().take(TOP) {
            let name = String::from_utf8_lossy(command);
            if let Some(shown) = self.shown.get_mut(&*name) {
                shown.top_at = now;
            } else if self.shown.len() < self.max && name != OTHER {
                let shown = Shown { used: Use::default(), top_at: now };
                self.shown.insert(name.into_owned(), shown);
            }
        }
    }

    /// All groups that are shown, `other` last.
    pub(super) fn shown(&self) -> impl Iterator<Item = (&str, &Use)> {
        let named = self.shown.iter().map(|(name, shown)| (name.as_str(), &shown.used));
        named.chain([(OTHER, &self.other)])
    }

    /// How many are shown by themselves, and how many are in `other`.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.shown.len(), self.n_folded)
    }
}

/// The part that is summed over time.
fn sums(used: &Use) -> Use {
    Use {
        user_ticks: used.user_ticks,
        system_ticks: used.system_ticks,
        minor_faults: used.minor_faults,
        major_faults: used.major_faults,
        ..Use::default()
    }
}

impl Use {
    fn add(&mut self, more: &Self) {
        self.user_ticks += more.user_ticks;
        self.system_ticks += more.system_ticks;
        self.minor_faults += more.minor_faults;
        self.major_faults += more.major_faults;
        self.n_processes += more.n_processes;
        self.n_threads += more.n_threads;
        self.resident_pages += more.resident_pages;
        self.virtual_bytes = self.virtual_bytes.saturating_add(more.virtual_bytes);
        self.oldest_start_ticks = match (self.oldest_start_ticks, more.oldest_start_ticks) {
            (Some(ours), Some(theirs)) => Some(ours.min(theirs)),
            (ours, theirs) => ours.or(theirs),
        };
        for (state, more) in self.states.iter_mut().zip(more.states) {
            *state += more;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, command: &str, ticks: u64, pages: u64) -> Stat<'_> {
        Stat {
            pid,
            command: command.as_bytes(),
            state: b'S',
            minor_faults: 0,
            major_faults: 0,
            user_ticks: ticks,
            system_ticks: 0,
            n_threads: 1,
            start_ticks: 5,
            virtual_bytes: 0,
            resident_pages: pages,
        }
    }

    fn scrape(groups: &mut Groups, at: Instant, processes: &[Stat<'_>]) -> Vec<(String, u64, u64)> {
        groups.begin();
        for process in processes {
            groups.see(process);
        }
        groups.end(at);
        groups
            .shown()
            .map(|(name, used)| (name.to_owned(), used.user_ticks, used.n_processes))
            .collect()
    }

    fn row(name: &str, ticks: u64, n: u64) -> (String, u64, u64) {
        (name.to_owned(), ticks, n)
    }

    #[test]
    fn counters_survive_the_end_of_a_process() {
        let start = Instant::now();
        let mut groups = Groups::new(5);
        let first = scrape(&mut groups, start, &[process(1, "a", 100, 9), process(2, "a", 50, 9)]);
        assert_eq!(first, [row("a", 0, 2), row("other", 0, 0)]);
        let second = scrape(&mut groups, start, &[process(1, "a", 110, 9), process(2, "a", 55, 9)]);
        assert_eq!(second, [row("a", 15, 2), row("other", 0, 0)]);
        // One ended, one that nobody had seen has used 7, and one got the number of another.
        let mut reborn = process(1, "a", 3, 9);
        reborn.start_ticks = 6;
        let third = scrape(&mut groups, start, &[reborn, process(9, "a", 7, 9)]);
        assert_eq!(third, [row("a", 25, 2), row("other", 0, 0)]);
    }

    #[test]
    fn groups_beyond_the_limit_are_summed() {
        let start = Instant::now();
        let names: Vec<String> = (0..30).map(|n| format!("p{n:02}")).collect();
        let mut groups = Groups::new(5);
        let processes = |ticks: u64| -> Vec<Stat<'_>> {
            let all = names.iter().enumerate();
            all.map(|(n, name)| process(n as u32 + 1, name, ticks, n as u64 + 1)).collect()
        };
        scrape(&mut groups, start, &processes(0));
        let shown = scrape(&mut groups, start, &processes(10));
        assert_eq!(shown.len(), 6);
        assert_eq!(shown[5], row("other", 250, 25));
        assert_eq!(shown.iter().map(|(_, ticks, _)| ticks).sum::<u64>(), 300);
        assert_eq!(groups.counts(), (5, 25));
    }

    #[test]
    fn a_group_that_is_small_again_goes_after_a_while() {
        let start = Instant::now();
        let mut groups = Groups::new(5);
        scrape(&mut groups, start, &[process(1, "a", 1, 5)]);
        let idle = [process(1, "a", 1, 0)];
        let soon = scrape(&mut groups, start + STAY / 2, &idle);
        assert_eq!(soon[0].0, "a");
        let later = scrape(&mut groups, start + 2 * STAY, &idle);
        assert_eq!(later, [row("other", 0, 1)]);
    }
}

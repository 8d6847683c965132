//! What processes used, from `/proc`.

use std::{collections::HashMap, fs, path::Path, time::Duration};

/// Of a process and all its descendants.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) cpu: Duration,
    /// Proportional set size, so that shared memory counts once, in bytes.
    pub(crate) memory: u64,
}

struct Stat {
    parent: u32,
    /// Own time and that of children that ended.
    ticks: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything but ends with the last parenthesis; fields are counted from `state`, number 3.
    let fields: Vec<&str> = text[text.rfind(')')? + 2..].split(' ').collect();
    let number = |at: usize| fields.get(at - 3)?.parse::<u64>().ok();
    let ticks = number(14)? + number(15)? + number(16)? + number(17)?;
    Some(Stat { parent: u32::try_from(number(4)?).ok()?, ticks })
}

fn memory(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix("kB")?.trim().parse().ok())
        .map_or(0, |kb: u64| kb * 1024)
}

/// Of these processes and everything that they started.
pub(crate) fn of(roots: &[u32]) -> Usage {
    let stats: HashMap<u32, Stat> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, stat(pid)?)))
        .collect();
    let ours = |mut pid: u32| {
        loop {
            if roots.contains(&pid) {
                return true;
            }
            match stats.get(&pid) {
                Some(stat) if stat.parent > 1 => pid = stat.parent,
                _ => return false,
            }
        }
    };
    let mut usage = Usage::default();
    let mut ticks = 0;
    for (pid, stat) in stats.iter().filter(|(pid, _)| ours(**pid)) {
        ticks += stat.ticks;
        usage.memory += memory(*pid);
    }
    // A hundred a second on every Linux that we know.
    usage.cpu = Duration::from_millis(ticks * 10);
    usage
}

/// Processor time of one process, without what it started.
pub(crate) fn alone(pid: u32) -> Duration {
    let own = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = own.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let number = |at: usize| fields.get(at - 3).and_then(|text| text.parse().ok()).unwrap_or(0);
    let ticks: u64 = number(14) + number(15);
    Duration::from_millis(ticks * 10)
}

/// All files below a folder, in bytes on the disk.
pub(crate) fn disk(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => disk(&entry.path()),
            Ok(metadata) => metadata.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}

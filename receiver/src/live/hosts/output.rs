//! From the parts of one server at one time to what is shown of it.

use super::{
    super::{derive, frame::Field, source},
    family::Part,
};

/// The parts of one server at one time: sums over its series.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    sums: [f64; Part::COUNT],
    counts: [u32; Part::COUNT],
    /// Size and available bytes of each file system.
    pub(super) filesystems: Vec<(Option<f64>, Option<f64>)>,
}

impl Parts {
    pub(super) fn new(n_filesystems: usize) -> Self {
        Self {
            sums: [0.0; Part::COUNT],
            counts: [0; Part::COUNT],
            filesystems: vec![(None, None); n_filesystems],
        }
    }

    pub(super) fn add(&mut self, part: Part, mount: Option<usize>, value: f64) {
        match (part, mount) {
            (Part::FilesystemSize, Some(mount)) => self.filesystems[mount].0 = Some(value),
            (Part::FilesystemAvailable, Some(mount)) => self.filesystems[mount].1 = Some(value),
            // A target scraped by two replicas is up when either of them reaches it.
            (Part::Up, _) => {
                let highest = self.get(Part::Up).unwrap_or(0.0).max(value);
                self.sums[part as usize] = highest;
                self.counts[part as usize] = 1;
            }
            _ => {
                self.sums[part as usize] += value;
                self.counts[part as usize] += 1;
            }
        }
    }

    /// The sum of `count` values at once.
    pub(super) fn add_sum(&mut self, part: Part, mount: Option<usize>, sum: f64, count: u32) {
        if part.is_filesystem() {
            self.add(part, mount, sum / f64::from(count));
        } else {
            self.sums[part as usize] += sum;
            self.counts[part as usize] += count;
        }
    }

    fn get(&self, part: Part) -> Option<f64> {
        (self.counts[part as usize] > 0).then_some(self.sums[part as usize])
    }

    /// Busy percent of all CPUs, from the idle time alone.
    fn cpu_busy(&self) -> Option<f64> {
        let idle = self.get(Part::CpuIdle)? / f64::from(self.counts[Part::CpuIdle as usize]);
        Some(((1.0 - idle) * 100.0).clamp(0.0, 100.0))
    }

    /// A mode's percent of all CPU time: the ratio stays right when scrapes come late.
    fn cpu_share(&self, part: Part) -> Option<f64> {
        const MODES: [Part; 6] = [
            Part::CpuIdle,
            Part::CpuUser,
            Part::CpuSystem,
            Part::CpuIowait,
            Part::CpuSteal,
            Part::CpuOther,
        ];
        let total: f64 = MODES.iter().filter_map(|mode| self.get(*mode)).sum();
        (total > 0.0).then_some(self.get(part)? / total * 100.0)
    }

    fn memory_used(&self) -> Option<f64> {
        let total = self.get(Part::MemoryTotal)?;
        let available = self.get(Part::MemoryAvailable).or_else(|| {
            // Kernels before 3.14 do not estimate it.
            Some(self.get(Part::MemoryFree)? + self.get(Part::MemoryCached).unwrap_or(0.0))
        })?;
        Some((total - available).max(0.0))
    }

    fn memory_used_percent(&self) -> Option<f64> {
        let total = self.get(Part::MemoryTotal)?;
        (total > 0.0).then_some(self.memory_used()? / total * 100.0)
    }

    fn swap_used(&self) -> Option<f64> {
        Some((self.get(Part::SwapTotal)? - self.get(Part::SwapFree)?).max(0.0))
    }

    pub(super) fn filesystem_used_percent(&self, mount: usize) -> Option<f64> {
        let (size, available) = self.filesystems[mount];
        let size = size.filter(|size| *size > 0.0)?;
        Some(((1.0 - available? / size) * 100.0).clamp(0.0, 100.0))
    }

    fn fullest_percent(&self) -> Option<f64> {
        (0..self.filesystems.len())
            .filter_map(|mount| self.filesystem_used_percent(mount))
            .max_by(f64::total_cmp)
    }
}

/// One thing shown.
pub(super) struct Output {
    pub(super) field: Field,
    value: fn(&Parts) -> Option<f64>,
    /// Whether a snapshot carries its past.
    pub(super) history: bool,
}

impl Output {
    /// The value as clients get it: the stale marker where there is none.
    pub(super) fn shown(&self, parts: &Parts) -> f64 {
        match (self.value)(parts) {
            None => source::NONE,
            // A point in time needs all its digits.
            Some(value) if self.field.unit == "seconds" => value,
            Some(value) => derive::rounded(value),
        }
    }
}

const fn output(
    name: &'static str,
    unit: &'static str,
    history: bool,
    value: fn(&Parts) -> Option<f64>,
) -> Output {
    Output { field: Field { name, unit }, value, history }
}

/// The columns of the list of servers.
pub(super) const LIST: &[Output] = &[
    output("up", "bool", false, |parts| parts.get(Part::Up)),
    output("cpu", "percent", true, Parts::cpu_busy),
    output("memory", "percent", false, Parts::memory_used_percent),
    output("disk", "percent", false, Parts::fullest_percent),
    output("load5", "none", false, |parts| parts.get(Part::Load5)),
    output("received", "bytes/s", false, |parts| parts.get(Part::Received)),
    output("transmitted", "bytes/s", false, |parts| parts.get(Part::Transmitted)),
    output("boot_time", "seconds", false, |parts| parts.get(Part::BootTime)),
];

/// [`LIST`] as the protocol has it.
pub(super) const LIST_FIELDS: &[Field] = &{
    let mut fields = [Field { name: "", unit: "" }; LIST.len()];
    let mut n = 0;
    while n < LIST.len() {
        fields[n] = LIST[n].field;
        n += 1;
    }
    fields
};

/// The series of one server's page; its file systems follow.
pub(super) const ONE: &[Output] = &[
    output("up", "bool", false, |parts| parts.get(Part::Up)),
    output("boot_time", "seconds", false, |parts| parts.get(Part::BootTime)),
    output("cpu_user", "percent", true, |parts| parts.cpu_share(Part::CpuUser)),
    output("cpu_system", "percent", true, |parts| parts.cpu_share(Part::CpuSystem)),
    output("cpu_iowait", "percent", true, |parts| parts.cpu_share(Part::CpuIowait)),
    output("cpu_steal", "percent", true, |parts| parts.cpu_share(Part::CpuSteal)),
    output("cpu_other", "percent", true, |parts| parts.cpu_share(Part::CpuOther)),
    output("memory_total", "bytes", false, |parts| parts.get(Part::MemoryTotal)),
    output("memory_used", "bytes", true, Parts::memory_used),
    output("memory_cached", "bytes", true, |parts| parts.get(Part::MemoryCached)),
    output("swap_used", "bytes", true, Parts::swap_used),
    output("received", "bytes/s", true, |parts| parts.get(Part::Received)),
    output("transmitted", "bytes/s", true, |parts| parts.get(Part::Transmitted)),
    output("disk_read", "bytes/s", true, |parts| parts.get(Part::DiskRead)),
    output("disk_written", "bytes/s", true, |parts| parts.get(Part::DiskWritten)),
    output("load1", "none", true, |parts| parts.get(Part::Load1)),
    output("load5", "none", true, |parts| parts.get(Part::Load5)),
    output("load15", "none", true, |parts| parts.get(Part::Load15)),
];

/// The values of each file system on one server's page: percent used (with its past), size.
pub(super) const PER_FILESYSTEM: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn value(name: &str, outputs: &[Output], parts: &Parts) -> Option<f64> {
        let output = outputs.iter().find(|output| output.field.name == name).unwrap();
        (output.value)(parts)
    }

    #[test]
    fn what_is_shown_of_a_server() {
        let mut parts = Parts::new(2);
        parts.add(Part::CpuIdle, None, 0.5);
        parts.add(Part::CpuIdle, None, 0.7);
        parts.add(Part::CpuUser, None, 0.8);
        parts.add(Part::MemoryTotal, None, 100.0);
        parts.add(Part::MemoryFree, None, 10.0);
        parts.add(Part::MemoryCached, None, 20.0);
        parts.add(Part::FilesystemSize, Some(0), 100.0);
        parts.add(Part::FilesystemAvailable, Some(0), 25.0);
        parts.add(Part::FilesystemSize, Some(1), 0.0);
        parts.add(Part::FilesystemAvailable, Some(1), 0.0);
        assert_eq!(value("cpu", LIST, &parts), Some(40.0));
        assert_eq!(value("cpu_user", ONE, &parts), Some(40.0));
        assert_eq!(value("cpu_steal", ONE, &parts), None);
        assert_eq!(value("memory", LIST, &parts), Some(70.0));
        assert_eq!(value("disk", LIST, &parts), Some(75.0));
        assert_eq!(value("up", LIST, &parts), None, "pushed samples have no `up`");
        parts.add(Part::MemoryAvailable, None, 40.0);
        assert_eq!(value("memory_used", ONE, &parts), Some(60.0));
        parts.add(Part::Up, None, 1.0);
        parts.add(Part::Up, None, 0.0);
        assert_eq!(value("up", LIST, &parts), Some(1.0));
    }
}

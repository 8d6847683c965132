//! What programs use, as process-exporter names it: `namedprocess_namegroup_*{groupname}`. Off by default.
//!
//! Processes of one command are a group. Only groups that use much are shown, so that the number of series is bounded;
//! all others are summed in the group `other`, so that totals still add up. A group that was among the top stays for a
//! while, because series that come and go have no rate.
//!
//! Counters are sums of what was seen to be used: they never fall when a process ends.

use proto::exposition::{Exposition, Kind};

use self::groups::{Groups, Use};
use super::{Collector, Error, OptionError, Setup};
use crate::{host, procs, scan};

mod groups;

struct ProcessGroups {
    processes: procs::Processes,
    groups: Groups,
    /// When the machine started, in seconds since the Unix epoch.
    boot_seconds: f64,
    ticks_per_second: f64,
    page_bytes: f64,
}

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    let mut buf = Vec::new();
    let stat = host::read(&setup.host.proc("stat"), &mut buf).unwrap_or_default();
    let boot = scan::lines(stat).find_map(|line| scan::f64(line.strip_prefix(b"btime ")?));
    let max = setup.options.process_groups_max;
    if !(1..=1000).contains(&max) {
        return Err(OptionError::Value {
            flag: "collector.process_groups.max",
            value: max.to_string(),
            problem: "is not between 1 and 1000",
        });
    }
    Ok(Box::new(ProcessGroups {
        processes: procs::Processes::new(setup.host.proc("")),
        groups: Groups::new(max),
        boot_seconds: boot.unwrap_or(0.0),
        ticks_per_second: rustix::param::clock_ticks_per_second() as f64,
        page_bytes: rustix::param::page_size() as f64,
    }))
}

impl Collector for ProcessGroups {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        self.groups.begin();
        self.processes.for_each(|stat| self.groups.see(&stat))?;
        self.groups.end(std::time::Instant::now());
        let shown: Vec<(&str, &Use)> = self.groups.shown().collect();
        self.write_usage(&shown, out);
        self.write_processes(&shown, out);
        Ok(())
    }
}

impl ProcessGroups {
    /// CPU, memory and faults.
    fn write_usage(&self, shown: &[(&str, &Use)], out: &mut Exposition) {
        let mut cpu = out.family(
            "namedprocess_namegroup_cpu_seconds_total",
            "Cpu user usage in seconds",
            Kind::Counter,
        );
        for (name, used) in shown {
            for (mode, ticks) in [("user", used.user_ticks), ("system", used.system_ticks)] {
                let seconds = ticks as f64 / self.ticks_per_second;
                cpu.sample(&[("groupname", name), ("mode", mode)], seconds);
            }
        }
        let mut memory = out.family(
            "namedprocess_namegroup_memory_bytes",
            "number of bytes of memory in use",
            Kind::Gauge,
        );
        for (name, used) in shown {
            let resident = used.resident_pages as f64 * self.page_bytes;
            for (kind, bytes) in [("resident", resident), ("virtual", used.virtual_bytes as f64)] {
                memory.sample(&[("groupname", name), ("memtype", kind)], bytes);
            }
        }
        for (family, help, figure) in [
            (
                "namedprocess_namegroup_minor_page_faults_total",
                "Minor page faults",
                (|used| used.minor_faults) as fn(&Use) -> u64,
            ),
            ("namedprocess_namegroup_major_page_faults_total", "Major page faults", |used| {
                used.major_faults
            }),
        ] {
            let mut faults = out.family(family, help, Kind::Counter);
            for (name, used) in shown {
                faults.sample(&[("groupname", name)], figure(used) as f64);
            }
        }
    }

    /// How many there are, of what age and in which states.
    fn write_processes(&self, shown: &[(&str, &Use)], out: &mut Exposition) {
        let mut processes = out.family(
            "namedprocess_namegroup_num_procs",
            "number of processes in this group",
            Kind::Gauge,
        );
        for (name, used) in shown {
            processes.sample(&[("groupname", name)], used.n_processes as f64);
        }
        let mut threads =
            out.family("namedprocess_namegroup_num_threads", "Number of threads", Kind::Gauge);
        for (name, used) in shown {
            threads.sample(&[("groupname", name)], used.n_threads as f64);
        }
        let mut oldest = out.family(
            "namedprocess_namegroup_oldest_start_time_seconds",
            "start time in seconds since 1970/01/01 of oldest process in group",
            Kind::Gauge,
        );
        for (name, used) in shown {
            if let Some(ticks) = used.oldest_start_ticks {
                let start = self.boot_seconds + ticks as f64 / self.ticks_per_second;
                oldest.sample(&[("groupname", name)], start);
            }
        }
        let mut states = out.family(
            "namedprocess_namegroup_states",
            "Number of processes in states Running, Sleeping, Waiting, Zombie, or Other",
            Kind::Gauge,
        );
        for (name, used) in shown {
            for (state, count) in groups::STATES.into_iter().zip(used.states) {
                states.sample(&[("groupname", name), ("state", state)], count as f64);
            }
        }
        let (n_shown, n_folded) = self.groups.counts();
        out.family(
            "watchpost_exporter_process_groups",
            "Groups of processes that are shown by themselves, and those summed in `other`.",
            Kind::Gauge,
        )
        .sample(&[("state", "shown")], n_shown as f64)
        .sample(&[("state", "folded")], n_folded as f64);
    }
}

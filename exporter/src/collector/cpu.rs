//! Time that each CPU spent in each mode, from `/proc/stat`; which CPUs are online, isolated and throttled.

use std::path::PathBuf;

use proto::exposition::{Exposition, Kind};

use super::{Collector, Error, OptionError, Setup};
use crate::{
    host::{self, Host},
    scan,
};

mod info;
mod throttle;

/// The modes in the order of `/proc/stat`; time in a guest is part of `user` and `nice` as well.
const MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
const GUEST_MODES: [&str; 2] = ["user", "nice"];
const IDLE: usize = 3;
/// An idle time that falls by this many seconds means that the CPU was taken out and put back.
const HOTPLUG_SECONDS: u64 = 3;

struct Cpu {
    path: PathBuf,
    host: Host,
    guest: bool,
    ticks_per_second: u64,
    /// What was shown last, sorted by id.
    shown: Vec<Times>,
    lists: Lists,
    info: info::Info,
    throttle: throttle::Throttle,
    buf: Vec<u8>,
}

/// Lists of CPUs. The files change only when CPUs are put in or switched on and off.
#[derive(Debug, Default)]
struct Lists {
    /// As the file had it when the others were read.
    online_text: Vec<u8>,
    online: Vec<u32>,
    /// With their labels.
    present: Vec<(u32, String)>,
    isolated: Vec<String>,
}

/// One CPU's ticks by mode, guest modes last.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Times {
    id: String,
    ticks: [u64; 10],
}

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    Ok(Box::new(Cpu {
        path: setup.host.proc("stat"),
        host: setup.host.clone(),
        guest: setup.selection.switch("collector.cpu.guest"),
        ticks_per_second: rustix::param::clock_ticks_per_second().max(1),
        shown: Vec::new(),
        lists: Lists::default(),
        info: info::Info::new(setup)?,
        throttle: throttle::Throttle::new(setup.host.clone()),
        buf: Vec::new(),
    }))
}

impl Collector for Cpu {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let text = host::read(&self.path, &mut self.buf)?;
        let mut now = Vec::with_capacity(self.shown.len());
        for line in scan::lines(text) {
            if let Some(times) = Times::parse(line) {
                now.push(times);
            } else if !line.starts_with(b"cpu") {
                // The CPUs come first; what follows is the collector `stat`'s.
                break;
            }
        }
        if now.is_empty() {
            return Err(Error::Parse {
                path: self.path.clone(), what: "no line `cpu0 numbers…`"
            });
        }
        for times in &mut now {
            if let Some(before) = self.shown.iter().find(|before| before.id == times.id) {
                times.never_fall_below(before, HOTPLUG_SECONDS * self.ticks_per_second);
            }
        }
        self.shown = now;
        self.write_times(out);
        self.write_lists(out);
        self.throttle.collect(self.shown.len(), out);
        self.info.collect(out)
    }
}

impl Cpu {
    fn write_times(&self, out: &mut Exposition) {
        let per_second = self.ticks_per_second as f64;
        let mut family = out.family(
            "node_cpu_seconds_total",
            "Seconds the CPUs spent in each mode.",
            Kind::Counter,
        );
        for cpu in &self.shown {
            for (mode, ticks) in MODES.iter().zip(cpu.ticks) {
                family.sample(&[("cpu", &cpu.id), ("mode", mode)], ticks as f64 / per_second);
            }
        }
        if !self.guest {
            return;
        }
        let mut family = out.family(
            "node_cpu_guest_seconds_total",
            "Seconds the CPUs spent in guests (VMs) for each mode.",
            Kind::Counter,
        );
        for cpu in &self.shown {
            for (mode, ticks) in GUEST_MODES.iter().zip(&cpu.ticks[MODES.len()..]) {
                family.sample(&[("cpu", &cpu.id), ("mode", mode)], *ticks as f64 / per_second);
            }
        }
    }

    /// Which CPUs are online and which are isolated from the scheduler.
    fn write_lists(&mut self, out: &mut Exposition) {
        self.lists.refresh(&self.host);
        let mut family =
            out.family("node_cpu_online", "CPUs that are online and being scheduled.", Kind::Gauge);
        for (id, label) in &self.lists.present {
            let is_online = self.lists.online.binary_search(id).is_ok();
            family.sample(&[("cpu", label)], f64::from(u8::from(is_online)));
        }
        let mut family = out.family(
            "node_cpu_isolated",
            "Whether each core is isolated, information from /sys/devices/system/cpu/isolated.",
            Kind::Gauge,
        );
        for label in &self.lists.isolated {
            family.sample(&[("cpu", label)], 1.0);
        }
    }
}

impl Lists {
    fn refresh(&mut self, host: &Host) {
        let folder = host.sys("devices/system/cpu");
        let Ok(online) = host::attribute(&folder.join("online")) else {
            *self = Self::default();
            return;
        };
        if *online == *self.online_text {
            return;
        }
        let read = |name: &str| {
            let list = host::attribute(&folder.join(name)).ok()?;
            scan::list(&list)
        };
        let label = |id: u32| id.to_string();
        self.online = scan::list(&online).unwrap_or_default();
        self.present =
            read("present").unwrap_or_default().into_iter().map(|id| (id, label(id))).collect();
        self.isolated = read("isolated").unwrap_or_default().into_iter().map(label).collect();
        self.online_text = online.to_vec();
    }
}

impl Times {
    /// `cpu12 1 2 3 4 5 6 7 8 9 10`; old kernels have fewer numbers. The sum over all, `cpu`, is not one.
    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = scan::fields(line);
        let id = fields.next()?.strip_prefix(b"cpu")?;
        scan::u64(id)?;
        let mut ticks = [0; 10];
        let mut n_fields = 0;
        for (slot, field) in ticks.iter_mut().zip(fields) {
            *slot = scan::u64(field)?;
            n_fields += 1;
        }
        (n_fields >= 4).then(|| Self { id: scan::text(id).into_owned(), ticks })
    }

    /// Keeps what was shown before where the kernel steps back, which it does for iowait and idle; Prometheus would
    /// take each such step for a restart.
    fn never_fall_below(&mut self, before: &Self, hotplug_ticks: u64) {
        if before.ticks[IDLE].saturating_sub(self.ticks[IDLE]) >= hotplug_ticks {
            return;
        }
        for (now, before) in self.ticks.iter_mut().zip(before.ticks) {
            *now = (*now).max(before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let times = Times::parse(b"cpu12 1 2 3 4 5 6 7 8 9 10").unwrap();
        assert_eq!(times, Times { id: "12".into(), ticks: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10] });
        assert_eq!(Times::parse(b"cpu0 1 2 3 4").unwrap().ticks, [1, 2, 3, 4, 0, 0, 0, 0, 0, 0]);
        for garbage in [
            &b""[..],
            b"cpu 1 2 3 4",
            b"cpu0",
            b"cpu0 1 2 3",
            b"cpux 1 2 3 4",
            b"cpu0 1 2 3 x",
            b"intr 1",
        ] {
            assert_eq!(Times::parse(garbage), None, "{garbage:?}");
        }
    }

    #[test]
    fn counters_never_fall_but_for_hotplug() {
        let times =
            |idle, iowait| Times { id: "0".into(), ticks: [5, 0, 0, idle, iowait, 0, 0, 0, 0, 0] };
        let mut now = times(99, 7);
        now.never_fall_below(&times(100, 9), 300);
        assert_eq!(now, times(100, 9));
        let mut replugged = times(50, 1);
        replugged.never_fall_below(&times(1000, 9), 300);
        assert_eq!(replugged, times(50, 1));
    }
}

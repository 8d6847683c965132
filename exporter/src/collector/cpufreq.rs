//! Clock frequencies of the CPUs, from `/sys/devices/system/cpu/cpu*/cpufreq`.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use proto::exposition::{Exposition, Kind};

use super::{
    Collector, Error, OptionError, Setup,
    attributes::{Attribute, Scale, gauge},
};
use crate::{host, scan};

/// How old a frequency may be. Reading one can take 20 ms by the kernel's design, for each CPU: it watches the counters
/// for that long.
const AGE_MAX: Duration = Duration::from_secs(5);

const KILOHERTZ: Scale = Scale::Times(1000.0);

const FILES: [Attribute; 7] = [
    gauge("cpuinfo_cur_freq", "node_cpu_frequency_hertz", "Current CPU thread frequency in hertz.")
        .scaled(KILOHERTZ),
    gauge(
        "cpuinfo_min_freq",
        "node_cpu_frequency_min_hertz",
        "Minimum CPU thread frequency in hertz.",
    )
    .scaled(KILOHERTZ),
    gauge(
        "cpuinfo_max_freq",
        "node_cpu_frequency_max_hertz",
        "Maximum CPU thread frequency in hertz.",
    )
    .scaled(KILOHERTZ),
    gauge(
        "cpuinfo_avg_freq",
        "node_cpu_frequency_avg_hertz",
        "Average CPU thread frequency in hertz.",
    )
    .scaled(KILOHERTZ),
    gauge(
        "scaling_cur_freq",
        "node_cpu_scaling_frequency_hertz",
        "Current scaled CPU thread frequency in hertz.",
    )
    .scaled(KILOHERTZ),
    gauge(
        "scaling_min_freq",
        "node_cpu_scaling_frequency_min_hertz",
        "Minimum scaled CPU thread frequency in hertz.",
    )
    .scaled(KILOHERTZ),
    gauge(
        "scaling_max_freq",
        "node_cpu_scaling_frequency_max_hertz",
        "Maximum scaled CPU thread frequency in hertz.",
    )
    .scaled(KILOHERTZ),
];

struct CpuFreq {
    folder: PathBuf,
    read: Option<(Instant, Vec<Cpu>)>,
}

/// What was read about one CPU.
struct Cpu {
    id: String,
    /// In the order of [`FILES`].
    frequencies: [Option<f64>; FILES.len()],
    /// (name, whether it governs)
    governors: Vec<(String, bool)>,
}

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    Ok(Box::new(CpuFreq { folder: setup.host.sys("devices/system/cpu"), read: None }))
}

impl Collector for CpuFreq {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        if self.read.as_ref().is_none_or(|(read, _)| read.elapsed() >= AGE_MAX) {
            self.read = Some((Instant::now(), read(&self.folder)?));
        }
        let Some((_, cpus)) = &self.read else { return Ok(()) };
        for (position, file) in FILES.iter().enumerate() {
            let mut family = out.family(file.name, file.help, file.kind);
            for cpu in cpus {
                if let Some(value) = cpu.frequencies[position] {
                    family.sample(&[("cpu", &cpu.id)], value);
                }
            }
        }
        let mut family = out.family(
            "node_cpu_scaling_governor",
            "Current enabled CPU frequency governor.",
            Kind::Gauge,
        );
        for cpu in cpus {
            for (governor, governs) in &cpu.governors {
                let labels = [("cpu", cpu.id.as_str()), ("governor", governor)];
                family.sample(&labels, f64::from(u8::from(*governs)));
            }
        }
        Ok(())
    }
}

fn read(folder: &Path) -> Result<Vec<Cpu>, Error> {
    let names = host::names(folder).map_err(|err| err.or_no_data("CPUs in /sys"))?;
    let mut cpus = Vec::new();
    for name in names {
        let Some(id) = name.strip_prefix("cpu").filter(|id| scan::u64(id.as_bytes()).is_some())
        else {
            continue;
        };
        let folder = folder.join(&name).join("cpufreq");
        if !folder.is_dir() {
            continue;
        }
        let governs = host::text(&folder.join("scaling_governor")).unwrap_or_default();
        let available = host::attribute(&folder.join("scaling_available_governors"));
        let governors = available.as_deref().map(scan::fields).into_iter().flatten();
        cpus.push(Cpu {
            id: id.to_owned(),
            frequencies: FILES.map(|file| {
                host::number(&folder.join(file.file)).map(|value| file.scale.apply(value))
            }),
            governors: governors
                .map(|governor| (scan::text(governor).into_owned(), governor == governs.as_bytes()))
                .collect(),
        });
    }
    cpus.sort_by_key(|cpu| scan::u64(cpu.id.as_bytes()));
    Ok(cpus)
}

//! Interrupts and softirqs by CPU, from `/proc/interrupts` and `/proc/softirqs`. Off by default: many series.

use std::path::PathBuf;

use proto::exposition::{Exposition, Kind};

use super::{Collector, Error, OptionError, Setup};
use crate::{host, name_filter::NameFilter, scan};

struct Interrupts {
    path: PathBuf,
    /// Matched against `type;info;devices`.
    filter: NameFilter,
    zeros: bool,
    buf: Vec<u8>,
}

/// `interrupts`
pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    Ok(Box::new(Interrupts {
        path: setup.host.proc("interrupts"),
        filter: NameFilter::from_pair(
            ("collector.interrupts.name-include", &setup.options.interrupts_include),
            ("collector.interrupts.name-exclude", &setup.options.interrupts_exclude),
            "",
        )?,
        zeros: setup.selection.switch("collector.interrupts.include-zeros"),
        buf: Vec::new(),
    }))
}

impl Collector for Interrupts {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let text = host::read(&self.path, &mut self.buf)?;
        let wrong = || Error::Parse { path: self.path.clone(), what: "no heading `CPU0 CPU1 …`" };
        let (cpus, lines) = table(text).ok_or_else(wrong)?;
        let mut family = out.family("node_interrupts_total", "Interrupt details.", Kind::Counter);
        for line in lines {
            let Some(interrupt) = Interrupt::parse(line, cpus.len()) else { continue };
            // `ERR` and `MIS`, which are no interrupts and belong to no CPU.
            if interrupt.info.is_empty() {
                continue;
            }
            let name = format!("{};{};{}", interrupt.kind, interrupt.info, interrupt.devices);
            if !self.filter.admits(name.as_bytes()) {
                continue;
            }
            for (cpu, count) in cpus.iter().zip(&interrupt.counts) {
                if *count > 0.0 || self.zeros {
                    let labels = [
                        ("cpu", *cpu),
                        ("type", &interrupt.kind),
                        ("info", &interrupt.info),
                        ("devices", &interrupt.devices),
                    ];
                    family.sample(&labels, *count);
                }
            }
        }
        Ok(())
    }
}

struct SoftIrqs {
    path: PathBuf,
    buf: Vec<u8>,
}

/// `softirqs`
pub(crate) fn open_softirqs(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    Ok(Box::new(SoftIrqs { path: setup.host.proc("softirqs"), buf: Vec::new() }))
}

impl Collector for SoftIrqs {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let text = host::read(&self.path, &mut self.buf)?;
        let wrong = || Error::Parse { path: self.path.clone(), what: "no heading `CPU0 CPU1 …`" };
        let (cpus, lines) = table(text).ok_or_else(wrong)?;
        let mut family =
            out.family("node_softirqs_functions_total", "Softirq counts per CPU.", Kind::Counter);
        for line in lines {
            let Some(softirq) = Interrupt::parse(line, cpus.len()) else { continue };
            for (cpu, count) in cpus.iter().zip(&softirq.counts) {
                family.sample(&[("cpu", cpu), ("type", &softirq.kind)], *count);
            }
        }
        Ok(())
    }
}

/// The numbers of the CPUs in the heading, and the lines below.
fn table(text: &[u8]) -> Option<(Vec<&str>, impl Iterator<Item = &[u8]>)> {
    let mut lines = scan::lines(text);
    let cpus: Vec<&str> = scan::fields(lines.next()?)
        .map(|field| std::str::from_utf8(field.strip_prefix(b"CPU")?).ok())
        .collect::<Option<_>>()?;
    (!cpus.is_empty()).then_some((cpus, lines))
}

#[derive(Debug, PartialEq)]
struct Interrupt {
    kind: String,
    info: String,
    devices: String,
    counts: Vec<f64>,
}

impl Interrupt {
    /// `  4:  106  115  IO-APIC  4-edge  ttyS0` or `LOC:  17  19  Local timer interrupts` or `ERR:  0`
    fn parse(line: &[u8], n_cpus: usize) -> Option<Self> {
        let (kind, rest) = scan::split_once(line, b':')?;
        let kind = scan::text(kind.trim_ascii()).into_owned();
        let mut fields = scan::fields(rest).peekable();
        let mut counts = Vec::with_capacity(n_cpus);
        while counts.len() < n_cpus
            && let Some(count) = fields.peek().and_then(|field| scan::u64(field))
        {
            counts.push(count as f64);
            fields.next();
        }
        let words: Vec<_> = fields.map(scan::text).collect();
        let is_numbered = scan::u64(kind.as_bytes()).is_some();
        let (info, devices) = match words.split_first() {
            Some((info, devices)) if is_numbered => (info.clone().into_owned(), devices.join(" ")),
            _ => (words.join(" "), String::new()),
        };
        (!counts.is_empty()).then_some(Self { kind, info, devices, counts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let interrupt = |kind: &str, info: &str, devices: &str, counts: &[f64]| Interrupt {
            kind: kind.to_owned(),
            info: info.to_owned(),
            devices: devices.to_owned(),
            counts: counts.to_vec(),
        };
        for (line, expected) in [
            (
                "  4:  106  115  IO-APIC  4-edge  ttyS0",
                Some(interrupt("4", "IO-APIC", "4-edge ttyS0", &[106.0, 115.0])),
            ),
            (
                "LOC:  17  19  Local timer interrupts",
                Some(interrupt("LOC", "Local timer interrupts", "", &[17.0, 19.0])),
            ),
            ("ERR:  3", Some(interrupt("ERR", "", "", &[3.0]))),
            ("", None),
            ("4", None),
            ("4:", None),
            ("4: x y", None),
        ] {
            assert_eq!(Interrupt::parse(line.as_bytes(), 2), expected, "{line}");
        }
        assert!(table(b"").is_none() && table(b"\n").is_none() && table(b"x y\n").is_none());
    }
}

//! `--collector.cpu.info`: what `/proc/cpuinfo` says about each CPU, its flags and its bugs.

use std::path::PathBuf;

use proto::exposition::{Exposition, Kind};
use regexp::Regexp;

use crate::{
    collector::{Error, OptionError, Setup},
    host, name_filter, scan,
};

pub(super) struct Info {
    path: PathBuf,
    shown: bool,
    flags: Option<Regexp>,
    bugs: Option<Regexp>,
    buf: Vec<u8>,
}

/// Labels of `node_cpu_info` and the fields of `/proc/cpuinfo` behind them.
const LABELS: [(&str, &[u8]); 10] = [
    ("package", b"physical id"),
    ("core", b"core id"),
    ("cpu", b"processor"),
    ("vendor", b"vendor_id"),
    ("family", b"cpu family"),
    ("model", b"model"),
    ("model_name", b"model name"),
    ("microcode", b"microcode"),
    ("stepping", b"stepping"),
    ("cachesize", b"cache size"),
];

impl Info {
    pub(super) fn new(setup: &Setup<'_>) -> Result<Self, OptionError> {
        let options = setup.options;
        let flags = options.cpu_flags_include.as_deref().filter(|pattern| !pattern.is_empty());
        let bugs = options.cpu_bugs_include.as_deref().filter(|pattern| !pattern.is_empty());
        Ok(Self {
            path: setup.host.proc("cpuinfo"),
            shown: options.cpu_info || flags.is_some() || bugs.is_some(),
            flags: name_filter::compile("collector.cpu.info.flags-include", flags)?,
            bugs: name_filter::compile("collector.cpu.info.bugs-include", bugs)?,
            buf: Vec::new(),
        })
    }

    pub(super) fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        if !self.shown {
            return Ok(());
        }
        let text = host::read(&self.path, &mut self.buf)?;
        let mut values = [const { String::new() }; LABELS.len()];
        let mut is_open = false;
        // An empty line closes a CPU; the file may end without one.
        for line in scan::lines(text).chain([&b""[..]]) {
            let Some((name, value)) = scan::split_once(line, b':') else {
                if is_open {
                    write(&values, out);
                    values = [const { String::new() }; LABELS.len()];
                    is_open = false;
                }
                continue;
            };
            let name = name.trim_ascii();
            if let Some(label) = LABELS.iter().position(|(_, field)| *field == name) {
                values[label] = scan::text(value.trim_ascii()).into_owned();
                is_open = true;
            }
        }
        write_words(text, b"flags", self.flags.as_ref(), out);
        write_words(text, b"bugs", self.bugs.as_ref(), out);
        Ok(())
    }
}

fn write(values: &[String; LABELS.len()], out: &mut Exposition) {
    let mut labels = [("", ""); LABELS.len()];
    for (slot, ((label, _), value)) in labels.iter_mut().zip(LABELS.iter().zip(values)) {
        *slot = (label, value);
    }
    out.family("node_cpu_info", "CPU information from /proc/cpuinfo.", Kind::Gauge)
        .sample(&labels, 1.0);
}

/// The words of the first CPU's line `field` that `pattern` matches.
fn write_words(text: &[u8], field: &[u8], pattern: Option<&Regexp>, out: &mut Exposition) {
    let Some(pattern) = pattern else { return };
    let line = scan::lines(text)
        .filter_map(|line| scan::split_once(line, b':'))
        .find(|(name, _)| name.trim_ascii() == field);
    let Some((_, words)) = line else { return };
    let (family, help, label) = match field {
        b"flags" => (
            "node_cpu_flag_info",
            "The `flags` field of CPU information from /proc/cpuinfo taken from the first core.",
            "flag",
        ),
        _ => (
            "node_cpu_bug_info",
            "The `bugs` field of CPU information from /proc/cpuinfo taken from the first core.",
            "bug",
        ),
    };
    let mut family = out.family(family, help, Kind::Gauge);
    for word in scan::fields(words).filter(|word| pattern.is_match(word)) {
        family.sample(&[(label, &scan::text(word))], 1.0);
    }
}

//! Collectors that are a handful of single numbers under `/proc/sys`: entropy, filefd, `kernel_hung`.

use std::path::PathBuf;

use proto::exposition::{Exposition, Kind};

use super::{Collector, Error, OptionError, Setup};
use crate::{host, scan};

/// One family of one number.
struct Number {
    path: PathBuf,
    /// Which of the file's words it is.
    word: usize,
    name: &'static str,
    help: &'static str,
    kind: Kind,
}

struct Numbers {
    numbers: Vec<Number>,
    /// What the machine lacks when the files are missing.
    what: &'static str,
}

/// `entropy`: bits in the kernel's pool.
pub(crate) fn open_entropy(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    let number = |file: &str, name, help| Number {
        path: setup.host.proc("sys/kernel/random").join(file),
        word: 0,
        name,
        help,
        kind: Kind::Gauge,
    };
    Ok(Box::new(Numbers {
        numbers: vec![
            number("entropy_avail", "node_entropy_available_bits", "Bits of available entropy."),
            number("poolsize", "node_entropy_pool_size_bits", "Bits of entropy pool."),
        ],
        what: "entropy pool",
    }))
}

/// `filefd`: file descriptors of the whole machine; the second of the three words is 0 since Linux 2.6.
pub(crate) fn open_filefd(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    let number = |word, name, help| Number {
        path: setup.host.proc("sys/fs/file-nr"),
        word,
        name,
        help,
        kind: Kind::Gauge,
    };
    Ok(Box::new(Numbers {
        numbers: vec![
            number(0, "node_filefd_allocated", "File descriptor statistics: allocated."),
            number(2, "node_filefd_maximum", "File descriptor statistics: maximum."),
        ],
        what: "file descriptor statistics",
    }))
}

/// `kernel_hung`: tasks that the kernel found hanging; since Linux 6.13.
pub(crate) fn open_kernel_hung(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    Ok(Box::new(Numbers {
        numbers: vec![Number {
            path: setup.host.proc("sys/kernel/hung_task_detect_count"),
            word: 0,
            name: "node_kernel_hung_tasks_total",
            help: "Total number of tasks that have been detected as hung since the system booted.",
            kind: Kind::Counter,
        }],
        what: "count of hung tasks",
    }))
}

impl Collector for Numbers {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        for Number { path, word, name, help, kind } in &self.numbers {
            let text = host::attribute(path).map_err(|source| {
                Error::Read { path: path.clone(), source }.or_no_data(self.what)
            })?;
            let value = scan::fields(&text).nth(*word).and_then(scan::f64);
            let what = "not the number that is expected";
            let value = value.ok_or_else(|| Error::Parse { path: path.clone(), what })?;
            out.family(name, help, *kind).sample(&[], value);
        }
        Ok(())
    }
}

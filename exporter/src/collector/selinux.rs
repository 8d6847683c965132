//! Whether SELinux is on, and in which mode.

use std::{ffi::OsStr, path::PathBuf};

use proto::exposition::Exposition;

use super::{Collector, Error, OptionError, Setup};
use crate::{host, scan};

struct SeLinux {
    enforce: PathBuf,
    config: PathBuf,
    buf: Vec<u8>,
}

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    Ok(Box::new(SeLinux {
        enforce: setup.host.sys("fs/selinux/enforce"),
        config: setup.host.root(OsStr::new("/etc/selinux/config")),
        buf: Vec::new(),
    }))
}

impl Collector for SeLinux {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        const ENABLED: &str = "SELinux is enabled, 1 is true, 0 is false";
        let Some(current) = host::number(&self.enforce) else {
            out.gauge("node_selinux_enabled", ENABLED, 0.0);
            return Ok(());
        };
        out.gauge("node_selinux_enabled", ENABLED, 1.0);
        out.gauge("node_selinux_current_mode", "Current SELinux enforcement mode", current);
        let config = host::read(&self.config, &mut self.buf).unwrap_or_default();
        let mode = scan::lines(config).find_map(|line| line.trim_ascii().strip_prefix(b"SELINUX="));
        let configured = match mode {
            Some(b"enforcing") => 1.0,
            Some(b"permissive") => 0.0,
            _ => -1.0,
        };
        out.gauge("node_selinux_config_mode", "Configured SELinux enforcement mode", configured);
        Ok(())
    }
}

//! Sockets by protocol, from `/proc/net/sockstat` and `sockstat6`.

use std::path::PathBuf;

use proto::exposition::{Exposition, Kind};

use super::{Collector, Error, OptionError, Setup};
use crate::{host, scan};

struct SockStat {
    paths: [PathBuf; 2],
    page_bytes: f64,
    name: String,
    help: String,
}

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    Ok(Box::new(SockStat {
        paths: ["net/sockstat", "net/sockstat6"].map(|path| setup.host.proc(path)),
        page_bytes: rustix::param::page_size() as f64,
        name: String::new(),
        help: String::new(),
    }))
}

impl Collector for SockStat {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let paths = self.paths.clone();
        for path in paths {
            let text = match host::attribute(&path) {
                Ok(text) => text,
                Err(source) => {
                    let err = Error::Read { path, source };
                    if err.is_absent() {
                        continue;
                    }
                    return Err(err);
                }
            };
            for line in scan::lines(&text) {
                self.write_line(line, out).ok_or_else(|| Error::Parse {
                    path: path.clone(),
                    what: "a line is not `Protocol: name number…`",
                })?;
            }
        }
        Ok(())
    }
}

impl SockStat {
    /// `TCP: inuse 5 orphan 0 tw 0 alloc 6 mem 1`
    fn write_line(&mut self, line: &[u8], out: &mut Exposition) -> Option<()> {
        let mut fields = scan::fields(line);
        let protocol = scan::text(fields.next()?.strip_suffix(b":")?);
        if protocol == "sockets" {
            let used = fields.nth(1).and_then(scan::f64)?;
            out.gauge("node_sockstat_sockets_used", "Number of IPv4 sockets in use.", used);
            return Some(());
        }
        while let Some(state) = fields.next() {
            let value = scan::f64(fields.next()?)?;
            let state = scan::text(state);
            self.write(&protocol, &state, value, out);
            // In pages, which nobody can read.
            if state == "mem" {
                self.write(&protocol, "mem_bytes", value * self.page_bytes, out);
            }
        }
        Some(())
    }

    fn write(&mut self, protocol: &str, state: &str, value: f64, out: &mut Exposition) {
        self.name.clear();
        self.name.extend(["node_sockstat_", protocol, "_", state]);
        self.help.clear();
        self.help.extend(["Number of ", protocol, " sockets in state ", state, "."]);
        out.family(&self.name, &self.help, Kind::Gauge).sample(&[], value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_is_refused() {
        let mut collector = SockStat {
            paths: [PathBuf::new(), PathBuf::new()],
            page_bytes: 4096.0,
            name: String::new(),
            help: String::new(),
        };
        let mut out = Exposition::new();
        assert!(collector.write_line(b"TCP: inuse 5 mem 2", &mut out).is_some());
        assert!(out.to_text().contains("node_sockstat_TCP_mem_bytes 8192\n"));
        for garbage in [&b""[..], b"TCP inuse 5", b"TCP: inuse", b"TCP: inuse x", b"sockets:", b":"]
        {
            let is_fine = collector.write_line(garbage, &mut out).is_some();
            assert_eq!(is_fine, garbage == b":", "{garbage:?}");
        }
    }
}

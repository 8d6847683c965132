//! Load averages, from `/proc/loadavg`.

use std::path::PathBuf;

use proto::exposition::Exposition;

use super::{Collector, Error, OptionError, Setup};
use crate::{host, scan};

struct LoadAvg {
    path: PathBuf,
}

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    Ok(Box::new(LoadAvg { path: setup.host.proc("loadavg") }))
}

impl Collector for LoadAvg {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let text = host::attribute(&self.path)
            .map_err(|source| Error::Read { path: self.path.clone(), source })?;
        let [one, five, fifteen] = parse(&text)
            .ok_or_else(|| Error::Parse { path: self.path.clone(), what: "no load averages" })?;
        out.gauge("node_load1", "1m load average.", one);
        out.gauge("node_load5", "5m load average.", five);
        out.gauge("node_load15", "15m load average.", fifteen);
        Ok(())
    }
}

/// `0.15 0.30 0.27 1/123 4567`
fn parse(text: &[u8]) -> Option<[f64; 3]> {
    let mut loads = scan::fields(text).map_while(scan::f64);
    Some([loads.next()?, loads.next()?, loads.next()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads() {
        assert_eq!(parse(b"0.15 0.30 12.27 1/123 4567\n"), Some([0.15, 0.3, 12.27]));
        for garbage in [&b""[..], b"1 2", b"a b c", b"\xff\xfe\xfd"] {
            assert_eq!(parse(garbage), None, "{garbage:?}");
        }
    }
}

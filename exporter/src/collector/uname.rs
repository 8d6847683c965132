//! The names of the kernel and of this machine, from uname(2).

use proto::exposition::{Exposition, Kind};

use super::{Collector, Error, OptionError, Setup};

struct Uname;

pub(crate) fn open(_: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    Ok(Box::new(Uname))
}

impl Collector for Uname {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let names = rustix::system::uname();
        let labels = [
            ("sysname", names.sysname().to_string_lossy()),
            ("release", names.release().to_string_lossy()),
            ("version", names.version().to_string_lossy()),
            ("machine", names.machine().to_string_lossy()),
            ("nodename", names.nodename().to_string_lossy()),
            ("domainname", names.domainname().to_string_lossy()),
        ];
        out.family(
            "node_uname_info",
            "Labeled system information as provided by the uname system call.",
            Kind::Gauge,
        )
        .sample(&labels.each_ref().map(|(name, value)| (*name, &**value)), 1.0);
        Ok(())
    }
}

//! Bonds of network interfaces: how many interfaces each has and how many of them work.

use std::path::PathBuf;

use proto::exposition::{Exposition, Kind};

use super::{Collector, Error, OptionError, Setup};
use crate::{host, scan};

struct Bonding {
    net: PathBuf,
}

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    Ok(Box::new(Bonding { net: setup.host.sys("class/net") }))
}

impl Collector for Bonding {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let path = self.net.join("bonding_masters");
        let masters = host::attribute(&path)
            .map_err(|source| Error::Read { path, source }.or_no_data("bonded interfaces"))?;
        for master in scan::fields(&masters) {
            let master = scan::text(master);
            let folder = self.net.join(&*master);
            // A bond may go at any time.
            let Ok(slaves) = host::attribute(&folder.join("bonding/slaves")) else { continue };
            let mut n_slaves = 0;
            let mut n_active = 0;
            for slave in scan::fields(&slaves).map(scan::text) {
                n_slaves += 1;
                // `slave_` is the link's name on kernels before 3.16.
                let is_up = ["lower_", "slave_"].into_iter().any(|prefix| {
                    let link = folder.join(format!("{prefix}{slave}/bonding_slave/mii_status"));
                    host::attribute(&link).is_ok_and(|status| *status == *b"up")
                });
                n_active += u32::from(is_up);
            }
            let labels = [("master", &*master)];
            out.family(
                "node_bonding_slaves",
                "Number of configured slaves per bonding interface.",
                Kind::Gauge,
            )
            .sample(&labels, f64::from(n_slaves));
            out.family(
                "node_bonding_active",
                "Number of active slaves per bonding interface.",
                Kind::Gauge,
            )
            .sample(&labels, f64::from(n_active));
        }
        Ok(())
    }
}

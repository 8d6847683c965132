//! Properties of network interfaces: state, address, speed, over rtnetlink or from `/sys/class/net`.

use std::path::PathBuf;

use proto::exposition::{Exposition, Kind};
use regexp::Regexp;

use self::properties::Properties;
use super::{Collector, Error, OptionError, Setup};
use crate::{host, name_filter, netlink::SharedLinks};

mod properties;

struct NetClass {
    class: PathBuf,
    netlink: bool,
    links: SharedLinks,
    ignored: Option<Regexp>,
    ignore_invalid_speed: bool,
    /// What netlink does not tell and hardly ever changes.
    constants: properties::ConstantsCache,
}

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    let flag = "collector.netclass.ignored-devices";
    let ignored = setup.options.netclass_ignored.as_deref();
    let class = setup.host.sys("class/net");
    Ok(Box::new(NetClass {
        // Another /sys may be another network's, which a socket of ours does not see.
        netlink: setup.selection.switch("collector.netclass.netlink")
            && class.starts_with("/sys/class"),
        links: setup.links.clone(),
        class,
        ignored: name_filter::compile(flag, ignored)?,
        ignore_invalid_speed: setup.selection.switch("collector.netclass.ignore-invalid-speed"),
        constants: properties::ConstantsCache::default(),
    }))
}

/// Name after `node_network_`, kind and figure of one family; a figure that an interface lacks is left out.
type Row = (&'static str, Kind, fn(&Properties) -> Option<f64>);

const FAMILIES: [Row; 17] = {
    use Kind::{Counter, Gauge};
    [
        ("address_assign_type", Gauge, |p| p.address_assign_type),
        ("carrier", Gauge, |p| p.carrier),
        ("carrier_changes_total", Counter, |p| p.carrier_changes),
        ("carrier_up_changes_total", Counter, |p| p.carrier_up_changes),
        ("carrier_down_changes_total", Counter, |p| p.carrier_down_changes),
        ("device_id", Gauge, |p| p.device_id),
        ("dormant", Gauge, |p| p.dormant),
        ("flags", Gauge, |p| p.flags.map(f64::from)),
        ("iface_id", Gauge, |p| p.iface_id),
        ("iface_link", Gauge, |p| p.iface_link),
        ("iface_link_mode", Gauge, |p| p.iface_link_mode),
        ("mtu_bytes", Gauge, |p| p.mtu_bytes),
        ("name_assign_type", Gauge, |p| p.name_assign_type),
        ("net_dev_group", Gauge, |p| p.net_dev_group),
        ("protocol_type", Gauge, |p| p.protocol_type),
        ("speed_bytes", Gauge, |p| p.speed_bytes),
        ("transmit_queue_length", Gauge, |p| p.transmit_queue_length),
    ]
};

impl Collector for NetClass {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let is_shown = |name: &str| {
            !self.ignored.as_ref().is_some_and(|ignored| ignored.is_match(name.as_bytes()))
        };
        let mut interfaces: Vec<Properties> = if self.netlink {
            let links = self
                .links
                .get()
                .map_err(|source| Error::System { call: "dump the network links", source })?;
            let shown = links.iter().filter(|link| is_shown(&link.name));
            let all = shown.map(|link| self.constants.complete(link, &self.class)).collect();
            self.constants.retain(&links);
            all
        } else {
            let names =
                host::names(&self.class).map_err(|err| err.or_no_data("network interfaces"))?;
            let shown = names.iter().filter(|name| is_shown(name));
            shown.filter_map(|name| Properties::read(name, &self.class)).collect()
        };
        for interface in &mut interfaces {
            // -1 megabit means unknown; as a speed it is nonsense. node_exporter plans to leave it out as well.
            if self.ignore_invalid_speed {
                interface.speed_bytes = interface.speed_bytes.filter(|speed| *speed >= 0.0);
            }
        }
        write(&interfaces, out);
        Ok(())
    }
}

fn write(interfaces: &[Properties], out: &mut Exposition) {
    let mut up =
        out.family("node_network_up", "Value is 1 if operstate is 'up', 0 otherwise.", Kind::Gauge);
    for interface in interfaces {
        let is_up = f64::from(u8::from(interface.oper_state == "up"));
        up.sample(&[("device", &interface.name)], is_up);
    }
    let mut info = out.family(
        "node_network_info",
        "Non-numeric data from /sys/class/net/<iface>, value is always 1.",
        Kind::Gauge,
    );
    for interface in interfaces {
        let admin_state = match interface.flags {
            None => "unknown",
            Some(flags) if flags & 1 == 1 => "up",
            Some(_) => "down",
        };
        let labels = [
            ("device", &*interface.name),
            ("address", &interface.address),
            ("broadcast", &interface.broadcast),
            ("duplex", &interface.duplex),
            ("operstate", &interface.oper_state),
            ("adminstate", admin_state),
            ("ifalias", &interface.alias),
        ];
        info.sample(&labels, 1.0);
    }
    for (stem, kind, figure) in FAMILIES {
        let name = ["node_network_", stem].concat();
        let help = ["Network device property: ", stem].concat();
        let mut family = out.family(&name, &help, kind);
        for interface in interfaces {
            if let Some(value) = figure(interface) {
                family.sample(&[("device", &interface.name)], value);
            }
        }
    }
    let mut altnames = out.family(
        "node_network_altnames_info",
        "Non-numeric data of <iface> altname, value is always 1.",
        Kind::Gauge,
    );
    for interface in interfaces {
        for altname in &interface.alternative_names {
            altnames.sample(&[("altname", altname), ("device", &interface.name)], 1.0);
        }
    }
}

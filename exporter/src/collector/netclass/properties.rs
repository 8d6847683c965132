//! The properties of one interface, as sysfs has them and as netlink has them.

use std::{collections::HashMap, fmt::Write, path::Path};

use crate::{host, netlink::Link, scan};

const IFF_RUNNING: u32 = 1 << 6;
const IFF_PROMISC: u32 = 1 << 8;
const IFF_LOWER_UP: u32 = 1 << 16;
const IFF_DORMANT: u32 = 1 << 17;

/// In the order of `IF_OPER_*`, which is RFC 2863's.
const OPER_STATES: [&str; 7] =
    ["unknown", "notpresent", "down", "lowerlayerdown", "testing", "dormant", "up"];

/// One interface; `None` where the kernel refuses to tell.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Properties {
    pub(super) name: String,
    pub(super) address: String,
    pub(super) broadcast: String,
    pub(super) duplex: String,
    pub(super) oper_state: String,
    pub(super) alias: String,
    pub(super) alternative_names: Vec<String>,
    pub(super) flags: Option<u32>,
    pub(super) address_assign_type: Option<f64>,
    pub(super) carrier: Option<f64>,
    pub(super) carrier_changes: Option<f64>,
    pub(super) carrier_up_changes: Option<f64>,
    pub(super) carrier_down_changes: Option<f64>,
    pub(super) device_id: Option<f64>,
    pub(super) dormant: Option<f64>,
    pub(super) iface_id: Option<f64>,
    pub(super) iface_link: Option<f64>,
    pub(super) iface_link_mode: Option<f64>,
    pub(super) mtu_bytes: Option<f64>,
    pub(super) name_assign_type: Option<f64>,
    pub(super) net_dev_group: Option<f64>,
    pub(super) protocol_type: Option<f64>,
    pub(super) speed_bytes: Option<f64>,
    pub(super) transmit_queue_length: Option<f64>,
}

impl Properties {
    /// Everything from `/sys/class/net/<name>`; `None` when the interface is gone, or is no interface
    /// (`bonding_masters` lies there too).
    pub(super) fn read(name: &str, class: &Path) -> Option<Self> {
        let folder = class.join(name);
        let number = |file: &str| host::number(&folder.join(file));
        let text = |file: &str| host::text(&folder.join(file)).unwrap_or_default();
        let hex = |file: &str| scan::hex(&host::attribute(&folder.join(file)).ok()?);
        Some(Self {
            iface_id: Some(number("ifindex")?),
            name: name.to_owned(),
            address: text("address"),
            broadcast: text("broadcast"),
            duplex: text("duplex"),
            oper_state: text("operstate"),
            alias: text("ifalias"),
            alternative_names: Vec::new(),
            flags: hex("flags").map(|flags| flags as u32),
            address_assign_type: number("addr_assign_type"),
            carrier: number("carrier"),
            carrier_changes: number("carrier_changes"),
            carrier_up_changes: number("carrier_up_count"),
            carrier_down_changes: number("carrier_down_count"),
            device_id: hex("dev_id").map(|id| id as f64),
            dormant: number("dormant"),
            iface_link: number("iflink"),
            iface_link_mode: number("link_mode"),
            mtu_bytes: number("mtu"),
            name_assign_type: number("name_assign_type"),
            net_dev_group: number("netdev_group"),
            protocol_type: number("type"),
            speed_bytes: number("speed").map(bytes_per_second),
            transmit_queue_length: number("tx_queue_len"),
        })
    }
}

/// From the megabits of sysfs.
fn bytes_per_second(megabits: f64) -> f64 {
    megabits * 1_000_000.0 / 8.0
}

/// Properties that netlink leaves out. They change only together with something that it does tell.
#[derive(Debug, Default)]
pub(super) struct ConstantsCache(HashMap<u32, Constants>);

#[derive(Debug)]
struct Constants {
    /// What the interface looked like when the rest was read.
    name: String,
    address: Vec<u8>,
    carrier_changes: Option<u32>,
    flags: u32,

    address_assign_type: Option<f64>,
    name_assign_type: Option<f64>,
    device_id: Option<f64>,
    /// For an interface with a device of its own, speed and duplex change with the carrier only.
    is_physical: bool,
    speed_bytes: Option<f64>,
    duplex: String,
}

impl ConstantsCache {
    /// Forgets interfaces that are gone.
    pub(super) fn retain(&mut self, links: &[Link]) {
        if self.0.len() > links.len() {
            self.0.retain(|index, _| links.iter().any(|link| link.index == *index));
        }
    }

    /// What netlink said, completed from sysfs.
    pub(super) fn complete(&mut self, link: &Link, class: &Path) -> Properties {
        let constants = self.get(link, class);
        // sysfs shows the flags as set; netlink adds the states and hides promiscuity that a socket asked for.
        let mut flags = link.flags & !(IFF_RUNNING | IFF_LOWER_UP | IFF_DORMANT | IFF_PROMISC);
        if link.promiscuity > 0 {
            flags |= IFF_PROMISC;
        }
        let is_admin_up = link.flags & 1 == 1;
        let oper_state = link.oper_state.and_then(|state| OPER_STATES.get(usize::from(state)));
        Properties {
            name: link.name.clone(),
            address: colons(&link.address),
            broadcast: colons(&link.broadcast),
            duplex: constants.duplex.clone(),
            oper_state: oper_state.copied().unwrap_or("unknown").to_owned(),
            alias: link.alias.clone(),
            alternative_names: link.alternative_names.clone(),
            flags: Some(flags),
            address_assign_type: constants.address_assign_type,
            // sysfs refuses to tell carrier and dormancy of an interface that is switched off.
            carrier: link.carrier.filter(|_| is_admin_up).map(f64::from),
            carrier_changes: link.carrier_changes.map(f64::from),
            carrier_up_changes: link.carrier_up_count.map(f64::from),
            carrier_down_changes: link.carrier_down_count.map(f64::from),
            device_id: constants.device_id,
            dormant: is_admin_up.then(|| f64::from(u8::from(link.flags & IFF_DORMANT != 0))),
            iface_id: Some(f64::from(link.index)),
            iface_link: Some(f64::from(link.parent.unwrap_or(link.index))),
            iface_link_mode: link.link_mode.map(f64::from),
            mtu_bytes: link.mtu.map(f64::from),
            name_assign_type: constants.name_assign_type,
            net_dev_group: link.group.map(f64::from),
            protocol_type: Some(f64::from(link.hardware_type)),
            speed_bytes: constants.speed_bytes,
            transmit_queue_length: link.queue_length.map(f64::from),
        }
    }

    fn get(&mut self, link: &Link, class: &Path) -> &Constants {
        let is_fresh = self.0.get(&link.index).is_some_and(|known| {
            known.is_physical
                && known.name == link.name
                && known.address == link.address
                && known.carrier_changes == link.carrier_changes
                && known.flags == link.flags
        });
        if !is_fresh {
            let before = self.0.remove(&link.index);
            self.0.insert(link.index, Constants::read(link, class, before));
        }
        &self.0[&link.index]
    }
}

impl Constants {
    fn read(link: &Link, class: &Path, before: Option<Self>) -> Self {
        let folder = class.join(&link.name);
        let number = |file: &str| host::number(&folder.join(file));
        // A speed is only there while the interface is up; asking would fail.
        let is_up = link.flags & 1 == 1;
        let speed_bytes = if is_up { number("speed").map(bytes_per_second) } else { None };
        let duplex =
            if is_up { host::text(&folder.join("duplex")) } else { None }.unwrap_or_default();
        let (name, address) = (link.name.clone(), link.address.clone());
        match before.filter(|before| before.name == name && before.address == address) {
            // Only speed and duplex of a bond, a bridge or a tunnel can have changed.
            Some(before) => Self {
                carrier_changes: link.carrier_changes,
                flags: link.flags,
                speed_bytes,
                duplex,
                ..before
            },
            None => Self {
                carrier_changes: link.carrier_changes,
                flags: link.flags,
                address_assign_type: number("addr_assign_type"),
                name_assign_type: number("name_assign_type"),
                device_id: host::attribute(&folder.join("dev_id"))
                    .ok()
                    .and_then(|id| scan::hex(&id))
                    .map(|id| id as f64),
                is_physical: folder.join("device").exists(),
                speed_bytes,
                duplex,
                name,
                address,
            },
        }
    }
}

/// `52:54:00:12:34:56`
fn colons(address: &[u8]) -> String {
    let mut text = String::with_capacity(address.len() * 3);
    for byte in address {
        let separator = if text.is_empty() { "" } else { ":" };
        write!(text, "{separator}{byte:02x}").expect("writing to a String cannot fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink;

    #[test]
    fn netlink_and_sysfs_agree_about_this_machine() {
        let class = Path::new("/sys/class/net");
        if !class.join("lo").exists() {
            println!("SKIPPED: this machine shows no /sys/class/net");
            return;
        }
        let mut cache = ConstantsCache::default();
        for link in netlink::links().unwrap() {
            let Some(mut expected) = Properties::read(&link.name, class) else { continue };
            // sysfs has no alternative names.
            expected.alternative_names.clone_from(&link.alternative_names);
            for _ in 0..2 {
                assert_eq!(cache.complete(&link, class), expected);
            }
        }
    }

    #[test]
    fn addresses() {
        assert_eq!(colons(&[0x52, 0x54, 0, 0xff]), "52:54:00:ff");
        assert_eq!(colons(&[]), "");
    }
}

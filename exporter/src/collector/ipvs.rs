//! The kernel's load balancer, from `/proc/net/ip_vs` and `ip_vs_stats`.

use std::{collections::BTreeMap, net::Ipv6Addr, path::PathBuf};

use proto::exposition::{Exposition, Kind};

use super::{Collector, Error, OptionError, Setup};
use crate::{host, scan};

/// The labels of a backend, in their order.
const LABELS: [&str; 6] =
    ["local_address", "local_port", "remote_address", "remote_port", "proto", "local_mark"];

struct Ipvs {
    services: PathBuf,
    stats: PathBuf,
    /// Which of [`LABELS`] are shown; backends that are then the same are summed.
    shown: [bool; LABELS.len()],
    buf: Vec<u8>,
}

/// Name, help of the families of a backend.
const BACKEND: [(&str, &str); 3] = [
    ("node_ipvs_backend_weight", "The current backend weight by local and remote address."),
    (
        "node_ipvs_backend_connections_active",
        "The current active connections by local and remote address.",
    ),
    (
        "node_ipvs_backend_connections_inactive",
        "The current inactive connections by local and remote address.",
    ),
];

const TOTALS: [(&str, &str); 5] = [
    ("node_ipvs_connections_total", "The total number of connections made."),
    ("node_ipvs_incoming_packets_total", "The total number of incoming packets."),
    ("node_ipvs_outgoing_packets_total", "The total number of outgoing packets."),
    ("node_ipvs_incoming_bytes_total", "The total amount of incoming data."),
    ("node_ipvs_outgoing_bytes_total", "The total amount of outgoing data."),
];

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    let flag = "collector.ipvs.backend-labels";
    let mut shown = [setup.options.ipvs_backend_labels.is_none(); LABELS.len()];
    let wanted = setup.options.ipvs_backend_labels.as_deref().unwrap_or_default();
    for label in wanted.split(',').filter(|label| !label.is_empty()) {
        let position = LABELS.iter().position(|known| *known == label);
        let Some(position) = position else {
            let problem = "is not one of local_address, local_port, remote_address, remote_port, proto, local_mark";
            return Err(OptionError::Value { flag, value: label.to_owned(), problem });
        };
        shown[position] = true;
    }
    Ok(Box::new(Ipvs {
        services: setup.host.proc("net/ip_vs"),
        stats: setup.host.proc("net/ip_vs_stats"),
        shown,
        buf: Vec::new(),
    }))
}

impl Collector for Ipvs {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let text = host::read(&self.stats, &mut self.buf).map_err(|err| err.or_no_data("IPVS"))?;
        let totals = scan::lines(text).nth(2).map(scan::fields).into_iter().flatten();
        for ((name, help), value) in TOTALS.into_iter().zip(totals.map_while(scan::hex)) {
            out.counter(name, help, value as f64);
        }
        let text = host::read(&self.services, &mut self.buf)?;
        let mut sums: BTreeMap<[String; LABELS.len()], [u64; BACKEND.len()]> = BTreeMap::new();
        for mut backend in parse(text) {
            for (label, shown) in backend.labels.iter_mut().zip(self.shown) {
                if !shown {
                    label.clear();
                }
            }
            let sum = sums.entry(backend.labels).or_default();
            for (sum, number) in sum.iter_mut().zip(backend.numbers) {
                *sum = sum.saturating_add(number);
            }
        }
        for (position, (name, help)) in BACKEND.into_iter().enumerate() {
            let mut family = out.family(name, help, Kind::Gauge);
            for (values, numbers) in &sums {
                let labels: Vec<(&str, &str)> = LABELS
                    .into_iter()
                    .zip(values.iter().map(String::as_str))
                    .zip(self.shown)
                    .filter_map(|(label, shown)| shown.then_some(label))
                    .collect();
                family.sample(&labels, numbers[position] as f64);
            }
        }
        Ok(())
    }
}

/// One real server behind a virtual one.
#[derive(Debug, PartialEq, Eq)]
struct Backend {
    /// In the order of [`LABELS`].
    labels: [String; LABELS.len()],
    /// In the order of [`BACKEND`].
    numbers: [u64; BACKEND.len()],
}

/// Three lines of heading, then services and below each its servers. Lines of other forms are skipped.
fn parse(text: &[u8]) -> Vec<Backend> {
    let mut backends = Vec::new();
    let mut service = <[String; 4]>::default();
    for line in scan::lines(text).skip(3) {
        let mut fields = scan::fields(line);
        match fields.next() {
            Some(b"->") => backends.extend(parse_backend(fields, &service)),
            // `FWM  10001000 wlc`: chosen by a mark of the firewall.
            Some(b"FWM") => {
                let mark = fields.next().map(|mark| scan::text(mark).into_owned());
                service =
                    [String::new(), String::new(), "FWM".to_owned(), mark.unwrap_or_default()];
            }
            Some(protocol) => {
                let address = fields.next().and_then(parse_address);
                let (address, port) = address.unwrap_or_default();
                service = [address, port, scan::text(protocol).into_owned(), String::new()];
            }
            None => {}
        }
    }
    backends
}

/// `C0A85216:0CEA  Tunnel  100  248  2`
fn parse_backend<'l>(
    mut fields: impl Iterator<Item = &'l [u8]>,
    [local_address, local_port, protocol, mark]: &[String; 4],
) -> Option<Backend> {
    let (address, port) = parse_address(fields.next()?)?;
    let mut numbers = fields.skip(1).map_while(scan::u64);
    Some(Backend {
        labels: [
            local_address.clone(),
            local_port.clone(),
            address,
            port,
            protocol.clone(),
            mark.clone(),
        ],
        numbers: [numbers.next()?, numbers.next()?, numbers.next()?],
    })
}

/// `C0A80016:0CEA` or `[2620:…:0001]:0050`
fn parse_address(field: &[u8]) -> Option<(String, String)> {
    let colon = memchr::memrchr(b':', field)?;
    let port = scan::hex(&field[colon + 1..])?.to_string();
    let address = &field[..colon];
    if let Some(inside) = address.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")) {
        let address: Ipv6Addr = std::str::from_utf8(inside).ok()?.parse().ok()?;
        return Some((address.to_string(), port));
    }
    let address = u32::try_from(scan::hex(address)?).ok()?;
    Some((std::net::Ipv4Addr::from(address).to_string(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends() {
        let text = b"IP Virtual Server version 1.2.1 (size=4096)\n\
            Prot LocalAddress:Port Scheduler Flags\n\
            \x20 -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n\
            TCP  C0A80016:0CEA wlc\n\
            \x20 -> C0A85216:0CEA      Tunnel  100    248        2\n\
            \x20 -> broken\n\
            FWM  10001000 wlc\n\
            \x20 -> [2620:0000:0000:0000:0000:0000:0000:0001]:0050 Route 20 0 1\n";
        let found: Vec<_> =
            parse(text).into_iter().map(|b| (b.labels.join(" "), b.numbers)).collect();
        assert_eq!(
            found,
            [
                ("192.168.0.22 3306 192.168.82.22 3306 TCP ".to_owned(), [100, 248, 2]),
                ("  2620::1 80 FWM 10001000".to_owned(), [20, 0, 1]),
            ]
        );
        assert_eq!(parse(b"\n\n\n-> \xff\n[:\nTCP ]:[ x\n"), []);
    }
}

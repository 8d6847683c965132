//! InfiniBand ports, from `/sys/class/infiniband`.

use std::path::PathBuf;

use proto::exposition::{Exposition, Kind};

use super::{
    Collector, Error, OptionError, Setup,
    attributes::{self, Attribute, Scale, counter},
};
use crate::{host, scan};

struct Infiniband {
    class: PathBuf,
}

/// The hardware counts data in words of four bytes.
const WORDS: Scale = Scale::Times(4.0);

const COUNTERS: [Attribute; 24] = [
    counter(
        "counters_ext/port_multicast_rcv_packets",
        "node_infiniband_legacy_multicast_packets_received_total",
        "Number of multicast packets received",
    ),
    counter(
        "counters_ext/port_multicast_xmit_packets",
        "node_infiniband_legacy_multicast_packets_transmitted_total",
        "Number of multicast packets transmitted",
    ),
    counter(
        "counters_ext/port_rcv_data_64",
        "node_infiniband_legacy_data_received_bytes_total",
        "Number of data octets received on all links",
    )
    .scaled(WORDS),
    counter(
        "counters_ext/port_rcv_packets_64",
        "node_infiniband_legacy_packets_received_total",
        "Number of data packets received on all links",
    ),
    counter(
        "counters_ext/port_unicast_rcv_packets",
        "node_infiniband_legacy_unicast_packets_received_total",
        "Number of unicast packets received",
    ),
    counter(
        "counters_ext/port_unicast_xmit_packets",
        "node_infiniband_legacy_unicast_packets_transmitted_total",
        "Number of unicast packets transmitted",
    ),
    counter(
        "counters_ext/port_xmit_data_64",
        "node_infiniband_legacy_data_transmitted_bytes_total",
        "Number of data octets transmitted on all links",
    )
    .scaled(WORDS),
    counter(
        "counters_ext/port_xmit_packets_64",
        "node_infiniband_legacy_packets_transmitted_total",
        "Number of data packets received on all links",
    ),
    counter(
        "counters/link_downed",
        "node_infiniband_link_downed_total",
        "Number of times the link failed to recover from an error state and went down",
    ),
    counter(
        "counters/link_error_recovery",
        "node_infiniband_link_error_recovery_total",
        "Number of times the link successfully recovered from an error state",
    ),
    counter(
        "counters/multicast_rcv_packets",
        "node_infiniband_multicast_packets_received_total",
        "Number of multicast packets received (including errors)",
    ),
    counter(
        "counters/multicast_xmit_packets",
        "node_infiniband_multicast_packets_transmitted_total",
        "Number of multicast packets transmitted (including errors)",
    ),
    counter(
        "counters/port_rcv_constraint_errors",
        "node_infiniband_port_constraint_errors_received_total",
        "Number of packets received on the switch physical port that are discarded",
    ),
    counter(
        "counters/port_xmit_constraint_errors",
        "node_infiniband_port_constraint_errors_transmitted_total",
        "Number of packets not transmitted from the switch physical port",
    ),
    counter(
        "counters/port_rcv_data",
        "node_infiniband_port_data_received_bytes_total",
        "Number of data octets received on all links",
    )
    .scaled(WORDS),
    counter(
        "counters/port_xmit_data",
        "node_infiniband_port_data_transmitted_bytes_total",
        "Number of data octets transmitted on all links",
    )
    .scaled(WORDS),
    counter(
        "counters/port_rcv_discards",
        "node_infiniband_port_discards_received_total",
        "Number of inbound packets discarded by the port because the port is down or congested",
    ),
    counter(
        "counters/port_xmit_discards",
        "node_infiniband_port_discards_transmitted_total",
        "Number of outbound packets discarded by the port because the port is down or congested",
    ),
    counter(
        "counters/port_rcv_errors",
        "node_infiniband_port_errors_received_total",
        "Number of packets containing an error that were received on this port",
    ),
    counter(
        "counters/port_rcv_packets",
        "node_infiniband_port_packets_received_total",
        "Number of packets received on all VLs by this port (including errors)",
    ),
    counter(
        "counters/port_xmit_packets",
        "node_infiniband_port_packets_transmitted_total",
        "Number of packets transmitted on all VLs from this port (including errors)",
    ),
    counter(
        "counters/port_xmit_wait",
        "node_infiniband_port_transmit_wait_total",
        "Number of ticks during which the port had data to transmit but no data was sent during the entire tick",
    ),
    counter(
        "counters/unicast_rcv_packets",
        "node_infiniband_unicast_packets_received_total",
        "Number of unicast packets received (including errors)",
    ),
    counter(
        "counters/unicast_xmit_packets",
        "node_infiniband_unicast_packets_transmitted_total",
        "Number of unicast packets transmitted (including errors)",
    ),
];

/// Files whose first word is a number: (file, family, help, scale).
const GAUGES: [(&str, &str, &str, Scale); 3] = [
    (
        "state",
        "node_infiniband_state_id",
        "State of the InfiniBand port (0: no change, 1: down, 2: init, 3: armed, 4: active, 5: act defer)",
        Scale::One,
    ),
    (
        "phys_state",
        "node_infiniband_physical_state_id",
        "Physical state of the InfiniBand port (0: no change, 1: sleep, 2: polling, 3: disable, 4: shift, 5: link up, 6: link error recover, 7: phytest)",
        Scale::One,
    ),
    // Gigabits.
    (
        "rate",
        "node_infiniband_rate_bytes_per_second",
        "Maximum signal transfer rate",
        Scale::Times(1e9 / 8.0),
    ),
];

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    Ok(Box::new(Infiniband { class: setup.host.sys("class/infiniband") }))
}

impl Collector for Infiniband {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let names = host::names(&self.class).map_err(|err| err.or_no_data("InfiniBand"))?;
        for device in names {
            let folder = self.class.join(&device);
            let text = |file: &str| host::text(&folder.join(file)).unwrap_or_default();
            out.family(
                "node_infiniband_info",
                "Non-numeric data from /sys/class/infiniband/<device>, value is always 1.",
                Kind::Gauge,
            )
            .sample(
                &[
                    ("device", &*device),
                    ("board_id", &text("board_id")),
                    ("firmware_version", &text("fw_ver")),
                    ("hca_type", &text("hca_type")),
                ],
                1.0,
            );
            for port in host::names(&folder.join("ports")).unwrap_or_default() {
                let folder = folder.join("ports").join(&port);
                let labels = [("device", device.as_str()), ("port", port.as_str())];
                for (file, family, help, scale) in GAUGES {
                    // `4: ACTIVE`, `40 Gb/sec (4X QDR)`
                    let value = host::attribute(&folder.join(file)).ok().and_then(|text| {
                        let word = scan::fields(&text).next()?;
                        scan::f64(word.strip_suffix(b":").unwrap_or(word))
                    });
                    if let Some(value) = value {
                        out.family(family, help, Kind::Gauge).sample(&labels, scale.apply(value));
                    }
                }
                attributes::write(&folder, &COUNTERS, &labels, out);
            }
        }
        Ok(())
    }
}

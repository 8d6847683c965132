//! Traffic and errors of network devices.

use proto::exposition::{Exposition, Kind};

#[derive(Clone, Debug, Default)]
pub(super) struct Device {
    pub(super) name: String,
    pub(super) receive_bytes: u64,
    pub(super) receive_errs: u64,
    pub(super) receive_packets: u64,
    pub(super) transmit_bytes: u64,
    pub(super) transmit_errs: u64,
    pub(super) transmit_packets: u64,
}

/// What stands between `node_network_` and `_total`, and its figure.
type Column = (&'static str, fn(&Device) -> u64);

const COLUMNS: [Column; 6] = [
    ("receive_bytes", |device| device.receive_bytes),
    ("receive_errs", |device| device.receive_errs),
    ("receive_packets", |device| device.receive_packets),
    ("transmit_bytes", |device| device.transmit_bytes),
    ("transmit_errs", |device| device.transmit_errs),
    ("transmit_packets", |device| device.transmit_packets),
];

pub(super) fn write(devices: &[Device], out: &mut Exposition) {
    for (name, figure) in COLUMNS {
        let help = format!("Network device statistic {name}.");
        let mut family = out.family(&format!("node_network_{name}_total"), &help, Kind::Counter);
        for device in devices {
            family.sample(&[("device", &device.name)], figure(device) as f64);
        }
    }
}

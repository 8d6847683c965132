//! Traffic and errors of network interfaces.

use proto::exposition::{Exposition, Kind};

#[derive(Clone, Debug, Default)]
pub(super) struct Interface {
    /// What the driver calls it, such as `Intel(R) 82574L Gigabit Network Connection`.
    pub(super) description: String,
    /// What people call it, such as `Ethernet`.
    pub(super) alias: String,
    pub(super) mac: Vec<u8>,
    /// `IfOperStatus` of RFC 2863, from 1.
    pub(super) status: u32,
    /// In bits a second; `None` where it is not known.
    pub(super) bits_per_second: Option<u64>,
    pub(super) bytes_received: u64,
    pub(super) bytes_sent: u64,
    pub(super) packets_received: u64,
    pub(super) packets_sent: u64,
    pub(super) received_discarded: u64,
    pub(super) received_errors: u64,
    pub(super) received_unknown: u64,
    pub(super) outbound_discarded: u64,
    pub(super) outbound_errors: u64,
    pub(super) output_queue: u64,
}

/// In the order of their numbers, from 1.
const STATUSES: [&str; 7] =
    ["up", "down", "testing", "unknown", "dormant", "not present", "lower layer down"];

/// Name, help, kind and figure of one family.
type Column = (&'static str, &'static str, Kind, fn(&Interface) -> u64);

const COLUMNS: [Column; 12] = {
    use Kind::{Counter, Gauge};
    [
        ("windows_net_bytes_received_total", "(Network.BytesReceivedPerSec)", Counter, |nic| {
            nic.bytes_received
        }),
        ("windows_net_bytes_sent_total", "(Network.BytesSentPerSec)", Counter, |nic| {
            nic.bytes_sent
        }),
        ("windows_net_bytes_total", "(Network.BytesTotalPerSec)", Counter, |nic| {
            nic.bytes_received.wrapping_add(nic.bytes_sent)
        }),
        ("windows_net_output_queue_length_packets", "(Network.OutputQueueLength)", Gauge, |nic| {
            nic.output_queue
        }),
        (
            "windows_net_packets_outbound_discarded_total",
            "(Network.PacketsOutboundDiscarded)",
            Counter,
            |nic| nic.outbound_discarded,
        ),
        (
            "windows_net_packets_outbound_errors_total",
            "(Network.PacketsOutboundErrors)",
            Counter,
            |nic| nic.outbound_errors,
        ),
        (
            "windows_net_packets_received_discarded_total",
            "(Network.PacketsReceivedDiscarded)",
            Counter,
            |nic| nic.received_discarded,
        ),
        (
            "windows_net_packets_received_errors_total",
            "(Network.PacketsReceivedErrors)",
            Counter,
            |nic| nic.received_errors,
        ),
        ("windows_net_packets_received_total", "(Network.PacketsReceivedPerSec)", Counter, |nic| {
            nic.packets_received
        }),
        (
            "windows_net_packets_received_unknown_total",
            "(Network.PacketsReceivedUnknown)",
            Counter,
            |nic| nic.received_unknown,
        ),
        ("windows_net_packets_total", "(Network.PacketsPerSec)", Counter, |nic| {
            nic.packets_received.wrapping_add(nic.packets_sent)
        }),
        ("windows_net_packets_sent_total", "(Network.PacketsSentPerSec)", Counter, |nic| {
            nic.packets_sent
        }),
    ]
};

/// The label `nic`: the description as performance counters spell it.
pub(super) fn label(description: &str) -> String {
    let spelled = |character| match character {
        '(' => '[',
        ')' => ']',
        '#' => '_',
        other => other,
    };
    description.chars().map(spelled).collect()
}

pub(super) fn write(interfaces: &[Interface], out: &mut Exposition) {
    let labels: Vec<String> = interfaces.iter().map(|nic| label(&nic.description)).collect();
    let all = || labels.iter().zip(interfaces);
    for (name, help, kind, figure) in COLUMNS {
        let mut family = out.family(name, help, kind);
        for (label, nic) in all() {
            family.sample(&[("nic", label)], figure(nic) as f64);
        }
    }
    let mut bandwidths = out.family(
        "windows_net_current_bandwidth_bytes",
        "(Network.CurrentBandwidth)",
        Kind::Gauge,
    );
    for (label, nic) in all() {
        if let Some(bits) = nic.bits_per_second {
            bandwidths.sample(&[("nic", label)], bits as f64 / 8.0);
        }
    }
    let mut infos = out.family(
        "windows_net_nic_info",
        "A metric with a constant '1' value labeled with the network interface's general information.",
        Kind::Gauge,
    );
    for (label, nic) in all() {
        let octets: Vec<String> = nic.mac.iter().map(|octet| format!("{octet:02X}")).collect();
        let labels =
            [("nic", label.as_str()), ("friendly_name", &nic.alias), ("mac", &octets.join(":"))];
        infos.sample(&labels, 1.0);
    }
    let mut states = out.family(
        "windows_net_nic_operation_status",
        "The operational status for the interface as defined in RFC 2863 as IfOperStatus.",
        Kind::Gauge,
    );
    for (label, nic) in all() {
        for (number, status) in (1..).zip(STATUSES) {
            let is_now = f64::from(u8::from(nic.status == number));
            states.sample(&[("nic", label), ("status", status)], is_now);
        }
    }
}

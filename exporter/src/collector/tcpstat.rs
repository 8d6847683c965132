//! TCP connections by state, over the kernel's socket diagnostics. Off by default: it asks about every connection.

use proto::exposition::{Exposition, Kind};

use super::{Collector, Error, OptionError, Setup};
use crate::netlink::diag;

struct TcpStat;

pub(crate) fn open(_: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    Ok(Box::new(TcpStat))
}

/// `TCP_*` of the kernel, from 1.
const STATES: [&str; 11] = [
    "established",
    "syn_sent",
    "syn_recv",
    "fin_wait1",
    "fin_wait2",
    "time_wait",
    "close",
    "close_wait",
    "last_ack",
    "listen",
    "closing",
];

impl Collector for TcpStat {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let mut counts = [0_u64; STATES.len()];
        let mut received = 0_u64;
        let mut sent = 0_u64;
        let tally = &mut |connection: diag::Connection| {
            if let Some(count) = counts.get_mut(usize::from(connection.state).wrapping_sub(1)) {
                *count += 1;
            }
            received += u64::from(connection.received_bytes);
            sent += u64::from(connection.sent_bytes);
        };
        let failed = |source| Error::System { call: "ask for TCP connections", source };
        diag::tcp(diag::Family::V4, tally).map_err(failed)?;
        match diag::tcp(diag::Family::V6, tally) {
            // A kernel without IPv6.
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => {}
            outcome => outcome.map_err(failed)?,
        }
        let mut family =
            out.family("node_tcp_connection_states", "Number of connection states.", Kind::Gauge);
        for (state, count) in STATES.into_iter().zip(counts) {
            family.sample(&[("state", state)], count as f64);
        }
        // No states, but node_exporter has them here and dashboards ask for them.
        family.sample(&[("state", "rx_queued_bytes")], received as f64);
        family.sample(&[("state", "tx_queued_bytes")], sent as f64);
        Ok(())
    }
}

//! Bytes waiting in UDP sockets, from `/proc/net/udp` and `udp6`.

use std::path::PathBuf;

use proto::exposition::{Exposition, Kind};

use super::{Collector, Error, OptionError, Setup};
use crate::{host, scan};

struct UdpQueues {
    files: [(&'static str, PathBuf); 2],
    buf: Vec<u8>,
}

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    let files =
        [("v4", "net/udp"), ("v6", "net/udp6")].map(|(ip, path)| (ip, setup.host.proc(path)));
    Ok(Box::new(UdpQueues { files, buf: Vec::new() }))
}

impl Collector for UdpQueues {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let mut n_read = 0;
        for (ip, path) in &self.files {
            let text = match host::read(path, &mut self.buf) {
                Ok(text) => text,
                Err(err) if err.is_absent() => continue,
                Err(err) => return Err(err),
            };
            n_read += 1;
            let what = "a line has no tx_queue:rx_queue";
            let (sent, received) =
                sum(text).ok_or_else(|| Error::Parse { path: path.clone(), what })?;
            out.family(
                "node_udp_queues",
                "Number of allocated memory in the kernel for UDP datagrams in bytes.",
                Kind::Gauge,
            )
            .sample(&[("queue", "tx"), ("ip", ip)], sent as f64)
            .sample(&[("queue", "rx"), ("ip", ip)], received as f64);
        }
        if n_read == 0 {
            return Err(Error::NoData { what: "UDP" });
        }
        Ok(())
    }
}

/// A heading, then ` 18: 00000000:0044 00000000:0000 07 00000000:00000000 …`; the fifth word holds both queues.
fn sum(text: &[u8]) -> Option<(u64, u64)> {
    let mut total = (0_u64, 0_u64);
    for line in scan::lines(text).skip(1) {
        let queues = scan::fields(line).nth(4)?;
        let (sent, received) = scan::split_once(queues, b':')?;
        total.0 = total.0.wrapping_add(scan::hex(sent)?);
        total.1 = total.1.wrapping_add(scan::hex(received)?);
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_summed() {
        let text = b"  sl  local\n 1: A B 07 00000015:00000001 x\n 2: A B 07 00000000:0000000F x\n";
        assert_eq!(sum(text), Some((21, 16)));
        assert_eq!(sum(b"heading\n"), Some((0, 0)));
        for garbage in [&b"h\n1: A B"[..], b"h\n1: A B 07 12", b"h\n1: A B 07 x:y"] {
            assert_eq!(sum(garbage), None, "{garbage:?}");
        }
    }
}

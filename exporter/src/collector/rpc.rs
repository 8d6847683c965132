//! NFS: calls that this machine made as a client (`/proc/net/rpc/nfs`) and answered as a server (`nfsd`).

use std::path::PathBuf;

use proto::exposition::{Exposition, Kind};

use self::procedures::{CLIENT_4, SERVER_4, VERSION_2, VERSION_3};
use super::{Collector, Error, OptionError, Setup};
use crate::{host, scan};

mod procedures;

/// What a number of a line becomes: family, help, kind and at most one label.
struct Number {
    /// Position after the line's first word.
    position: usize,
    family: &'static str,
    help: &'static str,
    kind: Kind,
    label: Option<(&'static str, &'static str)>,
}

const fn counter(position: usize, family: &'static str, help: &'static str) -> Number {
    Number { position, family, help, kind: Kind::Counter, label: None }
}

const fn labelled(
    position: usize,
    family: &'static str,
    help: &'static str,
    label: (&'static str, &'static str),
) -> Number {
    Number { position, family, help, kind: Kind::Counter, label: Some(label) }
}

const fn gauge(position: usize, family: &'static str, help: &'static str) -> Number {
    Number { position, family, help, kind: Kind::Gauge, label: None }
}

/// The numbers of one line, known by its first word.
type Line = (&'static [u8], &'static [Number]);

const CLIENT: &[Line] = &[
    (
        b"net",
        &[
            labelled(
                1,
                "node_nfs_packets_total",
                "Total NFSd network packets (sent+received) by protocol type.",
                ("protocol", "udp"),
            ),
            labelled(
                2,
                "node_nfs_packets_total",
                "Total NFSd network packets (sent+received) by protocol type.",
                ("protocol", "tcp"),
            ),
            counter(3, "node_nfs_connections_total", "Total number of NFSd TCP connections."),
        ],
    ),
    (
        b"rpc",
        &[
            counter(0, "node_nfs_rpcs_total", "Total number of RPCs performed."),
            counter(
                1,
                "node_nfs_rpc_retransmissions_total",
                "Number of RPC transmissions performed.",
            ),
            counter(
                2,
                "node_nfs_rpc_authentication_refreshes_total",
                "Number of RPC authentication refreshes performed.",
            ),
        ],
    ),
];

const SERVER: &[Line] = &[
    (
        b"rc",
        &[
            counter(
                0,
                "node_nfsd_reply_cache_hits_total",
                "Total number of NFSd Reply Cache hits (client lost server response).",
            ),
            counter(
                1,
                "node_nfsd_reply_cache_misses_total",
                "Total number of NFSd Reply Cache an operation that requires caching (idempotent).",
            ),
            counter(
                2,
                "node_nfsd_reply_cache_nocache_total",
                "Total number of NFSd Reply Cache non-idempotent operations (rename/delete/…).",
            ),
        ],
    ),
    (
        b"fh",
        &[counter(
            0,
            "node_nfsd_file_handles_stale_total",
            "Total number of NFSd stale file handles",
        )],
    ),
    (
        b"io",
        &[
            counter(0, "node_nfsd_disk_bytes_read_total", "Total NFSd bytes read."),
            counter(1, "node_nfsd_disk_bytes_written_total", "Total NFSd bytes written."),
        ],
    ),
    (
        b"th",
        &[gauge(
            0,
            "node_nfsd_server_threads",
            "Total number of NFSd kernel threads that are running.",
        )],
    ),
    (
        b"ra",
        &[
            gauge(
                0,
                "node_nfsd_read_ahead_cache_size_blocks",
                "How large the read ahead cache is in blocks.",
            ),
            counter(
                11,
                "node_nfsd_read_ahead_cache_not_found_total",
                "Total number of NFSd read ahead cache not found.",
            ),
        ],
    ),
    (
        b"net",
        &[
            labelled(
                1,
                "node_nfsd_packets_total",
                "Total NFSd network packets (sent+received) by protocol type.",
                ("proto", "udp"),
            ),
            labelled(
                2,
                "node_nfsd_packets_total",
                "Total NFSd network packets (sent+received) by protocol type.",
                ("proto", "tcp"),
            ),
            counter(3, "node_nfsd_connections_total", "Total number of NFSd TCP connections."),
        ],
    ),
    (
        b"rpc",
        &[
            counter(0, "node_nfsd_server_rpcs_total", "Total number of NFSd RPCs."),
            labelled(
                2,
                "node_nfsd_rpc_errors_total",
                "Total number of NFSd RPC errors by error type.",
                ("error", "fmt"),
            ),
            labelled(
                3,
                "node_nfsd_rpc_errors_total",
                "Total number of NFSd RPC errors by error type.",
                ("error", "auth"),
            ),
            labelled(
                4,
                "node_nfsd_rpc_errors_total",
                "Total number of NFSd RPC errors by error type.",
                ("error", "cInt"),
            ),
        ],
    ),
];

/// (line, label `proto`, names of its procedures; an empty name is not shown)
type Procedures = (&'static [u8], &'static str, &'static [&'static str]);

struct Rpc {
    path: PathBuf,
    lines: &'static [Line],
    requests: (&'static str, &'static str),
    procedures: [Procedures; 3],
    what: &'static str,
    buf: Vec<u8>,
}

/// `nfs`: this machine as a client.
pub(crate) fn open_client(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    Ok(Box::new(Rpc {
        path: setup.host.proc("net/rpc/nfs"),
        lines: CLIENT,
        requests: ("node_nfs_requests_total", "Number of NFS procedures invoked."),
        procedures: [
            (b"proc2", "2", VERSION_2),
            (b"proc3", "3", VERSION_3),
            (b"proc4", "4", CLIENT_4),
        ],
        what: "NFS client",
        buf: Vec::new(),
    }))
}

/// `nfsd`: this machine as a server.
pub(crate) fn open_server(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    Ok(Box::new(Rpc {
        path: setup.host.proc("net/rpc/nfsd"),
        lines: SERVER,
        requests: (
            "node_nfsd_requests_total",
            "Total number NFSd Requests by method and protocol.",
        ),
        procedures: [
            (b"proc2", "2", VERSION_2),
            (b"proc3", "3", VERSION_3),
            (b"proc4ops", "4", SERVER_4),
        ],
        what: "NFS server",
        buf: Vec::new(),
    }))
}

impl Collector for Rpc {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let text =
            host::read(&self.path, &mut self.buf).map_err(|err| err.or_no_data(self.what))?;
        for line in scan::lines(text) {
            let mut fields = scan::fields(line);
            let Some(word) = fields.next() else { continue };
            let numbers: Vec<f64> = fields.map_while(scan::f64).collect();
            let known = self.lines.iter().find(|(known, _)| *known == word);
            for number in known.map_or(&[][..], |(_, numbers)| *numbers) {
                if let Some(value) = numbers.get(number.position) {
                    out.family(number.family, number.help, number.kind)
                        .sample(number.label.as_slice(), *value);
                }
            }
            let known = self.procedures.iter().find(|(known, ..)| *known == word);
            if let Some((_, proto, names)) = known {
                let (family, help) = self.requests;
                let mut family = out.family(family, help, Kind::Counter);
                // The first number says how many follow.
                for (name, value) in names.iter().zip(numbers.iter().skip(1)) {
                    if !name.is_empty() {
                        family.sample(&[("method", name), ("proto", proto)], *value);
                    }
                }
            }
        }
        Ok(())
    }
}

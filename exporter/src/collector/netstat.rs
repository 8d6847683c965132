//! Counters of the network protocols, from `/proc/net/netstat`, `snmp` and `snmp6`.

use std::path::PathBuf;

use proto::exposition::{Exposition, Kind};

use super::{Collector, Error, OptionError, Setup};
use crate::{host, name_filter::NameFilter, scan};

const FIELDS_DEFAULT: &str = "^(.*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)|Icmp6?_(InMsgs|OutMsgs)|TcpExt_(Listen.*|Syncookies.*|TCPSynRetrans|TCPTimeouts|TCPOFOQueue|TCPRcvQDrop)|Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|RetransSegs|CurrEstab)|Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors))$";

struct NetStat {
    /// Files of a line with names and a line with values for each protocol.
    tables: [Table; 2],
    /// A name and a value on each line.
    snmp6: PathBuf,
    filter: NameFilter,
    family: Names,
    buf: Vec<u8>,
}

struct Table {
    path: PathBuf,
    /// One for each pair of lines. Names never change while a kernel runs, so they are looked at once.
    headings: Vec<Heading>,
}

/// A line with names, and which of its columns are shown.
#[derive(Default)]
struct Heading {
    line: Vec<u8>,
    shown: Vec<(usize, Names)>,
}

/// Name and help of a family.
#[derive(Clone, Default)]
struct Names {
    name: String,
    help: String,
}

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    let fields = setup.options.netstat_fields.as_deref().unwrap_or(FIELDS_DEFAULT);
    Ok(Box::new(NetStat {
        tables: ["net/netstat", "net/snmp"]
            .map(|path| Table { path: setup.host.proc(path), headings: Vec::new() }),
        snmp6: setup.host.proc("net/snmp6"),
        filter: NameFilter::including("collector.netstat.fields", fields)?,
        family: Names::default(),
        buf: Vec::new(),
    }))
}

impl Collector for NetStat {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        for table in &mut self.tables {
            let text = host::read(&table.path, &mut self.buf)?;
            if !table.write(text, &mut self.filter, out) {
                let what = "not pairs of lines `Protocol: names` and `Protocol: numbers`";
                return Err(Error::Parse { path: table.path.clone(), what });
            }
        }
        let text = match host::read(&self.snmp6, &mut self.buf) {
            Ok(text) => text,
            // A kernel without IPv6.
            Err(err) if err.is_absent() => return Ok(()),
            Err(err) => return Err(err),
        };
        for line in scan::lines(text) {
            if let Some((protocol, name, value)) = parse_snmp6(line)
                && self.family.set(protocol, name, &mut self.filter)
            {
                self.family.write(value, out);
            }
        }
        Ok(())
    }
}

impl Table {
    /// Says whether the text was of the right form.
    fn write(&mut self, text: &[u8], filter: &mut NameFilter, out: &mut Exposition) -> bool {
        let mut lines = scan::lines(text);
        let mut pair = 0;
        while let Some(names) = lines.next() {
            let Some(values) = lines.next() else { return false };
            if self.headings.len() == pair {
                self.headings.push(Heading::default());
            }
            let heading = &mut self.headings[pair];
            if heading.line != names && !heading.learn(names, filter) {
                return false;
            }
            let mut fields = scan::fields(values).enumerate();
            for (column, family) in &heading.shown {
                let Some((_, field)) = fields.find(|(position, _)| position == column) else {
                    return false;
                };
                let Some(value) = scan::f64(field) else { return false };
                family.write(value, out);
            }
            pair += 1;
        }
        pair > 0
    }
}

impl Heading {
    /// `TcpExt: SyncookiesSent SyncookiesRecv …`
    fn learn(&mut self, line: &[u8], filter: &mut NameFilter) -> bool {
        *self = Self { line: line.to_vec(), shown: Vec::new() };
        let mut fields = scan::fields(line).enumerate();
        let protocol = fields.next().and_then(|(_, protocol)| protocol.strip_suffix(b":"));
        let Some(protocol) = protocol else { return false };
        for (column, name) in fields {
            let mut names = Names::default();
            if names.set(protocol, name, filter) {
                self.shown.push((column, names));
            }
        }
        true
    }
}

impl Names {
    /// Becomes the names of a field; says whether it is shown.
    fn set(&mut self, protocol: &[u8], field: &[u8], filter: &mut NameFilter) -> bool {
        const PREFIX: &str = "node_netstat_";
        let (protocol, field) = (scan::text(protocol), scan::text(field));
        self.name.clear();
        self.name.extend([PREFIX, &protocol, "_", &field]);
        if !filter.admits(&self.name.as_bytes()[PREFIX.len()..]) {
            return false;
        }
        self.help.clear();
        self.help.extend(["Statistic ", &protocol, &field, "."]);
        true
    }

    fn write(&self, value: f64, out: &mut Exposition) {
        out.family(&self.name, &self.help, Kind::Untyped).sample(&[], value);
    }
}

/// `Ip6InReceives   7`: the protocol ends with the 6.
fn parse_snmp6(line: &[u8]) -> Option<(&[u8], &[u8], f64)> {
    let mut fields = scan::fields(line);
    let name = fields.next()?;
    let value = scan::f64(fields.next()?)?;
    let six = memchr::memchr(b'6', name)?;
    Some((&name[..=six], &name[six + 1..], value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_ipv6() {
        assert_eq!(parse_snmp6(b"Icmp6InMsgs 7"), Some((&b"Icmp6"[..], &b"InMsgs"[..], 7.0)));
        for garbage in [&b""[..], b"Icmp6InMsgs", b"IcmpInMsgs 7", b"Icmp6InMsgs x"] {
            assert_eq!(parse_snmp6(garbage), None, "{garbage:?}");
        }
    }

    #[test]
    fn tables() {
        let mut filter = NameFilter::including("x", "^Tcp_(A|C)$").unwrap();
        let mut table = Table { path: PathBuf::new(), headings: Vec::new() };
        let mut write = |text: &[u8]| {
            let mut out = Exposition::new();
            table.write(text, &mut filter, &mut out).then(|| out.to_text())
        };
        let text = write(b"Tcp: A B C\nTcp: 1 2 -1\n").unwrap();
        assert!(
            text.contains("node_netstat_Tcp_A 1\n") && text.contains("node_netstat_Tcp_C -1\n")
        );
        assert!(!text.contains("Tcp_B"));
        // Another heading in the same place is learnt anew.
        assert!(write(b"Tcp: C A\nTcp: 8 9\n").unwrap().contains("node_netstat_Tcp_C 8\n"));
        for garbage in
            [&b""[..], b"Tcp: A\n", b"Tcp A\nTcp 1\n", b"Tcp: A\nTcp:\n", b"Tcp: A\nTcp: x\n"]
        {
            assert_eq!(write(garbage), None, "{garbage:?}");
        }
    }
}

//! The addresses of a host in an answer, at the end of its chain of aliases.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    message::{Head, word},
    name,
};

/// More records of one answer are not looked at: a name has a few addresses, and an answer of 64 KiB would have 4,000.
const RECORDS_MAX: usize = 256;
/// Longest chain of aliases in one answer.
const ALIASES_MAX: usize = 16;
const CNAME: u16 = 5;

/// What an answer says about a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Addresses {
    pub(crate) rcode: u16,
    pub(crate) ips: Vec<IpAddr>,
    /// Where the aliases lead, when the answer does not have the addresses there.
    pub(crate) alias: Option<String>,
}

enum Data {
    Address(IpAddr),
    Alias(String),
}

impl Addresses {
    /// Reads the answer about the host of this name, as it is in messages. The error says what is broken.
    pub(crate) fn read(message: &[u8], host: &[u8]) -> Result<Self, &'static str> {
        let head = Head::read(message)?;
        let (asked, _) = name::read(host, 0).ok_or("broken name in the question")?;
        let asked = asked.to_ascii_lowercase();
        let records = records(message, &head).ok_or("broken record in the answer section")?;
        let mut end = asked.clone();
        let mut ips = Vec::new();
        for _ in 0..ALIASES_MAX {
            let mut alias = None;
            for (_, data) in records.iter().filter(|(owner, _)| *owner == end) {
                match data {
                    Data::Address(ip) => ips.push(*ip),
                    Data::Alias(to) => alias = Some(to.clone()),
                }
            }
            match alias {
                Some(to) if ips.is_empty() => end = to,
                _ => break,
            }
        }
        let alias = (ips.is_empty() && end != asked).then_some(end);
        Ok(Self { rcode: head.rcode(), ips, alias })
    }

    /// Whether there is more than fitted into this datagram.
    pub(crate) fn is_cut(message: &[u8]) -> bool {
        Head::read(message).is_ok_and(|head| head.is_truncated())
    }
}

/// Owners in small letters, with what can be used of their data.
fn records(message: &[u8], head: &Head) -> Option<Vec<(String, Data)>> {
    let mut at = head.end;
    let mut records = Vec::new();
    for _ in 0..usize::from(head.n_answers).min(RECORDS_MAX) {
        let (owner, after) = name::read(message, at)?;
        let record_type = word(message, after)?;
        let start = after + 10;
        let end = start + usize::from(word(message, after + 8)?);
        let data = message.get(start..end)?;
        let data = match (record_type, data) {
            (1, data) => {
                let bytes: [u8; 4] = data.try_into().ok()?;
                Some(Data::Address(Ipv4Addr::from(bytes).into()))
            }
            (28, data) => {
                let bytes: [u8; 16] = data.try_into().ok()?;
                Some(Data::Address(Ipv6Addr::from(bytes).into()))
            }
            (CNAME, _) => Some(Data::Alias(name::read(message, start)?.0.to_ascii_lowercase())),
            _ => None,
        };
        records.extend(data.map(|data| (owner.to_ascii_lowercase(), data)));
        at = end;
    }
    Some(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer about `a.b` with these records, each an owner, a type and data.
    fn answer(flags: u16, records: &[(&str, u16, &[u8])]) -> Vec<u8> {
        let mut message = Vec::new();
        for word in [7, 0x8000 | flags, 1, records.len() as u16, 0, 0] {
            message.extend_from_slice(&word.to_be_bytes());
        }
        message.extend(name::to_wire("a.b").unwrap());
        message.extend_from_slice(&[0, 1, 0, 1]);
        for (owner, record_type, data) in records {
            message.extend(name::to_wire(owner).unwrap());
            message.extend_from_slice(&record_type.to_be_bytes());
            message.extend_from_slice(&[0, 1, 0, 0, 0, 60]);
            message.extend_from_slice(&(data.len() as u16).to_be_bytes());
            message.extend_from_slice(data);
        }
        message
    }

    fn read(message: &[u8]) -> Result<Addresses, &'static str> {
        Addresses::read(message, &name::to_wire("A.b").unwrap())
    }

    #[test]
    fn aliases_lead_to_addresses() {
        let (c, d) = (name::to_wire("C.b").unwrap(), name::to_wire("d.b").unwrap());
        let one: &[u8] = &[1, 1, 1, 1];
        for (records, ips, alias) in [
            (vec![("a.b", 1, one), ("a.B", 1, &[2, 2, 2, 2])], vec!["1.1.1.1", "2.2.2.2"], None),
            (vec![("c.b", 1, one), ("a.b", 5, &c)], vec!["1.1.1.1"], None),
            (vec![("a.b", 5, &c), ("c.b", 5, &d), ("d.b", 1, one)], vec!["1.1.1.1"], None),
            (vec![("a.b", 5, &c)], vec![], Some("c.b.")),
            // Addresses of others are nobody's business; a circle of aliases has an end.
            (vec![("x.b", 1, one)], vec![], None),
            (vec![("a.b", 5, &c), ("c.b", 5, &c)], vec![], Some("c.b.")),
            (vec![("a.b", 16, &[1, b'x'])], vec![], None),
        ] {
            let got = read(&answer(0, &records)).unwrap();
            let texts: Vec<String> = got.ips.iter().map(ToString::to_string).collect();
            assert_eq!(texts, ips);
            assert_eq!(got.alias.as_deref(), alias);
        }
        let many = vec![("a.b", 1, one); 4000];
        assert_eq!(read(&answer(0, &many)).unwrap().ips.len(), RECORDS_MAX);
        let refused = answer(0x0205, &[]);
        assert_eq!(read(&refused).unwrap().rcode, 5);
        assert!(Addresses::is_cut(&refused) && !Addresses::is_cut(&answer(0, &[])));
    }

    #[test]
    fn broken_answers_never_panic() {
        let c = name::to_wire("c.b").unwrap();
        let good = answer(0, &[("a.b", 5, &c), ("c.b", 1, &[1, 1, 1, 1])]);
        for length in 0..good.len() {
            assert!(read(&good[..length]).is_err(), "{length}");
        }
        for at in 0..good.len() {
            for value in [0, 1, 0x3f, 0x40, 0x80, 0xc0, 0xff] {
                let mut bad = good.clone();
                bad[at] = value;
                let _ = read(&bad);
            }
        }
    }
}

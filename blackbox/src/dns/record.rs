//! Resource records as lines of text: name, time to live, class, type and data, with tabs between them.
//!
//! The text is what rules match, so it is written as `blackbox_exporter`'s library writes it. Data of types that are
//! not known here is written as RFC 3597 has it.

use std::{
    fmt::Write,
    net::{Ipv4Addr, Ipv6Addr},
};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    codes::{CLASSES, TYPES, name_of},
    message::word,
    name,
};

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) text: String,
    /// Of a SOA record.
    pub(crate) soa_serial: Option<u32>,
}

/// The data of one record, inside its message, for names in it may point anywhere before.
struct Data<'m> {
    message: &'m [u8],
    at: usize,
    end: usize,
}

impl Record {
    /// Reads the record at `at`; gives it and where the message goes on. `None` where it is broken.
    pub(super) fn read(message: &[u8], at: usize) -> Option<(Self, usize)> {
        let (owner, at) = name::read(message, at)?;
        let record_type = word(message, at)?;
        let class = word(message, at + 2)?;
        let ttl = u32::from(word(message, at + 4)?) << 16 | u32::from(word(message, at + 6)?);
        let length = usize::from(word(message, at + 8)?);
        let start = at + 10;
        let end = start + length;
        message.get(start..end)?;
        let data = Data { message, at: start, end };
        let mut soa_serial = None;
        let shown = data.shown(record_type, &mut soa_serial)?;
        let class = name_of(CLASSES, class, "CLASS");
        let kind = name_of(TYPES, record_type, "TYPE");
        let text = format!("{owner}\t{ttl}\t{class}\t{kind}\t{shown}");
        Some((Self { text, soa_serial }, end))
    }
}

impl<'m> Data<'m> {
    fn shown(mut self, record_type: u16, soa_serial: &mut Option<u32>) -> Option<String> {
        Some(match record_type {
            1 => Ipv4Addr::from(<[u8; 4]>::try_from(self.rest()).ok()?).to_string(),
            28 => Ipv6Addr::from(<[u8; 16]>::try_from(self.rest()).ok()?).to_string(),
            // NS, CNAME, PTR, DNAME and the mail records of old.
            2..=5 | 7..=9 | 12 | 39 => self.name()?,
            6 => {
                let (server, mailbox) = (self.name()?, self.name()?);
                let serial = self.u32()?;
                *soa_serial = Some(serial);
                let (refresh, retry, expire, minimum) =
                    (self.u32()?, self.u32()?, self.u32()?, self.u32()?);
                format!("{server} {mailbox} {serial} {refresh} {retry} {expire} {minimum}")
            }
            // MX, AFSDB, RT, KX.
            15 | 18 | 21 | 36 => format!("{} {}", self.u16()?, self.name()?),
            // HINFO, TXT, SPF and other lists of strings.
            13 | 16 | 20 | 56 | 99 | 258 => self.strings()?,
            17 => format!("{} {}", self.name()?, self.name()?),
            33 => format!("{} {} {} {}", self.u16()?, self.u16()?, self.u16()?, self.name()?),
            35 => {
                let (order, preference) = (self.u16()?, self.u16()?);
                let (flags, service, regexp) = (self.string()?, self.string()?, self.string()?);
                format!("{order} {preference} {flags} {service} {regexp} {}", self.name()?)
            }
            // DS, CDS, DLV.
            43 | 59 | 32769 => {
                let (tag, algorithm, digest) = (self.u16()?, self.u8()?, self.u8()?);
                format!("{tag} {algorithm} {digest} {}", hexadecimal(self.rest()).to_uppercase())
            }
            44 => {
                let (algorithm, kind) = (self.u8()?, self.u8()?);
                format!("{algorithm} {kind} {}", hexadecimal(self.rest()).to_uppercase())
            }
            46 => self.signature()?,
            47 => {
                let next = self.name()?;
                format!("{next}{}", self.types()?)
            }
            // DNSKEY, CDNSKEY, KEY.
            48 | 60 | 25 => {
                let (flags, protocol, algorithm) = (self.u16()?, self.u8()?, self.u8()?);
                format!("{flags} {protocol} {algorithm} {}", STANDARD.encode(self.rest()))
            }
            // TLSA, SMIMEA.
            52 | 53 => {
                let (usage, selector, matching) = (self.u8()?, self.u8()?, self.u8()?);
                format!("{usage} {selector} {matching} {}", hexadecimal(self.rest()))
            }
            61 => STANDARD.encode(self.rest()),
            256 => {
                let (priority, weight) = (self.u16()?, self.u16()?);
                format!("{priority} {weight} {}", quoted(self.rest()))
            }
            257 => {
                let flags = self.u8()?;
                let length = usize::from(self.u8()?);
                let tag = String::from_utf8_lossy(self.bytes(length)?).into_owned();
                format!("{flags} {tag} {}", quoted(self.rest()))
            }
            _ => {
                let rest = self.rest();
                format!("\\# {} {}", rest.len(), hexadecimal(rest))
            }
        })
    }

    fn signature(&mut self) -> Option<String> {
        let covered = name_of(TYPES, self.u16()?, "TYPE");
        let (algorithm, labels, ttl) = (self.u8()?, self.u8()?, self.u32()?);
        let (expiration, inception, tag) = (self.u32()?, self.u32()?, self.u16()?);
        let signer = self.name()?;
        let (expiration, inception) = (date(expiration), date(inception));
        let signature = STANDARD.encode(self.rest());
        Some(format!(
            "{covered} {algorithm} {labels} {ttl} {expiration} {inception} {tag} {signer} {signature}"
        ))
    }

    /// A bitmap of types (RFC 4034, 4.1.2), each name with a space before it.
    fn types(&mut self) -> Option<String> {
        let mut text = String::new();
        while self.at < self.end {
            let window = u16::from(self.u8()?) << 8;
            let length = usize::from(self.u8()?);
            for (position, byte) in self.bytes(length)?.iter().enumerate() {
                for bit in 0..8_u16 {
                    if byte & (0x80 >> bit) != 0 {
                        let value = window | (position as u16 * 8 + bit);
                        text.push(' ');
                        text.push_str(&name_of(TYPES, value, "TYPE"));
                    }
                }
            }
        }
        Some(text)
    }

    fn bytes(&mut self, length: usize) -> Option<&'m [u8]> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.end)?;
        let bytes = &self.message[self.at..end];
        self.at = end;
        Some(bytes)
    }

    fn rest(&mut self) -> &'m [u8] {
        let rest = &self.message[self.at..self.end];
        self.at = self.end;
        rest
    }

    fn u8(&mut self) -> Option<u8> {
        self.bytes(1).map(|bytes| bytes[0])
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.bytes(2)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.bytes(4)?.try_into().ok()?))
    }

    fn name(&mut self) -> Option<String> {
        let (name, end) = name::read(self.message, self.at)?;
        if end > self.end {
            return None;
        }
        self.at = end;
        Some(name)
    }

    fn string(&mut self) -> Option<String> {
        let length = usize::from(self.u8()?);
        Some(quoted(self.bytes(length)?))
    }

    fn strings(&mut self) -> Option<String> {
        let mut all = Vec::new();
        while self.at < self.end {
            all.push(self.string()?);
        }
        Some(all.join(" "))
    }
}

fn quoted(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for byte in bytes {
        match byte {
            b'"' | b'\\' => {
                text.push('\\');
                text.push(char::from(*byte));
            }
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => write!(text, "\\{byte:03}").expect("writing to a String cannot fail"),
        }
    }
    text.push('"');
    text
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        write!(out, "{byte:02x}").expect("writing to a String cannot fail");
        out
    })
}

/// `20261121053002`, as signatures have it.
fn date(seconds: u32) -> String {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(u64::from(seconds));
    let text = service::telemetry::Rfc3339(time).to_string();
    text.chars().take(19).filter(char::is_ascii_digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_of_many_types() {
        let ns = [2, b'n', b's', 0];
        for (record_type, data, expected) in [
            (
                28,
                &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1][..],
                "AAAA\t2001:db8::1",
            ),
            (2, &ns, "NS\tns."),
            (15, &[&[0, 10][..], &ns].concat(), "MX\t10 ns."),
            (33, &[&[0, 1, 0, 2, 0x1f, 0x90][..], &ns].concat(), "SRV\t1 2 8080 ns."),
            (
                6,
                &[&ns[..], &ns, &[0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4]]
                    .concat(),
                "SOA\tns. ns. 7 1 2 3 4",
            ),
            (257, b"\0\x05issueca.example", "CAA\t0 issue \"ca.example\""),
            (43, &[0, 1, 8, 2, 0xab], "DS\t1 8 2 AB"),
            (48, &[1, 1, 3, 8, 1, 2, 3], "DNSKEY\t257 3 8 AQID"),
            (52, &[3, 1, 1, 0xab], "TLSA\t3 1 1 ab"),
            (47, &[2, b'n', b's', 0, 0, 1, 0x62], "NSEC\tns. A NS SOA"),
            (65280, &[1, 2], "TYPE65280\t\\# 2 0102"),
        ] {
            let mut message = vec![0];
            message.extend_from_slice(&u16::to_be_bytes(record_type));
            message.extend_from_slice(&[0, 1, 0, 0, 0, 60]);
            message.extend_from_slice(&(data.len() as u16).to_be_bytes());
            message.extend_from_slice(data);
            let (record, end) = Record::read(&message, 0).unwrap_or_else(|| panic!("{expected}"));
            assert_eq!(record.text, format!(".\t60\tIN\t{expected}"));
            assert_eq!(end, message.len());
            assert_eq!(record.soa_serial, (record_type == 6).then_some(7));
            // A shorter length than the data needs is broken, or other data; never a panic.
            for length in 0..data.len() {
                let mut cut = message.clone();
                cut[10] = length as u8;
                let _ = Record::read(&cut, 0);
            }
        }
        assert_eq!(date(1_795_239_002), "20261121053002");
    }
}

//! What a certificate says, in the forms that Go prints.

use std::{fmt::Write, net::IpAddr};

use rustls::pki_types::{CertificateDer, ServerName};
use sha2::{Digest, Sha256};
use x509_parser::{
    der_parser::asn1_rs::Oid,
    prelude::{FromDer, GeneralName, X509Certificate, X509Name},
};

/// The facts of one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// Seconds since 1970.
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
    pub(crate) subject: String,
    pub(crate) issuer: String,
    pub(crate) subject_common_name: String,
    pub(crate) issuer_common_name: String,
    /// Lower-case hexadecimal.
    pub(crate) serial: String,
    pub(crate) fingerprint_sha256: String,
    pub(crate) dns_names: Vec<String>,
    ip_addresses: Vec<Vec<u8>>,
}

/// When a certificate ends, in seconds since 1970.
pub(super) fn not_after(der: &CertificateDer<'_>) -> Option<i64> {
    let (_, parsed) = X509Certificate::from_der(der).ok()?;
    Some(parsed.validity().not_after.timestamp())
}

impl Certificate {
    pub(crate) fn parse(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let mut dns_names = Vec::new();
        let mut ip_addresses = Vec::new();
        if let Ok(Some(names)) = parsed.subject_alternative_name() {
            for name in &names.value.general_names {
                match name {
                    GeneralName::DNSName(name) => dns_names.push((*name).to_owned()),
                    GeneralName::IPAddress(bytes) => ip_addresses.push(bytes.to_vec()),
                    _ => {}
                }
            }
        }
        // A positive number whose highest bit is set has a zero byte in front of it, which is no part of it.
        let serial = parsed.raw_serial();
        let serial = serial.strip_prefix(&[0]).filter(|rest| !rest.is_empty()).unwrap_or(serial);
        Some(Self {
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
            subject: go_name(parsed.subject()),
            issuer: go_name(parsed.issuer()),
            subject_common_name: common_name(parsed.subject()),
            issuer_common_name: common_name(parsed.issuer()),
            serial: hexadecimal(serial),
            fingerprint_sha256: hexadecimal(&Sha256::digest(der.as_ref())),
            dns_names,
            ip_addresses,
        })
    }

    /// Whether it was made out to `name`.
    pub(super) fn is_for(&self, name: &ServerName<'_>) -> bool {
        match name {
            ServerName::DnsName(dns) => {
                let wanted = dns.as_ref().trim_end_matches('.').to_ascii_lowercase();
                self.dns_names.iter().any(|own| name_matches(&own.to_ascii_lowercase(), &wanted))
            }
            ServerName::IpAddress(ip) => {
                let wanted = match IpAddr::from(*ip) {
                    IpAddr::V4(ip) => ip.octets().to_vec(),
                    IpAddr::V6(ip) => ip.octets().to_vec(),
                };
                self.ip_addresses.contains(&wanted)
            }
            _ => false,
        }
    }
}

fn name_matches(own: &str, wanted: &str) -> bool {
    match own.strip_prefix("*.") {
        None => own == wanted,
        Some(parent) => {
            wanted.split_once('.').is_some_and(|(first, rest)| !first.is_empty() && rest == parent)
        }
    }
}

fn common_name(name: &X509Name<'_>) -> String {
    name.iter_common_name().last().and_then(|cn| cn.as_str().ok()).unwrap_or_default().to_owned()
}

/// The kinds that Go knows by name, in the order in which it prints them.
const KINDS: [(u8, &str); 9] = [
    (5, "SERIALNUMBER"),
    (3, "CN"),
    (17, "POSTALCODE"),
    (9, "STREET"),
    (8, "ST"),
    (7, "L"),
    (11, "OU"),
    (10, "O"),
    (6, "C"),
];

/// As Go's `pkix.Name.String()`: known kinds in fixed order, several values of one joined by `+`, unknown ones last.
fn go_name(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> = Vec::new();
    for (arc, short) in KINDS {
        let mut values: Vec<String> = name
            .iter_attributes()
            .filter(|attribute| known_arc(attribute.attr_type()) == Some(arc))
            .map(|attribute| format!("{short}={}", escaped(&text_of(attribute.attr_value().data))))
            .collect();
        // Of these two only the last counts.
        if matches!(arc, 3 | 5) && values.len() > 1 {
            values.drain(..values.len() - 1);
        }
        if !values.is_empty() {
            parts.push(values.join("+"));
        }
    }
    let unknown: Vec<String> = name
        .iter_attributes()
        .filter(|attribute| known_arc(attribute.attr_type()).is_none())
        .map(|attribute| {
            let der = string_der(&text_of(attribute.attr_value().data));
            format!("{}=#{}", attribute.attr_type().to_id_string(), hexadecimal(&der))
        })
        .collect();
    parts.extend(unknown.into_iter().rev());
    parts.join(",")
}

/// The last number of 2.5.4.n where that kind is one that Go knows.
fn known_arc(oid: &Oid<'_>) -> Option<u8> {
    match oid.as_bytes() {
        [0x55, 0x04, arc] if KINDS.iter().any(|(known, _)| known == arc) => Some(*arc),
        _ => None,
    }
}

fn text_of(data: &[u8]) -> String {
    String::from_utf8_lossy(data).into_owned()
}

/// RFC 2253's escapes.
fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (at, c) in value.chars().enumerate() {
        let special = matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';')
            || (c == ' ' && (at == 0 || at == last))
            || (c == '#' && at == 0);
        if special {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// A string as Go's `asn1.Marshal` encodes it.
fn string_der(value: &str) -> Vec<u8> {
    let printable =
        value.bytes().all(|b| b.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&b));
    let mut der = vec![if printable { 0x13 } else { 0x0c }];
    match value.len() {
        short @ 0..=127 => der.push(short as u8),
        middle @ 128..=255 => der.extend([0x81, middle as u8]),
        long => der.extend([0x82, (long >> 8) as u8, long as u8]),
    }
    der.extend_from_slice(value.as_bytes());
    der
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        write!(out, "{byte:02x}").expect("writing to a String cannot fail");
        out
    })
}

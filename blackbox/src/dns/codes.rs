//! Names of the numbers in DNS messages.
//!
//! <https://www.iana.org/assignments/dns-parameters>

/// A number and its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code {
    pub(crate) name: &'static str,
    pub(crate) value: u16,
}

/// Asks for all that a server has of a name.
pub(crate) const ANY: Code = Code { name: "ANY", value: 255 };

/// Names are written in capitals, as in configuration files.
pub(crate) fn by_name(table: &[Code], name: &str) -> Option<Code> {
    table.iter().find(|code| code.name == name).copied()
}

/// The name of a number, or `fallback` and the number.
pub(crate) fn name_of(table: &[Code], value: u16, fallback: &str) -> String {
    match table.iter().find(|code| code.value == value) {
        Some(code) => code.name.to_owned(),
        None => format!("{fallback}{value}"),
    }
}

pub(crate) const CLASSES: &[Code] = &[
    Code { name: "IN", value: 1 },
    Code { name: "CS", value: 2 },
    Code { name: "CH", value: 3 },
    Code { name: "HS", value: 4 },
    Code { name: "NONE", value: 254 },
    Code { name: "ANY", value: 255 },
];

pub(crate) const RCODES: &[Code] = &[
    Code { name: "NOERROR", value: 0 },
    Code { name: "FORMERR", value: 1 },
    Code { name: "SERVFAIL", value: 2 },
    Code { name: "NXDOMAIN", value: 3 },
    Code { name: "NOTIMP", value: 4 },
    Code { name: "REFUSED", value: 5 },
    Code { name: "YXDOMAIN", value: 6 },
    Code { name: "YXRRSET", value: 7 },
    Code { name: "NXRRSET", value: 8 },
    Code { name: "NOTAUTH", value: 9 },
    Code { name: "NOTZONE", value: 10 },
    Code { name: "BADVERS", value: 16 },
    Code { name: "BADKEY", value: 17 },
    Code { name: "BADTIME", value: 18 },
    Code { name: "BADMODE", value: 19 },
    Code { name: "BADNAME", value: 20 },
    Code { name: "BADALG", value: 21 },
    Code { name: "BADTRUNC", value: 22 },
    Code { name: "BADCOOKIE", value: 23 },
];

pub(crate) const TYPES: &[Code] = &[
    Code { name: "A", value: 1 },
    Code { name: "NS", value: 2 },
    Code { name: "MD", value: 3 },
    Code { name: "MF", value: 4 },
    Code { name: "CNAME", value: 5 },
    Code { name: "SOA", value: 6 },
    Code { name: "MB", value: 7 },
    Code { name: "MG", value: 8 },
    Code { name: "MR", value: 9 },
    Code { name: "NULL", value: 10 },
    Code { name: "PTR", value: 12 },
    Code { name: "HINFO", value: 13 },
    Code { name: "MINFO", value: 14 },
    Code { name: "MX", value: 15 },
    Code { name: "TXT", value: 16 },
    Code { name: "RP", value: 17 },
    Code { name: "AFSDB", value: 18 },
    Code { name: "X25", value: 19 },
    Code { name: "ISDN", value: 20 },
    Code { name: "RT", value: 21 },
    Code { name: "NSAP-PTR", value: 23 },
    Code { name: "SIG", value: 24 },
    Code { name: "KEY", value: 25 },
    Code { name: "PX", value: 26 },
    Code { name: "GPOS", value: 27 },
    Code { name: "AAAA", value: 28 },
    Code { name: "LOC", value: 29 },
    Code { name: "NXT", value: 30 },
    Code { name: "EID", value: 31 },
    Code { name: "NIMLOC", value: 32 },
    Code { name: "SRV", value: 33 },
    Code { name: "ATMA", value: 34 },
    Code { name: "NAPTR", value: 35 },
    Code { name: "KX", value: 36 },
    Code { name: "CERT", value: 37 },
    Code { name: "DNAME", value: 39 },
    Code { name: "OPT", value: 41 },
    Code { name: "APL", value: 42 },
    Code { name: "DS", value: 43 },
    Code { name: "SSHFP", value: 44 },
    Code { name: "IPSECKEY", value: 45 },
    Code { name: "RRSIG", value: 46 },
    Code { name: "NSEC", value: 47 },
    Code { name: "DNSKEY", value: 48 },
    Code { name: "DHCID", value: 49 },
    Code { name: "NSEC3", value: 50 },
    Code { name: "NSEC3PARAM", value: 51 },
    Code { name: "TLSA", value: 52 },
    Code { name: "SMIMEA", value: 53 },
    Code { name: "HIP", value: 55 },
    Code { name: "NINFO", value: 56 },
    Code { name: "RKEY", value: 57 },
    Code { name: "TALINK", value: 58 },
    Code { name: "CDS", value: 59 },
    Code { name: "CDNSKEY", value: 60 },
    Code { name: "OPENPGPKEY", value: 61 },
    Code { name: "CSYNC", value: 62 },
    Code { name: "ZONEMD", value: 63 },
    Code { name: "SVCB", value: 64 },
    Code { name: "HTTPS", value: 65 },
    Code { name: "SPF", value: 99 },
    Code { name: "UINFO", value: 100 },
    Code { name: "UID", value: 101 },
    Code { name: "GID", value: 102 },
    Code { name: "UNSPEC", value: 103 },
    Code { name: "NID", value: 104 },
    Code { name: "L32", value: 105 },
    Code { name: "L64", value: 106 },
    Code { name: "LP", value: 107 },
    Code { name: "EUI48", value: 108 },
    Code { name: "EUI64", value: 109 },
    Code { name: "TKEY", value: 249 },
    Code { name: "TSIG", value: 250 },
    Code { name: "IXFR", value: 251 },
    Code { name: "AXFR", value: 252 },
    Code { name: "MAILB", value: 253 },
    Code { name: "MAILA", value: 254 },
    Code { name: "ANY", value: 255 },
    Code { name: "URI", value: 256 },
    Code { name: "CAA", value: 257 },
    Code { name: "AVC", value: 258 },
    Code { name: "AMTRELAY", value: 260 },
    Code { name: "TA", value: 32768 },
    Code { name: "DLV", value: 32769 },
];

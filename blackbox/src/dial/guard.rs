//! Which addresses a probe may call.
//!
//! Targets that come from a configuration file are the operator's own and may lie anywhere. Targets that users type in
//! may not lead into the network that the prober stands in: each address is checked after it was resolved and just that
//! address is dialled, on the first request and on every redirect, so neither names nor redirects get around it. A proxy
//! is told that address; where it is to look names up itself (`skip_resolve_phase_with_proxy`), it has to judge them too.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
    sync::Arc,
};

use crate::failure::{Failure, Phase, Reason};

/// Which addresses may be called.
#[derive(Clone, Debug, Default)]
pub enum Guard {
    /// All of them: targets written by whoever runs this program.
    #[default]
    Open,
    /// Public addresses, and those in `allowed`: targets written by users.
    Public { allowed: Arc<[Cidr]> },
}

impl Guard {
    /// Public addresses only.
    pub fn public() -> Self {
        Self::Public { allowed: Arc::from([]) }
    }

    pub(crate) fn check(&self, ip: IpAddr) -> Result<(), Failure> {
        let Self::Public { allowed } = self else { return Ok(()) };
        if is_public(ip) || allowed.iter().any(|cidr| cidr.contains(ip)) {
            return Ok(());
        }
        Err(Failure::new(
            Phase::Resolve,
            Reason::BlockedAddress,
            format!("Address {ip} is not public, and only public addresses may be probed here"),
        ))
    }

    /// Whether things other than hosts (sockets in the file system) may be probed.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }
}

/// A network, such as `10.0.0.0/8` or `fd00::/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    network: IpAddr,
    bits: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a network: write it like 10.0.0.0/8, fd00::/8 or 192.0.2.7")]
pub struct CidrError {
    text: String,
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let wrong = || CidrError { text: text.to_owned() };
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let network: IpAddr = address.parse().map_err(|_| wrong())?;
        let bits_max = if network.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => bits_max,
            Some(bits) => bits.parse().ok().filter(|n| *n <= bits_max).ok_or_else(wrong)?,
        };
        Ok(Self { network, bits })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.bits)
    }
}

impl Cidr {
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.network, ip) {
            (IpAddr::V4(network), IpAddr::V4(ip)) => {
                let shift = 32 - u32::from(self.bits);
                shift == 32 || network.to_bits() >> shift == ip.to_bits() >> shift
            }
            (IpAddr::V6(network), IpAddr::V6(ip)) => {
                let shift = 128 - u32::from(self.bits);
                shift == 128 || network.to_bits() >> shift == ip.to_bits() >> shift
            }
            _ => false,
        }
    }
}

/// The special-purpose registries of IANA:
/// <https://www.iana.org/assignments/iana-ipv4-special-registry>, <https://www.iana.org/assignments/iana-ipv6-special-registry>.
const NOT_PUBLIC_V4: [(Ipv4Addr, u32); 14] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    !NOT_PUBLIC_V4
        .iter()
        .any(|(network, bits)| network.to_bits() >> (32 - bits) == ip.to_bits() >> (32 - bits))
}

/// Global unicast is `2000::/3` and nothing else; parts of it carry an IPv4 address inside that counts as well.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    let segments = ip.segments();
    let embedded = |high: u16, low: u16| {
        is_public_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
    };
    match segments {
        // NAT64 (`64:ff9b::/96`): the translator sends it to the address inside.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        // 6to4.
        [0x2002, high, low, ..] => embedded(high, low),
        // Documentation; Teredo, ORCHID and the other protocol assignments of `2001::/23`.
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0x0fff, ..] => false,
        [0x2001, second, ..] if second < 0x200 => false,
        // IPv4-mapped and -compatible, loopback, unspecified, unique local, link local, multicast lie outside.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_pass() {
        for public in
            ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "64:ff9b::808:808", "2002:808:808::1"]
        {
            assert!(Guard::public().check(public.parse().unwrap()).is_ok(), "{public}");
        }
        for hidden in [
            "127.0.0.1",
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "169.254.169.254",
            "172.31.0.1",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "ff02::1",
            "::ffff:169.254.169.254",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::1",
            "2001:db8::1",
            "2001::1",
            "3fff::1",
            "fec0::1",
        ] {
            let failure = Guard::public().check(hidden.parse().unwrap()).unwrap_err();
            assert_eq!(failure.reason, Reason::BlockedAddress, "{hidden}");
            assert!(Guard::Open.check(hidden.parse().unwrap()).is_ok());
        }
    }

    #[test]
    fn allowed_networks_pass() {
        let allowed: Vec<Cidr> =
            ["10.1.0.0/16", "fd00::/8", "127.0.0.1"].iter().map(|c| c.parse().unwrap()).collect();
        let guard = Guard::Public { allowed: allowed.into() };
        for (ip, expected) in [
            ("10.1.9.9", true),
            ("10.2.0.1", false),
            ("fd12::1", true),
            ("127.0.0.1", true),
            ("127.0.0.2", false),
        ] {
            assert_eq!(guard.check(ip.parse().unwrap()).is_ok(), expected, "{ip}");
        }
        assert!("0.0.0.0/0".parse::<Cidr>().unwrap().contains([1, 2, 3, 4].into()));
        for wrong in ["10.0.0.0/33", "x", "10.0.0/8", "::/129", "1.2.3.4/-1"] {
            assert!(wrong.parse::<Cidr>().is_err(), "{wrong}");
        }
    }
}

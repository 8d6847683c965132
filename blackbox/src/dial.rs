//! From a host name to a connection: one address is chosen, checked, and dialled once.
//!
//! As in `blackbox_exporter` there is no racing of addresses: a probe that silently used the other family would hide
//! the very outage that it is there to find.

mod guard;
mod io;
mod resolver;

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use socket2::{Domain, Socket, Type};
use tokio::{net::TcpStream, time::Instant};

pub use guard::{Cidr, CidrError, Guard};
pub(crate) use io::{FirstRead, Stream};

use crate::{
    config::Resolver,
    failure::{Failure, Phase, Reason},
    log::Log,
};

/// A family of IP addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum Family {
    #[serde(rename = "ip4")]
    V4,
    #[default]
    #[serde(rename = "ip6", alias = "")]
    V6,
}

impl Family {
    fn has(self, ip: IpAddr) -> bool {
        match self {
            Self::V4 => ip.is_ipv4(),
            Self::V6 => ip.is_ipv6(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::V4 => "ip4",
            Self::V6 => "ip6",
        }
    }
}

/// Which address of a name is taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Preference {
    pub(crate) family: Family,
    pub(crate) fallback: bool,
}

/// The address that a probe calls, and what `probe_ip_*` tell of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Resolution {
    /// While the look-up is under way: the deadline may strike in it.
    since: Option<Instant>,
    lookup: Duration,
    pub(crate) ip: Option<IpAddr>,
}

impl Resolution {
    /// How long the look-up took, or has lasted until now.
    pub(crate) fn lookup(&self) -> Duration {
        self.since.map_or(self.lookup, |since| since.elapsed())
    }

    /// 4 or 6; 0 where there is no address.
    pub(crate) fn protocol(&self) -> f64 {
        match self.ip {
            Some(IpAddr::V4(_)) => 4.0,
            Some(IpAddr::V6(_)) => 6.0,
            None => 0.0,
        }
    }

    /// FNV-1a (32 bit) of the address' bytes; 0 where there is no address.
    pub(crate) fn hash(&self) -> f64 {
        match self.ip {
            Some(IpAddr::V4(ip)) => f64::from(fnv1a(&ip.octets())),
            Some(IpAddr::V6(ip)) => f64::from(fnv1a(&ip.octets())),
            None => 0.0,
        }
    }
}

fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// How names become addresses in one probe.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names<'a> {
    pub(crate) resolver: &'a Resolver,
    pub(crate) guard: &'a Guard,
    pub(crate) log: &'a Log,
}

impl Names<'_> {
    /// Looks a host up, picks an address by `preference` and asks the guard about it. `resolution` is filled as far as it
    /// goes, so that it can be told even when the look-up fails or is cut off.
    pub(crate) async fn resolve(
        self,
        host: &str,
        preference: Preference,
        resolution: &mut Resolution,
    ) -> Result<IpAddr, Failure> {
        self.log.info(
            "Resolving target address",
            &[("host", &host), ("ip_protocol", &preference.family.name())],
        );
        let started = Instant::now();
        resolution.since = Some(started);
        let addresses = self.lookup(host, preference).await;
        resolution.lookup = started.elapsed();
        resolution.since = None;
        let addresses = addresses?;
        let preferred = addresses.iter().copied().find(|ip| preference.family.has(*ip));
        let other = if preference.fallback { addresses.last().copied() } else { None };
        let ip = preferred.or(other).ok_or_else(|| {
            let family = if preference.fallback { "IP" } else { preference.family.name() };
            Failure::new(
                Phase::Resolve,
                Reason::NoAddress,
                format!("Resolution failed: {host} has no {family} address"),
            )
        })?;
        self.guard.check(ip)?;
        resolution.ip = Some(ip);
        self.log.info("Resolved target address", &[("host", &host), ("ip", &ip)]);
        Ok(ip)
    }

    async fn lookup(self, host: &str, preference: Preference) -> Result<Vec<IpAddr>, Failure> {
        // A literal must not depend on a working resolver.
        if let Some(ip) = literal(host) {
            return Ok(vec![ip]);
        }
        let servers = self.resolver.servers();
        if !servers.is_empty() {
            return resolver::Resolver(servers).lookup(host, preference).await;
        }
        let found = tokio::net::lookup_host((host, 0)).await.map_err(|err| {
            Failure::new(
                Phase::Resolve,
                reason_of_lookup(&err),
                format!("Resolution with IP protocol failed: {host}: {err}"),
            )
        })?;
        Ok(found.map(|address| address.ip()).collect())
    }
}

/// An address that is written out.
pub(crate) fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// The system's resolver gives its reason as text only.
fn reason_of_lookup(err: &std::io::Error) -> Reason {
    let text = err.to_string();
    if text.contains("not known")
        || text.contains("No address associated")
        || text.contains("nodename nor servname")
    {
        Reason::Nxdomain
    } else {
        Reason::ResolveFailed
    }
}

/// Opens a TCP connection, from `source` where the module asks for it.
pub(crate) async fn connect(
    address: SocketAddr,
    source: Option<IpAddr>,
) -> Result<TcpStream, Failure> {
    let failed = |err: &std::io::Error| {
        Failure::io(Phase::Connect, &format!("Error dialing TCP {address}"), err)
    };
    let stream = match source {
        None => TcpStream::connect(address).await.map_err(|err| failed(&err))?,
        Some(source) => {
            let socket = bound_socket(address, source, Type::STREAM).map_err(|err| {
                Failure::new(
                    Phase::Connect,
                    Reason::Permission,
                    format!("Error using source address {source}: {err}"),
                )
            })?;
            let socket = tokio::net::TcpSocket::from_std_stream(socket.into());
            socket.connect(address).await.map_err(|err| failed(&err))?
        }
    };
    // Small requests must not wait for the acknowledgement of the previous packet.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// A non-blocking socket for `address`' family, bound to `source`.
pub(crate) fn bound_socket(
    address: SocketAddr,
    source: IpAddr,
    kind: Type,
) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::new(source, 0).into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Level;

    #[test]
    fn hashes_are_those_of_the_original() {
        let resolution = Resolution { ip: Some([127, 0, 0, 1].into()), ..Resolution::default() };
        assert_eq!(resolution.hash(), 3_668_918_509.0);
        assert_eq!(resolution.protocol(), 4.0);
        assert_eq!(Resolution::default().hash(), 0.0);
    }

    #[tokio::test]
    async fn families_and_fallback() {
        for (host, family, fallback, expected) in [
            ("127.0.0.1", Family::V6, true, Some("127.0.0.1")),
            ("127.0.0.1", Family::V6, false, None),
            ("127.0.0.1", Family::V4, false, Some("127.0.0.1")),
            ("[::1]", Family::V4, true, Some("::1")),
            ("::1", Family::V6, false, Some("::1")),
        ] {
            let log = Log::new(Level::Error, "m", host);
            let mut resolution = Resolution::default();
            let preference = Preference { family, fallback };
            let names = Names { resolver: &Resolver::default(), guard: &Guard::Open, log: &log };
            let got = names.resolve(host, preference, &mut resolution).await;
            assert_eq!(got.as_ref().ok().map(ToString::to_string).as_deref(), expected, "{host}");
            if let Err(failure) = got {
                assert_eq!(failure.reason, Reason::NoAddress);
            }
        }
    }
}

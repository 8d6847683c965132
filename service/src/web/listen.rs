//! Binding sockets, and saying clearly what stands in the way.

use std::{
    io::{self, ErrorKind},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs as _},
};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the kernel keeps until we accept them; it cuts this down to its own limit.
const BACKLOG: i32 = 1024;

/// Whose port it usually is; said when it is taken.
const KNOWN_PORTS: [(u16, &str); 6] = [
    (3000, "Grafana"),
    (9090, "Prometheus"),
    (9093, "Alertmanager"),
    (9100, "node_exporter or watchpost-exporter"),
    (9115, "blackbox_exporter or watchpost-blackbox"),
    (9201, "watchpost-receiver"),
];

#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error(
        "`{address}` is not an address to listen on: write it like :9100, 127.0.0.1:9100 or [::1]:9100"
    )]
    Address { address: String },
    #[error("look up the host name in --web.listen-address `{address}`")]
    Resolve {
        address: String,
        #[source]
        source: io::Error,
    },
    #[error(
        "{address} is taken by another program{}: stop it or choose another port with --web.listen-address",
        usual_owner(address)
    )]
    Taken { address: String },
    #[error(
        "{address} may not be bound: ports below 1024 need root or CAP_NET_BIND_SERVICE; choose a higher one with --web.listen-address"
    )]
    Privileged { address: String },
    #[error(
        "{address} is no address of this machine: choose one that is, or :{port} for all, with --web.listen-address"
    )]
    NotHere { address: String, port: u16 },
    #[error("listen on {address}")]
    Listen {
        address: String,
        #[source]
        source: io::Error,
    },
    #[error(
        "systemd passed no TCP socket: start this program by its socket unit, or leave out --web.systemd-socket"
    )]
    NoSystemdSocket,
}

/// A bound socket that is not served yet: all are bound before any heavy work starts.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    fn new(socket: TcpListener, asked: &str) -> Result<Self, BindError> {
        let failed = |source| BindError::Listen { address: asked.to_owned(), source };
        socket.set_nonblocking(true).map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        Ok(Self { socket, address })
    }

    /// Where it listens; the real port where port 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Needs a running runtime.
    pub(super) fn into_tokio(self) -> io::Result<tokio::net::TcpListener> {
        tokio::net::TcpListener::from_std(self.socket)
    }
}

/// Binds every address. `:9100` binds all interfaces, IPv4 and IPv6, or IPv4 alone where there is no IPv6.
pub fn bind(addresses: &[String]) -> Result<Vec<Listener>, BindError> {
    addresses.iter().map(|address| bind_one(address)).collect()
}

/// The TCP sockets that a systemd socket unit passed to this process (`sd_listen_fds(3)`).
pub(super) fn from_systemd() -> Result<Vec<Listener>, BindError> {
    let mut passed = listenfd::ListenFd::from_env();
    let mut listeners = Vec::new();
    for index in 0..passed.len() {
        // Other kinds of sockets in the same unit are not ours to serve.
        if let Ok(Some(socket)) = passed.take_tcp_listener(index) {
            listeners.push(Listener::new(socket, "the socket of systemd")?);
        }
    }
    if listeners.is_empty() { Err(BindError::NoSystemdSocket) } else { Ok(listeners) }
}

fn bind_one(asked: &str) -> Result<Listener, BindError> {
    let candidates = resolve(asked)?;
    let mut first_error = None;
    for candidate in candidates {
        match listen(candidate) {
            Ok(socket) => return Listener::new(socket, asked),
            Err(source) => {
                // `:9100` on a machine without IPv6 falls through to IPv4; the error that counts is then IPv4's.
                let is_without_ipv6 = candidate.is_ipv6() && !is_decisive(&source);
                if first_error.is_none() || is_without_ipv6 {
                    first_error = Some((candidate, source));
                }
                if !is_without_ipv6 {
                    break;
                }
            }
        }
    }
    let (candidate, source) =
        first_error.expect("a name or address that resolves has at least one address");
    Err(explain(asked, candidate, source))
}

/// Whether another address family would fail in the same way.
fn is_decisive(err: &io::Error) -> bool {
    matches!(err.kind(), ErrorKind::AddrInUse | ErrorKind::PermissionDenied)
}

/// The addresses to try, in this order; the first that can be bound is the one.
fn resolve(asked: &str) -> Result<Vec<SocketAddr>, BindError> {
    let not_an_address = || BindError::Address { address: asked.to_owned() };
    let (host, port) = asked.rsplit_once(':').ok_or_else(not_an_address)?;
    let port: u16 = port.parse().map_err(|_| not_an_address())?;
    if host.is_empty() {
        return Ok(vec![
            SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port),
            SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port),
        ]);
    }
    if let Ok(address) = asked.parse() {
        return Ok(vec![address]);
    }
    // An IPv6 address needs brackets, or its last group would be read as the port.
    if host.contains([':', '[', ']', '/']) {
        return Err(not_an_address());
    }
    let resolved = (host, port).to_socket_addrs();
    let mut addresses: Vec<SocketAddr> = resolved
        .map_err(|source| BindError::Resolve { address: asked.to_owned(), source })?
        .collect();
    // `localhost` means 127.0.0.1 to most scrape configurations.
    addresses.sort_by_key(SocketAddr::is_ipv6);
    if addresses.is_empty() { Err(not_an_address()) } else { Ok(addresses) }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if let SocketAddr::V6(v6) = address {
        // `[::]` takes IPv4 too, whatever the system's default is.
        socket.set_only_v6(!v6.ip().is_unspecified())?;
    }
    // A restart must not wait for old connections to be forgotten. On Windows the option means something else.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn explain(asked: &str, candidate: SocketAddr, source: io::Error) -> BindError {
    let address = asked.to_owned();
    let port = candidate.port();
    match source.kind() {
        ErrorKind::AddrInUse => BindError::Taken { address },
        ErrorKind::PermissionDenied => BindError::Privileged { address },
        ErrorKind::AddrNotAvailable => BindError::NotHere { address, port },
        _ => BindError::Listen { address, source },
    }
}

/// ` (perhaps node_exporter?)`, or nothing for a port that is nobody's.
fn usual_owner(address: &str) -> String {
    let port = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    let owner = KNOWN_PORTS.iter().find(|(known, _)| Some(*known) == port);
    owner.map_or_else(String::new, |(_, name)| format!(" (perhaps {name}?)"))
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    fn bound(address: &str) -> Listener {
        bind_one(address).unwrap()
    }

    #[test]
    fn all_interfaces_means_both_families() {
        let listener = bound(":0");
        let port = listener.address().port();
        assert_ne!(port, 0);
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        if listener.address().is_ipv6() {
            match TcpStream::connect((Ipv6Addr::LOCALHOST, port)) {
                Ok(_) => {}
                Err(err) if err.kind() == ErrorKind::AddrNotAvailable => {
                    eprintln!("SKIPPED: this machine has no ::1, so IPv6 was not tried");
                }
                Err(err) => panic!("{err}"),
            }
        }
    }

    #[test]
    fn names_and_addresses() {
        assert_eq!(bound("127.0.0.1:0").address().ip(), IpAddr::V4(Ipv4Addr::LOCALHOST));
        assert!(bound("localhost:0").address().ip().is_loopback());
        for wrong in
            ["", "9100", "127.0.0.1", ":", ":x", ":70000", "::1:9100", "http://x:1", "[::1]"]
        {
            assert!(matches!(bind_one(wrong), Err(BindError::Address { .. })), "{wrong}");
        }
        let err = bind_one("no-such-host.invalid:0").unwrap_err();
        assert!(matches!(err, BindError::Resolve { .. }), "{err}");
    }

    #[test]
    fn errors_say_what_to_do() {
        let first = bound("127.0.0.1:0");
        let taken = bind_one(&first.address().to_string()).unwrap_err().to_string();
        assert_eq!(
            taken,
            format!(
                "{} is taken by another program: stop it or choose another port with --web.listen-address",
                first.address()
            )
        );
        let in_use = io::Error::from(ErrorKind::AddrInUse);
        let err = explain(":9100", "[::]:9100".parse().unwrap(), in_use).to_string();
        assert!(
            err.starts_with(":9100 is taken by another program (perhaps node_exporter"),
            "{err}"
        );
        let denied = io::Error::from(ErrorKind::PermissionDenied);
        let err = explain(":80", "[::]:80".parse().unwrap(), denied).to_string();
        assert!(err.contains("CAP_NET_BIND_SERVICE"), "{err}");
        // TEST-NET-1 (RFC 5737) is nobody's.
        let err = bind_one("192.0.2.1:0").unwrap_err();
        assert!(matches!(err, BindError::NotHere { .. }), "{err}");
    }

    #[test]
    fn without_systemd_there_is_no_socket() {
        assert!(matches!(from_systemd(), Err(BindError::NoSystemdSocket)));
    }
}

//! Sockets for echo requests: one that any user may have where the system allows it, else a raw one.

use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr},
    os::fd::AsRawFd,
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use nix::{
    cmsg_space,
    sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt},
};
use rustix::net::sockopt::{Ipv4PathMtuDiscovery, set_ip_mtu_discover};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{io::Interest, net::UdpSocket, time::Instant};

use super::{
    no_socket,
    packet::{Request, Verdict},
};
use crate::{
    config::IcmpConfig,
    failure::{Failure, Phase, Reason},
};

const PACKET_BYTES_MAX: usize = 65_535;

/// Each request has a number of its own, so that late replies to an earlier one are not taken for its.
static SEQUENCE: AtomicU16 = AtomicU16::new(0);

/// A socket, and the requests that went over it.
#[derive(Debug)]
pub(super) struct Echo {
    /// Not one for UDP, but for datagrams of another protocol, which the runtime need not know.
    socket: UdpSocket,
    is_raw: bool,
    target: IpAddr,
    id: u16,
    payload_size: usize,
    unanswered: Vec<(Request, Instant)>,
}

/// What came for one of the requests.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) rtt: Duration,
    /// How many hops it had left.
    pub(super) hop_limit: Option<u8>,
}

impl Echo {
    pub(super) fn open(config: &IcmpConfig, target: IpAddr) -> Result<Self, Failure> {
        let (socket, is_raw) = open_socket(target).map_err(|err| no_socket(&err))?;
        let failed =
            |err: io::Error| Failure::io(Phase::Setup, "Error setting up an ICMP socket", &err);
        set_up(&socket, config, target).map_err(failed)?;
        let id = crate::dns::random_id();
        let socket = UdpSocket::from_std(socket.into()).map_err(failed)?;
        let payload_size = config.payload_size;
        Ok(Self { socket, is_raw, target, id, payload_size, unanswered: Vec::new() })
    }

    pub(super) fn kind(&self) -> &'static str {
        if self.is_raw { "raw" } else { "datagram" }
    }

    /// Sends one more request; gives its sequence number.
    pub(super) async fn send(&mut self) -> Result<u16, Failure> {
        let sequence = SEQUENCE.fetch_add(1, Ordering::Relaxed);
        let request = Request::new(self.target.is_ipv6(), self.id, sequence, self.payload_size);
        let wire = request.to_wire();
        self.unanswered.push((request, Instant::now()));
        self.socket
            .send_to(&wire, SocketAddr::new(self.target, 0))
            .await
            .map_err(|err| Failure::io(Phase::Processing, "Error sending ICMP packet", &err))?;
        Ok(sequence)
    }

    /// Waits for the reply to a request, or for word that one did not arrive. Cancel-safe.
    pub(super) async fn receive(&mut self, buffer: &mut Vec<u8>) -> Result<Reply, Failure> {
        buffer.resize(PACKET_BYTES_MAX, 0);
        loop {
            let received = self
                .socket
                .async_io(Interest::READABLE, || receive_one(&self.socket, buffer))
                .await
                .map_err(|err| {
                    Failure::io(Phase::Processing, "Error reading from ICMP socket", &err)
                })?;
            let mut packet = &buffer[..received.n_bytes];
            if self.is_raw && self.target.is_ipv4() {
                let header = usize::from(packet.first().copied().unwrap_or_default() & 0x0f) * 4;
                packet = packet.get(header..).unwrap_or_default();
            }
            let is_from_target = received.from.is_none_or(|from| from == self.target);
            for at in 0..self.unanswered.len() {
                let verdict = self.unanswered[at].0.verdict(packet, !self.is_raw);
                if verdict == Verdict::Other || (verdict == Verdict::Reply && !is_from_target) {
                    continue;
                }
                let (_, sent) = self.unanswered.swap_remove(at);
                return match verdict {
                    Verdict::Unreachable => Err(lost("is unreachable", received.from)),
                    Verdict::TimeExceeded => {
                        Err(lost("is further away than the TTL", received.from))
                    }
                    Verdict::Reply | Verdict::Other => {
                        Ok(Reply { rtt: sent.elapsed(), hop_limit: received.hop_limit })
                    }
                };
            }
        }
    }
}

fn lost(why: &str, from: Option<IpAddr>) -> Failure {
    let router = from.map_or_else(|| "somebody".to_owned(), |ip| ip.to_string());
    Failure::new(
        Phase::Processing,
        Reason::Unreachable,
        format!("{router} says that the target {why}"),
    )
}

fn open_socket(target: IpAddr) -> io::Result<(Socket, bool)> {
    let (domain, protocol) = match target {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    match Socket::new(domain, Type::DGRAM, Some(protocol)) {
        Ok(socket) => Ok((socket, false)),
        Err(_) => Ok((Socket::new(domain, Type::RAW, Some(protocol))?, true)),
    }
}

fn set_up(socket: &Socket, config: &IcmpConfig, target: IpAddr) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    if let Some(source) = config.source_ip_address {
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    let ttl = u32::try_from(config.ttl).unwrap_or_default();
    match target {
        IpAddr::V4(_) => {
            if ttl > 0 {
                socket.set_ttl_v4(ttl)?;
            }
            setsockopt(socket, sockopt::Ipv4RecvTtl, &true)?;
            if config.dont_fragment {
                set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::DO)?;
            }
        }
        IpAddr::V6(_) => {
            if ttl > 0 {
                socket.set_unicast_hops_v6(ttl)?;
            }
            setsockopt(socket, sockopt::Ipv6RecvHopLimit, &true)?;
        }
    }
    Ok(())
}

struct Received {
    n_bytes: usize,
    from: Option<IpAddr>,
    hop_limit: Option<u8>,
}

fn receive_one(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Received> {
    let mut slices = [IoSliceMut::new(buffer)];
    let mut space = cmsg_space!(i32, i32);
    let message = recvmsg::<SockaddrStorage>(
        socket.as_raw_fd(),
        &mut slices,
        Some(&mut space),
        MsgFlags::MSG_DONTWAIT,
    )?;
    let from = message.address.and_then(|address| {
        let v4 = address.as_sockaddr_in().map(|a| IpAddr::from(a.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::from(a.ip())))
    });
    let mut hop_limit = None;
    for control in message.cmsgs()? {
        if let ControlMessageOwned::Ipv4Ttl(hops) | ControlMessageOwned::Ipv6HopLimit(hops) =
            control
        {
            hop_limit = u8::try_from(hops).ok();
        }
    }
    Ok(Received { n_bytes: message.bytes, from, hop_limit })
}

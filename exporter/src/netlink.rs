//! Asking the kernel over netlink: about network links, one dump instead of twenty files for each, and about sockets.
//!
//! Messages: <https://docs.kernel.org/userspace-api/netlink/intro.html>, rtnetlink(7).

use std::{
    io,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

pub(crate) mod diag;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
/// `NLM_F_REQUEST | NLM_F_DUMP`
const REQUEST_DUMP: u16 = 0x301;

const IFLA_ADDRESS: u16 = 1;
const IFLA_BROADCAST: u16 = 2;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_TXQLEN: u16 = 13;
const IFLA_OPERSTATE: u16 = 16;
const IFLA_LINKMODE: u16 = 17;
const IFLA_IFALIAS: u16 = 20;
const IFLA_STATS64: u16 = 23;
const IFLA_GROUP: u16 = 27;
const IFLA_PROMISCUITY: u16 = 30;
const IFLA_CARRIER: u16 = 33;
const IFLA_CARRIER_CHANGES: u16 = 35;
const IFLA_CARRIER_UP_COUNT: u16 = 47;
const IFLA_CARRIER_DOWN_COUNT: u16 = 48;
const IFLA_PROP_LIST: u16 = 52;
const IFLA_ALT_IFNAME: u16 = 53;
/// Set on attributes that hold attributes.
const NLA_F_NESTED: u16 = 1 << 15;

/// Room for one part of a dump; the kernel fills at most 32 KiB at a time.
const PART_BYTES: usize = 32 << 10;
/// More links than a machine has; ends a dump that never does.
const LINKS_MAX: usize = 100_000;
/// The kernel answers at once; this is for the case that it does not.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// The numbers in `rtnl_link_stats64`, in its order.
pub(crate) const N_STATS: usize = 24;

/// One network interface. What the kernel did not say is `None` or empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) name: String,
    pub(crate) index: u32,
    /// `ARPHRD_*`
    pub(crate) hardware_type: u16,
    /// `IFF_*`
    pub(crate) flags: u32,
    pub(crate) address: Vec<u8>,
    pub(crate) broadcast: Vec<u8>,
    pub(crate) alias: String,
    pub(crate) alternative_names: Vec<String>,
    pub(crate) mtu: Option<u32>,
    /// The interface that this one lies on; its own index for a physical one.
    pub(crate) parent: Option<u32>,
    pub(crate) queue_length: Option<u32>,
    pub(crate) oper_state: Option<u8>,
    pub(crate) link_mode: Option<u8>,
    pub(crate) group: Option<u32>,
    pub(crate) promiscuity: u32,
    pub(crate) carrier: Option<u8>,
    pub(crate) carrier_changes: Option<u32>,
    pub(crate) carrier_up_count: Option<u32>,
    pub(crate) carrier_down_count: Option<u32>,
    pub(crate) stats: Option<[u64; N_STATS]>,
}

/// The last dump, which the collectors of one scrape share. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedLinks(Arc<Mutex<Option<Dumped>>>);

/// When it was made, and what it said.
type Dumped = (Instant, Arc<[Link]>);

/// How old a shared dump may be: collectors follow each other within a scrape, and scrapes do not come so fast.
const SHARED_AGE_MAX: Duration = Duration::from_millis(20);

impl SharedLinks {
    /// All interfaces of this network namespace, as of at most a few milliseconds ago.
    pub(crate) fn get(&self) -> io::Result<Arc<[Link]>> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, links)) = &*last
            && at.elapsed() < SHARED_AGE_MAX
        {
            return Ok(Arc::clone(links));
        }
        let links: Arc<[Link]> = links()?.into();
        *last = Some((Instant::now(), Arc::clone(&links)));
        Ok(links)
    }
}

/// All interfaces of this network namespace, in the kernel's order.
pub(crate) fn links() -> io::Result<Vec<Link>> {
    // No protocol is protocol 0, which is NETLINK_ROUTE.
    let socket = Socket::open(None)?;
    let mut links = Vec::new();
    // An empty `ifinfomsg` asks for all.
    socket.dump(RTM_GETLINK, &[0; 16], |kind, body| {
        if kind == RTM_NEWLINK {
            links.push(parse_link(body)?);
        }
        if links.len() > LINKS_MAX {
            return Err(malformed("too many links"));
        }
        Ok(())
    })?;
    Ok(links)
}

/// A netlink socket for one question.
pub(super) struct Socket(OwnedFd);

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Dump {
    Partial,
    Complete,
}

impl Socket {
    fn open(protocol: Option<net::Protocol>) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let socket = net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?;
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(ANSWER_MAX))?;
        Ok(Self(socket))
    }

    /// Asks for everything of a kind and calls `visit` with each message's type and body.
    fn dump(
        &self,
        kind: u16,
        body: &[u8],
        mut visit: impl FnMut(u16, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        net::send(&self.0, &request(kind, body), SendFlags::empty())?;
        let mut part = vec![0; PART_BYTES];
        loop {
            let (_, n_bytes) = net::recv(&self.0, &mut part[..], RecvFlags::TRUNC)?;
            let bytes = part.get(..n_bytes).ok_or_else(|| malformed("a message is too long"))?;
            if messages(bytes, &mut visit)? == Dump::Complete {
                return Ok(());
            }
        }
    }
}

/// A message header and a body.
fn request(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut message = vec![0; 16];
    message[0..4].copy_from_slice(&(16 + body.len() as u32).to_ne_bytes());
    message[4..6].copy_from_slice(&kind.to_ne_bytes());
    message[6..8].copy_from_slice(&REQUEST_DUMP.to_ne_bytes());
    message[8..12].copy_from_slice(&1_u32.to_ne_bytes());
    message.extend(body);
    message
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Visits the messages of one part of a dump.
fn messages(
    mut bytes: &[u8],
    visit: &mut impl FnMut(u16, &[u8]) -> io::Result<()>,
) -> io::Result<Dump> {
    while !bytes.is_empty() {
        let header = bytes.get(..16).ok_or_else(|| malformed("a header is cut"))?;
        let length = u32_at(header, 0) as usize;
        let kind = u16_at(header, 4);
        let body = bytes.get(16..length).ok_or_else(|| malformed("a message is cut"))?;
        match kind {
            NLMSG_DONE => return Ok(Dump::Complete),
            NLMSG_ERROR => {
                let code = body.get(..4).map_or(0, |code| u32_at(code, 0) as i32);
                return Err(io::Error::from_raw_os_error(code.saturating_neg()));
            }
            _ => visit(kind, body)?,
        }
        bytes = bytes.get(align(length)..).unwrap_or_default();
    }
    Ok(Dump::Partial)
}

fn parse_link(body: &[u8]) -> io::Result<Link> {
    let info = body.get(..16).ok_or_else(|| malformed("an ifinfomsg is cut"))?;
    let mut link = Link {
        hardware_type: u16_at(info, 2),
        index: u32_at(info, 4),
        flags: u32_at(info, 8),
        ..Link::default()
    };
    for (kind, value) in attributes(&body[16..]) {
        let number = || value.get(..4).map(|bytes| u32_at(bytes, 0));
        let byte = || value.first().copied();
        match kind {
            IFLA_IFNAME => link.name = string(value),
            IFLA_ADDRESS => link.address = value.to_vec(),
            IFLA_BROADCAST => link.broadcast = value.to_vec(),
            IFLA_IFALIAS => link.alias = string(value),
            IFLA_MTU => link.mtu = number(),
            IFLA_LINK => link.parent = number(),
            IFLA_TXQLEN => link.queue_length = number(),
            IFLA_OPERSTATE => link.oper_state = byte(),
            IFLA_LINKMODE => link.link_mode = byte(),
            IFLA_GROUP => link.group = number(),
            IFLA_PROMISCUITY => link.promiscuity = number().unwrap_or(0),
            IFLA_CARRIER => link.carrier = byte(),
            IFLA_CARRIER_CHANGES => link.carrier_changes = number(),
            IFLA_CARRIER_UP_COUNT => link.carrier_up_count = number(),
            IFLA_CARRIER_DOWN_COUNT => link.carrier_down_count = number(),
            IFLA_STATS64 => link.stats = parse_stats(value),
            IFLA_PROP_LIST => {
                let names = attributes(value).filter(|(kind, _)| *kind == IFLA_ALT_IFNAME);
                link.alternative_names = names.map(|(_, name)| string(name)).collect();
            }
            _ => {}
        }
    }
    Ok(link)
}

/// Kernels add numbers at the end and old ones lack `rx_nohandler`.
fn parse_stats(value: &[u8]) -> Option<[u64; N_STATS]> {
    let mut stats = [0; N_STATS];
    let mut numbers = value.chunks_exact(8);
    for slot in stats.iter_mut().take(N_STATS - 1) {
        *slot = u64::from_ne_bytes(numbers.next()?.try_into().ok()?);
    }
    if let Some(last) = numbers.next() {
        stats[N_STATS - 1] = u64::from_ne_bytes(last.try_into().ok()?);
    }
    Some(stats)
}

/// Attributes until the first that is cut.
fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let header = rest.get(..4)?;
        let length = usize::from(u16_at(header, 0));
        let kind = u16_at(header, 2) & !NLA_F_NESTED;
        let value = rest.get(4..length)?;
        rest = rest.get(align(length)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// Everything in netlink begins at a multiple of four.
fn align(length: usize) -> usize {
    length.next_multiple_of(4)
}

fn string(value: &[u8]) -> String {
    let end = memchr::memchr(0, value).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

/// The caller has checked that the bytes are there.
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend((4 + value.len() as u16).to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend((16 + body.len() as u32).to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(body);
        bytes
    }

    fn parse(dump: &[u8]) -> io::Result<Vec<Link>> {
        let mut links = Vec::new();
        messages(dump, &mut |_, body| {
            links.push(parse_link(body)?);
            Ok(())
        })?;
        Ok(links)
    }

    #[test]
    fn a_dump_is_read() {
        let mut body = vec![0, 0];
        body.extend(1_u16.to_ne_bytes());
        body.extend(7_u32.to_ne_bytes());
        body.extend(0x1043_u32.to_ne_bytes());
        body.extend([0; 4]);
        body.extend(attribute(IFLA_IFNAME, b"eth0\0"));
        body.extend(attribute(IFLA_MTU, &1500_u32.to_ne_bytes()));
        body.extend(attribute(
            IFLA_PROP_LIST | NLA_F_NESTED,
            &attribute(IFLA_ALT_IFNAME, b"lan\0"),
        ));
        let stats: Vec<u8> = (0..25_u64).flat_map(u64::to_ne_bytes).collect();
        body.extend(attribute(IFLA_STATS64, &stats));
        let mut dump = message(RTM_NEWLINK, &body);
        dump.extend(message(NLMSG_DONE, &[0; 4]));
        let links = parse(&dump).unwrap();
        assert_eq!(links.len(), 1);
        let link = &links[0];
        assert_eq!((link.name.as_str(), link.index, link.mtu), ("eth0", 7, Some(1500)));
        assert_eq!(link.alternative_names, ["lan"]);
        assert_eq!(link.stats.unwrap()[23], 23);
        // Cut anywhere: an error or fewer links, never a panic.
        for end in 0..dump.len() {
            let _ = parse(&dump[..end]);
        }
    }

    #[test]
    fn errors_of_the_kernel_are_told() {
        let denied = message(NLMSG_ERROR, &(-13_i32).to_ne_bytes());
        let err = parse(&denied).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::PermissionDenied);
        // A length of zero must not loop.
        assert!(parse(&[0; 64]).is_err());
    }

    #[test]
    fn this_machine_has_a_loopback() {
        let links = links().unwrap();
        let lo = links.iter().find(|link| link.name == "lo").unwrap();
        assert_eq!(lo.hardware_type, 772);
        assert!(lo.stats.is_some());
    }
}

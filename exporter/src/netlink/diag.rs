//! Asking the kernel about sockets; see `sock_diag(7)`.

use std::io;

use rustix::net::netlink;

use super::{Socket, malformed, u32_at};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// Bytes of `inet_diag_req_v2`.
const REQUEST_BYTES: usize = 56;
/// Bytes of `inet_diag_msg` that we need.
const MESSAGE_BYTES: usize = 64;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Family {
    V4 = 2,
    V6 = 10,
}

/// One connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection {
    /// `TCP_*`
    pub(crate) state: u8,
    pub(crate) received_bytes: u32,
    pub(crate) sent_bytes: u32,
}

/// Calls `visit` for each TCP connection of one family, in any state.
pub(crate) fn tcp(family: Family, visit: &mut impl FnMut(Connection)) -> io::Result<()> {
    let socket = Socket::open(Some(netlink::SOCK_DIAG))?;
    let mut body = [0; REQUEST_BYTES];
    body[0] = family as u8;
    body[1] = 6; // IPPROTO_TCP
    body[4..8].copy_from_slice(&u32::MAX.to_ne_bytes()); // all states
    socket.dump(SOCK_DIAG_BY_FAMILY, &body, |kind, body| {
        if kind == SOCK_DIAG_BY_FAMILY {
            let message = body.get(..MESSAGE_BYTES).ok_or_else(|| malformed("a socket is cut"))?;
            visit(Connection {
                state: message[1],
                received_bytes: u32_at(message, 56),
                sent_bytes: u32_at(message, 60),
            });
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listening_socket_is_seen() {
        let _listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut n_listening = 0;
        tcp(Family::V4, &mut |connection| n_listening += u32::from(connection.state == 10))
            .unwrap();
        assert!(n_listening >= 1);
    }
}

//! Who could reach us: everybody on the network only if they have to say who they are.

use std::net::SocketAddr;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "on {address} everybody on the network could read and write: name users in a --web.config.file (basic_auth_users), or listen on 127.0.0.1"
)]
pub(super) struct Exposed {
    address: SocketAddr,
}

/// Refuses an address that others can reach while nobody is asked for a password.
pub(super) fn check(addresses: &[SocketAddr], asks_for_credentials: bool) -> Result<(), Exposed> {
    match addresses.iter().find(|address| !address.ip().is_loopback()) {
        Some(address) if !asks_for_credentials => Err(Exposed { address: *address }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_open() {
        let parse = |text: &str| vec![text.parse().unwrap()];
        assert!(check(&parse("127.0.0.1:9201"), false).is_ok());
        assert!(check(&parse("[::1]:9201"), false).is_ok());
        assert!(check(&parse("0.0.0.0:9201"), true).is_ok());
        let text = check(&parse("0.0.0.0:9201"), false).unwrap_err().to_string();
        assert!(text.contains("--web.config.file"), "{text}");
    }
}

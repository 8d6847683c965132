//! Who could reach us: everybody on the network only if they have to say who they are.

use std::net::SocketAddr;

/// An address that others can reach, where they could do what they should not.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "on {address} everybody on the network could {could}: name users in a --web.config.file (basic_auth_users), or listen on 127.0.0.1"
)]
pub struct Exposed {
    pub address: SocketAddr,
    pub could: &'static str,
}

/// Whether others can reach one of the addresses.
pub fn is_wide(addresses: &[SocketAddr]) -> bool {
    addresses.iter().any(|address| !address.ip().is_loopback())
}

/// Refuses addresses that others can reach while nobody is asked for a password. `could` is what they could do there.
pub fn check(addresses: &[SocketAddr], could: &'static str) -> Result<(), Exposed> {
    match addresses.iter().find(|address| !address.ip().is_loopback()) {
        Some(address) => Err(Exposed { address: *address, could }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_open() {
        let check = |text: &str| check(&[text.parse().unwrap()], "read and write");
        assert!(check("127.0.0.1:9201").is_ok());
        assert!(check("[::1]:9201").is_ok());
        let text = check("0.0.0.0:9201").unwrap_err().to_string();
        assert!(
            text.contains("could read and write") && text.contains("--web.config.file"),
            "{text}"
        );
    }
}

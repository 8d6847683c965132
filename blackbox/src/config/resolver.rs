//! `resolver`: the DNS servers that a module's names are looked up with.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// As many as `resolv.conf` may name.
const SERVERS_MAX: usize = 3;
const PORT: u16 = 53;

/// The servers, in the order in which they are asked; none: the system's resolver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolver(Vec<SocketAddr>);

impl Resolver {
    pub(crate) fn servers(&self) -> &[SocketAddr] {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Resolver {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Yaml {
            One(String),
            Many(Vec<String>),
        }
        let texts = match Yaml::deserialize(deserializer)? {
            Yaml::One(text) if text.is_empty() => Vec::new(),
            Yaml::One(text) => vec![text],
            Yaml::Many(texts) => texts,
        };
        if texts.len() > SERVERS_MAX {
            return Err(D::Error::custom(format!("resolver: {SERVERS_MAX} DNS servers at most")));
        }
        texts
            .iter()
            .map(|text| server(text).map_err(D::Error::custom))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl Serialize for Resolver {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(ToString::to_string))
    }
}

fn server(text: &str) -> Result<SocketAddr, String> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let address = text.parse().ok().or_else(|| {
        let ip: IpAddr = bare.parse().ok()?;
        Some(SocketAddr::new(ip, PORT))
    });
    address.filter(|address| address.port() != 0).ok_or_else(|| {
        format!(
            "resolver: `{text}` is not the address of a DNS server: write it like 192.0.2.1, 192.0.2.1:5353 or [2001:db8::1]:53"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_servers() {
        for (text, expected) in [
            ("192.0.2.1", "192.0.2.1:53"),
            ("192.0.2.1:5353", "192.0.2.1:5353"),
            ("2001:db8::1", "[2001:db8::1]:53"),
            ("[2001:db8::1]", "[2001:db8::1]:53"),
            ("[2001:db8::1]:54", "[2001:db8::1]:54"),
        ] {
            assert_eq!(server(text).unwrap().to_string(), expected);
        }
        for wrong in ["", "dns.example", "192.0.2.1:0", "192.0.2.1:", "192.0.2.1:65536", "1.2.3"] {
            assert!(server(wrong).is_err(), "{wrong}");
        }
    }
}

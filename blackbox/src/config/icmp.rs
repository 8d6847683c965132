//! The `icmp:` section.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::is_default;
use crate::dial::Family;

/// Largest payload of an echo request, in bytes: what an IPv4 packet holds beside its headers.
const PAYLOAD_BYTES_MAX: usize = 65_507;

/// What echo requests look like.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct IcmpConfig {
    pub preferred_ip_protocol: Family,
    pub ip_protocol_fallback: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub source_ip_address: Option<IpAddr>,
    /// In bytes; zero is the usual 28.
    #[serde(skip_serializing_if = "is_default")]
    pub payload_size: usize,
    /// IPv4 only.
    pub dont_fragment: bool,
    /// Hops that a request may take, 1 to 255; zero is the system's own choice.
    pub ttl: i64,
}

impl Default for IcmpConfig {
    fn default() -> Self {
        Self {
            preferred_ip_protocol: Family::default(),
            ip_protocol_fallback: true,
            source_ip_address: None,
            payload_size: 0,
            dont_fragment: false,
            ttl: 64,
        }
    }
}

impl IcmpConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        if self.ttl < 0 {
            return Err("\"ttl\" cannot be negative".to_owned());
        }
        if self.ttl > 255 {
            return Err("\"ttl\" cannot exceed 255".to_owned());
        }
        if self.payload_size > PAYLOAD_BYTES_MAX {
            return Err(format!("\"payload_size\" cannot exceed {PAYLOAD_BYTES_MAX}"));
        }
        Ok(())
    }
}

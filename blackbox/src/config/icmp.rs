//! The `icmp:` section.

use std::{net::IpAddr, time::Duration};

use serde::{Deserialize, Serialize};

use super::{GoDuration, is_default};
use crate::dial::Family;

/// Largest payload of an echo request, in bytes: what an IPv4 packet holds beside its headers.
const PAYLOAD_BYTES_MAX: usize = 65_507;
/// Requests of one probe.
const COUNT_MAX: u16 = 100;
/// As `ping` has it.
const INTERVAL_DEFAULT: Duration = Duration::from_secs(1);
/// Faster would be a flood.
const INTERVAL_MIN: Duration = Duration::from_millis(10);

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
    /// Requests of one probe, which succeeds if one of them is answered.
    #[serde(skip_serializing_if = "is_single")]
    pub count: u16,
    /// From one request to the next.
    #[serde(skip_serializing_if = "is_usual")]
    pub interval: GoDuration,
}

fn is_single(count: &u16) -> bool {
    *count == 1
}

fn is_usual(interval: &GoDuration) -> bool {
    interval.0 == INTERVAL_DEFAULT
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
            count: 1,
            interval: GoDuration(INTERVAL_DEFAULT),
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
        if !(1..=COUNT_MAX).contains(&self.count) {
            return Err(format!("\"count\" must be from 1 to {COUNT_MAX}"));
        }
        if self.interval.0 < INTERVAL_MIN {
            return Err("\"interval\" must be 10ms or more".to_owned());
        }
        Ok(())
    }

    /// From the first request to the last.
    pub(super) fn span(&self) -> Duration {
        self.interval.0 * u32::from(self.count - 1)
    }
}

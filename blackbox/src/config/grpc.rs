//! The `grpc:` section.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{TlsConfig, client, is_default, or_default};
use crate::dial::Family;

/// Which service is asked for its health, and how.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct GrpcConfig {
    /// Empty: the server as a whole.
    pub service: String,
    pub tls: bool,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub tls_config: TlsConfig,
    pub ip_protocol_fallback: bool,
    pub preferred_ip_protocol: Family,
    /// Sent with the call. Values of names that end in `-bin` are sent as bytes.
    #[serde(skip_serializing_if = "is_default")]
    pub metadata: BTreeMap<String, Vec<String>>,
}

impl Default for GrpcConfig {
    fn default() -> Self {
        Self {
            service: String::new(),
            tls: false,
            tls_config: TlsConfig::default(),
            ip_protocol_fallback: true,
            preferred_ip_protocol: Family::default(),
            metadata: BTreeMap::new(),
        }
    }
}

impl GrpcConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        for name in self.metadata.keys() {
            client::check_header_name(name)?;
            if name.to_ascii_lowercase().starts_with("grpc-") {
                return Err(format!(
                    "metadata `{name}`: names that begin with grpc- belong to the protocol"
                ));
            }
        }
        self.tls_config.check()
    }
}

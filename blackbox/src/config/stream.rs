//! The `tcp:` and `unix:` sections.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Pattern, TlsConfig, client, is_default, or_default};
use crate::dial::Family;

/// What is said and expected on a TCP connection.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct TcpConfig {
    pub preferred_ip_protocol: Family,
    pub ip_protocol_fallback: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub source_ip_address: Option<IpAddr>,
    #[serde(skip_serializing_if = "is_default")]
    pub query_response: Vec<QueryResponse>,
    pub tls: bool,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub tls_config: TlsConfig,
}

impl Default for TcpConfig {
    fn default() -> Self {
        Self {
            preferred_ip_protocol: Family::default(),
            ip_protocol_fallback: true,
            source_ip_address: None,
            query_response: Vec::new(),
            tls: false,
            tls_config: TlsConfig::default(),
        }
    }
}

/// What is said and expected on a socket in the file system.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct UnixConfig {
    #[serde(skip_serializing_if = "is_default")]
    pub query_response: Vec<QueryResponse>,
    pub tls: bool,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub tls_config: TlsConfig,
}

/// One step of a conversation: wait for something, then say something, then perhaps start TLS.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueryResponse {
    #[serde(skip_serializing_if = "is_default")]
    pub expect: Option<Pattern>,
    #[serde(skip_serializing_if = "is_default")]
    pub expect_bytes: String,
    /// Labels of `probe_expect_info`; values may hold `${1}`.
    #[serde(skip_serializing_if = "is_default")]
    pub labels: Vec<Label>,
    /// A line to send, without its end; may hold `${1}`.
    #[serde(skip_serializing_if = "is_default")]
    pub send: String,
    #[serde(skip_serializing_if = "is_default")]
    pub starttls: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Label {
    pub name: String,
    pub value: String,
}

impl TcpConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        check_steps(&self.query_response)?;
        self.tls_config.check()
    }
}

impl UnixConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        check_steps(&self.query_response)?;
        self.tls_config.check()
    }
}

fn check_steps(steps: &[QueryResponse]) -> Result<(), String> {
    for step in steps {
        if step.expect.is_some() && !step.expect_bytes.is_empty() {
            return Err("expect and expect_bytes are mutually exclusive".to_owned());
        }
        for label in &step.labels {
            client::check_label_name(&label.name)?;
        }
    }
    // The original falls over when it tells the same family twice.
    if steps.iter().filter(|step| !step.labels.is_empty()).count() > 1 {
        return Err("only one entry of query_response can have labels".to_owned());
    }
    Ok(())
}

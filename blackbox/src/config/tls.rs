//! `tls_config`: whom to trust, who we are, which versions.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Secret, is_default};

/// TLS settings of one module, as `prometheus/common` has them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// Certificates to trust, in PEM, instead of the system's.
    #[serde(skip_serializing_if = "is_default")]
    pub ca: String,
    /// Our own certificate and its chain, in PEM.
    #[serde(skip_serializing_if = "is_default")]
    pub cert: String,
    #[serde(skip_serializing_if = "is_default")]
    pub key: Secret,
    #[serde(skip_serializing_if = "is_default")]
    pub ca_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "is_default")]
    pub cert_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "is_default")]
    pub key_file: Option<PathBuf>,
    /// The name that the server must prove; the target's host where it is empty.
    #[serde(skip_serializing_if = "is_default")]
    pub server_name: String,
    pub insecure_skip_verify: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub min_version: Option<TlsVersion>,
    #[serde(skip_serializing_if = "is_default")]
    pub max_version: Option<TlsVersion>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub enum TlsVersion {
    #[serde(rename = "TLS10")]
    Tls10,
    #[serde(rename = "TLS11")]
    Tls11,
    #[serde(rename = "TLS12")]
    Tls12,
    #[serde(rename = "TLS13")]
    Tls13,
}

impl TlsConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        if !self.ca.is_empty() && self.ca_file.is_some() {
            return Err("at most one of ca and ca_file must be configured".to_owned());
        }
        let has_cert = !self.cert.is_empty() || self.cert_file.is_some();
        let has_key = !self.key.expose().is_empty() || self.key_file.is_some();
        if !self.cert.is_empty() && self.cert_file.is_some() {
            return Err("at most one of cert and cert_file must be configured".to_owned());
        }
        if !self.key.expose().is_empty() && self.key_file.is_some() {
            return Err("at most one of key and key_file must be configured".to_owned());
        }
        if has_cert && !has_key {
            return Err("exactly one of key or key_file must be configured when a client certificate is configured".to_owned());
        }
        if has_key && !has_cert {
            return Err("exactly one of cert or cert_file must be configured when a client key is configured".to_owned());
        }
        if let Some(max) = self.max_version {
            if max < TlsVersion::Tls12 {
                return Err("max_version: TLS 1.0 and 1.1 are not spoken here; use TLS12 or TLS13"
                    .to_owned());
            }
            if self.min_version.is_some_and(|min| min > max) {
                return Err("min_version is above max_version".to_owned());
            }
        }
        Ok(())
    }
}

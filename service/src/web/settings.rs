//! The schema of `--web.config.file`, exactly exporter-toolkit's.
//!
//! Source: exporter-toolkit's `docs/web-configuration.md`. Names are Go's; what rustls does not offer (TLS 1.0 and
//! 1.1, CBC ciphers, P-521) is refused with a reason rather than quietly left out.

use std::{collections::BTreeMap, path::PathBuf};

use rustls::{CipherSuite, NamedGroup, SupportedProtocolVersion};
use serde::{Deserialize, Deserializer, de};

use crate::{Secret, units::Span};

/// The whole file. A section that is empty, as `basic_auth_users:` with nothing under it, is one left out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WebFile {
    pub(super) tls_server_config: Option<TlsSection>,
    pub(super) http_server_config: Option<HttpSection>,
    pub(super) basic_auth_users: Option<BTreeMap<String, Secret>>,
    pub(super) rate_limit: Option<RateSection>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TlsSection {
    pub(super) cert: Option<String>,
    pub(super) key: Option<Secret>,
    pub(super) client_ca: Option<String>,
    pub(super) cert_file: Option<PathBuf>,
    pub(super) key_file: Option<PathBuf>,
    pub(super) client_auth_type: Option<ClientAuth>,
    pub(super) client_ca_file: Option<PathBuf>,
    pub(super) client_allowed_sans: Option<Vec<String>>,
    pub(super) cipher_suites: Vec<Cipher>,
    pub(super) curve_preferences: Vec<Curve>,
    pub(super) min_version: Version,
    pub(super) max_version: Version,
    pub(super) prefer_server_cipher_suites: Option<bool>,
}

/// Go's `tls.ClientAuthType`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) enum ClientAuth {
    #[default]
    #[serde(alias = "")]
    NoClientCert,
    RequestClientCert,
    #[serde(alias = "RequireClientCert")]
    RequireAnyClientCert,
    VerifyClientCertIfGiven,
    RequireAndVerifyClientCert,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HttpSection {
    pub(super) http2: bool,
    pub(super) headers: Option<Headers>,
}

impl Default for HttpSection {
    fn default() -> Self {
        Self { http2: true, headers: None }
    }
}

/// The only headers that may be set, so that answers look alike in the whole ecosystem.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Headers {
    #[serde(rename = "Content-Security-Policy")]
    pub(super) content_security_policy: String,
    #[serde(rename = "X-Frame-Options")]
    pub(super) frame_options: FrameOptions,
    #[serde(rename = "X-Content-Type-Options")]
    pub(super) content_type_options: ContentTypeOptions,
    #[serde(rename = "X-XSS-Protection")]
    pub(super) xss_protection: String,
    #[serde(rename = "Strict-Transport-Security")]
    pub(super) strict_transport_security: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum FrameOptions {
    #[default]
    #[serde(rename = "")]
    Unset,
    Deny,
    SameOrigin,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ContentTypeOptions {
    #[default]
    #[serde(rename = "")]
    Unset,
    NoSniff,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RateSection {
    /// Time between two requests; 0 turns the limit off.
    pub(super) interval: Span,
    /// Requests that may come at once.
    pub(super) burst: u32,
}

/// A version of TLS that we offer. The default of `min_version` is 1.2, that of `max_version` 1.3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Version {
    #[default]
    Unset,
    Tls12,
    Tls13,
}

impl Version {
    /// All versions from `min` to `max`.
    pub(super) fn range(min: Self, max: Self) -> Vec<&'static SupportedProtocolVersion> {
        let min = if min == Self::Unset { Self::Tls12 } else { min };
        let max = if max == Self::Unset { Self::Tls13 } else { max };
        [(Self::Tls12, &rustls::version::TLS12), (Self::Tls13, &rustls::version::TLS13)]
            .into_iter()
            .filter(|(version, _)| (min..=max).contains(version))
            .map(|(_, version)| version)
            .collect()
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "TLS12" => Ok(Self::Tls12),
            "TLS13" => Ok(Self::Tls13),
            old @ ("TLS10" | "TLS11") => Err(de::Error::custom(format!(
                "{old} is broken and not offered (RFC 8996): use TLS12 or TLS13"
            ))),
            other => Err(de::Error::custom(format!(
                "`{other}` is not a version of TLS: use TLS12 or TLS13"
            ))),
        }
    }
}

/// A cipher suite by Go's name. Those of TLS 1.3 are accepted and change nothing, as in Go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cipher(pub(super) CipherSuite);

/// Go's names for what rustls offers, which is what Go calls secure, less CBC.
const CIPHERS: [(&str, CipherSuite); 9] = [
    ("TLS_AES_128_GCM_SHA256", CipherSuite::TLS13_AES_128_GCM_SHA256),
    ("TLS_AES_256_GCM_SHA384", CipherSuite::TLS13_AES_256_GCM_SHA384),
    ("TLS_CHACHA20_POLY1305_SHA256", CipherSuite::TLS13_CHACHA20_POLY1305_SHA256),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
];

impl<'de> Deserialize<'de> for Cipher {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        if let Some((_, suite)) = CIPHERS.iter().find(|(known, _)| *known == name) {
            return Ok(Self(*suite));
        }
        let offered: Vec<&str> = CIPHERS[3..].iter().map(|(known, _)| *known).collect();
        let why = if name.starts_with("TLS_") && name.contains("_CBC_") || name.contains("TLS_RSA_")
        {
            "is weak and not offered"
        } else {
            "is not a known cipher suite"
        };
        Err(de::Error::custom(format!("`{name}` {why}: use {}", offered.join(", "))))
    }
}

/// A group for the key exchange by Go's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Curve(pub(super) NamedGroup);

impl<'de> Deserialize<'de> for Curve {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "X25519" => Ok(Self(NamedGroup::X25519)),
            "CurveP256" => Ok(Self(NamedGroup::secp256r1)),
            "CurveP384" => Ok(Self(NamedGroup::secp384r1)),
            "CurveP521" => Err(de::Error::custom(
                "CurveP521 is not offered: use X25519, CurveP256 or CurveP384",
            )),
            other => Err(de::Error::custom(format!(
                "`{other}` is not a known curve: use X25519, CurveP256 or CurveP384"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;

    fn parsed(text: &str) -> Result<WebFile, String> {
        config::parse(text, Path::new("web.yml")).map_err(|err| err.to_string())
    }

    #[test]
    fn the_documented_schema() {
        let file = parsed(
            "tls_server_config:
  cert_file: server.crt
  key_file: server.key
  client_auth_type: RequireClientCert
  client_ca_file: ca.crt
  client_allowed_sans: [scraper.example.org]
  min_version: TLS12
  max_version: TLS13
  cipher_suites:
    - TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
    - TLS_AES_128_GCM_SHA256
  prefer_server_cipher_suites: true
  curve_preferences: [X25519, CurveP256]
http_server_config:
  http2: false
  headers:
    Content-Security-Policy: default-src 'self'
    X-Frame-Options: deny
    X-Content-Type-Options: nosniff
    X-XSS-Protection: ''
    Strict-Transport-Security: max-age=3600
basic_auth_users:
  alice: $2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG
rate_limit:
  interval: 1s
  burst: 20
",
        )
        .unwrap();
        let tls = file.tls_server_config.unwrap();
        assert_eq!(tls.client_auth_type, Some(ClientAuth::RequireAnyClientCert));
        assert_eq!(tls.curve_preferences[1], Curve(NamedGroup::secp256r1));
        assert_eq!(tls.cipher_suites.len(), 2);
        let http = file.http_server_config.unwrap();
        assert!(!http.http2);
        assert_eq!(http.headers.unwrap().frame_options, FrameOptions::Deny);
        assert_eq!(file.rate_limit.unwrap().burst, 20);
    }

    #[test]
    fn defaults_and_empty_sections() {
        let file = parsed("tls_server_config:\nbasic_auth_users:\nhttp_server_config:\n").unwrap();
        assert!(file.tls_server_config.is_none() && file.basic_auth_users.is_none());
        let file = parsed("http_server_config:\n  headers:\n").unwrap();
        assert!(file.http_server_config.unwrap().http2);
        assert_eq!(Version::range(Version::Unset, Version::Unset).len(), 2);
        assert_eq!(Version::range(Version::Tls13, Version::Unset).len(), 1);
        assert_eq!(Version::range(Version::Tls13, Version::Tls12).len(), 0);
    }

    #[test]
    fn errors_name_place_and_remedy() {
        for (text, expected) in [
            (
                "tls_config: {}",
                "web.yml:1:1: unknown key `tls_config`: did you mean `tls_server_config`?",
            ),
            (
                "tls_server_config:\n  min_version: TLS10\n",
                "web.yml:2:16: TLS10 is broken and not offered (RFC 8996): use TLS12 or TLS13",
            ),
            (
                "tls_server_config:\n  min_version: TLS1\n",
                "web.yml:2:16: `TLS1` is not a version of TLS: use TLS12 or TLS13",
            ),
            (
                "tls_server_config:\n  client_auth_type: RequireAndVerify\n",
                "web.yml:2:21: unknown value `RequireAndVerify`: did you mean `RequireAndVerifyClientCert`?",
            ),
            (
                "tls_server_config:\n  curve_preferences: [CurveP521]\n",
                "web.yml:2:23: CurveP521 is not offered",
            ),
            (
                "tls_server_config:\n  cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA]\n",
                "web.yml:2:19: `TLS_RSA_WITH_AES_128_CBC_SHA` is weak and not offered: use TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, ",
            ),
            (
                "http_server_config:\n  headers:\n    Server: x\n",
                "web.yml:3:5: unknown key `Server`: known are Content-Security-Policy, ",
            ),
            (
                "http_server_config:\n  headers:\n    X-Frame-Options: allow\n",
                "web.yml:3:22: unknown value `allow`: known are",
            ),
            ("rate_limit:\n  burst: -1\n", "web.yml:2:10: "),
        ] {
            let said = parsed(text).unwrap_err();
            assert!(said.starts_with(expected), "{text}: {said}");
        }
    }
}

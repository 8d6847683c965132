//! The `http:` section.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Deserializer, Serialize, de::IntoDeserializer};

use super::{
    Authorization, Base2Bytes, BasicAuth, CelProgram, ClientConfig, HeaderValues, OAuth2Config,
    Pattern, Secret, TlsConfig, TlsVersion, client, is_default, or_default,
};
use crate::dial::Family;

/// What an HTTP probe sends and what it expects.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(from = "Yaml")]
pub struct HttpConfig {
    /// Empty: any 2xx.
    #[serde(skip_serializing_if = "is_default")]
    pub valid_status_codes: Vec<u16>,
    /// Empty: any. `HTTP/1.1`, `HTTP/2.0`, `HTTP/3.0`.
    #[serde(skip_serializing_if = "is_default")]
    pub valid_http_versions: Vec<String>,
    pub preferred_ip_protocol: Family,
    pub ip_protocol_fallback: bool,
    pub skip_resolve_phase_with_proxy: bool,
    pub fail_if_ssl: bool,
    pub fail_if_not_ssl: bool,
    pub method: String,
    #[serde(skip_serializing_if = "is_default")]
    pub headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "is_default")]
    pub fail_if_body_matches_regexp: Vec<Pattern>,
    #[serde(skip_serializing_if = "is_default")]
    pub fail_if_body_not_matches_regexp: Vec<Pattern>,
    /// Rules in CEL about a body of JSON, which is their variable `body`.
    #[serde(skip_serializing_if = "is_default")]
    pub fail_if_body_json_matches_cel: Option<CelProgram>,
    #[serde(skip_serializing_if = "is_default")]
    pub fail_if_body_json_not_matches_cel: Option<CelProgram>,
    #[serde(skip_serializing_if = "is_default")]
    pub fail_if_header_matches: Vec<HeaderMatcher>,
    #[serde(skip_serializing_if = "is_default")]
    pub fail_if_header_not_matches: Vec<HeaderMatcher>,
    #[serde(skip_serializing_if = "is_default")]
    pub body: String,
    #[serde(skip_serializing_if = "is_default")]
    pub body_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "is_default")]
    pub compression: Option<Compression>,
    /// In bytes after decoding; zero is no limit of the user's.
    #[serde(skip_serializing_if = "is_default")]
    pub body_size_limit: Base2Bytes,
    /// HTTP/3 over QUIC, and nothing else.
    #[serde(skip_serializing_if = "is_default")]
    pub enable_http3: bool,
    #[serde(flatten)]
    pub client: ClientConfig,
}

/// How the body is encoded; it is decoded blindly, whatever the headers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    Identity,
    Gzip,
    /// Brotli.
    Br,
    /// Raw DEFLATE without the zlib frame, as Go's `compress/flate` reads it.
    Deflate,
}

/// A rule about one header of the answer.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HeaderMatcher {
    #[serde(default)]
    pub header: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regexp: Option<Pattern>,
    #[serde(default)]
    pub allow_missing: bool,
}

impl HeaderMatcher {
    /// The expression; loading made sure that it is there.
    pub(crate) fn matches(&self, value: &[u8]) -> bool {
        self.regexp.as_ref().is_some_and(|regexp| regexp.is_match(value))
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        Yaml::default().into()
    }
}

impl HttpConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        self.client.check()?;
        self.check_http3()?;
        if !self.body.is_empty() && self.body_file.is_some() {
            return Err("setting body and body_file both are not allowed".to_owned());
        }
        if http::Method::from_bytes(self.method.as_bytes()).is_err() {
            return Err(format!("method `{}` cannot be sent", self.method));
        }
        for (name, value) in &self.headers {
            client::check_header_name(name)?;
            if http::HeaderValue::from_str(value).is_err() {
                return Err(format!("the value of header `{name}` cannot be sent"));
            }
            if let Some(compression) = self.compression
                && name.eq_ignore_ascii_case("accept-encoding")
                && !accepts(value, compression)
            {
                return Err(format!(
                    "invalid configuration \"{name}: {value}\", \"compression: {}\"",
                    compression.name()
                ));
            }
        }
        for matcher in self.fail_if_header_matches.iter().chain(&self.fail_if_header_not_matches) {
            if matcher.header.is_empty() {
                return Err("header name must be set for HTTP header matchers".to_owned());
            }
            if matcher.regexp.as_ref().is_none_or(|regexp| regexp.as_str().is_empty()) {
                return Err("regexp must be set for HTTP header matchers".to_owned());
            }
        }
        Ok(())
    }

    fn check_http3(&self) -> Result<(), String> {
        const HTTP3: &str = "HTTP/3.0";
        if !self.enable_http3 {
            if self.valid_http_versions.iter().any(|version| version == HTTP3) {
                return Err(
                    "HTTP/3 cannot be used as a valid HTTP version when enable_http3 is false"
                        .to_owned(),
                );
            }
            return Ok(());
        }
        if self.client.enable_http2 {
            return Err("when enable_http3 is true, enable_http2 must be set to false".to_owned());
        }
        if self.valid_http_versions.iter().any(|version| version != HTTP3) {
            return Err(
                "HTTP/3 and HTTP/2.0/1.1 cannot be used together - only HTTP/3.0 is allowed when \
                        enable_http3 is true"
                    .to_owned(),
            );
        }
        if !self.client.proxy_url.is_empty() || self.client.proxy_from_environment {
            return Err("HTTP/3 cannot go through a proxy".to_owned());
        }
        if self.client.tls_config.max_version.is_some_and(|max| max < TlsVersion::Tls13) {
            return Err("HTTP/3 needs TLS 1.3: max_version is below it".to_owned());
        }
        Ok(())
    }

    /// Whether a rule needs to see the whole body.
    pub(crate) fn reads_body(&self) -> bool {
        self.has_body_patterns() || self.has_cel()
    }

    pub(crate) fn has_body_patterns(&self) -> bool {
        !self.fail_if_body_matches_regexp.is_empty()
            || !self.fail_if_body_not_matches_regexp.is_empty()
    }

    pub(crate) fn has_cel(&self) -> bool {
        self.fail_if_body_json_matches_cel.is_some()
            || self.fail_if_body_json_not_matches_cel.is_some()
    }
}

impl Compression {
    /// As in `Accept-Encoding`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Br => "br",
            Self::Deflate => "deflate",
        }
    }
}

/// Whether a server that honours this `Accept-Encoding` may answer with `compression`.
fn accepts(accept_encoding: &str, compression: Compression) -> bool {
    let mut by_name = None;
    let mut by_star = None;
    for part in accept_encoding.split(',') {
        let (name, parameters) = part.split_once(';').unwrap_or((part, ""));
        let quality = parameters.split(';').find_map(|p| p.trim().strip_prefix("q="));
        let allowed = quality.is_none_or(|q| q.trim().parse::<f64>().is_ok_and(|q| q > 0.0));
        match name.trim() {
            "*" => by_star = Some(allowed),
            name if name.eq_ignore_ascii_case(compression.name()) => by_name = Some(allowed),
            _ => {}
        }
    }
    // Not encoding at all is always allowed where nobody forbids it.
    by_name.or(by_star).unwrap_or(compression == Compression::Identity)
}

/// Nothing, as an empty text, is written where templates make the file.
fn compression<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Compression>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    match text.as_deref().unwrap_or_default() {
        "" => Ok(None),
        text => Compression::deserialize(text.into_deserializer()).map(Some),
    }
}

/// The section as it is written: the client's keys stand among the prober's, and strictness needs them in one place.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Yaml {
    valid_status_codes: Vec<u16>,
    valid_http_versions: Vec<String>,
    preferred_ip_protocol: Family,
    ip_protocol_fallback: bool,
    skip_resolve_phase_with_proxy: bool,
    /// The older, inverse name of `follow_redirects`.
    no_follow_redirects: Option<bool>,
    fail_if_ssl: bool,
    fail_if_not_ssl: bool,
    method: String,
    #[serde(deserialize_with = "or_default")]
    headers: BTreeMap<String, String>,
    fail_if_body_matches_regexp: Vec<Pattern>,
    fail_if_body_not_matches_regexp: Vec<Pattern>,
    fail_if_body_json_matches_cel: Option<CelProgram>,
    fail_if_body_json_not_matches_cel: Option<CelProgram>,
    fail_if_header_matches: Vec<HeaderMatcher>,
    fail_if_header_not_matches: Vec<HeaderMatcher>,
    body: String,
    body_file: Option<PathBuf>,
    #[serde(deserialize_with = "compression")]
    compression: Option<Compression>,
    body_size_limit: Base2Bytes,
    basic_auth: Option<BasicAuth>,
    authorization: Option<Authorization>,
    oauth2: Option<Box<OAuth2Config>>,
    bearer_token: Secret,
    bearer_token_file: Option<PathBuf>,
    proxy_url: String,
    no_proxy: String,
    proxy_from_environment: bool,
    #[serde(deserialize_with = "or_default")]
    proxy_connect_header: BTreeMap<String, Vec<Secret>>,
    #[serde(deserialize_with = "or_default")]
    tls_config: TlsConfig,
    follow_redirects: bool,
    enable_http2: bool,
    enable_http3: bool,
    #[serde(deserialize_with = "or_default")]
    http_headers: BTreeMap<String, HeaderValues>,
}

impl Default for Yaml {
    fn default() -> Self {
        Self {
            valid_status_codes: Vec::new(),
            valid_http_versions: Vec::new(),
            preferred_ip_protocol: Family::default(),
            ip_protocol_fallback: true,
            skip_resolve_phase_with_proxy: false,
            no_follow_redirects: None,
            fail_if_ssl: false,
            fail_if_not_ssl: false,
            method: "GET".to_owned(),
            headers: BTreeMap::new(),
            fail_if_body_matches_regexp: Vec::new(),
            fail_if_body_not_matches_regexp: Vec::new(),
            fail_if_body_json_matches_cel: None,
            fail_if_body_json_not_matches_cel: None,
            fail_if_header_matches: Vec::new(),
            fail_if_header_not_matches: Vec::new(),
            body: String::new(),
            body_file: None,
            compression: None,
            body_size_limit: Base2Bytes::default(),
            basic_auth: None,
            authorization: None,
            oauth2: None,
            bearer_token: Secret::default(),
            bearer_token_file: None,
            proxy_url: String::new(),
            no_proxy: String::new(),
            proxy_from_environment: false,
            proxy_connect_header: BTreeMap::new(),
            tls_config: TlsConfig::default(),
            follow_redirects: true,
            enable_http2: true,
            enable_http3: false,
            http_headers: BTreeMap::new(),
        }
    }
}

impl From<Yaml> for HttpConfig {
    fn from(yaml: Yaml) -> Self {
        let method = if yaml.method.is_empty() { "GET".to_owned() } else { yaml.method };
        Self {
            valid_status_codes: yaml.valid_status_codes,
            valid_http_versions: yaml.valid_http_versions,
            preferred_ip_protocol: yaml.preferred_ip_protocol,
            ip_protocol_fallback: yaml.ip_protocol_fallback,
            skip_resolve_phase_with_proxy: yaml.skip_resolve_phase_with_proxy,
            fail_if_ssl: yaml.fail_if_ssl,
            fail_if_not_ssl: yaml.fail_if_not_ssl,
            method,
            headers: yaml.headers,
            fail_if_body_matches_regexp: yaml.fail_if_body_matches_regexp,
            fail_if_body_not_matches_regexp: yaml.fail_if_body_not_matches_regexp,
            fail_if_body_json_matches_cel: yaml.fail_if_body_json_matches_cel,
            fail_if_body_json_not_matches_cel: yaml.fail_if_body_json_not_matches_cel,
            fail_if_header_matches: yaml.fail_if_header_matches,
            fail_if_header_not_matches: yaml.fail_if_header_not_matches,
            body: yaml.body,
            body_file: yaml.body_file,
            compression: yaml.compression,
            body_size_limit: yaml.body_size_limit,
            enable_http3: yaml.enable_http3,
            client: ClientConfig {
                basic_auth: yaml.basic_auth,
                authorization: yaml.authorization,
                oauth2: yaml.oauth2,
                bearer_token: yaml.bearer_token,
                bearer_token_file: yaml.bearer_token_file,
                proxy_url: yaml.proxy_url,
                no_proxy: yaml.no_proxy,
                proxy_from_environment: yaml.proxy_from_environment,
                proxy_connect_header: yaml.proxy_connect_header,
                tls_config: yaml.tls_config,
                follow_redirects: match yaml.no_follow_redirects {
                    Some(no) => !no,
                    None => yaml.follow_redirects,
                },
                enable_http2: yaml.enable_http2,
                http_headers: yaml.http_headers,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_encoding_and_compression_must_agree() {
        for (header, compression, expected) in [
            ("gzip", Compression::Gzip, true),
            ("deflate", Compression::Gzip, false),
            ("gzip;q=0", Compression::Gzip, false),
            ("br, gzip;q=0.5", Compression::Gzip, true),
            ("*", Compression::Br, true),
            ("*;q=0, br", Compression::Br, true),
            ("*;q=0", Compression::Identity, false),
            ("gzip", Compression::Identity, true),
            ("identity;q=0", Compression::Identity, false),
        ] {
            assert_eq!(accepts(header, compression), expected, "{header} {compression:?}");
        }
    }
}

//! How an HTTP client introduces itself and by which way it goes: the part of the schema that comes from
//! `prometheus/common` and is the same for all HTTP-like probers.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{Secret, TlsConfig, is_default};

/// Authentication, proxy, TLS and redirects.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientConfig {
    #[serde(skip_serializing_if = "is_default")]
    pub basic_auth: Option<BasicAuth>,
    #[serde(skip_serializing_if = "is_default")]
    pub authorization: Option<Authorization>,
    #[serde(skip_serializing_if = "is_default")]
    pub oauth2: Option<Box<OAuth2Config>>,
    #[serde(skip_serializing_if = "is_default")]
    pub bearer_token: Secret,
    #[serde(skip_serializing_if = "is_default")]
    pub bearer_token_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "is_default")]
    pub proxy_url: String,
    /// Hosts that are reached without the proxy, separated by commas.
    #[serde(skip_serializing_if = "is_default")]
    pub no_proxy: String,
    #[serde(skip_serializing_if = "is_default")]
    pub proxy_from_environment: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub proxy_connect_header: BTreeMap<String, Vec<Secret>>,
    #[serde(skip_serializing_if = "is_default")]
    pub tls_config: TlsConfig,
    pub follow_redirects: bool,
    pub enable_http2: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub http_headers: BTreeMap<String, HeaderValues>,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
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
            http_headers: BTreeMap::new(),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct BasicAuth {
    #[serde(skip_serializing_if = "is_default")]
    pub username: String,
    #[serde(skip_serializing_if = "is_default")]
    pub username_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "is_default")]
    pub password: Secret,
    #[serde(skip_serializing_if = "is_default")]
    pub password_file: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Authorization {
    /// `Bearer` where it is empty.
    #[serde(rename = "type", skip_serializing_if = "is_default")]
    pub kind: String,
    #[serde(skip_serializing_if = "is_default")]
    pub credentials: Secret,
    #[serde(skip_serializing_if = "is_default")]
    pub credentials_file: Option<PathBuf>,
}

/// The client-credentials grant of OAuth 2.0.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct OAuth2Config {
    pub client_id: String,
    #[serde(skip_serializing_if = "is_default")]
    pub client_secret: Secret,
    #[serde(skip_serializing_if = "is_default")]
    pub client_secret_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "is_default")]
    pub scopes: Vec<String>,
    pub token_url: String,
    #[serde(skip_serializing_if = "is_default")]
    pub endpoint_params: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "is_default")]
    pub tls_config: TlsConfig,
    #[serde(skip_serializing_if = "is_default")]
    pub proxy_url: String,
    #[serde(skip_serializing_if = "is_default")]
    pub no_proxy: String,
    #[serde(skip_serializing_if = "is_default")]
    pub proxy_from_environment: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub proxy_connect_header: BTreeMap<String, Vec<Secret>>,
}

/// The values of one header; where several are given the last one is sent.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct HeaderValues {
    #[serde(skip_serializing_if = "is_default")]
    pub values: Vec<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub secrets: Vec<Secret>,
    #[serde(skip_serializing_if = "is_default")]
    pub files: Vec<PathBuf>,
}

impl ClientConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        if !self.bearer_token.expose().is_empty() && self.bearer_token_file.is_some() {
            return Err(
                "at most one of bearer_token & bearer_token_file must be configured".to_owned()
            );
        }
        if let Some(basic) = &self.basic_auth {
            if !basic.username.is_empty() && basic.username_file.is_some() {
                return Err(
                    "at most one of basic_auth username & username_file must be configured"
                        .to_owned(),
                );
            }
            if !basic.password.expose().is_empty() && basic.password_file.is_some() {
                return Err(
                    "at most one of basic_auth password & password_file must be configured"
                        .to_owned(),
                );
            }
        }
        if let Some(authorization) = &self.authorization {
            if !authorization.credentials.expose().is_empty()
                && authorization.credentials_file.is_some()
            {
                return Err("at most one of authorization credentials & credentials_file must be configured".to_owned());
            }
            if authorization.kind.trim().eq_ignore_ascii_case("basic") {
                return Err(
                    "authorization type cannot be set to \"basic\", use \"basic_auth\" instead"
                        .to_owned(),
                );
            }
        }
        if let Some(oauth2) = &self.oauth2 {
            oauth2.check()?;
        }
        let bearer = !self.bearer_token.expose().is_empty() || self.bearer_token_file.is_some();
        let kinds = [
            self.basic_auth.is_some(),
            self.authorization.is_some(),
            self.oauth2.is_some(),
            bearer,
        ];
        if kinds.into_iter().filter(|set| *set).count() > 1 {
            return Err("at most one of basic_auth, authorization, oauth2, bearer_token & bearer_token_file must be configured".to_owned());
        }
        check_proxy(
            &self.proxy_url,
            &self.no_proxy,
            self.proxy_from_environment,
            &self.proxy_connect_header,
        )?;
        for name in self.http_headers.keys() {
            check_header_name(name)?;
        }
        self.tls_config.check()
    }
}

impl OAuth2Config {
    fn check(&self) -> Result<(), String> {
        if self.client_id.is_empty() {
            return Err("oauth2 client_id must be configured".to_owned());
        }
        if !self.client_secret.expose().is_empty() && self.client_secret_file.is_some() {
            return Err(
                "at most one of oauth2 client_secret & client_secret_file must be configured"
                    .to_owned(),
            );
        }
        if !matches!(url::Url::parse(&self.token_url), Ok(url) if matches!(url.scheme(), "http" | "https"))
        {
            return Err(format!(
                "oauth2 token_url `{}` is not an http or https URL",
                self.token_url
            ));
        }
        check_proxy(
            &self.proxy_url,
            &self.no_proxy,
            self.proxy_from_environment,
            &self.proxy_connect_header,
        )?;
        self.tls_config.check()
    }
}

fn check_proxy(
    url: &str,
    no_proxy: &str,
    from_environment: bool,
    connect_header: &BTreeMap<String, Vec<Secret>>,
) -> Result<(), String> {
    if from_environment && !url.is_empty() {
        return Err(
            "if proxy_from_environment is configured, proxy_url must not be configured".to_owned()
        );
    }
    if from_environment && !no_proxy.is_empty() {
        return Err(
            "if proxy_from_environment is configured, no_proxy must not be configured".to_owned()
        );
    }
    if url.is_empty() && !no_proxy.is_empty() {
        return Err("if no_proxy is configured, proxy_url must also be configured".to_owned());
    }
    if !connect_header.is_empty() && !from_environment && url.is_empty() {
        return Err("if proxy_connect_header is configured, proxy_url or proxy_from_environment must also be configured".to_owned());
    }
    if !url.is_empty()
        && !matches!(url::Url::parse(url), Ok(parsed) if parsed.scheme() == "http" && parsed.has_host())
    {
        return Err("proxy_url must be an http:// URL with a host".to_owned());
    }
    connect_header.keys().try_for_each(|name| check_header_name(name))
}

pub(super) fn check_header_name(name: &str) -> Result<(), String> {
    match http::HeaderName::from_bytes(name.as_bytes()) {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("`{name}` is not the name of a header")),
    }
}

pub(super) fn check_label_name(name: &str) -> Result<(), String> {
    let first_is_good = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if first_is_good && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Ok(());
    }
    Err(format!("`{name}` is not the name of a label"))
}

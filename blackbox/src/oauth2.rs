//! The client-credentials grant of OAuth 2.0 (<https://www.rfc-editor.org/rfc/rfc6749#section-4.4>): a token for one
//! probe.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use url::Url;

use crate::{
    config::{ClientConfig, OAuth2Config},
    dial::{Family, Preference, Resolution},
    failure::{Failure, Phase, Reason},
    probe::{Context, http::basic_value},
    secret_file,
    wire::{Exchange, Route, Unmeasured, Wire},
};

/// Longest answer of a token endpoint, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;

#[derive(Deserialize)]
struct Token {
    access_token: String,
}

pub(crate) async fn fetch(config: &OAuth2Config, ctx: &Context<'_>) -> Result<String, Failure> {
    let client = ClientConfig {
        proxy_url: config.proxy_url.clone(),
        no_proxy: config.no_proxy.clone(),
        proxy_from_environment: config.proxy_from_environment,
        proxy_connect_header: config.proxy_connect_header.clone(),
        tls_config: config.tls_config.clone(),
        ..ClientConfig::default()
    };
    let wire = Wire::new(&client, ctx)?;
    let url = Url::parse(&config.token_url).map_err(|err| failed(&err.to_string()))?;
    let host = url.host_str().unwrap_or_default().to_owned();
    let address = match wire.route(&url)? {
        Route::Proxy(_) => None,
        Route::Direct => {
            let preference = Preference { family: Family::default(), fallback: true };
            // The endpoint is the operator's own, as the module is: only targets are guarded.
            let mut resolution = Resolution::default();
            let ip = ctx.unguarded_names().resolve(&host, preference, &mut resolution).await?;
            Some(SocketAddr::new(ip, url.port_or_known_default().unwrap_or(443)))
        }
    };
    let secret =
        secret_file::or_text(config.client_secret_file.as_deref(), config.client_secret.expose())
            .await?;
    let exchange = Exchange {
        headers: headers(&config.client_id, &secret)?,
        method: Method::POST,
        host_header: None,
        body: form(config),
        address,
        proxy_by_address: false,
        is_pinned: false,
        server_name: match config.tls_config.server_name.as_str() {
            "" => host,
            name => name.to_owned(),
        },
        url,
    };
    ctx.log.info("Fetching OAuth2 token", &[("token_url", &config.token_url)]);
    let answer = wire.send(exchange, &mut Unmeasured::default()).await?;
    let (head, body) = answer.response.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX)
        .collect()
        .await
        .map_err(|err| failed(&err.to_string()))?;
    if !head.status.is_success() {
        return Err(failed(&format!("the endpoint answered {}", head.status)));
    }
    let token: Token = serde_json::from_slice(&body.to_bytes())
        .map_err(|_| failed("the endpoint's answer holds no access_token"))?;
    Ok(token.access_token)
}

fn headers(client_id: &str, secret: &str) -> Result<HeaderMap, Failure> {
    let encoded =
        |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let mut authorization =
        HeaderValue::from_str(&basic_value(&encoded(client_id), &encoded(secret)))
            .map_err(|_| failed("the client's credentials cannot be sent"))?;
    authorization.set_sensitive(true);
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, authorization);
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/x-www-form-urlencoded"),
    );
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    Ok(headers)
}

fn form(config: &OAuth2Config) -> Bytes {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    if !config.scopes.is_empty() {
        form.append_pair("scope", &config.scopes.join(" "));
    }
    for (name, value) in &config.endpoint_params {
        form.append_pair(name, value);
    }
    Bytes::from(form.finish().into_bytes())
}

fn failed(why: &str) -> Failure {
    Failure::new(Phase::Setup, Reason::Token, format!("Getting an OAuth2 token failed: {why}"))
}

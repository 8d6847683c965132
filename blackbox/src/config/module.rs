//! A module as it is written: either with a `prober` and its section, or as `json_exporter` has it, all keys at the top.

use serde::Deserialize;

use super::{
    ClientConfig, DnsConfig, GoDuration, GrpcConfig, HttpConfig, IcmpConfig, JsonBody, JsonConfig,
    JsonMetric, Module, Prober, Resolver, TcpConfig, UnixConfig, or_default,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Yaml {
    prober: Option<Prober>,
    #[serde(default, deserialize_with = "or_default")]
    timeout: GoDuration,
    #[serde(default, deserialize_with = "or_default")]
    resolver: Resolver,
    #[serde(default, deserialize_with = "or_default")]
    http: HttpConfig,
    #[serde(default, deserialize_with = "or_default")]
    tcp: TcpConfig,
    #[serde(default, deserialize_with = "or_default")]
    unix: UnixConfig,
    #[serde(default, deserialize_with = "or_default")]
    icmp: IcmpConfig,
    #[serde(default, deserialize_with = "or_default")]
    grpc: GrpcConfig,
    dns: Option<DnsConfig>,
    json: Option<JsonConfig>,
    // The keys of `json_exporter`'s modules.
    headers: Option<std::collections::BTreeMap<String, String>>,
    metrics: Option<Vec<JsonMetric>>,
    http_client_config: Option<ClientConfig>,
    body: Option<JsonBody>,
    valid_status_codes: Option<Vec<u16>>,
}

impl TryFrom<Yaml> for Module {
    type Error = String;

    fn try_from(yaml: Yaml) -> Result<Self, String> {
        let has_top_keys = yaml.headers.is_some()
            || yaml.metrics.is_some()
            || yaml.http_client_config.is_some()
            || yaml.body.is_some()
            || yaml.valid_status_codes.is_some();
        let (prober, json) = match (yaml.prober, yaml.json) {
            (None | Some(Prober::Json), None) if yaml.metrics.is_some() => {
                let defaults = JsonConfig::default();
                let json = JsonConfig {
                    headers: yaml.headers.unwrap_or_default(),
                    metrics: yaml.metrics.unwrap_or_default(),
                    http_client_config: yaml.http_client_config.unwrap_or_default(),
                    body: yaml.body.unwrap_or_default(),
                    valid_status_codes: yaml.valid_status_codes.unwrap_or_default(),
                    ..defaults
                };
                (Prober::Json, json)
            }
            (Some(_), _) if has_top_keys => {
                return Err("headers, metrics, http_client_config, body and valid_status_codes \
                            stand in the section of the prober"
                    .to_owned());
            }
            (Some(prober), json) => (prober, json.unwrap_or_default()),
            (None, _) => return Err("the key `prober` is missing".to_owned()),
        };
        Ok(Self {
            prober,
            timeout: yaml.timeout,
            resolver: yaml.resolver,
            http: yaml.http,
            tcp: yaml.tcp,
            unix: yaml.unix,
            icmp: yaml.icmp,
            grpc: yaml.grpc,
            json,
            dns: yaml.dns,
        })
    }
}

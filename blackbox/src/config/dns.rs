//! The `dns:` section.

use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serialize};

use super::{Pattern, TlsConfig, is_default, or_default};
use crate::{
    dial::Family,
    dns::codes::{self, Code},
};

/// What is asked, and what the answer must hold.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct DnsConfig {
    pub preferred_ip_protocol: Family,
    pub ip_protocol_fallback: bool,
    #[serde(skip_serializing_if = "is_default")]
    pub source_ip_address: Option<IpAddr>,
    pub dns_over_tls: bool,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub tls_config: TlsConfig,
    #[serde(rename = "transport_protocol")]
    pub transport: Transport,
    pub query_class: QueryClass,
    pub query_name: String,
    pub query_type: QueryType,
    pub recursion_desired: bool,
    /// Empty: `NOERROR`.
    #[serde(skip_serializing_if = "is_default")]
    pub valid_rcodes: Vec<String>,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub validate_answer_rrs: RecordRules,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub validate_authority_rrs: RecordRules,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub validate_additional_rrs: RecordRules,
}

impl Default for DnsConfig {
    fn default() -> Self {
        Self {
            preferred_ip_protocol: Family::default(),
            ip_protocol_fallback: true,
            source_ip_address: None,
            dns_over_tls: false,
            tls_config: TlsConfig::default(),
            transport: Transport::default(),
            query_class: QueryClass(codes::CLASSES[0]),
            query_name: String::new(),
            query_type: QueryType(codes::ANY),
            recursion_desired: true,
            valid_rcodes: Vec::new(),
            validate_answer_rrs: RecordRules::default(),
            validate_authority_rrs: RecordRules::default(),
            validate_additional_rrs: RecordRules::default(),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    #[default]
    #[serde(alias = "")]
    Udp,
    Tcp,
}

/// Rules about the records of one section, each record being one line of text.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecordRules {
    /// Some record matches one of these.
    #[serde(skip_serializing_if = "is_default")]
    pub fail_if_matches_regexp: Vec<Pattern>,
    /// In spite of its name, as in the original: some record does *not* match one of these.
    #[serde(skip_serializing_if = "is_default")]
    pub fail_if_all_match_regexp: Vec<Pattern>,
    /// Some record does not match one of these, or there are no records.
    #[serde(skip_serializing_if = "is_default")]
    pub fail_if_not_matches_regexp: Vec<Pattern>,
    /// No record matches any of these.
    #[serde(skip_serializing_if = "is_default")]
    pub fail_if_none_matches_regexp: Vec<Pattern>,
    /// There are records, and all of them match one of these: what `fail_if_all_match_regexp` sounds like.
    #[serde(skip_serializing_if = "is_default")]
    pub fail_if_every_rr_matches_regexp: Vec<Pattern>,
}

macro_rules! named_code {
    ($(#[doc = $doc:literal])+ $name:ident, $table:expr, $what:literal) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name(pub(crate) Code);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let name = String::deserialize(deserializer)?;
                codes::by_name($table, &name).map(Self).ok_or_else(|| {
                    serde::de::Error::custom(format!(concat!("query ", $what, " '{}' is not valid"), name))
                })
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.0.name)
            }
        }
    };
}

named_code!(
    /// A type of records, such as `A`.
    QueryType, codes::TYPES, "type");
named_code!(
    /// A class of records: `IN`, or `CH` for what servers tell of themselves.
    QueryClass, codes::CLASSES, "class");

impl DnsConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        if self.query_name.is_empty() {
            return Err("query name must be set for DNS module".to_owned());
        }
        if self.dns_over_tls && self.transport != Transport::Tcp {
            return Err("dns_over_tls needs transport_protocol: tcp".to_owned());
        }
        crate::dns::check_name(&self.query_name)?;
        for rcode in &self.valid_rcodes {
            if codes::by_name(codes::RCODES, rcode).is_none() {
                return Err(format!("valid_rcodes: '{rcode}' is not a response code"));
            }
        }
        self.tls_config.check()
    }
}

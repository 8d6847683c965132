//! Which configurations load: `--config.check` there, and the same file here.

use std::{path::Path, process::Command};

use blackbox::Config;

use super::{Found, Table, compare::Difference, reasons};

/// Each is all of a `modules:` map.
const FILES: &[&str] = &[
    "{m: {prober: http}}",
    "{m: {prober: http, timeout: 5s, http: }}",
    "{m: {prober: http, timeout: 1m30s}}",
    "{m: {prober: http, timeout: 5}}",
    "{m: {prober: http, timeout: 1.5s}}",
    "{m: {prober: http, timeout: \"\"}}",
    "{m: {prober: http, timeout: -1s}}",
    "{m: {prober: http, timeout: 1d}}",
    "{m: {prober: HTTP}}",
    "{m: {prober: htpt}}",
    "{m: {}}",
    "{m: }",
    "{}",
    "{m: {prober: http, nothing: 1}}",
    "{m: {prober: http, http: {nothing: 1}}}",
    "{m: {prober: http, http: {valid_status_codes: []}}}",
    "{m: {prober: http, http: {valid_status_codes: 200}}}",
    "{m: {prober: http, http: {valid_status_codes: [2xx]}}}",
    "{m: {prober: http, http: {valid_status_codes: [-1]}}}",
    "{m: {prober: http, http: {valid_http_versions: [HTTP/9]}}}",
    "{m: {prober: http, http: {method: get}}}",
    "{m: {prober: http, http: {method: \"G T\"}}}",
    "{m: {prober: http, http: {headers: {A: 1}}}}",
    "{m: {prober: http, http: {headers: {A: true}}}}",
    "{m: {prober: http, http: {headers: {\"A B\": x}}}}",
    "{m: {prober: http, http: {headers: {A: \"x\\ny\"}}}}",
    "{m: {prober: http, http: {headers: }}}",
    "{m: {prober: http, http: {body: 5}}}",
    "{m: {prober: http, http: {body_size_limit: 10MB}}}",
    "{m: {prober: http, http: {body_size_limit: 10}}}",
    "{m: {prober: http, http: {body_size_limit: 1.5KB}}}",
    "{m: {prober: http, http: {body_size_limit: 1KiB}}}",
    "{m: {prober: http, http: {body_size_limit: -1}}}",
    "{m: {prober: http, http: {body_size_limit: big}}}",
    "{m: {prober: http, http: {compression: gzip}}}",
    "{m: {prober: http, http: {compression: \"\"}}}",
    "{m: {prober: http, http: {compression: zstd}}}",
    "{m: {prober: http, http: {compression: gzip, headers: {accept-encoding: deflate}}}}",
    "{m: {prober: http, http: {compression: gzip, headers: {accept-encoding: \"gzip;q=0.0\"}}}}",
    "{m: {prober: http, http: {compression: gzip, headers: {accept-encoding: \"*;q=0.1\"}}}}",
    "{m: {prober: http, http: {follow_redirects: yes}}}",
    "{m: {prober: http, http: {no_follow_redirects: true}}}",
    "{m: {prober: http, http: {fail_if_body_matches_regexp: [\":[\"]}}}",
    "{m: {prober: http, http: {fail_if_body_matches_regexp: \"a\"}}}",
    "{m: {prober: http, http: {fail_if_body_matches_regexp: [\"a{1001}\"]}}}",
    "{m: {prober: http, http: {fail_if_body_matches_regexp: [\"(?=a)\"]}}}",
    "{m: {prober: http, http: {fail_if_body_matches_regexp: [\"\"]}}}",
    "{m: {prober: http, http: {fail_if_header_matches: [{header: A, regexp: b}]}}}",
    "{m: {prober: http, http: {fail_if_header_matches: [{header: A}]}}}",
    "{m: {prober: http, http: {fail_if_header_matches: [{regexp: b}]}}}",
    "{m: {prober: http, http: {fail_if_header_matches: [{header: \"A B\", regexp: b}]}}}",
    "{m: {prober: http, http: {preferred_ip_protocol: ip4}}}",
    "{m: {prober: http, http: {preferred_ip_protocol: \"\"}}}",
    "{m: {prober: http, http: {preferred_ip_protocol: ip5}}}",
    "{m: {prober: http, http: {tls_config: {insecure_skip_verify: true}}}}",
    "{m: {prober: http, http: {tls_config: {ca_file: /none}}}}",
    "{m: {prober: http, http: {tls_config: {cert_file: /none}}}}",
    "{m: {prober: http, http: {tls_config: {min_version: TLS10}}}}",
    "{m: {prober: http, http: {tls_config: {min_version: TLS14}}}}",
    "{m: {prober: http, http: {tls_config: {max_version: TLS11}}}}",
    "{m: {prober: http, http: {tls_config: {max_version: TLS12}}}}",
    "{m: {prober: http, http: {tls_config: {min_version: TLS13, max_version: TLS12}}}}",
    "{m: {prober: http, http: {tls_config: }}}",
    "{m: {prober: http, http: {basic_auth: {username: a, password: b}}}}",
    "{m: {prober: http, http: {basic_auth: {username: a, password: b, password_file: c}}}}",
    "{m: {prober: http, http: {basic_auth: {username: a, username_file: c}}}}",
    "{m: {prober: http, http: {bearer_token: a, bearer_token_file: b}}}",
    "{m: {prober: http, http: {bearer_token: a, basic_auth: {username: a}}}}",
    "{m: {prober: http, http: {authorization: {credentials: a}}}}",
    "{m: {prober: http, http: {authorization: {type: Basic, credentials: a}}}}",
    "{m: {prober: http, http: {authorization: {credentials: a}, basic_auth: {username: a}}}}",
    "{m: {prober: http, http: {authorization: {credentials: a, credentials_file: b}}}}",
    "{m: {prober: http, http: {oauth2: {client_id: a, client_secret: b, token_url: \"http://x/\"}}}}",
    "{m: {prober: http, http: {oauth2: {client_secret: b, token_url: \"http://x/\"}}}}",
    "{m: {prober: http, http: {oauth2: {client_id: a, client_secret: b}}}}",
    "{m: {prober: http, http: {proxy_url: \"http://p:3128\"}}}",
    "{m: {prober: http, http: {proxy_url: \"https://p:3128\"}}}",
    "{m: {prober: http, http: {proxy_url: \"socks5://p:1080\"}}}",
    "{m: {prober: http, http: {proxy_url: p}}}",
    "{m: {prober: http, http: {no_proxy: a}}}",
    "{m: {prober: http, http: {proxy_from_environment: true}}}",
    "{m: {prober: http, http: {enable_http2: false}}}",
    "{m: {prober: http, http: {skip_resolve_phase_with_proxy: true}}}",
    "{m: {prober: http, http: {body_file: /x}}}",
    "{m: {prober: http, http: {http_headers: {A: {values: [b]}}}}}",
    "{m: {prober: http, http: {fail_if_body_json_matches_cel: \"body.a == 1\"}}}",
    "{m: {prober: http, http: {enable_http3: true, enable_http2: false}}}",
    "{m: {prober: tcp}}",
    "{m: {prober: tcp, tcp: {query_response: [{expect: \"^a\", send: b, starttls: true}]}}}",
    "{m: {prober: tcp, tcp: {query_response: [{expect: \"[\"}]}}}",
    "{m: {prober: tcp, tcp: {query_response: [{expcet: a}]}}}",
    "{m: {prober: tcp, tcp: {query_response: [{expect: a, labels: [{name: b, value: c}]}]}}}",
    "{m: {prober: tcp, tcp: {query_response: [{expect_bytes: a}]}}}",
    "{m: {prober: tcp, tcp: {source_ip_address: 127.0.0.1}}}",
    "{m: {prober: tcp, tcp: {source_ip_address: nothing}}}",
    "{m: {prober: tcp, tcp: {tls: true, tls_config: {server_name: a}}}}",
    "{m: {prober: dns, dns: {query_name: a}}}",
    "{m: {prober: dns}}",
    "{m: {prober: dns, dns: {query_type: A}}}",
    "{m: {prober: dns, dns: {query_name: a, query_type: NOTHING}}}",
    "{m: {prober: dns, dns: {query_name: a, query_type: a}}}",
    "{m: {prober: dns, dns: {query_name: a, query_type: HTTPS}}}",
    "{m: {prober: dns, dns: {query_name: a, query_type: TYPE65}}}",
    "{m: {prober: dns, dns: {query_name: a, query_class: CH}}}",
    "{m: {prober: dns, dns: {query_name: a, query_class: X}}}",
    "{m: {prober: dns, dns: {query_name: a, transport_protocol: tcp}}}",
    "{m: {prober: dns, dns: {query_name: a, transport_protocol: sctp}}}",
    "{m: {prober: dns, dns: {query_name: a, dns_over_tls: true, transport_protocol: tcp}}}",
    "{m: {prober: dns, dns: {query_name: a, dns_over_tls: true}}}",
    "{m: {prober: dns, dns: {query_name: a, valid_rcodes: [NOTHING]}}}",
    "{m: {prober: dns, dns: {query_name: a, recursion_desired: false}}}",
    "{m: {prober: dns, dns: {query_name: a, validate_answer_rrs: {fail_if_matches_regexp: [\"a\"]}}}}",
    "{m: {prober: dns, dns: {query_name: a, validate_answer_rrs: {fail_if_matches_regexp: [\"[\"]}}}}",
    "{m: {prober: dns, dns: {query_name: a, validate_answer: {fail_if_matches_regexp: [a]}}}}",
    "{m: {prober: icmp}}",
    "{m: {prober: icmp, icmp: {ttl: 0}}}",
    "{m: {prober: icmp, icmp: {ttl: 255}}}",
    "{m: {prober: icmp, icmp: {ttl: 256}}}",
    "{m: {prober: icmp, icmp: {ttl: -1}}}",
    "{m: {prober: icmp, icmp: {payload_size: 70000}}}",
    "{m: {prober: icmp, icmp: {dont_fragment: true}}}",
    "{m: {prober: icmp, icmp: {count: 3}}}",
    "{m: {prober: grpc}}",
    "{m: {prober: grpc, grpc: {service: a, tls: true}}}",
    "{m: {prober: grpc, grpc: {metadata: {a: [b]}}}}",
    "{m: {prober: unix}}",
    "{m: {prober: websocket}}",
];

fn loads_there(yaml: &str) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("blackbox.yml");
    std::fs::write(&file, yaml).unwrap();
    let output = Command::new("prometheus-blackbox-exporter")
        .arg(format!("--config.file={}", file.display()))
        .arg("--config.check")
        .output();
    output.expect("the caller knows that it is there").status.success()
}

pub(super) fn compared() -> Table {
    let mut found = Found::new();
    for modules in FILES {
        let yaml = format!("modules: {modules}\n");
        let here = Config::parse(&yaml, Path::new("blackbox.yml")).is_ok();
        let there = loads_there(&yaml);
        if here != there {
            let what = if here { "loads only here" } else { "loads only there" };
            let difference = Difference { subject: String::new(), what: what.to_owned() };
            found.entry(difference).or_default().push((*modules).to_owned());
        }
    }
    let about = format!("{} files, by `--config.check` there.\n", FILES.len());
    Table { title: "Configuration", about, found, reasons: reasons::FILES, named_max: usize::MAX }
}

//! Which files load, and how wrong ones are refused.

use super::*;

fn parse(yaml: &str) -> Result<Config, String> {
    Config::parse(yaml, Path::new("blackbox.yml")).map_err(|err| err.to_string())
}

fn http(section: &str) -> String {
    format!("modules:\n  m:\n    prober: http\n    http:\n{section}")
}

#[test]
fn the_built_in_modules_load_and_show_their_defaults() {
    let config = Config::built_in();
    assert_eq!(config.modules["http_2xx"].prober, Prober::Http);
    assert_eq!(config.modules["http_post_2xx"].http.method, "POST");
    let shown = config.to_yaml();
    assert!(shown.contains("follow_redirects: true"), "{shown}");
    assert!(shown.contains("preferred_ip_protocol: ip6"), "{shown}");
    assert_eq!(parse(&shown).unwrap(), config, "{shown}");
}

#[test]
fn secrets_are_hidden() {
    let config = parse(&http(
        "      basic_auth: {username: u, password: mysecret}\n      http_headers: {X-Key: {secrets: [mysecret]}}\n      \
         proxy_url: http://p:1\n      proxy_connect_header: {A: [mysecret]}\n",
    ))
    .unwrap();
    let shown = config.to_yaml();
    assert!(!shown.contains("mysecret") && shown.contains("<secret>"), "{shown}");
    assert!(!format!("{config:?}").contains("mysecret"));
}

#[test]
fn good_files() {
    for yaml in [
        "",
        "modules: {}",
        "modules:",
        "modules: {m: {prober: http, http: }}",
        "modules: {m: {prober: http, timeout: 5s, http: {valid_http_versions: [HTTP/1.1], headers: {Host: a, X: \"1\"}}}}",
        &http("      no_follow_redirects: true\n"),
        &http("      tls_config: {insecure_skip_verify: true, min_version: TLS10}\n"),
        &http(
            "      body_size_limit: 10MB\n      compression: gzip\n      headers: {accept-encoding: \"gzip, br;q=0\"}\n",
        ),
        &http(
            "      fail_if_header_matches: [{header: X, regexp: \"a\\\\d\", allow_missing: true}]\n",
        ),
        "modules: {m: {prober: dns, dns: {query_name: example.com, transport_protocol: tcp, dns_over_tls: true}}}",
        "modules: {m: {metrics: [{name: a, path: \"{.a}\"}]}}",
        "modules: {m: {prober: http, resolver: 192.0.2.1}, n: {prober: tcp, resolver: [\"[::1]:54\"]}}",
        "modules: {m: {prober: grpc}, n: {prober: icmp, icmp: }, o: {prober: unix}}",
        "modules:\n  a: &a\n    prober: http\n    http: {method: HEAD}\n  b: *a\n",
    ] {
        if let Err(err) = parse(yaml) {
            panic!("{yaml}\n{err}");
        }
    }
    let old =
        parse(&http("      no_follow_redirects: true\n      follow_redirects: true\n")).unwrap();
    assert!(!old.modules["m"].http.client.follow_redirects);
}

#[test]
fn wrong_files_say_why() {
    for (yaml, expected) in [
        ("modules: {m: {prober: htpt}}", "prober 'htpt' is not valid"),
        ("modules: {m: {}}", "the key `prober` is missing"),
        ("mods: {}", "unknown key `mods`"),
        ("modules: {m: {prober: http, tiemout: 5s}}", "did you mean `timeout`"),
        ("modules: {m: {prober: http, timeout: soon}}", "`soon` is not a duration"),
        (&http("      valid_status: [200]\n"), "unknown key `valid_status`"),
        (
            &http("      fail_if_body_matches_regexp: [\":[\"]\n"),
            "\"Could not compile regular expression\" regexp=\":[\"",
        ),
        (
            &http("      fail_if_header_matches: [{regexp: a}]\n"),
            "header name must be set for HTTP header matchers",
        ),
        (
            &http("      fail_if_header_matches: [{header: a}]\n"),
            "regexp must be set for HTTP header matchers",
        ),
        (
            &http("      compression: gzip\n      headers: {Accept-Encoding: deflate}\n"),
            "invalid configuration \"Accept-Encoding: deflate\", \"compression: gzip\"",
        ),
        (
            &http("      body: a\n      body_file: b\n"),
            "setting body and body_file both are not allowed",
        ),
        (
            &http("      bearer_token: a\n      bearer_token_file: b\n"),
            "at most one of bearer_token & bearer_token_file must be configured",
        ),
        (
            &http("      bearer_token: a\n      basic_auth: {username: u}\n"),
            "at most one of basic_auth, authorization, oauth2, bearer_token",
        ),
        (
            &http("      no_proxy: a\n"),
            "if no_proxy is configured, proxy_url must also be configured",
        ),
        (&http("      preferred_ip_protocol: ip5\n"), "did you mean `ip6`"),
        (&http("      tls_config: {max_version: TLS11}\n"), "TLS 1.0 and 1.1 are not spoken"),
        (&http("      tls_config: {cert_file: a}\n"), "exactly one of key or key_file"),
        (&http("      oauth2: {token_url: http://x/}\n"), "oauth2 client_id must be configured"),
        (&http("      method: \"G T\"\n"), "cannot be sent"),
        ("modules: {m: {prober: dns}}", "query name must be set for DNS module"),
        (
            "modules: {m: {prober: dns, dns: {query_type: A}}}",
            "query name must be set for DNS module",
        ),
        (
            "modules: {m: {prober: dns, dns: {query_name: a, query_class: X}}}",
            "query class 'X' is not valid",
        ),
        (
            "modules: {m: {prober: dns, dns: {query_name: a, query_type: X}}}",
            "query type 'X' is not valid",
        ),
        (
            "modules: {m: {prober: dns, dns: {query_name: a, dns_over_tls: true}}}",
            "dns_over_tls needs transport_protocol: tcp",
        ),
        (
            "modules: {m: {prober: dns, dns: {query_name: a, valid_rcodes: [OK]}}}",
            "'OK' is not a response code",
        ),
        ("modules: {m: {prober: icmp, icmp: {ttl: -1}}}", "\"ttl\" cannot be negative"),
        ("modules: {m: {prober: icmp, icmp: {ttl: 256}}}", "\"ttl\" cannot exceed 255"),
        (
            "modules: {m: {prober: icmp, icmp: {payload_size: 70000}}}",
            "\"payload_size\" cannot exceed 65507",
        ),
        (
            "modules: {m: {prober: tcp, tcp: {query_response: [{expect: a, expect_bytes: b}]}}}",
            "expect and expect_bytes are mutually exclusive",
        ),
        (
            "modules: {m: {prober: tcp, tcp: {query_response: [{expect: a, labels: [{name: 1x, value: a}]}]}}}",
            "`1x` is not the name of a label",
        ),
        (
            "modules: {m: {prober: grpc, grpc: {metadata: {grpc-timeout: [1S]}}}}",
            "belong to the protocol",
        ),
        (
            "modules: {m: {prober: http, http: {fail_if_body_json_matches_cel: \"x.y\"}}}",
            "\"Could not compile CEL program\" expression=\"x.y\"",
        ),
        (
            "modules: {m: {prober: http, resolver: dns.example}}",
            "`dns.example` is not the address of a DNS server",
        ),
        (
            "modules: {m: {prober: http, resolver: [1.1.1.1, 1.1.1.2, 1.1.1.3, 1.1.1.4]}}",
            "3 DNS servers at most",
        ),
        (
            &http("      enable_http3: true\n"),
            "when enable_http3 is true, enable_http2 must be set to false",
        ),
        (
            &http(
                "      enable_http3: true\n      enable_http2: false\n      valid_http_versions: [HTTP/2.0]\n",
            ),
            "only HTTP/3.0 is allowed when enable_http3 is true",
        ),
        (
            &http("      valid_http_versions: [HTTP/3.0]\n"),
            "HTTP/3 cannot be used as a valid HTTP version when enable_http3 is false",
        ),
        (
            &http(
                "      enable_http3: true\n      enable_http2: false\n      proxy_url: \"http://p\"\n",
            ),
            "HTTP/3 cannot go through a proxy",
        ),
        ("modules: {m: {prober: json}}", "a json module needs metrics"),
        (
            "modules: {m: {metrics: [{name: probe_success, path: \"{.a}\"}]}}",
            "names that begin with probe_",
        ),
        ("modules: {m: {metrics: [{name: a, path: \"{range .a}\"}]}}", "expected a path"),
        (
            "modules: {m: {metrics: [{name: a, type: object, path: \"{.a}\"}]}}",
            "an object needs values",
        ),
        ("modules: {m: {prober: http}, m: {prober: http}}", "the key `m` is given twice"),
    ] {
        let err = parse(yaml).expect_err(yaml);
        assert!(err.starts_with("blackbox.yml:"), "{err}");
        assert!(err.contains(expected), "{yaml}\n{err}");
    }
}

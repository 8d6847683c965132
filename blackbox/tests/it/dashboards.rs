//! Families and labels that other people's dashboards and alerts ask for are there, in real probes: Grafana's dashboards
//! 7587 and 13659, and the usual collection of alert rules. Only their names are written down here.

use super::{
    dns,
    harness::{Prober, Samples, canned},
    tls::{self, authority},
};

/// A family, and the labels that are asked for beside those of the scrape.
type Wanted = (&'static str, &'static [&'static str]);

/// "Prometheus Blackbox Exporter".
const DASHBOARD_7587: &[Wanted] = &[
    ("probe_success", &[]),
    ("probe_duration_seconds", &[]),
    ("probe_http_duration_seconds", &["phase"]),
    ("probe_http_status_code", &[]),
    ("probe_http_version", &[]),
    ("probe_http_ssl", &[]),
    ("probe_ssl_earliest_cert_expiry", &[]),
    ("probe_dns_lookup_time_seconds", &[]),
];

/// "Blackbox Exporter (HTTP prober)".
const DASHBOARD_13659: &[Wanted] = &[
    ("probe_success", &[]),
    ("probe_duration_seconds", &[]),
    ("probe_http_duration_seconds", &["phase"]),
    ("probe_http_status_code", &[]),
    ("probe_http_version", &[]),
    ("probe_http_redirects", &[]),
    ("probe_http_ssl", &[]),
    ("probe_http_content_length", &[]),
    ("probe_http_uncompressed_body_length", &[]),
    ("probe_failed_due_to_regex", &[]),
    ("probe_ip_protocol", &[]),
    ("probe_tls_version_info", &["version"]),
    ("probe_ssl_earliest_cert_expiry", &[]),
    ("probe_ssl_last_chain_expiry_timestamp_seconds", &[]),
    ("probe_dns_lookup_time_seconds", &[]),
];

/// The rules that most installations have, and those of blackbox_exporter's mixin.
const ALERTS: &[Wanted] = &[
    ("probe_success", &[]),
    ("probe_duration_seconds", &[]),
    ("probe_http_status_code", &[]),
    ("probe_http_duration_seconds", &["phase"]),
    ("probe_ssl_earliest_cert_expiry", &[]),
    ("probe_ssl_last_chain_expiry_timestamp_seconds", &[]),
];

const HTTP_PHASES: [&str; 5] = ["resolve", "connect", "tls", "processing", "transfer"];

#[track_caller]
fn assert_wanted(who: &str, samples: &Samples, wanted: &[Wanted]) {
    for (family, labels) in wanted {
        let series: Vec<&String> = samples
            .values
            .keys()
            .filter(|series| series.split('{').next() == Some(family))
            .collect();
        assert!(!series.is_empty(), "{who}: no {family} in\n{}", samples.text);
        for series in series {
            let names: Vec<&str> = series.split_once('{').map_or(Vec::new(), |(_, labels)| {
                labels.trim_end_matches('}').split(',').collect()
            });
            let names: Vec<&str> =
                names.into_iter().filter_map(|pair| Some(pair.split_once('=')?.0)).collect();
            assert_eq!(names, **labels, "{who}: labels of {family}");
        }
        let kind = format!("# TYPE {family} gauge\n");
        assert!(samples.text.contains(&kind), "{who}: {family} is a gauge");
    }
}

#[tokio::test]
async fn http_probes_have_what_dashboards_ask_for() {
    let authority = authority();
    let identity = authority.issue(&["localhost"], 2020, 2080);
    let server = tls::server(&identity, &["h2", "http/1.1"]).await;
    let prober = Prober::start(&format!(
        "modules: {{m: {{prober: http, timeout: 5s, http: {{preferred_ip_protocol: ip4, tls_config: {{ca_file: {}}}}}}}}}",
        authority.file.display()
    ))
    .await;
    let samples = prober.probe("m", &format!("https://localhost:{}/", server.port())).await;
    samples.assert_success();
    assert_wanted("7587", &samples, DASHBOARD_7587);
    assert_wanted("13659", &samples, DASHBOARD_13659);
    assert_wanted("alerts", &samples, ALERTS);
    for phase in HTTP_PHASES {
        assert!(
            samples.has(&format!("probe_http_duration_seconds{{phase=\"{phase}\"}}")),
            "{phase}"
        );
    }
    // A target that is down must not take away what alerts compare with.
    let down = canned("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n").await;
    let samples = prober.probe("m", &format!("http://{down}/")).await;
    samples.assert_failure("validate", "status");
    let plain: Vec<Wanted> = ALERTS
        .iter()
        .chain(DASHBOARD_7587)
        .filter(|(family, _)| !family.starts_with("probe_ssl"))
        .copied()
        .collect();
    assert_wanted("down", &samples, &plain);
}

#[tokio::test]
async fn other_probes_have_what_dashboards_ask_for() {
    let yaml = "modules:
  icmp: {prober: icmp, timeout: 2s}
  dns: {prober: dns, timeout: 2s, dns: {query_name: example.com, query_type: SOA}}
  tcp: {prober: tcp, timeout: 2s}
";
    let prober = Prober::start(yaml).await;
    let all: &[Wanted] = &[
        ("probe_success", &[]),
        ("probe_duration_seconds", &[]),
        ("probe_dns_lookup_time_seconds", &[]),
        ("probe_ip_protocol", &[]),
        ("probe_ip_addr_hash", &[]),
    ];
    let icmp = prober.probe("icmp", "127.0.0.1").await;
    assert_wanted("icmp", &icmp, all);
    assert_wanted("icmp", &icmp, &[("probe_icmp_duration_seconds", &["phase"])]);
    for phase in ["resolve", "setup", "rtt"] {
        assert!(icmp.has(&format!("probe_icmp_duration_seconds{{phase=\"{phase}\"}}")), "{phase}");
    }
    let server = dns::server(dns::answers(&[&dns::SOA])).await;
    let dns = prober.probe("dns", &server.to_string()).await;
    dns.assert_success();
    assert_wanted("dns", &dns, all);
    assert_wanted(
        "dns",
        &dns,
        &[
            ("probe_dns_duration_seconds", &["phase"]),
            ("probe_dns_answer_rrs", &[]),
            ("probe_dns_authority_rrs", &[]),
            ("probe_dns_additional_rrs", &[]),
            ("probe_dns_query_succeeded", &[]),
            ("probe_dns_serial", &[]),
        ],
    );
    let tcp = prober.probe("tcp", &canned("").await.to_string()).await;
    tcp.assert_success();
    assert_wanted("tcp", &tcp, all);
    assert_wanted("tcp", &tcp, &[("probe_failed_due_to_regex", &[])]);
    let own = Samples { text: prober.get("/metrics").await.body, values: Default::default() };
    for family in [
        "blackbox_exporter_config_last_reload_successful",
        "blackbox_exporter_config_last_reload_success_timestamp_seconds",
        "blackbox_exporter_build_info",
        "blackbox_module_unknown_total",
    ] {
        assert!(own.text.contains(&format!("\n{family}")), "{family} in\n{}", own.text);
    }
}

//! The icmp prober on loopback. Needs a socket for echo requests: skipped, loudly, where the system gives none.

use super::{
    harness::{Prober, Samples},
    reference::{Original, assert_same},
};

#[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
async fn probe(keys: &str, target: &str) -> Option<Samples> {
    let yaml = format!("modules:\n  m:\n    prober: icmp\n    timeout: 1s\n    icmp: {{{keys}}}\n");
    let samples = Prober::start(&yaml).await.probe("m", target).await;
    if samples.text.contains("phase=\"setup\",reason=\"permission\"") {
        eprintln!("SKIPPED: this user may not send echo requests, nothing was tested");
        return None;
    }
    Some(samples)
}

#[tokio::test]
async fn loopback_replies() {
    for (keys, target, protocol) in [
        ("", "127.0.0.1", 4.0),
        ("preferred_ip_protocol: ip4", "localhost", 4.0),
        ("payload_size: 1000, dont_fragment: true, ttl: 3", "127.0.0.1", 4.0),
        ("source_ip_address: 127.0.0.5", "127.0.0.1", 4.0),
        ("", "::1", 6.0),
    ] {
        if protocol == 6.0 && std::net::UdpSocket::bind("[::1]:0").is_err() {
            eprintln!("SKIPPED: this machine has no IPv6, echo requests over it were not tested");
            continue;
        }
        let Some(samples) = probe(keys, target).await else { return };
        samples.assert_success();
        let hops =
            if keys.contains("ttl: 3") { samples.get("probe_icmp_reply_hop_limit") } else { 64.0 };
        samples.assert(&[("probe_ip_protocol", protocol), ("probe_icmp_reply_hop_limit", hops)]);
        for phase in ["resolve", "setup", "rtt"] {
            assert!(samples.has(&format!("probe_icmp_duration_seconds{{phase=\"{phase}\"}}")));
        }
    }
}

#[tokio::test]
async fn several_requests_of_one_probe() {
    let Some(samples) = probe("count: 5, interval: 20ms", "127.0.0.1").await else { return };
    samples.assert_success();
    samples.assert(&[
        ("probe_icmp_packets_sent", 5.0),
        ("probe_icmp_packets_received", 5.0),
        ("probe_icmp_reply_hop_limit", 64.0),
    ]);
    let rtt = |stat| samples.get(&format!("probe_icmp_rtt_seconds{{stat=\"{stat}\"}}"));
    assert!(0.0 < rtt("min") && rtt("min") <= rtt("avg") && rtt("avg") <= rtt("max"));
    let shown = samples.get("probe_icmp_duration_seconds{phase=\"rtt\"}");
    assert_eq!(shown, rtt("avg"), "without the pauses");
}

#[tokio::test]
async fn many_at_a_time_do_not_mix() {
    let prober = Prober::start("modules: {m: {prober: icmp, timeout: 3s}}").await;
    let probes = (1..40).map(|n| {
        let prober = &prober;
        async move { prober.probe("m", &format!("127.0.0.{n}")).await }
    });
    for samples in futures_util::future::join_all(probes).await {
        if samples.text.contains("reason=\"permission\"") {
            eprintln!("SKIPPED: this user may not send echo requests, nothing was tested");
            return;
        }
        samples.assert_success();
    }
}

#[tokio::test]
async fn icmp_probes_are_the_same() {
    let yaml = "modules: {m: {prober: icmp, timeout: 1s}, only6: {prober: icmp, timeout: 1s, icmp: {ip_protocol_fallback: false}}}";
    let Some(original) = Original::start(yaml) else { return };
    let ours = Prober::start(yaml).await;
    for (module, target) in
        [("m", "127.0.0.1"), ("only6", "127.0.0.1"), ("m", "does-not-exist.invalid")]
    {
        assert_same(
            &format!("{module} {target}"),
            &ours.probe(module, target).await,
            &original.probe(module, target).await,
        );
    }
}

//! The dns prober against a server that answers what each test needs.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UdpSocket,
};

use super::{
    harness::{Prober, Samples, closed_port, udp_and_tcp},
    reference::{Original, assert_same},
};

pub(crate) const A: [u8; 16] = [0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4, 127, 0, 0, 1];
pub(crate) const B: [u8; 16] = [0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4, 127, 0, 0, 2];
/// `ns. ns. 7 1 2 3 4`.
pub(crate) const SOA: [u8; 40] = [
    0xc0, 12, 0, 6, 0, 1, 0, 0, 14, 16, 0, 28, 2, b'n', b's', 0, 2, b'n', b's', 0, 0, 0, 0, 7, 0,
    0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4,
];

/// What to answer: a response code and the records of three sections.
#[derive(Clone, Default)]
pub(crate) struct Script {
    pub(crate) rcode: u8,
    pub(crate) sections: [Vec<&'static [u8]>; 3],
    /// Sent first: an answer under another number, as a forger would.
    pub(crate) forged_first: bool,
}

impl Script {
    fn answer(&self, query: &[u8]) -> Vec<u8> {
        let mut answer = query.to_vec();
        answer[2] |= 0x84;
        answer[3] = 0x80 | self.rcode;
        for (section, records) in self.sections.iter().enumerate() {
            answer[6 + 2 * section..8 + 2 * section]
                .copy_from_slice(&(records.len() as u16).to_be_bytes());
        }
        answer.extend(self.sections.iter().flatten().flat_map(|record| record.iter()));
        answer
    }
}

/// A server on one port for datagrams and streams.
pub(crate) async fn server(script: Script) -> SocketAddr {
    let script = Arc::new(script);
    let (udp, tcp) = udp_and_tcp().await;
    let address = udp.local_addr().unwrap();
    let by_stream = Arc::clone(&script);
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((n_bytes, peer)) = udp.recv_from(&mut buffer).await {
            if script.forged_first {
                let mut forged =
                    Script { rcode: 2, ..Script::default() }.answer(&buffer[..n_bytes]);
                forged[0] ^= 0xff;
                let _ = udp.send_to(&forged, peer).await;
            }
            let _ = udp.send_to(&script.answer(&buffer[..n_bytes]), peer).await;
        }
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = tcp.accept().await {
            let Ok(n_bytes) = stream.read_u16().await else { continue };
            let mut query = vec![0; usize::from(n_bytes)];
            if stream.read_exact(&mut query).await.is_ok() {
                let answer = by_stream.answer(&query);
                let _ = stream.write_u16(answer.len() as u16).await;
                let _ = stream.write_all(&answer).await;
            }
        }
    });
    address
}

pub(crate) fn answers(records: &[&'static [u8]]) -> Script {
    Script { sections: [records.to_vec(), Vec::new(), Vec::new()], ..Script::default() }
}

async fn probe(keys: &str, target: impl ToString) -> Samples {
    let yaml = format!(
        "modules:\n  m:\n    prober: dns\n    timeout: 1s\n    dns: {{query_name: example.com, query_type: A, {keys}}}\n"
    );
    Prober::start(&yaml).await.probe("m", &target.to_string()).await
}

#[tokio::test]
async fn counts_and_rules() {
    let two = server(answers(&[&A, &B])).await;
    let samples = probe("", two).await;
    samples.assert_success();
    samples.assert(&[
        ("probe_dns_answer_rrs", 2.0),
        ("probe_dns_authority_rrs", 0.0),
        ("probe_dns_additional_rrs", 0.0),
        ("probe_dns_query_succeeded", 1.0),
    ]);
    for phase in ["resolve", "connect", "request"] {
        assert!(samples.has(&format!("probe_dns_duration_seconds{{phase=\"{phase}\"}}")));
    }
    let empty = server(answers(&[])).await;
    for (rule, good, good_when_empty) in [
        ("fail_if_matches_regexp: [\"127.0.0.2$\"]", false, true),
        ("fail_if_matches_regexp: [\"127.0.0.3$\"]", true, true),
        ("fail_if_not_matches_regexp: [\"^example.com.\\t3600\\tIN\\tA\\t127.0.0\"]", true, false),
        ("fail_if_not_matches_regexp: [\"127.0.0.1$\"]", false, false),
        ("fail_if_none_matches_regexp: [\"127.0.0.1$\"]", true, false),
        ("fail_if_none_matches_regexp: [\"127.0.0.3$\"]", false, false),
        ("fail_if_all_match_regexp: [\"127.0.0\"]", true, true),
        ("fail_if_all_match_regexp: [\"127.0.0.1$\"]", false, true),
        ("fail_if_every_rr_matches_regexp: [\"127.0.0\"]", false, true),
        ("fail_if_every_rr_matches_regexp: [\"127.0.0.1$\"]", true, true),
    ] {
        for (server, good) in [(two, good), (empty, good_when_empty)] {
            for transport in ["udp", "tcp"] {
                let keys =
                    format!("transport_protocol: {transport}, validate_answer_rrs: {{{rule}}}");
                let samples = probe(&keys, server).await;
                if good {
                    samples.assert_success();
                } else {
                    samples.assert_failure("validate", "records");
                }
            }
        }
    }
}

#[tokio::test]
async fn response_codes_serials_and_forgers() {
    let servfail = server(Script { rcode: 2, ..Script::default() }).await;
    let samples = probe("", servfail).await;
    samples.assert_failure("validate", "rcode");
    assert_eq!(samples.get("probe_dns_query_succeeded"), 1.0);
    probe("valid_rcodes: [NXDOMAIN, SERVFAIL]", servfail).await.assert_success();
    let soa = server(answers(&[&SOA])).await;
    let yaml =
        "modules: {m: {prober: dns, timeout: 1s, dns: {query_name: example.com, query_type: SOA}}}";
    let samples = Prober::start(yaml).await.probe("m", &soa.to_string()).await;
    samples.assert_success();
    assert_eq!(samples.get("probe_dns_serial"), 7.0);
    let forged = server(Script { forged_first: true, ..answers(&[&A]) }).await;
    probe("", forged).await.assert_success();
}

#[tokio::test]
async fn servers_that_are_not_there_or_not_sane() {
    let closed = closed_port().await;
    probe("transport_protocol: tcp", closed).await.assert_failure("connect", "refused");
    probe("", closed).await.assert_failure("processing", "refused");
    let broken = server(answers(&[&[0xc0, 12, 0, 1]])).await;
    let samples = probe("", broken).await;
    samples.assert_failure("processing", "protocol");
    assert_eq!(samples.get("probe_dns_query_succeeded"), 0.0);
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    probe("", silent.local_addr().unwrap()).await.assert_failure("processing", "timeout");
}

#[tokio::test]
async fn dns_probes_are_the_same() {
    let yaml = r#"
modules:
  udp: {prober: dns, timeout: 1s, dns: {query_name: example.com, query_type: A}}
  tcp: {prober: dns, timeout: 1s, dns: {query_name: example.com, query_type: A, transport_protocol: tcp}}
  soa: {prober: dns, timeout: 1s, dns: {query_name: example.com, query_type: SOA}}
  strict: {prober: dns, timeout: 1s, dns: {query_name: example.com, query_type: A, validate_answer_rrs: {fail_if_not_matches_regexp: ["^example.com.\t3600\tIN\tA\t127.0.0.1$"]}}}
  all: {prober: dns, timeout: 1s, dns: {query_name: example.com, query_type: A, validate_answer_rrs: {fail_if_all_match_regexp: ["127.0.0.1$"]}}}
"#;
    let Some(original) = Original::start(yaml) else { return };
    let ours = Prober::start(yaml).await;
    let one = server(answers(&[&A])).await;
    let two =
        server(Script { sections: [vec![&A, &B], vec![&SOA], vec![&A]], ..Script::default() })
            .await;
    let empty = server(answers(&[])).await;
    let failing = server(Script { rcode: 2, ..Script::default() }).await;
    let soa = server(answers(&[&SOA])).await;
    let closed = closed_port().await;
    for module in ["udp", "tcp", "soa", "strict", "all"] {
        for target in [one, two, empty, failing, soa, closed] {
            let target = target.to_string();
            assert_same(
                &format!("{module} {target}"),
                &ours.probe(module, &target).await,
                &original.probe(module, &target).await,
            );
        }
    }
}

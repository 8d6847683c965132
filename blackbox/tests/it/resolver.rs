//! Modules that name their own DNS servers: which lookups go there, what is told when they fail, and what a hostile
//! server can do. Every server is the test's own and answers as a closure says.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use blackbox::{Cidr, Guard, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::harness::{Prober, Samples, canned, closed_port, raw_server, read_head, udp_and_tcp};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;

/// One question that was asked.
struct Question<'a> {
    message: &'a [u8],
    /// As in `shop.test`.
    name: String,
    record_type: u16,
    over_tcp: bool,
}

impl<'a> Question<'a> {
    fn read(message: &'a [u8], over_tcp: bool) -> Self {
        let (mut labels, mut at) = (Vec::new(), 12);
        while message[at] != 0 {
            let length = usize::from(message[at]);
            labels.push(String::from_utf8_lossy(&message[at + 1..][..length]).into_owned());
            at += length + 1;
        }
        let record_type = u16::from_be_bytes([message[at + 1], message[at + 2]]);
        Self { message, name: labels.join("."), record_type, over_tcp }
    }

    /// An answer with these flags and these records about the name that was asked for.
    fn answer(&self, flags: u16, records: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let mut answer = self.message.to_vec();
        answer[2..4].copy_from_slice(&(0x8180 | flags).to_be_bytes());
        answer[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
        for (record_type, data) in records {
            answer.extend_from_slice(&[0xc0, 12]);
            answer.extend_from_slice(&record_type.to_be_bytes());
            answer.extend_from_slice(&[0, 1, 0, 0, 0, 60]);
            answer.extend_from_slice(&(data.len() as u16).to_be_bytes());
            answer.extend_from_slice(data);
        }
        answer
    }

    /// This address, where one of its family was asked for.
    fn address(&self, ip: [u8; 4]) -> Vec<u8> {
        if self.record_type == A {
            self.answer(0, &[(A, ip.to_vec())])
        } else {
            self.answer(0, &[])
        }
    }
}

fn wire(name: &str) -> Vec<u8> {
    let mut wire: Vec<u8> =
        name.split('.').flat_map(|l| [&[l.len() as u8], l.as_bytes()].concat()).collect();
    wire.push(0);
    wire
}

/// Answers by datagram and stream on one port; several messages are sent one after the other.
async fn names<F>(answers: F) -> SocketAddr
where
    F: Fn(&Question<'_>) -> Vec<Vec<u8>> + Send + Sync + 'static,
{
    let answers = Arc::new(answers);
    let (udp, tcp) = udp_and_tcp().await;
    let address = udp.local_addr().unwrap();
    let by_stream = Arc::clone(&answers);
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((n_bytes, peer)) = udp.recv_from(&mut buffer).await {
            for answer in answers(&Question::read(&buffer[..n_bytes], false)) {
                let _ = udp.send_to(&answer, peer).await;
            }
        }
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = tcp.accept().await {
            let Ok(n_bytes) = stream.read_u16().await else { continue };
            let mut query = vec![0; usize::from(n_bytes)];
            if stream.read_exact(&mut query).await.is_ok() {
                for answer in by_stream(&Question::read(&query, true)) {
                    let _ = stream.write_u16(answer.len() as u16).await;
                    let _ = stream.write_all(&answer).await;
                }
            }
        }
    });
    address
}

fn module(prober: &str, resolver: impl std::fmt::Display, keys: &str) -> String {
    format!(
        "modules: {{m: {{prober: {prober}, timeout: 5s, resolver: {resolver}, {prober}: {{{keys}}}}}}}"
    )
}

async fn probe(prober: &str, resolver: SocketAddr, keys: &str, target: &str) -> Samples {
    let yaml = module(prober, format!("\"{resolver}\""), keys);
    Prober::start(&yaml).await.probe("m", target).await
}

/// All that is known is `*.test`, which is this machine.
async fn loopback() -> SocketAddr {
    names(|question| {
        vec![if question.name.ends_with(".test") {
            question.address([127, 0, 0, 1])
        } else {
            question.answer(3, &[])
        }]
    })
    .await
}

#[tokio::test]
async fn every_prober_asks_the_modules_server() {
    let names = loopback().await;
    let port = canned(OK).await.port();
    let samples = probe("http", names, "", &format!("http://shop.test:{port}/")).await;
    samples.assert_success();
    samples.assert(&[("probe_ip_protocol", 4.0), ("probe_ip_addr_hash", 3_668_918_509.0)]);
    assert!(samples.get("probe_dns_lookup_time_seconds") > 0.0);
    assert!(samples.get("probe_http_duration_seconds{phase=\"resolve\"}") > 0.0);
    probe("tcp", names, "", &format!("shop.test:{port}")).await.assert_success();
    let samples = probe("tcp", names, "", &format!("localhost:{port}")).await;
    samples.assert_failure("resolve", "nxdomain");
    let json = "metrics: [{name: a, path: \"{.a}\"}]";
    let document = canned("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{\"a\":1}").await.port();
    probe("json", names, json, &format!("http://api.test:{document}/")).await.assert_success();
    let keys = "query_name: x.test, query_type: A";
    probe("dns", names, keys, &format!("ns.test:{}", names.port())).await.assert_success();
    let closed = closed_port().await.port();
    let samples = probe("grpc", names, "", &format!("health.test:{closed}")).await;
    samples.assert_failure("connect", "refused");
    assert_eq!(samples.get("probe_ip_protocol"), 4.0);
    assert_eq!(probe("icmp", names, "", "shop.test").await.get("probe_ip_protocol"), 4.0);
    // An address is no name: nobody is asked.
    let closed = closed_port().await;
    let samples = probe("http", closed, "", &format!("http://127.0.0.1:{port}/")).await;
    samples.assert_success();
}

#[tokio::test]
async fn redirects_and_proxies_are_looked_up_there_too() {
    let names = loopback().await;
    let port = canned(OK).await.port();
    let there = format!(
        "HTTP/1.1 302 Found\r\nLocation: http://other.test:{port}/\r\nContent-Length: 0\r\n\r\n"
    );
    let from = canned(there).await.port();
    let samples = probe("http", names, "", &format!("http://shop.test:{from}/")).await;
    samples.assert_success();
    assert_eq!(samples.get("probe_http_redirects"), 1.0);
    let lost = "HTTP/1.1 302 Found\r\nLocation: http://localhost/\r\nContent-Length: 0\r\n\r\n";
    let from = canned(lost).await.port();
    let samples = probe("http", names, "", &format!("http://shop.test:{from}/")).await;
    samples.assert_failure("resolve", "nxdomain");
    let keys =
        format!("proxy_url: \"http://proxy.test:{port}\", skip_resolve_phase_with_proxy: true");
    probe("http", names, &keys, "http://anything.example/").await.assert_success();
    let keys = format!("proxy_url: \"http://localhost:{port}\"");
    let samples = probe("http", names, &keys, "http://shop.test/").await;
    samples.assert_failure("resolve", "nxdomain");
}

#[tokio::test]
async fn families_are_chosen_as_with_the_systems_resolver() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let both = names(move |question| {
        seen.lock().unwrap().push(question.record_type);
        let ip: IpAddr =
            if question.record_type == A { [127, 0, 0, 1].into() } else { [0; 16].into() };
        let data = match ip {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.octets().to_vec(),
        };
        vec![question.answer(0, &[(question.record_type, data)])]
    })
    .await;
    let port = closed_port().await.port();
    for (keys, protocol, types) in [
        ("", 6.0, &[A, AAAA][..]),
        ("preferred_ip_protocol: ip4", 4.0, &[A, AAAA]),
        ("ip_protocol_fallback: false", 6.0, &[AAAA]),
        ("preferred_ip_protocol: ip4, ip_protocol_fallback: false", 4.0, &[A]),
    ] {
        asked.lock().unwrap().clear();
        let samples = probe("tcp", both, keys, &format!("a.test:{port}")).await;
        assert_eq!(samples.get("probe_ip_protocol"), protocol, "{keys}");
        let mut asked = asked.lock().unwrap().clone();
        asked.sort_unstable();
        // The family that is not needed may not have been waited for.
        assert!(asked.iter().all(|record_type| types.contains(record_type)), "{keys} {asked:?}");
    }
    let only4 = loopback().await;
    let samples = probe("tcp", only4, "ip_protocol_fallback: false", "a.test:1").await;
    samples.assert_failure("resolve", "no_address");
}

#[tokio::test]
async fn servers_that_do_not_know_or_do_not_answer() {
    for (flags, reason) in [(3, "nxdomain"), (2, "resolve_failed"), (5, "resolve_failed")] {
        let server = names(move |question| vec![question.answer(flags, &[])]).await;
        let samples = probe("tcp", server, "", "a.test:1").await;
        samples.assert_failure("resolve", reason);
        assert_eq!(samples.get("probe_ip_protocol"), 0.0);
    }
    let nothing = names(|question| vec![question.answer(0, &[])]).await;
    probe("tcp", nothing, "", "a.test:1").await.assert_failure("resolve", "no_address");
    let closed = closed_port().await;
    probe("tcp", closed, "", "a.test:1").await.assert_failure("resolve", "resolve_failed");
    let silent = names(|_| Vec::new()).await;
    let yaml = module("tcp", format!("\"{silent}\""), "").replace("5s", "300ms");
    let started = Instant::now();
    let samples = Prober::start(&yaml).await.probe("m", "a.test:1").await;
    samples.assert_failure("resolve", "timeout");
    assert!(started.elapsed() < Duration::from_secs(3));
    let lookup = samples.get("probe_dns_lookup_time_seconds");
    assert!((0.25..3.0).contains(&lookup), "{lookup}");
    // The next server is asked where one is down, and where one fails.
    let failing = names(|question| vec![question.answer(2, &[])]).await;
    let good = loopback().await;
    let port = canned(OK).await.port();
    let yaml = module("http", format!("[\"{closed}\", \"{failing}\", \"{good}\"]"), "");
    Prober::start(&yaml).await.probe("m", &format!("http://a.test:{port}/")).await.assert_success();
}

#[tokio::test]
async fn hostile_answers_are_bounded() {
    let port = canned(OK).await.port();
    let target = format!("http://a.test:{port}/");
    // Under another number, to another question, and garbage: none of them is an answer.
    let forger = names(|question| {
        let real = question.address([127, 0, 0, 1]);
        let mut other_id = question.address([127, 0, 0, 9]);
        other_id[0] ^= 0xff;
        let mut other_name = question.address([127, 0, 0, 9]);
        other_name[13] ^= 1;
        vec![other_id, other_name, vec![1, 2, 3], Vec::new(), real]
    })
    .await;
    probe("http", forger, "", &target).await.assert_success();
    // What does not fit into a datagram is fetched over a stream.
    let long = names(|question| {
        let record = (A, vec![127, 0, 0, 1]);
        let records = if question.record_type == A { vec![record; 3000] } else { Vec::new() };
        vec![if question.over_tcp {
            question.answer(0, &records)
        } else {
            question.answer(0x0200, &[])
        }]
    })
    .await;
    probe("http", long, "", &target).await.assert_success();
    // A circle in one answer, and a chain that leads on and on.
    let circle = names(|question| vec![question.answer(0, &[(CNAME, wire(&question.name))])]).await;
    probe("http", circle, "", &target).await.assert_failure("resolve", "no_address");
    let asked = Arc::new(AtomicU8::new(0));
    let counted = Arc::clone(&asked);
    let endless = names(move |question| {
        let n = counted.fetch_add(1, Ordering::SeqCst);
        vec![question.answer(0, &[(CNAME, wire(&format!("n{n}.test")))])]
    })
    .await;
    probe("http", endless, "", &target).await.assert_failure("resolve", "resolve_failed");
    assert!(asked.load(Ordering::SeqCst) <= 16);
    // Aliases whose addresses are elsewhere are asked for.
    let alias = names(|question| {
        vec![match question.name.as_str() {
            "a.test" => question.answer(0, &[(CNAME, wire("b.test"))]),
            _ => question.address([127, 0, 0, 1]),
        }]
    })
    .await;
    probe("http", alias, "", &target).await.assert_success();
    for broken in [vec![0xc0], vec![127, 0, 0], Vec::new()] {
        let server = names(move |question| vec![question.answer(0, &[(A, broken.clone())])]).await;
        probe("http", server, "", &target).await.assert_failure("resolve", "resolve_failed");
    }
    let cut = names(|question| {
        let answer = question.address([127, 0, 0, 1]);
        vec![answer[..answer.len() - 1].to_vec()]
    })
    .await;
    probe("http", cut, "preferred_ip_protocol: ip4", &target)
        .await
        .assert_failure("resolve", "resolve_failed");
}

/// A prober that may call public addresses and these.
async fn guarded(yaml: &str, allowed: &[&str]) -> Prober {
    let allowed: Vec<Cidr> = allowed.iter().map(|cidr| cidr.parse().unwrap()).collect();
    let guard = Guard::Public { allowed: allowed.into() };
    Prober::with(yaml, Settings { guard, ..Settings::default() }).await
}

#[tokio::test]
async fn guarded_probes_do_not_reach_inside_by_names() {
    for ip in [[127, 0, 0, 1], [10, 0, 0, 1], [169, 254, 169, 254], [0, 0, 0, 0], [192, 168, 1, 1]]
    {
        let names = names(move |question| vec![question.address(ip)]).await;
        for prober in ["http", "tcp", "icmp", "grpc"] {
            let yaml = module(prober, format!("\"{names}\""), "");
            let target = if prober == "icmp" { "evil.test" } else { "evil.test:80" };
            let samples = guarded(&yaml, &[]).await.probe("m", target).await;
            samples.assert_failure("resolve", "blocked_address");
        }
    }
    // An IPv4 address in the clothes of IPv6.
    let mapped = names(|question| {
        let ip = std::net::Ipv4Addr::new(169, 254, 169, 254).to_ipv6_mapped().octets().to_vec();
        let records = if question.record_type == AAAA { vec![(AAAA, ip)] } else { Vec::new() };
        vec![question.answer(0, &records)]
    })
    .await;
    let yaml = module("http", format!("\"{mapped}\""), "");
    let samples = guarded(&yaml, &[]).await.probe("m", "http://evil.test/").await;
    samples.assert_failure("resolve", "blocked_address");
}

/// The first answer is an address that may be called, all later ones lead inside.
#[tokio::test]
async fn rebinding_does_not_get_around_the_guard() {
    let n_asked = Arc::new(AtomicU8::new(0));
    let counted = Arc::clone(&n_asked);
    let names = names(move |question| {
        let first = counted.fetch_add(1, Ordering::SeqCst) == 0;
        vec![question.address(if first { [127, 0, 0, 1] } else { [127, 0, 0, 9] })]
    })
    .await;
    // Answers with a redirect to its own name, as often as it is asked.
    let heads = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&heads);
    let server = raw_server(move |mut stream| {
        let noted = Arc::clone(&noted);
        async move {
            let local = stream.local_addr().unwrap();
            noted.lock().unwrap().push(local.ip());
            read_head(&mut stream).await;
            let answer = format!(
                "HTTP/1.1 302 Found\r\nLocation: http://other.test:{}/\r\nContent-Length: 0\r\n\r\n",
                local.port()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    })
    .await;
    let keys = "preferred_ip_protocol: ip4, ip_protocol_fallback: false";
    let yaml = module("http", format!("\"{names}\""), keys);
    let prober = guarded(&yaml, &["127.0.0.1/32"]).await;
    let samples = prober.probe("m", &format!("http://rebind.test:{}/", server.port())).await;
    samples.assert_failure("resolve", "blocked_address");
    assert_eq!(samples.get("probe_http_redirects"), 1.0);
    // The address that was checked is the one that was called; the name was not looked up between the two.
    assert_eq!(*heads.lock().unwrap(), [IpAddr::from([127, 0, 0, 1])]);
    assert_eq!(n_asked.load(Ordering::SeqCst), 2, "once for each name");
}

/// A proxy that looked names up again could be led elsewhere than where we looked.
#[tokio::test]
async fn guarded_probes_tell_proxies_the_address_that_was_checked() {
    let names = loopback().await;
    let heads = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&heads);
    let proxy = raw_server(move |mut stream| {
        let noted = Arc::clone(&noted);
        async move {
            let head = read_head(&mut stream).await;
            let is_first = head.lines().next().is_some_and(|line| line.contains("/first"));
            noted.lock().unwrap().push(head.lines().next().unwrap_or_default().to_owned());
            let answer = if is_first {
                "HTTP/1.1 302 Found\r\nLocation: http://b.test/second\r\nContent-Length: 0\r\n\r\n"
            } else {
                OK
            };
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    })
    .await;
    let keys = format!("preferred_ip_protocol: ip4, proxy_url: \"http://{proxy}\"");
    let yaml = module("http", format!("\"{names}\""), &keys);
    let target = "http://a.test/first";
    guarded(&yaml, &["127.0.0.1/32"]).await.probe("m", target).await.assert_success();
    let open = Prober::start(&yaml).await;
    open.probe("m", target).await.assert_success();
    let told = std::mem::take(&mut *heads.lock().unwrap());
    assert_eq!(
        told,
        [
            "GET http://127.0.0.1:80/first HTTP/1.1",
            "GET http://127.0.0.1:80/second HTTP/1.1",
            "GET http://a.test/first HTTP/1.1",
            "GET http://b.test/second HTTP/1.1",
        ]
    );
    guarded(&yaml, &[]).await.probe("m", target).await.assert_failure("resolve", "blocked_address");
    let skipping = yaml.replace("proxy_url", "skip_resolve_phase_with_proxy: true, proxy_url");
    for target in ["http://169.254.169.254/", "http://[::ffff:10.0.0.1]/", "http://0x7f000001/"] {
        let samples = guarded(&skipping, &[]).await.probe("m", target).await;
        samples.assert_failure("resolve", "blocked_address");
    }
    assert!(heads.lock().unwrap().is_empty());
}

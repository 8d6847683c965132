//! Beside the original: Debian's `prometheus-blackbox-exporter` gets the same configuration and the same targets, and
//! must tell the same families, labels and outcome. Skipped, loudly, where it is not installed.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use super::harness::{Prober, Samples, canned, closed_port, probe_path, request};

/// Families that version 0.23 does not have: later versions', and our own.
const NEWER: [&str; 6] = [
    "probe_timeout_seconds",
    "probe_failure_info",
    "probe_ssl_peer_",
    "probe_tls_cipher_info",
    "probe_expect_info",
    "probe_failed_due_to_bytes",
];

/// The original, running until it is dropped.
pub(crate) struct Original {
    child: Child,
    pub(crate) address: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Drop for Original {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Original {
    #[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
    pub(crate) fn start(yaml: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("blackbox.yml");
        std::fs::write(&file, yaml).unwrap();
        let spawned = Command::new("prometheus-blackbox-exporter")
            .arg(format!("--config.file={}", file.display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut child) = spawned else {
            eprintln!(
                "SKIPPED: prometheus-blackbox-exporter is not installed, nothing was compared with it"
            );
            return None;
        };
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut address = None;
        for line in lines.by_ref() {
            if let Some((_, found)) = line.split_once("msg=\"Listening on\" address=") {
                address = found.trim().parse().ok();
                break;
            }
        }
        // Its log goes on, and a closed pipe would end it.
        std::thread::spawn(move || lines.for_each(drop));
        let address = address.expect("the original says where it listens");
        Some(Self { child, address, _dir: dir })
    }

    pub(crate) async fn probe(&self, module: &str, target: &str) -> Samples {
        let answer = request(self.address, "GET", &probe_path(module, target, ""), "").await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        Samples::read(&answer.body)
    }
}

/// Helps and kinds, without what the original does not have.
fn described(samples: &Samples) -> BTreeSet<String> {
    samples
        .text
        .lines()
        .filter(|line| line.starts_with('#') && !NEWER.iter().any(|name| line.contains(name)))
        .map(str::to_owned)
        .collect()
}

/// Series, and the values of those that do not depend on the clock.
fn comparable(samples: &Samples) -> BTreeSet<String> {
    samples
        .values
        .iter()
        .filter(|(series, _)| !NEWER.iter().any(|name| series.starts_with(name)))
        .map(|(series, value)| {
            let timed =
                series.contains("_duration_seconds") || series.contains("_lookup_time_seconds");
            // The serial number came to this family in version 0.26.
            let series = match series.split_once(",serialnumber=") {
                Some((before, after)) => {
                    format!("{before}{}", &after[after.find("\",").map_or(0, |at| at + 1)..])
                }
                None => series.clone(),
            };
            if timed { series } else { format!("{series} {value}") }
        })
        .collect()
}

pub(crate) fn assert_same(name: &str, ours: &Samples, theirs: &Samples) {
    assert_eq!(described(ours), described(theirs), "{name}: help and kinds\n{}", theirs.text);
    assert_eq!(
        comparable(ours),
        comparable(theirs),
        "{name}\nours\n{}\ntheirs\n{}",
        ours.text,
        theirs.text
    );
}

#[tokio::test]
async fn http_probes_are_the_same() {
    let yaml = r#"
modules:
  plain: {prober: http, timeout: 3s}
  body: {prober: http, timeout: 3s, http: {fail_if_body_matches_regexp: ["o+k"]}}
  stay: {prober: http, timeout: 3s, http: {follow_redirects: false, valid_status_codes: [302]}}
  only6: {prober: http, timeout: 3s, http: {ip_protocol_fallback: false}}
  header: {prober: http, timeout: 3s, http: {fail_if_header_not_matches: [{header: X-None, regexp: "a"}]}}
  version: {prober: http, timeout: 3s, http: {valid_http_versions: ["HTTP/1.0"]}}
  small: {prober: http, timeout: 3s, http: {body_size_limit: 1B}}
  gzip: {prober: http, timeout: 3s, http: {compression: gzip}}
"#;
    let Some(original) = Original::start(yaml) else { return };
    let ours = Prober::start(yaml).await;
    let ok = canned("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nLast-Modified: Sat, 21 Nov 2026 05:30:02 GMT\r\n\r\nok").await;
    let redirect = canned(format!(
        "HTTP/1.1 302 Found\r\nLocation: http://{ok}/\r\nContent-Length: 0\r\n\r\n"
    ))
    .await;
    let looped =
        canned("HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n").await;
    let missing = canned("HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno\n").await;
    let chunked =
        canned("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n").await;
    let old = canned("HTTP/1.0 200 OK\r\n\r\nold").await;
    let cut = canned("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok").await;
    let garbage = canned("SSH-2.0-x\r\n").await;
    let empty = canned("").await;
    let no_content = canned("HTTP/1.1 204 No Content\r\n\r\n").await;
    let closed = closed_port().await;
    for (module, target) in [
        ("plain", format!("http://{ok}/")),
        ("plain", ok.to_string()),
        ("plain", format!("http://{redirect}/")),
        ("plain", format!("http://{looped}/")),
        ("stay", format!("http://{redirect}/")),
        ("plain", format!("http://{missing}/")),
        ("plain", format!("http://{chunked}/")),
        ("plain", format!("http://{old}/")),
        ("version", format!("http://{old}/")),
        ("version", format!("http://{ok}/")),
        ("plain", format!("http://{cut}/")),
        ("plain", format!("http://{garbage}/")),
        ("plain", format!("http://{empty}/")),
        ("plain", format!("http://{no_content}/")),
        ("plain", format!("http://{closed}/")),
        ("plain", format!("https://{ok}/")),
        ("plain", "http://does-not-exist.invalid/".to_owned()),
        ("body", format!("http://{ok}/")),
        ("body", format!("http://{missing}/")),
        ("header", format!("http://{ok}/")),
        ("only6", format!("http://{ok}/")),
        ("small", format!("http://{ok}/")),
        ("gzip", format!("http://{ok}/")),
    ] {
        let name = format!("{module} {target}");
        assert_same(
            &name,
            &ours.probe(module, &target).await,
            &original.probe(module, &target).await,
        );
    }
}

#[tokio::test]
async fn promtool_reads_our_text() {
    let prober = Prober::start("modules: {m: {prober: http, timeout: 2s}}").await;
    let ok = canned("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let samples = prober.probe("m", &format!("http://{ok}/")).await;
    let spawned = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = spawned else {
        eprintln!("SKIPPED: promtool is not installed, nothing was checked by it");
        return;
    };
    child.stdin.take().unwrap().write_all(samples.text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() || output.status.code() == Some(3), "{complaints}");
    assert!(!complaints.contains("error while linting"), "{complaints}");
}

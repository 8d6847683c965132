//! Bodies that would fill memory, probed by the program itself, whose memory is looked at afterwards.

use std::{
    io::Write,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::harness::{Samples, probe_path, raw_server, read_head, request};

/// Beyond what the program takes before: the largest body that rules are applied to, twice while its buffer grows, and
/// what the allocator keeps.
const GROWTH_BYTES_MAX: u64 = 96 << 20;
const TEN_GIGABYTES: u64 = 10_000_000_000;
const CONFIG: &str = "modules:
  plain: {prober: http, timeout: 1s}
  rule: {prober: http, timeout: 20s, http: {fail_if_body_matches_regexp: [y]}}
  limit: {prober: http, timeout: 20s, http: {body_size_limit: 1MB}}
  gzip: {prober: http, timeout: 1s, http: {compression: gzip}}
  gzip_rule: {prober: http, timeout: 20s, http: {compression: gzip, fail_if_body_matches_regexp: [y]}}
  json: {prober: json, timeout: 20s, json: {metrics: [{name: a, path: \"{.a}\"}]}}
";

struct Program {
    child: Child,
    address: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("blackbox.yml");
        std::fs::write(&file, CONFIG).unwrap();
        // It tells its port to people only; this one is free now.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let child = Command::new(env!("CARGO_BIN_EXE_watchpost-blackbox"))
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--web.listen-address={address}"))
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while TcpStream::connect(address).await.is_err() {
            assert!(begun.elapsed() < Duration::from_secs(30), "the program listens");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self { child, address, _dir: dir }
    }

    /// The most memory that was resident at any time, in bytes; `None` where the system does not tell.
    fn peak_bytes(&self) -> Option<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? << 10)
    }

    async fn probe(&self, module: &str, target: SocketAddr) -> Samples {
        let path = probe_path(module, &format!("http://{target}/"), "");
        Samples::read(&request(self.address, "GET", &path, "").await.body)
    }
}

/// Says that ten gigabytes come, and sends them: the same part again and again.
async fn server(head: &'static str, part: Vec<u8>) -> SocketAddr {
    let part: std::sync::Arc<[u8]> = part.into();
    raw_server(move |mut stream| {
        let part = std::sync::Arc::clone(&part);
        async move {
            read_head(&mut stream).await;
            if stream.write_all(head.as_bytes()).await.is_err() {
                return;
            }
            while stream.write_all(&part).await.is_ok() {}
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_gigabytes_do_not_fill_memory() {
    let program = Program::start().await;
    let before = program.peak_bytes();
    let plain =
        server("HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n", vec![b'x'; 1 << 20]).await;
    // A member of gzip that becomes 4 MiB; as many of them as anybody reads make one stream.
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..4 {
        encoder.write_all(&vec![0; 1 << 20]).unwrap();
    }
    let bomb = server("HTTP/1.1 200 OK\r\n\r\n", encoder.finish().unwrap()).await;
    let begun = Instant::now();
    let samples = program.probe("plain", plain).await;
    if samples.get("probe_success") == 0.0 {
        samples.assert_failure("transfer", "timeout");
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "the deadline counts");
    assert_eq!(samples.get("probe_http_content_length"), TEN_GIGABYTES as f64);
    assert!(samples.get("probe_http_uncompressed_body_length") > 1e6);
    for (module, target) in
        [("rule", plain), ("limit", plain), ("gzip_rule", bomb), ("json", plain)]
    {
        program.probe(module, target).await.assert_failure("validate", "body_size");
    }
    let samples = program.probe("gzip", bomb).await;
    samples.assert_failure("transfer", "timeout");
    assert!(samples.get("probe_http_uncompressed_body_length") > 4e6, "{}", samples.text);
    let (Some(before), Some(after)) = (before, program.peak_bytes()) else {
        eprintln!(
            "SKIPPED: this system does not tell how much memory a program takes, it was not measured"
        );
        return;
    };
    eprintln!("resident at most: {} KiB before, {} KiB after", before >> 10, after >> 10);
    assert!(after < before + GROWTH_BYTES_MAX, "{before} bytes before, {after} after");
}

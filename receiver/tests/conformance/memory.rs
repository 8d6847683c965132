//! What a request may cost in memory, whatever is in it: four times the largest body, measured from outside.

use std::{
    fs,
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Duration,
};

use proto::{
    remote_write::{self, Message, v1, v2},
    snappy,
};
use receiver::db::testing::{self, TestDatabase};

use crate::sender::{field, now};

/// The default of `--remote-write.max-decoded-size`.
const BODY_BYTES_MAX: usize = 32 << 20;

/// The receiver as a process of its own, for the memory of a test holds more than that.
struct Program {
    child: Child,
    url: String,
    _database: TestDatabase,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    async fn start() -> Self {
        // reqwest wants to be told, though nothing here speaks TLS.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let database = testing::database().await;
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let child = Command::new(env!("CARGO_BIN_EXE_watchpost-receiver"))
            .arg(format!("--web.listen-address={address}"))
            // How long it takes is another question, above all in a debug build.
            .arg("--remote-write.timeout=10m")
            .env("DATABASE_URL", database.url())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let program = Self { child, url: format!("http://{address}"), _database: database };
        for _ in 0..600 {
            let answer = reqwest::get(format!("{}/-/ready", program.url)).await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return program;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the receiver does not serve");
    }

    /// `VmRSS` or `VmHWM`, in bytes.
    fn memory(&self, what: &str) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(what)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
    }

    /// The status of an answer, and by how much memory grew at most until then.
    async fn post(&self, content_type: &str, body: &[u8]) -> (u16, usize) {
        // Sets the peak to what is used now.
        fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5").unwrap();
        let before = self.memory("VmRSS");
        let answer = reqwest::Client::new()
            .post(format!("{}/api/v1/write", self.url))
            .header("Content-Type", content_type)
            .header("Content-Encoding", "snappy")
            .body(snappy::compress(body))
            .send()
            .await
            .unwrap();
        let status = answer.status().as_u16();
        let _ = answer.bytes().await;
        (status, self.memory("VmHWM").saturating_sub(before))
    }
}

/// As many new series as one request may bring, in as large a body as there may be.
fn new_series() -> Vec<u8> {
    let label = |name: &str, value: String| v1::Label { name: name.to_owned(), value };
    let timeseries = (0..150_000)
        .map(|n| v1::TimeSeries {
            labels: vec![
                label("__name__", format!("hostile_{}", n % 1000)),
                label("instance", format!("{n:x<144}")),
                label("job", "hostile".to_owned()),
            ],
            samples: vec![v1::Sample { value: f64::from(n), timestamp: now() }],
            ..Default::default()
        })
        .collect();
    v1::WriteRequest { timeseries, ..Default::default() }.encode_to_vec()
}

/// New series again, each of a few bytes that refer to two of some hundred strings.
fn referenced_series() -> Vec<u8> {
    let mut body = Vec::new();
    field(&mut body, 4, b"");
    field(&mut body, 4, b"__name__");
    field(&mut body, 4, b"a");
    for n in 0..500 {
        field(&mut body, 4, format!("symbol_{n:0>40}").as_bytes());
    }
    for n in 0..100_000u32 {
        let series = v2::TimeSeries {
            labels_refs: vec![1, 3 + n / 500, 2, 3 + n % 500],
            samples: vec![v2::Sample { value: 1.0, timestamp: now(), start_timestamp: 0 }],
            ..Default::default()
        };
        field(&mut body, 5, &series.encode_to_vec());
    }
    body
}

/// Samples that take no more than a time.
fn tiny_samples() -> Vec<u8> {
    let mut series = Vec::new();
    field(&mut series, 1, &[1, 2]);
    let start = now() - 500_000;
    for n in 0..500_000 {
        let sample = v2::Sample { value: 0.0, timestamp: start + n, start_timestamp: 0 };
        field(&mut series, 2, &sample.encode_to_vec());
    }
    let mut body = Vec::new();
    for symbol in ["", "__name__", "tiny"] {
        field(&mut body, 4, symbol.as_bytes());
    }
    field(&mut body, 5, &series);
    body
}

/// Fields of two bytes, as many as fit.
fn nothings(number: u8) -> Vec<u8> {
    [number << 3 | 2, 0].repeat(BODY_BYTES_MAX / 2)
}

/// The same inside of a series.
fn nothings_of_a_series(number: u8, n: usize) -> Vec<u8> {
    let mut body = Vec::new();
    field(&mut body, 5, &[number << 3 | 2, 0].repeat(n));
    body
}

#[tokio::test]
async fn no_request_costs_more_than_four_of_the_largest_bodies() {
    let program = Program::start().await;
    let (v1, v2) = (remote_write::V1_CONTENT_TYPE, remote_write::V2_CONTENT_TYPE);
    let mut too_much = Vec::new();
    for (name, content_type, body, status) in [
        ("new series", v1, new_series(), 204),
        ("new series of 2.0", v2, referenced_series(), 204),
        ("samples of a few bytes", v2, tiny_samples(), 204),
        ("empty strings", v2, nothings(4), 413),
        ("empty series of 1.0", v1, nothings(1), 413),
        ("empty series of 2.0", v2, nothings(5), 413),
        ("empty samples", v2, nothings_of_a_series(2, 15 << 20), 413),
        ("empty histograms", v2, nothings_of_a_series(3, 450_000), 400),
        ("empty exemplars", v2, nothings_of_a_series(4, 900_000), 413),
        ("empty metadata", v1, nothings(3), 413),
    ] {
        assert!(body.len() <= BODY_BYTES_MAX, "{name}: {}", body.len());
        let (answered, grown) = program.post(content_type, &body).await;
        println!("{name}: {} bytes, {answered}, {grown} bytes of memory", body.len());
        assert_eq!(answered, status, "{name}");
        if grown > 4 * BODY_BYTES_MAX {
            too_much.push((name, grown));
        }
    }
    assert!(too_much.is_empty(), "{too_much:?}");
}

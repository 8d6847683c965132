//! Prometheus' own tool reads what we write, and has nothing to say that it does not say of node_exporter.

#![expect(clippy::print_stdout, reason = "says why a test is skipped")]

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use exporter::{Config, Exporter, Filter};

/// What promtool dislikes about node_exporter's names, which are a contract.
const KNOWN_COMPLAINTS: [&str; 5] = [
    "metric names should be written in 'snake_case' not 'camelCase'",
    "non-counter metrics should not have \"_total\" suffix",
    "no help text",
    "counter metrics should have \"_total\" suffix",
    "use base unit",
];
/// The only families of our own that it may dislike; their names are those of others.
const FOLLOWING_OTHERS: [&str; 3] = ["node_", "namedprocess_", "windows_"];

/// promtool's lines about `text`, each `name complaint`; `None`, and a line that says so, where it is not installed.
fn complaints(text: &str) -> Option<BTreeSet<String>> {
    let started = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut promtool = match started {
        Ok(child) => child,
        Err(err) => {
            println!(
                "SKIPPED: promtool cannot be started ({err}); install Prometheus to run this test"
            );
            return None;
        }
    };
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(matches!(output.status.code(), Some(0 | 3)), "{}: {said}", output.status);
    Some(said.lines().map(str::to_owned).collect())
}

fn check(complaints: &BTreeSet<String>) {
    for line in complaints {
        assert!(KNOWN_COMPLAINTS.iter().any(|known| line.contains(known)), "promtool: {line}");
        assert!(FOLLOWING_OTHERS.iter().any(|name| line.starts_with(name)), "promtool: {line}");
    }
}

async fn this_machine() -> String {
    let exporter = Exporter::new(&Config::default()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    exporter.collect(deadline, &Filter::All).await.to_text()
}

#[tokio::test]
async fn a_scrape_of_this_machine() {
    if let Some(complaints) = complaints(&this_machine().await) {
        check(&complaints);
    }
}

#[test]
fn every_collector_over_the_made_up_machine() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/golden.txt");
    if let Some(complaints) = complaints(&std::fs::read_to_string(golden).unwrap()) {
        check(&complaints);
    }
}

#[tokio::test]
async fn nothing_that_it_does_not_say_of_node_exporter() {
    let Some(theirs) = scrape_of_node_exporter() else { return };
    let ours = this_machine().await;
    let (Some(about_ours), Some(about_theirs)) = (complaints(&ours), complaints(&theirs)) else {
        return;
    };
    // What only newer versions have is looked at above.
    let is_theirs = |line: &&String| {
        let name = line.split(' ').next().unwrap();
        theirs.contains(&format!("# TYPE {name} "))
    };
    let more: Vec<&String> =
        about_ours.difference(&about_theirs).filter(|line| is_theirs(line)).collect();
    assert!(more.is_empty(), "{more:?}");
    assert!(!about_theirs.is_empty(), "promtool used to dislike some of its names");
}

fn scrape_of_node_exporter() -> Option<String> {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let started = Command::new("prometheus-node-exporter")
        .arg(format!("--web.listen-address={address}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut process) = started else {
        println!("SKIPPED: install prometheus-node-exporter to compare what promtool says");
        return None;
    };
    let give_up = Instant::now() + Duration::from_secs(30);
    let text = loop {
        if let Ok(mut stream) = TcpStream::connect(address) {
            stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: test\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            break answer.split_once("\r\n\r\n").unwrap().1.to_owned();
        }
        assert!(Instant::now() < give_up, "node_exporter does not listen");
        std::thread::yield_now();
    };
    let _ = process.kill();
    let _ = process.wait();
    Some(text)
}

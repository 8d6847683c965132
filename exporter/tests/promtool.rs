//! Prometheus' own tool reads what we write for this very machine.

use std::{
    io::Write,
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

#[tokio::test]
async fn promtool_accepts_a_scrape_of_this_machine() {
    let exporter = Exporter::new(&Config::default()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let text = exporter.collect(deadline, &Filter::All).await.to_text();
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
            return;
        }
    };
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    for line in said.lines() {
        assert!(KNOWN_COMPLAINTS.iter().any(|known| line.contains(known)), "promtool: {line}");
    }
    assert!(matches!(output.status.code(), Some(0 | 3)), "{}: {said}", output.status);
}

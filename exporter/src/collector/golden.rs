//! What the collectors of another system make of given facts, compared with a file byte for byte.
//!
//! `UPDATE_GOLDEN=1 cargo test -p exporter --lib golden` writes the files anew; read the difference before committing
//! it, since names, labels and values are a contract.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

/// What promtool dislikes about names that are a contract.
const KNOWN_COMPLAINTS: [&str; 4] = [
    "use base unit",
    "counter metrics should have \"_total\" suffix",
    "non-counter metrics should not have \"_total\" suffix",
    "metric names should not contain abbreviated units",
];

/// Compares with `tests/fixtures/<file>`, and asks promtool.
pub(super) fn check(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(file);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    // Some systems check this repository out with other ends of lines.
    for (number, (ours, theirs)) in text.lines().zip(expected.lines()).enumerate() {
        assert_eq!(ours, theirs, "{file}, line {}", number + 1);
    }
    assert_eq!(text.lines().count(), expected.lines().count(), "{file}");
    ask_promtool(text);
}

fn ask_promtool(text: &str) {
    let started = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut promtool = match started {
        Ok(child) => child,
        Err(err) => {
            println!("SKIPPED: promtool cannot be started ({err}); install Prometheus to run it");
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

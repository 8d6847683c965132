//! A whole process: signals, exit codes, and what stands on standard error.
//!
//! The process is this test binary once more, running only [`child`].

#![cfg(unix)]

use std::{
    env,
    io::{BufRead as _, BufReader},
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use service::{LogArgs, Metrics, Threads, telemetry};

const ROLE: &str = "SERVICE_TEST_ROLE";

/// What the processes under test do; nothing in an ordinary run.
#[test]
fn child() {
    let Ok(role) = env::var(ROLE) else { return };
    let log = LogArgs { level: telemetry::Level::Info, format: telemetry::Format::Logfmt };
    let _ = service::run(&log, Threads::Two, async |shutdown| {
        match role.as_str() {
            "fails" => anyhow::bail!(anyhow::anyhow!("refused").context("open database")),
            "stops" => {
                tracing::info!("up");
                shutdown.fired().await;
                tracing::info!("stopped in order");
            }
            "hangs" => {
                tracing::info!("up");
                shutdown.fired().await;
                std::future::pending::<()>().await;
            }
            "reloads" => {
                let (_reload, requests) = service::reload::channel();
                let gauges = Metrics::new("demo").reload("demo");
                tracing::info!("up");
                requests.serve(gauges, shutdown, async || anyhow::Ok(())).await;
            }
            "panics" => {
                let _ = tokio::spawn(async { panic!("a bug\nof two lines") }).await;
            }
            other => anyhow::bail!("no such role: {other}"),
        }
        Ok(())
    });
}

struct Process {
    child: Child,
    lines: BufReader<ChildStderr>,
}

impl Process {
    fn start(role: &str) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "process::child", "--nocapture"])
            .env(ROLE, role)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        Self { child, lines }
    }

    /// Reads to the first line that contains `text`.
    fn line(&mut self, text: &str) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(self.lines.read_line(&mut line).unwrap(), 0, "no line with {text:?}");
            if line.contains(text) {
                return line;
            }
        }
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    fn status(mut self) -> ExitStatus {
        let deadline = Instant::now() + crate::PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            if Instant::now() > deadline {
                self.child.kill().unwrap();
                panic!("the process did not end");
            }
            #[expect(
                clippy::disallowed_methods,
                reason = "no runtime here, and no event to wait for"
            )]
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn a_signal_stops_in_order() {
    for signal in ["INT", "TERM"] {
        let mut process = Process::start("stops");
        process.line("msg=up");
        process.signal(signal);
        let line = process.line("stopping;");
        assert!(line.contains(&format!("signal=SIG{signal}")), "{line}");
        process.line("msg=\"stopped in order\"");
        assert!(process.status().success());
    }
}

#[test]
fn a_second_signal_exits_at_once() {
    for (first, second) in [("INT", "INT"), ("TERM", "INT"), ("TERM", "TERM")] {
        let mut process = Process::start("hangs");
        process.line("msg=up");
        process.signal(first);
        process.line("stopping;");
        process.signal(second);
        process.line("second signal: exiting at once");
        assert_eq!(process.status().code(), Some(130));
    }
}

#[test]
fn a_hangup_reloads_or_does_nothing() {
    let mut process = Process::start("reloads");
    process.line("msg=up");
    process.signal("HUP");
    process.line("msg=\"configuration reloaded\"");
    process.signal("TERM");
    process.line("stopping;");
    assert!(process.status().success());

    let mut process = Process::start("stops");
    process.line("msg=up");
    process.signal("HUP");
    process.signal("TERM");
    process.line("msg=\"stopped in order\"");
    assert!(process.status().success());
}

#[test]
fn errors_and_panics_are_log_lines() {
    let mut process = Process::start("fails");
    let line = process.line("level=error");
    assert!(line.ends_with("msg=\"open database: refused\"\n"), "{line}");
    let mut process = Process::start("panics");
    let line = process.line("level=error");
    assert!(line.contains("msg=\"panic: a bug\\nof two lines (this is a bug"), "{line}");
    assert!(line.contains("place=") && line.contains("process.rs:"), "{line}");
}

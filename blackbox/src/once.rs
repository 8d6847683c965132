//! One probe for the terminal.

use std::{io::Write, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context;
use clap::ValueEnum;
use serde_json::{Map, Value, json};

use crate::{
    Blackbox, Guard, Outcome, Params, Settings,
    config::{GoDuration, Source},
    log::Level,
};

/// What to probe, and how to tell of it.
#[derive(Clone, Debug, clap::Args)]
pub struct OnceArgs {
    /// A URL, `host:port`, `tcp://host:port`, `icmp://host` or `grpc://host:port`
    pub target: String,
    /// Module to use; by the target where it is not given
    #[arg(long)]
    pub module: Option<String>,
    /// File with the modules; `blackbox.yml` where that exists, else built-in modules
    #[arg(id = "once_config_file", long = "config.file", value_name = "FILE")]
    pub config_file: Option<PathBuf>,
    /// Longest time for the probe
    #[arg(long, default_value = "10s")]
    pub timeout: String,
    /// How to write the outcome
    #[arg(long, default_value = "text")]
    pub output: Output,
    /// Also write the probe's log
    #[arg(long)]
    pub debug: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    Json,
    /// As Prometheus would scrape it.
    Metrics,
}

/// Exit code where no probe could be made; a failed probe is 1.
const NOT_MADE: u8 = 2;

/// Probes once, on standard output: exit code 0 for a success, 1 for a failure, 2 if there was nothing to be probed.
pub fn run_once(args: &OnceArgs) -> ExitCode {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => {
            let outcome = runtime.block_on(once(args, &mut std::io::stdout().lock()));
            // A look-up that hangs must not keep us.
            runtime.shutdown_background();
            outcome
        }
        Err(err) => Err(err.into()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(err) => {
            // Nobody may be reading; the exit code is what counts.
            let _ = writeln!(std::io::stderr(), "{}", service::error::chain(err.as_ref()));
            NOT_MADE.into()
        }
    }
}

/// Probes once and writes the outcome to `out`; true for a success.
pub async fn once(args: &OnceArgs, out: &mut impl Write) -> anyhow::Result<bool> {
    let timeout: GoDuration = args.timeout.parse().context("read --timeout")?;
    let config = Source::find(args.config_file.as_deref()).load()?;
    let log_prober = if args.debug { Level::Debug } else { Level::Info };
    let blackbox = Blackbox::new(config, Settings { log_prober, ..Settings::default() });
    let (by_target, target) = understand(&args.target);
    let module = args.module.as_deref().unwrap_or(by_target);
    let target = if args.module.is_some() { args.target.as_str() } else { target };
    let outcome =
        blackbox.probe(module, target, &Params::default(), timeout.0, &Guard::Open).await?;
    match args.output {
        Output::Text => write_text(out, module, target, &outcome)?,
        Output::Json => writeln!(out, "{:#}", to_json(module, target, &outcome))?,
        Output::Metrics => out.write_all(outcome.metrics.to_text().as_bytes())?,
    }
    if args.debug && args.output == Output::Text {
        write!(out, "\n{}", outcome.log)?;
    }
    Ok(outcome.success())
}

/// The module that a target asks for by its looks, and what the module wants to see of it.
fn understand(target: &str) -> (&'static str, &str) {
    match target.split_once("://") {
        Some(("tcp", rest)) => ("tcp_connect", rest),
        Some(("icmp" | "ping", rest)) => ("icmp", rest),
        Some(("grpc", rest)) => ("grpc_plain", rest),
        Some(("grpcs", rest)) => ("grpc", rest),
        Some(_) => ("http_2xx", target),
        // A port alone says nothing of HTTP, except for the well-known ones.
        None => match target.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok()) {
            Some(80 | 443 | 8080) | None => ("http_2xx", target),
            Some(_) => ("tcp_connect", target),
        },
    }
}

/// Longest bar, in characters.
const BAR_WIDTH: f64 = 30.0;

fn write_text(
    out: &mut impl Write,
    module: &str,
    target: &str,
    outcome: &Outcome,
) -> std::io::Result<()> {
    let total = milliseconds(outcome.duration);
    match &outcome.failure {
        None => writeln!(out, "up    {target}  ({module}, {total:.1} ms)")?,
        Some(failure) => {
            writeln!(out, "DOWN  {target}  ({module}, {total:.1} ms)")?;
            writeln!(out, "      {}: {}", failure.phase.name(), failure.reason)?;
            writeln!(out, "      {}", failure.message)?;
        }
    }
    for (phase, time) in &outcome.phases {
        let share = if total > 0.0 { milliseconds(*time) / total } else { 0.0 };
        let bar = "█".repeat((share * BAR_WIDTH).round() as usize);
        writeln!(out, "      {phase:<12}{:>9.1} ms  {bar}", milliseconds(*time))?;
    }
    for (name, value) in facts(outcome) {
        writeln!(out, "      {name:<12} {value}")?;
    }
    Ok(())
}

/// The samples that people look at first.
fn facts(outcome: &Outcome) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    for family in outcome.metrics.families() {
        let Some(sample) = family.samples().next() else { continue };
        let value = sample.value();
        let label = |name: &str| {
            sample
                .labels()
                .find(|(label, _)| *label == name)
                .map(|(_, value)| value.to_owned())
                .unwrap_or_default()
        };
        match family.name() {
            "probe_http_status_code" if value > 0.0 => facts.push(("status", value.to_string())),
            "probe_http_version" if value > 0.0 => facts.push(("http", value.to_string())),
            "probe_http_redirects" if value > 0.0 => facts.push(("redirects", value.to_string())),
            "probe_http_uncompressed_body_length" => facts.push(("body", format!("{value} bytes"))),
            "probe_tls_version_info" => facts.push(("tls", label("version"))),
            "probe_ssl_last_chain_info" => facts.push(("certificate", label("subject"))),
            "probe_ssl_peer_earliest_cert_expiry" => {
                let now = std::time::SystemTime::now()
                    .duration_since(std::time::UNIX_EPOCH)
                    .unwrap_or_default();
                let days = (value - now.as_secs_f64()) / 86_400.0;
                facts.push(("expires", format!("in {days:.0} days")));
            }
            "probe_grpc_status_code" => facts.push(("grpc status", value.to_string())),
            "probe_icmp_reply_hop_limit" => facts.push(("hop limit", value.to_string())),
            "probe_dns_answer_rrs" => facts.push(("answers", value.to_string())),
            _ => {}
        }
    }
    facts
}

fn to_json(module: &str, target: &str, outcome: &Outcome) -> Value {
    let phases: Map<String, Value> = outcome
        .phases
        .iter()
        .map(|(name, time)| ((*name).to_owned(), json!(time.as_secs_f64())))
        .collect();
    let samples: Vec<Value> = outcome
        .metrics
        .families()
        .flat_map(|family| {
            let name = family.name();
            family
                .samples()
                .map(|sample| {
                    let labels: Map<String, Value> =
                        sample.labels().map(|(name, value)| (name.to_owned(), json!(value))).collect();
                    json!({"name": format!("{name}{}", sample.suffix()), "labels": labels, "value": sample.value()})
                })
                .collect::<Vec<_>>()
        })
        .collect();
    json!({
        "target": target,
        "module": module,
        "success": outcome.success(),
        "duration_seconds": outcome.duration.as_secs_f64(),
        "failure": outcome.failure.as_ref().map(|failure| {
            json!({"phase": failure.phase.name(), "reason": failure.reason.name(), "message": failure.message})
        }),
        "phases_seconds": phases,
        "samples": samples,
    })
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_tell_their_module() {
        for (target, expected) in [
            ("https://x/", ("http_2xx", "https://x/")),
            ("x", ("http_2xx", "x")),
            ("x:8080", ("http_2xx", "x:8080")),
            ("x:5432", ("tcp_connect", "x:5432")),
            ("tcp://x:80", ("tcp_connect", "x:80")),
            ("icmp://::1", ("icmp", "::1")),
            ("grpc://x:1", ("grpc_plain", "x:1")),
        ] {
            assert_eq!(understand(target), expected);
        }
    }
}

//! `watchpost-exporter`: the exporter alone, for lean machines.

use std::process::ExitCode;

use clap::Parser;

/// Metrics of this machine for Prometheus: a drop-in for node_exporter
#[derive(Parser)]
#[command(name = "watchpost-exporter", version)]
struct Args {
    #[command(flatten)]
    exporter: exporter::Args,
    #[command(flatten)]
    log: service::LogArgs,
}

fn main() -> ExitCode {
    let args: Args = service::flags::parse();
    service::run(&args.log, service::Threads::Two, |shutdown| {
        exporter::run(args.exporter, shutdown)
    })
}

//! `watchpost-blackbox`: the prober as a program of its own.

use std::process::ExitCode;

use clap::Parser;

/// Probes of HTTP and other endpoints, a drop-in for blackbox_exporter
#[derive(Debug, Parser)]
#[command(name = "watchpost-blackbox", version)]
struct Cli {
    #[command(flatten)]
    log: service::LogArgs,
    #[command(flatten)]
    blackbox: blackbox::Args,
}

fn main() -> ExitCode {
    let cli: Cli = service::flags::parse();
    service::run(&cli.log, service::Threads::Two, |shutdown| blackbox::run(cli.blackbox, shutdown))
}

//! `watchpost-blackbox`: the prober as a program of its own.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Probes of HTTP and other endpoints, a drop-in for blackbox_exporter
#[derive(Debug, Parser)]
#[command(name = "watchpost-blackbox", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(flatten)]
    log: service::LogArgs,
    #[command(flatten)]
    blackbox: blackbox::Args,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Probe once and say how it went; exit code 0 for up, 1 for down, 2 if no probe could be made
    Probe(blackbox::OnceArgs),
}

fn main() -> ExitCode {
    let cli: Cli = service::flags::parse();
    if let Some(Command::Probe(args)) = &cli.command {
        return blackbox::run_once(args);
    }
    service::run(&cli.log, service::Threads::Two, |shutdown| blackbox::run(cli.blackbox, shutdown))
}

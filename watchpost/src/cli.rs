//! The command line: no subcommand starts everything, the subcommands are the programs alone and small tools.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use service::{LogArgs, Threads};

use crate::{
    check::{self, Check},
    health,
    render::{self, Render},
    storage::{self, Storage},
    suite,
};

/// Prometheus-native monitoring on the Postgres you already run
///
/// Without a command: the whole of Watchpost on this machine, on loopback addresses, with a PostgreSQL of its own.
#[derive(Debug, Parser)]
#[command(name = "watchpost", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(flatten)]
    suite: suite::Args,
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Only the exporter of this machine's metrics, as the program watchpost-exporter
    Exporter(Box<Program<exporter::Args>>),
    /// Only the remote-write receiver and its console, as the program watchpost-receiver
    Receiver(Box<Program<receiver::Args>>),
    /// Only the blackbox exporter, as the program watchpost-blackbox
    Blackbox(Box<Program<blackbox::Args>>),
    /// Probe once and say how it went; exit code 0 for up, 1 for down, 2 if no probe could be made
    Probe(blackbox::OnceArgs),
    /// Bearer tokens: who may write, read or administer
    #[command(subcommand)]
    Token(receiver::token::command::Token),
    /// Look after what is stored
    #[command(subcommand)]
    Storage(Storage),
    /// Check files; exit code 1 if one is wrong
    #[command(subcommand)]
    Check(Check),
    /// Write files for other programs from a few flags
    #[command(subcommand)]
    Render(Render),
    /// Ask a running Watchpost whether it is healthy; exit code 0 or 1
    Health(health::Args),
}

/// One program's flags, and those of its log.
#[derive(Debug, clap::Args)]
struct Program<A: clap::Args> {
    #[command(flatten)]
    program: A,
    #[command(flatten)]
    log: LogArgs,
}

impl Cli {
    pub fn run(self) -> ExitCode {
        match self.command {
            None => {
                service::run(&self.log, Threads::Cores, |shutdown| suite::run(self.suite, shutdown))
            }
            Some(Command::Exporter(args)) => {
                let Program { program, log } = *args;
                service::run(&log, Threads::Two, |shutdown| exporter::run(program, shutdown))
            }
            Some(Command::Receiver(args)) => {
                let Program { program, log } = *args;
                service::run(&log, Threads::Cores, |shutdown| receiver::run(program, shutdown))
            }
            Some(Command::Blackbox(args)) => {
                let Program { program, log } = *args;
                service::run(&log, Threads::Two, |shutdown| blackbox::run(program, shutdown))
            }
            Some(Command::Probe(args)) => blackbox::run_once(&args),
            Some(Command::Token(token)) => receiver::token::command::run(&token),
            Some(Command::Storage(storage)) => storage::run(&storage),
            Some(Command::Check(check)) => check::run(&check),
            Some(Command::Render(render)) => render::run(&render),
            Some(Command::Health(args)) => health::run(&args),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_of_all_commands_fit_together() {
        use clap::CommandFactory;
        service::flags::prepare(Cli::command()).debug_assert();
        let words = ["watchpost", "exporter", "--web.listen-address", "127.0.0.1:0"];
        assert!(service::flags::parse_from::<Cli>(&words).is_ok());
        let words = ["watchpost", "--storage.path", "/x", "--scrape.interval", "15s"];
        assert!(service::flags::parse_from::<Cli>(&words).is_ok());
        assert!(service::flags::parse_from::<Cli>(&["watchpost", "--no.such.flag"]).is_err());
    }
}

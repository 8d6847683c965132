//! `watchpost-receiver`: the receiver alone. The same as `watchpost receiver`.

use std::process::ExitCode;

/// Takes Prometheus remote write into PostgreSQL
#[derive(Debug, clap::Parser)]
#[command(name = "watchpost-receiver", version, args_conflicts_with_subcommands = true)]
struct Args {
    #[command(flatten)]
    receiver: receiver::Args,
    #[command(flatten)]
    log: service::LogArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Bearer tokens: who may write, read or administer
    #[command(subcommand)]
    Token(receiver::token::command::Token),
}

fn main() -> ExitCode {
    let args: Args = service::flags::parse();
    if let Some(Command::Token(token)) = &args.command {
        return receiver::token::command::run(token);
    }
    service::run(&args.log, service::Threads::Cores, |shutdown| {
        receiver::run(args.receiver, shutdown)
    })
}

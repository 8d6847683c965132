//! `watchpost-receiver`: the receiver alone. The same as `watchpost receiver`.

use std::process::ExitCode;

/// Takes Prometheus remote write into PostgreSQL
#[derive(Debug, clap::Parser)]
#[command(name = "watchpost-receiver", version)]
struct Args {
    #[command(flatten)]
    receiver: receiver::Args,
    #[command(flatten)]
    log: service::LogArgs,
}

fn main() -> ExitCode {
    let args: Args = service::flags::parse();
    service::run(&args.log, service::Threads::Cores, |shutdown| {
        receiver::run(args.receiver, shutdown)
    })
}

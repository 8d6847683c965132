//! `watchpost-exporter`: the exporter alone, for lean machines.

use std::process::ExitCode;

use clap::Parser;
use service::Shutdown;

#[cfg(target_os = "linux")]
mod code;
#[cfg(windows)]
mod scm;

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
    // Bad usage ends here, before anybody is told that a service starts.
    let args: Args = service::flags::parse();
    #[cfg(windows)]
    if let Some(code) = scm::run() {
        return code;
    }
    serve(args, |_| ())
}

/// Serves until it is stopped; `started` gets what stops it.
fn serve(args: Args, started: impl FnOnce(Shutdown)) -> ExitCode {
    service::run(&args.log, service::Threads::Two, |shutdown| {
        started(shutdown.clone());
        async {
            #[cfg(target_os = "linux")]
            tokio::spawn(code::give_back());
            exporter::run(args.exporter, shutdown).await
        }
    })
}

//! Logs: `--log.level`, `--log.format`, one line an event on standard error.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// The flags of every program that logs.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Logging")]
pub struct LogArgs {
    /// Only log messages of this severity or above
    #[arg(long = "log.level", value_name = "LEVEL", default_value = "info")]
    pub level: Level,
    /// Format of log lines
    #[arg(long = "log.format", value_name = "FORMAT", default_value = "logfmt")]
    pub format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Logfmt,
    Json,
}

/// Installs the process-wide logger. Later calls change nothing.
pub fn init(args: &LogArgs) {
    let level = match args.level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    };
    // Libraries talk at their own info level about connections and statements; that is debug to our users.
    let libraries = if args.level == Level::Debug { "info" } else { "warn" };
    let filter = EnvFilter::new(format!(
        "{level},sqlx={libraries},hyper={libraries},h2={libraries},rustls={libraries},tower_http={libraries},reqwest={libraries}"
    ));
    let base = tracing_subscriber::registry().with(filter);
    let _ = match args.format {
        Format::Logfmt => base
            .with(
                fmt::layer()
                    .with_writer(std::io::stderr)
                    .with_ansi(std::io::stderr().is_terminal()),
            )
            .try_init(),
        Format::Json => base
            .with(fmt::layer().json().flatten_event(true).with_writer(std::io::stderr))
            .try_init(),
    };
}

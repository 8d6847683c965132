//! Logs: `--log.level`, `--log.format`, one line an event on standard error, in the shape of Prometheus' own.
//!
//! ```text
//! ts=2026-11-21T05:12:52.123Z level=info caller=service::web::serve:96 msg="listening" address=[::]:9100 tls=false
//! {"ts":"2026-11-21T05:12:52.123Z","level":"info","caller":"service::web::serve:96","msg":"listening",…}
//! ```

mod line;
mod timestamp;

use std::{panic, thread};

use clap::ValueEnum;
use tracing::{error, level_filters::LevelFilter};
use tracing_subscriber::{filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt};

pub use timestamp::Rfc3339;

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

/// Libraries that talk at their own info level about single connections and statements.
const TALKATIVE: [&str; 7] =
    ["h2", "hyper", "hyper_util", "reqwest", "rustls", "sqlx", "tower_http"];

/// Installs the process-wide logger and lets panics be logged like everything else. Later calls change nothing.
pub fn init(args: &LogArgs) {
    let installed = tracing_subscriber::registry()
        .with(filter(args.level))
        .with(
            fmt::layer()
                .with_writer(std::io::stderr)
                .event_format(line::Line::new(args.format))
                .fmt_fields(line::Fields(args.format)),
        )
        .try_init();
    if installed.is_ok() {
        panic::set_hook(Box::new(log_panic));
    }
}

fn filter(level: Level) -> Targets {
    let ours = match level {
        Level::Debug => LevelFilter::DEBUG,
        Level::Info => LevelFilter::INFO,
        Level::Warn => LevelFilter::WARN,
        Level::Error => LevelFilter::ERROR,
    };
    let theirs = match level {
        Level::Debug => LevelFilter::INFO,
        Level::Info | Level::Warn => LevelFilter::WARN,
        Level::Error => LevelFilter::ERROR,
    };
    Targets::new().with_default(ours).with_targets(TALKATIVE.map(|target| (target, theirs)))
}

fn log_panic(info: &panic::PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let text = info.payload_as_str().unwrap_or("no message");
    let thread = thread::current().name().unwrap_or("unnamed").to_owned();
    error!(place, thread, "panic: {text} (this is a bug: please report it)");
}

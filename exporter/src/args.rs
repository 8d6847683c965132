//! From flags to a serving process.

use clap::{Args as _, FromArgMatches};
use service::{Shutdown, WebArgs, units::Span, web};
use tracing::warn;

use crate::{Exporter, Options, Paths, Selection};

/// node_exporter's port, on all interfaces.
const LISTEN_ADDRESS: &str = ":9100";

/// The flags of the exporter: where it listens and what it shows.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    #[command(flatten)]
    pub web: WebArgs,
    #[command(flatten)]
    pub config: Config,
}

/// Everything but where to listen. [`Config::default`] is what no flag at all gives.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Config {
    /// Path under which metrics are shown
    #[arg(
        long = "web.telemetry-path",
        value_name = "PATH",
        default_value = "/metrics",
        help_heading = "Web"
    )]
    pub telemetry_path: String,
    /// Scrapes answered at a time; 0 is without limit
    #[arg(long = "web.max-requests", value_name = "N", default_value_t = 40, help_heading = "Web")]
    pub max_requests: usize,
    /// Leave out the metrics about the exporter itself (promhttp_*, process_*)
    #[arg(long = "web.disable-exporter-metrics", help_heading = "Web")]
    pub disable_exporter_metrics: bool,
    /// How long a scrape may take at most; less when Prometheus says that it waits less
    #[arg(
        long = "collector.timeout",
        value_name = "DURATION",
        default_value = "10s",
        help_heading = "Collectors"
    )]
    pub timeout: Span,
    #[command(flatten)]
    pub paths: Paths,
    #[command(flatten)]
    pub selection: Selection,
    #[command(flatten)]
    pub options: Options,
}

impl Default for Config {
    fn default() -> Self {
        let command = Self::augment_args(clap::Command::new("exporter"));
        let matches = command.get_matches_from(["exporter"]);
        Self::from_arg_matches(&matches).expect("every flag has a default")
    }
}

/// Serves until `shutdown` fires.
pub async fn run(args: Args, shutdown: Shutdown) -> anyhow::Result<()> {
    let web_config = args.web.config()?;
    let exporter = Exporter::new(&args.config)?;
    let listeners = args.web.bind(LISTEN_ADDRESS)?;
    for flag in args.config.selection.ignored() {
        warn!(flag, "--{flag} is accepted for compatibility and changes nothing");
    }
    web::serve(listeners, exporter.router(), web_config, shutdown).await
}

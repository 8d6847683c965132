//! From flags to a serving process.

use clap::{Args as _, FromArgMatches};
use service::{Shutdown, WebArgs, units::Span, web};
use tracing::warn;

use crate::{
    Exporter, Options, Paths, Selection,
    agent::{Agent, Pages},
};

/// node_exporter's port, on all interfaces.
const LISTEN_ADDRESS: &str = ":9100";
const PORT: u16 = 9100;

/// The flags of the exporter: where it listens and what it shows.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    #[command(flatten)]
    pub web: WebArgs,
    #[command(flatten)]
    pub config: Config,
    #[command(flatten)]
    pub push: push::Args,
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
    /// Before the next two, because they take their flags, at which this one looks, too.
    #[command(flatten)]
    pub selection: Selection,
    #[command(flatten)]
    pub paths: Paths,
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
    let pages = Pages {
        port: listeners.first().map_or(PORT, |listener| listener.address().port()),
        is_tls: web_config.is_tls(),
        metrics_path: &args.config.telemetry_path,
    };
    let agent = Agent::open(&args.push, exporter.clone(), pages)?;
    let serving = async {
        let served = web::serve(listeners, exporter.router(), web_config, shutdown.clone()).await;
        // An error of the pages ends the program, and the series with it.
        shutdown.fire();
        served
    };
    tokio::join!(serving, agent.run(shutdown.clone())).0
}

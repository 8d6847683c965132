//! Flags, and the program from its start to its end.

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use anyhow::Context;
use service::{Health, Shutdown, WebArgs, reload::Reload};
use tracing::info;

use crate::{
    blackbox::{Blackbox, Settings},
    config::{Config, Source},
    dial::{Cidr, Guard},
    log::Level,
    pushed,
    scheduler::{Plan, Scheduler},
    web::{self, ExternalUrl},
};

/// Where the original listens too.
const DEFAULT_ADDRESS: &str = ":9115";

/// The flags of the prober, as `blackbox_exporter` names them.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub web: WebArgs,
    /// File with the modules; `blackbox.yml` where that exists, else built-in modules
    #[arg(
        id = "blackbox_config_file",
        long = "config.file",
        value_name = "FILE",
        help_heading = "Configuration"
    )]
    pub config_file: Option<PathBuf>,
    /// Check the configuration, print it, and exit
    #[arg(long = "config.check", help_heading = "Configuration")]
    pub config_check: bool,
    /// Reload the configuration file when it has changed
    #[arg(long = "config.enable-auto-reload", help_heading = "Configuration")]
    pub auto_reload: bool,
    /// Seconds between two looks at the configuration file
    #[arg(
        long = "config.auto-reload-interval",
        value_name = "SECONDS",
        default_value_t = 30,
        value_parser = clap::value_parser!(u64).range(1..),
        help_heading = "Configuration"
    )]
    pub auto_reload_interval: u64,
    /// Seconds to take off the scrape's time-out
    #[arg(
        long = "timeout-offset",
        value_name = "SECONDS",
        default_value_t = 0.5,
        help_heading = "Probing"
    )]
    pub timeout_offset: f64,
    /// How many results, and how many older failures, to keep for the web page
    #[arg(
        long = "history.limit",
        value_name = "N",
        default_value_t = 100,
        help_heading = "Probing"
    )]
    pub history_limit: usize,
    /// Severity from which on the log lines of a probe are kept
    #[arg(
        long = "log.prober",
        value_name = "LEVEL",
        default_value = "info",
        help_heading = "Probing"
    )]
    pub log_prober: Level,
    /// Most probes that /probe runs at a time; more are answered with 503
    #[arg(
        long = "probe.max-concurrent",
        value_name = "N",
        default_value_t = 500,
        help_heading = "Probing"
    )]
    pub max_concurrent: usize,
    /// Let /probe call public addresses only (for targets that others choose)
    #[arg(long = "probe.public-only", help_heading = "Probing")]
    pub public_only: bool,
    /// Network that may be called in spite of --probe.public-only; repeatable
    #[arg(
        long = "probe.allow-network",
        value_name = "CIDR",
        requires = "public_only",
        help_heading = "Probing"
    )]
    pub allow_network: Vec<Cidr>,
    /// File with targets to probe by the clock, whose results are sent by --remote-write.url
    #[arg(
        long = "probe.targets-file",
        value_name = "FILE",
        requires = "remote_write_url",
        help_heading = "Probing"
    )]
    pub targets_file: Option<PathBuf>,
    /// Most probes of --probe.targets-file that run at a time
    #[arg(
        long = "probe.workers",
        value_name = "N",
        default_value = "100",
        help_heading = "Probing"
    )]
    pub workers: NonZeroUsize,
    /// URL under which the prober is reached from outside, for links
    #[arg(long = "web.external-url", value_name = "URL", help_heading = "Web")]
    pub external_url: Option<String>,
    /// Path prefix of all pages; the path of --web.external-url where it is not given
    #[arg(long = "web.route-prefix", value_name = "PATH", help_heading = "Web")]
    pub route_prefix: Option<String>,
    #[command(flatten)]
    pub push: push::Args,
}

impl Args {
    fn settings(&self, source: Source) -> anyhow::Result<Settings> {
        let offset = Duration::try_from_secs_f64(self.timeout_offset)
            .context("--timeout-offset must be a number of seconds that is not negative")?;
        let guard = if self.public_only {
            Guard::Public { allowed: self.allow_network.clone().into() }
        } else {
            Guard::Open
        };
        Ok(Settings {
            history_limit: self.history_limit,
            log_prober: self.log_prober,
            timeout_offset: offset,
            guard,
            max_concurrent: self.max_concurrent,
            source: Some(source),
        })
    }
}

/// Runs the prober until `shutdown` fires.
pub async fn run(args: Args, shutdown: Shutdown) -> anyhow::Result<()> {
    let source = Source::find(args.config_file.as_deref());
    let config = source.load()?;
    if args.config_check {
        return print_checked(&config, &source);
    }
    match &source {
        Source::File(path) => {
            info!(modules = config.modules.len(), "loaded configuration {}", path.display());
        }
        Source::BuiltIn => info!(
            modules = config.modules.len(),
            "no --config.file and no blackbox.yml: using the built-in modules, see /config"
        ),
    }
    let listeners = args.web.bind(DEFAULT_ADDRESS)?;
    let port = listeners.first().map_or(9115, |listener| listener.address().port());
    let external =
        ExternalUrl::new(args.external_url.as_deref(), args.route_prefix.as_deref(), port)?;
    let web_config = args.web.config()?;
    anyhow::ensure!(
        args.push.register_url.is_none(),
        "--register.url is for the exporter of a machine: a Prometheus cannot discover what to probe here"
    );
    let defaults = push::Defaults { program: "blackbox", job: "blackbox", port };
    let pushing = match (args.push.config(&defaults)?, &args.targets_file) {
        (Some(push_config), Some(file)) => Some((Plan::load(file, &config)?, push_config)),
        (Some(_), None) => anyhow::bail!(
            "--remote-write.url sends probes that are made by the clock: name them with --probe.targets-file"
        ),
        (None, _) => None,
    };
    let blackbox = Blackbox::new(config, args.settings(source.clone())?);
    let health = Health::default();
    health.ready();
    let (reload, requests) = service::reload::channel();
    tokio::spawn(blackbox.clone().serve_reloads(requests, shutdown.clone()));
    if args.auto_reload
        && let Source::File(path) = source
    {
        let every = Duration::from_secs(args.auto_reload_interval);
        tokio::spawn(reload_on_change(reload.clone(), path, every, shutdown.clone()));
    }
    let router = web::router(&blackbox, health, Some(reload), &external);
    let pages = service::web::serve(listeners, router, web_config, shutdown.clone());
    let Some((plan, push_config)) = pushing else { return pages.await };
    let halves = push::open(&push_config)?;
    blackbox.metrics().register(|registry| halves.0.stats().register(registry));
    info!(
        targets = plan.targets().len(),
        "sending probes of {} targets to {}",
        plan.targets().len(),
        push_config.url
    );
    let scheduler = Scheduler::new(blackbox, plan, args.workers);
    let sending = pushed::run(scheduler, &push_config, halves, shutdown.clone());
    let serving = async {
        let served = pages.await;
        // An error of the pages ends the program, and the series with it.
        shutdown.fire();
        served
    };
    tokio::join!(serving, sending).0
}

#[expect(clippy::print_stdout, reason = "the configuration is what --config.check is asked for")]
fn print_checked(config: &Config, source: &Source) -> anyhow::Result<()> {
    print!("{}", config.to_yaml());
    match source {
        Source::File(path) => info!("configuration {} is good", path.display()),
        Source::BuiltIn => info!("the built-in configuration is good"),
    }
    Ok(())
}

async fn reload_on_change(reload: Reload, path: PathBuf, every: Duration, shutdown: Shutdown) {
    let mut known = tokio::fs::read(&path).await.ok();
    loop {
        tokio::select! {
            () = shutdown.fired() => return,
            () = tokio::time::sleep(every) => {}
        }
        let now = tokio::fs::read(&path).await.ok();
        if now != known {
            known = now;
            // The outcome is logged and counted where it happens.
            let _ = reload.request().await;
        }
    }
}

//! Everything on this machine as one value: started in order, told where it listens, stopped in order.

mod announcement;
mod args;
mod folder;
mod jobs;
mod ports;
mod stage;

use std::path::PathBuf;

use anyhow::Context;
use blackbox::Blackbox;
use exporter::Exporter;
use receiver::{Closing, Receiver, config::Rules, db::managed::ManagedConfig};
use service::Shutdown;
use tracing::info;

pub use self::{args::Args, ports::Addresses};
use self::{ports::Ports, stage::Stage};
use crate::{
    database::Database,
    feed::{self, FeedMetrics},
};

/// The running suite. Stop it with [`Suite::shutdown`]; dropped without, PostgreSQL stops by itself a moment later.
#[derive(Debug)]
pub struct Suite {
    addresses: Addresses,
    folder: PathBuf,
    /// What only produces: the exporters' pages and the feed. Stopped first.
    edges: Stage,
    /// The receiver's pages. Stopped when nothing more comes from the edges.
    core: Stage,
    closing: Closing,
    database: Database,
}

/// What is made before the database, because making it may find a mistake of the user's.
struct Parts {
    ports: Ports,
    exporter: Exporter,
    blackbox: Blackbox,
    rules: Rules,
    folder: PathBuf,
}

impl Suite {
    /// Starts everything. All ports are bound before anything heavy happens, so that a taken one costs nothing.
    /// `quit` fires when somebody asks by /-/quit to stop.
    pub async fn start(args: Args, quit: Shutdown) -> anyhow::Result<Self> {
        let parts = Parts::make(&args)?;
        let database = match args.database.url()? {
            Some(url) => Database::Given { url },
            None => Database::start_private(private_postgres(&args, &parts)).await?,
        };
        let mut config = receiver::Config::new(database.url().to_owned());
        config.storage.retention.all = args.retention.map(|span| span.0);
        config.storage.retention.rules = args.retention_for.clone();
        config.storage.rollups = args.rollups.map(|span| span.0);
        config.limits = args.limits.limits();
        config.admin_api = args.admin_api;
        config.rules.clone_from(&parts.rules);
        config.access = parts.ports.access(args.require_token);
        config.queries = args.queries.limits();
        // From here on an error has to stop the database in order.
        match Receiver::open(config).await {
            Ok((receiver, closing)) => {
                Ok(Self::serve(&args, parts, &receiver, closing, database, quit))
            }
            Err(err) => {
                database.stop().await;
                Err(err).context("open the receiver")
            }
        }
    }

    fn serve(
        args: &Args,
        parts: Parts,
        receiver: &Receiver,
        closing: Closing,
        database: Database,
        quit: Shutdown,
    ) -> Self {
        let Parts { ports, exporter, blackbox, folder, rules: _ } = parts;
        let addresses = ports.addresses();
        let mut core = Stage::default();
        let stop = core.stop_token().clone();
        let reload = receiver.reload_from(args.receiver_config_file.clone(), &stop);
        let lifecycle = service::admin::lifecycle_router(args.lifecycle, reload, quit);
        let pages = receiver.router_with(&stop, lifecycle);
        core.serve(ports.receiver, pages, ports.web.clone().letting_bearers_pass());

        let mut edges = Stage::default();
        edges.serve(ports.exporter, exporter.router(), ports.web.clone());
        let (reload_modules, requests) = service::reload::channel();
        let (modules, stop) = (blackbox.clone(), edges.stop_token().clone());
        edges.run(async move {
            modules.serve_reloads(requests, stop).await;
            Ok(())
        });
        edges.serve(ports.blackbox, blackbox.router(Some(reload_modules)), ports.web);
        let jobs = jobs::all(args, &addresses, exporter, &blackbox);
        let feed_metrics = receiver.metrics().register(FeedMetrics::register);
        let (ingest, stop) = (receiver.ingest().clone(), edges.stop_token().clone());
        edges.run(async move {
            feed::run(jobs, ingest, feed_metrics, stop).await;
            Ok(())
        });
        Self { addresses, folder, edges, core, closing, database }
    }

    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Completes when a part ended by itself, which none should. Cancel-safe.
    pub async fn failed(&mut self) -> anyhow::Error {
        tokio::select! {
            err = self.edges.failed() => err,
            err = self.core.failed() => err,
        }
    }

    /// Stops everything, each part after those that need it.
    pub async fn shutdown(self) {
        self.edges.finish().await;
        self.core.finish().await;
        self.closing.finished().await;
        self.database.stop().await;
    }
}

impl Parts {
    fn make(args: &Args) -> anyhow::Result<Self> {
        let exporter =
            exporter::Config { paths: args.paths.clone(), ..exporter::Config::default() };
        let modules = blackbox::config::Source::find(args.blackbox_config_file.as_deref());
        let settings = blackbox::Settings { source: Some(modules.clone()), ..Default::default() };
        let blackbox = Blackbox::new(modules.load()?, settings);
        jobs::check(args, &blackbox)?;
        Ok(Self {
            ports: Ports::bind(args)?,
            exporter: Exporter::new(&exporter)?,
            blackbox,
            rules: Rules::load(args.receiver_config_file.as_deref())?,
            folder: folder::choose(args.storage_path.as_deref())?,
        })
    }
}

fn private_postgres(args: &Args, parts: &Parts) -> ManagedConfig {
    let mut config = ManagedConfig::new(parts.folder.join("postgres"));
    config.bin_dir.clone_from(&args.postgres_bin_dir);
    if args.postgres_download_url.is_some() {
        config.download_url.clone_from(&args.postgres_download_url);
    }
    config
}

/// Runs a suite until `shutdown` fires.
pub async fn run(args: Args, shutdown: Shutdown) -> anyhow::Result<()> {
    let started = tokio::select! {
        started = Suite::start(args, shutdown.clone()) => started,
        // What was started so far stops when it is dropped.
        () = shutdown.fired() => return Ok(()),
    };
    let mut suite = started?;
    announcement::print(&suite);
    let outcome = tokio::select! {
        () = shutdown.fired() => Ok(()),
        err = suite.failed() => Err(err),
    };
    suite.shutdown().await;
    info!("stopped");
    outcome
}

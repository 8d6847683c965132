//! Everything on this machine as one value: started in order, told where it listens, stopped in order.

mod args;
mod exposure;
mod folder;

use std::{io::Write, net::SocketAddr, path::PathBuf};

use anyhow::Context;
use axum::Router;
use exporter::Exporter;
use receiver::{Closing, Receiver, db::managed::ManagedConfig, host_name, ingest::Limits};
use service::{Shutdown, web};
use tokio::task::JoinSet;
use tracing::{error, info};

pub use self::args::Args;
use crate::{
    database::Database,
    feed::{self, FeedMetrics, Job, Source},
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

/// Where each part listens.
#[derive(Clone, Debug)]
pub struct Addresses {
    pub receiver: Vec<SocketAddr>,
    pub exporter: Vec<SocketAddr>,
}

/// Tasks that are stopped together.
#[derive(Debug, Default)]
struct Stage {
    stop: Shutdown,
    tasks: JoinSet<anyhow::Result<()>>,
}

impl Suite {
    /// Starts everything. All ports are bound before anything heavy happens, so that a taken one costs nothing.
    pub async fn start(args: Args) -> anyhow::Result<Self> {
        let bound = Bound::bind(&args)?;
        let exporter = Exporter::new(&exporter::Config::default())?;
        let folder = folder::choose(args.storage_path.as_deref())?;
        let database = match &args.database_url {
            Some(url) => Database::Given { url: url.clone() },
            None => {
                let config = ManagedConfig {
                    bin_dir: args.postgres_bin_dir.clone(),
                    ..ManagedConfig::new(folder.join("postgres"))
                };
                Database::start_private(config).await?
            }
        };
        let config = receiver::Config {
            database_url: database.url().to_owned(),
            host: host_name(),
            limits: Limits::default(),
        };
        // From here on an error has to stop the database in order.
        match Receiver::open(config).await {
            Ok((receiver, closing)) => {
                Ok(Self::serve(&args, bound, folder, database, &receiver, closing, exporter))
            }
            Err(err) => {
                database.stop().await;
                Err(err).context("open the receiver")
            }
        }
    }

    fn serve(
        args: &Args,
        bound: Bound,
        folder: PathBuf,
        database: Database,
        receiver: &Receiver,
        closing: Closing,
        exporter: Exporter,
    ) -> Self {
        let addresses = bound.addresses();
        let mut core = Stage::default();
        let live_stop = core.stop.clone();
        core.serve(bound.receiver, receiver.router(&live_stop), bound.web);
        let mut edges = Stage::default();
        edges.serve(bound.exporter, exporter.router(), web::Config::default());
        let feed_metrics = receiver.metrics().register(FeedMetrics::register);
        let jobs = vec![Job {
            source: Source::Exporter(exporter),
            job: "node".to_owned(),
            instance: instance(&addresses.exporter),
            interval: args.scrape_interval.0,
        }];
        let (ingest, stop) = (receiver.ingest().clone(), edges.stop.clone());
        edges.tasks.spawn(async move {
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
        let ended = tokio::select! {
            ended = self.edges.tasks.join_next() => ended,
            ended = self.core.tasks.join_next() => ended,
        };
        match ended {
            Some(Ok(Err(err))) => err,
            Some(Err(err)) => anyhow::Error::new(err).context("a part ended"),
            Some(Ok(Ok(()))) | None => anyhow::anyhow!("a part ended by itself"),
        }
    }

    /// Stops everything, each part after those that need it.
    pub async fn shutdown(self) {
        self.edges.finish().await;
        self.core.finish().await;
        self.closing.finished().await;
        self.database.stop().await;
    }

    /// What runs where, for a person.
    fn announce(&self) {
        let list = |addresses: &[SocketAddr], path: &str| {
            let urls: Vec<String> =
                addresses.iter().map(|address| format!("http://{address}{path}")).collect();
            urls.join(" ")
        };
        let text = format!(
            "\nWatchpost {} is running.\n\n  console   {}\n  exporter  {}\n  database  {}\n\nStop it with Ctrl-C.\n",
            env!("CARGO_PKG_VERSION"),
            list(&self.addresses.receiver, "/"),
            list(&self.addresses.exporter, "/metrics"),
            self.database.describe(&self.folder),
        );
        // A closed standard output is no reason to stop.
        let _ = std::io::stdout().write_all(text.as_bytes());
    }
}

/// Every port, bound and not yet served.
struct Bound {
    receiver: Vec<web::Listener>,
    exporter: Vec<web::Listener>,
    web: web::Config,
}

impl Bound {
    fn bind(args: &Args) -> anyhow::Result<Self> {
        let web = web::Config::load(args.web.config_file.as_deref())?;
        let receiver = web::bind(&args.web.listen_address_or("127.0.0.1:9201"))?;
        exposure::check(&addresses(&receiver), args.web.config_file.is_some())?;
        let exporter = bind_for("--exporter.listen-address", &args.exporter_listen_address)?;
        Ok(Self { receiver, exporter, web })
    }

    fn addresses(&self) -> Addresses {
        Addresses { receiver: addresses(&self.receiver), exporter: addresses(&self.exporter) }
    }
}

/// Binds, naming the flag that moves this part elsewhere.
fn bind_for(flag: &str, address: &str) -> anyhow::Result<Vec<web::Listener>> {
    web::bind(&[address.to_owned()]).map_err(|err| match err {
        web::BindError::Taken { address } => anyhow::anyhow!(
            "{address} is taken by another program: stop it or choose another address with {flag}"
        ),
        other => anyhow::Error::new(other),
    })
}

fn addresses(listeners: &[web::Listener]) -> Vec<SocketAddr> {
    listeners.iter().map(web::Listener::address).collect()
}

/// What a Prometheus that scrapes this machine by its name would set.
fn instance(addresses: &[SocketAddr]) -> String {
    let port = addresses.first().map_or(0, SocketAddr::port);
    format!("{}:{port}", host_name())
}

impl Stage {
    fn serve(&mut self, listeners: Vec<web::Listener>, router: Router, config: web::Config) {
        self.tasks.spawn(web::serve(listeners, router, config, self.stop.clone()));
    }

    /// Asks all tasks to stop and waits for them.
    async fn finish(mut self) {
        self.stop.fire();
        while let Some(ended) = self.tasks.join_next().await {
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(err)) => error!("{}", service::error::chain(err.as_ref())),
                Err(err) => error!("a part did not stop in order: {err}"),
            }
        }
    }
}

/// Runs a suite until `shutdown` fires.
pub async fn run(args: Args, shutdown: Shutdown) -> anyhow::Result<()> {
    let started = tokio::select! {
        started = Suite::start(args) => started,
        // What was started so far stops when it is dropped.
        () = shutdown.fired() => return Ok(()),
    };
    let mut suite = started?;
    suite.announce();
    let outcome = tokio::select! {
        () = shutdown.fired() => Ok(()),
        err = suite.failed() => Err(err),
    };
    suite.shutdown().await;
    info!("stopped");
    outcome
}

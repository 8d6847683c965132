//! The receiver as a component: opened, served, closed.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::SystemTime,
};

use axum::Router;
use service::{Health, LifecycleArgs, Metrics, Reload, Shutdown, WebArgs, admin, reload};

use crate::{
    agents::Agents,
    agents::census::Census,
    config::Rules,
    db, http,
    http::auth::Access,
    ingest::{Ingest, IngestMetrics, LimitArgs, Limits},
    live::{self, Hub},
    model::Clock,
    query::{self, Queries, QueryMetrics},
    storage::{
        self, Closing, Storage,
        commit::{Committed, Listener},
        retention::Retention,
    },
    token::Keyring,
    usage::Usage,
};

/// The flags of `watchpost-receiver` and of `watchpost receiver`.
#[derive(Clone, Debug, clap::Args)]
// The program flattens this into an `Args` of its own; groups are named after structs and must differ.
#[group(skip)]
pub struct Args {
    #[command(flatten)]
    pub web: WebArgs,
    #[command(flatten)]
    pub lifecycle: LifecycleArgs,
    /// File with rules about what is taken in (relabelling, replicas, limits); read anew on SIGHUP and by /-/reload
    #[arg(id = "receiver_config_file", long = "config.file", value_name = "FILE")]
    pub config_file: Option<PathBuf>,
    #[command(flatten)]
    pub database: db::Args,
    /// How long samples are kept, in whole days, such as 90d; for ever if not given
    #[arg(long = "storage.retention", value_name = "DURATION")]
    pub retention: Option<service::units::Span>,
    /// How long the series of a selector are kept, shorter or longer than others: `{job="debug"}=7d`; repeatable, the
    /// first that selects a series decides
    #[arg(long = "storage.retention-for", value_name = "SELECTOR=DURATION")]
    pub retention_for: Vec<storage::retention::Rule>,
    /// Keep the hours of every series, for SQL over long times, and for how long, in whole days, such as 5y; some
    /// 30 % more space for as long as the samples are there
    #[arg(long = "storage.rollups", value_name = "DURATION")]
    pub rollups: Option<service::units::Span>,
    /// How often samples are moved from the log into blocks, such as 2m
    #[arg(long = "storage.flush-every", value_name = "DURATION", hide = true)]
    pub flush_every: Option<service::units::Span>,
    /// How far to set the storage's clock ahead, to try what happens when clocks differ
    #[arg(long = "storage.clock-ahead", value_name = "DURATION", hide = true)]
    pub clock_ahead: Option<service::units::Span>,
    #[command(flatten)]
    pub limits: LimitArgs,
    /// Serve /api/v1/admin, by which series can be deleted
    #[arg(long = "web.enable-admin-api", help_heading = "Web")]
    pub admin_api: bool,
    /// Ask for a bearer token on loopback, too; on other addresses one is needed unless --web.config.file asks for
    /// passwords or certificates
    #[arg(long = "web.require-token", help_heading = "Web")]
    pub require_token: bool,
    #[command(flatten)]
    pub queries: query::Args,
}

/// Where the receiver listens unless told otherwise: wider only with credentials.
pub const DEFAULT_ADDRESS: &str = "127.0.0.1:9201";

/// What a receiver needs to open.
#[derive(Clone, Debug)]
pub struct Config {
    pub storage: storage::Options,
    pub limits: Limits,
    /// What the configuration file says.
    pub rules: Rules,
    /// Whether `/api/v1/admin` does what it is asked to.
    pub admin_api: bool,
    /// Who is let in over HTTP.
    pub access: Access,
    /// What queries may take.
    pub queries: query::Limits,
}

impl Config {
    /// The usual limits, samples kept for ever, and everybody let in.
    pub fn new(database_url: String) -> Self {
        let storage = storage::Options::new(database_url, service::host_name());
        Self {
            storage,
            limits: Limits::default(),
            rules: Rules::default(),
            admin_api: false,
            access: Access::open(),
            queries: query::Limits::default(),
        }
    }
}

/// An open receiver. Cheap to clone.
#[derive(Clone)]
pub struct Receiver {
    storage: Storage,
    ingest: Ingest,
    hub: Hub,
    metrics: Metrics,
    health: Health,
    admin_api: http::admin::Enabled,
    access: Access,
    keyring: Keyring,
    denied: http::auth::Denied,
    queries: Queries,
    about: http::query::About,
    agents: Agents,
}

/// Hands what is committed to the hub, which exists only once the storage does.
#[derive(Default)]
struct Live(OnceLock<Hub>);

impl Listener for Live {
    fn is_interested(&self) -> bool {
        self.0.get().is_some_and(Hub::is_watched)
    }

    fn committed(&self, committed: Arc<Committed>) {
        if let Some(hub) = self.0.get() {
            hub.publish(committed);
        }
    }
}

impl Receiver {
    /// Connects, migrates, reads back what a receiver before this one left in the log.
    pub async fn open(config: Config) -> Result<(Self, Closing), storage::OpenError> {
        let metrics = Metrics::new("receiver");
        let desk = db::connect_options(&config.storage.database_url)?;
        let keyring = Keyring::new(desk.clone());
        let live = Arc::new(Live::default());
        let listener = Arc::clone(&live);
        let about = about(&config);
        let mut limits = config.limits;
        if let Some(age_ms) = config.storage.retention.age_ms_max() {
            limits.age_ms_max = limits.age_ms_max.min(age_ms);
        }
        let (storage, closing) = Storage::open(config.storage, listener).await?;
        let live_metrics = metrics.register(live::Metrics::register);
        let hub = live
            .0
            .get_or_init(|| Hub::new(Arc::new(storage.reader().clone()), live_metrics))
            .clone();
        let ingest_metrics = metrics.register(IngestMetrics::register);
        let ingest = Ingest::new(storage.clone(), limits, config.rules, ingest_metrics);
        ingest
            .agree_on_leaders(db::desk(desk.clone()))
            .await
            .map_err(|source| storage::OpenError::Leaders { source })?;
        metrics.register(|registry| storage.metrics().register(registry));
        let health = Health::default();
        health.ready();
        tokio::spawn(follow(storage.accepting(), health.clone()));
        let usage = metrics.register(Usage::register);
        let slow_desk = db::desk(desk.clone());
        tokio::spawn(usage.follow(slow_desk.clone(), storage.accepting()));
        let census = metrics.register(Census::register);
        tokio::spawn(census.follow(slow_desk, storage.accepting()));
        let denied = metrics.register(http::auth::Denied::register);
        let (access, admin_api) = (config.access, http::admin::Enabled(config.admin_api));
        let query_metrics = metrics.register(QueryMetrics::register);
        let queries = Queries::new(storage.reader().clone(), config.queries, query_metrics);
        let agents = Agents::new(db::desk(desk), storage.reader().clone(), hub.clone());
        let this = Self {
            storage,
            ingest,
            hub,
            metrics,
            health,
            admin_api,
            access,
            keyring,
            denied,
            queries,
            about,
            agents,
        };
        Ok((this, closing))
    }

    /// The way in for parts of the same process.
    pub fn ingest(&self) -> &Ingest {
        &self.ingest
    }

    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// Live updates, for parts of the same process.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Where parts of the same process show their metrics with ours.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Puts other rules in force, for requests that come from now on.
    pub fn set_rules(&self, rules: Rules) {
        self.ingest.set_rules(rules);
    }

    /// Reads the file of rules anew whenever it is asked to, and on SIGHUP, until `shutdown` fires.
    pub fn reload_from(&self, file: Option<PathBuf>, shutdown: &Shutdown) -> Reload {
        let (reload, requests) = reload::channel();
        let gauges = self.metrics.reload("receiver");
        gauges.succeeded(SystemTime::now());
        let ingest = self.ingest.clone();
        let read = async move || {
            ingest.set_rules(Rules::load(file.as_deref())?);
            anyhow::Ok(())
        };
        tokio::spawn(requests.serve(gauges, shutdown.clone(), read));
        reload
    }

    /// All that is served. `shutdown` ends the live connections, which would keep a server from draining.
    pub fn router(&self, shutdown: &Shutdown) -> Router {
        self.router_with(shutdown, Router::new())
    }

    /// The same with routes of the program's own, which are in the table of scopes as well.
    pub fn router_with(&self, shutdown: &Shutdown, more: Router) -> Router {
        let app = http::App::new(self.ingest.clone());
        let routes = http::router(app)
            .merge(http::query::router(self.queries.clone(), self.about.clone()))
            .merge(http::metadata::router(self.storage.reader().clone()))
            .merge(http::remote_read::router(self.queries.clone()))
            .merge(http::status::router(self.storage.reader().clone()))
            .merge(http::admin::router(self.storage.clone(), self.admin_api))
            .merge(http::tokens::router(
                self.storage.reader().db().clone(),
                self.keyring.clone(),
                self.admin_api,
            ))
            .merge(http::agents::router(self.agents.clone()))
            .merge(http::live::router(self.hub.clone(), shutdown.clone()))
            .merge(http::console::router())
            .merge(admin::router(self.health.clone(), self.metrics.clone()))
            .merge(more)
            .fallback(http::console::not_found);
        http::auth::guarded(routes, self.access.clone(), self.keyring.clone(), self.denied.clone())
    }
}

/// What the query API tells about this server.
fn about(config: &Config) -> http::query::About {
    let span = |duration: std::time::Duration| {
        promql::model::duration::Duration(duration.as_millis() as i64).to_string()
    };
    let retention = config.storage.retention.all.map(span).unwrap_or_default();
    let limits = &config.queries;
    let flags = [
        ("query.timeout", span(limits.timeout)),
        ("query.max-concurrency", limits.concurrency.to_string()),
        ("query.max-samples", limits.samples_max.to_string()),
        ("query.max-memory", limits.bytes_max.to_string()),
        ("query.lookback-delta", span(limits.lookback)),
        ("query.log-slower-than", span(limits.slow)),
        ("storage.retention", retention.clone()),
        ("web.enable-admin-api", config.admin_api.to_string()),
    ];
    http::query::About {
        started: SystemTime::now(),
        host: config.storage.host.clone(),
        flags: flags.into(),
        retention,
    }
}

/// Says that the receiver is not ready while it takes no writes.
async fn follow(mut accepting: tokio::sync::watch::Receiver<bool>, health: Health) {
    while accepting.changed().await.is_ok() {
        if *accepting.borrow_and_update() {
            health.ready();
        } else {
            health.not_ready("another receiver took over; registering anew");
        }
    }
}

/// Runs a receiver of its own until `shutdown` fires.
pub async fn run(args: Args, shutdown: Shutdown) -> anyhow::Result<()> {
    let database_url = args.database.required_url()?;
    let web_config = args.web.config()?.letting_bearers_pass();
    let listeners = args.web.bind(DEFAULT_ADDRESS)?;
    let addresses: Vec<_> = listeners.iter().map(service::web::Listener::address).collect();
    let mut config = Config::new(database_url);
    config.storage.retention =
        Retention { all: args.retention.map(|span| span.0), rules: args.retention_for };
    config.storage.rollups = args.rollups.map(|span| span.0);
    if let Some(every) = args.flush_every {
        config.storage.flush_every = every.0;
    }
    if let Some(ahead) = args.clock_ahead {
        config.storage.clock = Clock::System { ahead_ms: ahead.0.as_millis() as i64 };
    }
    config.limits = args.limits.limits();
    config.admin_api = args.admin_api;
    config.access = Access::new(web_config.clone(), &addresses, args.require_token);
    config.rules = Rules::load(args.config_file.as_deref())?;
    config.queries = args.queries.limits();
    let (receiver, closing) = Receiver::open(config).await?;
    let reload = receiver.reload_from(args.config_file, &shutdown);
    let lifecycle = admin::lifecycle_router(args.lifecycle, reload, shutdown.clone());
    let router = receiver.router_with(&shutdown, lifecycle);
    service::web::serve(listeners, router, web_config, shutdown).await?;
    drop(receiver);
    closing.finished().await;
    Ok(())
}

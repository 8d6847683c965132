//! The exporter as an agent: it sends its metrics itself, tells a receiver that it is there, and shows more while
//! somebody watches. Any of them, beside the page that a Prometheus scrapes.

use std::{sync::Arc, time::Instant};

use proto::exposition::Exposition;
use push::{
    Client, Config, Outbox, Sender,
    registration::{self, Announcement, Intervals},
    scraper::Source,
};
use service::{Shutdown, units::Span};
use tokio::sync::watch;
use tracing::{error, info};

use crate::{Exporter, Filter};

/// What is shown live: cheap to read, and of use within a second.
const LIVE: [&str; 12] = [
    "cpu",
    "diskstats",
    "filesystem",
    "hwmon",
    "loadavg",
    "meminfo",
    "netdev",
    "pressure",
    "stat",
    "thermal_zone",
    "time",
    "vmstat",
];

/// What the pages have that others must know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pages<'a> {
    pub(crate) port: u16,
    pub(crate) is_tls: bool,
    pub(crate) metrics_path: &'a str,
}

/// What is to run beside the pages.
pub(crate) struct Agent {
    exporter: Exporter,
    intervals: watch::Sender<Intervals>,
    own: Intervals,
    pushing: Option<(Config, (Outbox, Sender))>,
    registering: Option<Registering>,
}

struct Registering {
    announcement: Announcement,
    client: Client,
    live_client: Arc<Client>,
    receiver: push::Url,
    labels: Vec<(String, String)>,
}

impl Agent {
    /// Checks the flags and opens the queue. Blocks on the disk.
    pub(crate) fn open(
        args: &push::Args,
        exporter: Exporter,
        pages: Pages<'_>,
    ) -> anyhow::Result<Self> {
        let defaults = push::Defaults { program: "exporter", job: "node", port: pages.port };
        let pushing = match args.config(&defaults)? {
            Some(config) => {
                let halves = push::open(&config)?;
                exporter.show(Arc::clone(halves.0.stats()));
                info!(
                    "sending to {} every {}, queue in {}",
                    config.url,
                    Span(config.interval),
                    config.queue_dir.display()
                );
                Some((config, halves))
            }
            None => None,
        };
        let own = args.intervals()?;
        let registering = match args.registration(&defaults)? {
            Some(registration) => {
                let label = |name: &str| registration.label(name).to_owned();
                let announcement = Announcement {
                    program: "exporter".to_owned(),
                    instance: label("instance"),
                    job: label("job"),
                    name: service::host_name(),
                    address: registration.address.clone(),
                    scheme: if pages.is_tls { "https" } else { "http" },
                    metrics_path: pages.metrics_path.to_owned(),
                    version: env!("CARGO_PKG_VERSION"),
                    os: std::env::consts::OS,
                    labels: registration.own_labels(),
                    pushes: pushing.is_some(),
                };
                let client = || Client::new(registration.credentials.clone(), registration.timeout);
                Some(Registering {
                    announcement,
                    client: client()?,
                    live_client: Arc::new(client()?),
                    receiver: registration.receiver.clone(),
                    labels: registration.labels,
                })
            }
            None => None,
        };
        Ok(Self { exporter, intervals: watch::Sender::new(own), own, pushing, registering })
    }

    /// Runs until `shutdown` fires and everything was said.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        let Self { exporter, intervals, own, pushing, registering } = self;
        let mut tasks = tokio::task::JoinSet::new();
        if let Some((config, halves)) = pushing {
            let (source, held) = (Everything(exporter.clone()), intervals.subscribe());
            let shutdown = shutdown.clone();
            tasks.spawn(async move { push::run(source, &config, held, halves, shutdown).await });
        }
        if let Some(registering) = registering {
            let Registering { announcement, client, live_client, receiver, labels } = registering;
            tasks.spawn(registration::run(
                announcement,
                client,
                receiver.clone(),
                own,
                intervals.clone(),
                shutdown.clone(),
            ));
            let source = Live::new(exporter);
            tasks.spawn(push::live::run(
                source,
                labels,
                live_client,
                receiver,
                intervals,
                shutdown,
            ));
        }
        while let Some(ended) = tasks.join_next().await {
            if let Err(err) = ended {
                error!("a part of the agent ended early: {err}");
            }
        }
    }
}

/// This machine, for being stored.
struct Everything(Exporter);

impl Source for Everything {
    async fn scrape(&mut self, deadline: Instant) -> Option<Exposition> {
        Some(self.0.collect(deadline, &Filter::All).await)
    }

    fn recycle(&self, exposition: Exposition) {
        self.0.recycle(exposition);
    }
}

/// This machine, for being looked at.
struct Live {
    exporter: Exporter,
    filter: Filter,
}

impl Live {
    fn new(exporter: Exporter) -> Self {
        let runs = |name: &&str| exporter.check(&Filter::Only(vec![(*name).to_owned()])).is_ok();
        let names = LIVE.iter().filter(|name| runs(name)).map(|name| (*name).to_owned());
        let filter = Filter::Only(names.collect());
        Self { exporter, filter }
    }
}

impl Source for Live {
    async fn scrape(&mut self, deadline: Instant) -> Option<Exposition> {
        Some(self.exporter.collect(deadline, &self.filter).await)
    }
}

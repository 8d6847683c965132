//! The handle that everybody holds: configuration, history, own metrics, and the way to make a probe.

use std::{
    sync::{Arc, RwLock},
    time::{Duration, SystemTime},
};

use service::{Metrics, Shutdown, config::ConfigError, metrics::ReloadMetrics, reload};
use tokio::sync::Semaphore;

use crate::{
    config::{Config, Module, Source},
    dial::Guard,
    history::{Entry, History},
    log::Level,
    own_metrics::OwnMetrics,
    probe::{self, Job, Outcome, Params},
    tls::SystemRoots,
};

/// What does not change while the program runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many results, and how many older failures beyond them, are kept.
    pub history_limit: usize,
    /// From which severity on a probe's log lines are kept.
    pub log_prober: Level,
    /// Taken off the scrape's time-out, so that the answer is there before Prometheus gives up.
    pub timeout_offset: Duration,
    /// Which addresses `/probe` may call.
    pub guard: Guard,
    /// Most probes that `/probe` runs at a time.
    pub max_concurrent: usize,
    /// Where the configuration came from; `None` where it cannot be read again.
    pub source: Option<Source>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            history_limit: 100,
            log_prober: Level::Info,
            timeout_offset: Duration::from_millis(500),
            guard: Guard::Open,
            max_concurrent: 500,
            source: None,
        }
    }
}

/// Why no probe was made: the request itself is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error("Unknown module {module:?}")]
    UnknownModule { module: String },
    #[error("Target parameter is missing")]
    NoTarget,
    #[error(
        "host header defined both in module configuration ({configured}) and with URL-parameter 'hostname' ({parameter})"
    )]
    TwoHosts { configured: String, parameter: String },
}

#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    #[error("the configuration did not come from a file")]
    NoSource,
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// A prober. Cheap to clone; all clones share one configuration and one history.
#[derive(Clone, Debug)]
pub struct Blackbox(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: RwLock<Arc<Config>>,
    settings: Settings,
    history: History,
    metrics: Metrics,
    own: OwnMetrics,
    reloads: ReloadMetrics,
    roots: SystemRoots,
    /// One permit for each probe that `/probe` may run.
    slots: Arc<Semaphore>,
}

impl Blackbox {
    pub fn new(config: Config, settings: Settings) -> Self {
        let metrics = Metrics::new("blackbox");
        let own = metrics.register(OwnMetrics::register);
        let reloads = metrics.reload("blackbox_exporter");
        reloads.succeeded(SystemTime::now());
        Self(Arc::new(Inner {
            config: RwLock::new(Arc::new(config)),
            history: History::new(settings.history_limit),
            slots: Arc::new(Semaphore::new(settings.max_concurrent)),
            settings,
            metrics,
            own,
            reloads,
            roots: SystemRoots::default(),
        }))
    }

    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// The configuration that the next probe will use.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.0.config.read().expect("no holder panics"))
    }

    /// The program's own metrics.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Reads the configuration anew. One that is wrong changes nothing.
    pub fn reload(&self) -> Result<(), ReloadError> {
        let source = self.0.settings.source.as_ref().ok_or(ReloadError::NoSource)?;
        let loaded = Arc::new(source.load()?);
        *self.0.config.write().expect("no holder panics") = loaded;
        Ok(())
    }

    /// Answers requests for a reload, by signal or by page, until `shutdown` fires.
    pub async fn serve_reloads(self, requests: reload::Requests, shutdown: Shutdown) {
        let metrics = self.0.reloads.clone();
        requests
            .serve(metrics, shutdown, async move || {
                let blackbox = self.clone();
                // Reads a file.
                Ok(tokio::task::spawn_blocking(move || blackbox.reload()).await??)
            })
            .await;
    }

    /// Makes one probe of `target` by the module of that name, which ends after `timeout` at the latest.
    pub async fn probe(
        &self,
        module: &str,
        target: &str,
        params: &Params,
        timeout: Duration,
        guard: &Guard,
    ) -> Result<Outcome, RequestError> {
        let config = self.config();
        let found = self.module(&config, module)?;
        if target.is_empty() {
            return Err(RequestError::NoTarget);
        }
        Ok(self.probe_module(module, found, target, params, timeout, guard).await)
    }

    pub(crate) fn module<'c>(
        &self,
        config: &'c Config,
        name: &str,
    ) -> Result<&'c Arc<Module>, RequestError> {
        config.modules.get(name).ok_or_else(|| {
            self.0.own.unknown_module();
            RequestError::UnknownModule { module: name.to_owned() }
        })
    }

    pub(crate) async fn probe_module(
        &self,
        name: &str,
        module: &Arc<Module>,
        target: &str,
        params: &Params,
        timeout: Duration,
        guard: &Guard,
    ) -> Outcome {
        let job = Job {
            module_name: name,
            module,
            target,
            params,
            timeout,
            guard,
            roots: &self.0.roots,
            log_level: self.0.settings.log_prober,
        };
        let running = self.0.own.begin();
        // Boxed: the future of a probe is large, and callers hold many.
        let outcome = Box::pin(probe::run(&job)).await;
        drop(running);
        self.0.own.probed(module.prober, &outcome);
        self.0.history.add(Entry {
            id: 0,
            module_name: name.to_owned(),
            module: Arc::clone(module),
            target: target.to_owned(),
            outcome: outcome.clone(),
        });
        outcome
    }

    /// Counts a probe by the clock that began so much later than it was due.
    pub(crate) fn delayed(&self, delay: Duration) {
        self.0.own.delayed(delay);
    }

    pub(crate) fn slots(&self) -> &Arc<Semaphore> {
        &self.0.slots
    }

    pub(crate) fn history(&self) -> &History {
        &self.0.history
    }
}

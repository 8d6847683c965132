//! What every Watchpost process needs and none of them should write twice.
//!
//! The shape of a program (see also `CONTRIBUTING.md`):
//!
//! ```no_run
//! #[derive(clap::Parser)]
//! #[command(name = "watchpost-demo")]
//! struct Args {
//!     #[command(flatten)]
//!     log: service::LogArgs,
//!     #[command(flatten)]
//!     web: service::WebArgs,
//!     #[command(flatten)]
//!     lifecycle: service::LifecycleArgs,
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     let args: Args = service::flags::parse();
//!     service::run(&args.log, service::Threads::Two, |shutdown| async move {
//!         service::version::log_start("watchpost-demo");
//!         let listeners = args.web.bind("127.0.0.1:9999")?;
//!         let metrics = service::Metrics::new("demo");
//!         let health = service::Health::default();
//!         let (reload, requests) = service::reload::channel();
//!         tokio::spawn(requests.serve(
//!             metrics.reload("watchpost_demo"),
//!             shutdown.clone(),
//!             async || Ok(()), // read the configuration, check it, swap it
//!         ));
//!         let router = service::admin::router(health.clone(), metrics.clone())
//!             .merge(service::admin::lifecycle_router(args.lifecycle, reload, shutdown.clone()));
//!         let config = args.web.config()?.observed_by(&metrics);
//!         health.ready();
//!         tokio::spawn(health.follow(shutdown.clone()));
//!         service::web::serve(listeners, metrics.observe(router), config, shutdown).await
//!     })
//! }
//! ```
//!
//! [`flags`] parses Prometheus-style flags and gives each an environment twin, [`config`] reads strict YAML and
//! [`secret`] keeps what must not be printed, [`run`] sets up logs and signals, [`web`] binds and serves (TLS,
//! passwords, draining), [`metrics`] holds the program's own metrics, [`admin`] answers `/-/healthy`, `/-/ready`,
//! `/metrics`, `/-/reload` and `/-/quit`. This crate knows no domain and imports nothing of ours.

pub mod admin;
pub mod config;
pub mod error;
pub mod flags;
mod host;
pub mod metrics;
pub mod reload;
mod run;
pub mod secret;
pub mod shutdown;
pub mod telemetry;
pub mod units;
pub mod version;
pub mod web;

pub use admin::{Health, LifecycleArgs};
pub use host::host_name;
pub use metrics::Metrics;
pub use reload::Reload;
pub use run::{Threads, run};
pub use secret::Secret;
pub use shutdown::Shutdown;
pub use telemetry::LogArgs;
pub use web::WebArgs;

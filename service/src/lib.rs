//! What every Watchpost process needs and none of them should write twice.
//!
//! The shape of a program (see also `CONTRIBUTING.md`):
//!
//! ```no_run
//! #[derive(clap::Parser)]
//! struct Args {
//!     #[command(flatten)]
//!     log: service::LogArgs,
//!     #[command(flatten)]
//!     web: service::WebArgs,
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     let args: Args = service::flags::parse();
//!     service::run(&args.log, service::Threads::Two, |shutdown| async move {
//!         let listeners = service::web::bind(&args.web.listen_address_or("127.0.0.1:9999"))?;
//!         let tls = service::web::Config::load(args.web.config_file.as_deref())?;
//!         let router = service::admin::router(service::Health::default(), service::Metrics::new("demo"));
//!         service::web::serve(listeners, router, tls, shutdown).await
//!     })
//! }
//! ```
//!
//! [`flags`] parses Prometheus-style flags and gives each an environment twin, [`config`] reads strict YAML,
//! [`run`] sets up logs and signals, [`web`] binds and serves (TLS, basic auth), [`admin`] answers
//! `/-/healthy`, `/-/ready` and `/metrics`. This crate knows no domain and imports nothing of ours.

pub mod admin;
pub mod config;
pub mod error;
pub mod flags;
pub mod metrics;
pub mod reload;
mod run;
pub mod secret;
pub mod shutdown;
pub mod telemetry;
pub mod units;
pub mod version;
pub mod web;

pub use admin::Health;
pub use metrics::Metrics;
pub use run::{Threads, run};
pub use secret::Secret;
pub use shutdown::Shutdown;
pub use telemetry::LogArgs;
pub use web::WebArgs;

//! Metrics of this machine, as node_exporter names them: a drop-in that costs a fraction.
//!
//! [`Args`] are the flags, [`Exporter`] is made from [`Config`] (a part of them) and answers [`Exporter::collect`],
//! which the page `/metrics` of [`Exporter::router`] and the in-process push share; [`run`] does everything a process
//! needs.
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::{Duration, Instant};
//!
//! use exporter::{Config, Exporter, Filter};
//!
//! let exporter = Exporter::new(&Config::default())?;
//! let deadline = Instant::now() + Duration::from_secs(5);
//! let metrics = exporter.collect(deadline, &Filter::All).await;
//! println!("{}", metrics.to_text());
//! # Ok(())
//! # }
//! ```
//!
//! Inside: [`collector`] has one file a collector, [`runner`] runs them so that a stuck one harms only itself. On Linux
//! `host` reads what the kernel says; [`scan`] takes it apart.

mod agent;
mod args;
mod exporter;
mod filter;
mod gzip;
mod web;

mod collector;
mod runner;

mod name_filter;
mod options;
mod selection;
mod self_metrics;

mod files;
#[cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "most of what is parsed is Linux's")
)]
mod scan;

#[cfg(target_os = "linux")]
mod host;
#[cfg(target_os = "linux")]
mod netlink;
#[cfg(target_os = "linux")]
mod procs;

pub use args::{Args, Config, run};
pub use collector::OptionError;
#[cfg(feature = "testing")]
pub use collector::parse_textfile;
pub use exporter::Exporter;
pub use filter::{Filter, FilterError};
pub use options::{Options, Paths};
pub use selection::Selection;

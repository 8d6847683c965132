//! Probes of HTTP and other endpoints, as `blackbox_exporter` makes them, that also tell why they failed.
//!
//! [`Blackbox`] is the whole: it holds the configuration and the history, makes probes ([`Blackbox::probe`]) and
//! answers `/probe` and its neighbours ([`Blackbox::router`]). A probe gives an [`Outcome`]: families of samples named
//! as in the original, and for a failure the [`Failure`] with its phase and reason from a closed list.
//!
//! ```
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! use std::time::Duration;
//!
//! use blackbox::{Blackbox, Config, Guard, Params, Reason, Settings};
//!
//! let blackbox = Blackbox::new(Config::built_in(), Settings::default());
//! let timeout = Duration::from_secs(5);
//! let outcome = blackbox
//!     .probe("http_2xx", "http://127.0.0.1:1/", &Params::default(), timeout, &Guard::Open)
//!     .await
//!     .unwrap();
//! assert_eq!(outcome.failure.unwrap().reason, Reason::Refused);
//! # });
//! ```

mod args;
mod blackbox;
pub mod config;
mod dial;
mod dns;
mod failure;
mod history;
mod json_path;
mod log;
mod oauth2;
mod once;
mod own_metrics;
mod probe;
mod pushed;
pub mod scheduler;
mod secret_file;
mod tls;
mod web;
mod wire;

pub use self::{
    args::{Args, run},
    blackbox::{Blackbox, ReloadError, RequestError, Settings},
    config::Config,
    dial::{Cidr, CidrError, Guard},
    failure::{Failure, Phase, Reason},
    log::Level,
    once::{OnceArgs, Output, once, run_once},
    probe::{Outcome, Params},
};

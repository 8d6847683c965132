//! Listening and serving: addresses, TLS and passwords by `--web.config.file`, time-outs, draining.
//!
//! A program binds first ([`WebArgs::bind`]), then opens what it needs, then serves ([`serve`]). The file of
//! `--web.config.file` has exporter-toolkit's format; it and the certificates it names are read anew when they change
//! (see [`Config`]).
//!
//! What a handler finds in the request's extensions: `ConnectInfo<SocketAddr>`, [`IsTls`], and [`User`] where
//! passwords are asked for.
//!
//! | bound | value | reason |
//! |---|---|---|
//! | connections | 1,024, or as configured | at 128 KiB of buffers each it is what a small machine can hold; `run` raises the limit of open files |
//! | TLS handshake | 10 s | a handshake takes two round trips |
//! | first request's head | 10 s | the same |
//! | idle connection | 5 min | longer than any scrape interval in use, so that scrapers keep theirs |
//! | pause within a request body | 30 s | a client that stops sending holds memory of ours |
//! | pause of a client that does not read | 60 s | the same |
//! | draining | 20 s, or as configured | less than the 30 s after which Kubernetes kills |

mod client_cert;
pub mod exposure;
mod gate;
mod limit;
mod listen;
mod live;
mod serve;
mod settings;
mod stream;
mod tls;
mod users;

use std::{path::PathBuf, time::Duration};

use crate::units::Span;

pub use gate::{IsTls, User};
pub use listen::{BindError, Listener, bind};
pub use live::{Config, WebConfigError};
pub use serve::serve;

/// The flags of every program that serves HTTP, as exporter-toolkit names them.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Web")]
pub struct WebArgs {
    /// Addresses to listen on; repeatable, `:9100` means all interfaces
    #[arg(long = "web.listen-address", value_name = "ADDRESS", value_delimiter = ',')]
    pub listen_address: Vec<String>,
    /// Use the sockets that systemd passes instead of listening on addresses
    #[arg(long = "web.systemd-socket")]
    pub systemd_socket: bool,
    /// File with TLS, user and header settings (exporter-toolkit's format)
    #[arg(long = "web.config.file", value_name = "FILE")]
    pub config_file: Option<PathBuf>,
    /// How long open requests may take to finish when the program stops [default: 20s]
    #[arg(long = "shutdown.grace-period", value_name = "DURATION")]
    pub grace_period: Option<Span>,
}

impl WebArgs {
    /// What the user asked for, or `default`.
    pub fn listen_address_or(&self, default: &str) -> Vec<String> {
        if self.listen_address.is_empty() {
            vec![default.to_owned()]
        } else {
            self.listen_address.clone()
        }
    }

    /// Binds what the user asked for: systemd's sockets, the addresses, or `default`.
    pub fn bind(&self, default: &str) -> Result<Vec<Listener>, BindError> {
        if self.systemd_socket {
            listen::from_systemd()
        } else {
            bind(&self.listen_address_or(default))
        }
    }

    /// Reads the file of `--web.config.file`, if there is one.
    pub fn config(&self) -> Result<Config, WebConfigError> {
        let config = Config::open(self.config_file.as_deref())?;
        Ok(match self.grace_period {
            Some(Span(grace)) => config.with_grace(grace),
            None => config,
        })
    }
}

/// How long open requests may take to finish, if not configured.
const GRACE: Duration = Duration::from_secs(20);
/// Open connections, if not configured.
const CONNECTIONS_MAX: usize = 1024;

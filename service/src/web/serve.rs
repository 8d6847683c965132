//! Accepting connections, serving each within its bounds, and stopping without cutting anyone off.

use std::{
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use axum::Router;
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use super::{
    Config, Listener,
    gate::Gate,
    stream::{Slot, Stream},
};
use crate::Shutdown;

/// From the first byte to the end of the handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// From a connection's beginning to the end of its first request's head.
const FIRST_REQUEST_MAX: Duration = Duration::from_secs(10);
/// From one request to the end of the next one's head.
const IDLE_MAX: Duration = Duration::from_secs(300);
/// Silence after which the other side is asked whether it still exists.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
/// A pause after an error of accepting, which mostly means that file descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// Streams that a client may have open in one HTTP/2 connection.
const STREAMS_MAX: u32 = 128;
/// Bytes that one HTTP/1 connection buffers, and so the longest head of a request.
const BUFFER_BYTES_MAX: usize = 128 * 1024;
/// Bytes of the headers of one HTTP/2 request.
const HEADER_BYTES_MAX: u32 = 64 * 1024;
/// How long to tell a client that spoke HTTP to a TLS port what is wrong.
const PLAIN_ANSWER_MAX: Duration = Duration::from_secs(1);
/// As much of such a request as is read; those of browsers and scrapers fit.
const PLAIN_REQUEST_BYTES: usize = 8 * 1024;
const PLAIN_ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 53\r\nConnection: close\r\n\r\nThis port speaks HTTPS: use https:// in the address.\n";
/// The first byte of every TLS connection: a handshake record.
const TLS_HANDSHAKE: u8 = 22;

/// Serves `router` on all listeners until `shutdown` fires and the open requests are answered, or the grace period
/// is over.
pub async fn serve(
    listeners: Vec<Listener>,
    router: Router,
    config: Config,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let slots = Arc::new(Semaphore::new(config.connections_max));
    let server = Server {
        router,
        config,
        slots,
        connections: TaskTracker::new(),
        shutdown,
        cut: Shutdown::new(),
    };
    let is_tls = server.config.is_tls();
    let mut accepting = JoinSet::new();
    for listener in listeners {
        let address = listener.address();
        let socket = listener.into_tokio().with_context(|| format!("serve on {address}"))?;
        info!(%address, tls = is_tls, "listening on {address}");
        accepting.spawn(server.clone().accept(socket));
    }
    while let Some(ended) = accepting.join_next().await {
        ended.context("accept connections")?;
    }
    server.drain().await;
    Ok(())
}

#[derive(Clone)]
struct Server {
    router: Router,
    config: Config,
    slots: Arc<Semaphore>,
    connections: TaskTracker,
    shutdown: Shutdown,
    /// Fires when the grace period is over.
    cut: Shutdown,
}

impl Server {
    async fn accept(self, socket: TcpListener) {
        loop {
            let accepted = tokio::select! {
                accepted = self.next(&socket) => accepted,
                () = self.shutdown.fired() => return,
            };
            match accepted {
                Ok((stream, peer, slot)) => {
                    self.connections.spawn(self.clone().connection(stream, peer, slot));
                }
                Err(err) if is_of_one_connection(&err) => {
                    debug!("connection was gone before it was accepted: {err}");
                }
                Err(err) => {
                    warn!("accept connections: {err}");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// The next connection, once there is a place for it.
    async fn next(&self, socket: &TcpListener) -> io::Result<(TcpStream, SocketAddr, Slot)> {
        let (stream, peer) = socket.accept().await?;
        if self.slots.available_permits() == 0 {
            self.config.counts.limited.inc();
            debug!(%peer, "connection waits: as many as allowed are open");
        }
        let permit = Arc::clone(&self.slots).acquire_owned().await.map_err(io::Error::other)?;
        Ok((stream, peer, Slot::new(permit, &self.config.counts.open)))
    }

    async fn connection(self, stream: TcpStream, peer: SocketAddr, slot: Slot) {
        if let Err(err) = set_options(&stream) {
            debug!(%peer, "connection was gone at once: {err}");
            return;
        }
        let tls = self.config.current().await.and_then(|settings| settings.tls.clone());
        let Some(tls) = tls else {
            return self.http(Stream::plain(stream, slot), peer, false).await;
        };
        match timeout(HANDSHAKE_MAX, handshake(TlsAcceptor::from(tls), stream)).await {
            Ok(Ok(stream)) => self.http(Stream::tls(stream, slot), peer, true).await,
            Ok(Err(err)) => {
                self.config.counts.handshakes_failed.inc();
                debug!(%peer, "TLS handshake: {err}");
            }
            Err(_) => {
                self.config.counts.handshakes_failed.inc();
                debug!(%peer, "TLS handshake took too long");
            }
        }
    }

    async fn http(self, stream: Stream, peer: SocketAddr, is_tls: bool) {
        let has_asked = Arc::new(AtomicBool::new(false));
        let gate = Gate { router: self.router, config: self.config, peer, is_tls };
        let seen = Arc::clone(&has_asked);
        let service = service_fn(move |request| {
            seen.store(true, Ordering::Relaxed);
            gate.clone().answer(request)
        });
        let builder = builder();
        let mut connection =
            pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
        let mut first_request = pin!(sleep(FIRST_REQUEST_MAX));
        let (mut is_waiting, mut is_draining) = (true, false);
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(err) = ended {
                        debug!(%peer, "connection: {err}");
                    }
                    return;
                }
                () = self.shutdown.fired(), if !is_draining => {
                    is_draining = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = first_request.as_mut(), if is_waiting => {
                    is_waiting = false;
                    if !has_asked.load(Ordering::Relaxed) {
                        debug!(%peer, "connection brought no request in time");
                        return;
                    }
                }
                () = self.cut.fired() => return,
            }
        }
    }

    /// Waits for the open connections, also a WebSocket, and cuts off those that outlast the grace period.
    async fn drain(self) {
        self.connections.close();
        let all = self.config.connections_max as u32;
        let drained = timeout(self.config.grace, async {
            self.connections.wait().await;
            // A WebSocket has left its task but keeps its slot.
            let _ = self.slots.acquire_many(all).await;
        });
        if drained.await.is_err() {
            let n_open = self.config.connections_max - self.slots.available_permits();
            warn!(connections = n_open, "grace period is over: cutting off open connections");
            self.cut.fire();
            self.connections.wait().await;
        }
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_MAX)
        .max_buf_size(BUFFER_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE_AFTER)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_BYTES_MAX)
        .enable_connect_protocol();
    builder
}

fn set_options(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE_AFTER))
}

/// Shakes hands, or says what is wrong to a client that speaks plain HTTP.
async fn handshake(acceptor: TlsAcceptor, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    let mut first = [0; 1];
    let n_read = stream.peek(&mut first).await?;
    if n_read == 1 && first[0] != TLS_HANDSHAKE {
        if first[0].is_ascii_uppercase() {
            let _ = timeout(PLAIN_ANSWER_MAX, answer_plainly(stream)).await;
        }
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the client does not speak TLS"));
    }
    acceptor.accept(stream).await
}

/// Tells a client what is wrong in the protocol that it speaks.
async fn answer_plainly(mut stream: TcpStream) -> io::Result<()> {
    // Closing with its request unread would reset the connection and take the answer with it.
    let _ = stream.read(&mut [0; PLAIN_REQUEST_BYTES]).await?;
    stream.write_all(PLAIN_ANSWER).await?;
    stream.shutdown().await
}

/// Whether the next attempt to accept may well succeed.
fn is_of_one_connection(err: &io::Error) -> bool {
    matches!(
        err.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

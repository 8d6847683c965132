//! What stands between a receiver and PostgreSQL: a wire that can be cut.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    sync::Notify,
};

/// How the wire is now. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Wire(Arc<State>);

#[derive(Debug, Default)]
struct State {
    port: std::sync::OnceLock<u16>,
    cut: Notify,
    /// Nothing passes for so many milliseconds.
    stall_ms: AtomicU64,
    /// So many answers to something like an `INSERT` are swallowed, and their connections cut.
    swallow: AtomicU32,
}

/// An `INSERT` of a batch is larger than this; questions of housekeeping are not.
const LARGE: usize = 600;

impl Wire {
    pub(crate) async fn open(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let wire = Self(Arc::default());
        wire.0.port.set(listener.local_addr().unwrap().port()).unwrap();
        let accepting = wire.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (wire, socket) = (accepting.clone(), socket.clone());
                tokio::spawn(async move {
                    // Where there is no server the client sees its connection close.
                    if let Ok(server) = UnixStream::connect(&socket).await {
                        wire.carry(client, server).await;
                    }
                });
            }
        });
        wire
    }

    pub(crate) fn url(&self) -> String {
        let port = self.0.port.get().expect("bound when it was opened");
        format!("postgresql://watchpost@127.0.0.1:{port}/watchpost?sslmode=disable")
    }

    /// Cuts every connection now.
    pub(crate) fn cut(&self) {
        self.0.cut.notify_waiters();
    }

    /// Lets nothing pass for a while.
    pub(crate) fn stall(&self, time: Duration) {
        self.0.stall_ms.store(time.as_millis() as u64, Ordering::Relaxed);
    }

    /// Cuts the next `n` connections on which PostgreSQL answers to something large, before the answer passes.
    pub(crate) fn swallow(&self, n: u32) {
        self.0.swallow.store(n, Ordering::Relaxed);
    }

    async fn carry(&self, client: TcpStream, server: UnixStream) {
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let (mut asked, mut answered) = (vec![0; 64 << 10], vec![0; 64 << 10]);
        // Bytes of the question that is being answered.
        let mut question = 0;
        let cut = self.0.cut.notified();
        tokio::pin!(cut);
        loop {
            tokio::select! {
                () = &mut cut => return,
                read = from_client.read(&mut asked) => {
                    let Ok(n @ 1..) = read else { return };
                    self.pause().await;
                    question += n;
                    if to_server.write_all(&asked[..n]).await.is_err() {
                        return;
                    }
                }
                read = from_server.read(&mut answered) => {
                    let Ok(n @ 1..) = read else { return };
                    let swallow = question > LARGE && self.0.swallow
                        .try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                        .is_ok();
                    if swallow {
                        return;
                    }
                    question = 0;
                    self.pause().await;
                    if to_client.write_all(&answered[..n]).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    async fn pause(&self) {
        let stall = self.0.stall_ms.swap(0, Ordering::Relaxed);
        if stall > 0 {
            tokio::time::sleep(Duration::from_millis(stall)).await;
        }
    }
}

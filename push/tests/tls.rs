//! Pushing to a receiver behind TLS: an authority of one's own, certificates of clients, passwords and tokens in files.
//!
//! The receiver is served as every program of ours is, by `--web.config.file`. What is wrong must be told clearly and
//! cost no sample: when it is mended, everything arrives, without a restart where a file was the mistake.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, Once},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    extract::{Extension, State},
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
    routing::post,
};
use proto::{
    exposition::Exposition,
    remote_write::{Message, v2},
    scrape::Target,
    snappy,
};
use push::{Args, Client, Config, Defaults, Outbox};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use service::{Shutdown, web};

const PATIENCE: Duration = Duration::from_secs(60);

/// Values of `n` that arrived, and who sent the last request.
#[derive(Clone, Default)]
struct Receiver(Arc<Mutex<Taken>>);

#[derive(Default)]
struct Taken {
    values: Vec<f64>,
    user: String,
    authorization: String,
    is_tls: bool,
}

async fn write(
    State(receiver): State<Receiver>,
    Extension(web::IsTls(is_tls)): Extension<web::IsTls>,
    user: Option<Extension<web::User>>,
    headers: HeaderMap,
    body: Bytes,
) -> impl IntoResponse {
    let mut raw = Vec::new();
    snappy::decompress(&body, 1 << 26, &mut raw).unwrap();
    let request = v2::Request::decode(raw.as_slice()).unwrap();
    let mut taken = receiver.0.lock().unwrap();
    taken.is_tls = is_tls;
    taken.user = user.map_or_else(String::new, |Extension(web::User(name))| name);
    taken.authorization = headers
        .get(header::AUTHORIZATION)
        .map_or_else(String::new, |value| value.to_str().unwrap().to_owned());
    let mut n_samples = 0;
    for series in &request.timeseries {
        n_samples += series.samples.len();
        let is_n = |pair: &[u32]| request.symbols[pair[1] as usize] == "n";
        if series.labels_refs.chunks(2).any(is_n) {
            taken.values.extend(series.samples.iter().map(|sample| sample.value));
        }
    }
    let written = [("x-prometheus-remote-write-samples-written", n_samples.to_string())];
    (StatusCode::NO_CONTENT, written)
}

/// Certificates, secrets and queues, and what `push::Args` calls them.
struct Folder(tempfile::TempDir);

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self { pem: certificate.pem(), issuer: Issuer::new(params, key) }
    }
}

impl Folder {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Another inode each time, as Kubernetes and editors do it.
    fn write(&self, name: &str, text: &str) {
        fs::write(self.path("new"), text).unwrap();
        fs::rename(self.path("new"), self.path(name)).unwrap();
    }

    fn certify(&self, name: &str, authority: &Authority) {
        let key = KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let params = CertificateParams::new(names).unwrap();
        let certificate = params.signed_by(&key, &authority.issuer).unwrap();
        self.write(&format!("{name}.crt"), &certificate.pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
    }

    /// The configuration of flags, in which `@` stands before a file of this folder.
    fn config(&self, address: SocketAddr, flags: &[(&str, &str)]) -> Config {
        #[derive(clap::Parser)]
        struct Program {
            #[command(flatten)]
            push: Args,
        }
        let mut words = vec!["test".to_owned()];
        let mut flag = |name: &str, value: &str| {
            let value = match value.strip_prefix('@') {
                Some(file) => self.path(file).display().to_string(),
                None => value.to_owned(),
            };
            words.push(format!("--remote-write.{name}={value}"));
        };
        flag("url", &format!("https://localhost:{}/api/v1/write", address.port()));
        flag("queue-dir", "@queue");
        flag("timeout", "10s");
        for (name, value) in flags {
            flag(name, value);
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let program: Program = service::flags::parse_from(&words).unwrap();
        let defaults = Defaults { program: "test", job: "test", port: 1 };
        program.push.config(&defaults).unwrap().unwrap()
    }
}

struct Server {
    receiver: Receiver,
    address: SocketAddr,
    folder: Folder,
    shutdown: Shutdown,
    serving: tokio::task::JoinHandle<anyhow::Result<()>>,
}

/// A receiver that takes only what comes with a certificate of `clients.crt`'s authority and, where `more` says so, a
/// password.
async fn serve(more: &str) -> Server {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    let folder = Folder(tempfile::tempdir().unwrap());
    let servers = Authority::new("Authority of servers");
    let clients = Authority::new("Authority of clients");
    let others = Authority::new("Another authority");
    folder.write("servers.crt", &servers.pem);
    folder.write("clients.crt", &clients.pem);
    folder.write("others.crt", &others.pem);
    folder.certify("server", &servers);
    folder.certify("agent", &clients);
    folder.certify("stranger", &others);
    folder.write(
        "web.yml",
        &format!(
            "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n  \
             client_ca_file: clients.crt\n  client_auth_type: RequireAndVerifyClientCert\n{more}"
        ),
    );
    let config = web::Config::open(Some(&folder.path("web.yml"))).unwrap();
    let listeners = web::bind(&["127.0.0.1:0".to_owned()]).unwrap();
    let address = listeners[0].address();
    let receiver = Receiver::default();
    let router = Router::new().route("/api/v1/write", post(write)).with_state(receiver.clone());
    let shutdown = Shutdown::new();
    let serving = tokio::spawn(web::serve(listeners, router, config, shutdown.clone()));
    Server { receiver, address, folder, shutdown, serving }
}

impl Server {
    fn values(&self) -> Vec<f64> {
        self.receiver.0.lock().unwrap().values.clone()
    }

    async fn until_taken(&self, expected: &[f64]) {
        let deadline = Instant::now() + PATIENCE;
        while self.values() != expected {
            assert!(Instant::now() < deadline, "{:?} is not {expected:?}", self.values());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn stop(self) {
        self.shutdown.fire();
        tokio::time::timeout(PATIENCE, self.serving).await.unwrap().unwrap().unwrap();
    }

    /// What one request comes to, in the words of the log.
    async fn ask(&self, config: &Config) -> Result<StatusCode, String> {
        let client = Client::new(config.credentials.clone(), config.timeout)
            .map_err(|err| service::error::chain(&err))?;
        let body = snappy::compress(&v2::Request::default().encode_to_vec());
        let sent = client.send(
            "POST".parse().unwrap(),
            config.url.clone(),
            "application/x-protobuf",
            &[],
            body,
        );
        match sent.await {
            Ok(answer) => Ok(StatusCode::from_u16(answer.status.as_u16()).unwrap()),
            Err(err) => Err(service::error::chain(&err)),
        }
    }

    /// Asks until the words are about what is wrong: in TLS 1.3 a certificate of ours is refused when the connection is
    /// made already, so that a request may find it closed before it hears why.
    async fn until_said(&self, config: &Config, expected: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = self.ask(config).await.unwrap_err();
            if said.contains(expected) {
                return;
            }
            let is_closed = ["connection was not ready", "connection closed", "reset"];
            let is_closed = is_closed.iter().any(|words| said.contains(words));
            assert!(is_closed && Instant::now() < deadline, "{said}");
        }
    }
}

struct Sending {
    outbox: Outbox,
    closing: Shutdown,
    sender: tokio::task::JoinHandle<()>,
}

impl Sending {
    fn start(config: &Config) -> Self {
        let (outbox, sender) = push::open(config).unwrap();
        let closing = Shutdown::new();
        let sender = tokio::spawn(sender.run(closing.clone()));
        Self { outbox, closing, sender }
    }

    async fn push(&self, n: i64) {
        let mut metrics = Exposition::new();
        metrics.gauge("n", "A number.", n as f64);
        let request = Target::new(&[("job", "test")]).scraped(&metrics, n, Duration::ZERO);
        self.outbox.push(request).await;
    }

    /// Waits until the receiver was tried so often.
    async fn until_tried(&self, times: u64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut page = Exposition::new();
            self.outbox.stats().write(&mut page);
            let text = page.to_text();
            let tried = text.lines().filter_map(|line| {
                let rest = line.strip_prefix("watchpost_test_remote_write_requests_total{")?;
                rest.rsplit(' ').next()?.parse::<u64>().ok()
            });
            if tried.sum::<u64>() >= times {
                return;
            }
            assert!(Instant::now() < deadline, "not tried {times} times:\n{text}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn stop(self) {
        self.closing.fire();
        self.sender.await.unwrap();
    }
}

const OURS: [(&str, &str); 3] =
    [("tls.ca-file", "@ca.crt"), ("tls.cert-file", "@cert.crt"), ("tls.key-file", "@key.key")];

impl Folder {
    /// Puts the files of [`OURS`] in their place.
    fn present(&self, ca: &str, identity: &str) {
        for (from, to) in [
            (ca.to_owned(), "ca.crt"),
            (format!("{identity}.crt"), "cert.crt"),
            (format!("{identity}.key"), "key.key"),
        ] {
            let text = fs::read_to_string(self.path(&from)).unwrap();
            self.write(to, &text);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_of_ones_own_and_a_certificate_of_the_client() {
    let server = serve("").await;
    server.folder.present("servers.crt", "agent");
    let sending = Sending::start(&server.folder.config(server.address, &OURS));
    sending.push(1).await;
    sending.push(2).await;
    server.until_taken(&[1.0, 2.0]).await;
    sending.stop().await;
    assert!(server.receiver.0.lock().unwrap().is_tls);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mistakes_are_named() {
    let server = serve("").await;
    let folder = &server.folder;
    for (ca, identity, expected) in [
        ("others.crt", "agent", "--remote-write.tls.ca-file"),
        ("servers.crt", "stranger", "--remote-write.tls.cert-file"),
    ] {
        folder.present(ca, identity);
        server.until_said(&folder.config(server.address, &OURS), expected).await;
    }
    // Without a certificate of our own, and without an authority.
    folder.present("servers.crt", "agent");
    for (flags, expected) in
        [(&OURS[..1], "--remote-write.tls.cert-file"), (&[], "--remote-write.tls.ca-file")]
    {
        server.until_said(&folder.config(server.address, flags), expected).await;
    }
    // A file that is not there or holds something else is told of at the start, by name.
    folder.write("empty.pem", "");
    for (file, expected) in
        [("@nowhere.crt", "nowhere.crt: No such file"), ("@empty.pem", "has no certificate")]
    {
        let flags = [("tls.ca-file", file)];
        let said = server.ask(&folder.config(server.address, &flags)).await.unwrap_err();
        assert!(said.contains(expected), "{said}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_the_authority_is_the_wrong_one() {
    let server = serve("").await;
    server.folder.present("others.crt", "agent");
    let sending = Sending::start(&server.folder.config(server.address, &OURS));
    for n in 1..=5 {
        sending.push(n).await;
    }
    sending.until_tried(2).await;
    assert_eq!(server.values(), [0.0; 0]);
    assert!(sending.outbox.stats().pending() > 0);
    // The right file, and the program goes on running.
    server.folder.present("servers.crt", "agent");
    server.until_taken(&[1.0, 2.0, 3.0, 4.0, 5.0]).await;
    sending.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_certificate_counts_at_once() {
    let server = serve("").await;
    server.folder.present("servers.crt", "stranger");
    let sending = Sending::start(&server.folder.config(server.address, &OURS));
    sending.push(1).await;
    sending.until_tried(2).await;
    assert_eq!(server.values(), [0.0; 0]);
    server.folder.present("servers.crt", "agent");
    server.until_taken(&[1.0]).await;
    sending.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords_and_tokens_come_from_files() {
    // The lowest cost: this is not about guessing.
    let hash = bcrypt::hash("correct horse", 4).unwrap();
    let server = serve(&format!("basic_auth_users:\n  agent: {hash}\n")).await;
    server.folder.present("servers.crt", "agent");
    server.folder.write("password", "wrong\n");
    let mut flags = OURS.to_vec();
    flags.extend([("basic-auth.username", "agent"), ("basic-auth.password-file", "@password")]);
    let config = server.folder.config(server.address, &flags);
    assert_eq!(server.ask(&config).await, Ok(StatusCode::UNAUTHORIZED));
    server.folder.write("password", "correct horse\n");
    assert_ne!(server.ask(&config).await, Ok(StatusCode::UNAUTHORIZED));
    let sending = Sending::start(&config);
    sending.push(1).await;
    server.until_taken(&[1.0]).await;
    assert_eq!(server.receiver.0.lock().unwrap().user, "agent");
    sending.stop().await;
    server.stop().await;

    let open = serve("").await;
    open.folder.present("servers.crt", "agent");
    open.folder.write("token", "t0ken\n");
    let mut flags = OURS.to_vec();
    flags.push(("bearer-token-file", "@token"));
    let sending = Sending::start(&open.folder.config(open.address, &flags));
    sending.push(1).await;
    open.until_taken(&[1.0]).await;
    assert_eq!(open.receiver.0.lock().unwrap().authorization, "Bearer t0ken");
    sending.stop().await;
    open.stop().await;
}

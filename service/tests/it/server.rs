//! A server under test, what it needs, and clients for it.

use std::{fs, net::SocketAddr, path::PathBuf, sync::Once};

use axum::{Router, extract::ConnectInfo, routing::get};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use service::{Metrics, Shutdown, web};
use tokio::task::JoinHandle;

static PROVIDER: Once = Once::new();

/// A running server. Dropped without [`Server::stop`] it goes with the test's runtime.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) metrics: Metrics,
    pub(crate) shutdown: Shutdown,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Server {
    /// Serves `/` (who asks) and what `more` adds.
    pub(crate) fn start(config: web::Config, more: Router) -> Self {
        PROVIDER.call_once(|| {
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        let listeners = web::bind(&["127.0.0.1:0".to_owned()]).unwrap();
        let address = listeners[0].address();
        let metrics = Metrics::new("demo");
        let shutdown = Shutdown::new();
        let router = Router::new().route("/", get(who)).merge(more);
        let config = config.observed_by(&metrics);
        let task = tokio::spawn(web::serve(listeners, router, config, shutdown.clone()));
        Self { address, metrics, shutdown, task }
    }

    pub(crate) fn url(&self, scheme: &str) -> String {
        // The name that the certificates are for.
        format!("{scheme}://localhost:{}/", self.address.port())
    }

    /// Whether the server's own metrics have this line.
    pub(crate) fn counts(&self, line: &str) -> bool {
        self.metrics.text().lines().any(|found| found == line)
    }

    pub(crate) async fn stop(self) {
        self.shutdown.fire();
        self.stopped().await;
    }

    pub(crate) async fn stopped(self) {
        tokio::time::timeout(crate::PATIENCE, self.task).await.unwrap().unwrap().unwrap();
    }
}

async fn who(
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: axum::extract::Request,
) -> String {
    let extensions = request.extensions();
    let user = extensions.get::<web::User>().map_or("-", |user| &user.0);
    let web::IsTls(is_tls) = extensions.get().copied().unwrap();
    format!("{} {user} tls={is_tls} {:?}", peer.ip(), request.version())
}

/// A folder with certificates and a `web.yml` beside them.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        // Another inode, as editors and Kubernetes do it.
        let new = self.path(&format!("{name}.new"));
        fs::write(&new, text).unwrap();
        fs::rename(new, self.path(name)).unwrap();
    }

    /// Writes `web.yml` and opens it.
    pub(crate) fn config(&self, text: &str) -> web::Config {
        self.write("web.yml", text);
        web::Config::open(Some(&self.path("web.yml"))).unwrap()
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Writes `<name>.crt` and `<name>.key` for `names`, signed by `authority`.
    pub(crate) fn certify(&self, name: &str, names: &[&str], authority: &Authority) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let params = CertificateParams::new(names).unwrap();
        let certificate = params.signed_by(&key, &authority.issuer).unwrap();
        self.write(&format!("{name}.crt"), &certificate.pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
    }
}

/// Somebody who signs certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self { pem: certificate.pem(), issuer: Issuer::new(params, key) }
    }
}

/// A client without a pool, so that each request is a connection and a handshake of its own.
pub(crate) fn client(authority: Option<&Authority>) -> reqwest::ClientBuilder {
    let builder =
        reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(crate::PATIENCE);
    match authority {
        Some(authority) => {
            let root = reqwest::Certificate::from_pem(authority.pem.as_bytes()).unwrap();
            builder.tls_certs_only([root])
        }
        None => builder,
    }
}

/// The client certificate that [`Folder::certify`] wrote.
pub(crate) fn identity(folder: &Folder, name: &str) -> reqwest::Identity {
    let pem =
        format!("{}{}", folder.read(&format!("{name}.key")), folder.read(&format!("{name}.crt")));
    reqwest::Identity::from_pem(pem.as_bytes()).unwrap()
}

//! One HTTP client with the credentials of the flags. Files are read when they are used, so that what is renewed counts.

use std::{
    error::Error,
    io,
    path::{Path, PathBuf},
    sync::Mutex,
    time::{Duration, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::{
    Certificate, Identity, Method, Proxy, StatusCode, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
};
use service::Secret;

use crate::args::Label;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Certificates and keys; a bundle of all public authorities is about 250 KiB.
const PEM_BYTES_MAX: u64 = 4 << 20;
/// Of an answer; what is beyond is not looked at.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Who we are to the receiver, and whom we take for it.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    pub username: Option<String>,
    pub password_file: Option<PathBuf>,
    pub token_file: Option<PathBuf>,
    pub ca_file: Option<PathBuf>,
    pub cert_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    pub headers: Vec<Label>,
    pub proxy_url: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is larger than {PEM_BYTES_MAX} bytes", path.display())]
    TooLong { path: PathBuf },
    #[error("use {} for TLS", path.display())]
    Pem {
        path: PathBuf,
        #[source]
        source: reqwest::Error,
    },
    #[error("{} has no certificate in PEM format", path.display())]
    NoCertificate { path: PathBuf },
    #[error("credentials for the receiver")]
    Secret {
        #[from]
        source: service::secret::SecretError,
    },
    #[error("--remote-write.header: `{name}` cannot be sent")]
    Header { name: String },
    #[error("the secret in {} cannot be sent: it has characters that no header may have", path.display())]
    SecretText { path: PathBuf },
    #[error("--remote-write.proxy-url")]
    Proxy {
        #[source]
        source: reqwest::Error,
    },
    #[error("make an HTTP client")]
    Build {
        #[source]
        source: reqwest::Error,
    },
    #[error("no answer")]
    Unreachable {
        #[source]
        source: reqwest::Error,
    },
    #[error(
        "nobody that we trust signed the receiver's certificate: give the authority's with --remote-write.tls.ca-file"
    )]
    UnknownAuthority {
        #[source]
        source: reqwest::Error,
    },
    #[error(
        "the receiver does not take our certificate: give one that it trusts with --remote-write.tls.cert-file and \
         --remote-write.tls.key-file"
    )]
    CertificateRefused {
        #[source]
        source: reqwest::Error,
    },
}

impl ClientError {
    /// Says what to do about it, where we know.
    fn lost(source: reqwest::Error) -> Self {
        use rustls::{AlertDescription as Alert, CertificateError, Error as Tls};
        match tls_error(&source) {
            Some(Tls::InvalidCertificate(CertificateError::UnknownIssuer)) => {
                Self::UnknownAuthority { source }
            }
            Some(Tls::AlertReceived(
                Alert::CertificateRequired
                | Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA
                | Alert::AccessDenied
                | Alert::DecryptError,
            )) => Self::CertificateRefused { source },
            _ => Self::Unreachable { source },
        }
    }
}

/// What TLS said, which lies deep inside.
fn tls_error(err: &reqwest::Error) -> Option<&rustls::Error> {
    let mut next: Option<&(dyn Error + 'static)> = Some(err);
    while let Some(err) = next {
        if let Some(tls) = err.downcast_ref() {
            return Some(tls);
        }
        // An error of I/O passes over what it wraps when it is asked for its source.
        let wrapped = err.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match wrapped {
            Some(inner) => Some(inner),
            None => err.source(),
        };
    }
    None
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// The first [`ANSWER_BYTES_MAX`] bytes.
    pub body: Vec<u8>,
}

/// Speaks to one receiver.
#[derive(Debug)]
pub struct Client {
    credentials: Credentials,
    headers: HeaderMap,
    timeout: Duration,
    built: Mutex<Built>,
}

#[derive(Debug)]
struct Built {
    http: reqwest::Client,
    /// When the files of TLS were last changed.
    changed: Vec<Option<SystemTime>>,
}

impl Client {
    /// Reads all files once, so that mistakes are found at the start. Blocks on them.
    pub fn new(credentials: Credentials, timeout: Duration) -> Result<Self, ClientError> {
        let mut headers = HeaderMap::new();
        for Label { name, value } in &credentials.headers {
            let wrong = || ClientError::Header { name: name.clone() };
            let header = HeaderName::try_from(name.as_str()).map_err(|_| wrong())?;
            let mut value = HeaderValue::try_from(value.as_str()).map_err(|_| wrong())?;
            // Tenants' tokens are given in headers, too.
            value.set_sensitive(true);
            headers.insert(header, value);
        }
        let built = Built { changed: changed(&credentials), http: build(&credentials, timeout)? };
        let client = Self { credentials, headers, timeout, built: Mutex::new(built) };
        client.authorization()?;
        Ok(client)
    }

    /// One request and the beginning of its answer.
    pub async fn send(
        &self,
        method: Method,
        url: Url,
        content_type: &'static str,
        headers: &[(&'static str, &'static str)],
        body: Vec<u8>,
    ) -> Result<Answer, ClientError> {
        let http = self.http()?;
        let mut request = http
            .request(method, url)
            .headers(self.headers.clone())
            .header(CONTENT_TYPE, content_type)
            .body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(authorization) = self.authorization()? {
            request = request.header(AUTHORIZATION, authorization);
        }
        let lost = |source: reqwest::Error| ClientError::lost(source.without_url());
        let mut response = request.send().await.map_err(lost)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        while body.len() < ANSWER_BYTES_MAX {
            match response.chunk().await.map_err(lost)? {
                Some(chunk) => body.extend_from_slice(&chunk),
                None => break,
            }
        }
        body.truncate(ANSWER_BYTES_MAX);
        Ok(Answer { status, headers, body })
    }

    /// The client, made anew when a file of TLS has changed.
    fn http(&self) -> Result<reqwest::Client, ClientError> {
        let changed = changed(&self.credentials);
        let mut built = self.built.lock().expect("no holder panics");
        if built.changed != changed {
            built.http = build(&self.credentials, self.timeout)?;
            built.changed = changed;
        }
        Ok(built.http.clone())
    }

    fn authorization(&self) -> Result<Option<HeaderValue>, ClientError> {
        let Credentials { username, password_file, token_file, .. } = &self.credentials;
        let (path, text) = match (username, password_file, token_file) {
            (Some(name), Some(path), _) => {
                let password = Secret::read(path)?;
                let pair = STANDARD.encode(format!("{name}:{}", password.expose()));
                (path, format!("Basic {pair}"))
            }
            (_, _, Some(path)) => (path, format!("Bearer {}", Secret::read(path)?.expose().trim())),
            _ => return Ok(None),
        };
        let mut value = HeaderValue::try_from(text)
            .map_err(|_| ClientError::SecretText { path: path.clone() })?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

impl Answer {
    /// How long the receiver wants to be left alone: seconds, or a date.
    pub fn retry_after(&self) -> Option<Duration> {
        let text = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        if let Ok(seconds) = text.parse() {
            return Some(Duration::from_secs(seconds));
        }
        httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::now()).ok()
    }

    /// The first line of the body, for a log.
    pub fn said(&self) -> String {
        const CHARACTERS_MAX: usize = 300;
        let text = String::from_utf8_lossy(&self.body);
        let line: String = text
            .trim()
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(CHARACTERS_MAX)
            .collect();
        if line.is_empty() { self.status.to_string() } else { format!("{}: {line}", self.status) }
    }
}

fn build(credentials: &Credentials, timeout: Duration) -> Result<reqwest::Client, ClientError> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("watchpost/", env!("CARGO_PKG_VERSION")))
        .timeout(timeout)
        .connect_timeout(CONNECT_TIMEOUT.min(timeout))
        // A redirected POST would lose its body or its credentials; whoever redirects is told of in the log.
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(2)
        .http1_only()
        .no_proxy();
    if let Some(url) = &credentials.proxy_url {
        builder = builder.proxy(Proxy::all(url).map_err(|source| ClientError::Proxy { source })?);
    }
    if let Some(path) = &credentials.ca_file {
        let pem = |source| ClientError::Pem { path: path.clone(), source };
        let certificates = Certificate::from_pem_bundle(&read(path)?).map_err(pem)?;
        if certificates.is_empty() {
            return Err(ClientError::NoCertificate { path: path.clone() });
        }
        builder = builder.tls_certs_only(certificates);
    }
    if let (Some(cert), Some(key)) = (&credentials.cert_file, &credentials.key_file) {
        let mut both = read(cert)?;
        both.push(b'\n');
        both.extend(read(key)?);
        let identity = Identity::from_pem(&both)
            .map_err(|source| ClientError::Pem { path: cert.clone(), source })?;
        builder = builder.identity(identity);
    }
    builder.build().map_err(|source| ClientError::Build { source })
}

fn changed(credentials: &Credentials) -> Vec<Option<SystemTime>> {
    [&credentials.ca_file, &credentials.cert_file, &credentials.key_file]
        .into_iter()
        .flatten()
        .map(|path| std::fs::metadata(path).ok()?.modified().ok())
        .collect()
}

fn read(path: &Path) -> Result<Vec<u8>, ClientError> {
    use std::io::Read as _;
    let failed = |source| ClientError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(PEM_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > PEM_BYTES_MAX {
        return Err(ClientError::TooLong { path: path.to_owned() });
    }
    Ok(bytes)
}

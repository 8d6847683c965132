//! TLS as a prober needs it: what the server showed is remembered also when it is not trusted.

mod certificate;
mod facts;
mod verify;

use std::{fs, path::Path, sync::Arc};

use rustls::{
    ClientConfig, SupportedProtocolVersion,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsConnector, client::TlsStream};

pub(crate) use facts::{Extras, TlsFacts};
pub(crate) use verify::{Recorder, Roots};

use crate::{
    config::{TlsConfig, TlsVersion},
    failure::{Failure, Phase, Reason, reason_of_io},
};

/// Files named by the configuration are at most this large.
const PEM_FILE_BYTES_MAX: u64 = 4 << 20;

/// A `tls_config` ready for handshakes.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    settings: TlsConfig,
    roots: Arc<Roots>,
}

impl Client {
    /// Reads the files that `settings` names; `system_roots` are trusted where it names none.
    pub(crate) fn new(settings: &TlsConfig, system_roots: &SystemRoots) -> Result<Self, Failure> {
        let pem = match &settings.ca_file {
            Some(path) => Some(read_pem(path)?),
            None if !settings.ca.is_empty() => Some(settings.ca.clone().into_bytes()),
            None => None,
        };
        let roots = match pem {
            None => system_roots.get(),
            Some(pem) => {
                let certificates: Vec<CertificateDer<'static>> =
                    CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(
                        |err| unusable(&format!("the CA certificates cannot be read: {err}")),
                    )?;
                if certificates.is_empty() {
                    return Err(unusable("the CA file holds no certificate"));
                }
                Arc::new(Roots::new(certificates))
            }
        };
        Ok(Self { settings: settings.clone(), roots })
    }

    /// Shakes hands over `stream`. `facts` hold what the server showed as soon as it showed it.
    pub(crate) async fn handshake<S>(
        &self,
        stream: S,
        server_name: &str,
        alpn: &[&[u8]],
        facts: &mut TlsFacts,
    ) -> Result<TlsStream<S>, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = ServerName::try_from(
            server_name.trim_start_matches('[').trim_end_matches(']').to_owned(),
        )
        .map_err(|_| {
            Failure::new(
                Phase::Tls,
                Reason::BadTarget,
                format!("`{server_name}` is no name that a certificate can have"),
            )
        })?;
        let recorder =
            Arc::new(Recorder::new(Arc::clone(&self.roots), self.settings.insecure_skip_verify));
        let mut config = self.rustls_config(Arc::clone(&recorder), &versions(&self.settings))?;
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        // A prober never resumes: each probe must see the certificate.
        config.resumption = rustls::client::Resumption::disabled();
        let outcome = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        facts.fill(&recorder);
        let tls = outcome.map_err(|err| failure_of_handshake(&recorder, &err))?;
        facts.negotiated(tls.get_ref().1);
        Ok(tls)
    }

    /// Settings for a handshake of QUIC, and who remembers what the server shows in it.
    pub(crate) fn for_quic(&self, alpn: &[u8]) -> Result<(ClientConfig, Arc<Recorder>), Failure> {
        let recorder =
            Arc::new(Recorder::new(Arc::clone(&self.roots), self.settings.insecure_skip_verify));
        let mut config = self.rustls_config(Arc::clone(&recorder), &[&rustls::version::TLS13])?;
        config.alpn_protocols = vec![alpn.to_vec()];
        config.resumption = rustls::client::Resumption::disabled();
        Ok((config, recorder))
    }

    fn rustls_config(
        &self,
        recorder: Arc<Recorder>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Result<ClientConfig, Failure> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .map_err(|err| unusable(&err.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(recorder);
        let Some((chain, key)) = self.identity()? else { return Ok(builder.with_no_client_auth()) };
        builder
            .with_client_auth_cert(chain, key)
            .map_err(|err| unusable(&format!("the client certificate cannot be used: {err}")))
    }

    /// Our own certificate and key. Read for every probe, so that renewed files count at once.
    fn identity(
        &self,
    ) -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>, Failure> {
        let settings = &self.settings;
        let certificate = match &settings.cert_file {
            Some(path) => read_pem(path)?,
            None if !settings.cert.is_empty() => settings.cert.clone().into_bytes(),
            None => return Ok(None),
        };
        let key = match &settings.key_file {
            Some(path) => read_pem(path)?,
            None => settings.key.expose().as_bytes().to_vec(),
        };
        let chain = CertificateDer::pem_slice_iter(&certificate)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|err| unusable(&format!("the client certificate cannot be read: {err}")))?;
        let key = PrivateKeyDer::from_pem_slice(&key)
            .map_err(|err| unusable(&format!("the client key cannot be read: {err}")))?;
        Ok(Some((chain, key)))
    }
}

/// The certificates that this machine trusts, read once when first needed.
#[derive(Clone, Debug, Default)]
pub(crate) struct SystemRoots(Arc<std::sync::OnceLock<Arc<Roots>>>);

impl SystemRoots {
    fn get(&self) -> Arc<Roots> {
        let roots = self.0.get_or_init(|| {
            let loaded = rustls_native_certs::load_native_certs();
            for err in &loaded.errors {
                tracing::warn!("some of the system's CA certificates cannot be read: {err}");
            }
            Arc::new(Roots::new(loaded.certs))
        });
        Arc::clone(roots)
    }
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// TLS 1.0 and 1.1 are not spoken, so a lower `min_version` is no bound.
fn versions(settings: &TlsConfig) -> Vec<&'static SupportedProtocolVersion> {
    let only_13 = settings.min_version == Some(TlsVersion::Tls13);
    let only_12 = settings.max_version == Some(TlsVersion::Tls12);
    match (only_13, only_12) {
        (true, _) => vec![&rustls::version::TLS13],
        (false, true) => vec![&rustls::version::TLS12],
        (false, false) => vec![&rustls::version::TLS13, &rustls::version::TLS12],
    }
}

fn read_pem(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |err: std::io::Error| unusable(&format!("read {}: {err}", path.display()));
    let length = fs::metadata(path).map_err(failed)?.len();
    if length > PEM_FILE_BYTES_MAX {
        return Err(unusable(&format!(
            "{} is larger than {PEM_FILE_BYTES_MAX} bytes",
            path.display()
        )));
    }
    fs::read(path).map_err(failed)
}

fn unusable(message: &str) -> Failure {
    Failure::new(Phase::Setup, Reason::Configuration, format!("TLS configuration: {message}"))
}

fn failure_of_handshake(recorder: &Recorder, err: &std::io::Error) -> Failure {
    if let Some((reason, message)) = recorder.refusal() {
        return Failure::new(Phase::Tls, reason, format!("TLS handshake: {message}"));
    }
    let is_tls = err.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
    let reason = if is_tls { Reason::TlsHandshake } else { reason_of_io(err) };
    Failure::new(Phase::Tls, reason, format!("TLS handshake: {err}"))
}

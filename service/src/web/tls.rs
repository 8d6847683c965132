//! From the `tls_server_config` section to what rustls serves with.

use std::{
    fs, io,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::CryptoProvider,
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use super::{
    client_cert::ClientCerts,
    settings::{ClientAuth, TlsSection, Version},
};

/// A chain of certificates is some kilobytes; a bundle of all public authorities is about 250 KiB.
const PEM_BYTES_MAX: u64 = 4 * 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("`{key}` and `{key}_file` are both missing: TLS needs one of them")]
    Missing { key: &'static str },
    #[error("`{key}` and `{key}_file` are both given: keep one")]
    Both { key: &'static str },
    #[error("read `{key}` from {}", path.display())]
    Read {
        key: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("`{key}` has no {what} in PEM format{hint}")]
    NoPem { key: &'static str, what: &'static str, hint: &'static str },
    #[error("use the certificate and the key: do they belong together?")]
    Certificate {
        #[source]
        source: rustls::Error,
    },
    #[error("use the certificates of `client_ca`")]
    ClientCa {
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error(
        "`client_ca` is given but `client_auth_type` asks for no certificate: set it to RequireAndVerifyClientCert"
    )]
    CaWithoutAuth,
    #[error(
        "this `client_auth_type` verifies certificates and needs `client_ca_file` to verify them with"
    )]
    AuthWithoutCa,
    #[error(
        "`client_allowed_sans` needs `client_auth_type: RequireAndVerifyClientCert` (or RequireAnyClientCert), or a client could leave out its certificate"
    )]
    SansWithoutAuth,
    #[error("`min_version` is above `max_version`")]
    Versions,
    #[error("none of the `cipher_suites` fits the versions from `min_version` to `max_version`")]
    NoCipher {
        #[source]
        source: rustls::Error,
    },
}

impl TlsSection {
    /// Whether the section asks for TLS at all, as exporter-toolkit decides it.
    pub(super) fn is_enabled(&self) -> bool {
        self.cert.is_some()
            || self.cert_file.is_some()
            || self.key.is_some()
            || self.key_file.is_some()
            || self.client_ca.is_some()
            || self.client_ca_file.is_some()
            || self.client_auth_type.is_some()
    }

    /// Whether only clients with a certificate of `client_ca` get in.
    pub(super) fn verifies_clients(&self) -> bool {
        self.client_auth_type == Some(ClientAuth::RequireAndVerifyClientCert)
    }

    /// Paths are relative to the folder of the file that names them.
    pub(super) fn resolve_paths(&mut self, folder: &Path) {
        for path in [&mut self.cert_file, &mut self.key_file, &mut self.client_ca_file] {
            *path = path
                .take()
                .filter(|path| !path.as_os_str().is_empty())
                .map(|path| folder.join(path));
        }
    }

    /// The files whose change calls for reading everything again.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        [&self.cert_file, &self.key_file, &self.client_ca_file]
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    /// Reads the files and checks that everything fits together.
    pub(super) fn server_config(&self, http2: bool) -> Result<Arc<ServerConfig>, TlsError> {
        let certificate_pem = pem("cert", self.cert.as_deref(), self.cert_file.as_deref())?
            .ok_or(TlsError::Missing { key: "cert" })?;
        let key_inline = self.key.as_ref().map(crate::Secret::expose);
        let key_pem = pem("key", key_inline, self.key_file.as_deref())?
            .ok_or(TlsError::Missing { key: "key" })?;
        let certificates = certificates("cert", &certificate_pem)?;
        let key = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|_| TlsError::NoPem {
            key: "key",
            what: "private key",
            hint: " (keys with a passphrase cannot be used)",
        })?;

        let versions = Version::range(self.min_version, self.max_version);
        if versions.is_empty() {
            return Err(TlsError::Versions);
        }
        let provider = Arc::new(self.provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions)
            .map_err(|source| TlsError::NoCipher { source })?;
        let builder = match self.client_verifier(provider)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder
            .with_single_cert(certificates, key)
            .map_err(|source| TlsError::Certificate { source })?;
        config.ignore_client_order = self.prefer_server_cipher_suites.unwrap_or(true);
        config.alpn_protocols = if http2 {
            vec![b"h2".to_vec(), b"http/1.1".to_vec()]
        } else {
            vec![b"http/1.1".to_vec()]
        };
        Ok(Arc::new(config))
    }

    fn provider(&self) -> CryptoProvider {
        let mut provider = rustls::crypto::ring::default_provider();
        let chosen: Vec<_> = self.cipher_suites.iter().map(|cipher| cipher.0).collect();
        // As in Go, the list is about TLS 1.2 only: the suites of 1.3 are all good and always there.
        if !chosen.is_empty() {
            provider
                .cipher_suites
                .retain(|suite| suite.tls13().is_some() || chosen.contains(&suite.suite()));
            provider.cipher_suites.sort_by_key(|suite| {
                chosen.iter().position(|name| *name == suite.suite()).unwrap_or(0)
            });
        }
        if !self.curve_preferences.is_empty() {
            let position = |group: rustls::NamedGroup| {
                self.curve_preferences.iter().position(|curve| curve.0 == group)
            };
            provider.kx_groups.retain(|group| position(group.name()).is_some());
            provider.kx_groups.sort_by_key(|group| position(group.name()));
        }
        provider
    }

    fn client_verifier(
        &self,
        provider: Arc<CryptoProvider>,
    ) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
        let auth = self.client_auth_type.unwrap_or_default();
        let ca = pem("client_ca", self.client_ca.as_deref(), self.client_ca_file.as_deref())?;
        let is_required = matches!(
            auth,
            ClientAuth::RequireAnyClientCert | ClientAuth::RequireAndVerifyClientCert
        );
        if self.client_allowed_sans.is_some() && !is_required {
            return Err(TlsError::SansWithoutAuth);
        }
        let chain = match auth {
            ClientAuth::NoClientCert if ca.is_some() => return Err(TlsError::CaWithoutAuth),
            ClientAuth::NoClientCert => return Ok(None),
            ClientAuth::RequestClientCert | ClientAuth::RequireAnyClientCert => None,
            ClientAuth::VerifyClientCertIfGiven | ClientAuth::RequireAndVerifyClientCert => {
                let ca = ca.ok_or(TlsError::AuthWithoutCa)?;
                let mut roots = RootCertStore::empty();
                for certificate in certificates("client_ca", &ca)? {
                    roots
                        .add(certificate)
                        .map_err(|source| TlsError::ClientCa { source: source.into() })?;
                }
                let builder = WebPkiClientVerifier::builder_with_provider(
                    Arc::new(roots),
                    Arc::clone(&provider),
                );
                let builder = if is_required { builder } else { builder.allow_unauthenticated() };
                Some(
                    builder
                        .build()
                        .map_err(|source| TlsError::ClientCa { source: source.into() })?,
                )
            }
        };
        let allowed_sans = self.client_allowed_sans.clone();
        Ok(Some(Arc::new(ClientCerts { chain, is_required, allowed_sans, provider })))
    }
}

/// The text of a key that can be given inline or as a file.
fn pem(
    key: &'static str,
    inline: Option<&str>,
    file: Option<&Path>,
) -> Result<Option<Vec<u8>>, TlsError> {
    match (inline, file) {
        (Some(_), Some(_)) => Err(TlsError::Both { key }),
        (Some(text), None) => Ok(Some(text.as_bytes().to_vec())),
        (None, Some(path)) => {
            let mut bytes = Vec::new();
            fs::File::open(path)
                .and_then(|file| file.take(PEM_BYTES_MAX).read_to_end(&mut bytes))
                .map_err(|source| TlsError::Read { key, path: path.to_owned(), source })?;
            Ok(Some(bytes))
        }
        (None, None) => Ok(None),
    }
}

fn certificates(key: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let none = TlsError::NoPem { key, what: "certificate", hint: "" };
    match CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>() {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(none),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::{config, error, web::settings::WebFile};

    struct Pair {
        cert: String,
        key: String,
    }

    fn pair() -> Pair {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        Pair { cert: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
    }

    fn section(yaml: &str) -> TlsSection {
        let text = format!("tls_server_config:\n  {}", yaml.replace('\n', "\n  "));
        let file: WebFile = config::parse(&text, Path::new("web.yml")).unwrap();
        file.tls_server_config.unwrap()
    }

    fn outcome(yaml: &str, with: &Pair) -> Result<Arc<ServerConfig>, String> {
        let mut tls = section(yaml);
        tls.cert.get_or_insert_with(|| with.cert.clone());
        tls.key.get_or_insert_with(|| crate::Secret::new(with.key.clone()));
        tls.server_config(true).map_err(|err| error::chain(&err))
    }

    #[test]
    fn choices_reach_rustls() {
        let pair = pair();
        let config = outcome(
            "cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]\n\
             curve_preferences: [CurveP384, X25519]\n\
             max_version: TLS12",
            &pair,
        )
        .unwrap();
        let provider = config.crypto_provider();
        let tls12: Vec<String> = provider
            .cipher_suites
            .iter()
            .filter(|suite| suite.tls13().is_none())
            .map(|suite| format!("{:?}", suite.suite()))
            .collect();
        assert_eq!(
            tls12,
            ["TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"]
        );
        let groups: Vec<_> = provider.kx_groups.iter().map(|group| group.name()).collect();
        assert_eq!(groups, [rustls::NamedGroup::secp384r1, rustls::NamedGroup::X25519]);
        assert_eq!(config.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let (right, other) = (pair(), pair());
        let mixed = Pair { cert: right.cert.clone(), key: other.key };
        assert!(outcome("{}", &right).is_ok());
        let said = outcome("{}", &mixed).unwrap_err();
        assert!(said.contains("do they belong together"), "{said}");
        for (yaml, expected) in [
            ("cert: nonsense", "`cert` has no certificate in PEM format"),
            ("key: nonsense", "`key` has no private key in PEM format (keys with a passphrase"),
            ("cert: x\ncert_file: y", "`cert` and `cert_file` are both given: keep one"),
            ("min_version: TLS13\nmax_version: TLS12", "`min_version` is above `max_version`"),
            ("client_ca: x", "`client_ca` is given but `client_auth_type` asks for no certificate"),
            (
                "client_auth_type: RequireAndVerifyClientCert",
                "this `client_auth_type` verifies certificates and needs",
            ),
            (
                "client_auth_type: RequireAndVerifyClientCert\nclient_ca: x",
                "`client_ca` has no certificate",
            ),
            (
                "client_auth_type: RequestClientCert\nclient_allowed_sans: [x]",
                "`client_allowed_sans` needs",
            ),
            ("client_allowed_sans: [x]", "`client_allowed_sans` needs"),
            ("client_ca_file: /nonexistent", "read `client_ca` from /nonexistent: No such file"),
        ] {
            let said = outcome(yaml, &right).unwrap_err();
            assert!(said.starts_with(expected), "{yaml}: {said}");
        }
        assert!(matches!(
            TlsSection::default().server_config(true),
            Err(TlsError::Missing { key: "cert" })
        ));
        for auth in ["RequestClientCert", "RequireAnyClientCert", "NoClientCert"] {
            assert!(outcome(&format!("client_auth_type: {auth}"), &right).is_ok(), "{auth}");
        }
    }
}

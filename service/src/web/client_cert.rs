//! Whose certificate a client may show: Go's five client-authentication types, and a list of allowed names.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::{extensions::GeneralName, prelude::FromDer as _};

/// Asks for a certificate, has it verified by `chain` where there is one, and checks its names.
#[derive(Debug)]
pub(super) struct ClientCerts {
    /// Without it any certificate will do, as `RequestClientCert` and `RequireAnyClientCert` have it.
    pub(super) chain: Option<Arc<dyn ClientCertVerifier>>,
    pub(super) is_required: bool,
    /// `None` allows every name.
    pub(super) allowed_sans: Option<Vec<String>>,
    pub(super) provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for ClientCerts {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        self.is_required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.as_ref().map_or(&[], |chain| chain.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if let Some(chain) = &self.chain {
            chain.verify_client_cert(end_entity, intermediates, now)?;
        }
        if let Some(allowed) = &self.allowed_sans {
            let names = subject_alternative_names(end_entity)?;
            if !names.iter().any(|name| allowed.contains(name)) {
                return Err(CertificateError::ApplicationVerificationFailure.into());
            }
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// DNS names, e-mail addresses, URIs and IP addresses of a certificate, as text (RFC 5280 section 4.2.1.6).
fn subject_alternative_names(der: &CertificateDer<'_>) -> Result<Vec<String>, Error> {
    let (_, certificate) = x509_parser::certificate::X509Certificate::from_der(der)
        .map_err(|_| Error::from(CertificateError::BadEncoding))?;
    let extension = certificate
        .subject_alternative_name()
        .map_err(|_| Error::from(CertificateError::BadEncoding))?;
    let Some(extension) = extension else { return Ok(Vec::new()) };
    let names = extension.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(text) | GeneralName::RFC822Name(text) | GeneralName::URI(text) => {
            Some((*text).to_owned())
        }
        GeneralName::IPAddress(bytes) => ip_address(bytes).map(|ip| ip.to_string()),
        _ => None,
    });
    Ok(names.collect())
}

fn ip_address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(v4).into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|v6| Ipv6Addr::from(v6).into())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    #[test]
    fn names_of_all_kinds_are_read() {
        let mut params = CertificateParams::new(vec!["scraper.example.org".to_owned()]).unwrap();
        params.subject_alt_names.extend([
            SanType::IpAddress("192.0.2.7".parse().unwrap()),
            SanType::IpAddress("2001:db8::7".parse().unwrap()),
            SanType::URI("spiffe://example.org/scraper".try_into().unwrap()),
            SanType::Rfc822Name("ops@example.org".try_into().unwrap()),
        ]);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        assert_eq!(
            subject_alternative_names(certificate.der()).unwrap(),
            [
                "scraper.example.org",
                "192.0.2.7",
                "2001:db8::7",
                "spiffe://example.org/scraper",
                "ops@example.org"
            ]
        );
        let none = CertificateParams::new(Vec::new()).unwrap();
        let none = none.self_signed(&KeyPair::generate().unwrap()).unwrap();
        assert!(subject_alternative_names(none.der()).unwrap().is_empty());
        assert!(subject_alternative_names(&CertificateDer::from(vec![1, 2, 3])).is_err());
    }
}

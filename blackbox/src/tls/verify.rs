//! Checking certificates, and remembering them whatever the outcome.

use std::{
    cell::RefCell,
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use rustls::{
    CertificateError, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{self, WebPkiSupportedAlgorithms},
    pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime},
};
use webpki::{EndEntityCert, KeyUsage};

use super::certificate;
use crate::failure::Reason;

/// Certificates that chains may end in.
#[derive(Debug)]
pub(crate) struct Roots {
    anchors: Vec<TrustAnchor<'static>>,
    certificates: Vec<CertificateDer<'static>>,
    /// When each anchor's certificate ends, by its public key; anchors themselves have no dates.
    ends: HashMap<Vec<u8>, i64>,
}

impl Roots {
    /// Certificates that cannot be read are left out, as the system's store always has a few of.
    pub(crate) fn new(certificates: Vec<CertificateDer<'static>>) -> Self {
        let mut anchors = Vec::new();
        let mut ends = HashMap::new();
        for der in &certificates {
            let Ok(anchor) = webpki::anchor_from_trusted_cert(der) else { continue };
            if let Some(not_after) = certificate::not_after(der) {
                ends.insert(anchor.subject_public_key_info.to_vec(), not_after);
            }
            anchors.push(anchor.to_owned());
        }
        Self { anchors, certificates, ends }
    }
}

/// What one handshake showed.
#[derive(Debug, Default)]
struct Seen {
    /// Leaf first, as the server sent them.
    peer: Vec<CertificateDer<'static>>,
    /// For each chain that can be verified: the earliest end of a certificate in it.
    chain_ends: Vec<i64>,
    refusal: Option<(Reason, String)>,
}

/// A verifier that remembers. One for each handshake.
#[derive(Debug)]
pub(crate) struct Recorder {
    roots: Arc<Roots>,
    skip_verify: bool,
    algorithms: WebPkiSupportedAlgorithms,
    seen: Mutex<Seen>,
}

impl Recorder {
    pub(super) fn new(roots: Arc<Roots>, skip_verify: bool) -> Self {
        let algorithms = crypto::ring::default_provider().signature_verification_algorithms;
        Self { roots, skip_verify, algorithms, seen: Mutex::default() }
    }

    pub(super) fn peer(&self) -> Vec<CertificateDer<'static>> {
        self.seen.lock().expect("no holder panics").peer.clone()
    }

    pub(super) fn chain_ends(&self) -> Vec<i64> {
        self.seen.lock().expect("no holder panics").chain_ends.clone()
    }

    /// Why the certificate was not accepted.
    pub(crate) fn refusal(&self) -> Option<(Reason, String)> {
        self.seen.lock().expect("no holder panics").refusal.clone()
    }

    /// The ends of all chains that lead from the leaf to a root.
    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<Vec<i64>, webpki::Error> {
        let parsed = EndEntityCert::try_from(leaf)?;
        let chain_ends = RefCell::new(Vec::new());
        let note_and_go_on = |path: &webpki::VerifiedPath<'_>| {
            let root = self.roots.ends.get(path.anchor().subject_public_key_info.as_ref()).copied();
            let others = path.intermediate_certificates().map(|c| c.der()).chain([leaf.clone()]);
            let end = others.filter_map(|der| certificate::not_after(&der)).chain(root).min();
            chain_ends.borrow_mut().extend(end);
            // An error makes the search go on, until all chains have been seen or its own budget is used up.
            Err(webpki::Error::UnknownIssuer)
        };
        let outcome = parsed.verify_for_usage(
            self.algorithms.all,
            &self.roots.anchors,
            intermediates,
            now,
            KeyUsage::server_auth(),
            None,
            Some(&note_and_go_on),
        );
        let chain_ends = chain_ends.into_inner();
        if chain_ends.is_empty()
            && let Err(err) = outcome
        {
            // Go accepts a certificate that is trusted itself, be it a CA's or not; home labs do that.
            let no_chain =
                matches!(err, webpki::Error::UnknownIssuer | webpki::Error::CaUsedAsEndEntity);
            if no_chain && self.is_root(leaf) {
                return Self::verify_trusted_leaf(leaf, name, now);
            }
            return Err(err);
        }
        parsed.verify_is_valid_for_subject_name(name)?;
        Ok(chain_ends)
    }

    fn is_root(&self, leaf: &CertificateDer<'_>) -> bool {
        self.roots.certificates.iter().any(|root| root.as_ref() == leaf.as_ref())
    }

    fn verify_trusted_leaf(
        leaf: &CertificateDer<'_>,
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<Vec<i64>, webpki::Error> {
        let facts = certificate::Certificate::parse(leaf).ok_or(webpki::Error::BadDer)?;
        let seconds = now.as_secs() as i64;
        let to_time = |at: i64| UnixTime::since_unix_epoch(Duration::from_secs(at.max(0) as u64));
        if seconds > facts.not_after {
            return Err(webpki::Error::CertExpired {
                time: now,
                not_after: to_time(facts.not_after),
            });
        }
        if seconds < facts.not_before {
            return Err(webpki::Error::CertNotValidYet {
                time: now,
                not_before: to_time(facts.not_before),
            });
        }
        if !facts.is_for(name) {
            return Err(webpki::Error::CertNotValidForName(webpki::InvalidNameContext {
                expected: name.to_owned(),
                presented: facts.dns_names,
            }));
        }
        Ok(vec![facts.not_after])
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut seen = self.seen.lock().expect("no holder panics");
        seen.peer = [end_entity]
            .into_iter()
            .chain(intermediates)
            .map(|der| der.clone().into_owned())
            .collect();
        if self.skip_verify {
            return Ok(ServerCertVerified::assertion());
        }
        match self.verify(end_entity, intermediates, server_name, now) {
            Ok(chain_ends) => {
                seen.chain_ends = chain_ends;
                Ok(ServerCertVerified::assertion())
            }
            Err(err) => {
                seen.refusal = Some((reason_of(&err), err.to_string()));
                Err(Error::InvalidCertificate(alert_of(&err)))
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match crypto::verify_tls12_signature(message, cert, dss, &self.algorithms) {
            // webpki refuses to look into certificates that it would not accept for a server.
            Err(_) if self.skip_verify => Ok(HandshakeSignatureValid::assertion()),
            outcome => outcome,
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match crypto::verify_tls13_signature(message, cert, dss, &self.algorithms) {
            Err(_) if self.skip_verify => Ok(HandshakeSignatureValid::assertion()),
            outcome => outcome,
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn reason_of(err: &webpki::Error) -> Reason {
    match err {
        webpki::Error::CertExpired { .. } => Reason::CertExpired,
        webpki::Error::CertNotValidYet { .. } => Reason::CertNotYetValid,
        webpki::Error::CertNotValidForName(_) => Reason::CertName,
        webpki::Error::UnknownIssuer | webpki::Error::CaUsedAsEndEntity => Reason::CertUntrusted,
        _ => Reason::CertInvalid,
    }
}

/// What the server is told.
fn alert_of(err: &webpki::Error) -> CertificateError {
    match reason_of(err) {
        Reason::CertExpired => CertificateError::Expired,
        Reason::CertNotYetValid => CertificateError::NotValidYet,
        Reason::CertName => CertificateError::NotValidForName,
        Reason::CertUntrusted => CertificateError::UnknownIssuer,
        _ => CertificateError::BadEncoding,
    }
}

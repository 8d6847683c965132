//! The TLS families that several probers share.

use proto::exposition::{Exposition, Kind};
use rustls::{CipherSuite, ProtocolVersion};

use super::{certificate::Certificate, verify::Recorder};

/// What `time.Time{}` is in Unix seconds: what the original shows where there is no verified chain.
const GO_ZERO_TIME: f64 = -62_135_596_800.0;
/// Servers may send long lists; more than this many certificates are not shown one by one.
const CERTIFICATES_SHOWN_MAX: usize = 10;

/// What a server showed of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct TlsFacts {
    /// Leaf first, as the server sent them.
    pub(crate) peer: Vec<Certificate>,
    chain_ends: Vec<i64>,
    /// Set when the handshake was completed.
    version: Option<ProtocolVersion>,
    cipher: Option<CipherSuite>,
}

/// Which families a prober writes beside those that all write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extras {
    /// The end of the chain, and the cipher.
    Http,
    /// The end of the chain.
    Stream,
    None,
}

impl TlsFacts {
    pub(crate) fn fill(&mut self, recorder: &Recorder) {
        self.peer = recorder.peer().iter().filter_map(Certificate::parse).collect();
        self.chain_ends = recorder.chain_ends();
    }

    /// QUIC is TLS 1.3; which cipher was agreed on its library does not tell.
    pub(crate) fn established_by_quic(&mut self) {
        self.version = Some(ProtocolVersion::TLSv1_3);
    }

    pub(super) fn negotiated(&mut self, connection: &rustls::ClientConnection) {
        self.version = connection.protocol_version();
        self.cipher = connection.negotiated_cipher_suite().map(|suite| suite.suite());
    }

    pub(crate) fn version_name(&self) -> &'static str {
        match self.version {
            Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
            Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
            _ => "unknown",
        }
    }

    /// Whether a handshake was completed.
    pub(crate) fn is_established(&self) -> bool {
        self.version.is_some()
    }

    /// The end of the first certificate to expire, in seconds since 1970.
    pub(crate) fn earliest_expiry(&self) -> Option<i64> {
        self.peer.iter().map(|certificate| certificate.not_after).min()
    }

    /// The families of the original, for a completed handshake.
    pub(crate) fn write(&self, out: &mut Exposition, extras: Extras) {
        let Some(earliest) = self.earliest_expiry() else { return };
        out.gauge(
            "probe_ssl_earliest_cert_expiry",
            "Returns last SSL chain expiry in unixtime",
            earliest as f64,
        );
        out.family(
            "probe_tls_version_info",
            "Returns the TLS version used or NaN when unknown",
            Kind::Gauge,
        )
        .sample(&[("version", self.version_name())], 1.0);
        if extras != Extras::None {
            self.write_chain_end(out);
        }
        if let Some(leaf) = self.peer.first() {
            out.family(
                "probe_ssl_last_chain_info",
                "Contains SSL leaf certificate information",
                Kind::Gauge,
            )
            .sample(
                &[
                    ("fingerprint_sha256", &leaf.fingerprint_sha256),
                    ("issuer", &leaf.issuer),
                    ("serialnumber", &leaf.serial),
                    ("subject", &leaf.subject),
                    ("subjectalternative", &leaf.dns_names.join(",")),
                ],
                1.0,
            );
        }
        if extras == Extras::Http
            && let Some(cipher) = self.cipher
        {
            out.family(
                "probe_tls_cipher_info",
                "Returns the TLS cipher negotiated during handshake",
                Kind::Gauge,
            )
            .sample(&[("cipher", &cipher_name(cipher))], 1.0);
        }
    }

    fn write_chain_end(&self, out: &mut Exposition) {
        let latest = self.chain_ends.iter().max().map_or(GO_ZERO_TIME, |end| *end as f64);
        out.gauge(
            "probe_ssl_last_chain_expiry_timestamp_seconds",
            "Returns last SSL chain expiry in timestamp",
            latest,
        );
    }

    /// Families of our own: what every certificate says, also when the handshake ended at it.
    pub(crate) fn write_peer(&self, out: &mut Exposition) {
        let Some(earliest) = self.earliest_expiry() else { return };
        out.gauge(
            "probe_ssl_peer_earliest_cert_expiry",
            "When the first of the certificates that the server sent expires, in unixtime; also when they are not trusted",
            earliest as f64,
        );
        let shown = &self.peer[..self.peer.len().min(CERTIFICATES_SHOWN_MAX)];
        for (name, help, time_of) in [
            (
                "probe_ssl_peer_cert_not_after",
                "When each certificate that the server sent expires, in unixtime",
                (|certificate| certificate.not_after) as fn(&Certificate) -> i64,
            ),
            (
                "probe_ssl_peer_cert_not_before",
                "When each certificate that the server sent begins to be valid, in unixtime",
                |certificate| certificate.not_before,
            ),
        ] {
            let mut family = out.family(name, help, Kind::Gauge);
            for (position, certificate) in shown.iter().enumerate() {
                family.sample(
                    &[
                        ("issuer_cn", &certificate.issuer_common_name),
                        ("position", &position.to_string()),
                        ("serialnumber", &certificate.serial),
                        ("subject_cn", &certificate.subject_common_name),
                    ],
                    time_of(certificate) as f64,
                );
            }
        }
    }
}

/// IANA's name, which is also Go's.
fn cipher_name(cipher: CipherSuite) -> String {
    let name = format!("{cipher:?}");
    match name.strip_prefix("TLS13_") {
        Some(rest) => format!("TLS_{rest}"),
        None => name,
    }
}

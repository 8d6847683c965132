//! Why a probe failed: a closed list that feeds the log line, the metric `probe_failure_info` and the terminal alike.

use std::{fmt, io};

/// Where in the course of a probe it went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Before anything was sent: the target or the module cannot be probed as given.
    Setup,
    Resolve,
    Connect,
    Tls,
    /// Sending the request.
    Request,
    /// Waiting for the beginning of the answer.
    Processing,
    /// Reading the rest of the answer.
    Transfer,
    /// The answer is complete and is not what the module asks for.
    Validate,
}

impl Phase {
    pub fn name(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Request => "request",
            Self::Processing => "processing",
            Self::Transfer => "transfer",
            Self::Validate => "validate",
        }
    }
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// What went wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Reason {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Reason {
            /// All of them, for documentation and tests.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// As in the label `reason`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

reasons! {
    /// The target cannot be understood.
    BadTarget = "bad_target",
    /// A file that the module names cannot be read or used.
    Configuration = "configuration",
    /// This machine does not let us (raw sockets, source address).
    Permission = "permission",
    /// The name does not exist.
    Nxdomain = "nxdomain",
    /// The name may exist, but the resolver gave no answer.
    ResolveFailed = "resolve_failed",
    /// The name has no address of the family asked for.
    NoAddress = "no_address",
    /// The address is not one that this prober may call.
    BlockedAddress = "blocked_address",
    /// The time was over.
    Timeout = "timeout",
    /// Nobody listens there.
    Refused = "refused",
    /// No way to that host or network.
    Unreachable = "unreachable",
    /// The other side broke the connection.
    Reset = "reset",
    /// The other side closed the connection too early.
    Closed = "closed",
    /// Another error of the network.
    Network = "network",
    /// The proxy refused.
    Proxy = "proxy",
    /// The certificate's time is over.
    CertExpired = "cert_expired",
    /// The certificate's time has not begun.
    CertNotYetValid = "cert_not_yet_valid",
    /// The certificate is for other names.
    CertName = "cert_name",
    /// No chain leads to a certificate that we trust.
    CertUntrusted = "cert_untrusted",
    /// The certificate is broken or not made for servers.
    CertInvalid = "cert_invalid",
    /// The two sides did not agree on TLS.
    TlsHandshake = "tls_handshake",
    /// The answer is not in the protocol's language.
    Protocol = "protocol",
    /// More redirects than are followed.
    TooManyRedirects = "too_many_redirects",
    /// A redirect that leads nowhere we can go.
    BadRedirect = "bad_redirect",
    /// Getting a token for the request failed.
    Token = "token",
    /// Not one of the valid status codes.
    Status = "status",
    /// Not one of the valid HTTP versions.
    HttpVersion = "http_version",
    /// TLS was used where it must not be.
    Ssl = "ssl",
    /// TLS was not used where it must be.
    NotSsl = "not_ssl",
    /// A header breaks a rule.
    HeaderRegex = "header_regex",
    /// The body breaks a rule.
    BodyRegex = "body_regex",
    /// This system or this build cannot probe like that.
    Unsupported = "unsupported",
    /// The service says that it does not serve.
    NotServing = "not_serving",
    /// The call ended with another status than `OK`.
    GrpcStatus = "grpc_status",
    /// Not one of the valid response codes.
    Rcode = "rcode",
    /// A record of the answer breaks a rule.
    Records = "records",
    /// No line of the answer is what was expected.
    ExpectRegex = "expect_regex",
    /// The bytes of the answer are not what was expected.
    ExpectBytes = "expect_bytes",
    /// The body breaks a rule written in CEL.
    BodyCel = "body_cel",
    /// The body is not JSON, or not the JSON that is needed.
    Json = "json",
    /// The body is larger than allowed.
    BodySize = "body_size",
    /// The body cannot be decoded.
    Encoding = "encoding",
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One failed probe: where, what, and a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub phase: Phase,
    pub reason: Reason,
    /// Begins with a capital letter, as the log lines of `blackbox_exporter` do; never holds secrets.
    pub message: String,
}

impl Failure {
    pub fn new(phase: Phase, reason: Reason, message: impl Into<String>) -> Self {
        Self { phase, reason, message: message.into() }
    }

    /// An error of the network, told apart by its kind.
    pub fn io(phase: Phase, doing: &str, err: &io::Error) -> Self {
        Self::new(phase, reason_of_io(err), format!("{doing}: {err}"))
    }
}

pub(crate) fn reason_of_io(err: &io::Error) -> Reason {
    match err.kind() {
        io::ErrorKind::ConnectionRefused => Reason::Refused,
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown
        | io::ErrorKind::AddrNotAvailable => Reason::Unreachable,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => Reason::Reset,
        io::ErrorKind::UnexpectedEof => Reason::Closed,
        io::ErrorKind::TimedOut => Reason::Timeout,
        io::ErrorKind::PermissionDenied => Reason::Permission,
        _ => Reason::Network,
    }
}

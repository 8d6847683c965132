//! Why there are differences. The first reason that fits explains a difference.

use super::compare::Difference;

/// Why some differences are there: by the beginnings of the subject, of what differs, and of the case's name.
#[derive(Debug)]
pub(super) struct Reason {
    subject: &'static str,
    what: &'static str,
    case: &'static str,
    pub(super) why: &'static str,
}

impl Reason {
    pub(super) fn explains(&self, difference: &Difference, case: &str) -> bool {
        difference.subject.starts_with(self.subject)
            && difference.what.starts_with(self.what)
            && case.starts_with(self.case)
    }
}

const fn reason(
    subject: &'static str,
    what: &'static str,
    case: &'static str,
    why: &'static str,
) -> Reason {
    Reason { subject, what, case, why }
}

const NEWER: &str = "a later version of the original has it as well";
const LATER_LABEL: &str = "a later version of the original has the label as well";
const OWN: &str = "our own";
const TRAP: &str = "there, a module without the key `grpc` does not fall back to the other IP family; here the default is the same with and without the key";
const PARSER: &str = "hyper refuses what is no HTTP/1.1; Go reads it";
const BROWSER: &str = "targets are read as browsers read URLs: characters are encoded, dots are resolved; Go sends them as they are";
const SETUP: &str =
    "what the module or the target makes impossible is found before anything is looked up";
const SCHEME: &str = "a later version of the original takes the scheme in capitals, too";
const LATER_GRPC: &str = "a later version of the original tells it for certificates only";

pub(super) const PROBES: &[Reason] = &[
    reason("probe_timeout_seconds", "only here", "", NEWER),
    reason("probe_tls_cipher_info", "only here", "", NEWER),
    reason("probe_failed_due_to_bytes", "only here", "", NEWER),
    reason("probe_ssl_last_chain_info", "label `serialnumber` only here", "", LATER_LABEL),
    reason("probe_failure_info", "only here", "", "our own: where and why a probe failed"),
    reason(
        "probe_ssl_peer_",
        "only here",
        "",
        "our own: certificates are told also when they are refused",
    ),
    reason("probe_ssl_earliest_cert_expiry", "only there", "grpc", LATER_GRPC),
    reason(
        "probe_grpc_healthcheck_response",
        "only here",
        "grpc",
        "all statuses are 0 from the beginning; there they are missing where no address was found",
    ),
    reason(
        "probe_grpc_healthcheck_response",
        "",
        "grpc: a status of the future",
        "the list of statuses is closed: what is not known is `UNKNOWN`",
    ),
    reason(
        "probe_grpc_status_code",
        "14 here, 2 there",
        "grpc: an answer without",
        "an answer that cannot be read is no answer",
    ),
    reason("probe_", "", "grpc: the server as a whole", TRAP),
    reason("probe_", "", "grpc: nobody there", TRAP),
    reason("probe_", "", "grpc: plain to TLS", TRAP),
    reason("", "", "http: a target with characters to encode", BROWSER),
    reason("", "", "http: a target with dots in its path", BROWSER),
    reason("", "", "http: a scheme in capitals", SCHEME),
    reason("probe_", "only there", "http: a port that is none", SETUP),
    reason(
        "probe_http_redirects",
        "1 here, 0 there",
        "http: a redirect that cannot be read",
        "a redirect counts when it is received, wherever it leads",
    ),
    reason("probe_", "only there", "http: another scheme", SETUP),
    reason("probe_", "only there", "http: TLS and a missing CA file", SETUP),
    reason("probe_", "only there", "http: a missing file", SETUP),
    reason("probe_", "only there", "tcp: a port by name", SETUP),
    reason("probe_", "", "http: HTTP/1.2", PARSER),
    reason("probe_", "", "http: HTTP/2.0 in words", PARSER),
    reason("probe_", "", "http: a status below 100", PARSER),
    reason("probe_", "", "http: a header with a space in its name", PARSER),
    reason(
        "probe_success",
        "1 here, 0 there",
        "http: gzip and HEAD",
        "the answer to HEAD has no body that could be decoded",
    ),
    reason("request", "`user-agent: Watchpost", "", "each says who asks"),
    reason("request", "`user-agent: ", "http: TLS by a proxy", "the proxy is told no name"),
    reason(
        "request",
        "`accept-encoding:",
        "",
        "with `compression`, servers are told that they may encode; without being told few do",
    ),
    reason(
        "request",
        "`authorization: Bearer x` only there",
        "http: credentials and another host",
        "credentials are for the host that they were given for",
    ),
    reason(
        "request",
        "`referer: mine` here",
        "",
        "a later Go keeps a `Referer` of the module's own, too",
    ),
    reason(
        "request",
        "`referer: ",
        "http: HTTP/2 and a redirect",
        "there, the address takes the host's place in the URL and shows in `Referer`",
    ),
    reason(
        "request",
        "`content-type: a/b` only there",
        "http: POST and 302",
        "what comes of a POST by a redirect has no body, and so no type",
    ),
    reason(
        "request",
        "`connection: keep-alive`",
        "http: the header Connection",
        "each connection is for one request, and says so",
    ),
];

pub(super) const PAGES: &[Reason] = &[
    reason(
        "content type",
        "",
        "GET /-/ready",
        "our own: ready or not; there every unknown path is the landing page",
    ),
    reason("content type", "", "", "the character set is told"),
    reason("text", "`Failed to parse timeout", "", "the same in our words"),
    reason("status", "404 here, 500 there", "GET /logs?target=", NEWER),
    reason("status", "400 here, 404 there", "GET /logs?id=-1", "a number below zero is no id"),
    reason("status", "400 here, 500 there", "GET /logs", NEWER),
    reason(
        "promhttp_",
        "only there",
        "",
        "of Go's library; `watchpost_blackbox_http_…` say the same",
    ),
    reason("net_conntrack_", "only there", "", "of Go's library"),
    reason("watchpost_", "only here", "", OWN),
    reason("blackbox_", "only here", "", OWN),
];

const BEFORE: &str = "there, it fails when it probes, or is silently something else";
const PROXIES: &str = "proxies are spoken to by http:// only";
const TLS_OLD: &str = "TLS 1.0 and 1.1 are not spoken";

pub(super) const FILES: &[Reason] = &[
    reason("", "loads only here", "{m: {prober: tcp", NEWER),
    reason("", "loads only here", "{m: {prober: grpc", NEWER),
    reason("", "loads only here", "{m: {prober: icmp, icmp: {count", OWN),
    reason("", "loads only here", "{m: {prober: http, timeout: 1d", "durations may have days"),
    reason(
        "",
        "loads only here",
        "{m: {prober: http, http: {body_size_limit: 10}",
        "a number without a unit is bytes",
    ),
    reason("", "loads only here", "{m: {prober: http", NEWER),
    reason("", "loads only there", "{m: {prober: http, http: {proxy_url", PROXIES),
    reason(
        "",
        "loads only there",
        "{m: {prober: http, http: {tls_config: {max_version: TLS11",
        TLS_OLD,
    ),
    reason(
        "",
        "loads only there",
        "{m: {prober: websocket",
        "this prober is not here yet; there, version 0.23 does not know it either and finds out when it probes",
    ),
    reason("", "loads only there", "", BEFORE),
];

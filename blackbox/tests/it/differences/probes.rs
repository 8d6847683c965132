//! The probes that are made by both: what people have in their `blackbox.yml`, and what goes wrong.

use std::net::SocketAddr;

use tokio::io::AsyncWriteExt;

use super::servers::{self, Requests};
use crate::{
    dns, grpc,
    harness::{canned, closed_port, raw_server, read_head},
    tcp,
    tls::{self, Authority},
};

/// One module and one target.
pub(super) struct Case {
    pub(super) prober: &'static str,
    pub(super) name: &'static str,
    /// The keys of the prober's section.
    pub(super) keys: String,
    pub(super) target: String,
    /// More of the query.
    pub(super) extra: &'static str,
}

pub(super) struct Cases {
    pub(super) all: Vec<Case>,
    pub(super) requests: Requests,
    _files: (Authority, Authority, tempfile::TempDir),
}

struct List {
    prober: &'static str,
    cases: Vec<Case>,
}

impl List {
    fn add(&mut self, name: &'static str, keys: impl Into<String>, target: impl ToString) {
        self.add_with(name, keys, target, "");
    }

    fn add_with(
        &mut self,
        name: &'static str,
        keys: impl Into<String>,
        target: impl ToString,
        extra: &'static str,
    ) {
        let (keys, target) = (keys.into(), target.to_string());
        self.cases.push(Case { prober: self.prober, name, keys, target, extra });
    }
}

pub(super) async fn all() -> Cases {
    let requests = Requests::default();
    let dir = tempfile::tempdir().unwrap();
    let (authority, other) = (tls::authority(), tls::authority());
    let mut list = List { prober: "http", cases: Vec::new() };
    let site = servers::plain(&requests).await;
    http_requests(&mut list, site, dir.path());
    http_answers(&mut list, site);
    http_wire(&mut list, site).await;
    http_proxies(&mut list, site, &authority, &requests).await;
    http_tls(&mut list, &authority, &other, dir.path(), &requests).await;
    list.prober = "tcp";
    tcp(&mut list, &authority).await;
    list.prober = "dns";
    dns(&mut list).await;
    list.prober = "grpc";
    grpc(&mut list, &authority).await;
    list.prober = "icmp";
    list.add("loopback", "", "127.0.0.1");
    list.add("a small ttl", "ttl: 1", "127.0.0.1");
    list.add("a large payload", "payload_size: 4000", "127.0.0.1");
    list.add("not to be fragmented", "dont_fragment: true", "127.0.0.1");
    list.add("a source address", "source_ip_address: 127.0.0.1", "127.0.0.1");
    list.add("only ip6", "ip_protocol_fallback: false", "127.0.0.1");
    list.add("an unknown host", "", "does-not-exist.invalid");
    Cases { all: list.cases, requests, _files: (authority, other, dir) }
}

fn http_requests(list: &mut List, site: SocketAddr, dir: &std::path::Path) {
    let file = |name: &str, text: &str| {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let secret = file("secret", " s3cret\n");
    let echo = format!("http://{site}/echo?a=b");
    list.add("a page", "", &echo);
    list.add("a target without a scheme", "", format!("{site}/echo"));
    list.add("a target with a fragment", "", format!("http://{site}/echo#there"));
    list.add(
        "a target with characters to encode",
        "",
        format!("http://{site}/echo?q=a b\"<>|ü&c=[1]{{2}}'^`"),
    );
    list.add("a path with characters to encode", "", format!("http://{site}/status/200?x=%7e%2f"));
    list.add("a target with dots in its path", "", format!("http://{site}/status/../echo"));
    list.add("an empty query", "", format!("http://{site}/echo?"));
    list.add("a path of nothing", "", format!("http://{site}"));
    list.add("a user in the target", "", format!("http://me:p%40ss@{site}/echo"));
    list.add("HEAD", "method: HEAD", &echo);
    list.add("HEAD of a large page", "method: HEAD", format!("http://{site}/big"));
    list.add("POST", "method: POST", &echo);
    list.add("POST with a body", "method: POST, body: hello", &echo);
    list.add(
        "PUT with a body",
        "method: PUT, body: \"{}\", headers: {Content-Type: application/json}",
        &echo,
    );
    list.add("GET with a body", "body: hello", &echo);
    list.add("DELETE", "method: DELETE", &echo);
    list.add("OPTIONS", "method: OPTIONS", &echo);
    list.add("PATCH without a body", "method: PATCH", &echo);
    list.add("a method in small letters", "method: post, body: x", &echo);
    list.add(
        "headers",
        "headers: {X-One: two, user-agent: me, Accept: \"*/*\", Accept-Language: en-US}",
        &echo,
    );
    list.add("an empty header", "headers: {X-One: \"\"}", &echo);
    list.add("an empty user agent", "headers: {User-Agent: \"\"}", &echo);
    list.add("a header with spaces around", "headers: {X-One: \" a \"}", &echo);
    list.add("the header Host", "headers: {Host: other.example}", &echo);
    list.add(
        "the header Content-Length",
        "method: POST, body: abc, headers: {Content-Length: \"2\"}",
        &echo,
    );
    list.add("the header Connection", "headers: {Connection: keep-alive}", &echo);
    list.add(
        "the header Transfer-Encoding",
        "method: POST, body: abc, headers: {Transfer-Encoding: chunked}",
        &echo,
    );
    list.add("the header Cookie", "headers: {Cookie: a=1}", &echo);
    list.add("the header Authorization", "headers: {Authorization: Bearer x}", &echo);
    list.add_with("the parameter hostname", "", &echo, "&hostname=a.example");
    list.add("basic_auth", "basic_auth: {username: u, password: p}", &echo);
    list.add(
        "basic_auth with a file",
        format!("basic_auth: {{username: u, password_file: {secret}}}"),
        &echo,
    );
    list.add("bearer_token", "bearer_token: abc", &echo);
    list.add("bearer_token_file", format!("bearer_token_file: {secret}"), &echo);
    list.add("a missing file", "bearer_token_file: /does/not/exist", &echo);
    list.add("authorization", "authorization: {type: Token, credentials: abc}", &echo);
    list.add(
        "authorization and a user in the target",
        "authorization: {credentials: abc}",
        format!("http://me:pw@{site}/echo"),
    );
    list.add("compression", "compression: gzip", format!("http://{site}/encoded/gzip"));
    list.add(
        "compression and Accept-Encoding",
        "compression: gzip, headers: {Accept-Encoding: \"gzip, br\"}",
        format!("http://{site}/encoded/gzip"),
    );
    for (name, path, keys) in [
        ("one redirect", "/redirect/302/1", ""),
        ("ten redirects", "/redirect/301/10", ""),
        ("eleven redirects", "/redirect/302/11", ""),
        ("eleven redirects, 302 valid", "/redirect/302/11", "valid_status_codes: [302]"),
        ("POST and 301", "/redirect/301/1", "method: POST, body: x"),
        ("POST and 302", "/redirect/302/1", "method: POST, body: x, headers: {Content-Type: a/b}"),
        ("POST and 303", "/redirect/303/1", "method: POST, body: x"),
        ("POST and 307", "/redirect/307/1", "method: POST, body: x"),
        ("POST and 308", "/redirect/308/1", "method: POST, body: x"),
        ("HEAD and 303", "/redirect/303/1", "method: HEAD"),
        ("PUT and 302", "/redirect/302/1", "method: PUT, body: x"),
        ("300 with a place", "/redirect/300/1", ""),
        ("304 with a place", "/redirect/304/1", ""),
        ("305 with a place", "/redirect/305/1", ""),
        ("not followed", "/redirect/302/1", "follow_redirects: false"),
        (
            "not followed, 302 valid",
            "/redirect/302/1",
            "follow_redirects: false, valid_status_codes: [302]",
        ),
        (
            "no_follow_redirects",
            "/redirect/302/1",
            "no_follow_redirects: true, valid_status_codes: [302]",
        ),
        (
            "headers on a redirect",
            "/redirect/302/1",
            "headers: {X-One: a, Referer: mine, Host: h.example}",
        ),
        ("basic_auth on a redirect", "/redirect/302/1", "basic_auth: {username: u, password: p}"),
        ("a cookie on the way", "/cookie", ""),
        ("a redirect to elsewhere", "/to/302?to=//127.0.0.1:1/x", ""),
        ("a redirect to nowhere", "/to/302?to=http://", "bearer_token: x"),
        ("a redirect to another scheme", "/to/302?to=ftp://127.0.0.1/", ""),
        ("a redirect to an empty place", "/to/302?to=", ""),
        ("a redirect with a fragment", "/to/302?to=/echo%23x", ""),
        ("a redirect that cannot be read", "/to/302?to=http://[::1", ""),
    ] {
        list.add(name, keys, format!("http://{site}{path}"));
    }
    let other = format!("http://{site}/to/302?to=http://localhost:{}/echo", site.port());
    list.add("credentials and another host", "preferred_ip_protocol: ip4, bearer_token: x, headers: {Cookie: a=1, X-One: 1, Host: h.example}", other);
}

fn http_answers(list: &mut List, site: SocketAddr) {
    for (name, path, keys) in [
        ("404", "/status/404", ""),
        ("204", "/status/204", ""),
        ("304", "/status/304", ""),
        ("500, valid", "/status/500", "valid_status_codes: [200, 500]"),
        ("200, not valid", "/status/200", "valid_status_codes: [404]"),
        ("299", "/status/299", ""),
        ("599", "/status/599", ""),
        ("a body that matches", "/headers", "fail_if_body_matches_regexp: [nothing, \"h.llo\"]"),
        ("a body over lines", "/headers", "fail_if_body_matches_regexp: [\"hello.world\"]"),
        (
            "a body over lines with (?s)",
            "/headers",
            "fail_if_body_matches_regexp: [\"(?s)hello.world\"]",
        ),
        (
            "a body that does not match",
            "/headers",
            "fail_if_body_not_matches_regexp: [hello, nothing]",
        ),
        ("anchors are the body's", "/headers", "fail_if_body_not_matches_regexp: [\"^world\"]"),
        (
            "(?m) anchors are a line's",
            "/headers",
            "fail_if_body_not_matches_regexp: [\"(?m)^world$\"]",
        ),
        (
            "both kinds of body rules",
            "/headers",
            "fail_if_body_matches_regexp: [x], fail_if_body_not_matches_regexp: [\"hello\"]",
        ),
        ("body rules after a bad status", "/status/404", "fail_if_body_not_matches_regexp: [x]"),
        (
            "body rules and HEAD",
            "/headers",
            "method: HEAD, fail_if_body_not_matches_regexp: [hello]",
        ),
        (
            "a header that matches",
            "/headers",
            "fail_if_header_matches: [{header: Set-Cookie, regexp: \"b=\"}]",
        ),
        (
            "a header that is missing",
            "/headers",
            "fail_if_header_matches: [{header: X-None, regexp: a}]",
        ),
        (
            "a header that may be missing",
            "/headers",
            "fail_if_header_matches: [{header: X-None, regexp: a, allow_missing: true}]",
        ),
        (
            "a header that must match",
            "/headers",
            "fail_if_header_not_matches: [{header: set-cookie, regexp: \"b=\"}]",
        ),
        (
            "a header that must match and does not",
            "/headers",
            "fail_if_header_not_matches: [{header: set-cookie, regexp: \"c=\"}]",
        ),
        (
            "a header that must match and is missing",
            "/headers",
            "fail_if_header_not_matches: [{header: X-None, regexp: a}]",
        ),
        (
            "a header that must match or be missing",
            "/headers",
            "fail_if_header_not_matches: [{header: X-None, regexp: a, allow_missing: true}]",
        ),
        (
            "an empty header that matches",
            "/headers",
            "fail_if_header_matches: [{header: X-Empty, regexp: \"^$\"}]",
        ),
        (
            "Content-Type",
            "/json",
            "fail_if_header_not_matches: [{header: Content-Type, regexp: text/plain}]",
        ),
        (
            "Content-Length as a header",
            "/json",
            "fail_if_header_not_matches: [{header: Content-Length, regexp: \"^16$\"}]",
        ),
        ("HTTP/1.1 wanted", "/echo", "valid_http_versions: [HTTP/1.1]"),
        ("HTTP/2.0 wanted", "/echo", "valid_http_versions: [HTTP/2.0]"),
        ("HTTP/2 never matches", "/echo", "valid_http_versions: [HTTP/2, HTTP/1]"),
        ("fail_if_ssl", "/echo", "fail_if_ssl: true"),
        ("fail_if_not_ssl", "/echo", "fail_if_not_ssl: true"),
        ("body_size_limit, just enough", "/big", "body_size_limit: 100000B"),
        ("body_size_limit, too small", "/big", "body_size_limit: 1KB"),
        (
            "body_size_limit and rules",
            "/big",
            "body_size_limit: 1KB, fail_if_body_not_matches_regexp: [x]",
        ),
        ("body_size_limit after a bad status", "/status/404", "body_size_limit: 1B"),
        ("gzip left alone", "/encoded/gzip", "fail_if_body_matches_regexp: [hello]"),
        (
            "gzip",
            "/encoded/gzip",
            "compression: gzip, fail_if_body_not_matches_regexp: [\"^hello hello hello$\"]",
        ),
        (
            "br",
            "/encoded/br",
            "compression: br, fail_if_body_not_matches_regexp: [\"^hello hello hello$\"]",
        ),
        (
            "deflate",
            "/encoded/deflate",
            "compression: deflate, fail_if_body_not_matches_regexp: [\"^hello hello hello$\"]",
        ),
        (
            "identity",
            "/encoded/gzip",
            "compression: identity, fail_if_body_not_matches_regexp: [hello]",
        ),
        ("gzip that is not", "/echo", "compression: gzip"),
        ("br that is not", "/echo", "compression: br"),
        ("deflate that is not", "/headers", "compression: deflate"),
        ("gzip beyond body_size_limit", "/encoded/gzip", "compression: gzip, body_size_limit: 16B"),
        ("gzip and HEAD", "/encoded/gzip", "method: HEAD, compression: gzip"),
        ("gzip and 204", "/status/204", "compression: gzip"),
        ("only ip6", "/echo", "ip_protocol_fallback: false"),
        ("only ip4", "/echo", "preferred_ip_protocol: ip4, ip_protocol_fallback: false"),
        ("too slow", "/slow", ""),
    ] {
        list.add(name, keys, format!("http://{site}{path}"));
    }
}

async fn http_wire(list: &mut List, site: SocketAddr) {
    for (name, answer) in [
        ("chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        ("HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nold"),
        ("no length", "HTTP/1.1 200 OK\r\n\r\nabc"),
        ("no reason phrase", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"),
        ("a shorter body than told", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"),
        ("a longer body than told", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nok"),
        ("a broken chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        ("a length that is no number", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nabc"),
        ("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc"),
        (
            "two equal lengths",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        ),
        ("a status of four digits", "HTTP/1.1 2000 OK\r\n\r\n"),
        ("a status below 100", "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n"),
        (
            "status 100 first",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            "status 103 first",
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            "switching protocols",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        ),
        ("another protocol", "SSH-2.0-x\r\n"),
        ("nothing at all", ""),
        ("half a line", "HTTP/1.1 20"),
        ("lines that end in LF", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
        ("a header without a colon", "HTTP/1.1 200 OK\r\nnothing\r\nContent-Length: 0\r\n\r\n"),
        (
            "a header with a space in its name",
            "HTTP/1.1 200 OK\r\nX Y: z\r\nContent-Length: 0\r\n\r\n",
        ),
        ("a header on two lines", "HTTP/1.1 200 OK\r\nX-One: a\r\n b\r\nContent-Length: 0\r\n\r\n"),
        ("HTTP/1.2", "HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ("HTTP/2.0 in words", "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
        (
            "Last-Modified that is no date",
            "HTTP/1.1 200 OK\r\nLast-Modified: yesterday\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            "Last-Modified of long ago",
            "HTTP/1.1 200 OK\r\nLast-Modified: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            "Last-Modified of RFC 850",
            "HTTP/1.1 200 OK\r\nLast-Modified: Sunday, 06-Nov-94 08:49:37 GMT\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            "Last-Modified of asctime",
            "HTTP/1.1 200 OK\r\nLast-Modified: Sun Nov  6 08:49:37 1994\r\nContent-Length: 0\r\n\r\n",
        ),
        ("a redirect without a place", "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"),
        ("a length and 204", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"),
    ] {
        list.add(name, "", format!("http://{}/", canned(answer).await));
    }
    let cut_gzip =
        [&b"HTTP/1.1 200 OK\r\n\r\n"[..], &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xcb]].concat();
    list.add(
        "gzip that ends too early",
        "compression: gzip",
        format!("http://{}/", canned(cut_gzip).await),
    );
    let stalling = raw_server(|mut stream| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok").await;
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    })
    .await;
    list.add("a body that stalls", "", format!("http://{stalling}/"));
    list.add("nobody there", "", format!("http://{}/", closed_port().await));
    list.add("an unknown host", "", "http://does-not-exist.invalid/");
    list.add(
        "a host by name",
        "preferred_ip_protocol: ip4",
        format!("http://localhost:{}/echo", site.port()),
    );
    list.add("a scheme in capitals", "", format!("HTTP://{site}/echo"));
    list.add("another scheme", "", format!("ftp://{site}/echo"));
    list.add("a target without a host", "", "http:///x");
    list.add("a port that is none", "", "http://127.0.0.1:99999/");
    list.add("TLS to a plain server", "", format!("https://{site}/"));
}

async fn http_proxies(list: &mut List, site: SocketAddr, ca: &Authority, requests: &Requests) {
    let proxy = format!("proxy_url: \"http://u:p@{site}\"");
    list.add("a proxy", &proxy, "http://127.0.0.1:9/echo?a=b");
    list.add("a proxy for a name", &proxy, "http://localhost:9/echo");
    list.add("a proxy for an unknown name", &proxy, "http://does-not-exist.invalid/echo");
    list.add(
        "a proxy that resolves",
        format!("{proxy}, skip_resolve_phase_with_proxy: true"),
        "http://does-not-exist.invalid/echo",
    );
    list.add(
        "a proxy and the header Host",
        format!("{proxy}, headers: {{Host: h.example}}"),
        "http://127.0.0.1:9/echo",
    );
    let closed = closed_port().await;
    list.add(
        "a proxy that is not there",
        format!("proxy_url: \"http://{closed}\""),
        format!("http://{site}/"),
    );
    let identity = ca.issue(&["localhost", "127.0.0.1"], 2020, 2080);
    let https = servers::encrypted(requests, tls::acceptor(&identity, &[])).await;
    let tunnels = servers::tunnels(requests).await;
    let keys = format!(
        "proxy_url: \"http://u:p@{tunnels}\", tls_config: {{ca_file: {}}}",
        ca.file.display()
    );
    list.add("TLS by a proxy", &keys, format!("https://{https}/echo"));
    list.add(
        "TLS by a proxy that refuses",
        format!("proxy_url: \"http://{site}\""),
        format!("https://{https}/echo"),
    );
}

async fn http_tls(
    list: &mut List,
    ca: &Authority,
    other: &Authority,
    dir: &std::path::Path,
    requests: &Requests,
) {
    let trust = format!("ca_file: {}", ca.file.display());
    let identity = ca.issue(&["localhost", "127.0.0.1", "*.local.example"], 2020, 2080);
    let h1 = servers::encrypted(requests, tls::acceptor(&identity, &[])).await;
    let h2 = servers::encrypted(requests, tls::acceptor(&identity, &["h2", "http/1.1"])).await;
    let https =
        |address: SocketAddr, path: &str| format!("https://localhost:{}{path}", address.port());
    let tls = |keys: &str| format!("preferred_ip_protocol: ip4, tls_config: {{{keys}}}");
    list.add("TLS", tls(&trust), https(h1, "/echo"));
    list.add("TLS to an address", tls(&trust), format!("https://{h1}/echo"));
    list.add("TLS that nobody trusts", tls(""), https(h1, "/echo"));
    list.add(
        "TLS and another CA",
        tls(&format!("ca_file: {}", other.file.display())),
        https(h1, "/echo"),
    );
    list.add("TLS without looking", tls("insecure_skip_verify: true"), https(h1, "/echo"));
    list.add(
        "TLS and server_name",
        tls(&format!("{trust}, server_name: a.local.example")),
        https(h1, "/echo"),
    );
    list.add(
        "TLS and a wrong server_name",
        tls(&format!("{trust}, server_name: other.example")),
        https(h1, "/echo"),
    );
    list.add("TLS and a missing CA file", tls("ca_file: /does/not/exist"), https(h1, "/echo"));
    list.add(
        "TLS and the header Host",
        format!("{}, headers: {{Host: a.local.example}}", tls(&trust)),
        https(h1, "/echo"),
    );
    list.add(
        "TLS and a wrong header Host",
        format!("{}, headers: {{Host: other.example}}", tls(&trust)),
        https(h1, "/echo"),
    );
    list.add_with(
        "TLS and the parameter hostname",
        tls(&trust),
        format!("https://{h1}/echo"),
        "&hostname=a.local.example",
    );
    list.add(
        "TLS and fail_if_ssl",
        format!("{}, fail_if_ssl: true", tls(&trust)),
        https(h1, "/echo"),
    );
    list.add(
        "TLS and fail_if_not_ssl",
        format!("{}, fail_if_not_ssl: true", tls(&trust)),
        https(h1, "/echo"),
    );
    list.add("HTTP/2", tls(&trust), https(h2, "/echo"));
    list.add(
        "HTTP/2 wanted",
        format!("{}, valid_http_versions: [HTTP/2.0]", tls(&trust)),
        https(h2, "/headers"),
    );
    list.add(
        "HTTP/2 and POST",
        format!("{}, method: POST, body: hello", tls(&trust)),
        https(h2, "/echo"),
    );
    list.add(
        "HTTP/2 and Host",
        format!("{}, headers: {{Host: a.local.example}}", tls(&trust)),
        https(h2, "/echo"),
    );
    list.add("HTTP/2 and a redirect", tls(&trust), https(h2, "/redirect/302/1"));
    list.add("HTTP/2 and a large page", tls(&trust), https(h2, "/big"));
    list.add("HTTP/2 and HEAD", format!("{}, method: HEAD", tls(&trust)), https(h2, "/big"));
    list.add(
        "HTTP/2 not wanted",
        format!("{}, enable_http2: false", tls(&trust)),
        https(h2, "/echo"),
    );
    for (name, names, from, to) in [
        ("an expired certificate", "localhost", 2020, 2021),
        ("a certificate of the future", "localhost", 2079, 2080),
        ("a certificate for others", "other.example", 2020, 2080),
    ] {
        let server =
            servers::encrypted(requests, tls::acceptor(&ca.issue(&[names], from, to), &[])).await;
        list.add(name, tls(&trust), https(server, "/echo"));
    }
    let old = servers::encrypted(
        requests,
        tls::acceptor_of(&identity, &[], &[&rustls::version::TLS12], None),
    )
    .await;
    list.add("TLS 1.2", tls(&trust), https(old, "/echo"));
    list.add(
        "TLS 1.2 where 1.3 is the least",
        tls(&format!("{trust}, min_version: TLS13")),
        https(old, "/echo"),
    );
    list.add(
        "TLS 1.2 as the most",
        tls(&format!("{trust}, max_version: TLS12")),
        https(h1, "/echo"),
    );
    let guarded = servers::encrypted(
        requests,
        tls::acceptor_of(&identity, &[], rustls::DEFAULT_VERSIONS, Some(ca)),
    )
    .await;
    let guarded_old = servers::encrypted(
        requests,
        tls::acceptor_of(&identity, &[], &[&rustls::version::TLS12], Some(ca)),
    )
    .await;
    let client = ca.issue(&["client"], 2020, 2080).write(dir, "client");
    let stranger = other.issue(&["client"], 2020, 2080).write(dir, "stranger");
    let files =
        |name: &(String, String)| format!("{trust}, cert_file: {}, key_file: {}", name.0, name.1);
    list.add("a client certificate", tls(&files(&client)), https(guarded, "/echo"));
    list.add("no client certificate", tls(&trust), https(guarded, "/echo"));
    list.add("no client certificate in TLS 1.2", tls(&trust), https(guarded_old, "/echo"));
    list.add("a client certificate of strangers", tls(&files(&stranger)), https(guarded, "/echo"));
    list.add(
        "a client certificate that nobody asked for",
        tls(&files(&client)),
        https(h1, "/echo"),
    );
    let to_plain = servers::plain(requests).await;
    list.add(
        "from TLS to plain",
        tls(&trust),
        https(h1, &format!("/to/302?to=http://{to_plain}/echo")),
    );
    list.add(
        "from plain to TLS",
        tls(&trust),
        format!("http://{to_plain}/to/302?to={}", https(h1, "/echo")),
    );
    list.add(
        "from TLS to an untrusted place",
        tls(&trust),
        https(h1, &format!("/to/302?to=https://127.0.0.2:{}/echo", h1.port())),
    );
}

async fn tcp(list: &mut List, ca: &Authority) {
    let echo = tcp::echo().await;
    for (name, steps) in [
        ("connecting", "[]"),
        ("a line", "[{expect: \"^220\"}]"),
        ("captures", "[{expect: \"^hello (.*)$\", send: \"a ${1}\"}, {expect: \"said a there\"}]"),
        (
            "captures by name",
            "[{expect: \"^hello (?P<who>.*)$\", send: \"${who} $who $1x ${9} $$\"}, {expect: \"said there there   [$]\"}]",
        ),
        ("sending only", "[{send: \"hi\"}]"),
        ("no line matches", "[{send: \"bye\"}, {expect: \"never\"}]"),
        ("waiting in vain", "[{expect: \"never\"}]"),
        ("anchors are a line's", "[{expect: \"^hello there$\"}]"),
        ("an empty expression", "[{expect: \"\"}, {send: \"bye\"}]"),
    ] {
        list.add(name, format!("query_response: {steps}"), echo);
    }
    list.add("nobody there", "", closed_port().await);
    list.add("no port", "", "localhost");
    list.add("a port by name", "", "127.0.0.1:nothing");
    list.add("an unknown host", "", "does-not-exist.invalid:80");
    list.add("a source address", "source_ip_address: 127.0.0.7", echo);
    list.add("a source address of others", "source_ip_address: 192.0.2.1", echo);
    list.add("only ip6", "ip_protocol_fallback: false", echo);
    list.add("only ip4", "preferred_ip_protocol: ip4, ip_protocol_fallback: false", echo);
    let identity = ca.issue(&["localhost"], 2020, 2080);
    let starttls = tls::starttls_server(&identity).await;
    let trust = format!("ca_file: {}", ca.file.display());
    let steps = "preferred_ip_protocol: ip4, query_response: [{expect: \"^220\", send: STARTTLS}, {expect: \"^go$\", starttls: true}, {send: hello}, {expect: \"^secret hello$\"}]";
    let by_name = |address: SocketAddr| format!("localhost:{}", address.port());
    list.add("STARTTLS", format!("{steps}, tls_config: {{{trust}}}"), by_name(starttls));
    list.add("STARTTLS that nobody trusts", steps, by_name(starttls));
    list.add(
        "STARTTLS without looking",
        format!("{steps}, tls_config: {{insecure_skip_verify: true}}"),
        by_name(starttls),
    );
    let https = tls::server(&identity, &[]).await;
    list.add(
        "TLS",
        format!("preferred_ip_protocol: ip4, tls: true, tls_config: {{{trust}}}"),
        by_name(https),
    );
    list.add("TLS to an address", format!("tls: true, tls_config: {{{trust}}}"), https);
    list.add(
        "TLS and server_name",
        format!("tls: true, tls_config: {{{trust}, server_name: localhost}}"),
        https,
    );
    list.add("TLS without looking", "tls: true, tls_config: {insecure_skip_verify: true}", https);
    list.add("TLS to a plain server", "tls: true", echo);
    let silent = raw_server(|stream| async move {
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        drop(stream);
    })
    .await;
    list.add("TLS to silence", "tls: true", silent);
}

async fn dns(list: &mut List) {
    let one = dns::server(dns::answers(&[&dns::A])).await;
    let two = dns::server(dns::Script {
        sections: [vec![&dns::A, &dns::B], vec![&dns::SOA], vec![&dns::A]],
        ..Default::default()
    })
    .await;
    let empty = dns::server(dns::answers(&[])).await;
    let soa = dns::server(dns::answers(&[&dns::SOA])).await;
    let servfail = dns::server(dns::Script { rcode: 2, ..Default::default() }).await;
    let nxdomain = dns::server(dns::Script {
        rcode: 3,
        sections: [vec![], vec![&dns::SOA], vec![]],
        ..Default::default()
    })
    .await;
    let broken = dns::server(dns::answers(&[&[0xc0, 12, 0, 1]])).await;
    let forged = dns::server(dns::Script { forged_first: true, ..dns::answers(&[&dns::A]) }).await;
    let base = "query_name: example.com, query_type: A";
    let rule = |section: &str, rule: &str, pattern: &str| {
        format!("{base}, validate_{section}_rrs: {{{rule}: [{pattern}]}}")
    };
    for (name, keys, server) in [
        ("a record", base.to_owned(), one),
        ("three sections", base.to_owned(), two),
        ("no records", base.to_owned(), empty),
        ("TCP", format!("{base}, transport_protocol: tcp"), two),
        ("TCP and no records", format!("{base}, transport_protocol: tcp"), empty),
        ("ANY", "query_name: example.com".to_owned(), one),
        (
            "class CH",
            "query_name: version.bind, query_type: TXT, query_class: CH".to_owned(),
            empty,
        ),
        ("no recursion", format!("{base}, recursion_desired: false"), one),
        ("the root", "query_name: \".\", query_type: NS".to_owned(), empty),
        ("a name with its dot", "query_name: example.com., query_type: A".to_owned(), one),
        ("SERVFAIL", base.to_owned(), servfail),
        ("SERVFAIL, valid", format!("{base}, valid_rcodes: [NXDOMAIN, SERVFAIL]"), servfail),
        ("NXDOMAIN", base.to_owned(), nxdomain),
        ("NXDOMAIN, valid", format!("{base}, valid_rcodes: [NXDOMAIN]"), nxdomain),
        ("a broken answer", base.to_owned(), broken),
        ("a broken answer over TCP", format!("{base}, transport_protocol: tcp"), broken),
        ("a serial", "query_name: example.com, query_type: SOA".to_owned(), soa),
        ("no serial", "query_name: example.com, query_type: SOA".to_owned(), one),
        ("a serial that was not asked for", base.to_owned(), soa),
        ("a matching record", rule("answer", "fail_if_matches_regexp", "\"127.0.0.2$\""), two),
        (
            "a record's whole text",
            rule(
                "answer",
                "fail_if_not_matches_regexp",
                "\"^example.com.\\t3600\\tIN\\tA\\t127.0.0.1$\"",
            ),
            one,
        ),
        ("not all match", rule("answer", "fail_if_not_matches_regexp", "\"127.0.0.1$\""), two),
        ("all match", rule("answer", "fail_if_all_match_regexp", "\"127.0.0\""), two),
        (
            "not all match, turned round",
            rule("answer", "fail_if_all_match_regexp", "\"127.0.0.1$\""),
            two,
        ),
        (
            "one of two patterns",
            rule("answer", "fail_if_none_matches_regexp", "x, \"127.0.0.2$\""),
            two,
        ),
        ("none matches", rule("answer", "fail_if_none_matches_regexp", "x, y"), two),
        ("rules and no records", rule("answer", "fail_if_matches_regexp", "x"), empty),
        ("needed records and none", rule("answer", "fail_if_not_matches_regexp", "x"), empty),
        ("all of no records", rule("answer", "fail_if_all_match_regexp", "x"), empty),
        ("none of no records", rule("answer", "fail_if_none_matches_regexp", "x"), empty),
        (
            "the authority section",
            rule("authority", "fail_if_not_matches_regexp", "\"SOA.ns. ns. 7 1 2 3 4$\""),
            two,
        ),
        ("the additional section", rule("additional", "fail_if_matches_regexp", "127"), two),
        ("rules after a bad rcode", rule("answer", "fail_if_not_matches_regexp", "x"), servfail),
        ("a source address", format!("{base}, source_ip_address: 127.0.0.9"), one),
        ("only ip6", format!("{base}, ip_protocol_fallback: false"), one),
    ] {
        list.add(name, keys, server);
    }
    list.add("nobody there", base, closed_port().await);
    list.add(
        "nobody there over TCP",
        format!("{base}, transport_protocol: tcp"),
        closed_port().await,
    );
    list.add("an unknown host", base, "does-not-exist.invalid");
    list.add("an answer to another question first", base, forged);
}

async fn grpc(list: &mut List, ca: &Authority) {
    let server = grpc::server().await;
    for (name, keys) in [
        ("the server as a whole", ""),
        ("a service", "service: good"),
        ("not serving", "service: bad"),
        ("an unknown service", "service: none"),
        ("a status of the future", "service: odd"),
        ("an answer without a message", "service: garbled"),
        ("TLS to a plain server", "tls: true"),
        ("only ip6", "ip_protocol_fallback: false"),
    ] {
        list.add(name, keys, server);
    }
    list.add("nobody there", "", closed_port().await);
    list.add("an unknown host", "", "does-not-exist.invalid:80");
    let identity = ca.issue(&["localhost"], 2020, 2080);
    let secure = tls::grpc_server(&identity).await;
    let target = format!("localhost:{}", secure.port());
    let trust = format!(
        "preferred_ip_protocol: ip4, tls: true, tls_config: {{ca_file: {}}}",
        ca.file.display()
    );
    list.add("TLS", &trust, &target);
    list.add("TLS that nobody trusts", "preferred_ip_protocol: ip4, tls: true", &target);
    list.add("TLS to an address", &trust, secure);
    list.add("plain to TLS", "", &target);
}

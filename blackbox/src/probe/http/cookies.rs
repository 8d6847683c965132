//! Cookies that live as long as one probe: sites that redirect until their cookie comes back must be probed too.

use ::http::{HeaderMap, HeaderValue, header};
use url::Url;

/// More are forgotten: a hostile server must not fill memory.
const COOKIES_MAX: usize = 50;
/// Longest name and value together, in bytes, as in browsers.
const COOKIE_BYTES_MAX: usize = 4096;

#[derive(Debug)]
struct Cookie {
    name: String,
    value: String,
    /// In lower case, without a leading dot.
    domain: String,
    host_only: bool,
    path: String,
    secure: bool,
}

/// What the servers of one probe have set.
#[derive(Debug, Default)]
pub(super) struct Jar {
    cookies: Vec<Cookie>,
}

impl Jar {
    /// Keeps what `Set-Cookie` says.
    pub(super) fn take_from(&mut self, url: &Url, headers: &HeaderMap) {
        for header in headers.get_all(header::SET_COOKIE) {
            let Ok(text) = header.to_str() else { continue };
            let Some(cookie) = parse(text, url) else { continue };
            self.cookies.retain(|known| {
                (&known.name, &known.domain, &known.path)
                    != (&cookie.name, &cookie.domain, &cookie.path)
            });
            // An age of zero deletes, which has happened above.
            if !is_deletion(text) && self.cookies.len() < COOKIES_MAX {
                self.cookies.push(cookie);
            }
        }
    }

    /// Adds the `Cookie` that this URL should see.
    pub(super) fn put_into(&self, url: &Url, headers: &mut HeaderMap) {
        let pairs: Vec<String> = self
            .cookies
            .iter()
            .filter(|cookie| cookie.is_for(url))
            .map(|cookie| format!("{}={}", cookie.name, cookie.value))
            .collect();
        if pairs.is_empty() {
            return;
        }
        let mut all: Vec<String> = Vec::with_capacity(2);
        // What the module sends itself comes first.
        all.extend(
            headers.get(header::COOKIE).and_then(|own| own.to_str().ok()).map(str::to_owned),
        );
        all.push(pairs.join("; "));
        if let Ok(value) = HeaderValue::from_str(&all.join("; ")) {
            headers.insert(header::COOKIE, value);
        }
    }
}

impl Cookie {
    fn is_for(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
        let host_fits = host == self.domain
            || (!self.host_only
                && host.strip_suffix(&self.domain).is_some_and(|rest| rest.ends_with('.')));
        let path = url.path();
        let path_fits = path.strip_prefix(self.path.as_str()).is_some_and(|rest| {
            rest.is_empty() || self.path.ends_with('/') || rest.starts_with('/')
        });
        host_fits && path_fits && (!self.secure || url.scheme() == "https")
    }
}

fn parse(text: &str, url: &Url) -> Option<Cookie> {
    let mut parts = text.split(';');
    let (name, value) = parts.next()?.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() || name.len() + value.len() > COOKIE_BYTES_MAX {
        return None;
    }
    let host = url.host_str()?.to_ascii_lowercase();
    let directory = url.path().rsplit_once('/').map_or("/", |(before, _)| before);
    let mut cookie = Cookie {
        name: name.to_owned(),
        value: value.to_owned(),
        domain: host.clone(),
        host_only: true,
        path: if directory.is_empty() { "/".to_owned() } else { directory.to_owned() },
        secure: false,
    };
    for part in parts {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        match key.trim().to_ascii_lowercase().as_str() {
            "domain" => {
                let domain = value.trim().trim_start_matches('.').to_ascii_lowercase();
                // A server may speak for its parent domain, but not for a whole top-level domain or for others.
                let is_parent = host
                    .strip_suffix(&domain)
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
                if !is_parent || (domain != host && !domain.contains('.')) {
                    return None;
                }
                cookie.host_only = false;
                cookie.domain = domain;
            }
            "path" if value.trim().starts_with('/') => cookie.path = value.trim().to_owned(),
            "secure" => cookie.secure = true,
            _ => {}
        }
    }
    Some(cookie)
}

fn is_deletion(text: &str) -> bool {
    text.split(';').skip(1).any(|part| {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        match key.trim().to_ascii_lowercase().as_str() {
            "max-age" => value.trim().parse::<i64>().is_ok_and(|age| age <= 0),
            "expires" => httpdate::parse_http_date(value.trim())
                .is_ok_and(|end| end < std::time::SystemTime::now()),
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_go_back_where_they_belong() {
        for (set, from, to, expected) in [
            ("a=1", "http://x.example/", "http://x.example/b", Some("a=1")),
            ("a=1", "http://x.example/", "http://y.example/", None),
            ("a=1", "http://x.example/", "http://sub.x.example/", None),
            ("a=1; Domain=x.example", "http://x.example/", "http://sub.x.example/", Some("a=1")),
            ("a=1; Domain=example", "http://x.example/", "http://y.example/", None),
            ("a=1; Domain=y.example", "http://x.example/", "http://y.example/", None),
            ("a=1; Path=/p", "http://x.example/", "http://x.example/p/q", Some("a=1")),
            ("a=1; Path=/p", "http://x.example/", "http://x.example/pq", None),
            ("a=1", "http://x.example/d/e", "http://x.example/", None),
            ("a=1; Secure", "https://x.example/", "http://x.example/", None),
            ("a=1; Max-Age=0", "http://x.example/", "http://x.example/", None),
            ("=1", "http://x.example/", "http://x.example/", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::SET_COOKIE, HeaderValue::from_static(set));
            let mut jar = Jar::default();
            jar.take_from(&from.parse().unwrap(), &headers);
            let mut sent = HeaderMap::new();
            jar.put_into(&to.parse().unwrap(), &mut sent);
            let got = sent.get(header::COOKIE).map(|v| v.to_str().unwrap());
            assert_eq!(got, expected, "{set} from {from} to {to}");
        }
    }
}

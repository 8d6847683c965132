//! Which exposition format a scraper wants, by its `Accept` header (RFC 9110 section 12.5.1).
//!
//! Prometheus 3 refuses a scrape whose `Content-Type` it does not know, so the exact types matter.

use http::{HeaderMap, header};

/// A text format for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposition {
    /// Prometheus' text format 0.0.4: what everything understands.
    Text,
    /// OpenMetrics as Prometheus 2.5 first asked for it; the bytes are those of 1.0.0.
    OpenMetrics001,
    OpenMetrics100,
}

impl Exposition {
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics001 => "application/openmetrics-text; version=0.0.1; charset=utf-8",
            Self::OpenMetrics100 => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// The format of the highest quality that we can write; text where nothing fits, because an answer in another
    /// format is more useful than none.
    pub fn accepted(request: &HeaderMap) -> Self {
        let mut best = (0, Self::Text);
        for header in request.get_all(header::ACCEPT) {
            let Ok(text) = header.to_str() else { continue };
            for range in text.split(',') {
                if let Some((quality, exposition)) = parse(range)
                    && quality > best.0
                {
                    best = (quality, exposition);
                }
            }
        }
        best.1
    }
}

/// One media range: its quality in thousandths, and what we would answer. `None` where we cannot write it.
fn parse(range: &str) -> Option<(u32, Exposition)> {
    let mut parts = range.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
    let (mut version, mut quality) = (None, 1000);
    for parameter in parts {
        match parameter.split_once('=') {
            Some((key, value)) if key.trim().eq_ignore_ascii_case("q") => {
                let value: f32 = value.trim().parse().ok()?;
                quality = (value.clamp(0.0, 1.0) * 1000.0) as u32;
            }
            Some((key, value)) if key.trim().eq_ignore_ascii_case("version") => {
                version = Some(value.trim().trim_matches('"').to_owned());
            }
            // Others do not change what we write, such as the escaping of names that need none.
            _ => {}
        }
    }
    let exposition = match (media_type.as_str(), version.as_deref()) {
        ("application/openmetrics-text", None | Some("1.0.0")) => Exposition::OpenMetrics100,
        ("application/openmetrics-text", Some("0.0.1")) => Exposition::OpenMetrics001,
        ("text/plain", None | Some("0.0.4")) | ("text/*" | "*/*", _) => Exposition::Text,
        _ => return None,
    };
    Some((quality, exposition))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_clients_really_send() {
        for (accept, exposition) in [
            // curl, a browser, nothing at all, nonsense
            ("*/*", Exposition::Text),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Exposition::Text),
            ("", Exposition::Text),
            ("application/json", Exposition::Text),
            ("application/openmetrics-text;q=abc", Exposition::Text),
            // Prometheus 2.42
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Exposition::OpenMetrics100,
            ),
            // Prometheus 3
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                Exposition::OpenMetrics100,
            ),
            // Prometheus 3 with scrape_protocols: [PrometheusText0.0.4]
            ("text/plain;version=0.0.4;q=0.5,*/*;q=0.4", Exposition::Text),
            ("application/openmetrics-text; version=0.0.1", Exposition::OpenMetrics001),
            ("application/openmetrics-text; version=2.0.0, text/plain;q=0.1", Exposition::Text),
            ("text/plain, application/openmetrics-text; q=0.9", Exposition::Text),
            ("Application/OpenMetrics-Text; Version=\"1.0.0\"", Exposition::OpenMetrics100),
            ("application/openmetrics-text;q=0", Exposition::Text),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(Exposition::accepted(&headers), exposition, "{accept}");
        }
    }
}

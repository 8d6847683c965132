//! `/probe`.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use proto::exposition::TEXT_CONTENT_TYPE;

use super::{App, plain};
use crate::{blackbox::RequestError, config::Module, history::debug_text, probe::Params};

/// How long the one that asks will wait, in seconds.
const TIMEOUT_HEADER: &str = "X-Prometheus-Scrape-Timeout-Seconds";
/// Where nobody says how long to wait.
const TIMEOUT_SECONDS_DEFAULT: f64 = 120.0;
/// Nobody waits longer, whatever the header says.
const TIMEOUT_SECONDS_MAX: f64 = 3600.0;

pub(super) async fn probe(
    State(app): State<App>,
    Query(pairs): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Response {
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in pairs {
        // Where a parameter is repeated the first one counts, as in Go.
        values.entry(name).or_insert(value);
    }
    let module_name = match values.get("module").map(String::as_str) {
        None | Some("") => "http_2xx".to_owned(),
        Some(name) => name.to_owned(),
    };
    let config = app.blackbox.config();
    let module = match app.blackbox.module(&config, &module_name) {
        Ok(module) => module,
        Err(err) => return bad_request(&err),
    };
    let settings = app.blackbox.settings();
    let timeout = match timeout(&headers, module, settings.timeout_offset) {
        Ok(timeout) => timeout,
        Err(text) => {
            let message = format!(
                "Failed to parse timeout from Prometheus header: {text:?} is not a number of seconds\n"
            );
            return plain(StatusCode::INTERNAL_SERVER_ERROR, message);
        }
    };
    let target = match values.get("target").map(String::as_str) {
        None | Some("") => return bad_request(&RequestError::NoTarget),
        Some(target) => decoded_once_more(target),
    };
    let hostname = values.get("hostname").filter(|name| !name.is_empty()).cloned();
    if let Err(err) = check_hostname(module, hostname.as_deref()) {
        return bad_request(&err);
    }
    let debug = values.get("debug").is_some_and(|value| value == "true");
    let params = Params { hostname, values };
    let Ok(_slot) = app.blackbox.slots().clone().try_acquire_owned() else {
        let message = format!(
            "{} probes are running already (--probe.max-concurrent), try again later\n",
            settings.max_concurrent
        );
        return plain(StatusCode::SERVICE_UNAVAILABLE, message);
    };
    let outcome = app
        .blackbox
        .probe_module(&module_name, module, &target, &params, timeout, &settings.guard)
        .await;
    if debug {
        return plain(StatusCode::OK, debug_text(module, &outcome));
    }
    ([(header::CONTENT_TYPE, TEXT_CONTENT_TYPE)], outcome.metrics.to_text()).into_response()
}

fn bad_request(err: &RequestError) -> Response {
    plain(StatusCode::BAD_REQUEST, format!("{err}\n"))
}

/// The module's `Host` and the parameter `hostname` may agree, or only one of them may speak.
fn check_hostname(module: &Module, hostname: Option<&str>) -> Result<(), RequestError> {
    let Some(hostname) = hostname else { return Ok(()) };
    let configured = module.http.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
    match configured {
        Some((_, configured))
            if module.prober == crate::config::Prober::Http && configured != hostname =>
        {
            Err(RequestError::TwoHosts {
                configured: configured.clone(),
                parameter: hostname.to_owned(),
            })
        }
        _ => Ok(()),
    }
}

/// The time for a probe: the module's own, or what the scrape leaves after `offset`, whichever is shorter.
fn timeout(headers: &HeaderMap, module: &Module, offset: Duration) -> Result<Duration, String> {
    let scrape = match headers.get(TIMEOUT_HEADER) {
        None => 0.0,
        Some(value) => {
            let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
            match text.trim().parse::<f64>() {
                Ok(seconds) if !seconds.is_nan() => seconds,
                _ => return Err(text),
            }
        }
    };
    let scrape = if scrape == 0.0 { TIMEOUT_SECONDS_DEFAULT } else { scrape };
    let most = scrape.min(TIMEOUT_SECONDS_MAX) - offset.as_secs_f64();
    let own = module.timeout.0.as_secs_f64();
    let seconds = if own > 0.0 && (own < most || most < 0.0) {
        own
    } else if most > 0.0 {
        most
    } else {
        // The original gives such a probe no time at all, so that it can only fail.
        (scrape / 2.0).max(0.0)
    };
    Ok(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

/// Some relabelling encodes a target twice (`http%3A%2F%2F`). A URL in plain sight is left as it is, because in it an
/// encoded character means something.
fn decoded_once_more(target: &str) -> String {
    let lower = target.to_ascii_lowercase();
    if lower.starts_with("http%3a") || lower.starts_with("https%3a") {
        let pair = format!("t={}", target.replace('+', "%2B"));
        if let Some((_, decoded)) = url::form_urlencoded::parse(pair.as_bytes()).next() {
            return decoded.into_owned();
        }
    }
    target.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_shorter_time_counts() {
        // Scrape header, module time-out, expected; all in milliseconds, as measured on the original except the last.
        for (scrape, own, expected) in [
            (Some("15"), "0", 14_500),
            (Some("15"), "20s", 14_500),
            (Some("15"), "5s", 5_000),
            (None, "5s", 5_000),
            (None, "0", 119_500),
            (Some("0"), "0", 119_500),
            (Some("0.3"), "5s", 5_000),
            (Some("0.3"), "20s", 20_000),
            (Some("inf"), "0", 3_599_500),
            (Some("0.3"), "0", 150),
        ] {
            let yaml = format!("modules:\n  m:\n    prober: http\n    timeout: {own}\n");
            let config = Config::parse(&yaml, "test.yml".as_ref()).unwrap();
            let mut headers = HeaderMap::new();
            if let Some(scrape) = scrape {
                headers.insert("x-prometheus-scrape-timeout-seconds", scrape.parse().unwrap());
            }
            let got = timeout(&headers, &config.modules["m"], Duration::from_millis(500)).unwrap();
            assert_eq!(got.as_millis(), expected, "{scrape:?} {own}");
        }
        let mut headers = HeaderMap::new();
        headers.insert("x-prometheus-scrape-timeout-seconds", "soon".parse().unwrap());
        let module = &Config::built_in().modules["http_2xx"];
        assert!(timeout(&headers, module, Duration::ZERO).is_err());
    }

    #[test]
    fn targets_encoded_twice() {
        for (target, expected) in [
            ("http%3A%2F%2Fx%2Fa%2520b", "http://x/a%20b"),
            ("http://x/?q=a%2Bb", "http://x/?q=a%2Bb"),
            ("x:80", "x:80"),
        ] {
            assert_eq!(decoded_once_more(target), expected);
        }
    }
}

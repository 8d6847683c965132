//! The parameters of a request, from its query string and its form, read as Go reads them.

use std::time::Duration;

use axum::extract::{FromRequest, Request};
use axum::http::{Method, header};
use promql::model::{Matcher, duration, text::Quoted};

use super::answer::ApiError;

/// A query of the longest length, each byte of it escaped, and many selectors.
const FORM_BYTES_MAX: usize = 512 << 10;

/// Names and values: those of the form first, which count more.
#[derive(Debug)]
pub(super) struct Parameters(Vec<(String, String)>);

impl<S: Send + Sync> FromRequest<S> for Parameters {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        let in_url = pairs(request.uri().query().unwrap_or("").as_bytes())?;
        let kind = request.headers().get(header::CONTENT_TYPE);
        let is_form = request.method() == Method::POST
            && kind.is_some_and(|kind| {
                kind.as_bytes().starts_with(b"application/x-www-form-urlencoded")
            });
        let mut all = Vec::new();
        if is_form {
            let body = axum::body::to_bytes(request.into_body(), FORM_BYTES_MAX).await;
            let body = body
                .map_err(|err| ApiError::bad_data(format!("error parsing form values: {err}")))?;
            all = pairs(&body)?;
        }
        all.extend(in_url);
        Ok(Self(all))
    }
}

fn pairs(text: &[u8]) -> Result<Vec<(String, String)>, ApiError> {
    serde_urlencoded::from_bytes(text)
        .map_err(|err| ApiError::bad_data(format!("error parsing form values: {err}")))
}

impl Parameters {
    /// The first value of a name; nothing is the empty value.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// All values of a name.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A time that has to be given, in milliseconds since the epoch.
    pub(super) fn time(&self, name: &str) -> Result<i64, ApiError> {
        let text = self.get(name);
        parse_time(text).ok_or_else(|| ApiError::parameter(name, no_timestamp(text)))
    }

    /// A time that may be missing.
    pub(super) fn optional_time(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let text = self.get(name);
        if text.is_empty() {
            return Ok(None);
        }
        match parse_time(text) {
            Some(ts) => Ok(Some(ts)),
            None => {
                let why = format!("invalid time value for '{name}': {}", no_timestamp(text));
                Err(ApiError::parameter(name, why))
            }
        }
    }

    /// A duration that has to be given, in nanoseconds.
    pub(super) fn duration_ns(&self, name: &str) -> Result<i64, ApiError> {
        parse_duration_ns(self.get(name)).map_err(|err| ApiError::parameter(name, err))
    }

    /// How long the client wants to wait.
    pub(super) fn timeout(&self) -> Result<Option<Duration>, ApiError> {
        if self.get("timeout").is_empty() {
            return Ok(None);
        }
        let ns = self.duration_ns("timeout")?;
        Ok(Some(Duration::from_nanos(u64::try_from(ns).unwrap_or(0))))
    }

    /// How far an instant selector looks back; nothing where it is not said, or not positive.
    pub(super) fn lookback_ms(&self) -> Result<Option<i64>, ApiError> {
        let text = self.get("lookback_delta");
        if text.is_empty() {
            return Ok(None);
        }
        let ns = parse_duration_ns(text).map_err(|err| {
            ApiError::bad_data(format!("error parsing lookback delta duration: {err}"))
        })?;
        Ok((ns > 0).then_some((ns / 1_000_000).max(1)))
    }

    /// How many results at most; 0 is no limit.
    pub(super) fn limit(&self) -> Result<usize, ApiError> {
        let text = self.get("limit");
        if text.is_empty() {
            return Ok(0);
        }
        let failed = |why| {
            let text = Quoted(text);
            ApiError::parameter("limit", format!("strconv.Atoi: parsing {text}: {why}"))
        };
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(failed("invalid syntax"));
        }
        let limit: i64 = text.parse().map_err(|_| failed("value out of range"))?;
        usize::try_from(limit)
            .map_err(|_| ApiError::parameter("limit", "limit must be non-negative"))
    }

    /// The selectors of `match[]`, of which each has a matcher that an absent label does not satisfy; or what is wrong.
    pub(super) fn selectors(&self) -> Result<Vec<Vec<Matcher>>, String> {
        let parse = |text| {
            promql::parse_selector(text).map_err(|err| {
                // What the language says of a selector, this API says of the parameter.
                match err.message.starts_with("vector selector must contain") {
                    true => "match[] must contain at least one non-empty matcher".to_owned(),
                    false => err.to_string(),
                }
            })
        };
        self.all("match[]").map(parse).collect()
    }
}

fn no_timestamp(text: &str) -> String {
    format!("cannot parse {} to a valid timestamp", Quoted(text))
}

/// What Prometheus' clients send for "since ever" and "for ever".
const EARLIEST: &str = "-292273086-05-16T16:47:06Z";
const LATEST: &str = "292277025-08-18T07:12:54.999999999Z";

fn parse_time(text: &str) -> Option<i64> {
    match text {
        EARLIEST => Some(i64::MIN),
        LATEST => Some(i64::MAX),
        other => crate::time::parse(other),
    }
}

/// Seconds as a float, or a duration such as `1h30m`.
fn parse_duration_ns(text: &str) -> Result<i64, String> {
    if let Ok(seconds) = text.parse::<f64>() {
        let ns = seconds * 1e9;
        if ns > i64::MAX as f64 || ns < i64::MIN as f64 {
            return Err(format!(
                "cannot parse {} to a valid duration. It overflows int64",
                Quoted(text)
            ));
        }
        return Ok(ns as i64);
    }
    let ms = duration::parse(text)
        .map_err(|_| format!("cannot parse {} to a valid duration", Quoted(text)))?;
    Ok(ms.saturating_mul(1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(parse_duration_ns("0.5"), Ok(500_000_000));
        assert_eq!(parse_duration_ns("1m"), Ok(60_000_000_000));
        assert_eq!(parse_duration_ns("-1"), Ok(-1_000_000_000));
        assert!(parse_duration_ns("x").unwrap_err().ends_with("to a valid duration"));
        assert!(parse_duration_ns("1e300").unwrap_err().ends_with("overflows int64"));
    }

    #[test]
    fn the_form_counts_more() {
        let parameters = Parameters(vec![
            ("limit".to_owned(), "3".to_owned()),
            ("match[]".to_owned(), "up".to_owned()),
            ("limit".to_owned(), "7".to_owned()),
            ("match[]".to_owned(), "{job=\"a\"}".to_owned()),
        ]);
        assert_eq!(parameters.limit().unwrap(), 3);
        assert_eq!(parameters.selectors().unwrap().len(), 2);
        assert_eq!(parameters.optional_time("start").unwrap(), None);
        assert!(parameters.time("start").is_err());
    }
}

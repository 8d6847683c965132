//! Rules about an answer, in the order in which the original applies them. The first broken rule is the reason told;
//! those after it that are still applied are logged.

use std::time::UNIX_EPOCH;

use ::http::{HeaderMap, Method, StatusCode, Version, header};
use hyper::body::Body as _;
use tokio::time::Instant;

use super::{Facts, body::Reader};
use crate::{
    config::{HeaderMatcher, HttpConfig},
    failure::{Failure, Phase, Reason},
    probe::Context,
    wire::{Answer, Body},
};

/// The first failure, with all of them in the log.
struct Verdict<'a> {
    ctx: &'a Context<'a>,
    failure: Option<Failure>,
}

impl Verdict<'_> {
    fn fail(&mut self, failure: Failure) {
        if self.failure.is_some() {
            self.ctx.log.error(&failure.message, &[("reason", &failure.reason)]);
        }
        self.failure.get_or_insert(failure);
    }

    fn is_good(&self) -> bool {
        self.failure.is_none()
    }
}

pub(super) async fn judge(
    config: &HttpConfig,
    ctx: &Context<'_>,
    answer: Answer,
    method: &Method,
    facts: &mut Facts,
) -> Result<(), Failure> {
    let mut verdict = Verdict { ctx, failure: None };
    let Answer { response, first_byte, is_tls, connection: _connection } = answer;
    let (head, body) = response.into_parts();
    facts.status = head.status.as_u16();
    facts.is_ssl = is_tls;
    facts.version = version_number(head.version);
    facts.content_length = content_length(head.status, &head.headers, method, &body);
    facts.last_modified = last_modified(&head.headers);
    if let Some(failure) = status_failure(config, head.status) {
        verdict.fail(failure);
    }
    if verdict.is_good()
        && let Some(failure) = header_failure(config, &head.headers)
    {
        facts.failed_due_to_regex = true;
        verdict.fail(failure);
    }
    facts.enter(Phase::Transfer);
    let limit = (config.body_size_limit.0 > 0).then_some(config.body_size_limit.0);
    facts.failed_due_to_cel = config.has_cel().then_some(false);
    let keep = verdict.is_good() && (config.reads_body() || facts.keep_body);
    // The answer to HEAD has the headers of a body, and none.
    let compression = if *method == Method::HEAD { None } else { config.compression };
    let mut reader = Reader::new(compression, limit, keep);
    let read = reader.read(body, &mut facts.body_bytes).await;
    facts.transfer = Instant::now().saturating_duration_since(first_byte);
    facts.enter(Phase::Validate);
    match read {
        Err(err) => {
            // Rules about a body that could not be read are broken, as the original has it.
            facts.failed_due_to_regex |= keep && config.has_body_patterns();
            verdict.fail(err.into_failure(reader.limit()));
        }
        Ok(()) if keep => {
            if let Some(failure) = body_failure(config, reader.kept()) {
                facts.failed_due_to_regex = true;
                verdict.fail(failure);
            } else if let Some(failure) = cel_failure(config, reader.kept()).await {
                facts.failed_due_to_cel = Some(true);
                verdict.fail(failure);
            }
            if facts.keep_body {
                facts.body = reader.into_kept();
            }
        }
        Ok(()) => {}
    }
    if let Some(failure) = version_failure(config, head.version) {
        verdict.fail(failure);
    }
    if is_tls && config.fail_if_ssl {
        verdict.fail(Failure::new(Phase::Validate, Reason::Ssl, "Final request was over SSL"));
    }
    if !is_tls && config.fail_if_not_ssl && verdict.is_good() {
        verdict.fail(Failure::new(
            Phase::Validate,
            Reason::NotSsl,
            "Final request was not over SSL",
        ));
    }
    verdict.failure.map_or(Ok(()), Err)
}

fn status_failure(config: &HttpConfig, status: StatusCode) -> Option<Failure> {
    let valid = &config.valid_status_codes;
    if valid.is_empty() && status.is_success() || valid.contains(&status.as_u16()) {
        return None;
    }
    let wanted = if valid.is_empty() { "2xx".to_owned() } else { format!("one of {valid:?}") };
    let message = format!("Invalid HTTP response status code {}, wanted {wanted}", status.as_u16());
    Some(Failure::new(Phase::Validate, Reason::Status, message))
}

fn header_failure(config: &HttpConfig, headers: &HeaderMap) -> Option<Failure> {
    let fail = |message: String| Some(Failure::new(Phase::Validate, Reason::HeaderRegex, message));
    let values = |rule: &HeaderMatcher| -> Vec<Vec<u8>> {
        headers
            .get_all(rule.header.as_str())
            .iter()
            .map(|value| value.as_bytes().to_vec())
            .collect()
    };
    for rule in &config.fail_if_header_matches {
        let values = values(rule);
        if values.is_empty() && !rule.allow_missing {
            return fail(format!("Missing required header {}", rule.header));
        }
        if values.iter().any(|value| rule.matches(value)) {
            return fail(format!(
                "Header {} matched regular expression {}",
                rule.header,
                shown(rule)
            ));
        }
    }
    for rule in &config.fail_if_header_not_matches {
        let values = values(rule);
        if values.is_empty() {
            if rule.allow_missing {
                continue;
            }
            return fail(format!("Missing required header {}", rule.header));
        }
        if !values.iter().any(|value| rule.matches(value)) {
            return fail(format!(
                "Header {} did not match regular expression {}",
                rule.header,
                shown(rule)
            ));
        }
    }
    None
}

fn shown(rule: &HeaderMatcher) -> &str {
    rule.regexp.as_ref().map_or("", |regexp| regexp.as_str())
}

fn body_failure(config: &HttpConfig, body: &[u8]) -> Option<Failure> {
    let fail = |message: String| Some(Failure::new(Phase::Validate, Reason::BodyRegex, message));
    for pattern in &config.fail_if_body_matches_regexp {
        if pattern.is_match(body) {
            return fail(format!("Body matched regular expression {}", pattern.as_str()));
        }
    }
    for pattern in &config.fail_if_body_not_matches_regexp {
        if !pattern.is_match(body) {
            return fail(format!("Body did not match regular expression {}", pattern.as_str()));
        }
    }
    None
}

async fn cel_failure(config: &HttpConfig, body: &[u8]) -> Option<Failure> {
    if !config.has_cel() {
        return None;
    }
    let fail = |message: String| Some(Failure::new(Phase::Validate, Reason::BodyCel, message));
    let rules = [
        (&config.fail_if_body_json_matches_cel, true),
        (&config.fail_if_body_json_not_matches_cel, false),
    ];
    for (program, bad) in rules {
        let Some(program) = program.clone() else { continue };
        let source = program.as_str().to_owned();
        let body = body.to_vec();
        // An expression may walk all of the body.
        let result = tokio::task::spawn_blocking(move || program.evaluate(&body)).await;
        match result {
            Ok(Ok(result)) if result != bad => {}
            Ok(Ok(true)) => return fail(format!("Body matched CEL expression {source}")),
            Ok(Ok(false)) => return fail(format!("Body did not match CEL expression {source}")),
            Ok(Err(why)) => return fail(format!("CEL expression {source}: {why}")),
            Err(err) => return fail(format!("CEL expression {source}: {err}")),
        }
    }
    None
}

fn version_failure(config: &HttpConfig, version: Version) -> Option<Failure> {
    let name = version_name(version);
    if config.valid_http_versions.is_empty()
        || config.valid_http_versions.iter().any(|valid| valid == name)
    {
        return None;
    }
    let message = format!(
        "Invalid HTTP version number {name}, wanted one of {:?}",
        config.valid_http_versions
    );
    Some(Failure::new(Phase::Validate, Reason::HttpVersion, message))
}

fn version_name(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

fn version_number(version: Version) -> f64 {
    match version {
        Version::HTTP_09 => 0.9,
        Version::HTTP_10 => 1.0,
        Version::HTTP_2 => 2.0,
        Version::HTTP_3 => 3.0,
        _ => 1.1,
    }
}

/// As Go's `Response.ContentLength`: −1 where nobody said.
fn content_length(status: StatusCode, headers: &HeaderMap, method: &Method, body: &Body) -> f64 {
    if matches!(status.as_u16(), 100..=199 | 204 | 304) {
        return 0.0;
    }
    let told = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    match told.and_then(|text| text.trim().parse::<u64>().ok()) {
        Some(length) => length as f64,
        None if *method != Method::HEAD && body.is_end_stream() => 0.0,
        None => -1.0,
    }
}

fn last_modified(headers: &HeaderMap) -> Option<f64> {
    let text = headers.get(header::LAST_MODIFIED)?.to_str().ok()?;
    let time = httpdate::parse_http_date(text).ok()?;
    Some(time.duration_since(UNIX_EPOCH).ok()?.as_secs_f64())
}

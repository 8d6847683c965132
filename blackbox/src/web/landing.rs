//! The page that people see first: what was probed lately, and how it went.

use std::{fmt::Write, sync::Arc};

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};

use super::App;
use crate::history::Entry;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:64rem;padding:0 1rem;color:#1b1f24;background:#fff}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid #d7dce1;vertical-align:top}\
td.target{overflow-wrap:anywhere}.good{color:#116329}.bad{color:#a40e26;font-weight:600}code{background:#f0f2f4;padding:.1rem .3rem}\
@media(prefers-color-scheme:dark){body{color:#e6e9ec;background:#14181c}th,td{border-color:#343b42}.good{color:#57ab5a}.bad{color:#ff7b72}code{background:#22282e}a{color:#6cb6ff}}";

pub(super) async fn landing(State(app): State<App>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        ),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, page(&app.outer_path, &app.blackbox.history().all())).into_response()
}

fn page(outer_path: &str, entries: &[Arc<Entry>]) -> String {
    let path = escaped(outer_path);
    let mut html = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>Watchpost blackbox</title><style>{STYLE}</style><h1>Watchpost blackbox</h1>\
         <form action=\"{path}/probe\"><input type=hidden name=debug value=true>\
         <label>Target <input name=target size=40 placeholder=\"https://example.com/\" required></label> \
         <label>Module <input name=module value=http_2xx size=16></label> <button>Probe</button></form>\
         <p><a href=\"{path}/metrics\">Metrics</a> · <a href=\"{path}/config\">Configuration</a></p>\
         <h2>Recent probes</h2>"
    );
    if entries.is_empty() {
        html.push_str("<p>None yet.</p>");
        return html;
    }
    html.push_str(
        "<table><thead><tr><th>Module<th>Target<th>Result<th>Why<th>Seconds<th>Debug</thead><tbody>",
    );
    for entry in entries {
        let outcome = &entry.outcome;
        let (class, result) =
            if outcome.success() { ("good", "Success") } else { ("bad", "Failure") };
        let why = outcome.failure.as_ref().map_or_else(String::new, |failure| {
            format!("{}: {}", failure.phase.name(), failure.reason)
        });
        write!(
            html,
            "<tr><td>{}<td class=target>{}<td class={class}>{result}<td>{why}<td>{:.3}<td><a href=\"{path}/logs?id={}\">Logs</a>",
            escaped(&entry.module_name),
            escaped(&entry.target),
            outcome.duration.as_secs_f64(),
            entry.id
        )
        .expect("writing to a String cannot fail");
    }
    html.push_str("</tbody></table>");
    html
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proto::exposition::Exposition;

    use super::*;
    use crate::{
        config::Config,
        failure::{Failure, Phase, Reason},
        probe::Outcome,
    };

    #[test]
    fn targets_cannot_write_html() {
        let outcome = Outcome {
            metrics: Exposition::new(),
            duration: Duration::from_millis(250),
            failure: Some(Failure::new(Phase::Connect, Reason::Refused, "Nobody there")),
            log: String::new(),
            phases: Vec::new(),
        };
        let entry = Entry {
            id: 7,
            module_name: "m".to_owned(),
            module: Arc::clone(&Config::built_in().modules["http_2xx"]),
            target: "\"><script>alert('x')</script>".to_owned(),
            outcome,
        };
        let html = page("/bb", &[Arc::new(entry)]);
        assert!(!html.contains("<script"));
        assert!(html.contains("&quot;&gt;&lt;script&gt;alert(&#39;x&#39;)"));
        assert!(html.contains("connect: refused<td>0.250<td><a href=\"/bb/logs?id=7\">"));
    }
}

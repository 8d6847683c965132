//! What both answer to requests that are no good probes, and on their other pages.

use super::{Found, Table, compare::Difference, reasons};
use crate::{
    harness::{Answer, Prober, canned, request},
    reference::Original,
};

const YAML: &str = "modules:
  http_2xx: {prober: http, timeout: 5s, http: {headers: {Host: a.example}, bearer_token: mysecret}}
  own: {prober: http, timeout: 2s}
  free: {prober: http}
  tcp: {prober: tcp, timeout: 2s}
";
const TIMEOUT: &str = "X-Prometheus-Scrape-Timeout-Seconds";

/// Method, path, headers. `TARGET` is a server that is there.
const REQUESTS: &[(&str, &str, &str)] = &[
    ("GET", "/probe?target=TARGET&module=none", ""),
    ("GET", "/probe", ""),
    ("GET", "/probe?target=", ""),
    ("GET", "/probe?module=none", ""),
    ("GET", "/probe?target=TARGET", "X-Prometheus-Scrape-Timeout-Seconds: soon\r\n"),
    ("GET", "/probe?target=", "X-Prometheus-Scrape-Timeout-Seconds: soon\r\n"),
    ("GET", "/probe?target=TARGET&hostname=b.example", ""),
    ("GET", "/logs", ""),
    ("GET", "/logs?id=x", ""),
    ("GET", "/logs?id=-1", ""),
    ("GET", "/logs?id=999", ""),
    ("GET", "/logs?target=none", ""),
    ("GET", "/logs?module=none", ""),
    ("GET", "/-/healthy", ""),
    ("HEAD", "/-/healthy", ""),
    ("GET", "/-/ready", ""),
    ("GET", "/-/reload", ""),
    ("GET", "/", ""),
    ("GET", "/nothing/here", ""),
    ("GET", "/config", ""),
    ("GET", "/metrics", ""),
    ("POST", "/probe?target=TARGET&module=own", ""),
    (
        "GET",
        "/probe?target=TARGET&module=own",
        "Accept: application/openmetrics-text; version=1.0.0\r\n",
    ),
    ("GET", "/probe?target=TARGET&module=own&debug=1", ""),
    ("GET", "/probe?target=TARGET&module=own&debug=true", ""),
];

/// What a probe is given, by the header of the scrape.
const TIMEOUTS: &[(&str, &str)] = &[
    ("own", ""),
    ("own", "15"),
    ("own", "1.5"),
    ("own", "0"),
    ("own", "0.3"),
    ("own", "-1"),
    ("free", ""),
    ("free", "15"),
    ("free", "0"),
    ("free", "1e1"),
];

pub(super) async fn compared() -> Table {
    let original = Original::start(YAML).expect("the caller knows that it is there");
    let ours = Prober::start(YAML).await;
    let target = canned("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.to_string();
    let mut found = Found::new();
    let mut add = |subject: &str, what: String, case: &str| {
        let difference = Difference { subject: subject.to_owned(), what };
        found.entry(difference).or_default().push(case.to_owned());
    };
    for (method, path, headers) in REQUESTS {
        let asked = path.replace("TARGET", &target);
        let here = request(ours.address, method, &asked, headers).await;
        let there = request(original.address, method, &asked, headers).await;
        let case = format!("{method} {path} {}", headers.trim());
        if here.status != there.status {
            add("status", format!("{} here, {} there", here.status, there.status), case.trim());
        }
        let kind = |answer: &Answer| header(answer, "content-type");
        if kind(&here) != kind(&there) {
            add(
                "content type",
                format!("{} here, {} there", kind(&here), kind(&there)),
                case.trim(),
            );
        }
        // Pages and configurations are each program's own; the texts of refusals are what people look for.
        if here.status >= 400 && here.status == there.status && here.body != there.body {
            let (here, there) = (here.body.trim(), there.body.trim());
            add("text", format!("`{here}` here, `{there}` there"), case.trim());
        }
        if path.contains("debug=true") {
            for line in [
                "Logs for the probe:",
                "Metrics that would have been returned:",
                "Module configuration:",
            ] {
                if here.body.contains(line) != there.body.contains(line) {
                    add("debug", format!("`{line}`"), case.trim());
                }
            }
        }
    }
    for (module, seconds) in TIMEOUTS {
        let path = format!("/probe?target={target}&module={module}&debug=true");
        let header =
            if seconds.is_empty() { String::new() } else { format!("{TIMEOUT}: {seconds}\r\n") };
        let given = |answer: &Answer| -> String {
            let after = answer.body.split_once("timeout_seconds=").map(|(_, after)| after);
            after.unwrap_or_default().split_whitespace().next().unwrap_or("none").to_owned()
        };
        let here = given(&request(ours.address, "GET", &path, &header).await);
        let there = given(&request(original.address, "GET", &path, &header).await);
        if here != there {
            let own = if *module == "own" { "2 s of its own" } else { "no time-out of its own" };
            let told = if seconds.is_empty() { "no header" } else { seconds };
            add(
                "time",
                format!("{here} s here, {there} s there"),
                &format!("a module with {own}, {told}"),
            );
        }
    }
    let names = |answer: &Answer| -> std::collections::BTreeSet<String> {
        let types = answer.body.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let own = types.filter(|line| !line.starts_with("go_") && !line.starts_with("process_"));
        own.map(str::to_owned).collect()
    };
    let here = names(&ours.get("/metrics").await);
    let there = names(&request(original.address, "GET", "/metrics", "").await);
    for name in here.symmetric_difference(&there) {
        let place = if here.contains(name) { "only here" } else { "only there" };
        add(name, place.to_owned(), "/metrics");
    }
    let about = format!(
        "{} requests: status, content type and the text of refusals; {} combinations of the module's time-out and the\n\
         scrape's header; the families of `/metrics` but for those of the runtime and the process.\n",
        REQUESTS.len(),
        TIMEOUTS.len()
    );
    Table { title: "Pages", about, found, reasons: reasons::PAGES, named_max: usize::MAX }
}

fn header(answer: &Answer, name: &str) -> String {
    let mut lines = answer.head.lines().filter_map(|line| line.split_once(": "));
    lines
        .find(|(n, _)| n.eq_ignore_ascii_case(name))
        .map_or_else(String::new, |(_, v)| v.to_owned())
}

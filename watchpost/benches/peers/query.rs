//! The same questions to every peer that keeps the same samples: how long each takes, what it holds meanwhile, and whether
//! the answers are the same.

mod hosts;
mod questions;

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use receiver::model::now_ms;
use serde_json::Value;

pub(crate) use self::hosts::Hosts;
use self::{
    hosts::Source,
    questions::{Over, QUESTIONS},
};
use crate::{
    engine, load,
    peer::{Peer, Running},
    workload::{Protocol, STEP_MS},
};

/// Connections that samples are written by.
const CONNECTIONS: usize = 2;
/// Between two looks at the memory of a peer that works on an answer.
const SAMPLE_EVERY: Duration = Duration::from_millis(5);
/// When everything that was written now has been merged once, and days that are over have become final.
const LATER_MS: i64 = 8 * 3_600_000;
/// What may become of the last digits when sums are taken in another order.
const RELATIVE: f64 = 1e-9;

/// How answers compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Same {
    Bytes,
    /// But for the last digits.
    Nearly,
    No,
}

/// What was found of one question at one peer.
struct Found {
    took: Vec<Duration>,
    body: Bytes,
    /// Beyond what it held before, at most.
    memory: u64,
}

struct Target {
    running: Running,
    peer: Peer,
    client: reqwest::Client,
}

pub(crate) async fn run(
    hosts: usize,
    hours: usize,
    runs: usize,
    peers: &[Peer],
) -> anyhow::Result<()> {
    let end = now_ms() / 60_000 * 60_000;
    let hosts = Hosts { n: hosts, hours, end };
    println!("{} hosts × 100 series × {hours} h: {} samples\n", hosts.n, hosts.n_samples());
    let mut targets = Vec::new();
    for peer in peers {
        let Some(version) = peer.version() else {
            println!("{}: {}", peer.name(), peer.hint());
            continue;
        };
        let target = Target::load(*peer, hosts).await?;
        if !version.is_empty() {
            println!("  version {version}");
        }
        targets.push(target);
    }
    let asked: Vec<(Over, &str)> = QUESTIONS
        .iter()
        .copied()
        .filter(|(over, _)| over.times().0 <= hours as i64 * 3_600)
        .collect();
    let names: Vec<&str> = targets.iter().map(|target| target.peer.name()).collect();
    println!("\n| over | query | {} | same |", names.join(" | memory | "));
    println!("|---|---|{}---|", "---|---|".repeat(targets.len()));
    let mut ratios = vec![Vec::new(); targets.len()];
    for (over, query) in asked {
        let mut found: Vec<Found> = Vec::new();
        for target in &targets {
            // The first time is for their caches, and to look at memory.
            found.push(target.observe(over, query, end).await?);
        }
        for _ in 0..runs {
            for (target, found) in targets.iter().zip(&mut found) {
                found.took.push(target.ask(over, query, end).await?.0);
            }
        }
        let medians: Vec<f64> = found.iter().map(|found| median(&found.took)).collect();
        let mut line = format!("| {} | `{query}` |", over.name());
        for (at, found) in found.iter().enumerate() {
            let ratio = medians[at] / medians[0];
            ratios[at].push(ratio);
            let times = if at == 0 { String::new() } else { format!(" ({ratio:.2})") };
            line += &format!(
                " {:.1} ms{times} | {:.0} MB |",
                medians[at] * 1e3,
                found.memory as f64 / 1e6
            );
        }
        println!("{line} {} |", verdicts(&targets, &found)?);
    }
    for (target, ratios) in targets.iter().zip(&mut ratios).skip(1) {
        ratios.sort_by(f64::total_cmp);
        println!(
            "\n{} takes {:.2} times as long as {} (median; {:.2} to {:.2})",
            target.peer.name(),
            ratios[ratios.len() / 2],
            targets[0].peer.name(),
            ratios.first().copied().unwrap_or_default(),
            ratios.last().copied().unwrap_or_default()
        );
    }
    Ok(())
}

fn median(took: &[Duration]) -> f64 {
    let mut sorted = took.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2].as_secs_f64()
}

impl Target {
    /// Starts a peer and writes everything to it.
    async fn load(peer: Peer, hosts: Hosts) -> anyhow::Result<Self> {
        let mut running = Running::start(peer).await?;
        let started = Instant::now();
        write(&running.write_url(), hosts.source()).await?;
        let took = started.elapsed();
        println!(
            "{}: written in {:.0} s, {:.0} k samples/s",
            peer.name(),
            took.as_secs_f64(),
            hosts.n_samples() as f64 / took.as_secs_f64() / 1e3
        );
        if let Some(db) = running.database().await? {
            // To where it would be if it had come as slowly as it was scraped: the peers go by the time of samples and do
            // this while they write, we go by the clock.
            running.stop_program()?;
            let url = running.database_url().context("what has a database has its address")?;
            let (receiver, closing) = engine::open(&url).await?;
            receiver.storage().housekeep(now_ms()).await?;
            receiver.storage().housekeep(now_ms() + LATER_MS).await?;
            drop(receiver);
            closing.finished().await;
            sqlx::query("VACUUM ANALYZE").execute(&db).await?;
            db.close().await;
            running.again().await?;
        }
        let target = Self { running, peer, client: reqwest::Client::builder().build()? };
        target.wait_for(hosts).await?;
        println!("  {:.0} MB on disk", target.running.disk().await? as f64 / 1e6);
        Ok(target)
    }

    /// Waits until the last samples are seen.
    async fn wait_for(&self, hosts: Hosts) -> anyhow::Result<()> {
        let n = hosts.n.to_string();
        let since = format!("count(timestamp(up) > {})", (hosts.end - 2 * STEP_MS) / 1000);
        for _ in 0..600 {
            let (_, body) = self.ask(Over::Instant, &since, hosts.end).await?;
            let answer: Value = serde_json::from_slice(&body)?;
            if answer["data"]["result"][0]["value"][1].as_str() == Some(&*n) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("{} does not show what was written to it", self.peer.name());
    }

    async fn ask(&self, over: Over, query: &str, end_ms: i64) -> anyhow::Result<(Duration, Bytes)> {
        let (length, step) = over.times();
        let end = end_ms / 1000;
        let mut form = vec![("query", query.to_owned())];
        let path = if over == Over::Instant {
            form.push(("time", end.to_string()));
            "query"
        } else {
            let start = (end - length).to_string();
            form.extend([("start", start), ("end", end.to_string()), ("step", step.to_string())]);
            "query_range"
        };
        if self.peer == Peer::VictoriaMetrics {
            form.push(("nocache", "1".to_owned()));
        }
        let body: Vec<String> =
            form.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let request = self
            .client
            .post(format!("{}/api/v1/{path}", self.running.url()))
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(body.join("&"));
        let started = Instant::now();
        let response = request.send().await?;
        let status = response.status();
        let body = response.bytes().await?;
        let took = started.elapsed();
        if !status.is_success() {
            bail!("{} answered {status}: {}", self.peer.name(), String::from_utf8_lossy(&body));
        }
        Ok((took, body))
    }

    /// Asks once, and looks at the memory meanwhile.
    async fn observe(&self, over: Over, query: &str, end_ms: i64) -> anyhow::Result<Found> {
        let before = self.running.usage().memory;
        let mut most = before;
        let asking = self.ask(over, query, end_ms);
        tokio::pin!(asking);
        let mut ticks = tokio::time::interval(SAMPLE_EVERY);
        let (_, body) = loop {
            tokio::select! {
                answer = &mut asking => break answer?,
                _ = ticks.tick() => most = most.max(self.running.usage().memory),
            }
        };
        most = most.max(self.running.usage().memory);
        Ok(Found { took: Vec::new(), body, memory: most - before })
    }
}

/// As it stands in a form.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            out += &format!("%{byte:02X}");
        }
        out
    })
}

/// Writes in order of time, as fast as it is taken.
async fn write(url: &str, mut source: Source) -> anyhow::Result<()> {
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|_| reqwest::Client::builder().http1_only().build())
        .collect::<Result<_, _>>()?;
    let make = |mut source: Source| {
        tokio::task::spawn_blocking(move || {
            let requests = source.next();
            (source, requests)
        })
    };
    let mut requests;
    (source, requests) = make(source).await?;
    let mut making = make(source);
    while !requests.is_empty() {
        let mut sending = Vec::new();
        for (at, client) in clients.iter().enumerate() {
            let (url, client) = (url.to_owned(), client.clone());
            let own: Vec<Bytes> = requests.iter().skip(at).step_by(CONNECTIONS).cloned().collect();
            sending.push(tokio::spawn(async move {
                for request in own {
                    while !load::post(&client, &url, request.clone(), Protocol::V1).await? {
                        tokio::time::sleep(Duration::from_millis(30)).await;
                    }
                }
                anyhow::Ok(())
            }));
        }
        for task in sending {
            task.await??;
        }
        (source, requests) = making.await?;
        making = make(source);
    }
    Ok(())
}

/// Whether each answer is that of the first peer.
fn verdicts(targets: &[Target], found: &[Found]) -> anyhow::Result<String> {
    let first = results(&found[0].body)?;
    let mut words = Vec::new();
    for (target, found) in targets.iter().zip(found).skip(1) {
        let word = match compare(&first, &results(&found.body)?) {
            Same::Bytes => "same bytes",
            Same::Nearly => "same within 1e-9",
            // It extrapolates differently, on purpose.
            Same::No if target.peer == Peer::VictoriaMetrics => "another meaning",
            Same::No => "DIFFERENT",
        };
        words.push(word);
    }
    Ok(words.join(", "))
}

/// The elements of an answer, sorted by their labels.
fn results(body: &[u8]) -> anyhow::Result<Vec<(String, Value)>> {
    let mut answer: Value = serde_json::from_slice(body)?;
    let Value::Array(elements) = answer["data"]["result"].take() else {
        bail!("an answer without a list of results");
    };
    let mut elements: Vec<(String, Value)> = elements
        .into_iter()
        .map(|mut element| {
            let labels = element["metric"].take().to_string();
            let of = ["values", "value"].into_iter().find(|name| element.get(name).is_some());
            (labels, of.map(|name| element[name].take()).unwrap_or_default())
        })
        .collect();
    elements.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(elements)
}

fn compare(a: &[(String, Value)], b: &[(String, Value)]) -> Same {
    if a == b {
        return Same::Bytes;
    }
    let all = a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && near(&a.1, &b.1));
    if all { Same::Nearly } else { Same::No }
}

fn near(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| near(a, b))
        }
        (Value::String(a), Value::String(b)) => match (a.parse::<f64>(), b.parse::<f64>()) {
            (Ok(a), Ok(b)) => a == b || (a - b).abs() <= RELATIVE * a.abs().max(b.abs()),
            _ => a == b,
        },
        _ => a == b,
    }
}

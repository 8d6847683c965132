//! From a machine that dies to a message on a phone, with a real Prometheus, a real Alertmanager and the rules of `rules/`:
//! two hosts go down and a target breaks; each is told once, the hosts together, and told to be over; what is only a part of
//! a dead host is silent.
//!
//! The rules are those that are shipped, with shorter times, and an alert about memory that fires at once.

use std::{
    fs,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, extract::State, http::StatusCode};
use receiver::db::testing;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::{
    alertmanager::{FIRST_WITH_TOKEN_FILE, version},
    harness::{
        find_tool, free_port, http,
        inbox::{Inbox, mail_server, readable, telegram},
        process::{Process, watchpost},
        until,
    },
};

/// For how long nothing more may come of what was told: several times as long as anything waits here.
const QUIET: Duration = Duration::from_secs(12);
/// A group waits for its second host, whose scrapes are at other moments.
const GROUP_WAIT: &str = "--group.wait=6s";

/// A page that is well until it is told otherwise.
async fn target() -> (String, Arc<AtomicBool>) {
    async fn answer(State(is_well): State<Arc<AtomicBool>>) -> StatusCode {
        if is_well.load(Ordering::Relaxed) {
            StatusCode::OK
        } else {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
    let is_well = Arc::new(AtomicBool::new(true));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/shop", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer).with_state(Arc::clone(&is_well));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, is_well)
}

/// One of our programs; on a port that stays the same when it comes back.
fn program(name: &str, folder: &Path, address: &str) -> Process {
    let mut command = watchpost();
    command.arg(name).arg(format!("--web.listen-address={address}"));
    Process::start(name, folder, command)
}

/// The shipped rules, as they would be if days were seconds.
fn hasty_rules(folder: &Path) {
    for file in ["hosts", "probes", "meta", "receiver"] {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../rules/{file}.yaml"));
        let text = fs::read_to_string(source).unwrap();
        let mut hasty = String::new();
        for line in text.lines() {
            let words = line.trim_start();
            let indent = &line[..line.len() - words.len()];
            match words.split_once(": ") {
                Some(("for", _)) => hasty += &format!("{indent}for: 5s"),
                Some(("interval", _)) => {}
                // It still fires when the host is gone, which is when it has to be silent.
                Some(("expr", "instance:node_memory_utilisation:ratio > 0.9")) => {
                    hasty += &line.replace("> 0.9", "> 0");
                }
                _ => hasty += line,
            }
            hasty.push('\n');
        }
        fs::write(folder.join(format!("{file}.yaml")), hasty).unwrap();
    }
}

/// What Prometheus shall look at, as `host:port` or URL.
pub(crate) struct Scraped<'a> {
    pub(crate) hosts: &'a [String],
    pub(crate) blackbox: &'a str,
    pub(crate) targets: &'a [String],
    pub(crate) alertmanager: &'a str,
    pub(crate) receiver: Option<&'a str>,
}

/// A Prometheus that looks at everything every other second, itself included, and where it answers.
pub(crate) fn start_prometheus(
    program: &Path,
    folder: &Path,
    scraped: &Scraped<'_>,
) -> (Process, String) {
    hasty_rules(folder);
    let address = format!("127.0.0.1:{}", free_port());
    let Scraped { hosts, blackbox, targets, alertmanager, receiver } = scraped;
    let receivers: Vec<&str> = receiver.iter().copied().collect();
    let config = format!(
        "global: {{scrape_interval: 2s, scrape_timeout: 2s, evaluation_interval: 1s}}
rule_files: ['*.yaml']
alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{alertmanager}']}}]}}]}}
scrape_configs:
  - job_name: node
    static_configs: [{{targets: {hosts:?}}}]
  - job_name: watchpost
    static_configs: [{{targets: {receivers:?}}}]
  - job_name: prometheus
    static_configs: [{{targets: ['{address}']}}]
  - job_name: alertmanager
    static_configs: [{{targets: ['{alertmanager}']}}]
  - job_name: blackbox
    metrics_path: /probe
    params: {{module: [http_2xx]}}
    static_configs: [{{targets: {targets:?}}}]
    relabel_configs:
      - {{source_labels: [__address__], target_label: __param_target}}
      - {{source_labels: [__param_target], target_label: instance}}
      - {{target_label: __address__, replacement: '{blackbox}'}}
"
    );
    // Its ending is not that of the rules.
    fs::write(folder.join("prometheus.yml"), config).unwrap();
    let mut command = Command::new(program);
    command
        .arg("--config.file=prometheus.yml")
        .arg("--storage.tsdb.path=prometheus")
        .arg(format!("--web.listen-address={address}"))
        .current_dir(folder);
    (Process::start("prometheus", folder, command), format!("http://{address}"))
}

/// Alertmanager with the file that `watchpost render` writes; only its long times are shorter.
pub(crate) async fn start_alertmanager(
    program: &Path,
    folder: &Path,
    mails: &Inbox,
    messages: Option<&Inbox>,
) -> (Process, String) {
    let mut render = watchpost();
    render.args(["render", "alertmanager", "--smtp.plain-text", GROUP_WAIT]);
    render.args(["--smtp.from=watchpost@example.org", "--email.to=ops@example.org"]);
    render.args(["--grafana.url=https://grafana.example.org"]);
    render.arg("--smtp.smarthost").arg(mail_server(mails.clone()).await);
    if let Some(messages) = messages {
        let token = folder.join("token");
        fs::write(&token, "123:abc\n").unwrap();
        render.arg("--telegram.chat-id=-1001234").arg("--telegram.bot-token-file").arg(token);
        render.arg("--telegram.api-url").arg(telegram(messages.clone()).await);
    }
    let text = String::from_utf8(render.output().unwrap().stdout).unwrap();
    assert!(text.contains("group_interval: 5m"), "{text}");
    let config = folder.join("alertmanager.yml");
    fs::write(&config, text.replace("group_interval: 5m", "group_interval: 2s")).unwrap();
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = Command::new(program);
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.path={}", folder.join("alertmanager").display()))
        .arg(format!("--web.listen-address={address}"))
        .arg("--cluster.listen-address=");
    (Process::start("alertmanager", folder, command), address)
}

/// What has come with this in it, of all that has come.
fn with(inbox: &Inbox, part: &str) -> Vec<String> {
    let all = inbox.lock().unwrap();
    all.iter().map(|text| readable(text)).filter(|text| text.contains(part)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_host_and_a_broken_target_are_told_once_and_told_to_be_over() {
    let Some(prometheus) = find_tool(&["prometheus-3", "prometheus"]) else { return };
    let Some(alertmanager) = find_tool(&["prometheus-alertmanager", "alertmanager"]) else {
        return;
    };
    let has_telegram = version(&alertmanager) >= FIRST_WITH_TOKEN_FILE;
    if !has_telegram {
        eprintln!(
            "SKIPPED: the half with Telegram needs Alertmanager 0.26 or newer \
             (WATCHPOST_E2E_PROMETHEUS_ALERTMANAGER)"
        );
    }
    let folder = testing::folder();
    let (mails, messages) = (Inbox::default(), Inbox::default());
    let hosts = [0; 2].map(|_| format!("127.0.0.1:{}", free_port()));
    let (target, is_well) = target().await;
    let mut running = hosts.each_ref().map(|host| program("exporter", folder.path(), host));
    let mut blackbox = program("blackbox", folder.path(), "127.0.0.1:0");
    let prober = blackbox.address().await;
    for host in &mut running {
        host.address().await;
    }
    let (_alertmanager, address) =
        start_alertmanager(&alertmanager, folder.path(), &mails, has_telegram.then_some(&messages))
            .await;
    let scraped = Scraped {
        hosts: &hosts,
        blackbox: &prober,
        targets: std::slice::from_ref(&target),
        alertmanager: &address,
        receiver: None,
    };
    let (_prometheus, _) = start_prometheus(&prometheus, folder.path(), &scraped);

    // Both hosts are short of memory, by the rule as it is here: one message, and nothing critical.
    let memory = "has little memory left (2 such alerts)\n";
    until("a mail about memory", async || with(&mails, memory).first().cloned()).await;
    let early = [with(&mails, "cannot be scraped"), with(&mails, &target)].concat();
    assert!(early.is_empty(), "{early:?}");

    is_well.store(false, Ordering::Relaxed);
    for host in running {
        host.kill().await;
    }
    let host_down = "cannot be scraped (2 such alerts)\n";
    let down = until("a mail about the hosts", async || with(&mails, host_down).pop()).await;
    for host in &hosts {
        assert!(down.contains(&format!("Host {host} cannot be scraped")), "{down}");
    }
    let broken = format!("Subject: [critical] {target} does not answer as it should\n");
    until("a mail about the target", async || with(&mails, &broken).pop()).await;
    tokio::time::sleep(QUIET).await;
    let all: Value = http()
        .get(format!("http://{address}/api/v2/alerts"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let silent = all.as_array().unwrap().iter().filter(|alert| {
        alert["labels"]["alertname"] == "HostMemoryLow" && alert["status"]["state"] == "suppressed"
    });
    assert_eq!(silent.count(), 2, "memory of both hosts is silent: {all}");

    let told = messages.lock().unwrap().clone();
    let n_with =
        |texts: &[String], part: &str| texts.iter().filter(|text| text.contains(part)).count();
    let n_mails = |part: &str| with(&mails, part).len();
    let critical = "Subject: [critical] Host 127.0.0.1:";
    assert_eq!((n_mails(critical), n_mails(&broken)), (1, 1), "each was told once, hosts together");
    if has_telegram {
        assert_eq!(n_with(&told, "🔴 <b>Host 127.0.0.1:"), 1, "{told:?}");
        assert_eq!(n_with(&told, &format!("🔴 <b>{target}")), 1, "{told:?}");
        assert_eq!(n_with(&told, "memory"), 0, "what is no emergency is no message: {told:?}");
    }

    is_well.store(true, Ordering::Relaxed);
    let mut back = hosts.each_ref().map(|host| program("exporter", folder.path(), host));
    for host in &mut back {
        host.address().await;
    }
    let over = "Subject: [over] Host 127.0.0.1:";
    until("a mail that the hosts are back", async || with(&mails, over).pop()).await;
    let mended = format!("Subject: [over] {target} does not answer as it should\n");
    until("a mail that the target is back", async || with(&mails, &mended).pop()).await;
    tokio::time::sleep(QUIET).await;
    assert_eq!((n_mails(over), n_mails(&mended)), (1, 1), "each end was told once");
    assert_eq!(n_mails("objective is in danger"), 0, "what was told is not told again");
    let told = messages.lock().unwrap().clone();
    if has_telegram {
        assert_eq!(n_with(&told, &format!("✅ <b>Over: {target}")), 1, "{told:?}");
        for host in &hosts {
            assert_eq!(n_with(&told, &format!("✅ <b>Over: Host {host}")), 1, "{told:?}");
        }
    }
    for text in &told {
        eprintln!("{text}\n");
    }
    for text in mails.lock().unwrap().iter() {
        eprintln!("mail: {}", text.lines().find(|line| line.starts_with("Subject:")).unwrap());
    }
}

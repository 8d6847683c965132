//! The file of `watchpost render alertmanager` in a real Alertmanager: who gets which message, and how it reads. The mail
//! server and Telegram are played by this test.

use std::{path::Path, process::Command};

use receiver::db::testing;
use serde_json::{Value, json};

use crate::harness::{
    find_tool, free_port, http,
    inbox::{Inbox, mail_server, readable, telegram},
    process::{Process, watchpost},
    until,
};

/// `bot_token_file` came with this one.
pub(crate) const FIRST_WITH_TOKEN_FILE: (u32, u32) = (0, 26);

pub(crate) fn version(program: &Path) -> (u32, u32) {
    let output = Command::new(program).arg("--version").output().unwrap();
    // Older ones say it on standard error.
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let number = text.split("version ").nth(1).unwrap_or_else(|| panic!("version in {text}"));
    let mut parts = number.split(['.', ' ', ',']).map(|part| part.parse().unwrap());
    (parts.next().unwrap(), parts.next().unwrap())
}

fn alert(name: &str, instance: &str, severity: &str, summary: &str) -> Value {
    json!({
        "labels": {"alertname": name, "job": "node", "instance": instance, "severity": severity},
        "annotations": {
            "summary": summary,
            "description": "Less than 5% & <falling>.",
            "runbook_url": format!("https://docs.example.org/{name}.md"),
            "dashboard": format!("/d/watchpost-host?var-job=node&var-instance={instance}"),
        },
    })
}

#[tokio::test]
async fn alerts_reach_a_phone_in_words_that_fit_it() {
    let Some(program) = find_tool(&["prometheus-alertmanager", "alertmanager"]) else { return };
    let has_telegram = version(&program) >= FIRST_WITH_TOKEN_FILE;
    if !has_telegram {
        eprintln!(
            "SKIPPED: the half with Telegram needs Alertmanager 0.26 or newer \
             (WATCHPOST_E2E_PROMETHEUS_ALERTMANAGER)"
        );
    }
    let folder = testing::folder();
    let (mails, messages) = (Inbox::default(), Inbox::default());
    let config = folder.path().join("alertmanager.yml");
    let token = folder.path().join("token");
    std::fs::write(&token, "123:abc\n").unwrap();
    let mut render = watchpost();
    render.args(["render", "alertmanager", "--smtp.plain-text", "--group.wait=1s"]);
    render.args(["--smtp.from=watchpost@example.org", "--email.to=ops@example.org"]);
    render.args(["--grafana.url=https://grafana.example.org"]);
    render.arg("--smtp.smarthost").arg(mail_server(mails.clone()).await);
    render.arg("--output").arg(&config);
    if has_telegram {
        render.arg("--telegram.chat-id=-1001234").arg("--telegram.bot-token-file").arg(&token);
        render.arg("--telegram.api-url").arg(telegram(messages.clone()).await);
    }
    assert!(render.status().unwrap().success());
    if let Some(amtool) = find_tool(&["amtool"])
        && version(&amtool) == version(&program)
    {
        let output = Command::new(amtool).arg("check-config").arg(&config).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    let address = format!("127.0.0.1:{}", free_port());
    let mut command = Command::new(program);
    command.arg(format!("--config.file={}", config.display()));
    command.arg(format!("--storage.path={}", folder.path().join("alertmanager").display()));
    command.arg(format!("--web.listen-address={address}")).arg("--cluster.listen-address=");
    let process = Process::start("alertmanager", folder.path(), command);
    let client = http();
    let url = format!("http://{address}/api/v2/alerts");
    let alerts = [
        alert("HostDown", "web-1:9100", "critical", "Host web-1:9100 cannot be <scraped>"),
        alert("HostMemoryLow", "web-1:9100", "warning", "Host web-1:9100 has little memory left"),
        alert("HostMemoryLow", "web-2:9100", "warning", "Host web-2:9100 has little memory left"),
        alert("Watchdog", "x", "none", "Alerting works"),
    ];
    until("Alertmanager takes alerts", async || {
        let answer = client.post(&url).json(&alerts).send().await;
        answer.ok()?.status().is_success().then_some(())
    })
    .await;
    let mut mails_now = until("two mails", async || {
        let mails = mails.lock().unwrap().clone();
        (mails.len() >= 2).then_some(mails)
    })
    .await;
    mails_now.sort();
    let mails_now: Vec<String> = mails_now.iter().map(|mail| readable(mail)).collect();
    let find = |subject: &str| {
        let found = mails_now.iter().find(|mail| mail.contains(&format!("Subject: {subject}\n")));
        found.unwrap_or_else(|| panic!("no mail `{subject}` in {mails_now:?}"))
    };
    let down = find("[critical] Host web-1:9100 cannot be <scraped>");
    eprintln!("{down}");
    for part in [
        "Host web-1:9100 cannot be &lt;scraped&gt;</div>",
        "Less than 5% &amp; &lt;falling&gt;.",
        "href=\"https://grafana.example.org/d/watchpost-host?var-job=node&amp;var-instance=web-1:9100\"",
        "What to do: https://docs.example.org/HostDown.md\n",
        "\nDashboard: https://grafana.example.org/d/watchpost-host?var-job=node&var-instance=web-1:9100\n",
    ] {
        assert!(down.contains(part), "{part}");
    }
    find("[warning] Host web-2:9100 has little memory left");
    if has_telegram {
        let message = until("a message", async || messages.lock().unwrap().first().cloned()).await;
        eprintln!("{message}");
        let start = "/bot123:abc/sendMessage \"-1001234\" 🔴 <b>Host web-1:9100 cannot be &lt;scraped&gt;</b>\n\
                     Less than 5% &amp; &lt;falling&gt;.\n<i>since ";
        assert!(message.starts_with(start), "{message}");
        let end = " UTC</i> · <a href=\"https://docs.example.org/HostDown.md\">what to do</a> · \
                   <a href=\"https://grafana.example.org/d/watchpost-host?var-job=node&amp;var-instance=web-1:9100\">dashboard</a>";
        assert!(message.ends_with(end), "{message}");
    }
    // What the host that is down makes silent, and what nobody wants to hear.
    let all: Value = client.get(&url).send().await.unwrap().json().await.unwrap();
    let silent = all
        .as_array()
        .unwrap()
        .iter()
        .filter(|alert| !alert["status"]["inhibitedBy"].as_array().is_none_or(Vec::is_empty));
    let silent: Vec<&Value> = silent.map(|alert| &alert["labels"]).collect();
    assert_eq!(silent.len(), 1, "{all}");
    assert_eq!(silent[0]["alertname"], "HostMemoryLow");
    assert_eq!(silent[0]["instance"], "web-1:9100");
    let everything = format!("{:?}{:?}", mails.lock().unwrap(), messages.lock().unwrap());
    assert!(!everything.contains("Alerting works"));
    process.stop().await;
}

//! What is written for which flags, as golden files; `WATCHPOST_WRITE_GOLDEN=1 cargo test -p watchpost --lib render` writes
//! them anew.

use std::{env, fs, path::Path};

use clap::Parser;

use super::{RenderError, Settings};

#[derive(Debug, Parser)]
struct Flags {
    #[command(flatten)]
    settings: Settings,
}

const EMAIL: [&str; 8] = [
    "--smtp.smarthost=mail.example.org:587",
    "--smtp.from=watchpost@example.org",
    "--smtp.auth-username=watchpost",
    "--smtp.auth-password-file=/etc/alertmanager/smtp-password",
    "--email.to=ops@example.org",
    "--email.to=o'brien@example.org",
    "--group.wait=1m",
    "--grafana.url=https://grafana.example.org/",
];
const TELEGRAM: [&str; 2] =
    ["--telegram.chat-id=-1001234", "--telegram.bot-token-file=/etc/alertmanager/telegram-token"];

fn settings(flags: &[&str]) -> Result<Settings, clap::Error> {
    let words = std::iter::once("render").chain(flags.iter().copied());
    Flags::try_parse_from(words).map(|flags| flags.settings)
}

#[track_caller]
fn check(name: &str, flags: &[&str]) {
    let rendered = settings(flags).unwrap().render().unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/alertmanager").join(name);
    if env::var_os("WATCHPOST_WRITE_GOLDEN").is_some() {
        fs::write(&path, &rendered).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap();
    assert!(rendered == golden, "{name} differs from what is written now:\n{rendered}");
}

#[test]
fn the_flags_become_the_files_that_were_looked_at() {
    check("both.yml", &[&EMAIL[..], &TELEGRAM[..]].concat());
    check("email.yml", &EMAIL[..7]);
    check("telegram.yml", &TELEGRAM);
}

#[test]
fn what_would_reach_nobody_or_break_the_file_is_refused() {
    assert_eq!(settings(&[]).unwrap().render(), Err(RenderError::NoWay));
    assert!(settings(&["--smtp.smarthost=mail:25"]).is_err(), "from and to are missing");
    assert!(settings(&["--telegram.chat-id=7"]).is_err(), "the token is missing");
    assert!(settings(&["--smtp.smarthost=mail", "--smtp.from=a@b", "--email.to=c@d"]).is_err());
    let broken = settings(&["--telegram.chat-id=7", "--telegram.bot-token-file=a\nb"]).unwrap();
    assert!(matches!(broken.render(), Err(RenderError::ControlCharacter(_))));
}

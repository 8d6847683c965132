//! The configuration of Alertmanager for the alerts of `rules/`: routes by severity, what silences what, and the words of
//! messages by email and Telegram.
//!
//! Critical alerts go to every way that is given; all others by email where there is one. Secrets are named by file and
//! never read here. `bot_token_file` needs Alertmanager 0.26 or newer.

use std::fmt::Write;

use service::units::Span;

const EMAIL_HTML: &str = include_str!("alertmanager/email.html.tmpl");
const EMAIL_TEXT: &str = include_str!("alertmanager/email.txt.tmpl");
const TELEGRAM: &str = include_str!("alertmanager/telegram.html.tmpl");
const INHIBITIONS: &str = include_str!("alertmanager/inhibitions.yml");
/// In templates: where the address of Grafana belongs. Lines with it are left out if there is none.
const GRAFANA: &str = "@GRAFANA@";
const SUBJECT: &str = "{{ if .Alerts.Firing }}{{ with index .Alerts.Firing 0 }}[{{ .Labels.severity }}] \
    {{ .Annotations.summary }}{{ end }}{{ if gt (len .Alerts.Firing) 1 }} ({{ len .Alerts.Firing }} such alerts)\
    {{ end }}{{ else }}[over] {{ (index .Alerts.Resolved 0).Annotations.summary }}{{ if gt (len .Alerts.Resolved) 1 }} \
    ({{ len .Alerts.Resolved }} such alerts){{ end }}{{ end }}";

#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
    /// Mail server that takes messages, with its port
    #[arg(long = "smtp.smarthost", value_name = "HOST:PORT", requires = "from", requires = "to", value_parser = smarthost)]
    pub smarthost: Option<String>,
    /// Whom messages come from
    #[arg(id = "from", long = "smtp.from", value_name = "ADDRESS", requires = "smarthost")]
    pub from: Option<String>,
    /// User at the mail server
    #[arg(
        id = "user",
        long = "smtp.auth-username",
        value_name = "USER",
        requires = "password_file"
    )]
    pub user: Option<String>,
    /// File with the password of that user
    #[arg(
        id = "password_file",
        long = "smtp.auth-password-file",
        value_name = "FILE",
        requires = "user"
    )]
    pub password_file: Option<String>,
    /// Send without TLS, to a mail server on this machine
    #[arg(long = "smtp.plain-text")]
    pub plain_text: bool,
    /// Who gets messages by email; repeatable
    #[arg(id = "to", long = "email.to", value_name = "ADDRESS", requires = "smarthost")]
    pub to: Vec<String>,
    /// The chat that gets messages by Telegram; those of groups are negative
    #[arg(
        id = "chat",
        long = "telegram.chat-id",
        value_name = "ID",
        requires = "token_file",
        allow_negative_numbers = true
    )]
    pub chat: Option<i64>,
    /// File with the token of the bot
    #[arg(
        id = "token_file",
        long = "telegram.bot-token-file",
        value_name = "FILE",
        requires = "chat"
    )]
    pub token_file: Option<String>,
    /// Telegram's server, or a proxy for it
    #[arg(
        long = "telegram.api-url",
        value_name = "URL",
        default_value = "https://api.telegram.org"
    )]
    pub api_url: String,
    /// Where Grafana is, for links to dashboards
    #[arg(long = "grafana.url", value_name = "URL")]
    pub grafana: Option<String>,
    /// How long to wait for more alerts before the first message about a group
    #[arg(long = "group.wait", value_name = "DURATION", default_value = "30s")]
    pub group_wait: Span,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    #[error(
        "nobody would get a message: give --smtp.smarthost, --smtp.from and --email.to, or --telegram.chat-id and \
         --telegram.bot-token-file"
    )]
    NoWay,
    #[error("a setting has a control character in it, such as a line break: {0:?}")]
    ControlCharacter(String),
}

fn smarthost(text: &str) -> Result<String, String> {
    let port = text.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    match port {
        Some(_) => Ok(text.to_owned()),
        None => Err("write it with its port, such as mail.example.org:587".to_owned()),
    }
}

impl Settings {
    /// The whole file.
    pub fn render(&self) -> Result<String, RenderError> {
        let has_email = self.smarthost.is_some();
        let has_telegram = self.chat.is_some();
        if !has_email && !has_telegram {
            return Err(RenderError::NoWay);
        }
        let mut out = String::from(
            "# Written by `watchpost render alertmanager`: change its flags rather than this file.\n",
        );
        if let (Some(smarthost), Some(from)) = (&self.smarthost, &self.from) {
            out.push_str("global:\n");
            line(&mut out, 2, "smtp_smarthost", smarthost)?;
            line(&mut out, 2, "smtp_from", from)?;
            if let (Some(user), Some(file)) = (&self.user, &self.password_file) {
                line(&mut out, 2, "smtp_auth_username", user)?;
                line(&mut out, 2, "smtp_auth_password_file", file)?;
            }
            if self.plain_text {
                out.push_str("  smtp_require_tls: false\n");
            }
            out.push('\n');
        }
        let wait = self.group_wait.0.as_secs();
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "route:
  receiver: quiet
  group_by: [alertname, severity]
  group_wait: {wait}s
  group_interval: 5m
  repeat_interval: 12h
  routes:
    # The Watchdog always fires: send it to something that complains when it stops.
    - matchers: ['severity=\"none\"']
      receiver: nobody
    - matchers: ['severity=\"critical\"']
      receiver: loud
      repeat_interval: 2h
    - matchers: ['severity=\"info\"']
      receiver: quiet
      repeat_interval: 3d

{INHIBITIONS}
receivers:
  - name: nobody
  - name: loud
"
        );
        if has_email {
            self.email(&mut out)?;
        }
        if has_telegram {
            self.telegram(&mut out)?;
        }
        out.push_str("  - name: quiet\n");
        if has_email {
            self.email(&mut out)?;
        } else {
            self.telegram(&mut out)?;
        }
        Ok(out)
    }

    fn email(&self, out: &mut String) -> Result<(), RenderError> {
        out.push_str("    email_configs:\n");
        line(out, 6, "- to", &self.to.join(", "))?;
        out.push_str("        send_resolved: true\n        headers:\n");
        line(out, 10, "Subject", SUBJECT)?;
        block(out, "html", &self.with_grafana(EMAIL_HTML)?);
        block(out, "text", &self.with_grafana(EMAIL_TEXT)?);
        Ok(())
    }

    fn telegram(&self, out: &mut String) -> Result<(), RenderError> {
        let (Some(chat), Some(token_file)) = (self.chat, &self.token_file) else { return Ok(()) };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "    telegram_configs:\n      - chat_id: {chat}");
        line(out, 8, "bot_token_file", token_file)?;
        line(out, 8, "api_url", &self.api_url)?;
        out.push_str("        parse_mode: HTML\n        send_resolved: true\n");
        block(out, "message", &self.with_grafana(TELEGRAM)?);
        Ok(())
    }

    fn with_grafana(&self, template: &str) -> Result<String, RenderError> {
        let address = self.grafana.as_deref().map(|url| url.trim_end_matches('/'));
        if let Some(address) = address {
            plain(address)?;
        }
        let lines = template.lines().filter_map(|line| match address {
            Some(address) => Some(line.replace(GRAFANA, address)),
            None if line.contains(GRAFANA) => None,
            None => Some(line.to_owned()),
        });
        Ok(lines.collect::<Vec<_>>().join("\n"))
    }
}

fn plain(text: &str) -> Result<(), RenderError> {
    if text.chars().any(char::is_control) {
        return Err(RenderError::ControlCharacter(text.to_owned()));
    }
    Ok(())
}

/// `key: 'value'`; within single quotes YAML knows no escape but the doubled quote.
fn line(out: &mut String, indent: usize, key: &str, value: &str) -> Result<(), RenderError> {
    plain(value)?;
    let value = value.replace('\'', "''");
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{:indent$}{key}: '{value}'", "");
    Ok(())
}

/// A text of several lines below its key in a receiver.
fn block(out: &mut String, key: &str, text: &str) {
    let _ = writeln!(out, "        {key}: |-");
    for line in text.lines() {
        let _ = if line.is_empty() { writeln!(out) } else { writeln!(out, "          {line}") };
    }
}

#[cfg(test)]
mod tests;

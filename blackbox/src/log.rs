//! What one probe tells about its course: kept for `/logs` and `debug=true`, and passed on to the process' own log.

use std::{fmt::Write, sync::Mutex, time::SystemTime};

use clap::ValueEnum;
use service::telemetry::Rfc3339;

/// From which severity on lines are kept (`--log.prober`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Level {
    Debug,
    #[default]
    Info,
    Warn,
    Error,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        }
    }
}

/// The log of one probe stops here; a hostile server must not fill memory through redirects and header lines.
const LOG_BYTES_MAX: usize = 64 << 10;
/// One value in a line is cut here.
const VALUE_BYTES_MAX: usize = 1 << 10;

/// The log of one probe.
#[derive(Debug)]
pub(crate) struct Log {
    level: Level,
    module: String,
    target: String,
    lines: Mutex<String>,
}

impl Log {
    pub(crate) fn new(level: Level, module: &str, target: &str) -> Self {
        Self {
            level,
            module: module.to_owned(),
            target: target.to_owned(),
            lines: Mutex::default(),
        }
    }

    pub(crate) fn debug(&self, message: &str, fields: &[(&str, &dyn std::fmt::Display)]) {
        self.write(Level::Debug, message, fields);
    }

    pub(crate) fn info(&self, message: &str, fields: &[(&str, &dyn std::fmt::Display)]) {
        self.write(Level::Info, message, fields);
    }

    pub(crate) fn warn(&self, message: &str, fields: &[(&str, &dyn std::fmt::Display)]) {
        self.write(Level::Warn, message, fields);
    }

    pub(crate) fn error(&self, message: &str, fields: &[(&str, &dyn std::fmt::Display)]) {
        self.write(Level::Error, message, fields);
    }

    fn write(&self, level: Level, message: &str, fields: &[(&str, &dyn std::fmt::Display)]) {
        if level < self.level {
            return;
        }
        let mut line = format!("time={} level={} msg=", Rfc3339(SystemTime::now()), level.name());
        push_value(&mut line, message);
        for (name, value) in [("module", &self.module), ("target", &self.target)] {
            line.push_str(&format!(" {name}="));
            push_value(&mut line, value);
        }
        for (name, value) in fields {
            line.push_str(&format!(" {name}="));
            push_value(&mut line, &value.to_string());
        }
        tracing::debug!(target: "blackbox::probe", "{line}");
        let mut lines = self.lines.lock().expect("no holder panics");
        if lines.len() + line.len() < LOG_BYTES_MAX {
            lines.push_str(&line);
            lines.push('\n');
        } else if !lines.ends_with("(cut)\n") {
            lines.push_str("(cut)\n");
        }
    }

    /// All lines so far.
    pub(crate) fn text(&self) -> String {
        self.lines.lock().expect("no holder panics").clone()
    }
}

fn push_value(line: &mut String, value: &str) {
    let mut end = value.len().min(VALUE_BYTES_MAX);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    let cut = &value[..end];
    let plain = !cut.is_empty()
        && cut.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '"' | '=' | '\\'));
    if plain {
        line.push_str(cut);
    } else {
        write!(line, "{cut:?}").expect("writing to a String cannot fail");
    }
    if end < value.len() {
        line.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_logfmt_and_bounded() {
        let log = Log::new(Level::Info, "m", "http://x/?a=b");
        log.debug("hidden", &[]);
        log.info("two words", &[("n", &1), ("quote", &"a\"b\n")]);
        let text = log.text();
        assert!(
            text.ends_with("level=INFO msg=\"two words\" module=m target=\"http://x/?a=b\" n=1 quote=\"a\\\"b\\n\"\n"),
            "{text}"
        );
        for _ in 0..1000 {
            log.error("long", &[("value", &"x".repeat(5000))]);
        }
        assert!(log.text().len() <= LOG_BYTES_MAX + 10);
        assert!(log.text().ends_with("(cut)\n"));
    }
}

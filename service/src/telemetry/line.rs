//! Writes an event as one line, in logfmt or JSON: time, level, place and message, then the event's fields, then
//! those of the spans around it from the outermost in.
//!
//! Whatever a field contains, the line stays one line: control characters are escaped in both formats, so a request
//! cannot forge log lines or steer a terminal.

use std::{
    error::Error,
    fmt::{self, Write as _},
    time::SystemTime,
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span::Record,
};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, format::Writer},
    registry::LookupSpan,
};

use super::{Format, Rfc3339};
use crate::error;

/// A value longer than this is cut: nobody reads it, and a log is not the place to keep it.
const VALUE_BYTES_MAX: usize = 8 * 1024;

/// Formats whole events.
pub(super) struct Line {
    format: Format,
    now: fn() -> SystemTime,
}

impl Line {
    pub(super) fn new(format: Format) -> Self {
        Self { format, now: SystemTime::now }
    }
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let level = match *metadata.level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            Level::DEBUG | Level::TRACE => "debug",
        };
        let module = metadata.module_path().unwrap_or_else(|| metadata.target());
        let caller = format!("{module}:{}", metadata.line().unwrap_or(0));
        let mut fields = Pairs::new(self.format);
        event.record(&mut fields);
        let message = fields.message.take().unwrap_or_default();

        let mut line = Pairs::new(self.format);
        line.text("ts", &Rfc3339((self.now)()).to_string());
        line.text("level", level);
        line.text("caller", &caller);
        line.text("msg", &message);
        line.append(&fields.text);
        for span in ctx.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(of_span) = span.extensions().get::<FormattedFields<N>>() {
                line.append(&of_span.fields);
            }
        }
        match self.format {
            Format::Logfmt => writeln!(writer, "{}", line.text),
            Format::Json => writeln!(writer, "{{{}}}", line.text),
        }
    }
}

/// Formats the fields of a span, once, when it opens.
pub(super) struct Fields(pub(super) Format);

impl<'writer> FormatFields<'writer> for Fields {
    fn format_fields<R: RecordFields>(
        &self,
        mut writer: Writer<'writer>,
        fields: R,
    ) -> fmt::Result {
        let mut pairs = Pairs::new(self.0);
        fields.record(&mut pairs);
        writer.write_str(&pairs.text)
    }

    fn add_fields(
        &self,
        current: &'writer mut FormattedFields<Self>,
        fields: &Record<'_>,
    ) -> fmt::Result {
        let mut pairs = Pairs::new(self.0);
        pairs.append(&current.fields);
        fields.record(&mut pairs);
        current.fields = pairs.text;
        Ok(())
    }
}

/// Key-value pairs as text, and the message apart, which tracing hands over as a field among others.
struct Pairs {
    format: Format,
    text: String,
    message: Option<String>,
}

impl Pairs {
    fn new(format: Format) -> Self {
        Self { format, text: String::new(), message: None }
    }

    fn append(&mut self, pairs: &str) {
        if !pairs.is_empty() {
            self.separate();
            self.text.push_str(pairs);
        }
    }

    fn separate(&mut self) {
        if !self.text.is_empty() {
            self.text.push(match self.format {
                Format::Logfmt => ' ',
                Format::Json => ',',
            });
        }
    }

    fn key(&mut self, key: &str) {
        self.separate();
        match self.format {
            Format::Logfmt => {
                self.text.push_str(key);
                self.text.push('=');
            }
            Format::Json => {
                push_quoted(&mut self.text, key);
                self.text.push(':');
            }
        }
    }

    fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        let (shown, is_cut) = cut(value);
        if self.format == Format::Json || is_cut || needs_quotes(shown) {
            push_quoted(&mut self.text, shown);
            if is_cut {
                self.text.insert(self.text.len() - 1, '…');
            }
        } else {
            self.text.push_str(shown);
        }
    }

    /// A number or a boolean, which both formats write bare.
    fn bare(&mut self, key: &str, value: &dyn fmt::Display) {
        self.key(key);
        write!(self.text, "{value}").expect("writing to a String cannot fail");
    }

    fn field(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message = Some(value.to_owned()),
            name => self.text(name, value),
        }
    }
}

impl Visit for Pairs {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.field(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.field(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.field(field, &error::chain(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.bare(field.name(), &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.bare(field.name(), &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.bare(field.name(), &value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no word for infinity.
        if value.is_finite() {
            self.bare(field.name(), &value);
        } else {
            self.text(field.name(), &value.to_string());
        }
    }
}

fn cut(value: &str) -> (&str, bool) {
    if value.len() <= VALUE_BYTES_MAX {
        return (value, false);
    }
    (&value[..value.floor_char_boundary(VALUE_BYTES_MAX)], true)
}

/// As Go's `log/slog` decides it: whatever a reader of logfmt could take for the end of the value.
fn needs_quotes(value: &str) -> bool {
    value.is_empty()
        || value.chars().any(|c| {
            c == '"'
                || c == '='
                || c == '\\'
                || c == '\u{fffd}'
                || c.is_whitespace()
                || c.is_control()
        })
}

/// Quotes as JSON does; logfmt uses the same escapes.
fn push_quoted(out: &mut String, value: &str) {
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // Line and paragraph separator end a line for some readers.
            c if c.is_control() || c == '\u{2028}' || c == '\u{2029}' => {
                write!(out, "\\u{:04x}", u32::from(c)).expect("writing to a String cannot fail");
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
        time::{Duration, UNIX_EPOCH},
    };

    use tracing::{debug, error, info, info_span, warn};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What `events` logs, with line numbers replaced by `N`.
    fn logged(format: Format, events: impl FnOnce()) -> String {
        let sink = Sink::default();
        let writer = sink.clone();
        let line = Line { format, now: || UNIX_EPOCH + Duration::from_millis(1_795_237_972_123) };
        let subscriber = tracing_subscriber::registry()
            .with(super::super::filter(super::super::Level::Info))
            .with(
                tracing_subscriber::fmt::layer()
                    .with_writer(move || writer.clone())
                    .event_format(line)
                    .fmt_fields(Fields(format)),
            );
        tracing::subscriber::with_default(subscriber, events);
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        let mut out = String::new();
        for line in text.lines() {
            let (before, rest) = line.split_once("line::tests:").unwrap();
            let after = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            writeln!(out, "{before}line::tests:N{after}").unwrap();
        }
        out
    }

    const START: &str =
        "ts=2026-11-21T05:12:52.123Z level=info caller=service::telemetry::line::tests:N msg=";

    #[test]
    fn logfmt() {
        let lines = logged(Format::Logfmt, || {
            info!(address = "[::]:9100", tls = false, n = 3_u64, ratio = 0.5, "listening on all");
            info!("ready");
            info!(empty = "", equals = "a=b", quote = "say \"x\"", path = r"C:\x", "x");
            info!(name = "a\nts=1 level=error\u{1b}[31m\u{2028}", "forged\nline");
            debug!("not at this level");
            tracing::info!(target: "hyper", "talkative");
        });
        let expected = format!(
            "{START}\"listening on all\" address=[::]:9100 tls=false n=3 ratio=0.5\n\
             {START}ready\n\
             {START}x empty=\"\" equals=\"a=b\" quote=\"say \\\"x\\\"\" path=\"C:\\\\x\"\n\
             {START}\"forged\\nline\" name=\"a\\nts=1 level=error\\u001b[31m\\u2028\"\n"
        );
        assert_eq!(lines, expected);
    }

    #[test]
    fn levels_errors_and_spans() {
        let cause = anyhow::anyhow!("refused").context("open database");
        let lines = logged(Format::Logfmt, || {
            let outer = info_span!("request", id = 7, user = tracing::field::Empty).entered();
            outer.record("user", "ada b");
            let _inner = info_span!("query", db = "main").entered();
            warn!(err = AsRef::<dyn Error>::as_ref(&cause), "slow");
            error!(f = f64::INFINITY, "gone");
        });
        let start = START.trim_start_matches("ts=2026-11-21T05:12:52.123Z level=info");
        assert_eq!(
            lines,
            format!(
                "ts=2026-11-21T05:12:52.123Z level=warn{start}slow err=\"open database: refused\" id=7 user=\"ada b\" db=main\n\
                 ts=2026-11-21T05:12:52.123Z level=error{start}gone f=inf id=7 user=\"ada b\" db=main\n"
            )
        );
    }

    #[test]
    fn json_has_the_same_keys() {
        let line = logged(Format::Json, || {
            let span = info_span!("request", id = 7, user = tracing::field::Empty).entered();
            span.record("user", "ada");
            info!(n = -3, f = f64::NAN, ok = true, path = "C:\\x\u{7}", "it is \"up\"\n");
        });
        assert_eq!(
            line,
            "{\"ts\":\"2026-11-21T05:12:52.123Z\",\"level\":\"info\",\
             \"caller\":\"service::telemetry::line::tests:N\",\"msg\":\"it is \\\"up\\\"\\n\",\
             \"n\":-3,\"f\":\"NaN\",\"ok\":true,\"path\":\"C:\\\\x\\u0007\",\"id\":7,\"user\":\"ada\"}\n"
        );
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["msg"], "it is \"up\"\n");
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        let long = "é".repeat(VALUE_BYTES_MAX);
        let line = logged(Format::Logfmt, || info!(long, "x"));
        assert!(line.len() < VALUE_BYTES_MAX + 200, "{}", line.len());
        assert!(line.ends_with("é…\"\n"), "{}", &line[line.len() - 10..]);
    }
}

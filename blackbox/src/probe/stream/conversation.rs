//! The steps of `query_response`.

use tokio::io::AsyncWriteExt;

use super::{
    Facts, Io, Talk, encrypt,
    lines::{LineError, Lines},
};
use crate::{
    config::QueryResponse,
    failure::{Failure, Phase, Reason},
    probe::Context,
};

/// As many lines of a conversation are told in the log.
const LINES_LOGGED_MAX: usize = 50;
/// Lines that match nothing, read between two looks at the deadline.
const LINES_AT_ONCE: usize = 100;

pub(super) async fn hold(
    stream: Box<dyn Io>,
    talk: &Talk<'_>,
    ctx: &Context<'_>,
    facts: &mut Facts,
) -> Result<(), Failure> {
    let mut stream = stream;
    let mut lines = Lines::default();
    for (position, step) in talk.steps.iter().enumerate() {
        ctx.log.info("Processing query response entry", &[("entry_number", &position)]);
        let mut send = step.send.clone();
        if step.expect.is_some() {
            send = expect_line(step, &mut *stream, &mut lines, ctx, facts).await?;
        } else if !step.expect_bytes.is_empty() {
            expect_bytes(step, &mut *stream, &mut lines, facts).await?;
        }
        if !send.is_empty() {
            ctx.log.debug("Sending line", &[("line", &send)]);
            send.push('\n');
            let written = async {
                stream.write_all(send.as_bytes()).await?;
                stream.flush().await
            };
            written.await.map_err(|err| Failure::io(Phase::Request, "Failed to send", &err))?;
        }
        if step.starttls {
            if lines.has_rest() {
                // Whoever can put words into the plain part must not be heard in the encrypted one.
                ctx.log.info("Dropping what was sent before TLS", &[]);
                lines = Lines::default();
            }
            stream = encrypt(stream, talk, ctx, facts).await?;
            facts.timeline.enter(Phase::Processing);
        }
    }
    Ok(())
}

/// Waits for a line that matches; gives what is to be sent, with the groups of the match put in.
async fn expect_line(
    step: &QueryResponse,
    stream: &mut dyn Io,
    lines: &mut Lines,
    ctx: &Context<'_>,
    facts: &mut Facts,
) -> Result<String, Failure> {
    let Some(expect) = &step.expect else { return Ok(step.send.clone()) };
    let mut n_lines = 0;
    loop {
        let line = match lines.next(stream).await {
            Ok(Some(line)) => line,
            Ok(None) => {
                facts.failed_due_to_regex = true;
                let message =
                    format!("Regexp {} did not match any of {n_lines} lines", expect.as_str());
                return Err(Failure::new(Phase::Validate, Reason::ExpectRegex, message));
            }
            Err(LineError::TooLong) => {
                return Err(Failure::new(
                    Phase::Processing,
                    Reason::Protocol,
                    "Error reading from connection: a line is too long",
                ));
            }
            Err(LineError::Io(err)) => {
                return Err(Failure::io(Phase::Processing, "Error reading from connection", &err));
            }
        };
        n_lines += 1;
        if n_lines <= LINES_LOGGED_MAX {
            ctx.log.debug("Read line", &[("line", &String::from_utf8_lossy(&line))]);
        }
        if n_lines % LINES_AT_ONCE == 0 {
            tokio::task::yield_now().await;
        }
        let Some(captures) = expect.regexp().captures(&line) else { continue };
        ctx.log.info(
            "Regexp matched",
            &[("regexp", &expect.as_str()), ("line", &String::from_utf8_lossy(&line))],
        );
        let expanded =
            |template: &str| String::from_utf8_lossy(&captures.expand(template)).into_owned();
        if !step.labels.is_empty() {
            let labels =
                step.labels.iter().map(|label| (label.name.clone(), expanded(&label.value)));
            facts.expect_info = Some(labels.collect());
        }
        return Ok(expanded(&step.send));
    }
}

async fn expect_bytes(
    step: &QueryResponse,
    stream: &mut dyn Io,
    lines: &mut Lines,
    facts: &mut Facts,
) -> Result<(), Failure> {
    let wanted = step.expect_bytes.as_bytes();
    let got = lines
        .bytes(stream, wanted.len())
        .await
        .map_err(|err| Failure::io(Phase::Processing, "Error reading from connection", &err))?;
    if got == wanted {
        return Ok(());
    }
    facts.failed_due_to_bytes = true;
    let message =
        format!("Expected bytes {:?}, got {:?}", step.expect_bytes, String::from_utf8_lossy(&got));
    Err(Failure::new(Phase::Validate, Reason::ExpectBytes, message))
}

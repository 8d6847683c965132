//! Why a query has no answer.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::parse::ParseError;
use crate::source::SourceError;

/// Why a query has no answer. Texts are those of Prometheus where clients may look for them.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// The query cannot be evaluated over these data.
    #[error("{0}")]
    Execution(String),
    /// Asked for in a way that cannot work, whatever the data.
    #[error("{0}")]
    BadRequest(String),
    #[error("query processing would load too many samples into memory in query execution")]
    TooManySamples,
    #[error("query was canceled in expression evaluation")]
    Cancelled,
    #[error("query timed out in expression evaluation")]
    TimedOut,
    #[error(transparent)]
    Source(#[from] SourceError),
}

impl EvalError {
    pub(crate) fn execution(message: impl Into<String>) -> Self {
        Self::Execution(message.into())
    }
}

/// Why an evaluation is to end early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    Cancelled,
    TimedOut,
}

impl From<Stop> for EvalError {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Cancelled => Self::Cancelled,
            Stop::TimedOut => Self::TimedOut,
        }
    }
}

/// Asked for every series, and now and then within it, whether to go on. The engine has no clock: a deadline is the caller's to watch.
pub trait Interrupt {
    fn check(&self) -> Result<(), Stop>;
}

/// Never interrupts.
impl Interrupt for () {
    fn check(&self) -> Result<(), Stop> {
        Ok(())
    }
}

/// Interrupts when it becomes true.
impl Interrupt for AtomicBool {
    fn check(&self) -> Result<(), Stop> {
        if self.load(Ordering::Relaxed) { Err(Stop::Cancelled) } else { Ok(()) }
    }
}

impl<F: Fn() -> Option<Stop>> Interrupt for F {
    fn check(&self) -> Result<(), Stop> {
        self().map_or(Ok(()), Err)
    }
}

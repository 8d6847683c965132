//! The Prometheus query language: pure functions of query, series and time.
//!
//! No I/O, no clock, no threads: the same query over the same series at the same time gives the same answer. The
//! language is that of Prometheus 3.x (left-open ranges, UTF-8 names, native histograms); parts that may still change
//! need to be switched on by [`Features`].
//!
//! - [`model`] holds what the language talks about: labels, matchers, samples, histograms, annotations.
//! - [`parse()`] makes an [`ast`] from text; [`pretty`] formats it.
//! - [`source::Source`] is where series come from: labels first, then samples, series by series.
//! - [`evaluate`] answers a [`Query`] over a source at given [`Times`], within the limits of its [`Options`].
//!
//! ```
//! use promql::model::Labels;
//! use promql::source::memory::MemorySource;
//! use promql::{Features, Options, Outcome, Query, Times, evaluate};
//!
//! let mut source = MemorySource::default();
//! let requests = source.series(Labels::from_pairs([("__name__", "requests_total"), ("path", "/")])?);
//! for minute in 0..=10 {
//!     requests.push(minute * 60_000, 30.0 * minute as f64);
//! }
//!
//! let query = Query::new("sum by (path) (rate(requests_total[5m]))", Features::default())?;
//! // The last argument may interrupt the evaluation, for instance at a deadline; `()` never does.
//! let answer = evaluate(&query, Times::Instant(600_000), &source, &Options::default(), &())?;
//! let Outcome::Vector(elements) = answer.outcome else { panic!("an instant query of a vector gives a vector") };
//! assert_eq!(elements[0].labels.to_string(), "{path=\"/\"}");
//! assert_eq!(elements[0].value, promql::model::Value::Float(0.5));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod model;

pub mod ast;
pub mod functions;
pub mod parse;
mod print;

pub mod source;

pub mod eval;
mod plan;

pub use eval::{
    Answer, EvalError, Interrupt, Limits, Options, Outcome, Point, Query, SeriesResult, Stop,
    Times, VectorElement, evaluate,
};
pub use parse::{Features, ParseError, parse, parse_selector};
pub use print::pretty;

#[cfg(any(test, feature = "testing"))]
pub mod script;

//! What one request and one series may be.

use std::time::Duration;

use proto::remote_write::Element;
use service::units::{ByteSize, Span};

/// Bounds on what is taken. Beyond those of a request nothing of it is; beyond those of a series, that series is not.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Of a body as it comes, in bytes.
    pub body_bytes_max: usize,
    /// Of a body after decompression, in bytes.
    pub decoded_bytes_max: usize,
    /// Of all bodies that are being worked on, as they came and decompressed, in bytes.
    pub in_flight_bytes_max: usize,
    pub series_per_request_max: usize,
    pub samples_per_request_max: usize,
    pub exemplars_per_request_max: usize,
    /// Strings in the table of a 2.0 request.
    pub symbols_per_request_max: usize,
    /// Labels of new series of one request, together, in bytes: a reference of two bytes may stand for thousands.
    pub expanded_bytes_max: usize,
    pub labels_per_series_max: usize,
    pub label_name_bytes_max: usize,
    pub label_value_bytes_max: usize,
    /// How far a sample may lie in the future, in milliseconds.
    pub future_ms_max: i64,
    /// How old a sample may be, in milliseconds: older ones would be gone at once.
    pub age_ms_max: i64,
    /// From the head of a request to the end of its body.
    pub body_timeout: Duration,
    /// From the head of a request to its answer.
    pub request_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // What Prometheus' own receiver takes; a usual request is well below one megabyte.
            body_bytes_max: 32 << 20,
            decoded_bytes_max: 32 << 20,
            in_flight_bytes_max: 256 << 20,
            series_per_request_max: 150_000,
            samples_per_request_max: 500_000,
            exemplars_per_request_max: 50_000,
            symbols_per_request_max: 1_000_000,
            expanded_bytes_max: 64 << 20,
            labels_per_series_max: 64,
            label_name_bytes_max: 1024,
            label_value_bytes_max: 4096,
            // Prometheus' own tolerance for clocks that differ.
            future_ms_max: 10 * 60 * 1000,
            age_ms_max: i64::MAX,
            body_timeout: Duration::from_secs(15),
            // Senders give up after 30 s: what is committed later is sent again for nothing.
            request_timeout: Duration::from_secs(25),
        }
    }
}

impl Limits {
    /// At least what one request may take, or the largest would be pushed back for ever.
    pub fn in_flight_bytes(&self) -> usize {
        self.in_flight_bytes_max.max(self.body_bytes_max.saturating_add(self.decoded_bytes_max))
    }
}

/// The flags that set [`Limits`].
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Remote write")]
pub struct LimitArgs {
    /// Largest body of a write request, compressed
    #[arg(long = "remote-write.max-body-size", value_name = "SIZE", default_value = "32MiB")]
    pub body_size: ByteSize,
    /// Largest body of a write request, decompressed
    #[arg(long = "remote-write.max-decoded-size", value_name = "SIZE", default_value = "32MiB")]
    pub decoded_size: ByteSize,
    /// Most bytes of all write requests that are being worked on; beyond them senders are told to come back later
    #[arg(long = "remote-write.max-in-flight-size", value_name = "SIZE", default_value = "256MiB")]
    pub in_flight_size: ByteSize,
    /// Most bytes of labels that one write request may bring with new series
    #[arg(long = "remote-write.max-expanded-size", value_name = "SIZE", default_value = "64MiB")]
    pub expanded_size: ByteSize,
    /// Most series and metadata entries of one write request
    #[arg(long = "remote-write.max-series", value_name = "N", default_value_t = 150_000)]
    pub series: u32,
    /// Most samples of one write request
    #[arg(long = "remote-write.max-samples", value_name = "N", default_value_t = 500_000)]
    pub samples: u32,
    /// Most exemplars of one write request
    #[arg(long = "remote-write.max-exemplars", value_name = "N", default_value_t = 50_000)]
    pub exemplars: u32,
    /// Most strings in the table of one request of remote write 2.0
    #[arg(long = "remote-write.max-symbols", value_name = "N", default_value_t = 1_000_000)]
    pub symbols: u32,
    /// Most labels of a series; series with more are refused
    #[arg(
        long = "remote-write.max-labels",
        value_name = "N",
        default_value_t = 64,
        value_parser = clap::value_parser!(u32).range(1..=1024)
    )]
    pub labels: u32,
    /// Longest name of a label or metric, in bytes
    #[arg(
        long = "remote-write.max-label-name-length",
        value_name = "BYTES",
        default_value_t = 1024,
        // What fits an entry of PostgreSQL's index.
        value_parser = clap::value_parser!(u32).range(16..=2048)
    )]
    pub label_name_length: u32,
    /// Longest value of a label, in bytes
    #[arg(
        long = "remote-write.max-label-value-length",
        value_name = "BYTES",
        default_value_t = 4096,
        value_parser = clap::value_parser!(u32).range(16..=65_536)
    )]
    pub label_value_length: u32,
    /// How far samples may lie in the future
    #[arg(long = "remote-write.max-ahead", value_name = "DURATION", default_value = "10m")]
    pub ahead: Span,
    /// How long a sender may take to deliver a body
    #[arg(long = "remote-write.body-timeout", value_name = "DURATION", default_value = "15s")]
    pub body_timeout: Span,
    /// How long a request may take in all; keep it below the 30s after which senders send again
    #[arg(long = "remote-write.timeout", value_name = "DURATION", default_value = "25s")]
    pub request_timeout: Span,
}

impl LimitArgs {
    pub fn limits(&self) -> Limits {
        let bytes = |size: ByteSize| usize::try_from(size.0).unwrap_or(usize::MAX);
        Limits {
            body_bytes_max: bytes(self.body_size),
            decoded_bytes_max: bytes(self.decoded_size),
            in_flight_bytes_max: bytes(self.in_flight_size),
            series_per_request_max: self.series as usize,
            samples_per_request_max: self.samples as usize,
            exemplars_per_request_max: self.exemplars as usize,
            symbols_per_request_max: self.symbols as usize,
            expanded_bytes_max: bytes(self.expanded_size),
            labels_per_series_max: self.labels as usize,
            label_name_bytes_max: self.label_name_length as usize,
            label_value_bytes_max: self.label_value_length as usize,
            future_ms_max: i64::try_from(self.ahead.0.as_millis()).unwrap_or(i64::MAX),
            age_ms_max: i64::MAX,
            body_timeout: self.body_timeout.0,
            request_timeout: self.request_timeout.0,
        }
    }
}

/// A bound that a request met. A closed set: it feeds the answer and the metric's label alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// Bytes of the body.
    Body,
    /// Bytes of the body, decompressed.
    Decoded,
    /// More bytes than a body of its size can hold.
    Ratio,
    Series,
    Metadata,
    Samples,
    Exemplars,
    Symbols,
    /// Bytes of labels of new series.
    Expanded,
    /// Bytes of all requests.
    InFlight,
    /// Time for the body.
    BodyTime,
    /// Time for everything.
    RequestTime,
    /// Samples that wait for the database.
    Queue,
}

service::label_values!(Limit);

impl Limit {
    pub const ALL: [Self; 13] = [
        Self::Body,
        Self::Decoded,
        Self::Ratio,
        Self::Series,
        Self::Metadata,
        Self::Samples,
        Self::Exemplars,
        Self::Symbols,
        Self::Expanded,
        Self::InFlight,
        Self::BodyTime,
        Self::RequestTime,
        Self::Queue,
    ];

    /// What there is too much of.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Body => "bytes",
            Self::Decoded => "bytes uncompressed",
            Self::Ratio => "bytes than a body of its size can",
            Self::Series => "series",
            Self::Metadata => "metadata entries",
            Self::Samples => "samples",
            Self::Exemplars => "exemplars",
            Self::Symbols => "symbols",
            Self::Expanded => "bytes of labels of new series",
            Self::InFlight => "bytes in all requests",
            Self::BodyTime | Self::RequestTime => "time",
            Self::Queue => "samples in all requests",
        }
    }
}

impl From<Element> for Limit {
    fn from(element: Element) -> Self {
        match element {
            Element::Sample | Element::Histogram => Self::Samples,
            Element::Exemplar => Self::Exemplars,
            Element::Symbol => Self::Symbols,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(clap::Parser)]
    struct Program {
        #[command(flatten)]
        limits: LimitArgs,
    }

    #[test]
    fn flags_and_defaults_agree() {
        let limits = Program::parse_from(["program"]).limits.limits();
        assert_eq!(format!("{limits:?}"), format!("{:?}", Limits::default()));
        let limits = Program::parse_from(["program", "--remote-write.max-body-size=1MiB"]).limits;
        assert_eq!(limits.limits().body_bytes_max, 1 << 20);
        assert!(Program::try_parse_from(["program", "--remote-write.max-labels=0"]).is_err());
    }

    #[test]
    fn the_largest_request_has_room() {
        let limits = Limits { in_flight_bytes_max: 5, ..Limits::default() };
        assert_eq!(limits.in_flight_bytes(), 64 << 20);
    }
}

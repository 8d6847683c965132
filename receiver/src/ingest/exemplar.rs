//! From an `Exemplar` message to an exemplar that is stored, or why it is none.

use promql::model::Labels;
use proto::remote_write::{Message, v1, v2, walk::Symbols};

use super::validate::{RawLabels, References};
use crate::storage::exemplar::Exemplar;

/// Names and values of an exemplar's labels together, in bytes. `OpenMetrics` allows 128 characters, and senders whose
/// protocol has no such limit keep below some hundred.
const LABEL_BYTES_MAX: usize = 1024;
/// Longest message that is decoded, in bytes: what is stored of one is far shorter.
const MESSAGE_BYTES_MAX: usize = 1 << 14;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidExemplar {
    #[error("it is no Exemplar message")]
    Message,
    #[error("it has no timestamp")]
    NoTime,
    #[error("its labels have more than {LABEL_BYTES_MAX} bytes")]
    LabelsTooLong,
    #[error("a label has no name, is given twice, is not UTF-8, or holds a NUL byte")]
    Labels,
    #[error("a reference is odd or leads nowhere")]
    Reference,
}

/// Decodes a message of remote write 1.0.
pub(super) fn v1(message: &[u8]) -> Result<Exemplar, InvalidExemplar> {
    let message = bounded(message)?;
    let message = v1::Exemplar::decode(message).map_err(|_| InvalidExemplar::Message)?;
    let pairs = message.labels.iter().map(|label| (label.name.as_str(), label.value.as_str()));
    exemplar(message.timestamp, message.value, pairs.collect())
}

/// Decodes a message of remote write 2.0.
pub(super) fn v2(message: &[u8], symbols: &Symbols<'_>) -> Result<Exemplar, InvalidExemplar> {
    let message = bounded(message)?;
    let message = v2::Exemplar::decode(message).map_err(|_| InvalidExemplar::Message)?;
    let raw = References { symbols, refs: &message.labels_refs };
    let mut pairs = Vec::new();
    let mut n_bytes = 0;
    for label in raw.pairs() {
        let (name, value) = label.map_err(|_| InvalidExemplar::Reference)?;
        n_bytes += name.len() + value.len();
        if n_bytes > LABEL_BYTES_MAX {
            return Err(InvalidExemplar::LabelsTooLong);
        }
        let text = |bytes| str::from_utf8(bytes).map_err(|_| InvalidExemplar::Labels);
        pairs.push((text(name)?, text(value)?));
    }
    exemplar(message.timestamp, message.value, pairs)
}

fn bounded(message: &[u8]) -> Result<&[u8], InvalidExemplar> {
    (message.len() <= MESSAGE_BYTES_MAX).then_some(message).ok_or(InvalidExemplar::LabelsTooLong)
}

fn exemplar(ts: i64, value: f64, pairs: Vec<(&str, &str)>) -> Result<Exemplar, InvalidExemplar> {
    // Both protocols say that it must be there, and encoders leave out a zero.
    if ts == 0 {
        return Err(InvalidExemplar::NoTime);
    }
    if pairs.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > LABEL_BYTES_MAX {
        return Err(InvalidExemplar::LabelsTooLong);
    }
    if pairs.iter().any(|(name, value)| name.contains('\0') || value.contains('\0')) {
        return Err(InvalidExemplar::Labels);
    }
    let labels = Labels::from_pairs(pairs).map_err(|_| InvalidExemplar::Labels)?;
    Ok(Exemplar { ts, value, labels })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exemplars_are_judged() {
        let check = |labels: &[(&str, &str)], timestamp: i64, expected: Result<&str, _>| {
            let label = |(name, value): &(&str, &str)| v1::Label {
                name: (*name).to_owned(),
                value: (*value).to_owned(),
            };
            let labels = labels.iter().map(label).collect();
            let message = v1::Exemplar { labels, value: 1.5, timestamp }.encode_to_vec();
            let judged = v1(&message).map(|exemplar| exemplar.labels.to_string());
            assert_eq!(judged.as_deref(), expected.as_ref().copied());
        };
        check(&[("trace_id", "abc"), ("gone", "")], 5, Ok("{trace_id=\"abc\"}"));
        check(&[], 5, Ok("{}"));
        check(&[], 0, Err(InvalidExemplar::NoTime));
        check(&[("a", "1"), ("a", "2")], 5, Err(InvalidExemplar::Labels));
        check(&[("", "1")], 5, Err(InvalidExemplar::Labels));
        check(&[("a", "\0")], 5, Err(InvalidExemplar::Labels));
        check(&[("a", &"x".repeat(1024))], 5, Err(InvalidExemplar::LabelsTooLong));
        assert_eq!(v1(&[0xff]), Err(InvalidExemplar::Message));
    }
}

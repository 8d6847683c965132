//! Judging a series that is not known yet, and the time of a sample.

use promql::model::{LabelError, Labels, METRIC_NAME};
use proto::remote_write::walk::{self, Symbols};

use super::{Limits, Reason};

/// Labels as they lie in a request.
pub(super) trait RawLabels: Copy {
    /// Names and values, not yet known to be UTF-8, in the order in which they came.
    fn pairs(&self) -> impl Iterator<Item = Result<(&[u8], &[u8]), Reason>>;
}

/// The label fields of a 1.0 series.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl RawLabels for Fields<'_> {
    fn pairs(&self) -> impl Iterator<Item = Result<(&[u8], &[u8]), Reason>> {
        // The walk before has stepped over these bytes; what it could not see is inside of a label.
        walk::labels(self.0).map(|label| label.map_err(|_| Reason::InvalidUtf8))
    }
}

/// The label references of a 2.0 series or exemplar.
#[derive(Clone, Copy, Debug)]
pub(super) struct References<'a> {
    pub(super) symbols: &'a Symbols<'a>,
    pub(super) refs: &'a [u32],
}

impl RawLabels for References<'_> {
    fn pairs(&self) -> impl Iterator<Item = Result<(&[u8], &[u8]), Reason>> {
        self.refs.chunks(2).map(|pair| {
            let text = |reference: &u32| self.symbols.get(*reference).ok_or(Reason::BadReference);
            // The last one may stand alone.
            let [name, value] = pair else { return Err(Reason::BadReference) };
            Ok((text(name)?, text(value)?))
        })
    }
}

/// A series' labels, or why it is refused.
///
/// Labels may come in any order, and an empty value is an absent label; both are what senders do, whatever the
/// specification says.
pub(super) fn labels(raw: impl RawLabels, limits: &Limits) -> Result<Labels, Reason> {
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    for label in raw.pairs() {
        let (name, value) = label?;
        if pairs.len() >= limits.labels_per_series_max {
            return Err(Reason::TooManyLabels);
        }
        if name.len() > limits.label_name_bytes_max {
            return Err(Reason::LabelNameTooLong);
        }
        if value.len() > limits.label_value_bytes_max {
            return Err(Reason::LabelValueTooLong);
        }
        if name.contains(&0) || value.contains(&0) {
            return Err(Reason::NulByte);
        }
        let name = str::from_utf8(name).map_err(|_| Reason::InvalidUtf8)?;
        let value = str::from_utf8(value).map_err(|_| Reason::InvalidUtf8)?;
        // The metric's name is a label name in PostgreSQL's index, too.
        if name == METRIC_NAME && value.len() > limits.label_name_bytes_max {
            return Err(Reason::LabelNameTooLong);
        }
        if name.is_empty() {
            return Err(Reason::EmptyLabelName);
        }
        pairs.push((name, value));
    }
    // Before empty values are dropped: a name given twice is wrong even so.
    let mut names: Vec<&str> = pairs.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Reason::DuplicateLabel);
    }
    let labels = Labels::from_pairs(pairs).map_err(|err| match err {
        LabelError::EmptyName => Reason::EmptyLabelName,
        LabelError::Duplicate { .. } => Reason::DuplicateLabel,
    })?;
    if labels.metric_name().is_empty() {
        return Err(Reason::NoMetricName);
    }
    Ok(labels)
}

/// How a refused series is shown to its sender, whatever its bytes are.
pub(super) fn display(raw: impl RawLabels) -> String {
    let mut text = String::from("{");
    for (name, value) in raw.pairs().flatten() {
        // Nobody is shown more.
        if text.len() > 1024 {
            break;
        }
        if text.len() > 1 {
            text.push_str(", ");
        }
        text.push_str(&String::from_utf8_lossy(name));
        text.push('=');
        text.push_str(&format!("{:?}", String::from_utf8_lossy(value)));
    }
    text.push('}');
    text
}

/// Years 1 to 9999, which every date type of every client can hold.
const TIME_RANGE: std::ops::Range<i64> = -62_135_596_800_000..253_402_300_800_000;

#[inline]
pub(super) fn time(ts: i64, now: i64, limits: &Limits) -> Result<(), Reason> {
    if ts > now.saturating_add(limits.future_ms_max) {
        return Err(Reason::TooFarInFuture);
    }
    if ts < now.saturating_sub(limits.age_ms_max) {
        return Err(if TIME_RANGE.contains(&ts) { Reason::TooOld } else { Reason::TimeOutOfRange });
    }
    if !TIME_RANGE.contains(&ts) {
        return Err(Reason::TimeOutOfRange);
    }
    Ok(())
}

/// When counting began: 0, which is unknown, where what is said makes no sense.
pub(super) fn start(start_ts: i64, ts: i64) -> i64 {
    if TIME_RANGE.contains(&start_ts) && start_ts < ts { start_ts } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(pairs: &[(&str, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, value) in pairs {
            let mut label = vec![0x0a, name.len() as u8];
            label.extend_from_slice(name.as_bytes());
            label.extend_from_slice(&[0x12, value.len() as u8]);
            label.extend_from_slice(value.as_bytes());
            out.extend_from_slice(&[0x0a, label.len() as u8]);
            out.extend_from_slice(&label);
        }
        out
    }

    #[test]
    fn series_are_judged() {
        let limits =
            Limits { labels_per_series_max: 3, label_value_bytes_max: 9, ..Limits::default() };
        let check = |pairs: &[(&str, &str)], expected: Result<&str, Reason>| {
            let judged = labels(Fields(&raw(pairs)), &limits).map(|labels| labels.to_string());
            assert_eq!(judged.as_deref(), expected.as_ref().copied(), "{pairs:?}");
        };
        check(&[("job", "a"), ("__name__", "up")], Ok("up{job=\"a\"}"));
        check(&[("__name__", "up"), ("gone", "")], Ok("up"));
        check(&[("job", "a")], Err(Reason::NoMetricName));
        check(&[("__name__", "")], Err(Reason::NoMetricName));
        check(&[], Err(Reason::NoMetricName));
        check(&[("__name__", "up"), ("a", "1"), ("a", "")], Err(Reason::DuplicateLabel));
        check(&[("__name__", "up"), ("", "1")], Err(Reason::EmptyLabelName));
        check(&[("__name__", "up"), ("a", "x\0y")], Err(Reason::NulByte));
        check(&[("__name__", "up"), ("a", "1234567890")], Err(Reason::LabelValueTooLong));
        check(
            &[("__name__", "up"), ("a", "1"), ("b", "1"), ("c", "1")],
            Err(Reason::TooManyLabels),
        );
        let mut not_utf8 = raw(&[("__name__", "up"), ("a", "1")]);
        *not_utf8.last_mut().unwrap() = 0xff;
        assert_eq!(labels(Fields(&not_utf8), &limits), Err(Reason::InvalidUtf8));
        assert_eq!(display(Fields(&not_utf8)), "{__name__=\"up\", a=\"\u{fffd}\"}");
    }

    #[test]
    fn times_are_judged() {
        let limits = Limits::default();
        let now = 1_800_000_000_000;
        assert_eq!(time(now + 600_000, now, &limits), Ok(()));
        assert_eq!(time(now + 600_001, now, &limits), Err(Reason::TooFarInFuture));
        assert_eq!(time(i64::MAX, now, &limits), Err(Reason::TooFarInFuture));
        assert_eq!(time(i64::MIN, now, &limits), Err(Reason::TimeOutOfRange));
        assert_eq!(time(0, now, &limits), Ok(()));
        let limits = Limits { age_ms_max: 1000, ..limits };
        assert_eq!(time(now - 1000, now, &limits), Ok(()));
        assert_eq!(time(now - 1001, now, &limits), Err(Reason::TooOld));
    }
}

//! The increase of a histogram over a window.

use super::WindowCall;
use super::rate::{start_overlaps, start_resets};
use crate::model::annotation::HistogramOperation;
use crate::model::histogram::CounterReset;
use crate::model::{Annotation, Histogram, HistogramSample};

/// Last minus first, and for a counter what was lost at resets added back. The result is a gauge: it may shrink.
pub(super) fn increase(
    call: &WindowCall<'_, '_>,
    samples: &[HistogramSample],
    is_counter: bool,
    begins: bool,
) -> Option<Histogram> {
    let mixed =
        || call.annotate(Annotation::MixedExponentialCustomHistograms { metric: call.metric() });
    let reconciled = |operation| call.annotate(Annotation::MismatchedCustomBuckets { operation });
    let (first, last) = (&samples[0].value, &samples[samples.len() - 1].value);
    // The first sample does not matter where the second begins anew; its layout must not get in the way either.
    let second_is_reset =
        is_counter && samples.len() > 1 && is_reset(call, &samples[0], &samples[1]);
    let subtracts_first = !begins && !second_is_reset;
    let layout = if second_is_reset { &samples[1].value } else { first };
    if last.is_custom() != layout.is_custom() {
        mixed();
        return None;
    }
    if is_counter {
        let is_gauge = |histogram: &Histogram| histogram.counter_reset == CounterReset::Gauge;
        if samples.iter().any(|sample| is_gauge(&sample.value)) {
            call.annotate(Annotation::NativeHistogramNotCounter { metric: call.metric() });
        }
        let inner = samples.get(1..samples.len() - 1).unwrap_or_default();
        if inner.iter().any(|sample| sample.value.is_custom() != last.is_custom()) {
            mixed();
            return None;
        }
    } else if first.counter_reset != CounterReset::Gauge
        || last.counter_reset != CounterReset::Gauge
    {
        call.annotate(Annotation::NativeHistogramNotGauge { metric: call.metric() });
    }
    let mut increase = Histogram::clone(last);
    // The difference of two counters says nothing about resets, whatever their hints.
    increase.counter_reset = CounterReset::Gauge;
    if subtracts_first {
        let Ok(done) = increase.sub(first) else {
            mixed();
            return None;
        };
        if done.bounds {
            reconciled(HistogramOperation::Subtraction);
        }
    }
    if is_counter {
        for (place, neighbours) in samples.windows(2).enumerate() {
            let (before, after) = (&neighbours[0], &neighbours[1]);
            if start_overlaps(before.start_ts, before.ts, after.start_ts)
                && call.ctx.options.start_timestamps
            {
                call.annotate(Annotation::StartTimeOverlap { metric: call.metric() });
            }
            if !is_reset(call, before, after) || (place == 0 && !begins) {
                // (A first sample before a reset was not subtracted, so it is not added back.)
                continue;
            }
            let Ok(done) = increase.add(&before.value) else {
                mixed();
                return None;
            };
            if done.bounds {
                reconciled(HistogramOperation::Addition);
            }
        }
    }
    increase.counter_reset = CounterReset::Gauge;
    Some(increase)
}

pub(super) fn is_reset(
    call: &WindowCall<'_, '_>,
    before: &HistogramSample,
    after: &HistogramSample,
) -> bool {
    (call.ctx.options.start_timestamps
        && start_resets(before.start_ts, before.ts, after.start_ts, after.ts))
        || after.value.is_reset_after(&before.value)
}

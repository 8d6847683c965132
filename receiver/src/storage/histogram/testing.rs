//! Histograms for tests.

use std::sync::Arc;

use promql::model::histogram::{CUSTOM_SCHEMA, Span};
use proptest::prelude::*;

use super::{Counts, Layout, LayoutParts, NativeHistogram, ResetHint};

fn spans(spans: &[(i32, u32)]) -> Vec<Span> {
    spans.iter().map(|(offset, length)| Span { offset: *offset, length: *length }).collect()
}

/// A valid integer histogram with these positive buckets.
pub fn exponential(schema: i32, positive: &[(i32, u32)], buckets: &[u64]) -> NativeHistogram {
    let layout = Layout::new(LayoutParts {
        schema,
        zero_threshold: 2f64.powi(-128),
        positive: spans(positive),
        ..LayoutParts::default()
    })
    .unwrap();
    let count = buckets.iter().sum::<u64>() + 1;
    let counts = Counts::Integer { count, zero_count: 1, buckets: buckets.into() };
    NativeHistogram::new(Arc::new(layout), counts, count as f64 * 0.25).unwrap()
}

/// A valid float histogram with these positive buckets.
pub fn float(schema: i32, positive: &[(i32, u32)], buckets: &[f64]) -> NativeHistogram {
    let layout = Layout::new(LayoutParts {
        schema,
        zero_threshold: 0.001,
        positive: spans(positive),
        ..LayoutParts::default()
    })
    .unwrap();
    let counts =
        Counts::Float { count: buckets.iter().sum(), zero_count: 0.0, buckets: buckets.into() };
    NativeHistogram::new(Arc::new(layout), counts, 0.125).unwrap()
}

/// A valid histogram with custom bounds.
pub fn nhcb(bounds: &[f64], buckets: &[u64]) -> NativeHistogram {
    let layout = Layout::new(LayoutParts {
        schema: CUSTOM_SCHEMA,
        positive: spans(&[(0, buckets.len() as u32)]),
        custom_bounds: bounds.to_vec(),
        ..LayoutParts::default()
    })
    .unwrap();
    let count = buckets.iter().sum();
    let counts = Counts::Integer { count, zero_count: 0, buckets: buckets.into() };
    NativeHistogram::new(Arc::new(layout), counts, 12.5).unwrap()
}

fn any_bits() -> impl Strategy<Value = f64> {
    prop_oneof![
        3 => (-1000i32..1000).prop_map(|m| f64::from(m) / 8.0),
        1 => any::<u64>().prop_map(f64::from_bits),
        1 => Just(promql::model::stale_marker()),
        1 => (-1022i32..1023).prop_map(|e| 2f64.powi(e)),
        1 => Just(-0.0),
    ]
}

fn any_layout() -> impl Strategy<Value = Arc<Layout>> {
    let any_spans = || prop::collection::vec((0i32..1000, 0u32..6), 0..4);
    (
        prop_oneof![4 => -4..9, 1 => Just(CUSTOM_SCHEMA), 1 => any::<i32>()],
        any_bits(),
        -1000i32..1000,
        any_spans(),
        any_spans(),
        prop::collection::vec(any_bits(), 0..4),
    )
        .prop_map(|(schema, zero_threshold, first, mut positive, negative, custom_bounds)| {
            if let Some((offset, _)) = positive.first_mut() {
                *offset = first;
            }
            let (positive, negative) = (spans(&positive), spans(&negative));
            let parts = LayoutParts { schema, zero_threshold, positive, negative, custom_bounds };
            Arc::new(Layout::new(parts).unwrap())
        })
}

prop_compose! {
    fn any_with(layout: Arc<Layout>)(
        is_float in any::<bool>(),
        integers in prop::collection::vec(prop_oneof![0u64..100, any::<u64>()], layout.n_buckets() + 2),
        floats in prop::collection::vec(any_bits(), layout.n_buckets() + 2),
        sum in any_bits(),
        hint in 0..4,
        start_ts in prop_oneof![Just(0), any::<i64>()],
        layout in Just(layout),
    ) -> NativeHistogram {
        let counts = if is_float {
            Counts::Float { count: floats[0], zero_count: floats[1], buckets: floats[2..].into() }
        } else {
            Counts::Integer { count: integers[0], zero_count: integers[1], buckets: integers[2..].into() }
        };
        let mut histogram = NativeHistogram::new(layout, counts, sum).unwrap();
        histogram.reset_hint = [ResetHint::Unknown, ResetHint::Yes, ResetHint::No, ResetHint::Gauge][hint as usize];
        histogram.start_ts = start_ts;
        histogram
    }
}

/// Any histograms, valid or not, of a few layouts that come and go.
pub fn any_run() -> impl Strategy<Value = Vec<NativeHistogram>> {
    prop::collection::vec(any_layout(), 1..4).prop_flat_map(|layouts| {
        let one = prop::sample::select(layouts).prop_flat_map(any_with);
        prop::collection::vec(one, 1..20)
    })
}

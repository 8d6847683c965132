//! One chunk: the histograms of a series, as layouts and columns of counts.
//!
//! Histograms of one layout follow each other for long, so each layout is told once, and then every count of its
//! histograms as a column over time: most buckets stand still for most of the time, and such a column takes three bytes.
//! A layout that comes back (after a staleness marker, say) is the same one, and its columns go on.

use std::sync::Arc;

use super::{CHUNK_CELLS_MAX, CHUNK_LEN_MAX, FIXED_COLUMNS, columns, layout};
use crate::storage::{
    codec::{
        CodecError,
        varint::{self, Reader},
    },
    histogram::{Counts, HistogramSample, Layout, NativeHistogram, ResetHint},
};

/// Appends the chunk of `samples`, which are at least one; how many they are is stored elsewhere.
pub(super) fn encode(
    samples: &[HistogramSample],
    columns: &mut columns::Encoder,
    out: &mut Vec<u8>,
) {
    assert!((1..=CHUNK_LEN_MAX).contains(&samples.len()), "the caller cuts chunks");
    let mut layouts: Vec<Vec<&NativeHistogram>> = Vec::new();
    // Layout and how many follow each other.
    let mut runs: Vec<(usize, u64)> = Vec::new();
    for sample in samples {
        let histogram = &*sample.histogram;
        let same = |of: &Vec<&NativeHistogram>| is_same_layout(of[0], histogram);
        let last = runs.last().map(|(number, _)| *number).filter(|last| same(&layouts[*last]));
        let number = last.or_else(|| layouts.iter().position(same)).unwrap_or_else(|| {
            layouts.push(Vec::new());
            layouts.len() - 1
        });
        layouts[number].push(histogram);
        match runs.last_mut() {
            Some((last, n)) if *last == number => *n += 1,
            _ => runs.push((number, 1)),
        }
    }
    varint::put(out, layouts.len() as u64);
    for of in &layouts {
        layout::encode(of[0].layout(), of[0].counts().is_float(), columns, out);
    }
    if layouts.len() > 1 {
        for (number, n) in runs {
            varint::put(out, number as u64);
            varint::put(out, n);
        }
    }
    for of in &layouts {
        encode_columns(of, columns, out);
    }
}

fn is_same_layout(a: &NativeHistogram, b: &NativeHistogram) -> bool {
    a.counts().is_float() == b.counts().is_float()
        && (Arc::ptr_eq(a.layout(), b.layout()) || a.layout() == b.layout())
}

fn encode_columns(of: &[&NativeHistogram], columns: &mut columns::Encoder, out: &mut Vec<u8>) {
    let mut integers = |columns: &mut columns::Encoder,
                        of_each: &dyn Fn(&NativeHistogram) -> i64| {
        columns.integers.clear();
        columns.integers.extend(of.iter().map(|histogram| of_each(histogram)));
        columns.put_integers(out);
    };
    integers(columns, &|histogram| hint_number(histogram.reset_hint));
    integers(columns, &|histogram| histogram.start_ts);
    columns.floats.clear();
    columns.floats.extend(of.iter().map(|histogram| histogram.sum));
    columns.put_floats(out);
    let n_buckets = of[0].counts().n_buckets();
    if of[0].counts().is_float() {
        for column in 0..n_buckets + 2 {
            columns.floats.clear();
            columns.floats.extend(of.iter().map(|histogram| float_at(histogram.counts(), column)));
            columns.put_floats(out);
        }
    } else {
        for column in 0..n_buckets + 2 {
            columns.integers.clear();
            columns
                .integers
                .extend(of.iter().map(|histogram| integer_at(histogram.counts(), column)));
            columns.put_integers(out);
        }
    }
}

/// Column 0 is the count, 1 the zero count, then the buckets.
fn integer_at(counts: &Counts, column: usize) -> i64 {
    match (counts, column) {
        (Counts::Integer { count, .. }, 0) => *count as i64,
        (Counts::Integer { zero_count, .. }, 1) => *zero_count as i64,
        (Counts::Integer { buckets, .. }, _) => buckets[column - 2] as i64,
        (Counts::Float { .. }, _) => unreachable!("layouts of floats are apart"),
    }
}

fn float_at(counts: &Counts, column: usize) -> f64 {
    match (counts, column) {
        (Counts::Float { count, .. }, 0) => *count,
        (Counts::Float { zero_count, .. }, 1) => *zero_count,
        (Counts::Float { buckets, .. }, _) => buckets[column - 2],
        (Counts::Integer { .. }, _) => unreachable!("layouts of integers are apart"),
    }
}

fn hint_number(hint: ResetHint) -> i64 {
    match hint {
        ResetHint::Unknown => 0,
        ResetHint::Yes => 1,
        ResetHint::No => 2,
        ResetHint::Gauge => 3,
    }
}

/// Memory for reading, used again for chunk after chunk.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    integers: Vec<i64>,
    floats: Vec<f64>,
}

/// Reads one chunk of `n` histograms.
pub(super) fn decode(
    reader: &mut Reader<'_>,
    n: usize,
    scratch: &mut Scratch,
) -> Result<Vec<NativeHistogram>, CodecError> {
    if !(1..=CHUNK_LEN_MAX).contains(&n) {
        let (value, bound) = (n as u64, CHUNK_LEN_MAX as u64);
        return Err(CodecError::OutOfBounds { what: "histograms of a chunk", value, bound });
    }
    let n_layouts = reader.bounded("the number of layouts", n)?;
    let mut layouts: Vec<(Layout, bool)> = Vec::with_capacity(n_layouts);
    let mut n_bounds = 0;
    for _ in 0..n_layouts {
        let at = reader.position();
        let (layout, is_float) = layout::decode(reader)?;
        n_bounds += layout.custom_bounds().len();
        if n_bounds > CHUNK_CELLS_MAX {
            return Err(CodecError::Malformed { what: "a chunk holds too many bounds", at });
        }
        layouts.push((layout, is_float));
    }
    let runs = decode_runs(reader, n, n_layouts)?;
    let mut lengths = vec![0; n_layouts];
    for (number, length) in &runs {
        lengths[*number] += *length;
    }
    let at = reader.position();
    let cells: usize = layouts
        .iter()
        .zip(&lengths)
        .map(|((layout, _), length)| (layout.n_buckets() + FIXED_COLUMNS) * length)
        .sum();
    if cells > CHUNK_CELLS_MAX {
        return Err(CodecError::Malformed { what: "a chunk holds too many counts", at });
    }
    let mut columns = Vec::with_capacity(n_layouts);
    for ((layout, is_float), length) in layouts.into_iter().zip(lengths) {
        if length == 0 {
            return Err(CodecError::Malformed { what: "a layout is not used", at });
        }
        let of = decode_columns(reader, Arc::new(layout), is_float, length, scratch)?;
        columns.push(of.into_iter());
    }
    let mut histograms = Vec::with_capacity(n);
    for (number, length) in runs {
        histograms.extend(columns[number].by_ref().take(length));
    }
    Ok(histograms)
}

/// Which layout is used for how many histograms, as long as there are any.
fn decode_runs(
    reader: &mut Reader<'_>,
    n: usize,
    n_layouts: usize,
) -> Result<Vec<(usize, usize)>, CodecError> {
    if n_layouts == 1 {
        return Ok(vec![(0, n)]);
    }
    let mut runs = Vec::new();
    let mut left = n;
    while left > 0 {
        let at = reader.position();
        let number = reader.bounded("the number of a layout", n_layouts.saturating_sub(1))?;
        let length = reader.bounded("the length of a run", left)?;
        if length == 0 || n_layouts == 0 {
            return Err(CodecError::Malformed { what: "a run of histograms is empty", at });
        }
        runs.push((number, length));
        left -= length;
    }
    Ok(runs)
}

fn decode_columns(
    reader: &mut Reader<'_>,
    layout: Arc<Layout>,
    is_float: bool,
    n: usize,
    scratch: &mut Scratch,
) -> Result<Vec<NativeHistogram>, CodecError> {
    let Scratch { integers, floats } = scratch;
    integers.clear();
    floats.clear();
    let at = reader.position();
    columns::integers(reader, n, integers)?;
    let hints: Option<Vec<ResetHint>> = integers.iter().map(|number| hint(*number)).collect();
    let hints = hints.ok_or(CodecError::Malformed { what: "a reset hint is none", at })?;
    integers.clear();
    columns::integers(reader, n, integers)?;
    columns::floats(reader, n, floats)?;
    let (starts, sums) = (integers.clone(), floats.clone());
    let n_buckets = layout.n_buckets();
    integers.clear();
    floats.clear();
    for _ in 0..n_buckets + 2 {
        if is_float {
            columns::floats(reader, n, floats)?;
        } else {
            columns::integers(reader, n, integers)?;
        }
    }
    (0..n)
        .map(|row| {
            let bucket_at = |bucket: usize| (bucket + 2) * n + row;
            let counts = if is_float {
                Counts::Float {
                    count: floats[row],
                    zero_count: floats[n + row],
                    buckets: (0..n_buckets).map(|bucket| floats[bucket_at(bucket)]).collect(),
                }
            } else {
                Counts::Integer {
                    count: integers[row] as u64,
                    zero_count: integers[n + row] as u64,
                    buckets: (0..n_buckets)
                        .map(|bucket| integers[bucket_at(bucket)] as u64)
                        .collect(),
                }
            };
            let mut histogram = NativeHistogram::new(Arc::clone(&layout), counts, sums[row])
                .ok_or(CodecError::Malformed { what: "a histogram lacks buckets", at })?;
            histogram.reset_hint = hints[row];
            histogram.start_ts = starts[row];
            Ok(histogram)
        })
        .collect()
}

fn hint(number: i64) -> Option<ResetHint> {
    match number {
        0 => Some(ResetHint::Unknown),
        1 => Some(ResetHint::Yes),
        2 => Some(ResetHint::No),
        3 => Some(ResetHint::Gauge),
        _ => None,
    }
}

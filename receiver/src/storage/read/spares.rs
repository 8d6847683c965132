//! Memory that a reader has done with, for what is decoded next: pages that are given back to the system and asked for
//! again cost more than decoding into them.

use std::sync::{Mutex, PoisonError};

use crate::{model::SeriesId, storage::SeriesColumns};

/// Columns that are kept: of a few packs.
const SPARES_MAX: usize = 256;
/// Columns of less room are left to the allocator, which is good at them.
const CAPACITY_MIN: usize = 1024;

/// Columns without samples, but with room for some.
#[derive(Debug, Default)]
pub(super) struct Spares(Mutex<Vec<(Vec<i64>, Vec<f64>)>>);

impl Spares {
    /// Empty columns for these series.
    pub(super) fn columns(&self, series: &[SeriesId]) -> Vec<SeriesColumns> {
        let mut spares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let columns = series.iter().map(|series| {
            let (timestamps, values) = spares.pop().unwrap_or_default();
            SeriesColumns { series: *series, timestamps, values, histograms: Vec::new() }
        });
        columns.collect()
    }

    pub(super) fn give_back(&self, columns: impl IntoIterator<Item = (Vec<i64>, Vec<f64>)>) {
        let mut spares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (mut timestamps, mut values) in columns {
            if timestamps.capacity() < CAPACITY_MIN || spares.len() == SPARES_MAX {
                continue;
            }
            timestamps.clear();
            values.clear();
            spares.push((timestamps, values));
        }
    }
}

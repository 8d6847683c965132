//! The values of one series at all evaluation times.

use std::sync::Arc;

use crate::model::{Histogram, Value};

/// One bit for each evaluation time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Bitmap {
    words: Vec<u64>,
    len: usize,
}

impl Bitmap {
    pub(crate) fn new(len: usize) -> Self {
        Self { words: vec![0; len.div_ceil(64)], len }
    }

    fn reset(&mut self, len: usize) {
        self.words.clear();
        self.words.resize(len.div_ceil(64), 0);
        self.len = len;
    }

    #[inline]
    pub(crate) fn get(&self, place: usize) -> bool {
        self.words[place / 64] & (1 << (place % 64)) != 0
    }

    #[inline]
    pub(crate) fn set(&mut self, place: usize) {
        self.words[place / 64] |= 1 << (place % 64);
    }

    #[inline]
    pub(crate) fn unset(&mut self, place: usize) {
        self.words[place / 64] &= !(1 << (place % 64));
    }

    pub(crate) fn add_all(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word |= other;
        }
    }

    pub(crate) fn keep_only(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= other;
        }
    }

    pub(crate) fn remove_all(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= !other;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.count() == self.len
    }

    pub(crate) fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The first place where both are set.
    pub(crate) fn first_common(&self, other: &Self) -> Option<usize> {
        let common = self.words.iter().zip(&other.words).map(|(a, b)| a & b);
        let (at, word) = common.enumerate().find(|(_, word)| *word != 0)?;
        Some(at * 64 + word.trailing_zeros() as usize)
    }

    /// The places that are set, rising.
    pub(crate) fn places(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(at, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                if rest == 0 {
                    return None;
                }
                let bit = rest.trailing_zeros() as usize;
                rest &= rest - 1;
                Some(at * 64 + bit)
            })
        })
    }
}

/// Floats as a plain array with a bitmap of those that are there (NaN is a value, so it cannot mean "absent");
/// histograms beside them only for series that have some.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Column {
    pub(crate) values: Vec<f64>,
    pub(crate) present: Bitmap,
    /// Empty, or one entry for each time; never set where `present` is.
    pub(crate) histograms: Vec<Option<Arc<Histogram>>>,
}

/// What a column holds at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cell<'a> {
    Float(f64),
    Histogram(&'a Arc<Histogram>),
}

impl Cell<'_> {
    pub(crate) fn to_value(self) -> Value {
        match self {
            Self::Float(value) => Value::Float(value),
            Self::Histogram(histogram) => Value::Histogram(Arc::clone(histogram)),
        }
    }
}

impl Column {
    pub(crate) fn new(len: usize) -> Self {
        Self { values: vec![0.0; len], present: Bitmap::new(len), histograms: Vec::new() }
    }

    /// Empties it, with room for `len` values.
    pub(crate) fn reset(&mut self, len: usize) {
        self.values.clear();
        self.values.resize(len, 0.0);
        self.present.reset(len);
        self.histograms.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn has_histograms(&self) -> bool {
        !self.histograms.is_empty()
    }

    #[inline]
    pub(crate) fn get(&self, place: usize) -> Option<Cell<'_>> {
        if self.present.get(place) {
            return Some(Cell::Float(self.values[place]));
        }
        match self.histograms.get(place) {
            Some(Some(histogram)) => Some(Cell::Histogram(histogram)),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn set_float(&mut self, place: usize, value: f64) {
        self.values[place] = value;
        self.present.set(place);
    }

    pub(crate) fn set_histogram(&mut self, place: usize, histogram: Arc<Histogram>) {
        if self.histograms.is_empty() {
            self.histograms.resize(self.values.len(), None);
        }
        self.histograms[place] = Some(histogram);
    }

    pub(crate) fn set(&mut self, place: usize, value: Value) {
        match value {
            Value::Float(value) => self.set_float(place, value),
            Value::Histogram(histogram) => self.set_histogram(place, histogram),
        }
    }

    pub(crate) fn unset(&mut self, place: usize) {
        self.present.unset(place);
        if let Some(histogram) = self.histograms.get_mut(place) {
            *histogram = None;
        }
    }

    /// Where there is anything, float or histogram.
    pub(crate) fn occupied(&self) -> Bitmap {
        let mut occupied = self.present.clone();
        for (place, histogram) in self.histograms.iter().enumerate() {
            if histogram.is_some() {
                occupied.set(place);
            }
        }
        occupied
    }

    /// Keeps what is in the mask, or what is not.
    pub(crate) fn mask(&mut self, mask: &Bitmap, keep: bool) {
        if keep {
            self.present.keep_only(mask);
        } else {
            self.present.remove_all(mask);
        }
        for (place, histogram) in self.histograms.iter_mut().enumerate() {
            if mask.get(place) != keep {
                *histogram = None;
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.present.is_empty() && self.histograms.iter().all(Option::is_none)
    }

    pub(crate) fn drop_histograms(&mut self) {
        self.histograms.clear();
    }

    /// Memory it takes, for budgets.
    pub(crate) fn size_bytes(&self) -> usize {
        let histograms =
            self.histograms.iter().flatten().map(|histogram| histogram.size_bytes()).sum::<usize>();
        self.values.len() * 8
            + self.present.words.len() * 8
            + self.histograms.len() * 8
            + histograms
    }

    /// The columns of an expression that has one value for all times.
    pub(crate) fn broadcast(&self, len: usize, into: &mut Self) {
        into.reset(len);
        match self.get(0) {
            Some(Cell::Float(value)) => (0..len).for_each(|place| into.set_float(place, value)),
            Some(Cell::Histogram(histogram)) => {
                (0..len).for_each(|place| into.set_histogram(place, Arc::clone(histogram)));
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bitmaps() {
        let mut bitmap = Bitmap::new(130);
        for place in [0, 63, 64, 129] {
            bitmap.set(place);
        }
        assert_eq!(bitmap.places().collect::<Vec<_>>(), [0, 63, 64, 129]);
        bitmap.unset(63);
        let mut other = Bitmap::new(130);
        other.set(64);
        assert_eq!((bitmap.count(), bitmap.first_common(&other)), (3, Some(64)));
        bitmap.remove_all(&other);
        assert_eq!(bitmap.first_common(&other), None);
        assert!(!bitmap.is_full());
    }

    #[test]
    fn columns_hold_nan_and_histograms() {
        let mut column = Column::new(3);
        column.set_float(0, f64::NAN);
        column.set_histogram(2, Arc::default());
        assert!(matches!(column.get(0), Some(Cell::Float(value)) if value.is_nan()));
        assert!(column.get(1).is_none() && matches!(column.get(2), Some(Cell::Histogram(_))));
        assert_eq!(column.occupied().count(), 2);
        let mut mask = Bitmap::new(3);
        mask.set(2);
        column.mask(&mask, true);
        assert!(column.get(0).is_none() && column.get(2).is_some());
    }
}

//! The ledger: what was sent, and of it what was acknowledged.

use std::{collections::HashMap, sync::Mutex};

use proto::remote_write::STALE_MARKER_BITS;

use crate::random::mix;

/// A series by number: its labels are made from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Series(pub(crate) u32);

/// Series share this many metrics, so that packs hold series of several senders.
const METRICS: u32 = 7;

impl Series {
    pub(crate) fn metric(self) -> String {
        format!("ledger_{}", self.0 % METRICS)
    }

    pub(crate) fn label(self) -> String {
        self.0.to_string()
    }

    /// The 64 bits of its value at a time: the same whoever asks, of all kinds.
    pub(crate) fn bits(self, ts: i64) -> u64 {
        let noise = mix(u64::from(self.0) << 48 ^ ts.cast_unsigned());
        match noise % 24 {
            0 => STALE_MARKER_BITS,
            1 => (-0.0f64).to_bits(),
            2 => f64::INFINITY.to_bits(),
            3 => f64::NEG_INFINITY.to_bits(),
            // A NaN with a payload, of either sign.
            4 => 0x7ff8_0000_0000_0001 | noise & 0x8000_ffff_ffff_0000,
            // Any bits at all but a signalling NaN, which the processor may make quiet.
            5 => f64::from_bits(noise).clamp(-f64::MAX, f64::MAX).to_bits(),
            6 => noise >> 40,
            7..12 => ((noise >> 40) as f64).to_bits(),
            _ => ((noise >> 44) as f64 / 100.0).to_bits(),
        }
    }
}

/// Samples by series and time: whether they were acknowledged.
pub(crate) type Samples = HashMap<(Series, i64), bool>;

#[derive(Debug, Default)]
pub(crate) struct Book(Mutex<Samples>);

impl Book {
    /// To be called before these are sent.
    pub(crate) fn sending(&self, samples: &[(Series, i64)]) {
        let mut book = self.0.lock().expect("no holder panics");
        for sample in samples {
            book.entry(*sample).or_insert(false);
        }
    }

    pub(crate) fn acknowledged(&self, samples: &[(Series, i64)]) {
        let mut book = self.0.lock().expect("no holder panics");
        for sample in samples {
            book.insert(*sample, true);
        }
    }

    pub(crate) fn summary(&self) -> String {
        let book = self.0.lock().expect("no holder panics");
        let acknowledged = book.values().filter(|acknowledged| **acknowledged).count();
        format!("{} samples sent, {acknowledged} acknowledged", book.len())
    }

    /// What was sent, and how many samples of it were acknowledged.
    pub(crate) fn close(&self) -> (Samples, usize) {
        let book = std::mem::take(&mut *self.0.lock().expect("no holder panics"));
        let acknowledged = book.values().filter(|acknowledged| **acknowledged).count();
        (book, acknowledged)
    }
}
